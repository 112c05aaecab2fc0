select
  n_rows,
  ((epoch_ns("min_event") - ((epoch_ns("min_event") % 1000) + 1000) % 1000) // 1000),
  ((epoch_ns("max_event") - ((epoch_ns("max_event") % 1000) + 1000) % 1000) // 1000),
  cast(null as bigint),
  cast(null as bigint)
from (
select
  count(*) as n_rows,
  min("event_timestamp") as min_event,
  max("event_timestamp") as max_event
from read_parquet(['/data/trips/a.parquet', '/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false)
)
