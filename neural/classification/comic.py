"""COMIC: multi-label learning when the labels have a long tail and positives are missing.

Three parts, usable alone. *Correction* adds positives of which the network is sure, and learns from them in an
auxiliary loss (``LabelCorrector``); *modification* weighs positive and negative, frequent and rare entries
differently (``multi_focal_loss``; guided by label co-occurrence in ``prior_focal``); *balance* guides one network by a
head-biased and a tail-biased one (``head_tail_balance_loss``), with a classifier that normalises weights and features
(``CausalNormClassifier``).

With observed labels y, p = sigmoid(logits), q = min(1 − p + clip, 1) and class weights omega,

    L = −Σ omega A [y ln p + (1 − y) ln q],      A = (1 − p)^γ₊ where y = 1,   (1 − q)^(γ₋ + omega) where y = 0,
    total = L(logits, y) + 0.2 · B / (number of recovered and observed positives) · L(logits − margin · y, recovered y).

A is held constant in the gradient. Losses are summed by default, as in the paper's program.

    omega = class_modifier(counts)
    corrector = LabelCorrector(counts)                     # corrector.reset_epoch() before every epoch
    loss = multi_focal_loss(logits, y, omega) + 0.2 * corrector(logits, y)

All losses also take stacks of models, logits of shape (models, batch, classes), with exponents and weights per model.

Source: Zhang, Liu, Zeng, Ooi, Tang and Zhuang (2023), *Learning in Imperfect Environment: Multi-Label Classification
with Long-Tailed Distribution and Partial Labels*, and the authors' program for constants.
"""

import math
import warnings

import torch
from jaxtyping import Bool, Float, Num, Shaped
from torch import Tensor, nn

from neural.validation import (
    Reduction,
    at_least,
    finite_contents,
    floating,
    in_range,
    one_of,
    positive,
    reduce,
    whole_number,
)

__all__ = [
    "CausalNormClassifier",
    "LabelCorrector",
    "MultiFocalLoss",
    "causal_norm_logits",
    "class_modifier",
    "head_tail_balance_loss",
    "head_tail_weights",
    "multi_focal_loss",
    "multi_label_targets",
    "recover_labels",
]

Logits = Float[Tensor, "*models batch classes"]
Targets = Shaped[Tensor, "*models batch classes"]
Factor = float | Float[Tensor, "..."]


def class_modifier(counts: Num[Tensor, "*models classes"], exponent: float = 1 / 6) -> Float[Tensor, "*models classes"]:
    """Class weights ``(1 − ln(n_c / max n))^exponent``: 1 for the most frequent class, slowly growing with rarity.

    Integer counts give the default dtype. On the CPU, a class without positives is warned of; everywhere it counts as
    one with a single positive.

    Raises ``ValueError`` for counts without classes, a negative exponent, or (on the CPU) counts that are negative or
    not finite.

    >>> class_modifier(torch.tensor([1000, 100, 1]))
    tensor([1.0000, 1.2203, 1.4115])
    """
    _check_counts(counts)
    at_least("exponent", exponent, 0)
    n = counts if counts.is_floating_point() else counts.to(torch.get_default_dtype())
    if n.device.type == "cpu" and bool((n < 1).any()):
        warnings.warn("classes without positives in counts are weighted as if they had one", stacklevel=2)
    n = n.clamp_min(1)
    return (1 - torch.log(n / n.amax(-1, keepdim=True))) ** exponent


