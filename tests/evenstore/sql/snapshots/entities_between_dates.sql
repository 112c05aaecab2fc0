select distinct "driver_id" as "the driver", "trips_at" as "select"
from (
select
  cast("driver_id" as bigint) as "driver_id",
  cast("city ""code""" as varchar) as "trips_at",
  epoch_us("event_timestamp") as _event_us,
  epoch_us("created") as _created_us
from read_parquet(['/data/trips/a.parquet', '/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false)
where "event_timestamp" >= '1969-12-31 23:59:59+00:00' and "event_timestamp" <= '1970-01-02 00:00:01+00:00'
)
where _event_us between 0 and 86400000000
  and "driver_id" is not null
  and "trips_at" is not null
order by all
