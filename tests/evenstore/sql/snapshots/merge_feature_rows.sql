select k._entity, f._event_us, f._created_us, f._file, f._file_row
from (
select
  cast("driver_id" as bigint) as "driver_id",
  cast("city ""code""" as varchar) as "trips_at",
  epoch_us("event_timestamp") as _event_us,
  epoch_us("created") as _created_us,
  file_index::bigint as _file,
  file_row_number::bigint as _file_row
from read_parquet(['/data/trips/a.parquet', '/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false)
where "event_timestamp" >= '1969-12-31 23:59:59+00:00'
) f
join "entities_0" k on k."driver_id" = f."driver_id" and k."trips_at" = f."trips_at"
where f._event_us is not null
