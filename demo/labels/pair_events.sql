-- Sales and cancellations of every (customer, product) that has a cancellation, in the order in
-- which `match_cancellations` takes them: pair by pair, in time; at the same instant sales first,
-- then by invoice number (a longer number is the greater) and quantity, so that the order is total
-- up to lines that are alike.
with cancellations as (
    select *
    from product_lines
    where is_cancellation
),

events as (
    select
        customer_id,
        stock_code,
        sold_at as happened_at,
        invoice_no,
        quantity,
        row_idx
    from checkout_lines
    semi join cancellations
        on checkout_lines.customer_id = cancellations.customer_id
        and checkout_lines.stock_code = cancellations.stock_code
    union all
    select
        customer_id,
        stock_code,
        happened_at,
        invoice_no,
        quantity,
        null as row_idx
    from cancellations
)

select
    dense_rank() over (order by customer_id, stock_code) as pair,
    epoch_us(happened_at) as happened_us,
    quantity,
    coalesce(row_idx, -1) as row_idx
from events
order by pair, happened_us, quantity < 0, length(invoice_no), invoice_no, quantity
