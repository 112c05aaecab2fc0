"""The side index: feature rows in the joins' own order, memory-mapped and searched in place."""
