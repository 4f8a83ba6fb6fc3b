"""The batch perceptron, which is gradient descent on the logistic loss with an infinite step, and its classic relative.

With samples z_i = y_i a_i and theta_0 = 0,

    theta_{t+1} = theta_t + (1/n) sum_i w_i z_i,        w_i = 1[<z_i, theta_t> < 0] + tie · 1[<z_i, theta_t> = 0],

or, normalised, the weighted mean instead of (1/n) times the weighted sum. The weight 1/2 at margin 0 is the limit of
1/(1 + e^{gamma·0}); it also makes the first step, half the mean of all samples.

    batch_perceptron(Z).iterations                       # until every margin is above 0
    batch_perceptron(Z, normalized=True).iterations      # at most R²/mu²
    classic_perceptron(Z).iterations                     # one sample at a time: at most R²/mu² updates

Bounds, with R = max |z_i| and mu the margin of the best direction u: while a sample is not separated its weight is at
least tie, so the mean weight k_t is at least tie/n. No weighted margin is positive, so |theta_T|² <= R² sum k_t², and
<theta_T, u> >= mu sum k_t. With k_t <= 1, K = sum k_t <= R²/mu² and T <= K n/tie = 2 n R²/mu². The normalised method
has k_t = 1: T <= R²/mu².

Source: Rosenblatt (1958); Novikoff (1962) for the classic bound; the batch form as a limit: Tyurin (2024), *From
Logistic Regression to the Perceptron Algorithm*; constants derived here.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
from jaxtyping import Float

from theory.optimization.separation import Record, SeparationResult, checked_samples, separate
from theory.validation import positive, whole_number

__all__ = [
    "batch_perceptron",
    "bound_batch_perceptron",
    "classic_perceptron",
    "rational_batch_perceptron",
]


def batch_perceptron(
    Z: Float[np.ndarray, "*problems samples dim"],
    normalized: bool = False,
    tie: float = 0.5,
    max_iter: int = 100_000,
    *,
    record: Record = "losses",
) -> SeparationResult:
    """Run the batch perceptron from 0 on every problem of ``Z`` until all its margins are above 0.

    ``losses`` are those of the perceptron, ``mean max(0, −margin)``. Sums are exact for integer data, ``normalized``
    or not up to the division, so that ties are true ties there. Raises ``ValueError`` for samples that are empty or
    not finite, a ``tie`` outside (0, 1] (with weight 0 it would never start) or ``max_iter < 1``.

    >>> batch_perceptron(np.array([[1.0, 0.0], [-1.0, 1.0]])).iterations
    np.int64(4)
    """
    Z = checked_samples(Z)
    if positive("tie", tie) > 1:
        raise ValueError(f"tie must be a number in (0, 1], got {tie!r}")

    def weight(margins: np.ndarray) -> np.ndarray:
        return (margins < 0) + tie * (margins == 0)

    run = separate(
        Z, weight, scale=1.0, factor=1.0, max_iter=max_iter, normalized=bool(normalized),
        loss=lambda margins: np.maximum(-margins, 0.0), record=record,
    )  # fmt: skip
    if normalized:
        return run
    # Dividing rounds once; a factor of 1/n would round twice.
    n, losses, path = Z.shape[-2], run.losses, run.path
    return replace(
        run, theta=run.theta / n, losses=None if losses is None else losses / n, path=None if path is None else path / n
    )


def classic_perceptron(Z: Float[np.ndarray, "samples dim"], max_iter: int = 100_000) -> SeparationResult:
    """One sample at a time, in a cycle: ``theta <- theta + z_i`` if its margin is not above 0.

    ``iterations`` are updates, at most R²/mu² of them (Novikoff 1962); samples that need none are free. ``losses``
    and ``path`` as of ``batch_perceptron``. Raises ``ValueError`` for samples that are not a finite matrix, or
    ``max_iter < 1``; warns if ``max_iter`` updates do not separate them.

    >>> classic_perceptron(np.array([[1.0, 0.0], [-1.0, 1.0]])).theta.tolist()
    [1.0, 2.0]
    """
    Z = checked_samples(Z)
    if Z.ndim != 2:
        raise ValueError(f"Z must have shape (samples, dim), got {Z.shape}")
    whole_number("max_iter", max_iter, 1)
    path, losses, position = [np.zeros(Z.shape[1])], [], 0
    for _ in range(max_iter + 1):
        margins = Z @ path[-1]
        losses.append(np.maximum(-margins, 0.0).mean())
        wrong = np.flatnonzero(margins <= 0)
        if len(wrong) == 0 or len(path) > max_iter:
            break
        chosen = wrong[np.searchsorted(wrong, position) % len(wrong)]
        position = (chosen + 1) % len(Z)
        path.append(path[-1] + Z[chosen])
    solved = len(wrong) == 0
    if not solved:
        warnings.warn(f"not separated after max_iter = {max_iter} updates", RuntimeWarning, stacklevel=2)
    return SeparationResult(
        np.int64(len(path) - 1), path[-1], np.array(losses), np.stack(path), np.bool_(solved)
    )  # fmt: skip


def rational_batch_perceptron(
    rows: Sequence[Sequence[int | Fraction]], normalized: bool = False, max_iter: int = 1000
) -> list[tuple[Fraction, ...]]:
    """The batch perceptron (tie 1/2) in exact rational arithmetic: theta_0, theta_1, … up to the first that separates.

    A reference for small problems with ties. Raises ``ValueError`` for rows that are empty, of unequal lengths or not
    rational, and if ``max_iter`` updates do not separate them.

    >>> [tuple(map(str, theta)) for theta in rational_batch_perceptron([[1, 0], [-1, 1]])]
    [('0', '0'), ('0', '1/4'), ('1/4', '1/4'), ('0', '1/2'), ('1/4', '1/2')]
    """
    samples = _rational(rows)
    whole_number("max_iter", max_iter, 1)
    dim, half = len(samples[0]), Fraction(1, 2)
    path = [(Fraction(0),) * dim]
    for _ in range(max_iter + 1):
        margins = [sum((a * b for a, b in zip(z, path[-1], strict=True)), Fraction(0)) for z in samples]
        if min(margins) > 0:
            return path
        weights = [Fraction(m < 0) + half * (m == 0) for m in margins]
        total = sum(weights, Fraction(0)) if normalized else Fraction(len(samples))
        sums = (sum((w * z[k] for w, z in zip(weights, samples, strict=True)), Fraction(0)) for k in range(dim))
        path.append(tuple(old + change / total for old, change in zip(path[-1], sums, strict=True)))
    raise ValueError(f"max_iter must be enough to separate the rows, got {max_iter}")


def bound_batch_perceptron(n: int, R: float, mu: float, normalized: bool = False) -> float:
    """``T <= 2 n R²/mu²``, or ``R²/mu²`` if ``normalized``; for tie = 1/2 and theta_0 = 0.

    If no margin is 0 after the first step, whose mean weight is 1/2, the others are at least 1/n and
    ``T <= n R²/mu² + 1 − n/2``. Raises ``ValueError`` for n < 1 or R, mu not above 0 or mu > R.

    >>> bound_batch_perceptron(10, R=1.0, mu=0.5)
    80.0
    """
    ratio = squared_ratio(R, mu)
    return ratio if normalized else 2 * whole_number("n", n, 1) * ratio


def squared_ratio(R: float, mu: float) -> float:
    """``R²/mu²``, which is at least 1."""
    R, mu = positive("R", R), positive("mu", mu)
    # A margin equals R for a single direction, and both are rounded.
    if mu > R * (1 + 1e-9):
        raise ValueError(f"mu must not be above R, got {mu} and {R}")
    return (R / mu) ** 2


def _rational(rows: Sequence[Sequence[int | Fraction]]) -> list[tuple[Fraction, ...]]:
    message = f"rows must be non-empty, equally long sequences of integers or Fractions, got {rows!r:.60}"
    if isinstance(rows, str) or not isinstance(rows, Sequence) or not rows:
        raise ValueError(message)
    samples = []
    for row in rows:
        if isinstance(row, str) or not isinstance(row, Sequence) or not all(isinstance(x, int | Fraction) for x in row):
            raise ValueError(message)
        samples.append(tuple(map(Fraction, row)))
    if not samples[0] or len({len(row) for row in samples}) > 1:
        raise ValueError(message)
    return samples
