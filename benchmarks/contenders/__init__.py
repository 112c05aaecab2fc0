"""What is measured: one module per way of getting the answer."""
