"""Valid calls of theory.contrastive.mochi."""

import numpy as np

_COSINES = {
    "positives": np.array([0.8, 0.7]), "negatives": np.array([[0.1, 0.2, 0.5], [0.0, -0.3, 0.4]]),
    "mixed": np.array([[0.6, 0.2], [0.3, 0.5]]), "temperature": 0.2,
}  # fmt: skip

CALLS = {
    "mixed_similarity": {
        "s_i": np.array([0.5, 0.1]), "s_j": np.array([0.4, 0.2]), "c": np.array([0.3, 0.1]), "a": np.array([0.5, 0.2]),
    },
    "query_mixed_similarity": {"s": np.array([0.5, 0.1]), "b": np.array([0.1, 0.5])},
    "hardening_limit": {"c": np.array([0.5, 0.1])},
    "mochi_loss": _COSINES,
    "loss_increase": _COSINES,
    "class_parent_share": {"same_class": 3, "n_hard": 10},
}  # fmt: skip
ACCEPTED = {
    **{
        (name, argument, "extra dimension"): "elementwise"
        for name, arguments in (
            ("mixed_similarity", ("s_i", "s_j", "c", "a")), ("query_mixed_similarity", ("s", "b")),
            ("hardening_limit", ("c",)),
        )
        for argument in arguments
    },
    ("class_parent_share", "same_class", "zero"): "no false negatives is a case of its own",
}  # fmt: skip
