"""Contrastive and metric learning: figures."""
