select
  "rates",
  "n_trips",
  "event_timestamp"
from read_parquet(['/data/trips/a.parquet'], union_by_name = true, hive_partitioning = false)
where epoch_us("event_timestamp") >= 0 and epoch_us("event_timestamp") <= 86400000000
qualify row_number() over (order by epoch_us("event_timestamp") desc, "n_trips" desc nulls last, "rates" desc nulls last) = 1
