-- name: customer_activity
-- version: 2
-- description: What a customer ordered, spent and returned in the last 7, 30 and 90 days.
-- join keys: customer_id
-- source: shop_lines by InvoiceDate
-- window end: day
-- look back: 90 days
-- publication delay: 2 hours

-- One row for each customer and day while the customer has bought in the last 90 days. The window of
-- a day ends, exclusively, at the next midnight: an invoice first counts on the morning after, so no
-- row holds the basket of the checkout that asks for it.
--
-- Dirt in the raw lines, and what is done about it:
--   exact duplicates      counted once
--   no customer (25 %)    left out: nobody to describe
--   service codes         left out (postage, manual entries, discounts, fees): a product code begins
--                         with five digits
--   lower-case codes      the same product as in capitals
--   price <= 0            no sale (gifts, stock corrections)
--   quantity <= 0         no sale unless it is a cancellation
--   C invoices            returns of what was bought before, whenever that was: the rate can exceed 1
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
        CustomerID is not null
        and regexp_matches(StockCode, '^\s*[0-9]{5}')
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
        customer_id,
        day,
        count(distinct invoice_no) as n_orders,
        count(*) as n_lines,
        sum(quantity) as n_units,
        sum(quantity * unit_price) as spend
    from sales
    group by customer_id, day
),

return_days as (
    select
        customer_id,
        day,
        sum(-quantity) as n_units
    from product_lines
    where
        is_cancellation
        and quantity < 0
    group by customer_id, day
),

days as (
    select cast(unnest(generate_series(
        cast($first_day as timestamp), cast($last_day as timestamp), interval 1 day
    )) as date) as day
),

bought as (
    select
        days.day,
        sale_days.customer_id,
        sum(n_orders) filter (where sale_days.day > days.day - 7) as orders_7d,
        sum(n_orders) filter (where sale_days.day > days.day - 30) as orders_30d,
        sum(n_orders) as orders_90d,
        sum(spend) filter (where sale_days.day > days.day - 7) as spend_7d,
        sum(spend) filter (where sale_days.day > days.day - 30) as spend_30d,
        sum(spend) as spend_90d,
        sum(n_units) as units_90d,
        sum(n_lines) as lines_90d,
        max(sale_days.day) as last_order_day
    from days
    inner join sale_days
        on sale_days.day between days.day - 89 and days.day
    group by days.day, sale_days.customer_id
),

returned as (
    select
        days.day,
        return_days.customer_id,
        sum(n_units) as units_90d
    from days
    inner join return_days
        on return_days.day between days.day - 89 and days.day
    group by days.day, return_days.customer_id
),

-- Distinct products without counting them anew for each day: a purchase adds its product to the
-- window that day and takes it out after 90 days, unless it is bought again before. Where it is, the
-- -1 of the first and the +1 of the second purchase meet on the same day. A change of 0 marks the
-- days that are asked for. (An ASOF join to the last change took ten times as long over a year.)
product_days as (
    select distinct
        customer_id,
        stock_code,
        day
    from sales
),

product_changes as (
    select
        customer_id,
        day,
        1 as change
    from product_days
    union all
    select
        customer_id,
        least(day + 90, coalesce(
            lead(day) over (partition by customer_id, stock_code order by day), day + 90
        )) as day,
        -1 as change
    from product_days
    union all
    select
        customer_id,
        day,
        0 as change
    from bought
),

product_counts as (
    select
        customer_id,
        day,
        sum(sum(change)) over (partition by customer_id order by day) as n_products
    from product_changes
    group by customer_id, day
)

select
    bought.customer_id,
    cast(bought.day + 1 as timestamp) as window_end,
    cast(coalesce(orders_7d, 0) as bigint) as orders_7d,
    cast(coalesce(orders_30d, 0) as bigint) as orders_30d,
    cast(orders_90d as bigint) as orders_90d,
    cast(coalesce(spend_7d, 0) as double) as spend_7d,
    cast(coalesce(spend_30d, 0) as double) as spend_30d,
    cast(spend_90d as double) as spend_90d,
    cast(spend_30d as double) / cast(orders_30d as double) as avg_basket_30d,
    cast(spend_90d as double) / cast(orders_90d as double) as avg_basket_90d,
    cast(cast(coalesce(returned.units_90d, 0) as double)
        / cast(bought.units_90d as double) as float) as return_rate_90d,
    cast(bought.day - last_order_day as bigint) as days_since_last_order,
    cast(product_counts.n_products as bigint) as distinct_products_90d,
    bought.units_90d >= 20 * lines_90d as is_wholesale
from bought
left join returned
    on bought.customer_id = returned.customer_id and bought.day = returned.day
inner join product_counts
    on bought.customer_id = product_counts.customer_id and bought.day = product_counts.day
