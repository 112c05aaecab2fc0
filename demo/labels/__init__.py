"""Entity rows and their labels, for the models of the shop."""
