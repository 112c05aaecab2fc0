"""A week in the life of a shop, on stock Feast and on evenstore side by side."""
