"""Valid calls of neural.density.regularized_autoencoder."""

import torch
from torch import nn

from tests.bad_inputs import Fresh

_X = torch.tensor([[0.1, 0.2], [-0.4, 0.3], [0.5, 0.0]])
_MODEL = Fresh(nn.Identity)
_RNG = Fresh(torch.Generator)


def _loss(batch, generator):
    return batch.square().mean((-1, -2)) + 0 * _WEIGHT.weight.sum()


_WEIGHT = nn.Linear(2, 2)

CALLS = {
    "AutoencoderEnsemble": {"models": 1, "dim": 2, "generator": _RNG, "width": 4},
    "AutoencoderEnsemble.encode": {"x": _X[None]},
    "AutoencoderEnsemble.forward": {"x": _X[None]},
    "DisplacementEnsemble": {"models": 1, "dim": 2, "sigma": 0.1, "generator": _RNG, "width": 4},
    "DisplacementEnsemble.forward": {"x": _X[None]},
    "ScoreFromAutoencoder": {"model": _MODEL, "sigma": 0.1},
    "ScoreFromAutoencoder.forward": {"x": _X},
    "approximate_mh": {
        "reconstruct": _MODEL, "x0": _X, "sigma": 0.1, "step": 0.3, "steps": 2, "generator": _RNG,
    },
    "contractive_reconstruction_loss": {
        "model": _MODEL, "x": _X, "sigma": 0.1, "estimator": "hutchinson", "probes": 2, "generator": _RNG,
    },
    "dae_loss": {"model": _MODEL, "x": _X, "sigma": 0.1, "noise": _X},
    "fit_reconstruction": {
        "model": Fresh(lambda: _WEIGHT), "x": _X, "loss": _loss, "steps": 1, "generator": _RNG, "models": 1,
        "batch_size": 2, "learning_rate": 0.01,
    },
    "hessian_from_autoencoder": {"model": _MODEL, "x": _X, "sigma": 0.1},
    "jacobian_penalty": {"function": _MODEL, "x": _X, "estimator": "hutchinson", "probes": 2, "generator": _RNG},
    "log_density_difference": {"reconstruct": _MODEL, "x0": _X, "x1": _X + 0.1, "sigma": 0.1, "n_points": 3},
    "reconstruction_chain": {
        "reconstruct": _MODEL, "x0": _X, "corruption": 0.1, "steps": 2, "generator": _RNG,
    },
}  # fmt: skip
