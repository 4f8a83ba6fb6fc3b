"""Valid calls of theory.learning.inductive_bias."""

import numpy as np

from theory.learning.inductive_bias import rbf_kernel

_RNG = np.random.default_rng(0)
_X, _Z, _Y = _RNG.standard_normal((5, 2)), _RNG.standard_normal((4, 2)), _RNG.standard_normal(5)
CALLS = {
    "counting_failure_bound": {"N": 100, "I": 2.0, "eta": 0.3},
    "gp_error_law": {"mean": np.zeros(3), "cov": np.diag([1.0, 2.0, 3.0]), "y_te": np.ones(3)},
    "gp_posterior": {"X_tr": _X, "y_tr": _Y, "X_te": _Z, "kernel": rbf_kernel, "jitter": 1e-6},
    "inductive_bias": {
        "errors": _RNG.chisquare(9, 40), "eps": 2.0, "method": "moments", "fallback": "series", "resamples": 5,
        "seed": 1,
    },
    "mc_samples_needed": {"I": 2.0, "eta": 0.3, "delta": 0.1},
    "pooled_inductive_bias": {"log_probabilities": np.array([-1.0, -2.0, -0.5])},
    "rbf_kernel": {"X": _X, "Z": _Z, "length_scale": 1.5},
    "scale_fit_sd": {"eps": 0.3, "df": 20.0, "scale": 0.05, "N": 10},
}  # fmt: skip
ACCEPTED = {("inductive_bias", "seed", "zero"): "0 is a seed"}
