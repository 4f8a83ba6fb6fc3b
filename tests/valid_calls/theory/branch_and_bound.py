"""Valid calls of theory.branch_and_bound."""

CALLS = {"Limits": {"max_boxes": 100, "max_depth": 20, "precision": 64, "seed": 0}}
ACCEPTED = {
    ("Limits", "seed", "zero"): "a seed",
    ("Limits", "max_depth", "zero"): "the box is not split",
}
TRUSTED = dict.fromkeys(
    ("search", "verified_violation", "Certificate"),
    "a step of certify_nonnegative, which has checked its arguments before",
)
