"""Valid calls of neural.online.neural_bandit."""

import torch

from neural.online.bandit_data import ClassificationBandit
from neural.online.bandit_networks import BlockNetwork, Chosen
from neural.online.neural_bandit import BanditEnsemble, BanditMethod, NeuFastCB
from tests.bad_inputs import Fresh


def _net():
    return BlockNetwork(2, dim=3, arms=4, width=4, generator=torch.Generator().manual_seed(0))


def _agent():
    return NeuFastCB(_net(), 20.0)


_NET = {"net": Fresh(_net)}
_IGW = {"gamma": 20.0, "c_p": 0.1, "learning_rate": 0.1, "seed": 1}
_CONFIDENT = {"nu": 0.1, "learning_rate": 0.1, "ridge": 0.1, "seed": 1}

CALLS = {
    "inverse_gap_weighting": {"losses": torch.rand(2, 3), "gamma": 20.0, "kind": "fast", "floor": 1e-6},
    "BanditMethod": {
        "exploration": "ucb", "amount": 0.1, "loss": "square", "learning_rate": 0.1, "c_p": 0.1, "ridge": 0.1
    },
    "BanditEnsemble": {
        **_NET, "methods": [BanditMethod("fast", 20.0), BanditMethod("ucb", 0.1)], "n_perturb": 2, "expected": False,
        "radius": 5.0, "seed": 1,
    },
    "BanditEnsemble.act": {"contexts": torch.rand(2, 3)},
    "BanditEnsemble.select": {"contexts": torch.rand(2, 3), "arm": torch.tensor([0, 3])},
    "BanditEnsemble.learn": {"x": Chosen(torch.rand(2, 3), torch.tensor([0, 3])), "loss": torch.tensor([0.0, 1.0])},
    "NeuSquareCB": {**_NET, **_IGW},
    "NeuFastCB": {**_NET, **_IGW},
    "NeuralUCB": {**_NET, **_CONFIDENT},
    "NeuralTS": {**_NET, **_CONFIDENT},
    "EpsGreedy": {**_NET, "epsilon": 0.1, "learning_rate": 0.1, "seed": 1},
    "run_bandit": {
        "agent": Fresh(_agent), "T": 2, "seed": 1,
        "env": ClassificationBandit(torch.rand(2, 3, 3), torch.tensor([[0, 1, 2], [3, 2, 1]]), 4),
    },
}  # fmt: skip
INSTANCES = {"BanditEnsemble": lambda: BanditEnsemble(_net(), [BanditMethod("fast", 20.0, c_p=0.1)] * 2)}
ACCEPTED = {
    (name, "seed", "zero"): "a seed like any other"
    for name in ("BanditEnsemble", "NeuSquareCB", "NeuFastCB", "NeuralUCB", "NeuralTS", "EpsGreedy", "run_bandit")
}
TRUSTED = {"BanditAgent": "a protocol: what an agent must have"}
