"""Densities: networks that learn a distribution, its score or its samples."""
