"""Hard negative mixing (MoCHi): where mixed negatives lie, and what they add to the loss.

Unit vectors throughout: a query q, negatives n_i with s_i = <q, n_i>, c = <n_i, n_j>. Two kinds of mixture,

    of two negatives       h  = (a n_i + (1 − a) n_j) / |·|,     0 ≤ a ≤ 1,
    of query and negative  h' = (b q + (1 − b) n_j) / |·|,       0 ≤ b ≤ 1/2,

and everything about them follows from |a u + (1 − a) v|² = 1 − 2 a (1 − a)(1 − <u, v>):

    <q, h>  = (a s_i + (1 − a) s_j) / sqrt(1 − 2 a (1 − a)(1 − c)),
    <q, h'> = (b + (1 − b) s_j) / sqrt(1 − 2 b (1 − b)(1 − s_j)).

Dividing by a norm of at most 1 lengthens: a mixture on the query's side is at least as hard as the mean of its
parents, and two equally hard parents give a harder child. The angle between q and h' falls from theta at b = 0 to
theta/2 at b = 1/2: such a negative never passes the half-way point. Mixtures only add to the denominator, so that
the loss with them is the larger one, by log(1 + mass of the mixtures / mass of everything else).

Source: Kalantidis, Sariyildiz, Pion, Weinzaepfel and Larlus (2020), *Hard Negative Mixing for Contrastive Learning*,
for the two mixtures and the loss; the geometry is derived here.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from theory.fuzz import Bound
from theory.validation import finite_array, positive, whole_number

__all__ = [
    "class_parent_share",
    "hardening_limit",
    "loss_increase",
    "mixed_similarity",
    "mochi_loss",
    "query_mixed_similarity",
]


def mixed_similarity(s_i: ArrayLike, s_j: ArrayLike, c: ArrayLike, a: ArrayLike) -> Float[np.ndarray, "..."]:
    """Cosine of the query with the mixture of two negatives, elementwise.

    ``(a s_i + (1 − a) s_j) / sqrt(1 − 2 a (1 − a)(1 − c))`` with ``s_i, s_j`` the parents' cosines with the query,
    ``c`` their cosine with each other and ``a`` the first one's weight. Opposite parents in equal parts cancel; the
    mixture is then zero, and so is the result. Raises ``ValueError`` for cosines outside [−1, 1], three
    cosines that no three unit vectors have, or weights outside [0, 1].

    >>> mixed_similarity(0.5, 0.5, 0.0, 0.5).round(4).tolist()
    0.7071
    """
    first, second, between, weight = _broadcast(
        {"s_i": _within("s_i", s_i, -1, 1), "s_j": _within("s_j", s_j, -1, 1), "c": _within("c", c, -1, 1),
         "a": _within("a", a, 0, 1)}
    )  # fmt: skip
    determinant = 1 - first**2 - second**2 - between**2 + 2 * first * second * between
    if np.any(determinant < -1e-9):
        raise ValueError(
            f"s_i, s_j and c must be cosines of three unit vectors, got a Gram determinant of {determinant.min()}"
        )
    return _over_norm(weight * first + (1 - weight) * second, weight, between)


def query_mixed_similarity(s: ArrayLike, b: ArrayLike) -> Float[np.ndarray, "..."]:
    """Cosine of the query with its own mixture with a negative of cosine ``s``, elementwise.

    ``(b + (1 − b) s) / sqrt(1 − 2 b (1 − b)(1 − s))`` rises in b from s to ``sqrt((1 + s)/2)`` at b = 1/2, where the
    angle is halved. Raises ``ValueError`` for cosines outside [−1, 1] or weights outside [0, 1/2].

    >>> query_mixed_similarity(0.0, 0.5).round(4).tolist()
    0.7071
    """
    cosine, weight = _broadcast({"s": _within("s", s, -1, 1), "b": _within("b", b, 0, 0.5)})
    return _over_norm(weight + (1 - weight) * cosine, weight, cosine)


def hardening_limit(c: ArrayLike) -> Float[np.ndarray, "..."]:
    """Largest factor ``sqrt(2/(1 + c))`` by which a mixture exceeds the mean of its parents; attained at a = 1/2.

    Raises ``ValueError`` for cosines outside [−1, 1]; opposite parents have no limit (infinity).
    """
    with np.errstate(divide="ignore"):
        return np.asarray(np.sqrt(2 / (1 + _within("c", c, -1, 1))))


def mochi_loss(
    positives: Float[np.ndarray, " queries"],
    negatives: Float[np.ndarray, "queries negatives"],
    mixed: Float[np.ndarray, "queries mixtures"],
    temperature: float = 0.2,
) -> Float[np.ndarray, " queries"]:
    """``−log(e^{p/tau} / (e^{p/tau} + sum over negatives and mixtures of e^{s/tau}))`` from cosines.

    ``mixed`` may have no columns, which gives MoCo's loss. Raises ``ValueError`` for numbers of queries that differ, no
    negatives, elements that are not finite, or ``temperature <= 0``. Source: the paper's loss.
    """
    p, s, m = _checked_cosines(positives, negatives, mixed, temperature)
    return np.asarray(logsumexp(np.concatenate([p[:, None], s, m], axis=1) / temperature, axis=1)) - p / temperature


def loss_increase(
    positives: Float[np.ndarray, " queries"],
    negatives: Float[np.ndarray, "queries negatives"],
    mixed: Float[np.ndarray, "queries mixtures"],
    temperature: float = 0.2,
) -> Float[np.ndarray, " queries"]:
    """What the mixtures add to the loss: ``log(1 + M_mixed / (M_positive + M_negative)) ≥ 0``, M sums of e^{s/tau}.

    Arguments and errors as in ``mochi_loss``.
    """
    p, s, m = _checked_cosines(positives, negatives, mixed, temperature)
    if m.shape[1] == 0:
        return np.zeros(len(p))
    mass = np.asarray(logsumexp(np.concatenate([p[:, None], s], axis=1) / temperature, axis=1))
    return np.logaddexp(0.0, np.asarray(logsumexp(m / temperature, axis=1)) - mass)


def class_parent_share(same_class: int, n_hard: int) -> float:
    """Chance that two different parents drawn from ``n_hard`` negatives are both among the ``same_class`` false ones.

    ``k (k − 1) / (N (N − 1))``, below the chance ``k/N`` of drawing a single false negative, and close to its square:
    mixing two negatives dilutes false ones. Raises ``ValueError`` for fewer than two negatives or k outside 0 … N.

    >>> class_parent_share(10, 64)
    0.022321428571428572
    """
    whole_number("same_class", same_class, 0)
    whole_number("n_hard", n_hard, 2)
    if same_class > n_hard:
        raise ValueError(f"same_class must be at most n_hard = {n_hard}, got {same_class}")
    return same_class * (same_class - 1) / (n_hard * (n_hard - 1))


def _within(name: str, value: ArrayLike, low: float, high: float) -> np.ndarray:
    checked = finite_array(name, value)
    if np.any((checked < low) | (checked > high)):
        raise ValueError(f"{name} must be between {low} and {high}, got values in [{checked.min()}, {checked.max()}]")
    return checked


def _broadcast(arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    try:
        return list(np.broadcast_arrays(*arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"{', '.join(arrays)} must broadcast against each other, got shapes {shapes}") from None


def _over_norm(numerator: ArrayLike, weight: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    squared = 1 - 2 * weight * (1 - weight) * (1 - cosine)
    vanishes = squared <= 0
    similarity = np.where(vanishes, 0.0, numerator) / np.sqrt(np.where(vanishes, 1.0, squared))
    return np.asarray(np.clip(similarity, -1, 1))


def _checked_cosines(
    positives: np.ndarray, negatives: np.ndarray, mixed: np.ndarray, temperature: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    positive("temperature", temperature)
    p, s = finite_array("positives", positives, 1), finite_array("negatives", negatives, 2)
    m = np.empty((len(p), 0)) if np.shape(mixed) == (len(p), 0) else finite_array("mixed", mixed, 2)
    for name, array in (("negatives", s), ("mixed", m)):
        if len(array) != len(p):
            raise ValueError(f"{name} must have as many rows as positives has queries, {len(p)}, got {len(array)}")
    return p, s, m


def _unit_sampler(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Cosines of a query and two negatives in three dimensions, bunched to every degree, and a weight."""
    centre = np.array([1.0, 0.0, 0.0]) * rng.exponential(2.0, (count, 1, 1))
    vectors = rng.standard_normal((count, 3, 3)) + centre
    q, u, v = np.moveaxis(vectors / np.linalg.norm(vectors, axis=2, keepdims=True), 1, 0)
    cosines = {"s_i": (q * u).sum(1), "s_j": (q * v).sum(1), "c": (u * v).sum(1)}
    return {**{name: np.clip(x, -1, 1) for name, x in cosines.items()}, "a": rng.uniform(0, 1, count)}


