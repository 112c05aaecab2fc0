create table exact as
select
  "driver_id", ((_greatest >> 48) + 1000000)::bigint as _event_us,
  (_greatest & 2047)::bigint >> 10 as _file,
  (_greatest & 2047)::bigint & 1023 as _file_row,
  (_greatest & 2047) <> (_greatest - (_greatest & 2047) - _least) as _is_tied
from (
select "driver_id", max(((_event_us::hugeint - 1000000) * 137438953472 + coalesce(_created_us::hugeint - 4, 0)) * 2048 + (_file * 1024 + _file_row)) as _greatest, max(((_event_us::hugeint - 1000000) * 137438953472 + coalesce(_created_us::hugeint - 4, 0)) * 2048 - (_file * 1024 + _file_row)) as _least
from (
select f.*
from (
select "driver_id", _event_us, _created_us, _file + 0 as _file, _file_row
from (
select
  cast("driver_id" as bigint) as "driver_id",
  epoch_us("event_timestamp") as _event_us,
  epoch_us("created") as _created_us,
  file_index::bigint as _file,
  file_row_number::bigint as _file_row
from read_parquet(['/data/trips/a.parquet'], union_by_name = true, hive_partitioning = false)
where "event_timestamp" >= '1969-12-31 23:59:58.999995+00:00' and "event_timestamp" <= '1970-01-02 00:00:01+00:00'
)
where _event_us >= -5 and _event_us <= 86400000000 and "driver_id" is not null
union all
select "driver_id", _event_us, _created_us, _file + 1 as _file, _file_row
from (
select
  cast("driver_id" as bigint) as "driver_id",
  epoch_us("event_timestamp") as _event_us,
  epoch_us("created") as _created_us,
  file_index::bigint as _file,
  file_row_number::bigint as _file_row
from read_parquet(['/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false)
where "event_timestamp" <= '1970-01-02 00:00:01+00:00'
)
where (_event_us >= 10000000 or _created_us > 7000000) and _event_us <= 86400000000 and "driver_id" is not null
) f
join tied t on f."driver_id" = t."driver_id" and ((f._event_us >> 10) - 976) = t._newest_us
)
group by "driver_id"
)
