"""The report of a model: one page, its figures, all numbers."""
