"""Checks of arguments: every failure names the argument, what was expected and what came."""

import math
import numbers
from collections.abc import Collection, Sequence
from fractions import Fraction

import numpy as np

__all__ = [
    "at_least",
    "class_labels",
    "finite_array",
    "in_range",
    "one_of",
    "positive",
    "probabilities",
    "same_shape",
    "whole_number",
]


def finite_array(name: str, value: object, dimensions: int | None = None) -> np.ndarray:
    """``value`` as a float64 array; raises ``ValueError`` if it is empty, not real, not finite or of other axes."""
    raw = np.asarray(value)
    if raw.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold real numbers, got {raw.dtype} ({value!r:.60})")
    array = raw.astype(np.float64)
    if dimensions is not None and array.ndim != dimensions:
        raise ValueError(f"{name} must have {dimensions} axes, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {array[~np.isfinite(array)][0]}")
    return array


def probabilities(name: str, value: object, dimensions: int | None = None) -> np.ndarray:
    """``value`` as a float64 array whose last axis holds distributions: at least 0, sums 1 up to 1e-9."""
    array = finite_array(name, value, dimensions)
    if array.ndim == 0 or array.min() < 0 or not np.allclose(array.sum(axis=-1), 1.0, rtol=0, atol=1e-9):
        raise ValueError(f"{name} must hold distributions along its last axis (at least 0, sum 1), got {value!r:.60}")
    return array


def class_labels(name: str, value: object, classes: int | None = None, length: int | None = None) -> np.ndarray:
    """``value`` as an int64 vector of labels 0 … classes − 1, ``length`` of them; raises ``ValueError`` otherwise."""
    raw = np.asarray(value)
    if raw.dtype.kind not in "iu" or raw.ndim != 1 or raw.size == 0:
        raise ValueError(f"{name} must be a non-empty vector of integers, got {raw.dtype} of shape {raw.shape}")
    if length is not None and len(raw) != length:
        raise ValueError(f"{name} must have {length} entries, got {len(raw)}")
    if raw.min() < 0 or (classes is not None and raw.max() >= classes):
        expected = "at least 0" if classes is None else f"in 0 … {classes - 1}"
        raise ValueError(f"{name} must be {expected}, got {raw.min()} … {raw.max()}")
    return raw.astype(np.int64)


def positive(name: str, value: float | Fraction) -> float:
    """``value`` if it is a finite number above 0."""
    number = _number(name, value, "a finite number above 0")
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{name} must be a finite number above 0, got {value!r}")
    return number


def at_least(name: str, value: float, minimum: float) -> float:
    """``value`` if it is a finite number of at least ``minimum``."""
    number = _number(name, value, f"a finite number of at least {minimum:g}")
    if not (math.isfinite(number) and number >= minimum):
        raise ValueError(f"{name} must be a finite number of at least {minimum:g}, got {value!r}")
    return number


def in_range(name: str, value: float, low: float, high: float) -> float:
    """``value`` if it is a number with low ≤ value ≤ high."""
    number = _number(name, value, f"a number in [{low:g}, {high:g}]")
    if not low <= number <= high:
        raise ValueError(f"{name} must be a number in [{low:g}, {high:g}], got {value!r}")
    return number


def whole_number(name: str, value: int, minimum: int) -> int:
    """``value`` if it is a whole number of at least ``minimum``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ValueError(f"{name} must be a whole number of at least {minimum}, got {value!r}")
    return int(value)


def one_of(name: str, value: str, choices: Collection[str]) -> str:
    """``value`` if it is one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def same_shape(names: Sequence[str], arrays: Sequence[np.ndarray]) -> None:
    """Raises ``ValueError`` unless all shapes agree."""
    if len({array.shape for array in arrays}) > 1:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in zip(names, arrays, strict=True))
        raise ValueError(f"shapes must agree, got {shapes}")


def _number(name: str, value: object, expected: str) -> float:
    # A 0-d array is a number to everyone who computes with numpy.
    scalar = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
    if isinstance(scalar, bool) or not isinstance(scalar, numbers.Real):
        raise ValueError(f"{name} must be {expected}, got {value!r:.60}")
    return float(scalar)