def multi_focal_loss(
    logits: Logits,
    targets: Targets,
    class_weight: Float[Tensor, "*weights"] | None = None,
    gamma_pos: Factor = 0.0,
    gamma_neg: Factor = 3.0,
    clip: float = 0.05,
    reduction: Reduction = "sum",
    eps: float = 1e-8,
) -> Float[Tensor, "..."]:
    """The multi-focal modifier of logits and 0/1 targets, value and gradient in one pass.

    Args:
        logits, targets: one entry per sample and class; targets of any dtype with values 0 and 1.
        class_weight: omega, usually ``class_modifier(counts)``, one per class (or a shape that broadcasts to the
            logits). Without it omega is off: weight 1 and exponent ``gamma_neg``, the asymmetric loss.
        gamma_pos, gamma_neg: focusing exponents; tensors broadcast to the logits.
        clip: probability shift of negatives; entries with p ≤ clip are ignored.
        reduction: ``"sum"``, ``"mean"`` over all entries, or ``"none"``.
        eps: floor of probabilities inside logarithms; an entry below it has no gradient. 0 is exact.

    The gradient is ∂L/∂x = omega A (−y (1 − p) + (1 − y) p (1 − p) / q · 1[q < 1]), at most omega in magnitude; there
    is no second derivative. Half precision is computed in float32.

    Raises ``ValueError`` for logits that are not a non-empty (..., batch, classes), targets of another shape, weights
    that do not broadcast, exponents that are negative or infinite, a clip or eps outside [0, 1], an unknown reduction,
    or (on the CPU) contents that are not finite, targets not 0 or 1, weights not above 0.

    >>> multi_focal_loss(torch.zeros(1, 2), torch.tensor([[1, 0]]), gamma_neg=0.0, clip=0.0)
    tensor(1.3863)
    """
    labels = multi_label_targets(logits, targets)
    in_range("clip", clip, 0, 1)
    in_range("eps", eps, 0, 1)
    x = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    positives, negatives = _exponent("gamma_pos", gamma_pos, x), _exponent("gamma_neg", gamma_neg, x)
    if class_weight is not None:
        class_weight = _check_weight(class_weight, x)
        negatives = class_weight + negatives
    entries = _MultiFocal.apply(x, labels, class_weight, positives, negatives, clip, eps)
    assert isinstance(entries, Tensor)
    return reduce(entries, reduction)


class MultiFocalLoss(nn.Module):
    """``multi_focal_loss`` with its parameters, weights made of the classes' ``counts``.

    Raises ``ValueError`` for errors of ``class_modifier`` and ``multi_focal_loss``.
    """

    class_weight: Tensor

    def __init__(
        self,
        counts: Num[Tensor, " classes"],
        exponent: float = 1 / 6,
        gamma_pos: float = 0.0,
        gamma_neg: float = 4.0,
        clip: float = 0.05,
        reduction: Reduction = "sum",
        eps: float = 1e-8,
    ) -> None:
        super().__init__()
        at_least("gamma_pos", gamma_pos, 0)
        at_least("gamma_neg", gamma_neg, 0)
        in_range("clip", clip, 0, 1)
        in_range("eps", eps, 0, 1)
        one_of("reduction", reduction, ("mean", "sum", "none"))
        _check_counts(counts)
        if counts.ndim != 1:
            raise ValueError(f"counts must have one axis, got shape {tuple(counts.shape)}")
        self.register_buffer("class_weight", class_modifier(counts, exponent))
        self.gamma_pos, self.gamma_neg, self.clip, self.eps = gamma_pos, gamma_neg, clip, eps
        self.reduction: Reduction = reduction

    def forward(self, logits: Float[Tensor, "batch classes"], targets: Shaped[Tensor, "batch classes"]) -> Tensor:
        return multi_focal_loss(
            logits, targets, self.class_weight, self.gamma_pos, self.gamma_neg, self.clip, self.reduction, self.eps
        )


def recover_labels(
    logits: Logits,
    targets: Targets,
    tau: Factor = 0.7,
    margin: float = 1.0,
    class_aware: bool = True,
) -> tuple[Bool[Tensor, "*models batch classes"], Bool[Tensor, "*models batch classes"]]:
    """Targets with missing positives added where the network is sure, and what was added.

    With p' = sigmoid(logits − margin · targets), an entry is added where p' > tau and, if ``class_aware``, p' exceeds
    the mean of its class over the batch. Observed positives are never removed; a class on which all p' agree gets
    nothing, a batch of one sample neither. ``tau`` may be a tensor that broadcasts to the logits.

    Raises ``ValueError`` for errors of ``multi_focal_loss`` in logits and targets, a tau outside [0, 1], a negative
    margin, or a ``class_aware`` that is not a bool.

    >>> recover_labels(torch.tensor([[3.0], [-3.0], [3.0]]), torch.tensor([[0], [0], [1]]))[0].flatten().tolist()
    [True, False, True]
    """
    labels = multi_label_targets(logits, targets)
    _check_recovery(tau, margin, class_aware)
    p = torch.sigmoid(logits.detach() - margin * labels)
    added = p > tau
    if class_aware:
        # Deviations from the least: the mean of equal numbers is then that number, without rounding. The sigmoid of
        # equal logits may still differ in its last digit between the vectorised and the remaining elements.
        least = p.amin(-2, keepdim=True)
        added &= (p - least) > (p - least).mean(-2, keepdim=True) + 4 * torch.finfo(p.dtype).eps
    added &= ~labels
    return labels | added, added


