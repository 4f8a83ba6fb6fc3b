"""Valid calls of theory.classification.comp_sum_adversarial."""

import numpy as np

_SCORES = np.array([[0.1, 0.5, 0.0], [0.2, 0.1, 0.3]])

CALLS = {
    "adv_conditional_min": {"p": np.array([0.5, 0.3, 0.2]), "tau": 1.0},
    "adversarial_constant": {"tau": 1.0},
    "adversarial_margin_loss": {"scores": _SCORES, "tau": 1.0, "rho": 1.0},
    "adversarial_witness": {"beta": 0.5, "n": 3, "rho": 1.0, "perturbations": 2},
    "adversarial_zero_one": {"scores": _SCORES},
    "margin_ramp": {"u": 0.5, "rho": 1.0},
    "smooth_adversarial_loss": {"scores": _SCORES, "tau": 1.0, "rho": 1.0, "nu": 1.0},
}
ACCEPTED = {("margin_ramp", "u", "negative"): "margins have both signs"}
