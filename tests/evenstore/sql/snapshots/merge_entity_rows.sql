select e._row_idx, k._entity
from "entity_rows_0" e
join "entities_0" k on k."driver_id" = e."the driver" and k."trips_at" = e."select"
