"""A worker's way to Redis: one pipelined connection, a deadline per request, a circuit breaker."""
