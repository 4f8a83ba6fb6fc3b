"""Unlearning: objectives that take knowledge out of a network, and tests whether it is still there."""
