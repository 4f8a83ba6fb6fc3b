"""Densities: what likelihoods, scores and auto-encoders say of a distribution, exactly."""
