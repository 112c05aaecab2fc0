with tied as (
  select e.*, w._event_us as _newest_us
  from "entity_rows_0" e
  join "winners_0" w on w._row_idx = e._row_idx
  where w._is_tied
),
feature_rows as (
select
  cast("driver_id" as bigint) as "driver_id",
  cast("n_trips" as bigint) as "trips",
  cast("rates" as float[]) as "rates",
  make_timestamptz(((epoch_us(coalesce("last_at", cast(null as timestamp))) - ((epoch_us(coalesce("last_at", cast(null as timestamp))) % 1000000) + 1000000) % 1000000) // 1000000) * 1000000) as "last_at",
  epoch_us("event_timestamp") as _event_us,
  epoch_us("created") as _created_us,
  file_index::bigint as _file,
  file_row_number::bigint as _file_row
from read_parquet(['/data/trips/a.parquet', '/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false)
where "event_timestamp" >= '1969-12-31 23:59:59+00:00' and "event_timestamp" <= '1970-01-02 00:00:01+00:00'
),
placed as (
  select
    e._row_idx,
    f._file,
    f._file_row,
    row_number() over (
      partition by e._row_idx
      order by f._created_us desc nulls last, f."last_at" desc nulls last, f."rates" desc nulls last, f."trips" desc nulls last, list_transform(f."rates", lambda x: not signbit(x)) desc nulls last
    ) as _place
  from tied e
  join feature_rows f
    on f."driver_id" = e."driver_id"
    and f._event_us = e._newest_us
)
update "winners_0" w
set _file = p._file, _file_row = p._file_row
from placed p
where p._place = 1 and p._row_idx = w._row_idx
