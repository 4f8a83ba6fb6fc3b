"""Contrastive and metric learning: experiments."""
