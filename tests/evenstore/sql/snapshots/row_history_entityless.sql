with feature_rows as (
select
  cast("n_trips" as bigint) as "trips",
  cast("rates" as float[]) as "rates",
  make_timestamptz(((((epoch_ns("last_at") - ((epoch_ns("last_at") % 1000) + 1000) % 1000) // 1000) - ((((epoch_ns("last_at") - ((epoch_ns("last_at") % 1000) + 1000) % 1000) // 1000) % 1000000) + 1000000) % 1000000) // 1000000) * 1000000) as "last_at",
  ((epoch_ns("event_timestamp") - ((epoch_ns("event_timestamp") % 1000) + 1000) % 1000) // 1000) as _event_us,
  cast(null as bigint) as _created_us,
  file_index::bigint as _file,
  file_row_number::bigint as _file_row
from read_parquet(['/data/trips/a.parquet', '/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false)
),
near as (
  select
    a._row_idx, f."trips", f."rates", f."last_at", f._event_us, f._created_us, f._file, f._file_row,
    count(*) over (partition by a._row_idx) as _n_rows,
    row_number() over (partition by a._row_idx, f._event_us <= a._as_of_us order by abs(f._event_us - a._as_of_us), f._created_us desc nulls last, "last_at" desc nulls last, "rates" desc nulls last, "trips" desc nulls last, list_transform("rates", lambda x: not signbit(x)) desc nulls last) as _place
  from "asked" a
  join feature_rows f on true
  where f._event_us is not null
)
select * exclude (_place)
from near
where _place <= 1
order by _row_idx, _event_us desc, _created_us desc nulls last, _place
