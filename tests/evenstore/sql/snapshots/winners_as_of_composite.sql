create table "winners_0" as
with feature_rows as not materialized (
select
  cast("driver_id" as bigint) as "driver_id",
  cast("city ""code""" as varchar) as "trips_at",
  epoch_us("event_timestamp") as _event_us,
  epoch_us("created") as _created_us,
  file_index::bigint as _file,
  file_row_number::bigint as _file_row
from read_parquet(['/data/trips/a.parquet', '/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false)
where "event_timestamp" >= '1969-12-31 23:59:59+00:00' and "event_timestamp" <= '1970-01-02 00:00:01+00:00'
),
entities as materialized (
  select *, row_number() over () as _entity
  from (select distinct "the driver" as "driver_id", "select" as "trips_at" from "entity_rows_0")
),
asked as (
  select e.*, k._entity from "entity_rows_0" e join entities k on k."driver_id" = e."the driver" and k."trips_at" = e."select"
),
history as not materialized (
  select f.*, k._entity from feature_rows f join entities k on k."driver_id" = f."driver_id" and k."trips_at" = f."trips_at"
),
newest as (
  select e.*, f._event_us as _newest_us
  from asked e
  asof join history f
    on f._entity = e._entity and e._as_of_us >= f._event_us
),
greatest as (
  select e._row_idx, max(((_event_us::hugeint - 0) * 137438953472 + coalesce(_created_us::hugeint - 4, 0)) * 2048 + (_file * 1024 + _file_row)) as _greatest, max(((_event_us::hugeint - 0) * 137438953472 + coalesce(_created_us::hugeint - 4, 0)) * 2048 - (_file * 1024 + _file_row)) as _least
  from newest e
  join history f
    on f._entity = e._entity and f._event_us = e._newest_us
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
