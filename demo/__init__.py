"""The walk-through on a clone: shop data and every step, as a user would run it."""
