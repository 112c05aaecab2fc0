-- name: product_demand
-- version: 1
-- description: How much of a product was sold, to how many, at what price, in 1, 7 and 30 days.
-- join keys: stock_code
-- source: shop_lines by InvoiceDate
-- window end: day
-- look back: 90 days
-- publication delay: 30 minutes

-- One row for each product and day while the product was sold in the last 90 days; the window of a
-- day ends, exclusively, at the next midnight.
--
-- Dirt in the raw lines, and what is done about it:
--   exact duplicates      counted once
--   no customer (25 %)    counted: demand is demand; but nobody is added to the buyers
--   service codes         left out: a product code begins with five digits
--   lower-case codes      the same product as in capitals
--   price <= 0            no sale (gifts, stock corrections)
--   quantity <= 0         no sale unless it is a cancellation; stock adjustments are neither
--   C invoices            returns of what was sold before, whenever that was: the rate can exceed 1
-- Money is summed as decimals: a sum of doubles depends on the order of threads, and the same events
-- must give the same bytes.
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
        regexp_matches(StockCode, '^\s*[0-9]{5}')
        and UnitPrice > 0
),

sales as (
    select *
    from product_lines
    where
        not is_cancellation
        and quantity > 0
),

-- An invoice whose lines fall on two days, a minute apart at midnight, counts on both: taking its
-- later lines back to the first day would put them before they happened.
sale_days as (
    select
        stock_code,
        day,
        count(distinct invoice_no) as n_orders,
        sum(quantity) as n_units,
        sum(quantity * unit_price) as revenue,
        max(happened_at) as last_sold_at
    from sales
    group by stock_code, day
),

return_days as (
    select
        stock_code,
        day,
        sum(-quantity) as n_units
    from product_lines
    where
        is_cancellation
        and quantity < 0
    group by stock_code, day
),

days as (
    select cast(unnest(generate_series(
        cast($first_day as timestamp), cast($last_day as timestamp), interval 1 day
    )) as date) as day
),

sold as (
    select
        days.day,
        sale_days.stock_code,
        sum(n_units) filter (where sale_days.day = days.day) as units_1d,
        sum(n_units) filter (where sale_days.day > days.day - 7) as units_7d,
        sum(n_units) filter (where sale_days.day > days.day - 30) as units_30d,
        sum(n_orders) filter (where sale_days.day > days.day - 7) as orders_7d,
        sum(revenue) filter (where sale_days.day > days.day - 30) as revenue_30d,
        max(last_sold_at) as last_sold_at
    from days
    inner join sale_days
        on sale_days.day between days.day - 89 and days.day
    group by days.day, sale_days.stock_code
),

returned as (
    select
        days.day,
        return_days.stock_code,
        sum(n_units) as units_30d
    from days
    inner join return_days
        on return_days.day between days.day - 29 and days.day
    group by days.day, return_days.stock_code
),

-- Distinct buyers without counting them anew for each day: a purchase adds its customer to the
-- window that day and takes them out after 7 days, unless they buy again before. Where they do, the
-- -1 of the first and the +1 of the second purchase meet on the same day. A change of 0 marks the
-- days that are asked for. (An ASOF join to the last change took ten times as long over a year.)
buyer_days as (
    select distinct
        stock_code,
        customer_id,
        day
    from sales
    where customer_id is not null
),

buyer_changes as (
    select
        stock_code,
        day,
        1 as change
    from buyer_days
    union all
    select
        stock_code,
        least(day + 7, coalesce(
            lead(day) over (partition by stock_code, customer_id order by day), day + 7
        )) as day,
        -1 as change
    from buyer_days
    union all
    select
        stock_code,
        day,
        0 as change
    from sold
),

buyer_counts as (
    select
        stock_code,
        day,
        sum(sum(change)) over (partition by stock_code order by day) as n_buyers
    from buyer_changes
    group by stock_code, day
)

select
    sold.stock_code,
    cast(sold.day + 1 as timestamp) as window_end,
    cast(coalesce(units_1d, 0) as bigint) as units_1d,
    cast(coalesce(units_7d, 0) as bigint) as units_7d,
    cast(coalesce(sold.units_30d, 0) as bigint) as units_30d,
    cast(coalesce(orders_7d, 0) as bigint) as orders_7d,
    cast(buyer_counts.n_buyers as bigint) as buyers_7d,
    cast(coalesce(revenue_30d, 0) as double) as revenue_30d,
    cast(revenue_30d as double) / cast(sold.units_30d as double) as avg_unit_price_30d,
    cast(cast(coalesce(returned.units_30d, 0) as double)
        / cast(sold.units_30d as double) as float) as return_rate_30d,
    last_sold_at
from sold
left join returned
    on sold.stock_code = returned.stock_code and sold.day = returned.day
inner join buyer_counts
    on sold.stock_code = buyer_counts.stock_code and sold.day = buyer_counts.day
