create table known_rows as
select s."driver_id", s."n_trips", s."rates", s."last_at", s."event_timestamp", s."created", k._available_us
from read_parquet(['/data/trips/a.parquet', '/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false) s
join known_places k on s.file_index = k._file and s.file_row_number = k._file_row
where k._available_us is not null
