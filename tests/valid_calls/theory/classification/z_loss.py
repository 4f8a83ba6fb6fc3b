"""Valid calls of theory.classification.z_loss."""

import numpy as np

SCORES = np.array([[0.2, -1.0, 3.0], [1.0, 0.5, -0.5]])
TARGETS = np.array([2, 0])
COORDINATES = {"s": SCORES.sum(1), "q": (SCORES**2).sum(1), "oc": np.array([3.0, 1.0])}
PARAMETERS = {"a": 0.5, "b": 2.0}

CALLS = {
    "z_scores": {"scores": SCORES},
    "z_loss": {"scores": SCORES, "targets": TARGETS, **PARAMETERS},
    "z_loss_grad": {"scores": SCORES, "targets": TARGETS, **PARAMETERS},
    "z_loss_gradient_norm": {"scores": SCORES, "targets": TARGETS, **PARAMETERS},
    "spherical_coordinates": {"scores": SCORES, "targets": TARGETS},
    "spherical_loss": {**COORDINATES, "classes": 3, "loss": "z", **PARAMETERS, "eps": 1e-3},
    "spherical_grad": {**COORDINATES, "classes": 3, "loss": "z", **PARAMETERS, "eps": 1e-3},
    "scores_gradient": {
        "scores": SCORES,
        "targets": TARGETS,
        "by_s": np.array([0.1, 0.2]),
        "by_q": np.array([0.3, -0.2]),
        "by_oc": np.array([-1.0, 0.5]),
    },
    "rank_certificate": {"z_c": 1.5, "D": 10},
    "b_for_topk": {"D": 10, "k": 3},
    "rank_witness": {"D": 10, "k": 3},
    "factored_step_flops": {"d": 8, "batch": 4},
    "dense_step_flops": {"D": 10, "d": 8, "batch": 4},
    "break_even_classes": {"d": 8, "batch": 4},
}
_ANY_SIGN = "b may have any sign: it is a standard score"
ACCEPTED = {
    **{
        (name, "b", "negative"): _ANY_SIGN
        for name in ("z_loss", "z_loss_grad", "z_loss_gradient_norm", "spherical_loss", "spherical_grad")
    },
    ("rank_certificate", "z_c", "negative"): "nothing follows from a negative standard score: every rank is possible",
}
