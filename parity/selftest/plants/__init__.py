"""The faults that are planted, one module for each family."""
