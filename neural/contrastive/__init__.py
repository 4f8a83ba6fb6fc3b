"""Contrastive and metric learning: losses, and the small harness that trains and evaluates with them."""
