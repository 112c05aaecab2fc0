copy (
select "driver_id", "n_trips", "rates", "last_at", "event_timestamp", "created"
from known_rows
where _available_us > -5 and _available_us <= 10
) to '/out/it''s.parquet' (format parquet)
