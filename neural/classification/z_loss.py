"""The Z-loss and its relatives of the spherical family, as drop-in losses on logits.

With ``z_k = (o_k - mu) / sigma``, mean and population deviation over the D classes of an example,

    L = softplus(a (b - z_c)) / a,      dL/do_k = (r / sigma) (1[k = c] - 1/D - z_c z_k / D)

with r = -sigmoid(a (b - z_c)): shifting or positively scaling the logits changes nothing. b says which standard score
of the target is enough (larger b: small k of top-k error), a how hard that threshold is.

    loss = z_loss(model(x), y, a=0.1, b=10.0)
    loss = F.nll_loss(log_taylor_softmax(model(x)), y)

The same losses as functions of ``(target score, squared norm, sum)`` alone are below; ``factored_output`` trains an
output layer with them at a cost that does not depend on D. Not related to the penalty (log Z)² of language models.

Source: de Brébisson and Vincent (2016), *The Z-loss: a shift and scale invariant classification loss belonging to
the Spherical Family*, and (2016), *An exploration of softmax alternatives belonging to the spherical loss family*.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from neural.validation import (
    Reduction,
    class_indices,
    class_logits,
    finite_contents,
    floating,
    in_range,
    positive,
    reduce,
    whole_number,
)

__all__ = [
    "CoordinateLoss",
    "ZLoss",
    "log_spherical_softmax",
    "log_taylor_softmax",
    "spherical_mse",
    "spherical_mse_of_coordinates",
    "spherical_nll_of_coordinates",
    "taylor_nll_of_coordinates",
    "z_loss",
    "z_loss_of_coordinates",
]

CoordinateLoss = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""A spherical loss of ``(target scores, squared norms, sums, number of classes)``, one value per example."""

Logits = Float[Tensor, "batch classes"]
Target = Int[Tensor, " batch"]
PerExample = Float[Tensor, " batch"]


def z_loss(
    logits: Logits, target: Target, a: float = 1.0, b: float = 0.0, eps: float = 1e-12, reduction: Reduction = "mean"
) -> Float[Tensor, "..."]:
    """The Z-loss; shapes, dtypes, autocast and devices as in ``torch.nn.functional.cross_entropy``.

    Args:
        logits: scores o, at least two classes (with exactly two the loss is piecewise constant: do not train with it).
        target: class indices c.
        a: softness of the threshold, above 0.
        b: the standard score that the target should reach; ``sqrt(D / (k + 1) - 1)`` guarantees a place in the top k.
        eps: logits that deviate by no more count as constant. (Added to sigma, it would cost the scale invariance.)
        reduction: ``"mean"``, ``"sum"``, or ``"none"`` for one value per example.

    Constant logits give ``softplus(a b) / a`` and gradient 0. Half precision is computed in float32. The gradient
    grows like 1/sigma: an output layer must not start at 0, and scaling weights up lowers the effective step.
    Predictions are ``argmax``: the loss defines no probabilities. Differentiable once.

    Raises ``ValueError`` for fewer than two classes, shapes that do not fit, an empty batch, a or eps not above 0,
    b not finite, an unknown reduction, and on CPU for logits that are not finite (or whose squares overflow) or targets
    outside ``0 … D − 1``.

    >>> z_loss(torch.tensor([[0.0, 0.0, 3.0]]), torch.tensor([2]))
    tensor(0.2176)
    """
    _check_classes(logits)
    class_indices("target", target, len(logits), logits.shape[1])
    _check_shape(a, b)
    positive("eps", eps)
    kept = logits.dtype if logits.dtype in (torch.float32, torch.float64) else torch.float32
    z, sigma = _TargetZ.apply(logits.to(kept), target.long(), eps)
    # One number per example tells: a pass over all logits would cost more than the loss.
    if sigma.device.type == "cpu" and not math.isfinite(float(sigma.sum())):
        finite_contents("logits, and the squares of their deviations,", sigma)
    return reduce(_softplus_loss(z, a, b), reduction)


class ZLoss(nn.Module):
    """``z_loss`` with its parameters: call it with logits and targets."""

    def __init__(self, a: float = 1.0, b: float = 0.0, eps: float = 1e-12, reduction: Reduction = "mean") -> None:
        super().__init__()
        _check_shape(a, b)
        positive("eps", eps)
        reduce(torch.zeros(1), reduction)
        self.a, self.b, self.eps = a, b, eps
        self.reduction: Reduction = reduction

    def forward(self, logits: Logits, target: Target) -> Float[Tensor, "..."]:
        return z_loss(logits, target, self.a, self.b, self.eps, self.reduction)

    def extra_repr(self) -> str:
        return f"a={self.a}, b={self.b}, eps={self.eps}, reduction={self.reduction!r}"


def log_taylor_softmax(logits: Logits) -> Logits:
    """Log-probabilities with ``1 + o + o^2/2``, the second-order series, in the place of ``exp(o)``.

    The series is at least 1/2: always positive. Use it with ``torch.nn.functional.nll_loss``. Raises ``ValueError`` for
    fewer than two classes, and on CPU for logits that are not finite.

    >>> log_taylor_softmax(torch.tensor([[0.0, -1.0]])).exp()
    tensor([[0.6667, 0.3333]])
    """
    class_logits("logits", logits)
    weights = 1 + logits + logits.square() / 2
    return weights.log() - weights.sum(dim=1, keepdim=True).log()


