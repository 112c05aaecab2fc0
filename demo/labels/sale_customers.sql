-- Every customer with a sale, for the strata of the golden rows.
select
    customer_id,
    count(distinct invoice_no) as n_orders,
    epoch_us(max(happened_at)) as last_sold_us
from product_lines
where not is_cancellation
group by customer_id
order by customer_id
