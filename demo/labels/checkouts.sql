-- One row for each sale invoice of a customer, with the label "buys again within 60 days".
--
-- A sale is what customer_activity.sql counts as one: a customer, a product code, a positive quantity
-- and price, no cancellation, exact duplicates once. The row stands at the first minute of its
-- invoice; the basket is the whole invoice, because the till knows it. Only invoices after that
-- minute and up to exactly `$label_days` later count for the label.
with sales as (
    select distinct
        InvoiceNo as invoice_no,
        upper(trim(StockCode)) as stock_code,
        Description as description,
        Quantity as quantity,
        InvoiceDate as sold_at,
        cast(UnitPrice as decimal(18, 4)) * Quantity as line_value,
        CustomerID as customer_id,
        Country as country
    from shop_lines
    where
        CustomerID is not null
        and left(InvoiceNo, 1) <> 'C'
        and regexp_matches(StockCode, '^\s*[0-9]{5}')
        and Quantity > 0
        and UnitPrice > 0
        and InvoiceDate <= $data_end
),

invoices as (
    select
        customer_id,
        invoice_no,
        min(sold_at) as sold_at,
        sum(line_value) as basket_value,
        first(stock_code order by line_value desc, stock_code) as stock_code
    from sales
    group by customer_id, invoice_no
),

-- Two invoices in the same minute are one visit: neither is the other's next.
visits as (
    select
        customer_id,
        sold_at,
        lead(sold_at) over (partition by customer_id order by sold_at) as next_sold_at
    from invoices
    group by customer_id, sold_at
)

select
    invoices.customer_id,
    stock_code,
    cast(invoices.sold_at as timestamptz) as event_timestamp,
    cast(basket_value as double) as basket_value,
    coalesce(next_sold_at <= invoices.sold_at + to_days($label_days), false) as buys_again_60d,
    cast(invoices.sold_at + to_days($label_days) as timestamptz) as label_timestamp
from invoices
inner join visits
    on invoices.customer_id = visits.customer_id and invoices.sold_at = visits.sold_at
order by event_timestamp, invoices.customer_id, invoice_no