def log_spherical_softmax(logits: Logits, eps: float = 1e-3) -> Logits:
    """Log-probabilities ``log (o_k^2 + eps) - log (||o||^2 + D eps)``; the sign of a logit does not matter.

    Use it with ``torch.nn.functional.nll_loss``. Raises ``ValueError`` as ``log_taylor_softmax``, and for eps
    not above 0.
    """
    class_logits("logits", logits)
    positive("eps", eps)
    weights = logits.square() + eps
    return weights.log() - weights.sum(dim=1, keepdim=True).log()


def spherical_mse(logits: Logits, target: Target, reduction: Reduction = "mean") -> Float[Tensor, "..."]:
    """``||o - e_c||^2 = ||o||^2 - 2 o_c + 1``, without a one-hot matrix.

    Raises ``ValueError`` as ``z_loss``.

    >>> spherical_mse(torch.tensor([[1.0, 2.0]]), torch.tensor([1]))
    tensor(2.)
    """
    class_logits("logits", logits)
    class_indices("target", target, len(logits), logits.shape[1])
    chosen = logits.gather(1, target.long()[:, None]).squeeze(1)
    return reduce(logits.square().sum(dim=1) - 2 * chosen + 1, reduction)


def z_loss_of_coordinates(
    oc: PerExample, q: PerExample, s: PerExample, classes: int, a: float = 1.0, b: float = 0.0
) -> PerExample:
    """The Z-loss of target scores, squared norms and sums: no eps, and no logits.

    ``sigma^2 = q/D - (s/D)^2`` loses digits where the mean is large against sigma: give the coordinates in float64. A
    variance that rounding alone explains counts as 0, with z = 0 and gradient 0. Raises ``ValueError`` for shapes that
    differ, fewer than two classes, a not above 0 or b not finite, and on CPU for coordinates that are not finite.
    """
    _check_coordinates(oc, q, s, classes)
    _check_shape(a, b)
    mean = s / classes
    variance = q / classes - mean.square()
    spread = variance > 4 * torch.finfo(q.dtype).eps * q / classes
    # A square root of 0 would turn the gradient that is discarded into NaN.
    sigma = torch.where(spread, variance, 1.0).sqrt()
    return _softplus_loss(torch.where(spread, (oc - mean) / sigma, 0.0), a, b)


def taylor_nll_of_coordinates(oc: PerExample, q: PerExample, s: PerExample, classes: int) -> PerExample:
    """``log(D + s + q/2) - log(1 + o_c + o_c^2/2)``. Errors as ``z_loss_of_coordinates``."""
    _check_coordinates(oc, q, s, classes)
    return (classes + s + q / 2).log() - (1 + oc + oc.square() / 2).log()


def spherical_nll_of_coordinates(
    oc: PerExample, q: PerExample, s: PerExample, classes: int, eps: float = 1e-3
) -> PerExample:
    """``log(q + D eps) - log(o_c^2 + eps)``. Errors as ``z_loss_of_coordinates``, and for eps not above 0."""
    _check_coordinates(oc, q, s, classes)
    positive("eps", eps)
    return (q + classes * eps).log() - (oc.square() + eps).log()


def spherical_mse_of_coordinates(oc: PerExample, q: PerExample, s: PerExample, classes: int) -> PerExample:
    """``q - 2 o_c + 1``. Errors as ``z_loss_of_coordinates``."""
    _check_coordinates(oc, q, s, classes)
    return q - 2 * oc + 1


class _TargetZ(torch.autograd.Function):
    """The target's standard score, with its gradient in closed form: one matrix is kept, none is made twice."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        # From the first class on, constant logits are exactly 0, and the mean costs no digits of the deviations.
        centred = logits - logits[:, :1]
        centred -= centred.mean(dim=1, keepdim=True)
        sigma = torch.linalg.vector_norm(centred, dim=1) / logits.shape[1] ** 0.5
        # 0 stands for the inverse of no deviation: it makes z and the gradient 0.
        inverse = torch.where(sigma > eps, sigma.reciprocal(), 0.0)
        z = centred.gather(1, target[:, None]).squeeze(1) * inverse
        ctx.save_for_backward(centred, target, inverse, z)
        ctx.mark_non_differentiable(sigma)
        return z, sigma

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_z: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        centred, target, inverse, z = ctx.saved_tensors
        classes = centred.shape[1]
        slope = by_z * inverse
        along = -slope * z * inverse / classes
        gradient = (centred * along[:, None]).sub_((slope / classes)[:, None])
        return gradient.scatter_add_(1, target[:, None], slope[:, None]), None, None


def _softplus_loss(z: Tensor, a: float, b: float) -> Tensor:
    # From the threshold on it is a straight line: at 20, the default, 2e-9 below the value; at 40, below rounding.
    return F.softplus(b - z, beta=a, threshold=40.0)


def _check_classes(logits: Tensor) -> None:
    floating("logits", logits, 2)
    if logits.shape[1] < 2:
        raise ValueError(f"logits must have at least 2 classes, got shape {tuple(logits.shape)}")


def _check_shape(a: float, b: float) -> None:
    positive("a", a)
    in_range("b", b, -1e300, 1e300)


def _check_coordinates(oc: Tensor, q: Tensor, s: Tensor, classes: int) -> None:
    whole_number("classes", classes, 2)
    for name, value in (("oc", oc), ("q", q), ("s", s)):
        floating(name, value, 1)
        if value.shape != oc.shape:
            raise ValueError(f"{name} must have shape {tuple(oc.shape)} as oc has, got {tuple(value.shape)}")
    # Coordinates are a few numbers per example, for which every call counts: one look, and a second if it fails.
    if oc.device.type == "cpu" and not math.isfinite(float((oc + q + s).detach().sum())):
        for name, value in (("oc", oc), ("q", q), ("s", s)):
            finite_contents(name, value)
