"""Losses for noisy labels, as drop-in functions: what label-distributionally robust losses are compared with.

With ``s = softmax(logits)``, K classes and label y:

    crammer_singer_loss                   max(0, max_{k≠y} f_k − f_y + margin)
    weston_watkins_loss                   sum_{k≠y} max(0, f_k − f_y + margin)
    mean_absolute_error                   1 − s_y                                        symmetric
    mean_squared_error                    sum_k (s_k − 1[k=y])²
    generalized_cross_entropy             (1 − s_y^q) / q
    truncated_generalized_cross_entropy   the same, constant where s_y <= k
    symmetric_cross_entropy               −(1 − balance) log s_y − balance log_zero (1 − s_y)
    jensen_shannon_loss                   generalised Jensen–Shannon divergence of one-hot label and s
    robust_log_loss                       log((a+1)/a) − log(a + s_y) + mean_{k≠y} log(a + s_k)     symmetric
    normalized_cross_entropy              log s_y / sum_k log s_k                        symmetric
    nce_rce_loss, nce_agce_loss, nce_aul_loss   normalised cross-entropy plus reverse cross-entropy 1 − s_y,
                                          asymmetric ((a+1)^q − (a+s_y)^q)/q, or ((a−s_y)^q − (a−1)^q)/q

    loss = generalized_cross_entropy(model(x), y, q=0.7)

All take ``logits (batch, classes)``, ``target (batch,)``, and ``reduction`` last, and raise ``ValueError`` for shapes,
dtypes, labels or (on CPU) logits that do not fit or are not finite, and for parameters out of range. Sources stand with
each function.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from neural.validation import Reduction, at_least, class_indices, class_logits, in_range, positive, reduce

__all__ = [
    "crammer_singer_loss",
    "generalized_cross_entropy",
    "jensen_shannon_loss",
    "mean_absolute_error",
    "mean_squared_error",
    "nce_agce_loss",
    "nce_aul_loss",
    "nce_rce_loss",
    "normalized_cross_entropy",
    "robust_log_loss",
    "symmetric_cross_entropy",
    "truncated_generalized_cross_entropy",
    "weston_watkins_loss",
]

Logits = Float[Tensor, "batch classes"]
Labels = Int[Tensor, " batch"]
Loss = Float[Tensor, "..."]


def crammer_singer_loss(logits: Logits, target: Labels, margin: float = 1.0, reduction: Reduction = "mean") -> Loss:
    """``max(0, max_{k≠y} f_k − f_y + margin)``. Source: Crammer and Singer (2001).

    >>> crammer_singer_loss(torch.tensor([[1.0, 0.5, -3.0]]), torch.tensor([0]))
    tensor(0.5000)
    """
    return reduce(_hinges(logits, target, margin).amax(dim=1), reduction)


def weston_watkins_loss(logits: Logits, target: Labels, margin: float = 1.0, reduction: Reduction = "mean") -> Loss:
    """``sum_{k≠y} max(0, f_k − f_y + margin)``: K times ``multi_margin_loss``. Source: Weston and Watkins (1999).

    >>> weston_watkins_loss(torch.tensor([[1.0, 0.5, 0.25]]), torch.tensor([0]))
    tensor(0.7500)
    """
    return reduce(_hinges(logits, target, margin).sum(dim=1), reduction)


def mean_absolute_error(logits: Logits, target: Labels, reduction: Reduction = "mean") -> Loss:
    """``1 − s_y``, half the l1 distance of s from the one-hot label. Source: Ghosh, Kumar and Sastry (2017).

    >>> mean_absolute_error(torch.zeros(1, 4), torch.tensor([2]))
    tensor(0.7500)
    """
    return reduce(-torch.expm1(_shares(logits, target).own), reduction)


def mean_squared_error(logits: Logits, target: Labels, reduction: Reduction = "mean") -> Loss:
    """``sum_k (s_k − 1[k=y])²``, the Brier score.

    >>> mean_squared_error(torch.zeros(1, 2), torch.tensor([0]))
    tensor(0.5000)
    """
    shares = _shares(logits, target)
    everything, own = shares.log.exp().square().sum(dim=1), shares.own.exp()
    # the own entry is taken out and put back as (1 − s_y)²: no small difference of large terms
    return reduce((everything - own.square()).clamp(min=0.0) + torch.expm1(shares.own).square(), reduction)


def generalized_cross_entropy(logits: Logits, target: Labels, q: float = 0.7, reduction: Reduction = "mean") -> Loss:
    """``(1 − s_y^q) / q``: cross-entropy as q → 0, mean absolute error at 1; q in (0, 1].

    Source: Zhang and Sabuncu (2018).

    >>> generalized_cross_entropy(torch.zeros(1, 4), torch.tensor([2]), q=1.0)
    tensor(0.7500)
    """
    _check_exponent(q)
    return reduce(-torch.expm1(q * _shares(logits, target).own) / q, reduction)


def truncated_generalized_cross_entropy(
    logits: Logits, target: Labels, q: float = 0.7, k: float = 0.5, reduction: Reduction = "mean"
) -> Loss:
    """``min((1 − s_y^q) / q, (1 − k^q) / q)``: examples with ``s_y <= k`` have no gradient; k in [0, 1).

    An untrained network has all of them there, so start with the loss that is not truncated. Source: Zhang and Sabuncu
    (2018).

    >>> round(truncated_generalized_cross_entropy(torch.zeros(1, 4), torch.tensor([2]), q=1.0, k=0.6).item(), 6)
    0.4
    """
    _check_exponent(q)
    in_range("k", k, 0, 1)
    if k == 1:
        raise ValueError("k must be below 1, or no example has a gradient, got 1")
    return reduce((-torch.expm1(q * _shares(logits, target).own) / q).clamp(max=(1 - k**q) / q), reduction)


def symmetric_cross_entropy(
    logits: Logits, target: Labels, balance: float = 0.5, log_zero: float = -4.0, reduction: Reduction = "mean"
) -> Loss:
    """Cross-entropy and reverse cross-entropy mixed: ``−(1 − balance) log s_y − balance log_zero (1 − s_y)``.

    Reverse cross-entropy takes the logarithm of the one-hot label, with ``log 0`` replaced by the negative number
    ``log_zero``; balance in [0, 1]. Source: Wang, Ma, Chen, Luo, Yi and Bailey (2019).

    >>> symmetric_cross_entropy(torch.zeros(1, 4), torch.tensor([2]), balance=1.0)
    tensor(3.)
    """
    in_range("balance", balance, 0, 1)
    if isinstance(log_zero, bool) or not isinstance(log_zero, int | float) or not -math.inf < log_zero < 0:
        raise ValueError(f"log_zero must be a finite number below 0, got {log_zero!r}")
    own = _shares(logits, target).own
    return reduce(-(1 - balance) * own + balance * log_zero * torch.expm1(own), reduction)


def jensen_shannon_loss(logits: Logits, target: Labels, weight: float = 0.5, reduction: Reduction = "mean") -> Loss:
    """``(H(w e_y + (1−w) s) − (1−w) H(s)) / (−(1−w) log(1−w))``, H the entropy, w the label's weight in (0, 1).

    A function of s_y alone, from cross-entropy (w → 0) to the mean absolute error (w → 1). Source: Englesson and
    Azizpour (2021).

    >>> round(jensen_shannon_loss(torch.tensor([[0.0, 50.0]]), torch.tensor([0]), weight=0.5).item(), 4)
    2.0
    """
    in_range("weight", weight, 0, 1)
    if weight in (0, 1):
        raise ValueError(f"weight must be strictly between 0 and 1, got {weight!r}")
    own = _shares(logits, target).own
    other, s = 1 - weight, own.exp()
    log_mixed = torch.log(weight + other * s)
    to_label = -weight * log_mixed
    to_shares = other * (s * (own - log_mixed) + math.log(other) * torch.expm1(own))
    return reduce((to_label + to_shares) / (-other * math.log(other)), reduction)


def robust_log_loss(logits: Logits, target: Labels, a: float = 0.1, reduction: Reduction = "mean") -> Loss:
    """``log((a+1)/a) − log(a + s_y) + mean_{k≠y} log(a + s_k)``, for a > 0: symmetric, and 0 at the one-hot label.

    Source: Patel and Sastry (2021). (The code published with the LDR losses differs: it takes scores, and one
    logarithm of a sum.)

    >>> round(robust_log_loss(torch.tensor([[50.0, 0.0]]), torch.tensor([0])).item(), 4)
    0.0
    """
    positive("a", a)
    shares = _shares(logits, target)
    each = torch.log(a + shares.log.exp())
    own = torch.log(a + shares.own.exp())
    others = (each.sum(dim=1) - own) / (logits.shape[1] - 1)
    return reduce(math.log1p(1 / a) - own + others, reduction)


def normalized_cross_entropy(logits: Logits, target: Labels, reduction: Reduction = "mean") -> Loss:
    """``log s_y / sum_k log s_k``, in [0, 1]; sums to 1 over labels.

    Source: Ma, Huang, Wang, Romano, Erfani and Bailey (2020).

    >>> normalized_cross_entropy(torch.zeros(1, 4), torch.tensor([2]))
    tensor(0.2500)
    """
    return reduce(_normalized(_shares(logits, target)), reduction)


def nce_rce_loss(
    logits: Logits,
    target: Labels,
    alpha: float = 1.0,
    beta: float = 1.0,
    log_zero: float = -4.0,
    reduction: Reduction = "mean",
) -> Loss:
    """``alpha`` normalised cross-entropy plus ``beta`` reverse cross-entropy ``−log_zero (1 − s_y)``.

    Source: Ma, Huang, Wang, Romano, Erfani and Bailey (2020).

    >>> nce_rce_loss(torch.zeros(1, 4), torch.tensor([2]))
    tensor(3.2500)
    """
    _check_weights(alpha, beta)
    if isinstance(log_zero, bool) or not isinstance(log_zero, int | float) or not -math.inf < log_zero < 0:
        raise ValueError(f"log_zero must be a finite number below 0, got {log_zero!r}")
    shares = _shares(logits, target)
    return reduce(alpha * _normalized(shares) + beta * log_zero * torch.expm1(shares.own), reduction)


def nce_agce_loss(
    logits: Logits,
    target: Labels,
    alpha: float = 1.0,
    beta: float = 1.0,
    a: float = 3.0,
    q: float = 1.5,
    reduction: Reduction = "mean",
) -> Loss:
    """``alpha`` normalised cross-entropy plus ``beta`` asymmetric ``((a+1)^q − (a+s_y)^q) / q``; a, q > 0.

    Source: Zhou, Liu, Jiang, Gao and Ji (2021).

    >>> round(nce_agce_loss(torch.zeros(1, 4), torch.tensor([2]), a=1.0, q=1.0).item(), 6)
    1.0
    """
    _check_weights(alpha, beta)
    positive("a", a)
    positive("q", q)
    shares = _shares(logits, target)
    asymmetric = ((a + 1) ** q - (a + shares.own.exp()) ** q) / q
    return reduce(alpha * _normalized(shares) + beta * asymmetric, reduction)


def nce_aul_loss(
    logits: Logits,
    target: Labels,
    alpha: float = 1.0,
    beta: float = 1.0,
    a: float = 6.0,
    q: float = 1.5,
    reduction: Reduction = "mean",
) -> Loss:
    """``alpha`` normalised cross-entropy plus ``beta`` asymmetric ``((a−s_y)^q − (a−1)^q) / q``; a > 1, q > 0.

    Source: Zhou, Liu, Jiang, Gao and Ji (2021).

    >>> round(nce_aul_loss(torch.zeros(1, 4), torch.tensor([2]), a=2.0, q=1.0).item(), 6)
    1.0
    """
    _check_weights(alpha, beta)
    positive("a", a)
    if a <= 1:
        raise ValueError(f"a must be above 1, got {a!r}")
    positive("q", q)
    shares = _shares(logits, target)
    asymmetric = ((a - shares.own.exp()) ** q - (a - 1) ** q) / q
    return reduce(alpha * _normalized(shares) + beta * asymmetric, reduction)


class _Shares(NamedTuple):
    """log s of every class, and of the label."""

    log: Tensor
    own: Tensor


def _shares(logits: Tensor, target: Tensor) -> _Shares:
    class_logits("logits", logits)
    class_indices("target", target, len(logits), logits.shape[1])
    log = F.log_softmax(logits, dim=1)
    return _Shares(log, log.gather(1, target.long()[:, None]).squeeze(1))


def _normalized(shares: _Shares) -> Tensor:
    return shares.own / shares.log.sum(dim=1)


def _hinges(logits: Tensor, target: Tensor, margin: float) -> Tensor:
    """``max(0, f_k − f_y + margin)``, 0 at the label."""
    class_logits("logits", logits)
    class_indices("target", target, len(logits), logits.shape[1])
    at_least("margin", margin, 0)
    label = target.long()[:, None]
    return F.relu(logits - logits.gather(1, label) + margin).scatter(1, label, 0.0)


def _check_exponent(q: float) -> None:
    in_range("q", q, 0, 1)
    positive("q", q)


def _check_weights(alpha: float, beta: float) -> None:
    at_least("alpha", alpha, 0)
    at_least("beta", beta, 0)
