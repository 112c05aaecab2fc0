"""The versioned golden set: drawn once, kept as a file, reviewed like code."""
