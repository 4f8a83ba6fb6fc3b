"""Valid calls of neural.validation."""

TRUSTED = dict.fromkeys(
    ("at_least", "class_indices", "class_logits", "finite_contents", "floating", "in_range",
        "indices", "one_of", "positive", "reduce", "target_logps", "target_weights", "whole_number"),
    "a check itself: every refusal in this table is one of them",
)  # fmt: skip
