"""Valid calls of theory.optimization.sign_rip."""

import numpy as np

_A, _S = np.random.default_rng(0).standard_normal((40, 9)), np.random.default_rng(1).standard_normal(40)

CALLS = {
    "frobenius_k_norm": {"M": np.diag([3.0, -4.0, 1.0]), "k": 2},
    "sign_rip_deviation": {
        "A": _A, "s": _S, "X": np.diag([1.0, -1.0, 0.0]), "k": 2, "p": 0.5, "noise": "gaussian", "scale": 2.0,
    },
    "sign_rip_scale": {"norm_X": 1.5, "p": 0.5, "noise": "cauchy", "scale": 2.0},
    "sign_rip_search": {
        "A": _A, "s": _S, "k": 2, "p": 0.5, "noise": "gaussian", "scale": 2.0, "norm_X": 0.7, "restarts": 2,
        "steps": 3, "seed": 1,
    },
}  # fmt: skip
ACCEPTED = {("sign_rip_search", "seed", "zero"): "a seed like any other"}
