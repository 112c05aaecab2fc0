select file_index::bigint as _file, file_row_number::bigint as _file_row
from read_parquet(['/data/trips/a.parquet', '/data/trips/it''s.parquet'], union_by_name = true, hive_partitioning = false)
order by "driver_id" asc nulls last, "city ""code""" asc nulls last, "created" asc nulls last, file_index, file_row_number
