"""The prior-guided variant of COMIC's modification: co-occurring classes are pushed less.

Labels that go together tell of missing ones. With the co-occurrence matrix M of the training labels (columns sum to 1),
the labels of a sample give every class a prior

    a_c = mean over the sample's positive classes k of M[k, c], divided by its sum over c,

which changes both kinds of entries: a positive has the probability p (1 − a_c), and a negative whose class goes with
the labels at all (a_c > 0) counts as surer than it is, min(relief · q, 1) with q = min(1 − p + clip, 1).

    M = co_occurrence_matrix(observed_labels)
    loss = prior_focal_loss(logits, y, M, class_modifier(counts, exponent=1 / 3))

Otherwise it is ``multi_focal_loss``, focusing factors held constant. With ``gamma_pos = 0`` the factor 1 − a_c of
positives moves the value and not the gradient; then all that acts is that related negatives are ignored up to
p = 1 + clip − 1/relief, a fifth by default.

Source: Zhang, Liu, Zeng, Ooi, Tang and Zhuang (2023), *Learning in Imperfect Environment: Multi-Label Classification
with Long-Tailed Distribution and Partial Labels*, and the authors' program for constants.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from neural.classification.comic import multi_label_targets
from neural.validation import Reduction, at_least, finite_contents, floating, in_range, reduce

__all__ = ["co_occurrence_matrix", "label_prior", "prior_focal_loss"]


def co_occurrence_matrix(targets: Shaped[Tensor, "samples classes"]) -> Float[Tensor, "classes classes"]:
    """``M[k, c]``: of the times that class c is marked together with some class (itself included), the share with k.

    Columns sum to 1; that of a class without positives is 0. Raises ``ValueError`` for targets that are not a non-empty
    (samples, classes) of 0 and 1.

    >>> co_occurrence_matrix(torch.tensor([[1, 1], [1, 0]]))
    tensor([[0.6667, 0.5000],
            [0.3333, 0.5000]])
    """
    if not isinstance(targets, Tensor) or targets.ndim != 2 or targets.numel() == 0 or targets.is_complex():
        got = tuple(targets.shape) if isinstance(targets, Tensor) else type(targets).__name__
        raise ValueError(f"targets must be a non-empty (samples, classes) of 0 and 1, got {got}")
    numbers = targets.to(torch.get_default_dtype())
    y = multi_label_targets(torch.zeros_like(numbers), targets).to(numbers.dtype)
    together = y.mT @ y
    return together / together.sum(0).clamp_min(1)


def label_prior(
    targets: Shaped[Tensor, "batch classes"], co_occurrence: Float[Tensor, "classes classes"]
) -> Float[Tensor, "batch classes"]:
    """``a``: how much the labels of a sample speak for each class; rows sum to 1, those without labels are 0.

    Raises ``ValueError`` for targets as ``co_occurrence_matrix``, and for a matrix that is not square over the classes
    or (on the CPU) has entries that are negative or not finite.

    >>> label_prior(torch.tensor([[1, 0]]), torch.tensor([[0.6, 0.5], [0.4, 0.5]]))
    tensor([[0.5455, 0.4545]])
    """
    floating("co_occurrence", co_occurrence, 2)
    if not isinstance(targets, Tensor) or targets.ndim != 2 or targets.numel() == 0 or targets.is_complex():
        got = tuple(targets.shape) if isinstance(targets, Tensor) else type(targets).__name__
        raise ValueError(f"targets must be a non-empty (samples, classes) of 0 and 1, got {got}")
    classes = targets.shape[1]
    if co_occurrence.shape != (classes, classes):
        raise ValueError(f"co_occurrence must have shape ({classes}, {classes}), got {tuple(co_occurrence.shape)}")
    finite_contents("co_occurrence", co_occurrence)
    if co_occurrence.device.type == "cpu" and float(co_occurrence.min()) < 0:
        raise ValueError(f"co_occurrence must be at least 0, got {float(co_occurrence.min()):g}")
    y = multi_label_targets(torch.zeros_like(targets, dtype=co_occurrence.dtype), targets).to(co_occurrence.dtype)
    evidence = y @ co_occurrence
    total = evidence.sum(1, keepdim=True)
    return evidence / torch.where(total > 0, total, 1.0)


def prior_focal_loss(
    logits: Float[Tensor, "batch classes"],
    targets: Shaped[Tensor, "batch classes"],
    co_occurrence: Float[Tensor, "classes classes"],
    class_weight: Float[Tensor, " classes"] | None = None,
    gamma_pos: float = 0.0,
    gamma_neg: float = 3.0,
    clip: float = 0.05,
    relief: float = 1.2,
    reduction: Reduction = "sum",
    eps: float = 1e-8,
) -> Float[Tensor, "..."]:
    """The prior-guided multi-focal loss of logits and 0/1 targets.

        −Σ omega A [y ln(p (1 − a)) + (1 − y) ln q'],      q' = min(relief · q, 1) where a > 0, else q

    with A = (1 − p (1 − a))^γ₊ for positives and (1 − q')^(γ₋ + omega) for negatives, held constant in the gradient;
    logarithms have the floor ``eps``. Arguments and errors as ``multi_focal_loss`` and ``label_prior``; also a
    ``relief`` below 1.

    >>> prior_focal_loss(torch.zeros(1, 2), torch.tensor([[1, 0]]), torch.zeros(2, 2), gamma_neg=0.0, clip=0.0)
    tensor(1.3863)
    """
    labels = multi_label_targets(logits, targets)
    floating("logits", logits, 2)
    for name, exponent in (("gamma_pos", gamma_pos), ("gamma_neg", gamma_neg)):
        at_least(name, exponent, 0)
    in_range("clip", clip, 0, 1)
    in_range("eps", eps, 0, 1)
    at_least("relief", relief, 1)
    x = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    omega = _checked_weight(class_weight, x)
    floating("co_occurrence", co_occurrence, 2)
    a = label_prior(labels, co_occurrence.to(x.dtype))
    smallest = math.log(eps) if eps else -math.inf
    log_positive = F.logsigmoid(x) + torch.log1p(-a)
    q = torch.sigmoid(-x) + clip if clip else torch.sigmoid(-x)
    q = torch.where(a > 0, relief * q.clamp(max=1), q).clamp(max=1)
    # The floor of q is where its logarithm is −745 at most: below it log q = −x to the last digit.
    log_negative = torch.where(q < 1e-30, F.logsigmoid(-x), q.clamp(min=1e-30).log())
    base = torch.where(labels, 1 - log_positive.detach().exp(), 1 - q.detach())
    exponents = torch.where(
        labels, torch.as_tensor(gamma_pos, dtype=x.dtype), gamma_neg + (omega if omega is not None else 0.0)
    )
    factor = base.clamp(min=0) ** exponents
    if omega is not None:
        factor = factor * omega
    entries = torch.where(labels, log_positive, log_negative).clamp(min=smallest)
    return reduce(-factor * entries, reduction)


def _checked_weight(class_weight: Tensor | None, logits: Tensor) -> Tensor | None:
    if class_weight is None:
        return None
    floating("class_weight", class_weight, 1)
    if len(class_weight) != logits.shape[1]:
        raise ValueError(f"class_weight must have one entry per class, {logits.shape[1]}, got {len(class_weight)}")
    finite_contents("class_weight", class_weight)
    if class_weight.device.type == "cpu" and float(class_weight.min()) <= 0:
        raise ValueError(f"class_weight must be above 0, got {float(class_weight.min()):g}")
    return class_weight.to(logits.dtype)
