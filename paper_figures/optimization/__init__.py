"""Optimisation: figures."""
