with feature_rows as (
select
  *,
  cast(null as bigint) as "trips",
  cast(null as float[]) as "rates"
from (
select
  make_timestamptz(((epoch_us(coalesce("last_at", cast(null as timestamp))) - ((epoch_us(coalesce("last_at", cast(null as timestamp))) % 1000000) + 1000000) % 1000000) // 1000000) * 1000000) as "last_at",
  epoch_us("event_timestamp") as _event_us,
  cast(null as bigint) as _created_us,
  file_index::bigint as _file,
  file_row_number::bigint as _file_row
from read_parquet(['/data/trips/a.parquet', '/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false)
)
)
select
  _event_us,
  coalesce(_created_us, -9223372036854775808) as _created_us,
  "trips",
  "rates",
  "last_at"
from feature_rows
where _event_us is not null
order by
  _event_us,
  _created_us nulls first,
  "last_at" nulls first,
  "rates" nulls first,
  "trips" nulls first,
  list_transform("rates", lambda x: not signbit(x)) nulls first
