"""Valid calls of theory.box_proofs."""

TRUSTED = dict.fromkeys(
    ("bisect", "float_below", "prove_box"), "a step of certify_nonnegative, which has checked its arguments before"
)