class LabelCorrector(nn.Module):
    """The auxiliary loss on recovered labels, ``B / Σ y~ · L(logits − margin · y, y~)``, and its running class counts.

    Every call adds the recovered positives to the counts of this epoch, from which the class weights follow;
    ``reset_epoch`` returns to the observed ``counts``. Add the result times 0.2 to the loss on observed labels:
    recovered labels in the place of the observed ones feed back on themselves.

    For a stack of models, counts (models, classes) and logits (models, batch, classes), the result is one loss each.
    ``added`` is the mask of the last call.

    Raises ``ValueError`` for errors of ``recover_labels``, ``class_modifier`` and ``multi_focal_loss``.

    >>> corrector = LabelCorrector(torch.tensor([3, 1]))
    >>> loss = corrector(torch.tensor([[3.0, 0.0], [-3.0, 0.0]]), torch.tensor([[0, 1], [0, 0]]))
    >>> corrector.epoch_counts.tolist(), corrector.added.sum().item()
    ([4.0, 1.0], 1)
    """

    counts: Tensor
    epoch_counts: Tensor
    added: Tensor

    def __init__(
        self,
        counts: Num[Tensor, "*models classes"],
        tau: Factor = 0.7,
        margin: float = 1.0,
        class_aware: bool = True,
        exponent: float = 1 / 6,
        gamma_pos: Factor = 0.0,
        gamma_neg: Factor = 3.0,
        clip: float = 0.05,
    ) -> None:
        super().__init__()
        class_modifier(counts, exponent)
        _check_recovery(tau, margin, class_aware)
        for name, value in (("gamma_pos", gamma_pos), ("gamma_neg", gamma_neg)):
            if not isinstance(value, Tensor):
                at_least(name, value, 0)
        in_range("clip", clip, 0, 1)
        self.register_buffer("counts", counts.to(torch.get_default_dtype()))
        self.register_buffer("epoch_counts", self.counts.clone())
        self.register_buffer("added", torch.zeros(0, dtype=torch.bool, device=counts.device), persistent=False)
        self.tau, self.margin, self.class_aware, self.exponent = tau, margin, class_aware, exponent
        self.gamma_pos, self.gamma_neg, self.clip = gamma_pos, gamma_neg, clip

    def reset_epoch(self) -> None:
        """Forget what was recovered: the counts are the observed ones again."""
        self.epoch_counts.copy_(self.counts)

    def forward(self, logits: Logits, targets: Targets) -> Float[Tensor, "*models"]:
        recovered, self.added = recover_labels(logits, targets, self.tau, self.margin, self.class_aware)
        if self.counts.shape != logits.shape[:-2] + logits.shape[-1:]:
            raise ValueError(
                f"logits must have classes (and models) of counts {tuple(self.counts.shape)}, got {tuple(logits.shape)}"
            )
        self.epoch_counts += self.added.sum(-2)
        weight = class_modifier(self.epoch_counts.clamp_min(1), self.exponent).unsqueeze(-2)
        shifted = logits - self.margin * multi_label_targets(logits, targets)
        entries = multi_focal_loss(shifted, recovered, weight, self.gamma_pos, self.gamma_neg, self.clip, "none")
        return entries.sum((-2, -1)) * (logits.shape[-2] / recovered.sum((-2, -1)).clamp_min(1))


