"""Valid calls of neural.online.linear_bandit."""

import torch

from neural.online.bandit_networks import Chosen

CALLS = {
    "LinUCB": {"models": 2, "dim": 3, "arms": 4, "alpha": 0.5, "ridge": 1.0},
    "LinUCB.act": {"contexts": torch.rand(2, 3)},
    "LinUCB.select": {"contexts": torch.rand(2, 3), "arm": torch.tensor([0, 3])},
    "LinUCB.learn": {"x": Chosen(torch.rand(2, 3), torch.tensor([0, 3])), "loss": torch.tensor([0.0, 1.0])},
}
ACCEPTED = {}
