"""Checks of arguments: every failure names the argument, what was expected and what came.

Scalars, shapes, dtypes and emptiness are always checked. What a tensor contains is checked on the
CPU only: reading it on a GPU would wait for everything queued there.
"""

import math
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Reduction", "finite_contents", "floating", "positive", "reduce"]

Reduction = Literal["mean", "sum", "none"]


def positive(name: str, value: float) -> None:
    """Raises ``ValueError`` unless ``value`` is a finite number above 0."""
    if not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name} must be a finite number above 0, got {value!r}")


def floating(name: str, value: Tensor) -> None:
    """Raises ``ValueError`` unless ``value`` is a floating-point tensor with elements."""
    if not isinstance(value, Tensor) or not value.is_floating_point() or value.numel() == 0:
        got = f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"{name} must be a non-empty floating-point tensor, got {got}")


def finite_contents(name: str, value: Tensor) -> None:
    """Raises ``ValueError`` if a CPU tensor has NaN or infinite elements; says nothing of others."""
    if value.device.type == "cpu" and not bool(torch.isfinite(value.detach()).all()):
        raise ValueError(f"{name} must be finite, got NaN or infinite elements")


def reduce(values: Tensor, reduction: Reduction) -> Tensor:
    """``values`` as they are, their sum or their mean; raises ``ValueError`` for another word."""
    if reduction == "none":
        return values
    if reduction == "sum":
        return values.sum()
    if reduction == "mean":
        return values.mean()
    raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
