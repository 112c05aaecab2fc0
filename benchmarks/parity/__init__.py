"""How fast parity is: full, live and golden."""
