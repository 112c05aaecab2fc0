create table "entities_0" as
select *, row_number() over () - 1 as _entity
from (
  select distinct "the driver" as "driver_id", "select" as "trips_at"
  from "entity_rows_0"
  where "the driver" is not null and "select" is not null
)
