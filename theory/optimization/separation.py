"""Iterations that stop when a linear classifier separates its samples: many runs at once, finished ones dropped.

Samples with labels y = ±1 enter as z = y·a, so that theta separates them if and only if every margin <z_i, theta> is
above 0 (a margin of exactly 0 is not separated). All methods here repeat

    S  <-  S + sum_i w(c·<z_i, S>) z_i        (or the weighted mean: the sum over sum_i w)

and differ in the weight w, in the scale c and in the factor that turns S into theta: w(m) = 1/(1 + e^m) with
c = gamma/n is gradient descent on the logistic loss, w(m) = 1[m < 0] + 1[m = 0]/2 the batch perceptron.
S is free of gamma: nothing overflows at gamma = 1e8, and on integer data S holds half-integers, so that the ties of
the perceptron are exact in floats.

    separate(Z, lambda m: 1 / (1 + np.exp(m)), scale=gamma / n, factor=gamma / n, max_iter=1000).iterations

``Z`` may have leading axes (problems), ``scale`` any axes that broadcast against them (step sizes).
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import expit

from theory.validation import finite_array, one_of, whole_number

__all__ = [
    "Record",
    "SeparationResult",
    "checked_samples",
    "logistic_loss",
    "perceptron_loss",
    "separate",
]

Record: TypeAlias = Literal["nothing", "losses", "path"]
Weight: TypeAlias = Callable[[np.ndarray], np.ndarray]
Numbers: TypeAlias = float | Float[np.ndarray, "..."]


@dataclass(frozen=True)
class SeparationResult:
    """What runs came to; the axes of the runs come first, and one run has none.

    ``iterations`` updates were made until all margins were above 0 (``max_iter`` where ``solved`` is False).
    ``losses[..., t]`` and ``path[..., t, :]`` belong to theta after t updates, NaN after the end of a run; None if
    they were not recorded. ``theta`` is the last one.
    """

    iterations: Int[np.ndarray, "..."] | np.integer
    theta: Float[np.ndarray, "... dim"]
    losses: Float[np.ndarray, "... steps"] | None
    path: Float[np.ndarray, "... steps dim"] | None
    solved: Bool[np.ndarray, "..."] | np.bool_


def separate(
    Z: Float[np.ndarray, "*problems samples dim"],
    weight: Weight,
    *,
    scale: Numbers,
    factor: Numbers,
    max_iter: int,
    start: Float[np.ndarray, "..."] | None = None,
    normalized: bool = False,
    loss: Callable[[np.ndarray], np.ndarray] | None = None,
    record: Record = "losses",
    stop: bool = True,
) -> SeparationResult:
    """Repeat ``S <- S + sum_i w(scale·<z_i, S>) z_i`` until every margin is above 0; ``theta = factor·S``.

    ``weight`` maps margins to weights, ``loss`` theta's margins to the loss of each sample (default: the logistic
    loss), whose mean is recorded. ``scale`` and ``factor`` broadcast against the leading axes of ``Z``, ``start``
    against these and ``dim``. With ``normalized`` the sum is divided by the sum of weights. ``stop=False`` makes
    ``max_iter`` updates, whatever the margins. Cost: two products with Z per iteration, for all step sizes together.

    Raises ``ValueError`` for samples that are empty or not finite, scales not above 0, a ``max_iter`` below 1, or axes
    that do not broadcast. Runs that are not separated after ``max_iter`` updates cause a ``RuntimeWarning``.

    >>> Z = np.array([[1.0, 0.0], [-1.0, 1.0]])
    >>> separate(Z, lambda m: 1 / (1 + np.exp(m)), scale=0.5, factor=0.5, max_iter=9).iterations
    np.int64(2)
    """
    Z = checked_samples(Z)
    whole_number("max_iter", max_iter, 1)
    one_of("record", record, ("nothing", "losses", "path"))
    if not callable(weight) or not (loss is None or callable(loss)):
        raise ValueError(f"weight and loss must be functions of margins, got {weight!r} and {loss!r}")
    scale, factor = _above_zero("scale", scale), _above_zero("factor", factor)
    runs = _Runs(Z, scale, factor, start)
    sample_loss = loss or _softplus
    losses: list[tuple[np.ndarray, np.ndarray]] = []
    path: list[tuple[np.ndarray, np.ndarray]] = []
    for step in range(max_iter + 1):
        products = runs.S @ runs.columns
        margins = products * runs.scale
        if record != "nothing":
            losses.append((runs.numbers[runs.live], sample_loss(products * runs.factor).mean(axis=2)[runs.live]))
        if record == "path":
            path.append((runs.numbers[runs.live], (runs.S * runs.factor)[runs.live]))
        if stop and runs.finish(products.min(axis=2) > 0, step):
            if not runs.live.any():
                break
            if runs.worth_packing():
                problems, kept = runs.pack()
                margins = np.take_along_axis(margins[problems], kept, axis=1)
        if step == max_iter:
            break
        weights = weight(margins)
        change = weights @ runs.Z
        if normalized:
            # Without weight there is no change to divide: a separated run whose weights have underflowed.
            total = weights.sum(axis=2, keepdims=True)
            change /= np.where(total > 0, total, 1.0)
        runs.S += change if runs.all_live else np.where(runs.live[..., None], change, 0.0)
    if stop and not runs.solved.all():
        warnings.warn(
            f"{np.sum(~runs.solved)} of {runs.solved.size} runs are not separated after max_iter = {max_iter} updates",
            RuntimeWarning,
            stacklevel=3,
        )
    return runs.result(max_iter, losses if record != "nothing" else None, path if record == "path" else None)


def logistic_weight(margins: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """``1/(1 + e^m)``: 1/2 at a margin of 0, and accurate in its tail ``e^{−m}``."""
    return expit(-margins)


def logistic_loss(
    Z: Float[np.ndarray, "*problems samples dim"], theta: Float[np.ndarray, "*runs dim"]
) -> Float[np.ndarray, "..."] | np.floating:
    """``(1/n) sum_i log(1 + exp(−<z_i, theta>))``; within log 2 above ``perceptron_loss``, whatever theta.

    Raises ``ValueError`` for arrays that are empty, not finite or do not fit.

    >>> float(logistic_loss(np.array([[1.0, 0.0]]), np.array([-1000.0, 3.0])))
    1000.0
    """
    return _softplus(_margins(Z, theta)).mean(axis=-1)[()]


def perceptron_loss(
    Z: Float[np.ndarray, "*problems samples dim"], theta: Float[np.ndarray, "*runs dim"]
) -> Float[np.ndarray, "..."] | np.floating:
    """``(1/n) sum_i max(0, −<z_i, theta>)``, which the batch perceptron descends.

    Raises ``ValueError`` as ``logistic_loss``.

    >>> float(perceptron_loss(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([-1.0, 3.0])))
    0.5
    """
    return np.maximum(-_margins(Z, theta), 0.0).mean(axis=-1)[()]


def checked_samples(Z: Float[np.ndarray, "*problems samples dim"]) -> Float[np.ndarray, "*problems samples dim"]:
    """``Z`` as float64 with shape (..., samples, dim); raises ``ValueError`` if it is empty or not finite.

    >>> checked_samples(np.array([[1, 2]], dtype=np.float32)).dtype
    dtype('float64')
    """
    Z = finite_array("Z", Z)
    if Z.ndim < 2:
        raise ValueError(f"Z must have shape (..., samples, dim), got {Z.shape}")
    return Z


class _Runs:
    """The live part of all runs: S has shape (problems, runs of a problem, dim), packed as runs finish."""

    def __init__(self, Z: np.ndarray, scale: np.ndarray, factor: np.ndarray, start: np.ndarray | None) -> None:
        leading, dim = Z.shape[:-2], Z.shape[-1]
        try:
            self.shape = np.broadcast_shapes(leading, scale.shape, factor.shape)
        except ValueError:
            raise ValueError(f"Z's leading axes {leading} and scale's axes {scale.shape} must broadcast") from None
        # Runs that share a problem go side by side, so that one product serves them all.
        problem = np.broadcast_to(np.arange(int(np.prod(leading))).reshape(leading), self.shape).ravel()
        order = np.argsort(problem, kind="stable").reshape(int(np.prod(leading)), -1)
        self.Z = Z.reshape(-1, *Z.shape[-2:])
        self.columns = self.Z.transpose(0, 2, 1)
        self.numbers = order
        self.scale = np.broadcast_to(scale, self.shape).ravel()[order][..., None]
        self.factor = np.broadcast_to(factor, self.shape).ravel()[order][..., None]
        self.live = np.ones(order.shape, dtype=bool)
        self.all_live = True
        first = np.zeros((*self.shape, dim)) if start is None else _started(start, (*self.shape, dim))
        self.S = first.reshape(-1, dim)[order]
        self.thetas = np.empty((order.size, dim))
        self.iterations = np.zeros(order.size, dtype=np.int64)
        self.solved = np.zeros(order.size, dtype=bool)

    def finish(self, separated: np.ndarray, step: int) -> bool:
        """Keep what separated runs have come to; returns whether any of them was live."""
        done = separated & self.live
        if not done.any():
            return False
        self._keep(done)
        self.iterations[self.numbers[done]] = step
        self.solved[self.numbers[done]] = True
        self.live, self.all_live = self.live & ~done, False
        return True

    def worth_packing(self) -> bool:
        """Frozen runs cost as much as live ones; moving the others together costs about one iteration."""
        return bool(np.count_nonzero(self.live) <= 0.8 * self.live.size)

    def pack(self) -> tuple[np.ndarray, np.ndarray]:
        """Drop problems without live runs, and move live runs to the front; returns which are kept."""
        problems = np.flatnonzero(self.live.any(axis=1))
        live = self.live[problems]
        runs = np.argsort(~live, axis=1, kind="stable")[:, : live.sum(axis=1).max()]
        if len(problems) < len(self.Z):
            self.Z = self.Z[problems]
            self.columns = self.Z.transpose(0, 2, 1)
        self.live, self.numbers = (
            np.take_along_axis(each[problems], runs, axis=1) for each in (self.live, self.numbers)
        )
        self.all_live = bool(self.live.all())
        kept = runs[..., None]
        self.S, self.scale, self.factor = (
            np.take_along_axis(each[problems], kept, axis=1) for each in (self.S, self.scale, self.factor)
        )
        return problems, kept

    def result(
        self,
        max_iter: int,
        losses: list[tuple[np.ndarray, np.ndarray]] | None,
        path: list[tuple[np.ndarray, np.ndarray]] | None,
    ) -> SeparationResult:
        if self.live.any():
            self._keep(self.live)
            self.iterations[self.numbers[self.live]] = max_iter
        return SeparationResult(
            self.iterations.reshape(self.shape)[()],
            self.thetas.reshape(*self.shape, -1),
            None if losses is None else self._padded(losses),
            None if path is None else self._padded(path),
            self.solved.reshape(self.shape)[()],
        )

    def _keep(self, which: np.ndarray) -> None:
        self.thetas[self.numbers[which]] = (self.S * self.factor)[which]

    def _padded(self, steps: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        values = np.full((self.iterations.size, len(steps), *steps[0][1].shape[1:]), np.nan)
        for step, (numbers, each) in enumerate(steps):
            values[numbers, step] = each
        return values.reshape(*self.shape, *values.shape[1:])


def _softplus(margins: np.ndarray) -> np.ndarray:
    return np.maximum(-margins, 0.0) + np.log1p(np.exp(-np.abs(margins)))


def _margins(Z: np.ndarray, theta: np.ndarray) -> np.ndarray:
    Z, theta = checked_samples(Z), finite_array("theta", theta)
    if theta.ndim == 0 or theta.shape[-1] != Z.shape[-1]:
        raise ValueError(f"theta must have shape (..., {Z.shape[-1]}), got {theta.shape}")
    try:
        return (Z @ theta[..., None])[..., 0]
    except ValueError:
        raise ValueError(f"theta's leading axes must broadcast against Z's, got {theta.shape} and {Z.shape}") from None


def _above_zero(name: str, value: Numbers) -> np.ndarray:
    array = finite_array(name, value)
    if array.min() <= 0:
        raise ValueError(f"{name} must be above 0, got {array.min()}")
    return array


def _started(start: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    start = finite_array("start", start)
    try:
        return np.broadcast_to(start, shape)
    except ValueError:
        raise ValueError(f"start must broadcast to {shape}, got shape {start.shape}") from None
