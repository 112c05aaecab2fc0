"""What a gateway tells about itself: metrics that hold for all workers, and log lines."""
