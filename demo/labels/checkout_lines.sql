-- One row for each product on each sale invoice of a customer, in the order they are written out.
--
-- Lines of one invoice with the same product are one row: their quantities are summed, and the unit
-- price is their value over their quantity, divided as whole ten-thousandths of a pound (the
-- precision of a price; halves go up) and only then made a double. So a product entered at one price
-- has exactly that price. The basket is the whole invoice, because the till knows it. The row stands
-- at the first minute of its invoice for that customer.
create temp table checkout_lines as
with sales as (
    select
        customer_id,
        invoice_no,
        stock_code,
        happened_at,
        quantity,
        unit_price * quantity as line_value
    from product_lines
    where not is_cancellation
),

invoices as (
    select
        customer_id,
        invoice_no,
        min(happened_at) as sold_at,
        sum(line_value) as basket_value
    from sales
    group by customer_id, invoice_no
),

products as (
    select
        customer_id,
        invoice_no,
        stock_code,
        cast(sum(quantity) as hugeint) as quantity,
        cast(sum(line_value) * 10000 as hugeint) as value_e4
    from sales
    group by customer_id, invoice_no, stock_code
)

select
    row_number() over (
        order by sold_at, products.customer_id, stock_code, length(products.invoice_no),
            products.invoice_no
    ) - 1 as row_idx,
    products.customer_id,
    stock_code,
    products.invoice_no,
    sold_at,
    cast(quantity as bigint) as quantity,
    cast((2 * value_e4 + quantity) // (2 * quantity) as double) / 10000 as unit_price,
    cast(basket_value as double) as basket_value
from products
inner join invoices
    on products.customer_id = invoices.customer_id and products.invoice_no = invoices.invoice_no
