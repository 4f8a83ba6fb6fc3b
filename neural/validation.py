"""Checks of arguments: every failure names the argument, what was expected and what came.

Scalars, shapes, dtypes and emptiness are always checked. What a tensor contains is checked on the
CPU only: reading it on a GPU would wait for everything queued there.
"""

import math
from collections.abc import Collection
from typing import Literal

import torch
from torch import Tensor

__all__ = [
    "Reduction",
    "at_least",
    "class_indices",
    "class_logits",
    "finite_contents",
    "floating",
    "in_range",
    "indices",
    "one_of",
    "positive",
    "reduce",
    "target_logps",
    "target_weights",
    "whole_number",
]

Reduction = Literal["mean", "sum", "none"]
_ROUNDING = 1e-3
"""How far above 0 a log-probability, or a sum of them, may be by rounding."""


def positive(name: str, value: float) -> None:
    """Raises ``ValueError`` unless ``value`` is a finite number above 0."""
    if not _is_number(value) or not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name} must be a finite number above 0, got {value!r}")


def at_least(name: str, value: float, minimum: float) -> None:
    """Raises ``ValueError`` unless ``value`` is a finite number of at least ``minimum``."""
    if not _is_number(value) or not math.isfinite(value) or value < minimum:
        raise ValueError(f"{name} must be a finite number of at least {minimum:g}, got {value!r}")


def in_range(name: str, value: float, low: float, high: float) -> None:
    """Raises ``ValueError`` unless ``value`` is a number with low ≤ value ≤ high."""
    if not _is_number(value) or not low <= value <= high:
        raise ValueError(f"{name} must be a number in [{low:g}, {high:g}], got {value!r}")


def whole_number(name: str, value: int, minimum: int) -> None:
    """Raises ``ValueError`` unless ``value`` is a whole number of at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(f"{name} must be a whole number of at least {minimum}, got {value!r}")


def one_of(name: str, value: str, choices: Collection[str]) -> None:
    """Raises ``ValueError`` unless ``value`` is one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def floating(name: str, value: Tensor, dimensions: int | None = None) -> None:
    """Raises ``ValueError`` unless ``value`` is a floating-point tensor with elements and that many axes."""
    if not isinstance(value, Tensor) or not value.is_floating_point() or value.numel() == 0:
        got = f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"{name} must be a non-empty floating-point tensor, got {got}")
    if dimensions is not None and value.ndim != dimensions:
        raise ValueError(f"{name} must have {dimensions} axes, got shape {tuple(value.shape)}")


def finite_contents(name: str, value: Tensor) -> None:
    """Raises ``ValueError`` if a CPU tensor has NaN or infinite elements; says nothing of others."""
    # NaN and infinity show in the extremes, which take one pass and no temporary.
    if value.device.type == "cpu" and value.numel() and not all(map(math.isfinite, torch.aminmax(value.detach()))):
        raise ValueError(f"{name} must be finite, got NaN or infinite elements")


def class_logits(name: str, value: Tensor) -> None:
    """Raises ``ValueError`` unless ``value`` is a floating-point (batch, classes ≥ 2), finite if on the CPU."""
    floating(name, value, 2)
    if value.shape[1] < 2:
        raise ValueError(f"{name} must have at least 2 classes, got shape {tuple(value.shape)}")
    finite_contents(name, value)


def class_indices(name: str, value: Tensor, length: int, classes: int | None = None) -> None:
    """Raises ``ValueError`` unless ``value`` is an integer (length,) tensor; on the CPU also within 0 … classes − 1."""
    indices(name, value)
    if value.shape != (length,):
        raise ValueError(f"{name} must have shape ({length},), got {tuple(value.shape)}")
    if value.device.type == "cpu" and length:
        low, high = (int(end) for end in torch.aminmax(value))
        if low < 0 or (classes is not None and high >= classes):
            expected = "at least 0" if classes is None else f"in 0 … {classes - 1}"
            raise ValueError(f"{name} must be {expected}, got {low} … {high}")


def indices(name: str, value: Tensor) -> None:
    """Raises ``ValueError`` unless ``value`` is a tensor of whole numbers."""
    if not isinstance(value, Tensor) or value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
        got = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"{name} must be a tensor of class indices, got {got}")


def target_weights(
    name: str, mask: Tensor, like: Tensor, shape: tuple[int, ...] | None = None, like_name: str = "token_logps"
) -> Tensor:
    """The mask of targets as weights, in the dtype to compute with ``like`` in.

    Raises ``ValueError`` unless it is bool or floating-point, of ``shape`` (default: that of ``like``) and, on the CPU,
    finite and not negative, with a target in every row.
    """
    shape = tuple(like.shape if shape is None else shape)
    real = isinstance(mask, Tensor) and (mask.dtype == torch.bool or mask.is_floating_point())
    if not real or tuple(mask.shape) != shape:
        got = f"{mask.dtype} of shape {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"{name} must be bool or float of shape {shape}, as {like_name}, got {got}")
    weights = mask.to(torch.promote_types(like.dtype, torch.float32))
    if mask.is_floating_point():
        finite_contents(name, mask)
    if mask.device.type == "cpu":
        if mask.is_floating_point() and float(mask.min()) < 0:
            raise ValueError(f"{name} must not be negative, got {float(mask.min())}")
        if not bool((kept := (weights != 0).any(1)).all()):
            raise ValueError(f"{name} must have a target in every row, row {int((~kept).int().argmax())} has none")
    return weights


def target_logps(name: str, logps: Tensor, weights: Tensor) -> Tensor:
    """Log-probabilities of targets in at least float32, 0 where the weights are: what is masked may be −inf.

    Raises ``ValueError`` unless they are floating-point of the weights' shape and, on the CPU, finite and at most 0.
    """
    floating(name, logps, 2)
    if logps.shape != weights.shape:
        raise ValueError(f"{name} must have shape {tuple(weights.shape)}, as its mask, got {tuple(logps.shape)}")
    values = logps.to(torch.promote_types(logps.dtype, torch.float32)).masked_fill(weights == 0, 0.0)
    if values.device.type == "cpu":
        low, high = (float(end) for end in torch.aminmax(values.detach()))
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"{name} must be finite, got NaN or infinite elements")
        if high > _ROUNDING:
            raise ValueError(f"{name} must be log-probabilities, at most 0, got {high}")
    return values


def reduce(values: Tensor, reduction: Reduction) -> Tensor:
    """``values`` as they are, their sum or their mean; raises ``ValueError`` for another word."""
    if reduction == "none":
        return values
    if reduction == "sum":
        return values.sum()
    if reduction == "mean":
        return values.mean()
    raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
