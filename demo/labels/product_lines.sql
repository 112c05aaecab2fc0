-- Sales and cancellations of products, each line once: what both models' labels are made from.
--
-- A sale is what customer_activity.sql counts as one: a customer, a product code (five digits first,
-- trimmed, in capitals), a positive quantity and price, no C invoice. A cancellation is a line of a
-- C invoice with a negative quantity and a positive price. Exact duplicates count once; gifts, stock
-- adjustments and service codes are neither. Lines after `$data_end` are not looked at.
create temp table product_lines as
with distinct_lines as (
    select distinct
        InvoiceNo as invoice_no,
        upper(trim(StockCode)) as stock_code,
        Description as description,
        cast(Quantity as bigint) as quantity,
        InvoiceDate as happened_at,
        cast(UnitPrice as decimal(18, 4)) as unit_price,
        CustomerID as customer_id,
        Country as country,
        left(InvoiceNo, 1) = 'C' as is_cancellation
    from shop_lines
    where
        CustomerID is not null
        and regexp_matches(StockCode, '^\s*[0-9]{5}')
        and UnitPrice > 0
        and InvoiceDate <= $data_end
)

select
    invoice_no,
    stock_code,
    quantity,
    happened_at,
    unit_price,
    customer_id,
    is_cancellation
from distinct_lines
where
    (is_cancellation and quantity < 0)
    or (not is_cancellation and quantity > 0)