def _convex(s_i: np.ndarray, s_j: np.ndarray, a: np.ndarray) -> np.ndarray:
    return a * s_i + (1 - a) * s_j


def _angle(cosine: np.ndarray) -> np.ndarray:
    return np.arccos(np.clip(cosine, -1, 1))


def _query_sampler(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    return {"s": np.cos(rng.uniform(0.01, np.pi, count)), "b": rng.uniform(0, 0.5, count)}


def _bounds() -> Iterator[Bound]:
    yield Bound(
        "a mixture is at least as near as the mean of its parents, on the query's side", "derived",
        lambda s_i, s_j, c, a: np.maximum(_convex(s_i, s_j, a), 0),
        lambda s_i, s_j, c, a: np.maximum(_over_norm(_convex(s_i, s_j, a), a, c), 0), _unit_sampler,
    )  # fmt: skip
    yield Bound(
        "a mixture exceeds the mean of its parents by at most sqrt(2/(1 + c))", "derived",
        lambda s_i, s_j, c, a: np.abs(_over_norm(_convex(s_i, s_j, a), a, c)),
        lambda s_i, s_j, c, a: np.abs(_convex(s_i, s_j, a)) * np.sqrt(2 / (1 + np.maximum(c, -1 + 1e-12))),
        _unit_sampler,
    )  # fmt: skip
    yield Bound(
        "mixing in the query never takes a negative beyond half of its angle", "derived",
        lambda s, b: 0.5 * _angle(s), lambda s, b: _angle(_over_norm(b + (1 - b) * s, b, s)), _query_sampler,
    )  # fmt: skip
    yield Bound(
        "mixing in the query never takes a negative away from it", "derived",
        lambda s, b: _angle(_over_norm(b + (1 - b) * s, b, s)), lambda s, b: _angle(s), _query_sampler,
    )  # fmt: skip


BOUNDS = list(_bounds())
