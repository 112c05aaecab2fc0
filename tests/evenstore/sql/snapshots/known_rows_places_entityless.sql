create table known_places as
select _file, _file_row, _event_us as _available_us
from (
select
  ((epoch_ns("event_timestamp") - ((epoch_ns("event_timestamp") % 1000) + 1000) % 1000) // 1000) as _event_us,
  cast(null as bigint) as _created_us,
  file_index::bigint as _file,
  file_row_number::bigint as _file_row
from read_parquet(['/data/trips/a.parquet', '/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false)
) f
