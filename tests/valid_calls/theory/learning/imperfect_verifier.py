"""Valid calls of theory.learning.imperfect_verifier."""

CALLS = {"minimum_weak_accuracy": {"s": 0.75, "r_strong": 0.8}}
