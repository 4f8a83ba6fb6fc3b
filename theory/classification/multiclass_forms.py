"""Score-vector losses made of a scalar function: comp-sum, sum, max, constrained, one-versus-rest.

Every form turns scores ``s`` of shape (..., n) into losses of the same shape, entry y being the loss if y is the label:

    comp_sum_form(Phi)      Phi( sum_{k≠y} exp(s_k − s_y) )
    sum_form(phi)           sum_{k≠y} phi(s_y − s_k)                    Weston–Watkins with the hinge
    max_form(phi)           max_{k≠y} phi(s_y − s_k)                    Crammer–Singer with the hinge
    constrained_form(phi)   sum_{k≠y} phi(−s_k),  scores centred        Lee–Lin–Wahba with the hinge
    one_vs_rest_form(phi)   phi(s_y) + sum_{k≠y} phi(−s_k)

    loss = sum_form(lambda z: np.maximum(0, 1 - z))
    loss(np.zeros((1, 3)))                                              # [[2., 2., 2.]]

The scalar function is a callable on arrays or a sympy expression in one symbol. Of an expression that is convex and
piecewise linear, the forms know the exact pieces (``exact_terms``), which makes exact certificates possible.
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Float

__all__ = ["comp_sum_form", "constrained_form", "max_form", "one_vs_rest_form", "sum_form"]

Scores = Float[np.ndarray, "*batch classes"]
Slope = tuple[Fraction, ...]
Piece = tuple[Slope, Fraction]


@dataclass(frozen=True)
class ScoreLoss:
    """A loss ``(..., n) -> (..., n)`` of a named form; ``phi`` is its scalar function.

    >>> loss = one_vs_rest_form(lambda z: np.maximum(0, 1 - z))
    >>> loss(np.array([1.0, -1.0, -1.0])).tolist()
    [0.0, 4.0, 4.0]
    """

    form: str
    phi: Callable[..., Any] = dataclasses.field(repr=False)
    expression: Any = None

    def __call__(self, scores: Scores) -> Scores:
        scores = np.asarray(scores, dtype=np.float64)
        if scores.ndim == 0 or scores.shape[-1] < 2:
            raise ValueError(f"scores must have at least two labels along their last axis, got shape {scores.shape}")
        with np.errstate(all="ignore"):
            return _FORMS[self.form](self.phi, scores)

    def exact_terms(self, classes: int) -> list[list[list[Piece]]] | None:
        """Per label the terms of its loss, each a maximum of affine pieces ``(slope, intercept)`` in Fractions.

        None unless the scalar function is a convex piecewise linear expression.
        """
        from theory.classification.calibration_proofs import affine_pieces

        pieces = None if self.expression is None else affine_pieces(self.expression)
        if pieces is None or self.form == "comp-sum":
            return None
        labels = range(classes)

        def term(margin: Slope) -> list[Piece]:
            return [(tuple(slope * m for m in margin), intercept) for slope, intercept in pieces]

        def unit(k: int) -> Slope:
            return tuple(Fraction(int(i == k)) for i in labels)

        def difference(y: int, k: int) -> Slope:
            return tuple(a - b for a, b in zip(unit(y), unit(k), strict=True))

        def negative(k: int) -> Slope:
            share = Fraction(1, classes) if self.form == "constrained" else Fraction(0)
            return tuple(share - a for a in unit(k))

        terms = []
        for y in labels:
            others = [k for k in labels if k != y]
            if self.form == "sum":
                terms.append([term(difference(y, k)) for k in others])
            elif self.form == "max":
                terms.append([[piece for k in others for piece in term(difference(y, k))]])
            else:
                first = [term(unit(y))] if self.form == "one-versus-rest" else []
                terms.append(first + [term(negative(k)) for k in others])
        return terms


def comp_sum_form(Phi: Any) -> ScoreLoss:
    """``Phi(u)``, ``u = sum_{k≠y} exp(s_k − s_y) = 1/S_y − 1``: log(1 + u) gives cross-entropy.

    Raises ``ValueError`` for something that is neither a callable nor a sympy expression in one symbol.

    >>> comp_sum_form(np.log1p)(np.zeros(2)).round(4).tolist()
    [0.6931, 0.6931]
    """
    return _form("comp-sum", "Phi", Phi)


def sum_form(phi: Any) -> ScoreLoss:
    """``sum_{k≠y} phi(s_y − s_k)``. Raises ``ValueError`` as ``comp_sum_form``.

    >>> sum_form(lambda z: np.maximum(0, 1 - z))(np.array([2.0, 0.0, 0.0])).tolist()
    [0.0, 4.0, 4.0]
    """
    return _form("sum", "phi", phi)


def max_form(phi: Any) -> ScoreLoss:
    """``max_{k≠y} phi(s_y − s_k)``. Raises ``ValueError`` as ``comp_sum_form``.

    >>> max_form(lambda z: np.maximum(0, 1 - z))(np.array([2.0, 0.0, 0.0])).tolist()
    [0.0, 3.0, 3.0]
    """
    return _form("max", "phi", phi)


def constrained_form(phi: Any) -> ScoreLoss:
    """``sum_{k≠y} phi(−s_k)`` of centred scores, ``s − mean s``. Raises ``ValueError`` as ``comp_sum_form``.

    >>> constrained_form(lambda z: np.maximum(0, 1 - z))(np.zeros(3)).tolist()
    [2.0, 2.0, 2.0]
    """
    return _form("constrained", "phi", phi)


def one_vs_rest_form(phi: Any) -> ScoreLoss:
    """``phi(s_y) + sum_{k≠y} phi(−s_k)``. Raises ``ValueError`` as ``comp_sum_form``.

    >>> one_vs_rest_form(lambda z: np.maximum(0, 1 - z))(-np.ones(3)).tolist()
    [2.0, 2.0, 2.0]
    """
    return _form("one-versus-rest", "phi", phi)


def _form(form: str, name: str, function: Any) -> ScoreLoss:
    if hasattr(function, "free_symbols"):
        import sympy

        symbols = sorted(function.free_symbols, key=lambda s: s.name)
        if len(symbols) != 1:
            raise ValueError(f"{name} must have exactly one symbol, got {symbols}")
        numeric = sympy.lambdify(symbols[0], function, "numpy")
        return ScoreLoss(form, lambda z: np.broadcast_to(np.asarray(numeric(z)), np.shape(z)), function)
    if not callable(function):
        raise ValueError(f"{name} must be a callable or a sympy expression, got {function!r:.60}")
    return ScoreLoss(form, function)


def _comp_sum(Phi: Callable[..., Any], scores: np.ndarray) -> np.ndarray:
    # The others are summed without the label itself: 1/S − 1 would cancel.
    masses = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(Phi(_sum_of_others(masses) / masses))


def _sum(phi: Callable[..., Any], scores: np.ndarray) -> np.ndarray:
    return np.asarray(phi(-_differences(scores))).sum(axis=-1)


def _max(phi: Callable[..., Any], scores: np.ndarray) -> np.ndarray:
    return np.asarray(phi(-_differences(scores))).max(axis=-1)


def _constrained(phi: Callable[..., Any], scores: np.ndarray) -> np.ndarray:
    values = np.asarray(phi(scores.mean(axis=-1, keepdims=True) - scores))
    return _sum_of_others(values)


def _one_vs_rest(phi: Callable[..., Any], scores: np.ndarray) -> np.ndarray:
    return np.asarray(phi(scores)) + _sum_of_others(np.asarray(phi(-scores)))


def _differences(scores: np.ndarray) -> np.ndarray:
    """``s_k − s_y`` for the n − 1 labels k ≠ y, along a new last axis."""
    return scores[..., _others(scores.shape[-1])] - scores[..., None]


def _sum_of_others(values: np.ndarray) -> np.ndarray:
    return values[..., _others(values.shape[-1])].sum(axis=-1)


@functools.cache
def _others(classes: int) -> np.ndarray:
    index = np.arange(classes)
    return (index[:, None] + index[None, 1:]) % classes


_FORMS: dict[str, Callable[[Callable[..., Any], np.ndarray], np.ndarray]] = {
    "comp-sum": _comp_sum,
    "sum": _sum,
    "max": _max,
    "constrained": _constrained,
    "one-versus-rest": _one_vs_rest,
}
