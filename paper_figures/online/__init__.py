"""Online learning: figures."""
