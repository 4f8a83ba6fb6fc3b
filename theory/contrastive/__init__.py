"""Contrastive and metric learning: closed forms, identities and bounds."""
