"""Classification: figures."""
