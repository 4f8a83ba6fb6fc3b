"""Valid calls of theory.contrastive.bad_pair_mining."""

import numpy as np

_VIEWS = {
    "first": np.array([[1.0, 0.2], [0.3, -1.0], [0.5, 0.4]]),
    "second": np.array([[0.9, 0.1], [0.4, -1.1], [0.6, 0.2]]),
}

CALLS = {
    "noisy_alignment_threshold": {"rho": 0.3, "nu": 2.0, "recall": 0.5, "weight": 0.1, "false_alarms": 0.2},
    "signal_loss": {"eta": np.array([0.1, 0.3]), "rho": 0.3, "nu": 2.0, "angle": 1.0, "noisy_weight": 0.5},
    "linear_views": {
        "samples": 5, "eta": 0.2, "rho": 0.3, "nu": 2.0, "dim": 4, "subspace": 2, "augmentation": 0.5, "angle": 1.0,
        "rng": np.random.default_rng(0),
    },
    "cross_view_covariance": {**_VIEWS, "weights": np.array([1.0, 0.5, 0.0])},
    "aligned_subspace": {"covariance": np.array([[2.0, 0.5], [0.5, 1.0]]), "subspace": 1},
    "subspace_loss": {"basis": np.array([[1.0], [0.0]]), "signal": np.array([[0.6], [0.8]])},
    "flag_capacity": {"beta": 2.0},
    "flag_load": {
        "noisy_share": np.array([0.1, 0.2]), "faulty_share": np.array([0.1, 0.05]), "beta_np": np.array([2.0, 1.5]),
        "beta_fp": np.array([3.0, 1.5]),
    },
    "pdf_excess_radius": {"sigma": 0.1},
    "ramp_scale": {"visits": 3, "epochs": 8},
}  # fmt: skip
ACCEPTED = {
    **{
        (name, argument, "extra dimension"): "elementwise"
        for name, arguments in (
            ("signal_loss", ("eta",)), ("flag_load", ("noisy_share", "faulty_share", "beta_np", "beta_fp")),
        )
        for argument in arguments
    },
}  # fmt: skip
