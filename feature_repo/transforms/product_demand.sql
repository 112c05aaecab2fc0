-- name: product_demand
-- version: 2
-- description: How much of a product was sold, to how many, at what price, in the last day, week and month.
-- join keys: stock_code
-- source: shop_lines by InvoiceDate
-- window end: hour
-- look back: 31 days
-- publication delay: 30 minutes

-- One row for each product and hour in which it was sold or returned, and one at midnight, which lets
-- the windows of a product that is not touched run out. All windows end, exclusively, with the hour.
-- A product that was not sold for 30 days has no row.
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
        date_trunc('hour', InvoiceDate) + interval 1 hour as hour_end,
        cast(UnitPrice as decimal(18, 4)) as unit_price,
        CustomerID as customer_id,
        Country as country,
        left(InvoiceNo, 1) = 'C' as is_cancellation
    from shop_lines
    where
        regexp_matches(StockCode, '^\s*[0-9]{5}')
        and UnitPrice > 0
),

-- An invoice whose lines fall on two hours counts in both: taking its later lines back to the first
-- hour would put them before they happened.
traded as (
    select
        stock_code,
        hour_end,
        true as is_asked,
        count(distinct invoice_no) filter (where not is_cancellation) as n_orders,
        sum(quantity) filter (where not is_cancellation) as n_units,
        sum(quantity * unit_price) filter (where not is_cancellation) as revenue,
        sum(-quantity) filter (where is_cancellation) as n_returned,
        max(happened_at) filter (where not is_cancellation) as last_sold_at
    from product_lines
    where is_cancellation = (quantity < 0) and quantity <> 0
    group by stock_code, hour_end
),

midnights as (
    select
        products.stock_code,
        unnest(generate_series(
            cast($first_day as timestamp) + interval 1 day,
            cast($last_day as timestamp) + interval 1 day,
            interval 1 day
        )) as hour_end,
        true as is_asked
    from (select distinct stock_code from traded) as products
),

-- Distinct buyers without counting them anew for each hour: a purchase adds its customer to the
-- window and takes them out after 7 days, unless they buy again before. Where they do, the -1 of the
-- first and the +1 of the second purchase meet in the same hour.
buyer_hours as (
    select distinct
        stock_code,
        customer_id,
        hour_end
    from product_lines
    where
        customer_id is not null
        and not is_cancellation
        and quantity > 0
),

buyers as (
    select
        stock_code,
        hour_end,
        false as is_asked,
        1 as buyer_change
    from buyer_hours
    union all
    select
        stock_code,
        least(hour_end + interval 7 days, coalesce(
            lead(hour_end) over (partition by stock_code, customer_id order by hour_end),
            hour_end + interval 7 days
        )) as hour_end,
        false as is_asked,
        -1 as buyer_change
    from buyer_hours
),

hours as (
    select
        stock_code,
        hour_end,
        bool_or(is_asked) as is_asked,
        sum(n_orders) as n_orders,
        sum(n_units) as n_units,
        sum(revenue) as revenue,
        sum(n_returned) as n_returned,
        max(last_sold_at) as last_sold_at,
        sum(buyer_change) as buyer_change
    from (
        select * from traded
        union all by name
        select * from midnights
        union all by name
        select * from buyers
    )
    group by stock_code, hour_end
),

demand as (
    select
        stock_code,
        hour_end,
        is_asked,
        sum(n_units) over last_day as units_24h,
        sum(n_units) over last_week as units_7d,
        sum(n_units) over last_month as units_30d,
        sum(n_orders) over last_week as orders_7d,
        sum(buyer_change) over so_far as buyers_7d,
        sum(revenue) over last_month as revenue_30d,
        sum(n_returned) over last_month as returned_30d,
        max(last_sold_at) over last_month as last_sold_at
    from hours
    window
        so_far as (partition by stock_code order by hour_end),
        last_day as (
            partition by stock_code order by hour_end
            range between interval 23 hours preceding and current row
        ),
        last_week as (
            partition by stock_code order by hour_end
            range between interval 167 hours preceding and current row
        ),
        last_month as (
            partition by stock_code order by hour_end
            range between interval 719 hours preceding and current row
        )
)

select
    stock_code,
    hour_end as window_end,
    cast(coalesce(units_24h, 0) as bigint) as units_24h,
    cast(coalesce(units_7d, 0) as bigint) as units_7d,
    cast(units_30d as bigint) as units_30d,
    cast(coalesce(orders_7d, 0) as bigint) as orders_7d,
    cast(coalesce(buyers_7d, 0) as bigint) as buyers_7d,
    cast(revenue_30d as double) as revenue_30d,
    cast(revenue_30d as double) / cast(units_30d as double) as avg_unit_price_30d,
    cast(cast(coalesce(returned_30d, 0) as double)
        / cast(units_30d as double) as float) as return_rate_30d,
    last_sold_at
from demand
where
    is_asked
    and units_30d > 0
    and hour_end > cast($first_day as timestamp)
    and hour_end <= cast($last_day as timestamp) + interval 1 day
