"""`python -m benchmarks`: joins, materialization, lookups and servers of stock Feast and evenstore.

```text
python -m benchmarks offline --cases S --cache /tmp/bench            # all contenders, 5 rounds
python -m benchmarks offline --cases S,L,W,H,H0 --cache /tmp/bench --out offline.json
python -m benchmarks offline --cases H --contenders evenstore,duckdb-asof --repeats 3 ...
python -m benchmarks offline --scale 0.01                            # everything, in a minute or so
python -m benchmarks online --scale 0.05 --repeats 1                 # Redis: loads, memory, lookups
python -m benchmarks online --cases M1,OG --cache /tmp/bench --out online.json
python -m benchmarks serving --cases 1x10 --cache /tmp/bench         # HTTP: throughput, latency
python -m benchmarks parity --cases full --cache /tmp/bench          # full, live and golden parity
python -m benchmarks report offline.json                             # Markdown on stdout
```

For work on one join (the same process that `offline` starts; one line of JSON on stdout):

```text
python -m benchmarks data --cases S,H --cache /tmp/bench
python -m benchmarks prepare --folder /tmp/bench/S-x1-seed7 --contender evenstore
python -m benchmarks measure --folder /tmp/bench/S-x1-seed7 --contender evenstore --calls 5
```

Progress goes to stderr, results to stdout. The exit code is 1 when a contender is wrong or fails,
130 after Ctrl-C, which keeps what was measured.
"""

from __future__ import annotations

import sys

from benchmarks.commands import main

if __name__ == "__main__":
    sys.exit(main())
