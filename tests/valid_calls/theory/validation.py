"""Valid calls of theory.validation."""

TRUSTED = dict.fromkeys(
    ("at_least", "class_labels", "finite_array", "in_range", "one_of", "positive", "probabilities", "same_shape", "whole_number"),
    "a check itself: every refusal in this table is one of them",
)  # fmt: skip
