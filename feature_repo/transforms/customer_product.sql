-- name: customer_product
-- version: 1
-- description: What one customer bought and returned of one product, so far.
-- join keys: customer_id, stock_code
-- source: shop_lines by InvoiceDate
-- window end: day
-- look back: forever
-- publication delay: 2 hours

-- One row for each customer, product and day on which the customer bought or returned the product,
-- over all that went before. A pair that was never bought has no row, also when it was returned: its
-- purchase lies before the data begin.
--
-- Dirt in the raw lines, and what is done about it:
--   exact duplicates      counted once
--   no customer (25 %)    left out: nobody to describe
--   service codes         left out: a product code begins with five digits
--   lower-case codes      the same product as in capitals
--   price <= 0            no sale (gifts, stock corrections)
--   quantity <= 0         no sale unless it is a cancellation
with product_lines as (
    select distinct
        InvoiceNo as invoice_no,
        upper(trim(StockCode)) as stock_code,
        Description as description,
        cast(Quantity as bigint) as quantity,
        InvoiceDate as happened_at,
        cast(InvoiceDate as date) as day,
        cast(UnitPrice as decimal(18, 4)) as unit_price,
        CustomerID as customer_id,
        Country as country,
        left(InvoiceNo, 1) = 'C' as is_cancellation
    from shop_lines
    where
        CustomerID is not null
        and regexp_matches(StockCode, '^\s*[0-9]{5}')
        and UnitPrice > 0
),

-- A run of one day must not add up every pair's history.
asked as (
    select distinct
        customer_id,
        stock_code
    from product_lines
    where day between $first_day and $last_day
),

changes as (
    select
        customer_id,
        stock_code,
        day,
        count(distinct invoice_no) filter (where not is_cancellation) as n_orders,
        sum(quantity) filter (where not is_cancellation) as n_bought,
        sum(-quantity) filter (where is_cancellation) as n_returned,
        max(happened_at) filter (where not is_cancellation) as last_bought_at,
        last(unit_price order by happened_at, invoice_no, unit_price)
            filter (where not is_cancellation) as unit_price
    from product_lines
    semi join asked using (customer_id, stock_code)
    where is_cancellation = (quantity < 0) and quantity <> 0
    group by customer_id, stock_code, day
),

histories as (
    select
        customer_id,
        stock_code,
        day,
        sum(n_orders) over so_far as times_bought,
        sum(n_bought) over so_far as units_bought,
        coalesce(sum(n_returned) over so_far, 0) as units_returned,
        max(last_bought_at) over so_far as last_bought_at,
        last_value(unit_price ignore nulls) over so_far as last_unit_price
    from changes
    window so_far as (partition by customer_id, stock_code order by day)
)

select
    customer_id,
    stock_code,
    cast(day + 1 as timestamp) as window_end,
    cast(times_bought as bigint) as times_bought,
    cast(units_bought as bigint) as units_bought,
    cast(units_returned as bigint) as units_returned,
    cast(cast(units_returned as double) / cast(units_bought as double) as float) as return_rate,
    cast(last_unit_price as double) as last_unit_price,
    last_bought_at,
    units_returned > 0 as was_returned
from histories
where
    day between $first_day and $last_day
    and times_bought > 0
