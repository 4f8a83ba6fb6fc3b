"""The temperature of the contrastive loss: which negatives it pushes, and what it becomes at both ends.

An anchor has a positive at similarity s⁺ and N negatives at s_1 … s_N. With temperature tau,

    Z = e^{s⁺/tau} + sum_j e^{s_j/tau},     L = −log( e^{s⁺/tau} / Z ),     P_j = e^{s_j/tau} / Z,

    ∂L/∂s_j = P_j/tau,      ∂L/∂s⁺ = −sum_j P_j/tau,      r_j = |∂L/∂s_j| / |∂L/∂s⁺| = softmax_j(s/tau).

The relative penalties r are a Boltzmann distribution over the negatives: tau says how much of the repulsion hits the
nearest ones. Their entropy H never falls with tau, since dH/d(1/tau) = −Var_r(s)/tau. At the ends,

    tau → 0:   0 ≤ tau L − max(max_j s_j − s⁺, 0) ≤ tau log(N + 1)                 (a triplet loss without margin)
    tau → ∞:   L = log(N + 1) + (mean − s⁺)/tau + Var/(2 tau²) + O(tau⁻³)         (the *simple* loss, affinely)

with mean and population variance over all N + 1 similarities. *Hard* losses keep an anchor's k most similar negatives.

Source: Wang and Liu (2021), *Understanding the Behaviour of Contrastive Loss*: the gradients, the relative penalties,
both limits, the simple and the hard losses, uniformity and tolerance. Error bounds and the entropy's slope are derived
here.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import pdist
from scipy.special import logsumexp

from theory.fuzz import Bound
from theory.validation import class_labels, finite_array, in_range, positive, whole_number

__all__ = [
    "contrastive_loss",
    "contrastive_loss_grad",
    "large_temperature_error_bound",
    "large_temperature_expansion",
    "penalty_entropy",
    "penalty_entropy_slope",
    "relative_penalties",
    "simple_contrastive_loss",
    "small_temperature_error_bound",
    "small_temperature_limit",
    "tolerance",
    "uniformity",
]

Positives = Float[np.ndarray, " anchors"]
Negatives = Float[np.ndarray, "anchors negatives"]


def contrastive_loss(
    sim_pos: Positives,
    sim_neg: Negatives,
    temperature: float,
    hard_fraction: float | None = None,
    top_k: int | None = None,
) -> Positives:
    """``log(1 + sum_j exp((s_j − s⁺)/tau))`` of every anchor, over all its negatives or the hardest.

    ``hard_fraction`` keeps the ``max(1, round(hard_fraction * N))`` most similar negatives, ``top_k`` that many. Which
    of several equal ones is kept changes nothing. Raises ``ValueError`` for arrays that are not finite or do not fit,
    no negatives, ``temperature <= 0``, a ``hard_fraction`` outside (0, 1], a ``top_k`` outside 1 … N, or both.

    >>> contrastive_loss(np.array([1.0]), np.array([[1.0, 0.0]]), temperature=1.0).round(4).tolist()
    [0.862]
    """
    s_positive, s_negative = _similarities(sim_pos, sim_neg)
    kept = _hardest(s_negative, hard_fraction, top_k)
    return _loss(s_positive, kept, positive("temperature", temperature))


def simple_contrastive_loss(
    sim_pos: Positives,
    sim_neg: Negatives,
    weight: float = 1.0,
    hard_fraction: float | None = None,
    top_k: int | None = None,
) -> Positives:
    """``−s⁺ + weight · mean_j s_j`` of every anchor: every negative is pushed alike.

    Over the hardest negatives it is the *hard simple* loss. Errors as in ``contrastive_loss``; also ``weight <= 0``.

    >>> simple_contrastive_loss(np.array([1.0]), np.array([[0.5, 0.0]])).tolist()
    [-0.75]
    """
    s_positive, s_negative = _similarities(sim_pos, sim_neg)
    return positive("weight", weight) * _hardest(s_negative, hard_fraction, top_k).mean(1) - s_positive


def contrastive_loss_grad(
    sim_pos: Positives,
    sim_neg: Negatives,
    temperature: float,
    hard_fraction: float | None = None,
    top_k: int | None = None,
) -> tuple[Positives, Negatives]:
    """Derivatives of ``contrastive_loss`` by the positive and by every negative; each anchor's sum to 0.

    ``−(1 − P⁺)/tau`` and ``P_j/tau``, the latter 0 for negatives that are left out. Errors as in ``contrastive_loss``.

    >>> contrastive_loss_grad(np.array([0.0]), np.array([[0.0, 0.0, 0.0]]), temperature=1.0)[1].tolist()
    [[0.25, 0.25, 0.25]]
    """
    s_positive, s_negative = _similarities(sim_pos, sim_neg)
    tau = positive("temperature", temperature)
    shares = relative_penalties(s_negative, tau, hard_fraction, top_k)
    # 1 − P⁺ = 1 − e^{−L}: no difference of nearly equal numbers when the positive is easy.
    repelled = -np.expm1(-_loss(s_positive, _hardest(s_negative, hard_fraction, top_k), tau))
    return -repelled / tau, shares * repelled[:, None] / tau


def relative_penalties(
    sim_neg: Negatives, temperature: float, hard_fraction: float | None = None, top_k: int | None = None
) -> Negatives:
    """``r_j = softmax_j(s/tau)``: the share of an anchor's repulsion that each negative gets; rows sum to 1.

    0 for negatives that are left out; of equal ones at the edge, the first are kept. Errors as in ``contrastive_loss``.

    >>> relative_penalties(np.array([[1.0, 0.0]]), temperature=0.5).round(4).tolist()
    [[0.8808, 0.1192]]
    """
    return np.exp(_log_penalties(sim_neg, temperature, hard_fraction, top_k))


def penalty_entropy(
    sim_neg: Negatives, temperature: float, hard_fraction: float | None = None, top_k: int | None = None
) -> Positives:
    """Entropy (in nats) of every anchor's relative penalties, from log(number of nearest ones) to log(number kept).

    Non-decreasing in the temperature, strictly unless all kept similarities are equal. Errors as in
    ``contrastive_loss``.

    >>> penalty_entropy(np.array([[0.3, 0.3, -1.0]]), temperature=0.001).round(4).tolist()
    [0.6931]
    """
    logs = _log_penalties(sim_neg, temperature, hard_fraction, top_k)
    return -(np.exp(logs) * np.where(np.isfinite(logs), logs, 0.0)).sum(1)


def penalty_entropy_slope(
    sim_neg: Negatives, temperature: float, hard_fraction: float | None = None, top_k: int | None = None
) -> Positives:
    """``dH/d(1/tau) = −Var_r(s)/tau``, at most 0. Errors as in ``contrastive_loss``.

    With b = 1/tau and log Z(b) = log sum e^{b s}: H = log Z − b ⟨s⟩ and d⟨s⟩/db = Var_r(s), so dH/db = −b Var_r(s).

    >>> penalty_entropy_slope(np.array([[1.0, -1.0]]), temperature=1.0).round(4).tolist()
    [-0.42]
    """
    s_negative = _negatives(sim_neg)
    shares = relative_penalties(s_negative, temperature, hard_fraction, top_k)
    centred = s_negative - (shares * s_negative).sum(1, keepdims=True)
    return -(shares * centred**2).sum(1) / temperature


def small_temperature_limit(sim_pos: Positives, sim_neg: Negatives) -> Positives:
    """``max(max_j s_j − s⁺, 0)``, the limit of ``tau · contrastive_loss`` as tau → 0: a triplet loss without margin.

    Raises ``ValueError`` for arrays that are not finite or do not fit.

    >>> small_temperature_limit(np.array([0.5, 0.5]), np.array([[0.7, 0.0], [0.4, 0.0]])).round(4).tolist()
    [0.2, 0.0]
    """
    s_positive, s_negative = _similarities(sim_pos, sim_neg)
    return np.maximum(s_negative.max(1) - s_positive, 0.0)


def small_temperature_error_bound(negatives: int, temperature: float) -> float:
    """``tau log(N + 1)``: tau L exceeds its limit by at most that, which is attained where all similarities are equal.

    Raises ``ValueError`` for fewer than one negative or ``temperature <= 0``.

    >>> round(small_temperature_error_bound(9, 0.1), 4)
    0.2303
    """
    return float(positive("temperature", temperature) * np.log(whole_number("negatives", negatives, 1) + 1))


def large_temperature_expansion(
    sim_pos: Positives, sim_neg: Negatives, temperature: float, order: int = 1
) -> Positives:
    """The loss up to ``tau^−order``: ``log(N+1) + (mean − s⁺)/tau [+ Var/(2 tau²)]`` over all N + 1 similarities.

    The cumulant expansion of the log-mean-exp. To first order it is the simple loss (weight 1) times N/((N + 1) tau)
    plus a constant. Raises ``ValueError`` as ``contrastive_loss``, and for an order other than 1 and 2.

    >>> large_temperature_expansion(np.array([1.0]), np.array([[0.0, 0.0]]), temperature=100.0).round(4).tolist()
    [1.0919]
    """
    everything = np.column_stack(_similarities(sim_pos, sim_neg))
    tau = positive("temperature", temperature)
    first = np.log(everything.shape[1]) + (everything.mean(1) - everything[:, 0]) / tau
    return first if _order(order) == 1 else first + everything.var(1) / (2 * tau**2)


def large_temperature_error_bound(
    sim_pos: Positives, sim_neg: Negatives, temperature: float, order: int = 1
) -> Positives:
    """What ``large_temperature_expansion`` misses at most, from the range R of an anchor's similarities.

    To first order the loss is above by at most ``R²/(8 tau²)`` (Hoeffding's lemma: a variance within R is at most
    R²/4). To second order it is off by at most ``sqrt(3) R³/(108 tau³)``, since a third central moment within R is at
    most R³/(6 sqrt(3)), that of two points. Errors as in ``large_temperature_expansion``.

    >>> large_temperature_error_bound(np.array([1.0]), np.array([[0.0, -1.0]]), temperature=10.0).round(4).tolist()
    [0.005]
    """
    spread = np.ptp(np.column_stack(_similarities(sim_pos, sim_neg)), axis=1) / positive("temperature", temperature)
    return spread**2 / 8 if _order(order) == 1 else np.sqrt(3) / 108 * spread**3


def uniformity(z: Float[np.ndarray, "samples dim"], t: float = 2.0) -> float:
    """``log mean exp(−t |u_i − u_j|²)`` over pairs i ≠ j of the rows over their norms; lower is more uniform.

    A zero row stays zero. Raises ``ValueError`` for fewer than two samples, elements not finite, or ``t <= 0``.
    Source: Wang and Isola (2020), as used by Wang and Liu (2021).

    >>> round(uniformity(np.array([[1.0, 0.0], [-3.0, 0.0]])), 4)
    -8.0
    """
    u = _unit_rows(z)
    squared = pdist(u, "sqeuclidean")
    return float(_log_mass(-positive("t", t) * squared) - np.log(len(squared)))


def tolerance(z: Float[np.ndarray, "samples dim"], labels: Int[np.ndarray, " samples"]) -> float:
    """Mean cosine over pairs of different samples of one class: how near a representation lets similar samples stay.

    Raises ``ValueError`` for fewer than two samples, elements that are not finite, labels that are not as many whole
    numbers of at least 0, or no class with two samples. Source: Wang and Liu (2021), who average over pairs.

    >>> tolerance(np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 1.0]]), np.array([0, 1, 1]))
    1.0
    """
    u = _unit_rows(z)
    classes = class_labels("labels", labels, length=len(u))
    same = (classes[:, None] == classes) & ~np.eye(len(u), dtype=bool)
    if not same.any():
        raise ValueError(f"labels must have two samples of one class, got {len(u)} classes of one")
    return float((u @ u.T)[same].mean())


def _negatives(sim_neg: Negatives) -> np.ndarray:
    raw = np.asarray(sim_neg)
    if raw.ndim == 2 and len(raw) and raw.shape[1] == 0:
        raise ValueError(f"sim_neg must have at least one negative per anchor, got shape {raw.shape}")
    return finite_array("sim_neg", sim_neg, 2)


def _similarities(sim_pos: Positives, sim_neg: Negatives) -> tuple[np.ndarray, np.ndarray]:
    s_positive, s_negative = finite_array("sim_pos", sim_pos, 1), _negatives(sim_neg)
    if len(s_positive) != len(s_negative):
        raise ValueError(f"sim_pos and sim_neg must have as many anchors, got {len(s_positive)} and {len(s_negative)}")
    return s_positive, s_negative


def _number_kept(negatives: int, hard_fraction: float | None, top_k: int | None) -> int:
    if hard_fraction is not None and top_k is not None:
        raise ValueError(f"hard_fraction and top_k exclude each other, got {hard_fraction!r} and {top_k!r}")
    if hard_fraction is not None:
        positive("hard_fraction", hard_fraction)
        return max(1, round(in_range("hard_fraction", hard_fraction, 0, 1) * negatives))
    if top_k is not None and whole_number("top_k", top_k, 1) > negatives:
        raise ValueError(f"top_k must be at most the {negatives} negatives, got {top_k}")
    return negatives if top_k is None else top_k


def _hardest(s_negative: np.ndarray, hard_fraction: float | None, top_k: int | None) -> np.ndarray:
    kept = _number_kept(s_negative.shape[1], hard_fraction, top_k)
    return np.partition(s_negative, s_negative.shape[1] - kept, axis=1)[:, s_negative.shape[1] - kept :]


def _log_penalties(
    sim_neg: Negatives, temperature: float, hard_fraction: float | None, top_k: int | None
) -> np.ndarray:
    s_negative = _negatives(sim_neg)
    scaled = s_negative / positive("temperature", temperature)
    kept = _number_kept(s_negative.shape[1], hard_fraction, top_k)
    if kept < s_negative.shape[1]:
        left_out = np.argsort(-s_negative, axis=1, kind="stable")[:, kept:]
        np.put_along_axis(scaled, left_out, -np.inf, axis=1)
    return scaled - _log_mass(scaled)[:, None]


def _loss(s_positive: np.ndarray, s_negative: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    tau = np.asarray(temperature)
    return np.logaddexp(0.0, _log_mass(s_negative / tau[..., None]) - s_positive / tau)


def _log_mass(scaled: np.ndarray) -> np.ndarray:
    return np.asarray(logsumexp(scaled, axis=-1))


def _order(order: int) -> int:
    if whole_number("order", order, 1) > 2:
        raise ValueError(f"order must be 1 or 2, got {order!r}")
    return int(order)


def _unit_rows(z: np.ndarray) -> np.ndarray:
    rows = finite_array("z", z, 2)
    if len(rows) < 2:
        raise ValueError(f"z must have at least 2 samples, got {len(rows)}")
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)


def _similarity_sampler(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """A positive and five negatives, half of them near the ends of [−1, 1]; a temperature, a factor from 1."""
    s = rng.uniform(-1, 1, (count, 6))
    extreme = rng.random((count, 1)) < 0.5
    return {
        "s": np.where(extreme, np.sign(s) * np.abs(s) ** 0.05, s),
        "tau": 10 ** rng.uniform(-2, 1, count),
        "factor": 10 ** rng.uniform(0, 2, count),
    }


def _scaled_loss(s: np.ndarray, tau: np.ndarray, factor: np.ndarray) -> np.ndarray:
    del factor
    return tau * _loss(s[:, 0], s[:, 1:], tau)


def _hinge(s: np.ndarray) -> np.ndarray:
    return np.maximum(s[:, 1:].max(1) - s[:, 0], 0.0)


def _entropy(s: np.ndarray, tau: np.ndarray) -> np.ndarray:
    scaled = s[:, 1:] / tau[:, None]
    logs = scaled - _log_mass(scaled)[:, None]
    return -(np.exp(logs) * logs).sum(1)


def _remainder(s: np.ndarray, tau: np.ndarray, order: int) -> np.ndarray:
    expansion = np.log(s.shape[1]) + (s.mean(1) - s[:, 0]) / tau
    if order == 2:
        expansion += s.var(1) / (2 * tau**2)
    return _loss(s[:, 0], s[:, 1:], tau) - expansion


def _bounds() -> Iterator[Bound]:
    yield Bound(
        "tau L at least its limit max(max s − s⁺, 0)", "derived",
        lambda s, tau, factor: _hinge(s), _scaled_loss, _similarity_sampler,
    )  # fmt: skip
    yield Bound(
        "tau L at most tau log(N + 1) above its limit", "derived", _scaled_loss,
        lambda s, tau, factor: _hinge(s) + tau * np.log(s.shape[1]), _similarity_sampler,
    )  # fmt: skip
    yield Bound(
        "the penalties' entropy does not fall with the temperature", "derived",
        lambda s, tau, factor: _entropy(s, tau), lambda s, tau, factor: _entropy(s, factor * tau), _similarity_sampler,
    )  # fmt: skip
    yield Bound(
        "the loss is at most R²/(8 tau²) above its first-order expansion", "Hoeffding's lemma",
        lambda s, tau, factor: _remainder(s, tau, 1),
        lambda s, tau, factor: np.ptp(s, axis=1) ** 2 / (8 * tau**2), _similarity_sampler,
    )  # fmt: skip
    yield Bound(
        "the loss is at least its first-order expansion", "Jensen's inequality",
        lambda s, tau, factor: np.log(s.shape[1]) + s.mean(1) / tau,
        lambda s, tau, factor: _loss(s[:, 0], s[:, 1:], tau) + s[:, 0] / tau, _similarity_sampler,
    )  # fmt: skip
    yield Bound(
        "the second-order expansion misses at most sqrt(3) R³/(108 tau³)", "derived",
        lambda s, tau, factor: np.abs(_remainder(s, tau, 2)),
        lambda s, tau, factor: np.sqrt(3) / 108 * (np.ptp(s, axis=1) / tau) ** 3, _similarity_sampler,
    )  # fmt: skip
    yield Bound(
        "the hard loss is at most the loss over all negatives", "derived",
        lambda s, tau, factor: _loss(s[:, 0], _hardest(s[:, 1:], 0.5, None), tau),
        lambda s, tau, factor: _loss(s[:, 0], s[:, 1:], tau), _similarity_sampler,
    )  # fmt: skip


BOUNDS = list(_bounds())
