"""Trained models that several experiments share, kept so that each is trained once.

The key is the training function's source, its settings, the seed and the type of device; the cache
never decides a result, so deleting it changes no table. Weights are kept as safetensors; where that
package is missing, models are simply trained again.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulations.digest import combined, source_digests
from simulations.discovery import ROOT
from simulations.settings import as_json
from simulations.store import build_folder

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["trained"]


def trained(
    train: Callable[[Any, int, str], dict[str, Tensor]],
    settings: Any,
    seed: int,
    device: str,
    *,
    folder: Path | None = None,
) -> dict[str, Tensor]:
    """``train(settings, seed, device)``, a state dict, from the cache if it was trained before.

    ``train`` is a top-level function of a project module, deterministic given its arguments.
    """
    if importlib.util.find_spec("safetensors") is None:
        return train(settings, seed, device)
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

    digest = combined(source_digests(ROOT, train.__module__, [train.__name__]))
    identity = json.dumps([as_json(settings), seed, device.split(":")[0], digest], sort_keys=True)
    name = f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}.safetensors"
    path = (folder or build_folder() / "trained") / f"{train.__module__}.{train.__name__}" / name
    if path.is_file():
        try:
            return load_file(path, device=device)
        except SafetensorError:
            path.unlink()
    state = {key: value.detach().contiguous() for key, value in train(settings, seed, device).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file(state, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return state
