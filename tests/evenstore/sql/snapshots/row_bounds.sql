select
  n_rows,
  epoch_us("min_event"),
  epoch_us("max_event"),
  epoch_us("min_created"),
  epoch_us("max_created")
from (
select
  count(*) as n_rows,
  min("event_timestamp") as min_event,
  max("event_timestamp") as max_event,
  min("created") as min_created,
  max("created") as max_created
from read_parquet(['/data/trips/a.parquet', '/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false)
)
