"""Valid calls of theory.classification.discriminative_generative."""

import numpy as np

_UNBOUNDED = "scores without a bound"

CALLS = {
    "MixtureDesign": {
        "mode": "correlated", "n": 6, "K": 2, "separation": 4.0, "shift": 0.35, "loading": 0.9,
    },
    "MixtureDesign.sample": {"m": 8, "rng": np.random.default_rng(0)},
    "calibration_numeric": {"beta": 0.4, "K": 3, "B": 1.0},
    "conditional_regret_logistic": {"p": np.array([0.5, 0.3, 0.2]), "z": np.array([0.1, 0.5, 0.0]), "B": 1.0},
    "gaussian_mixture": {"m": 8, "n": 6, "K": 2, "rng": np.random.default_rng(0), "mode": "constant_info"},
    "h_consistency_rhs": {"excess": 0.1, "gap_surr": 0.05, "gap_01": 0.01, "gamma": np.sqrt},
    "logistic_gamma": {"t": 0.1},
    "logistic_transform": {"beta": 0.4, "K": 3, "B": 1.0},
    "logistic_witness": {"beta": 0.4, "K": 3, "B": 1.0},
    "lr_sample_bound": {"n": 10, "K": 3, "eps": 0.1, "norm": 1.0, "radius": 1.0, "delta": 0.05},
    "nb_sample_bound": {"n": 10, "K": 3, "rho0": 0.2, "eps": 0.1, "delta": 0.05},
    "regret_sampler": {"K": 3, "B": 1.0},
    "samples_to_target": {
        "model": lambda m, repeat: 1 / m, "target": 0.1, "grid": np.array([5, 10, 20]), "repeats": 2, "stride": 2,
    },
    "uncalibrated_regret": {"K": 3, "B": 1.0},
}  # fmt: skip
ACCEPTED = {
    (name, "B", "infinite"): _UNBOUNDED
    for name in (
        "calibration_numeric", "conditional_regret_logistic", "logistic_transform", "logistic_witness",
        "regret_sampler", "uncalibrated_regret",
    )
} | {("logistic_gamma", "t", "infinite"): "any excess allows an error of at most 1"}  # fmt: skip
