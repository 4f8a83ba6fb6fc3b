"""Valid calls of neural.learning.hypothesis_batches."""

import torch

from neural.learning.hypothesis_batches import Architecture


def _drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


_DATA = {"x_train": _drawn(5, 9), "y_train": _drawn(5, 2), "x_test": _drawn(4, 9), "y_test": _drawn(4, 2)}
_MODEL = {"architecture": Architecture("conv", 3), "count": 4, "generator": torch.Generator()}
CALLS = {
    "Architecture": {"kind": "mlp", "width": 4, "depth": 2, "activation": "tanh"},
    "hypothesis_errors": {
        **_DATA, **_MODEL, "condition": "interpolate", "noise": 1e-4, "tolerance": 0.1, "chunk_size": 3,
    },
    "random_features": {"x": _drawn(5, 9), **_MODEL},
    "readout_error_laws": {**_DATA, **_MODEL, "noise": 1e-4, "tolerance": 0.1, "chunk_size": 3},
}  # fmt: skip
