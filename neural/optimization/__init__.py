"""Optimisation: training procedures to take into a loop of one's own."""
