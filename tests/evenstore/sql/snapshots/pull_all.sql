select
  "driver_id",
  "rates",
  "n_trips",
  "event_timestamp",
  "created"
from read_parquet(['/data/trips/a.parquet'], union_by_name = true, hive_partitioning = false)
where epoch_us("event_timestamp") <= 86400000000
