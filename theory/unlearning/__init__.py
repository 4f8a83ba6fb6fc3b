"""Unlearning: how fast knowledge leaves, and how to tell that it was there, exactly."""
