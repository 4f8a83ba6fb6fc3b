"""Distributional dispreference optimisation on a finite set of answers, exactly.

D2O pushes a negative answer l down against the mean of K answers drawn from the reference policy:

    L = −log σ( (β/K) Σ_i log π(y_i)/π_r(y_i) − α log π(l)/π_r(l) ),      y_i ~ π_r

* **Below the mean of pairs.** By convexity of −log σ the loss is at most the mean over i of the losses that see one
  self-sample each (with α = β: of DPO), with equality only where all log-ratios agree.
* **An anchor.** As K grows the mean of log-ratios tends to −KL(π_r ‖ π), at the rate K^(−1/2): a forward divergence
  beside the reverse one of the reward's derivation, together the Jeffreys divergence.
* **Where it ends.** For one negative answer of probability p under the reference, the loss given π(l) = q is least when
  all other answers keep their proportions; then the bracket is (α − βp) log(p/q) + β(1 − p) log((1 − q)/(1 − p)). If
  α > βp it grows without bound as q → 0; if α < βp the anchor stops at ``q* = (βp − α)/(β − α)``.

    run = tabular_dispreference(reference, negatives, "d2o", alpha=0.1, beta=0.1, K=11, step=0.05, T=3000)
    run.q, run.kl_good, run.jeffreys                 # (T + 1, tables)

Source: Duan, Yi, Zhang, Liu, Liu, Lu, Xie and Gu (2024), *Negating negatives: alignment without human positive samples
via distributional dispreference optimization*, loss and gradient; the identities and q* are derived here.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from theory.fuzz import Bound
from theory.validation import at_least, finite_array, one_of, positive, probabilities, same_shape, whole_number

__all__ = [
    "BOUNDS",
    "DispreferenceRun",
    "Method",
    "d2o_interior_optimum",
    "d2o_loss",
    "jeffreys",
    "pairwise_loss",
    "tabular_dispreference",
]

Method = Literal["d2o", "dpo", "npo", "ga"]
Table = Float[np.ndarray, "*tables answers"]


def d2o_loss(
    self_ratio: Float[np.ndarray, "*batch samples"],
    neg_ratio: Float[np.ndarray, "*batch"],
    alpha: float = 0.1,
    beta: float = 0.1,
) -> Float[np.ndarray, "*batch"]:
    """``−log σ(β mean_i self_ratio_i − α neg_ratio)`` from log-ratios to the reference.

    Raises ``ValueError`` for shapes that do not fit, entries that are not finite, or alpha, beta below 0.

    >>> float(d2o_loss(np.array([1.0, 3.0]), np.array(0.0), beta=0.0))
    0.6931471805599453
    """
    own, negative = _ratios(self_ratio, neg_ratio, alpha, beta)
    return np.asarray(np.logaddexp(0, alpha * negative - beta * own.mean(-1)))


def pairwise_loss(
    self_ratio: Float[np.ndarray, "*batch samples"],
    neg_ratio: Float[np.ndarray, "*batch"],
    alpha: float = 0.1,
    beta: float = 0.1,
) -> Float[np.ndarray, "*batch"]:
    """``mean_i −log σ(β self_ratio_i − α neg_ratio)``: DPO with each self-sample as the preferred answer.

    Never below ``d2o_loss``. Raises ``ValueError`` as ``d2o_loss``.
    """
    own, negative = _ratios(self_ratio, neg_ratio, alpha, beta)
    return np.asarray(np.logaddexp(0, alpha * negative[..., None] - beta * own).mean(-1))


def jeffreys(p: Table, q: Table) -> Float[np.ndarray, "*tables"]:
    """``KL(p ‖ q) + KL(q ‖ p)``, infinite where one is 0 and the other is not.

    Raises ``ValueError`` for other shapes or what is no distribution.

    >>> round(float(jeffreys(np.array([0.5, 0.5]), np.array([0.25, 0.75]))), 6)
    0.274653
    """
    first, second = probabilities("p", p), probabilities("q", q)
    same_shape(("p", "q"), (first, second))
    return np.asarray(_divergence(first, second) + _divergence(second, first))


def d2o_interior_optimum(alpha: float, beta: float, p_minus: float) -> float:
    """Probability that D2O with K → ∞ leaves one negative answer of reference probability ``p_minus``.

    ``(β p − α)/(β − α)`` for α < β p, else 0. Raises ``ValueError`` for alpha or beta below 0 or p outside (0, 1).

    >>> d2o_interior_optimum(alpha=0.1, beta=1.0, p_minus=0.2), d2o_interior_optimum(0.1, 0.4, 0.2)
    (0.11111111111111112, 0.0)
    """
    at_least("alpha", alpha, 0.0)
    at_least("beta", beta, 0.0)
    if not 0 < positive("p_minus", p_minus) < 1:
        raise ValueError(f"p_minus must lie strictly between 0 and 1, got {p_minus}")
    return (beta * p_minus - alpha) / (beta - alpha) if alpha < beta * p_minus else 0.0


@dataclass(frozen=True)
class DispreferenceRun:
    """Trajectories of gradient descent, each of shape (T + 1, tables).

    ``q`` is the probability of all negative answers, ``kl_good`` the divergence of the reference from the policy
    among the other answers, ``jeffreys`` that of the whole distributions; ``policy`` the last one.
    """

    q: Float[np.ndarray, "steps tables"]
    kl_good: Float[np.ndarray, "steps tables"]
    jeffreys: Float[np.ndarray, "steps tables"]
    policy: Float[np.ndarray, "tables answers"]


def tabular_dispreference(
    ref: Float[np.ndarray, "tables answers"],
    neg_dist: Float[np.ndarray, "tables answers"],
    method: Method,
    alpha: float = 0.1,
    beta: float = 0.1,
    K: int | None = None,
    step: float = 0.05,
    T: int = 2000,
    seed: int = 0,
) -> DispreferenceRun:
    """Descend from the reference along softmax logits, all tables at once.

    ``neg_dist`` gives the law of the negative answers. ``d2o`` uses K fresh self-samples per step, None for their
    whole law; ``dpo`` the whole law of pairs (a self-sample, a negative); ``npo`` has no anchor; ``ga`` descends on the
    negatives' log-probability. Losses are times 2/α (``ga`` is not), so that all start with the same push on the
    negatives. Raises ``ValueError`` for what is no distribution, other shapes, a table that has no answer beside its
    negatives, or numbers out of range.

    >>> third = np.full((1, 3), 1 / 3)
    >>> run = tabular_dispreference(third, np.array([[1.0, 0.0, 0.0]]), "ga", T=200)
    >>> bool(run.q[-1] < 0.05), bool(run.kl_good[-1] < 1e-12)
    (True, True)
    """
    reference, negatives = probabilities("ref", ref, 2), probabilities("neg_dist", neg_dist, 2)
    same_shape(("ref", "neg_dist"), (reference, negatives))
    one_of("method", method, get_args(Method))
    positive("alpha", alpha)
    at_least("beta", beta, 0.0)
    positive("step", step)
    whole_number("T", T, 1)
    whole_number("seed", seed, 0)
    if K is not None:
        whole_number("K", K, 1)
    good = negatives == 0
    if reference.min() <= 0 or not good.any(1).all():
        raise ValueError("ref must be above 0, and neg_dist must leave an answer of every table out")
    rng = np.random.default_rng(seed)
    logits = np.log(reference)
    start = logits.copy()
    found = np.empty((3, T + 1, len(reference)))
    for t in range(T + 1):
        policy = np.exp(logits)
        found[:, t] = _measured(reference, policy, good)
        if t < T:
            pull = _coefficients(reference, negatives, logits - start, method, alpha, beta, K, rng)
            logits = logits - step * (pull - pull.sum(1, keepdims=True) * policy)
            logits -= np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return DispreferenceRun(found[0], found[1], found[2], np.exp(logits))


def _coefficients(
    reference: np.ndarray,
    negatives: np.ndarray,
    ratio: np.ndarray,
    method: Method,
    alpha: float,
    beta: float,
    K: int | None,
    rng: np.random.Generator,
) -> np.ndarray:
    """Derivatives of the loss, times 2/alpha, with respect to the log-probabilities of the answers."""
    if method == "ga":
        return negatives
    if method == "npo":
        return 2 * negatives * _sigmoid(alpha * ratio)
    if method == "dpo":
        # weights[table, i, l]: self-sample i against negative l.
        weights = reference[:, :, None] * negatives[:, None, :]
        weights = weights * _sigmoid(alpha * ratio[:, None, :] - beta * ratio[:, :, None])
        return 2 / alpha * (alpha * weights.sum(1) - beta * weights.sum(2))
    own = reference if K is None else rng.multinomial(K, reference) / K
    anchor = (own * ratio).sum(1, keepdims=True)
    weights = negatives * _sigmoid(alpha * ratio - beta * anchor)
    return 2 / alpha * (alpha * weights - beta * weights.sum(1, keepdims=True) * own)


def _measured(reference: np.ndarray, policy: np.ndarray, good: np.ndarray) -> np.ndarray:
    kept = np.where(good, reference, 0.0), np.where(good, policy, 0.0)
    among = [part / part.sum(1, keepdims=True) for part in kept]
    both = _divergence(reference, policy) + _divergence(policy, reference)
    return np.stack([policy.sum(1) - kept[1].sum(1), _divergence(*among), both])


def _divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * (np.log(p) - np.log(q)), 0.0)
    return np.asarray(np.maximum(terms.sum(-1), 0.0))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -x))


def _ratios(own: np.ndarray, negative: np.ndarray, alpha: float, beta: float) -> tuple[np.ndarray, np.ndarray]:
    samples, other = finite_array("self_ratio", own), finite_array("neg_ratio", negative)
    if samples.ndim == 0 or samples.shape[:-1] != other.shape:
        raise ValueError(f"self_ratio must have shape {(*other.shape, 'samples')}, as neg_ratio, got {samples.shape}")
    at_least("alpha", alpha, 0.0)
    at_least("beta", beta, 0.0)
    return samples, other


def _instances(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Log-ratios of up to eight self-samples (repeated where there are fewer), wide and narrow."""
    width = 10.0 ** rng.uniform(-2, 2, size=(count, 1))
    return {
        "self_ratio": width * rng.normal(size=(count, 8)), "neg_ratio": 10 * rng.normal(size=count),
        "alpha": rng.uniform(0, 2, size=count), "beta": rng.uniform(0, 2, size=count),
    }  # fmt: skip


def _below(self_ratio: np.ndarray, neg_ratio: np.ndarray, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, alpha * neg_ratio - beta * self_ratio.mean(1))


def _above(self_ratio: np.ndarray, neg_ratio: np.ndarray, alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, (alpha * neg_ratio)[:, None] - beta[:, None] * self_ratio).mean(1)


BOUNDS = [
    Bound(
        "D2O is at most the mean of DPO over self-samples", "Duan et al. 2024, upper bound of instance-level DPO",
        _below, _above, _instances,
    ),
]  # fmt: skip
