"""Densities: figures."""
