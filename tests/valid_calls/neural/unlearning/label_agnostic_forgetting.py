"""Valid calls of neural.unlearning.label_agnostic_forgetting."""

import torch
from torch import nn

from neural.unlearning.label_agnostic_forgetting import LAF

torch.manual_seed(0)
E_R, E_F = torch.linspace(-1, 1, 12).reshape(4, 3), torch.linspace(-0.5, 1, 6).reshape(2, 3)
MU, X = torch.linspace(-1, 1, 8).reshape(4, 2), torch.linspace(-1, 1, 10).reshape(5, 2)
MODEL = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3))


class _Together(nn.Sequential):
    """Not copied: the parts of a model would no longer be its parts, if each were copied for itself."""

    def __deepcopy__(self, memo: dict) -> "_Together":
        return self


PARTS = [_Together(layer) for layer in MODEL]
WHOLE = _Together(*PARTS)


def _laf() -> LAF:
    return LAF(MODEL, MODEL[0], MODEL[1], hidden=(4,), passes=1, vae_epochs=1)


CALLS = {
    "vae_loss": {"x": E_R, "recon": E_R + 0.1, "mu": MU, "sigma": MU.exp(), "kl_weight": 0.025},
    "bounded_reconstruction_penalty": {"recon": E_R + 0.1, "e": E_R},
    "extractor_unlearning_loss": {"e_r": E_R, "recon_r": E_R + 0.1, "e_f": E_F, "recon_f": E_F + 0.1},
    "representation_alignment_loss": {"e_r": E_R, "t_r": E_R + 0.1, "e_f": E_F, "t_f": E_F + 0.1, "temperature": 5.0},
    "RepresentationVAE": {
        "dim": 3, "latent": 2, "hidden": (4,), "sigmoid_output": False, "models": 1, "seed": 0,
    },
    "RepresentationVAE.forward": {"e": E_R, "generator": torch.Generator()},
    "RepresentationVAE.fit": {
        "e": E_R, "epochs": 1, "learning_rate": 1e-3, "batch_size": 2, "kl_weight": 0.025, "seed": 0,
    },
    "LAF": {
        "model": WHOLE, "extractor": PARTS[0], "classifier": PARTS[1], "latent": 2, "hidden": (4,),
        "sigmoid_output": False, "vae_epochs": 1, "vae_learning_rate": 1e-3, "kl_weight": 0.025, "passes": 1,
        "batch_size": 2, "unlearning_rate": 5e-5, "alignment_rate": 1e-4, "temperature": 20.0, "seed": 0,
    },
    "LAF.fit": {"x_forget": X[:2], "x_remain": X},
    "LAF.iterate": {"x_forget": X[:2], "x_remain": X},
    "LAF.fit_vaes": {"x_forget": X[:2], "x_remain": X},
    "LAF.repair": {"x": X, "y": torch.tensor([0, 1, 2, 0, 1]), "epochs": 1, "learning_rate": 1e-3, "batch_size": 2},
    "distil_bad_teacher": {
        "model": MODEL, "x_forget": X[:2], "x_remain": X, "epochs": 1, "learning_rate": 1e-3, "batch_size": 2,
        "temperature": 1.0, "seed": 0,
    },
}  # fmt: skip
INSTANCES = {"LAF": _laf}
_SEEDED = ("RepresentationVAE", "RepresentationVAE.fit", "LAF", "distil_bad_teacher")
ACCEPTED = {(name, "seed", "zero"): "the first seed" for name in _SEEDED}
