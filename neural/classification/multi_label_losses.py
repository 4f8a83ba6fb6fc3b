"""Multi-label losses that COMIC is measured against, in one calling convention.

    asymmetric_loss(logits, targets, gamma_neg=4.0)               negatives are focused, easy ones ignored
    focal_multilabel_loss(logits, targets, gamma=2.0)             easy entries of either label count less
    distribution_balanced_loss(logits, targets, counts, samples)  repeated sampling undone, negatives tolerated
    splc_loss(logits, targets, tau=0.6)                           confident negatives are taken for missing positives

``logits`` and 0/1 ``targets`` have shape (batch, classes) or, for stacks of models, (models, batch, classes).

Sources: Ridnik et al. (2021), *Asymmetric Loss for Multi-Label Classification*; Lin et al. (2017), *Focal Loss for
Dense Object Detection*; Wu et al. (2020), *Distribution-Balanced Loss for Multi-Label Classification in Long-Tailed
Datasets*; Zhang et al. (2021), *Simple and Robust Loss Design for Multi-Label Learning with Missing Labels*.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Num, Shaped
from torch import Tensor

from neural.classification.comic import multi_focal_loss, multi_label_targets
from neural.validation import Reduction, at_least, finite_contents, floating, in_range, positive, reduce, whole_number

__all__ = ["asymmetric_loss", "distribution_balanced_loss", "focal_multilabel_loss", "splc_loss"]

Logits = Float[Tensor, "*models batch classes"]
Targets = Shaped[Tensor, "*models batch classes"]
Factor = float | Float[Tensor, "..."]


def asymmetric_loss(
    logits: Logits,
    targets: Targets,
    gamma_pos: Factor = 0.0,
    gamma_neg: Factor = 4.0,
    clip: float = 0.05,
    reduction: Reduction = "sum",
    eps: float = 1e-8,
) -> Float[Tensor, "..."]:
    """The asymmetric loss: ``multi_focal_loss`` with omega off, focusing factors held constant.

    Arguments, shapes and errors as there. Source: Ridnik et al. (2021), the definition of ASL.

    >>> asymmetric_loss(torch.tensor([[0.0, -5.0]]), torch.tensor([[1, 0]]))
    tensor(0.6931)
    """
    return multi_focal_loss(logits, targets, None, gamma_pos, gamma_neg, clip, reduction, eps)


def focal_multilabel_loss(
    logits: Logits, targets: Targets, gamma: Factor = 2.0, reduction: Reduction = "sum"
) -> Float[Tensor, "..."]:
    """The focal loss of every label, ``−(1 − p_t)^γ ln p_t``, with the gradient of both factors.

    Raises ``ValueError`` for errors of ``multi_focal_loss`` in logits and targets, a negative gamma, or an unknown
    reduction. Source: Lin et al. (2017), the definition of the focal loss, without class weights.

    >>> focal_multilabel_loss(torch.zeros(1, 2), torch.tensor([[1, 0]]))
    tensor(0.3466)
    """
    labels = multi_label_targets(logits, targets)
    _check_factor("gamma", gamma)
    return reduce(_focal(torch.where(labels, logits, -logits), gamma), reduction)


def distribution_balanced_loss(
    logits: Logits,
    targets: Targets,
    counts: Num[Tensor, " classes"],
    samples: int,
    gamma: Factor = 2.0,
    alpha: float = 0.1,
    beta: float = 10.0,
    mu: Factor = 0.2,
    neg_scale: Factor = 2.0,
    bias_scale: float = 0.05,
    reduction: Reduction = "sum",
) -> Float[Tensor, "..."]:
    """The distribution-balanced focal loss: re-balanced weights and negatives that are tolerated.

    Class c of sample i has weight r = alpha + sigmoid(beta (ρ − mu)) with ρ = (1/n_c) / Σ_{k: y_ik = 1} 1/n_k, how
    much class-aware sampling would have over-drawn the sample for it; without positives ρ is infinite. With
    z = x − bias_scale ln(N/n_c − 1) / neg_scale the loss is r FL(z) for positives and r FL(−neg_scale z) / neg_scale
    for negatives, FL(z) = −(1 − sigmoid z)^γ ln sigmoid z.

    Args:
        counts, samples: positives of every class and the size N of the training set.
        gamma: focusing exponent; 0 is the loss without focus.
        alpha, beta, mu: the smoothing of weights.
        neg_scale, bias_scale: the tolerance of negatives and the size of the initial bias.

    Raises ``ValueError`` for errors of ``multi_focal_loss`` in logits and targets, other classes in ``counts``, (on the
    CPU) counts outside 1 … samples − 1, or parameters that are negative or, where they divide, 0.

    Source: Wu et al. (2020), re-balanced weighting and negative-tolerant regularisation.
    """
    labels = multi_label_targets(logits, targets)
    whole_number("samples", samples, 2)
    if not isinstance(counts, Tensor) or counts.shape != logits.shape[-1:] or counts.is_complex():
        got = f"{counts.dtype} of shape {tuple(counts.shape)}" if isinstance(counts, Tensor) else type(counts).__name__
        raise ValueError(f"counts must have one number per class ({logits.shape[-1]}), got {got}")
    if counts.device.type == "cpu" and not bool(((counts >= 1) & (counts < samples)).all()):
        raise ValueError(f"counts must be in 1 … samples − 1 = {samples - 1}, got {counts.min()} … {counts.max()}")
    for name, value in (("gamma", gamma), ("mu", mu), ("alpha", alpha), ("beta", beta), ("bias_scale", bias_scale)):
        _check_factor(name, value)
    if isinstance(neg_scale, Tensor):
        _check_factor("neg_scale", neg_scale)
    else:
        positive("neg_scale", neg_scale)
    n = counts.to(logits.dtype)
    rarity = 1 / n
    drawn = (labels * rarity).sum(-1, keepdim=True)
    weight = alpha + torch.sigmoid(beta * (rarity / drawn - mu))
    z = logits - bias_scale * torch.log(samples / n - 1) / neg_scale
    entries = torch.where(labels, _focal(z, gamma), _focal(-neg_scale * z, gamma) / neg_scale)
    return reduce(weight * entries, reduction)


def splc_loss(
    logits: Logits,
    targets: Targets,
    tau: Factor = 0.6,
    margin: float = 1.0,
    gamma: float = 2.0,
    reduction: Reduction = "sum",
) -> Float[Tensor, "..."]:
    """Self-paced correction: a negative with p > tau takes the loss of a positive; positives are shifted by a margin.

    With z = x − margin for (observed or presumed) positives and −x for negatives, the loss is −(1 − sigmoid z)^γ
    ln sigmoid z. The method starts after the first epoch; before it, use ``tau=1.0``.

    Raises ``ValueError`` for errors of ``multi_focal_loss`` in logits and targets, a tau outside [0, 1], a negative
    margin or gamma, or an unknown reduction. Source: Zhang et al. (2021), self-paced correction, focal margin loss.

    >>> x, y = torch.tensor([[3.0]]), torch.tensor([[0]])
    >>> splc_loss(x, y) < splc_loss(x, y, tau=1.0)
    tensor(True)
    """
    labels = multi_label_targets(logits, targets)
    if isinstance(tau, Tensor):
        _check_factor("tau", tau)
    else:
        in_range("tau", tau, 0, 1)
    at_least("margin", margin, 0)
    at_least("gamma", gamma, 0)
    presumed = labels | (torch.sigmoid(logits.detach()) > tau)
    return reduce(_focal(torch.where(presumed, logits - margin, -logits), gamma), reduction)


def _focal(z: Tensor, gamma: Factor) -> Tensor:
    """−(1 − sigmoid z)^γ ln sigmoid z; a power of a probability that underflows would have no gradient."""
    return -torch.exp(gamma * F.logsigmoid(-z)) * F.logsigmoid(z)


def _check_factor(name: str, value: Factor) -> None:
    if not isinstance(value, Tensor):
        at_least(name, value, 0)
        return
    floating(name, value)
    finite_contents(name, value)
    if value.device.type == "cpu" and bool((value < 0).any()):
        raise ValueError(f"{name} must be at least 0, got {value.min().item():g}")
