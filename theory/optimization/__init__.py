"""Optimisation: gradient methods, their bounds and the instances that attain them."""
