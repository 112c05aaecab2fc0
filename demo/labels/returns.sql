-- The rows of checkout_lines in the order of their index; the label is added by the matching.
-- Whole invoices are drawn, by their number, so that a thinner set is the same every time.
select
    customer_id,
    stock_code,
    cast(sold_at as timestamptz) as event_timestamp,
    quantity,
    unit_price,
    basket_value,
    cast(sold_at + to_days($label_days) as timestamptz) as label_timestamp,
    coalesce(try_cast(invoice_no as bigint), 0) % $one_invoice_in = 0 as is_drawn
from checkout_lines
order by row_idx
