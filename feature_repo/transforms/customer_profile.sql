-- name: customer_profile
-- version: 1
-- description: Who a customer is, as far as their orders tell: country, first and last order, favourites.
-- join keys: customer_id
-- source: shop_lines by InvoiceDate
-- window end: day
-- look back: forever
-- publication delay: 2 hours

-- One row for each customer and day on which they bought or returned something, over all that went
-- before; on other days nothing changes, so nothing is written and the newest row stays valid.
-- The country is that of the newest order until then: a customer who moves keeps the old country in
-- every row before. A customer who never bought has no row.
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

sales as (
    select *
    from product_lines
    where
        not is_cancellation
        and quantity > 0
),

-- A run of one day must not add up every customer's history.
due as (
    select distinct customer_id
    from product_lines
    where day between $first_day and $last_day
),

changes as (
    select
        customer_id,
        day,
        count(distinct invoice_no) filter (where not is_cancellation) as n_orders,
        sum(quantity * unit_price) filter (where not is_cancellation) as spend,
        min(happened_at) filter (where not is_cancellation) as first_order_at,
        max(happened_at) filter (where not is_cancellation) as last_order_at,
        last(country order by happened_at, invoice_no, country)
            filter (where not is_cancellation) as country,
        bool_or(is_cancellation) as has_returned
    from product_lines
    semi join due using (customer_id)
    where is_cancellation = (quantity < 0) and quantity <> 0
    group by customer_id, day
),

profiles as (
    select
        customer_id,
        day,
        sum(n_orders) over so_far as lifetime_orders,
        sum(spend) over so_far as lifetime_spend,
        min(first_order_at) over so_far as first_order_at,
        max(last_order_at) over so_far as last_order_at,
        last_value(country ignore nulls) over so_far as country,
        bool_or(has_returned) over so_far as has_returned
    from changes
    window so_far as (partition by customer_id order by day)
),

-- How often each product was ordered before the end of each asked day: the five most frequent are
-- the favourites; ties go to the smaller code, so that the same events give the same list.
product_orders as (
    select
        customer_id,
        stock_code,
        day,
        count(distinct invoice_no) as n_orders
    from sales
    semi join due using (customer_id)
    group by customer_id, stock_code, day
),

asked as (
    select *
    from profiles
    where
        day between $first_day and $last_day
        and lifetime_orders > 0
),

product_counts as (
    select
        asked.customer_id,
        asked.day,
        product_orders.stock_code,
        sum(product_orders.n_orders) as n_orders
    from asked
    inner join product_orders
        on
            asked.customer_id = product_orders.customer_id
            and product_orders.day <= asked.day
    group by asked.customer_id, asked.day, product_orders.stock_code
    qualify row_number() over (
        partition by asked.customer_id, asked.day
        order by sum(product_orders.n_orders) desc, product_orders.stock_code
    ) <= 5
),

favourites as (
    select
        customer_id,
        day,
        list(stock_code order by n_orders desc, stock_code) as products
    from product_counts
    group by customer_id, day
)

select
    asked.customer_id,
    cast(asked.day + 1 as timestamp) as window_end,
    country,
    first_order_at,
    last_order_at,
    cast(lifetime_orders as bigint) as lifetime_orders,
    cast(lifetime_spend as double) as lifetime_spend,
    has_returned,
    favourites.products as favourite_products
from asked
inner join favourites
    on asked.customer_id = favourites.customer_id and asked.day = favourites.day
