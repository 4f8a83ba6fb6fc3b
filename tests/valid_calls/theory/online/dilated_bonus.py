"""Valid calls of theory.online.dilated_bonus."""

import numpy as np

from theory.online.dilated_bonus import random_bonuses

_ALL = {name: values[0] for name, values in random_bonuses(np.random.default_rng(0), 1).items()}
_OWN = {name: _ALL[name] for name in ("P", "pi", "b")}

CALLS = {"bonus_value": _OWN, "dilated_bonus": _OWN, "telescoped_bonus": _ALL}
