"""How Django writes times in its own pages."""
