create table known_places as
select _file, _file_row, case when _event_us is null or _created_us is null then null else greatest(_event_us, _created_us) end as _available_us
from (
select
  cast("driver_id" as bigint) as "driver_id",
  cast("city ""code""" as varchar) as "trips_at",
  epoch_us("event_timestamp") as _event_us,
  epoch_us("created") as _created_us,
  file_index::bigint as _file,
  file_row_number::bigint as _file_row
from read_parquet(['/data/trips/a.parquet', '/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false)
) f
semi join "e" e on f."driver_id" = e."driver_id" and f."trips_at" = e."trips_at"
