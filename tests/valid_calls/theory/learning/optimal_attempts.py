"""Valid calls of theory.learning.optimal_attempts."""

import numpy as np

P, Q, W = np.array([0.87, 0.13]), np.array([0.0325, 0.2175]), np.array([0.58, 0.42])
CALLS = {
    "reward_curve": {"p": P, "q": Q, "V": -1.0, "K_max": 5, "w": W, "cost": 0.01},
    "reward_limit": {"p": P, "q": Q, "V": -1.0, "w": W, "cost": 0.01},
    "optimal_attempts": {"p": P, "q": Q, "V": -1.0, "w": W, "K_max": 5, "cost": 0.01},
    "two_type_optimum": {"p": P, "q": Q, "V": -1.0, "w": W, "cost": 0.01},
    "posterior_after_rejections": {"p": P, "q": Q, "rejections": np.array([0, 1, 5]), "w": W},
}
ACCEPTED = {
    **{
        (name, "V", "negative"): "what a wrong answer is worth"
        for name in ("reward_curve", "reward_limit", "optimal_attempts", "two_type_optimum")
    },
    ("reward_curve", "K_max", "zero"): "R(0) alone",
    ("optimal_attempts", "K_max", "zero"): "no attempt allowed",
    ("posterior_after_rejections", "rejections", "huge"): "many rejections",
}
