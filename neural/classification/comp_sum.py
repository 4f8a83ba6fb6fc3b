"""Comp-sum losses: cross-entropy and its relatives as one family, indexed by tau.

With ``S = softmax(logits)`` and target y

    l_tau = (S_y^{tau−1} − 1) / (1 − tau),     l_1 = −log S_y,          ∂l_tau/∂h_k = S_y^{tau−1} (S_k − 1[k = y])

tau = 0 is the sum-exponential loss, 1 cross-entropy, 1 + q generalised cross-entropy with exponent q, 2 the mean
absolute error 1 − S_y. tau scales the gradient of cross-entropy by S_y^{tau−1}: below 1 it amplifies hard
points, above 1 it mutes them, which is what makes tau > 1 robust to label noise and slow on many classes.

    loss = comp_sum(model(x), y, tau=1.5)

Source: Mao, Mohri and Zhong (2023), *Cross-Entropy Loss Functions: Theoretical Analysis and Applications*.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from neural.validation import Reduction, at_least, finite_contents, floating, indices, one_of, reduce

__all__ = ["CompSumLoss", "comp_sum"]

_NO_LABEL = -(2**63)  # torch would ignore label −100 silently


def comp_sum(
    logits: Float[Tensor, "batch classes *positions"],
    target: Int[Tensor, "batch *positions"],
    tau: float = 1.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """The loss ``l_tau``; shapes, dtypes, autocast and devices as in ``torch.nn.functional.cross_entropy``.

    Args:
        logits: scores, classes along the second axis.
        target: class indices.
        tau: 0 sum-exponential, 1 cross-entropy, 1 + q generalised cross-entropy, 2 mean absolute error.
        reduction: ``"mean"`` over all targets, ``"sum"``, or ``"none"`` for the shape of ``target``.

    For ``tau < 1`` the loss and its gradient grow like ``S_y^{tau−1}``. Where that exceeds the square root of the
    largest number of the dtype (e^44 in float32, e^354 in float64) the loss goes on linearly in ``−log S_y``: it stays
    finite and increasing, its gradient keeps its direction, and the squares that a gradient norm sums do not overflow
    for means over a batch. Clip gradient norms when training with tau < 1. A logit of −inf takes a class out.

    Raises ``ValueError`` for ``tau`` negative or not finite, fewer than two classes, shapes that do not fit, targets
    that are not whole numbers or (on CPU) not in ``0 … classes − 1``, an empty batch, an unknown reduction, or (on CPU)
    logits whose cross-entropy is not finite.

    >>> comp_sum(torch.zeros(1, 4), torch.tensor([2]), tau=2.0)
    tensor(0.7500)
    """
    _check(logits, target, tau)
    try:
        entropy = F.cross_entropy(logits, target.long(), reduction="none", ignore_index=_NO_LABEL)
    except IndexError:  # torch looks at CPU labels anyway: no second look while they are right
        low, high = (int(end) for end in torch.aminmax(target))
        raise ValueError(f"target must be in 0 … {logits.shape[1] - 1}, got {low} … {high}") from None
    finite_contents("logits (their cross-entropy)", entropy)
    return reduce(_of_cross_entropy(entropy, float(tau)), reduction)


class CompSumLoss(nn.Module):
    """``comp_sum`` with its parameters: call it with logits and targets."""

    def __init__(self, tau: float = 1.0, reduction: Reduction = "mean") -> None:
        super().__init__()
        at_least("tau", tau, 0)
        one_of("reduction", reduction, ("mean", "sum", "none"))
        self.tau = tau
        self.reduction: Reduction = reduction

    def forward(
        self, logits: Float[Tensor, "batch classes *positions"], target: Int[Tensor, "batch *positions"]
    ) -> Float[Tensor, "..."]:
        return comp_sum(logits, target, self.tau, self.reduction)

    def extra_repr(self) -> str:
        return f"tau={self.tau}, reduction={self.reduction!r}"


def _of_cross_entropy(entropy: Tensor, tau: float) -> Tensor:
    """``l_tau`` from ``−log S_y``: a map of one number per target, so that all O(batch · classes) work is torch's.

    Its derivative is S_y^{tau−1}; expm1 keeps every digit as tau tends to 1.
    """
    if tau == 1:
        return entropy
    exponent = (1 - tau) * entropy
    limit = math.log(torch.finfo(entropy.dtype).max) / 2
    # Off the CPU, asking whether any exponent is that large would wait for the device.
    if tau > 1 or (entropy.device.type == "cpu" and not float(exponent.detach().amax()) > limit):
        return torch.expm1(exponent) / (1 - tau)
    # Both terms have derivative 0 where the other is at work: a difference of the two would drown ordinary points.
    return (torch.expm1(exponent.clamp(max=limit)) + math.exp(limit) * F.relu(exponent - limit)) / (1 - tau)


def _check(logits: Tensor, target: Tensor, tau: float) -> None:
    at_least("tau", tau, 0)
    floating("logits", logits)
    if logits.ndim < 2 or logits.shape[1] < 2:
        raise ValueError(f"logits must have shape (batch, classes >= 2, ...), got {tuple(logits.shape)}")
    indices("target", target)
    if target.shape != logits.shape[:1] + logits.shape[2:]:
        raise ValueError(
            f"target must have the shape of logits without classes, got {tuple(target.shape)} for {tuple(logits.shape)}"
        )
