"""Why a differing cell differs: evidence, rules, one cause."""
