"""Shop data: the real set read from its files, or a seeded likeness of it."""
