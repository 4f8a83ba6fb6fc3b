"""Alignment: figures."""
