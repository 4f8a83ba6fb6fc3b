"""Valid calls of theory.ball_arithmetic."""

_STEP = "a step of certify_nonnegative, which has checked expressions, boxes and limits before"

CALLS = {"exact_fraction": {"number": 0.5, "name": "number"}}
ACCEPTED = {
    ("exact_fraction", "number", "negative"): "any finite rational number has its exact value",
    ("exact_fraction", "name", "unknown"): "the name in the message is any text",
}
TRUSTED = dict.fromkeys(("StraightLineProgram", "ball", "check_expression", "working_precision", "xlogx"), _STEP)
