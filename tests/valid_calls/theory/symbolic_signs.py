"""Valid calls of theory.symbolic_signs."""

TRUSTED = dict.fromkeys(
    ("differentiate", "is_identically_zero", "positive_factors", "sign_inside", "singular_part", "split_arguments", "without_signed_factors"),
    "a step of certify_nonnegative, which has checked expressions and boxes before",
)  # fmt: skip
