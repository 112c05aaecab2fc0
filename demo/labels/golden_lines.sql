-- The checkout lines as request data, in the order of their index.
select
    customer_id,
    stock_code,
    epoch_us(sold_at) as sold_us,
    quantity,
    unit_price,
    basket_value
from checkout_lines
order by row_idx