def head_tail_weights(
    loss_head: Factor, loss_tail: Factor, gamma: float = 2.0
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Shares ``a_h^γ / (a_h^γ + a_t^γ)`` of the head and tail branches' losses, without gradient; they sum to 1.

    The branch that does worse guides more. Two losses of 0 share equally.

    Raises ``ValueError`` for losses that are negative or (numbers and CPU tensors) not finite, or a negative gamma.

    >>> head_tail_weights(3.0, 1.0)
    (tensor(0.9000), tensor(0.1000))
    """
    at_least("gamma", gamma, 0)
    logs = []
    for name, value in (("loss_head", loss_head), ("loss_tail", loss_tail)):
        if not isinstance(value, Tensor):
            at_least(name, value, 0)
            value = torch.tensor(float(value))
        floating(name, value)
        finite_contents(name, value)
        if value.device.type == "cpu" and bool((value < 0).any()):
            raise ValueError(f"{name} must be at least 0, got {value.min().item():g}")
        logs.append(torch.log(value.detach().clamp_min(torch.finfo(value.dtype).tiny)))
    share = torch.sigmoid(gamma * (logs[0] - logs[1]))
    return share, 1 - share


def head_tail_balance_loss(
    head_logits: Logits,
    tail_logits: Logits,
    balanced_logits: Logits,
    targets: Targets,
    class_weight: Float[Tensor, "*weights"] | None = None,
    gamma: float = 2.0,
    gamma_pos: Factor = 0.0,
    gamma_neg: Factor = 3.0,
    clip: float = 0.05,
) -> Float[Tensor, "*models"]:
    """Guidance of the balanced branch: ``w_h L(s_h s, y) + w_t L(s_t s, y)``, s the branches' softmax over classes.

    L is the summed ``multi_focal_loss`` with a product of softmax values in the place of logits; s_h and s_t are held
    constant and w = ``head_tail_weights`` of the branches' own losses. All logits come from the same samples.

    Raises ``ValueError`` for errors of ``multi_focal_loss`` and ``head_tail_weights``, or branches of other shapes.
    """
    floating("balanced_logits", balanced_logits)
    finite_contents("balanced_logits", balanced_logits)
    for name, branch in (("head_logits", head_logits), ("tail_logits", tail_logits)):
        floating(name, branch)
        if branch.shape != balanced_logits.shape:
            raise ValueError(f"{name} must have shape {tuple(balanced_logits.shape)}, got {tuple(branch.shape)}")
        finite_contents(name, branch)

    def loss(x: Tensor) -> Tensor:
        return multi_focal_loss(x, targets, class_weight, gamma_pos, gamma_neg, clip, "none").sum((-2, -1))

    branches = [branch.detach() for branch in (head_logits, tail_logits)]
    weights = head_tail_weights(loss(branches[0]), loss(branches[1]), gamma)
    balanced = torch.softmax(balanced_logits, -1)
    guided = [w * loss(torch.softmax(x, -1) * balanced) for w, x in zip(weights, branches, strict=True)]
    return guided[0] + guided[1]


def causal_norm_logits(
    features: Float[Tensor, "*models batch inputs"],
    weight: Float[Tensor, "*models classes inputs"],
    heads: int = 1,
    tau: float = 16.0,
    gamma: float = 1 / 32,
    direction: Float[Tensor, "*models inputs"] | None = None,
    alpha: float = 1.0,
) -> Float[Tensor, "*models batch classes"]:
    """Normalised logits ``tau / heads · Σ_h <x^ − alpha cos(x^, c^) c^, w / (‖w‖ + gamma)>``, x^ = x / ‖x‖ per head.

    Inputs are cut into ``heads`` equal parts. Without ``direction`` c nothing is removed; a zero vector has logits 0.

    Raises ``ValueError`` for shapes that do not fit, inputs that ``heads`` does not divide, tau or gamma not above 0, a
    negative alpha, or (on the CPU) contents that are not finite.

    >>> causal_norm_logits(torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 4.0]]), gamma=5.0)
    tensor([[8.]])
    """
    floating("features", features)
    floating("weight", weight)
    if features.ndim < 2 or weight.shape[:-2] != features.shape[:-2] or weight.shape[-1] != features.shape[-1]:
        raise ValueError(
            f"features (…, batch, inputs) and weight (…, classes, inputs) must agree, "
            f"got {tuple(features.shape)} and {tuple(weight.shape)}"
        )
    _check_norm(features.shape[-1], heads, tau, gamma, alpha)
    finite_contents("features", features)
    finite_contents("weight", weight)
    x = _unit(features.unflatten(-1, (heads, -1)))
    parts = weight.unflatten(-1, (heads, -1))
    w = parts / (_norm(parts) + gamma)
    if direction is not None:
        floating("direction", direction)
        if direction.shape != features.shape[:-2] + features.shape[-1:]:
            raise ValueError(f"direction must have one number per input, got shape {tuple(direction.shape)}")
        finite_contents("direction", direction)
        c = _unit(direction.unflatten(-1, (heads, -1)).unsqueeze(-3))
        x = x - alpha * (x * c).sum(-1, keepdim=True) * c
    return tau / heads * x.flatten(-2) @ w.flatten(-2).transpose(-2, -1)


class CausalNormClassifier(nn.Module):
    """A linear classifier without bias on normalised features and weights, see ``causal_norm_logits``.

    With ``alpha`` above 0 the share alpha of every feature's projection on the moving average of features is removed,
    which is what a network sees in nearly every sample of a long tail: the head. The average is updated in training.

    Raises ``ValueError`` for sizes below 1, heads that do not divide ``in_features``, tau or gamma not above 0, a
    negative alpha, or a momentum outside [0, 1].

    >>> CausalNormClassifier(8, 3)(torch.zeros(2, 8)).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """

    direction: Tensor

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        heads: int = 1,
        tau: float = 16.0,
        gamma: float = 1 / 32,
        alpha: float = 0.0,
        momentum: float = 0.9,
    ) -> None:
        super().__init__()
        whole_number("in_features", in_features, 1)
        whole_number("num_classes", num_classes, 1)
        _check_norm(in_features, heads, tau, gamma, alpha)
        in_range("momentum", momentum, 0, 1)
        self.heads, self.tau, self.gamma, self.alpha, self.momentum = heads, tau, gamma, alpha, momentum
        self.weight = nn.Parameter(torch.empty(num_classes, in_features).uniform_(-1, 1) / math.sqrt(in_features))
        self.register_buffer("direction", torch.zeros(in_features))

    def forward(self, features: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch classes"]:
        if self.alpha == 0:
            return causal_norm_logits(features, self.weight, self.heads, self.tau, self.gamma)
        if self.training:
            floating("features", features, 2)
            self.direction.mul_(self.momentum).add_(features.detach().mean(0))
        return causal_norm_logits(
            features, self.weight, self.heads, self.tau, self.gamma, self.direction.to(features.dtype), self.alpha
        )


def multi_label_targets(logits: Logits, targets: Targets) -> Bool[Tensor, "*models batch classes"]:
    """``targets`` as booleans.

    Raises ``ValueError`` for logits that are not floating-point (..., batch, classes), targets of another shape, or
    (on the CPU) logits that are not finite and targets other than 0 and 1.

    >>> multi_label_targets(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    tensor([[ True, False]])
    """
    floating("logits", logits)
    if logits.ndim < 2:
        raise ValueError(f"logits must have shape (..., batch, classes), got {tuple(logits.shape)}")
    if not isinstance(targets, Tensor) or targets.is_complex():
        got = targets.dtype if isinstance(targets, Tensor) else type(targets).__name__
        raise ValueError(f"targets must be a tensor of 0 and 1, got {got}")
    if targets.shape != logits.shape:
        raise ValueError(f"targets must have the shape of logits, {tuple(logits.shape)}, got {tuple(targets.shape)}")
    finite_contents("logits", logits)
    if targets.dtype == torch.bool:
        return targets
    if targets.device.type == "cpu" and any(float(end) != 0 for end in torch.aminmax(targets * targets - targets)):
        wrong = targets[(targets != 0) & (targets != 1)][0].item()
        raise ValueError(f"targets must be 0 or 1, got {wrong:g}")
    return targets.bool()


class _MultiFocal(torch.autograd.Function):
    """Entries of the loss, and in the same pass their derivatives: all that is kept for the backward pass.

    Labels enter as numbers: multiplying by them is several times faster than selecting by them.
    """

    @staticmethod
    def forward(ctx, x, labels, weight, gamma_pos, gamma_neg, clip, eps):  # type: ignore[override]
        positive = labels.to(x.dtype)
        negative = 1 - positive
        sign = negative - positive
        z = x * sign
        pt, other = torch.sigmoid(-z), torch.sigmoid(z)  # the label's probability, and one minus it
        q = pt.add(negative, alpha=clip).clamp_max_(1) if clip else pt
        base = 1 - q if clip else other
        exponent = negative * gamma_neg
        if isinstance(gamma_pos, Tensor) or gamma_pos:
            exponent += positive * gamma_pos
        # A power by way of its logarithm is cheaper than pow; the floor only keeps 0 · ln 0 from being NaN.
        tiny = torch.finfo(x.dtype).tiny
        factor = base.clamp_min(tiny).log_().mul_(exponent).exp_()
        if weight is not None:
            factor *= weight
        log_q = torch.log(q.clamp_min(tiny))
        slope = None
        if ctx.needs_input_grad[0]:
            # ∂ ln q / ∂z = −(1 − pt) pt / q, and 0 where the clip has made q 1.
            slope = sign.mul_(factor).mul_(other).mul_(pt).div_(q.clamp_min(tiny)).mul_(torch.sign(base))
        if x.device.type != "cpu" or float(q.amin()) < max(eps, 1e-16):
            # There, ln q = −z to the last digit; pt / q would have underflowed.
            log_q = torch.where(q < 1e-16, -z, log_q)
            if slope is not None:
                slope = torch.where(q < 1e-16, (negative - positive) * factor * other, slope)
            if eps:
                log_q = log_q.clamp_min_(math.log(eps))
                slope = None if slope is None else slope.masked_fill_(q < eps, 0)
        if slope is not None:
            ctx.save_for_backward(slope)
        return log_q.mul_(factor).neg_()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):  # type: ignore[override]
        (slope,) = ctx.saved_tensors
        return gradient * slope, None, None, None, None, None, None


def _exponent(name: str, value: Factor, logits: Tensor) -> Factor:
    if not isinstance(value, Tensor):
        at_least(name, value, 0)
        return float(value)
    floating(name, value)
    _check_broadcast(name, value, logits)
    finite_contents(name, value)
    if value.device.type == "cpu" and bool((value < 0).any()):
        raise ValueError(f"{name} must be at least 0, got {value.min().item():g}")
    return value


def _check_weight(weight: Tensor, logits: Tensor) -> Tensor:
    floating("class_weight", weight)
    _check_broadcast("class_weight", weight, logits)
    finite_contents("class_weight", weight)
    if weight.device.type == "cpu" and bool((weight <= 0).any()):
        raise ValueError(f"class_weight must be above 0, got {weight.min().item():g}")
    return weight.to(logits.dtype)


def _check_broadcast(name: str, value: Tensor, logits: Tensor) -> None:
    fits = value.ndim <= logits.ndim and all(
        size in (1, full) for size, full in zip(reversed(value.shape), reversed(logits.shape), strict=False)
    )
    if not fits:
        raise ValueError(f"{name} must broadcast to logits {tuple(logits.shape)}, got shape {tuple(value.shape)}")


def _check_counts(counts: Tensor) -> None:
    if not isinstance(counts, Tensor) or counts.is_complex() or counts.dtype == torch.bool or counts.numel() == 0:
        got = f"{counts.dtype} of shape {tuple(counts.shape)}" if isinstance(counts, Tensor) else type(counts).__name__
        raise ValueError(f"counts must be a non-empty tensor of numbers, got {got}")
    if counts.ndim == 0:
        raise ValueError("counts must have one entry per class, got a single number")
    if counts.is_floating_point():
        finite_contents("counts", counts)
    if counts.device.type == "cpu" and bool((counts < 0).any()):
        raise ValueError(f"counts must be at least 0, got {counts.min().item():g}")


def _check_recovery(tau: Factor, margin: float, class_aware: bool) -> None:
    if isinstance(tau, Tensor):
        floating("tau", tau)
        finite_contents("tau", tau)
    else:
        in_range("tau", tau, 0, 1)
    at_least("margin", margin, 0)
    if not isinstance(class_aware, bool):
        raise ValueError(f"class_aware must be a bool, got {class_aware!r}")


def _check_norm(inputs: int, heads: int, tau: float, gamma: float, alpha: float) -> None:
    whole_number("heads", heads, 1)
    if inputs % heads:
        raise ValueError(f"heads must divide the number of inputs, got {heads} for {inputs}")
    positive("tau", tau)
    positive("gamma", gamma)
    at_least("alpha", alpha, 0)


def _norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True)


def _unit(x: Tensor) -> Tensor:
    """Rows over their norms; a zero row stays zero, with the finite gradient of the identity."""
    norm = _norm(x)
    return x / torch.where(norm > 0, norm, torch.ones_like(norm))
