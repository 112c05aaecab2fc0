with tied as (
select * from "tied_rows"
),
placed as (
  select
    _row_idx,
    _row,
    row_number() over (partition by _row_idx order by content_0 desc nulls last, content_1 desc nulls last, content_2 desc nulls last, list_transform(content_1, lambda x: not signbit(x)) desc nulls last) as _place
  from tied
)
select _row_idx, _row
from placed
where _place = 1
