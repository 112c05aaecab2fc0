"""The promise of a feature view: how far behind its sources it may be, declared in a tag.

```python
FeatureView(name="customer_activity", tags={"freshness_promise": "26h"}, ...)
```
"""

from __future__ import annotations

import re

from evenstore.errors import ConfigurationError

__all__ = ["PROMISE_TAG", "parse_promise"]

PROMISE_TAG = "freshness_promise"

_UNITS_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_DURATION = re.compile(r"(?:\d{1,9}[smhd])+")
_PART = re.compile(r"(\d+)([smhd])")


def parse_promise(view_name: str, text: str | None) -> int | None:
    """Read a view's promise in microseconds; None where it declares none.

    Raises:
        ConfigurationError: The tag is no duration.
    """
    if text is None:
        return None
    if not _DURATION.fullmatch(text):
        msg = f"{view_name}: tag `{PROMISE_TAG}` is {text!r}"
        raise ConfigurationError(msg, hint="a duration: 90s, 15m, 2h, 1d, 1d12h")
    return sum(int(number) * _UNITS_US[unit] for number, unit in _PART.findall(text))
