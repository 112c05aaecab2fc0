select min(_event_us)
from (
select
  cast("driver_id" as bigint) as "driver_id",
  cast("n_trips" as bigint) as "trips",
  cast("rates" as float[]) as "rates",
  make_timestamptz(((((epoch_ns("last_at") - ((epoch_ns("last_at") % 1000) + 1000) % 1000) // 1000) - ((((epoch_ns("last_at") - ((epoch_ns("last_at") % 1000) + 1000) % 1000) // 1000) % 1000000) + 1000000) % 1000000) // 1000000) * 1000000) as "last_at",
  ((epoch_ns("event_timestamp") - ((epoch_ns("event_timestamp") % 1000) + 1000) % 1000) // 1000) as _event_us,
  cast(null as bigint) as _created_us
from read_parquet(['/data/trips/a.parquet', '/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false)
)
