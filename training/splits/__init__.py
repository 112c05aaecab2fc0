"""Which rows train and which test: by time, by time several times over, by group."""
