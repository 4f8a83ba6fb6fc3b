"""Valid calls of theory.interval_expressions."""

TRUSTED = dict.fromkeys(
    ("BallExpression", "BallFunction", "BallSeries", "ZeroFace", "ball_expression"),
    "what certify_nonnegative works on, made by it from checked expressions and boxes",
)
