with feature_rows as (
select
  cast("driver_id" as bigint) as "driver_id",
  cast("n_trips" as bigint) as "trips",
  cast("rates" as float[]) as "rates",
  make_timestamptz(((epoch_us(coalesce("last_at", cast(null as timestamp))) - ((epoch_us(coalesce("last_at", cast(null as timestamp))) % 1000000) + 1000000) % 1000000) // 1000000) * 1000000) as "last_at",
  epoch_us("event_timestamp") as _event_us,
  epoch_us("created") as _created_us
from read_parquet(['/data/trips/a.parquet', '/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false)
),
newest as (
  select *, count(*) over entity as _n_rows
  from feature_rows
  where _event_us between -5 and 10
    and "driver_id" is not null
    and _created_us <= 10
  window entity as (partition by "driver_id")
  qualify rank() over (entity order by _event_us desc, _created_us desc nulls last) = 1
),
placed as (
  select
    *,
    row_number() over (entity order by _event_us desc, _created_us desc nulls last, "last_at" desc nulls last, "rates" desc nulls last, "trips" desc nulls last, list_transform("rates", lambda x: not signbit(x)) desc nulls last) as _place,
    min(struct_pack(c0 := "last_at", c1 := "rates", c2 := "trips")) over entity
      is distinct from max(struct_pack(c0 := "last_at", c1 := "rates", c2 := "trips")) over entity as _is_ambiguous
  from newest
  window entity as (partition by "driver_id")
)
select
  "driver_id",
  "trips",
  "rates",
  "last_at",
  _event_us,
  _created_us,
  _n_rows,
  _is_ambiguous
from placed
where _place = 1
