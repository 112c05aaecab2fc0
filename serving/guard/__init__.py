"""Who may ask, and how much at once: API keys, admission, request ids, slow or huge requests."""
