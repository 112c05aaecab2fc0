with feature_rows as materialized (
select
  cast("n_trips" as bigint) as "trips",
  cast("rates" as float[]) as "rates",
  make_timestamptz(((epoch_us("last_at") - ((epoch_us("last_at") % 1000000) + 1000000) % 1000000) // 1000000) * 1000000) as "last_at",
  epoch_us("event_timestamp") as _event_us,
  epoch_us("created") as _created_us
from read_parquet(['/data/trips/a.parquet', '/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false)
),
ordered as materialized (
  select *, row_number() over (order by _event_us, _created_us nulls first, "last_at" asc nulls first, "rates" asc nulls first, "trips" asc nulls first) as _row_order
  from feature_rows f
),
winner as (
  select e._row_idx, max(f._row_order) as _row_order
  from "entity_rows" e
  join ordered f
    on f._event_us <= e._as_of_us
  group by e._row_idx
)
select
  e._row_idx,
  f._event_us,
  f."trips"
from "entity_rows" e
left join winner w on w._row_idx = e._row_idx
left join ordered f on f._row_order = w._row_order
order by e._row_idx
