"""Valid calls of theory.certificates."""

import sympy as sp

_X = sp.Symbol("x")

CALLS = {
    "certify_nonnegative": {
        "f": _X**2, "variables": (_X,), "box": ((-1, 1),), "max_boxes": 100, "max_depth": 20, "precision": 64, "seed": 0,
    },
    "certify_convex": {"f": _X**2, "variable": _X, "box": ((-1, 1),)},
    "certify_monotone": {"f": _X**3, "variable": _X, "box": ((0, 1),)},
    "certify_weighted_derivative": {"f": _X**2, "variable": _X, "at": 0, "weight": sp.Integer(1), "box": ((0, 1),), "order": 1},
    "substitute_endpoint": {"f": _X**2, "variable": _X, "end": 0, "power": 2, "width": 1},
    "vanishing_order": {"f": _X**2, "variable": _X, "at": 0},
}  # fmt: skip
ACCEPTED = {
    ("certify_nonnegative", "max_depth", "zero"): "the box is not split",
    ("certify_nonnegative", "seed", "zero"): "a seed",
    ("certify_weighted_derivative", "at", "zero"): "an end of the box",
    ("substitute_endpoint", "end", "zero"): "any end",
    ("substitute_endpoint", "end", "negative"): "any end",
    ("substitute_endpoint", "end", "fractional"): "any end",
    ("substitute_endpoint", "width", "negative"): "the box may lie on either side of its end",
    ("substitute_endpoint", "width", "fractional"): "any width",
    ("vanishing_order", "at", "zero"): "any point",
    ("vanishing_order", "at", "negative"): "any point",
    ("vanishing_order", "at", "fractional"): "any point",
}
