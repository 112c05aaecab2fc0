select _file, _file_row, _is_ambiguous
from (
select
  _file,
  _file_row,
  row_number() over (partition by "driver_id" order by _created_us desc nulls last, "last_at" desc nulls last, "rates" desc nulls last, "trips" desc nulls last, list_transform("rates", lambda x: not signbit(x)) desc nulls last) as _place,
  min(struct_pack(c0 := "last_at", c1 := "rates", c2 := "trips")) over peers
    is distinct from max(struct_pack(c0 := "last_at", c1 := "rates", c2 := "trips")) over peers as _is_ambiguous
from (
select f.*
from (
select "driver_id", "trips", "rates", "last_at", _event_us, _created_us, _file + 0 as _file, _file_row
from (
select
  cast("driver_id" as bigint) as "driver_id",
  cast("n_trips" as bigint) as "trips",
  cast("rates" as float[]) as "rates",
  make_timestamptz(((epoch_us(coalesce("last_at", cast(null as timestamp))) - ((epoch_us(coalesce("last_at", cast(null as timestamp))) % 1000000) + 1000000) % 1000000) // 1000000) * 1000000) as "last_at",
  epoch_us("event_timestamp") as _event_us,
  epoch_us("created") as _created_us,
  file_index::bigint as _file,
  file_row_number::bigint as _file_row
from read_parquet(['/data/trips/a.parquet'], union_by_name = true, hive_partitioning = false)
where "event_timestamp" >= '1969-12-31 23:59:58.999995+00:00' and "event_timestamp" <= '1970-01-02 00:00:01+00:00'
)
where _event_us >= -5 and _event_us <= 86400000000 and "driver_id" is not null
union all
select "driver_id", "trips", "rates", "last_at", _event_us, _created_us, _file + 1 as _file, _file_row
from (
select
  cast("driver_id" as bigint) as "driver_id",
  cast("n_trips" as bigint) as "trips",
  cast("rates" as float[]) as "rates",
  make_timestamptz(((epoch_us(coalesce("last_at", cast(null as timestamp))) - ((epoch_us(coalesce("last_at", cast(null as timestamp))) % 1000000) + 1000000) % 1000000) // 1000000) * 1000000) as "last_at",
  epoch_us("event_timestamp") as _event_us,
  epoch_us("created") as _created_us,
  file_index::bigint as _file,
  file_row_number::bigint as _file_row
from read_parquet(['/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false)
where "event_timestamp" <= '1970-01-02 00:00:01+00:00'
)
where (_event_us >= 10000000 or _created_us > 7000000) and _event_us <= 86400000000 and "driver_id" is not null
) f
join same t on f."driver_id" = t."driver_id" and f._event_us = t._event_us and t._is_tied
)
window peers as (partition by "driver_id", _created_us)
)
where _place = 1
