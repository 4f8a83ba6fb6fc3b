"""Unlearning: figures."""
