"""Valid calls of neural.online.bandit_networks."""

import torch

_SIZES = {"models": 2, "dim": 3, "width": 4, "generator": torch.Generator()}

CALLS = {
    "SharedNetwork": _SIZES,
    "SharedNetwork.checked": {"contexts": torch.rand(2, 5, 3)},
    "SharedNetwork.select": {"contexts": torch.rand(2, 5, 3), "arm": torch.tensor([0, 4])},
    "BlockNetwork": {**_SIZES, "arms": 5},
    "BlockNetwork.checked": {"contexts": torch.rand(2, 3)},
    "BlockNetwork.select": {"contexts": torch.rand(2, 3), "arm": torch.tensor([0, 4])},
    "one_hot_contexts": {"features": torch.rand(2, 3), "arms": 4},
}
