with tied as (
with feature_rows as (
select
  cast("driver_id" as bigint) as "driver_id",
  cast("city ""code""" as varchar) as "trips_at",
  cast("n_trips" as bigint) as "trips",
  epoch_us("event_timestamp") as _event_us,
  epoch_us("created") as _created_us,
  file_index::bigint as _file,
  file_row_number::bigint as _file_row
from read_parquet(['/data/trips/a.parquet', '/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false)
)
select
  t._row_idx,
  t._row,
  f."trips" as content_0
from "tied_rows" t
join feature_rows f on f._file = t._file and f._file_row = t._file_row
),
placed as (
  select
    _row_idx,
    _row,
    row_number() over (partition by _row_idx order by content_0 desc nulls last) as _place
  from tied
)
select _row_idx, _row
from placed
where _place = 1
