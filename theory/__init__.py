"""Analytical results of the papers: bounds, transforms, estimators and algorithms with guarantees, in numpy."""
