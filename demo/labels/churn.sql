-- One row for each night and each customer who has bought before it, with the label "buys within
-- `$label_days` days".
--
-- Before means before: a sale at the very instant of the night makes nobody a customer, and is not
-- in the label either, which counts sales after the night up to exactly `$label_days` later.
with nights as (
    select unnest(generate_series(
        cast($first_night as timestamp), cast($data_end as timestamp), interval 7 day
    )) as night
),

sales as (
    select distinct
        customer_id,
        happened_at as sold_at
    from product_lines
    where not is_cancellation
),

customers as (
    select
        customer_id,
        min(sold_at) as first_sold_at
    from sales
    group by customer_id
),

customer_nights as (
    select
        night,
        customer_id
    from nights
    inner join customers
        on first_sold_at < night
)

select
    customer_nights.customer_id,
    cast(night as timestamptz) as event_timestamp,
    coalesce(sold_at <= night + to_days($label_days), false) as buys_within_60d,
    cast(night + to_days($label_days) as timestamptz) as label_timestamp
from customer_nights
asof left join sales
    on customer_nights.customer_id = sales.customer_id and night < sold_at
order by event_timestamp, customer_nights.customer_id
