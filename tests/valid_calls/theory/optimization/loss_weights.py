"""Valid calls of theory.optimization.loss_weights."""

import numpy as np

LOSSES = np.array([0.4, 2.0, 1.1])
CALLS = {
    "normalize_losses": {"losses": LOSSES, "delta": 1.0, "eps": 1e-6, "lo": 0.4, "hi": 2.5},
    "strategy_score": {"h": np.array([-1.0, 0.3, 1.0]), "strategy": "linupper", "delta": 1.0},
    "sample_weights": {"losses": LOSSES, "strategy": "quadratic", "r": 0.5, "delta": 1.0, "lo": 0.2, "hi": 2.0},
    "lockstep_weights": {"losses": np.stack([LOSSES, 2 * LOSSES]), "strategies": ["upper", "extremes"], "r": np.array([1.0, 0.4])},
    "kl_dro_value": {"losses": LOSSES, "r": 1.0},
    "kl_dro_solution": {"losses": LOSSES, "r": 1.0, "solver": "dual"},
    "weight_bounds": {"M": 8, "r": 1.0},
    "cap_temperature": {"M": 8, "cap": 2.0},
    "certify_cap": {"fraction": 1.0},
}  # fmt: skip
ACCEPTED = {
    ("normalize_losses", "lo", "negative"): "losses may be negative, and so may their bound",
    ("sample_weights", "lo", "negative"): "losses may be negative, and so may their bound",
}
