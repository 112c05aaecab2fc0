with feature_rows as (
select
  cast("driver_id" as bigint) as "driver_id",
  cast("n_trips" as bigint) as "trips",
  epoch_us("event_timestamp") as _event_us,
  epoch_us("created") as _created_us,
  file_index::bigint as _file,
  file_row_number::bigint as _file_row
from read_parquet(['/data/trips/a.parquet'], union_by_name = true, hive_partitioning = false)
where "event_timestamp" >= '1969-12-31 23:59:59+00:00' and "event_timestamp" <= '1970-01-02 00:00:01+00:00'
)
select
  w._row_idx,
  w._event_us,
  f."trips"
from "winners_0" w
join feature_rows f on f._file_row = w._file_row
order by w._row_idx
