select
  "driver_id",
  "rates",
  "n_trips",
  "event_timestamp",
  "created"
from read_parquet(['/data/trips/a.parquet'], union_by_name = true, hive_partitioning = false)
where epoch_us("event_timestamp") >= 0 and epoch_us("event_timestamp") <= 86400000000
qualify row_number() over (partition by "driver_id" order by epoch_us("event_timestamp") desc, epoch_us("created") desc nulls last, "n_trips" desc nulls last, "rates" desc nulls last) = 1
