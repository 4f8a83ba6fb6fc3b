"""Valid calls of theory.learning.moment_matching."""

import numpy as np

_X = np.random.default_rng(0).normal(size=(30, 2))

CALLS = {
    "gaussian_moments": {"exponents": np.array([[2, 0], [1, 1]])},
    "moment_matching_test": {"X": _X, "degree": 2, "tol": 0.5},
    "monomial_exponents": {"dim": 2, "degree": 3},
    "trimmed_moment_distance": {"X": _X, "degree": 2, "trim": 0.1, "gamma": 1.0, "beta": 1.5, "seed": 1},
}
ACCEPTED = {("trimmed_moment_distance", "seed", "zero"): "a seed may be 0"}
