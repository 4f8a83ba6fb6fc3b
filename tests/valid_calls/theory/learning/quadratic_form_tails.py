"""Valid calls of theory.learning.quadratic_form_tails."""

import numpy as np

_LAW = {"w": np.array([0.5, 0.2, 1.0]), "b": np.array([0.3, -1.0, 0.0])}
_FAMILY = {"x": 0.3, "df": 3.0, "nc": 1.5, "scale": 0.1}
CALLS = {
    "chernoff_lower_bound": {"eps": 0.3, **_LAW},
    "ncx2_moment_fit": {"k1": 1.0, "k2": 0.5, "k3": 0.45},
    "sankaran_logcdf": _FAMILY,
    "scaled_ncx2_logcdf": _FAMILY,
    "tilted_upper_bound": {"eps": 0.3, **_LAW},
    "weighted_ncx2_cumulants": {**_LAW, "order": 2},
    "weighted_ncx2_logcdf": {"eps": 0.3, **_LAW, "method": "mc", "draws": 10, "seed": 1},
}
ACCEPTED = {
    ("ncx2_moment_fit", "k3", "negative"): "a sample's third cumulant may be; the two-moment fit takes over",
    ("weighted_ncx2_logcdf", "seed", "zero"): "0 is a seed",
}
