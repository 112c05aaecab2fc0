select sum(n)::bigint
from (
select count(*) as n
from (
select
  cast("driver_id" as bigint) as "driver_id",
  epoch_us("event_timestamp") as _event_us,
  epoch_us("created") as _created_us
from read_parquet(['/data/trips/a.parquet'], union_by_name = true, hive_partitioning = false)
)
where _event_us is null or (_event_us >= -5 and _event_us <= 86400000000 and ("driver_id" is null))
union all
select count(*) as n
from (
select
  cast("driver_id" as bigint) as "driver_id",
  epoch_us("event_timestamp") as _event_us,
  epoch_us("created") as _created_us
from read_parquet(['/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false)
)
where ((_event_us >= 10000000 or _created_us > 7000000) and _event_us <= 86400000000 and ("driver_id" is null))
)
