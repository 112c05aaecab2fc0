select (_greatest & 2047) as _file_row, (_greatest & 2047) + (_least & 2047) <> 2047 as _is_tied
from (
select max(((_event_us >> 10) - 976) * 2048 + (_file * 1024 + _file_row)) as _greatest, max(((_event_us >> 10) - 976) * 2048 + (2047 - (_file * 1024 + _file_row))) as _least
from (
select _event_us, _created_us, _file + 0 as _file, _file_row
from (
select
  epoch_us("event_timestamp") as _event_us,
  epoch_us("created") as _created_us,
  file_index::bigint as _file,
  file_row_number::bigint as _file_row
from read_parquet(['/data/trips/a.parquet'], union_by_name = true, hive_partitioning = false)
where "event_timestamp" >= '1969-12-31 23:59:58.999995+00:00' and "event_timestamp" <= '1970-01-02 00:00:01+00:00'
)
where _event_us >= -5 and _event_us <= 86400000000
union all
select _event_us, _created_us, _file + 1 as _file, _file_row
from (
select
  epoch_us("event_timestamp") as _event_us,
  epoch_us("created") as _created_us,
  file_index::bigint as _file,
  file_row_number::bigint as _file_row
from read_parquet(['/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false)
where "event_timestamp" <= '1970-01-02 00:00:01+00:00'
)
where (_event_us >= 10000000 or _created_us > 7000000) and _event_us <= 86400000000
)
)
where _greatest is not null
