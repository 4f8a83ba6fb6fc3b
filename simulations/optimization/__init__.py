"""Optimisation: experiments."""
