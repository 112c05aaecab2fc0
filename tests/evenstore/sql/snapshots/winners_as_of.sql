create table "winners_0" as
with feature_rows as not materialized (
select
  cast("driver_id" as bigint) as "driver_id",
  epoch_us("event_timestamp") as _event_us,
  epoch_us("created") as _created_us,
  file_index::bigint as _file,
  file_row_number::bigint as _file_row
from read_parquet(['/data/trips/a.parquet', '/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false)
where "event_timestamp" >= '1969-12-31 23:59:59+00:00' and "event_timestamp" <= '1970-01-02 00:00:01+00:00'
),
newest as (
  select e.*, f._event_us as _newest_us
  from "entity_rows_0" e
  asof join feature_rows f
    on f."driver_id" = e."driver_id" and e._as_of_us >= f._event_us
),
greatest as (
  select e._row_idx, max(((_event_us::hugeint - 0) * 137438953472 + coalesce(_created_us::hugeint - 4, 0)) * 2048 + (_file * 1024 + _file_row)) as _greatest, max(((_event_us::hugeint - 0) * 137438953472 + coalesce(_created_us::hugeint - 4, 0)) * 2048 - (_file * 1024 + _file_row)) as _least
  from newest e
  join feature_rows f
    on f."driver_id" = e."driver_id" and f._event_us = e._newest_us
  where e._newest_us >= e._since_us
  group by e._row_idx
)
select
  _row_idx,
  ((_greatest >> 48) + 0)::bigint as _event_us,
  (_greatest & 2047)::bigint >> 10 as _file,
  (_greatest & 2047)::bigint & 1023 as _file_row,
  (_greatest & 2047) <> (_greatest - (_greatest & 2047) - _least) as _is_tied
from greatest
