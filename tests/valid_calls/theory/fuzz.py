"""Valid calls of theory.fuzz."""

import numpy as np

from theory.fuzz import Bound


def _sampler(rng, count):
    return {"x": rng.uniform(0, 1, count)}


_BOUND = {"lhs": lambda x: x**2, "rhs": lambda x: x, "sampler": _sampler}

INSTANCES = {"Bound": lambda: Bound("square", "calculus", **_BOUND)}
CALLS = {
    "bound_ratio": {"lhs": np.array([0.5]), "rhs": np.array([1.0]), "rounding": 1e-12},
    "check_bound": {**_BOUND, "instances": 1000, "seed": 0},
    "Bound.check": {"instances": 1000},
}
ACCEPTED = {
    ("bound_ratio", "lhs", "infinite"): "infinite sides are compared",
    ("bound_ratio", "rhs", "infinite"): "infinite sides are compared",
    ("check_bound", "seed", "zero"): "a seed",
}
