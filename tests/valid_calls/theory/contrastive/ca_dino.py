"""Valid calls of theory.contrastive.ca_dino."""

import numpy as np

_CROPS = {
    "teacher_out": np.linspace(-1, 1, 16).reshape(2, 2, 4), "student_out": np.linspace(1, -2, 24).reshape(3, 2, 4),
    "center": np.array([0.1, 0.0, -0.1, 0.2]), "t_teacher": 0.04, "t_student": 0.1,
}  # fmt: skip
_MIXTURE = {"w1": 0.6, "m1": 0.0, "s1": 1.0, "w2": 0.4, "m2": 2.0, "s2": 0.5}
_AT = {"x": np.array([0.5, 1.0]), **_MIXTURE}

CALLS = {
    "dino_loss": _CROPS,
    "dino_loss_grad": _CROPS,
    "gaussian_crossing": _MIXTURE,
    "log_density_ratio": _AT,
    "gate_error": _AT,
    "gate_quality": _AT,
    "two_gaussian_em": {"values": np.array([0.0, 0.1, 3.0, 3.2]), "tolerance": 1e-8, "max_iterations": 50},
}
ACCEPTED = {
    **{(name, mean, "negative"): "means have any sign" for name in list(CALLS)[2:6] for mean in ("m1", "m2")},
}
