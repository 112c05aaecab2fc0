"""What callers of stock Feast's server may depend on, restored for a migration."""
