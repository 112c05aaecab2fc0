create or replace table orphans as
select distinct stored.*
from stored_entities as stored
anti join (
select
  cast("driver_id" as bigint) as "driver_id",
  epoch_us("event_timestamp") as _event_us,
  epoch_us("created") as _created_us
from read_parquet(['/data/trips/a.parquet', '/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false)
) as known
  on known."driver_id" = stored.k0
