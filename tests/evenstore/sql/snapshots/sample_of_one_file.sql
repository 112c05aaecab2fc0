with entity_counts as (
  select "the driver" as "driver_id", count(*) as n
  from "entity_rows_0"
  where hash("the driver") % 8 = 0
  group by all
),
feature_rows as (
(
select * from (
select
  cast("driver_id" as bigint) as "driver_id",
  epoch_us("event_timestamp") as _event_us,
  epoch_us("created") as _created_us,
  file_index::bigint as _file,
  file_row_number::bigint as _file_row
from read_parquet(['/data/trips/a.parquet'], union_by_name = true, hive_partitioning = false)
) where _file_row between 0 and 9999
)
  union all
(
select * from (
select
  cast("driver_id" as bigint) as "driver_id",
  epoch_us("event_timestamp") as _event_us,
  epoch_us("created") as _created_us,
  file_index::bigint as _file,
  file_row_number::bigint as _file_row
from read_parquet(['/data/trips/a.parquet'], union_by_name = true, hive_partitioning = false)
) where _file_row between 122880 and 132879
)
)
select count(*), coalesce(sum(n), 0)::bigint
from feature_rows f
join entity_counts using ("driver_id")
