"""The packages that we measure against (`bench` extra), importable beside a CPU build of torch."""

import importlib
import re
import sys
import types

import torch

__all__ = ["lightly_losses"]


def lightly_losses() -> types.ModuleType:
    """``lightly.loss``, which imports torchvision.

    Wheels of torchvision are built for CUDA. Beside a CPU build of torch its operators are not loaded, and
    importing it then fails where it describes them. None is used here, so empty ones take their place.
    """
    operators = torch.library.Library("torchvision", "FRAGMENT")
    for _ in range(50):
        try:
            return importlib.import_module("lightly.loss")
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
            operators.define(f"{missing[1]}(Tensor input) -> Tensor")
            _KEPT.append(operators)
            for name in [n for n in sys.modules if n.split(".")[0] in ("torchvision", "lightly")]:
                del sys.modules[name]
    raise ImportError("torchvision describes more operators than expected")


_KEPT: list[torch.library.Library] = []  # a library takes its operators along when it is collected
