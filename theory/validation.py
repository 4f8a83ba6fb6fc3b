"""Checks of arguments: every failure names the argument, what was expected and what came."""

from collections.abc import Sequence

import numpy as np

__all__ = ["finite_array", "positive", "same_shape", "whole_number"]


def finite_array(name: str, value: object, dimensions: int | None = None) -> np.ndarray:
    """``value`` as a float64 array; raises ``ValueError`` if it is empty, not finite or of another number of axes."""
    array = np.asarray(value, dtype=np.float64)
    if dimensions is not None and array.ndim != dimensions:
        raise ValueError(f"{name} must have {dimensions} axes, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {array[~np.isfinite(array)][0]}")
    return array


def positive(name: str, value: float) -> float:
    """``value`` if it is a finite number above 0."""
    if not (np.ndim(value) == 0 and np.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a finite number above 0, got {value!r}")
    return float(value)


def whole_number(name: str, value: int, minimum: int) -> int:
    """``value`` if it is a whole number of at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ValueError(f"{name} must be a whole number of at least {minimum}, got {value!r}")
    return int(value)


def same_shape(names: Sequence[str], arrays: Sequence[np.ndarray]) -> None:
    """Raises ``ValueError`` unless all shapes agree."""
    if len({array.shape for array in arrays}) > 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in zip(names, arrays, strict=True))
        raise ValueError(f"shapes must agree, got {shapes}")
