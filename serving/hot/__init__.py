"""The lookup route of Feast's form, below the web framework: as little between socket and Redis."""
