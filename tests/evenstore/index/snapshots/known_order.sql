select
  case when _created_us = -9223372036854775808 then 9223372036854775807 else greatest(_event_us, _created_us) end
    as _available_us,
  case when _created_us = -9223372036854775808 then -1 else _row end as _row
from "index_order"
order by _entity, _available_us, _row
