"""Densities: experiments."""
