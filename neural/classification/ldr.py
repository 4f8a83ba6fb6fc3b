"""Label-distributionally robust losses: cross-entropy with a temperature from the hinge to a symmetric loss.

With margins ``z_k = f_k − f_y + margin 1[k ≠ y]`` of K classes

    LDR-KL    psi_lam = max_p sum_k p_k z_k − lam KL(p, uniform) = lam log mean_k exp(z_k / lam)
    ALDR-KL   max_lam psi_lam − (alpha log K / (2 lam0)) (lam − lam0)²,        a temperature for every example

lam = 1 without margin is cross-entropy less log K; lam → 0 is Crammer and Singer's hinge; lam → ∞ the mean margin,
which is symmetric (hence robust to label noise) for scores of fixed sum. So under label noise use a large temperature
and ``normalize="softplus"``. The adaptive temperature solves ``lam = lam0 (1 − KL(p_lam, uniform) / (alpha log K))``:
uniform predictions keep lam0, peaked ones get less, never less than ``lam0 (1 − 1/alpha)``.

    loss = LDRKLLoss(lam=10.0, normalize="softplus")(model(x), y)
    loss = ALDRKLLoss(len(dataset), lam0=10.0)(model(x), y, index)      # index: place of each example in the dataset

Source: Zhu, Ying and Yang (2023), *Label Distributionally Robust Losses for Multi-class Classification: Consistency,
Robustness and Adaptivity*: the LDR-KL loss, the ALDR-KL loss and its one-step update of temperatures. The step here
uses p of the margins z, whose fixed point is the stationary temperature; the authors' code leaves the margin out of p.
"""

import math
import warnings
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from neural.validation import (
    Reduction,
    at_least,
    class_indices,
    class_logits,
    floating,
    one_of,
    positive,
    reduce,
    whole_number,
)

__all__ = ["ALDRKLLoss", "LDRKLLoss", "adaptive_temperature", "aldr_kl", "ldr_kl", "normalize_scores"]

Logits = Float[Tensor, "batch classes"]
Labels = Int[Tensor, " batch"]
Temperatures = Float[Tensor, " batch"]
Normalization = Literal["softplus", "l1"]

# Beyond these the loss equals its limits to rounding in float32 and float64 alike.
_COLDEST, _HOTTEST = 1e-30, 1e30
_GRID = 16


def ldr_kl(
    logits: Logits,
    target: Labels,
    lam: float = 1.0,
    margin: float = 0.1,
    normalize: Normalization | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """``lam log mean_k exp(z_k / lam)`` of every example.

    Args:
        logits: scores f.
        target: class indices.
        lam: temperature; ``inf`` is the mean of z. Stable for every positive number.
        margin: added to the score of every wrong class.
        normalize: first replace scores by ``normalize_scores``; with it the loss does not feel their scale.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    ``ldr_kl(f, y, 1.0, 0.0)`` is ``cross_entropy(f, y) − log K``. Gradients in (normalised) scores are softmax(z / lam)
    less the one-hot label, whatever lam. Raises ``ValueError`` for shapes, dtypes, labels or (on CPU) logits that are
    not finite or do not fit, ``lam`` not above 0, a negative ``margin`` or an unknown word.

    >>> round(ldr_kl(torch.tensor([[2.0, 0.0]]), torch.tensor([1]), lam=1e-6, margin=0.0).item(), 4)
    2.0
    """
    _check(logits, target, margin, normalize, reduction)
    _check_temperature("lam", lam)
    return reduce(_ldr_kl(_normalized(logits, normalize), target, lam, margin), reduction)


def aldr_kl(
    logits: Logits,
    target: Labels,
    lam0: float = 10.0,
    alpha: float = 2.0,
    margin: float = 0.1,
    normalize: Normalization | None = None,
    lam: Temperatures | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """``ldr_kl`` at a temperature per example, less ``(alpha log K / (2 lam0)) (lam − lam0)²``.

    ``lam`` holds the temperatures; without it they are solved for (``adaptive_temperature``). No gradient goes through
    them: at a stationary temperature its contribution vanishes. Other arguments and errors as ``ldr_kl``; also
    ``ValueError`` for ``lam0`` or ``alpha`` not finite and above 0, or ``lam`` of another shape or (on CPU) not
    above 0.

    >>> aldr_kl(torch.zeros(2, 3), torch.tensor([0, 1]), lam0=5.0, margin=0.0)
    tensor(0.)
    """
    _check(logits, target, margin, normalize, reduction)
    _check_adaptive(lam0, alpha)
    scores = _normalized(logits, normalize)
    if lam is None:
        lam = _solved_temperature(_lowered(scores.detach(), target.long()[:, None], margin), lam0, alpha)
    _check_temperatures(lam, len(logits))
    return reduce(_aldr_kl(scores, target, lam, lam0, alpha, margin), reduction)


def adaptive_temperature(
    logits: Logits,
    target: Labels,
    lam0: float = 10.0,
    alpha: float = 2.0,
    margin: float = 0.1,
    normalize: Normalization | None = None,
    lam: Temperatures | None = None,
) -> Temperatures:
    """Temperatures of ALDR-KL, without gradient: one step from ``lam``, or the maximiser if ``lam`` is not given.

    One step is ``lam0 (1 − KL(softmax(z / lam), uniform) / (alpha log K))``. The maximiser is the best point of a grid
    of 17 temperatures, refined by 30 bisections of the derivative, for the whole batch at once. Arguments and errors as
    ``aldr_kl``.

    >>> adaptive_temperature(torch.zeros(1, 3), torch.tensor([0]), lam0=5.0, margin=0.0)
    tensor([5.])
    """
    _check(logits, target, margin, normalize, "mean")
    _check_adaptive(lam0, alpha)
    if lam is not None:
        _check_temperatures(lam, len(logits))
    with torch.no_grad():
        z = _lowered(_normalized(logits, normalize), target.long()[:, None], margin)
        return _solved_temperature(z, lam0, alpha) if lam is None else _stepped_temperature(z, lam, lam0, alpha)


def normalize_scores(logits: Logits, normalize: Normalization = "softplus") -> Logits:
    """``"softplus"``: K softplus(s) / sum softplus(s), positive of mean 1. ``"l1"``: K s / sum |s|.

    Rows of very negative scores stay finite. Under l1 a zero row stays zero, and small rows have large gradients.
    Raises ``ValueError`` for logits as in ``ldr_kl`` or an unknown word.

    >>> normalize_scores(torch.tensor([[0.0, 0.0, -500.0]]))
    tensor([[1.5000, 1.5000, 0.0000]])
    """
    class_logits("logits", logits)
    one_of("normalize", normalize, ("softplus", "l1"))
    return _normalized(logits, normalize)


class LDRKLLoss(nn.Module):
    """``ldr_kl`` with its parameters: call it with logits and targets."""

    def __init__(
        self,
        lam: float = 1.0,
        margin: float = 0.1,
        normalize: Normalization | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        _check_temperature("lam", lam)
        at_least("margin", margin, 0)
        _check_words(normalize, reduction)
        self.lam, self.margin = lam, margin
        self.normalize: Normalization | None = normalize
        self.reduction: Reduction = reduction

    def forward(self, logits: Logits, target: Labels) -> Float[Tensor, "..."]:
        return ldr_kl(logits, target, self.lam, self.margin, self.normalize, self.reduction)

    def extra_repr(self) -> str:
        return f"lam={self.lam}, margin={self.margin}, normalize={self.normalize!r}, reduction={self.reduction!r}"


class ALDRKLLoss(nn.Module):
    """ALDR-KL with a temperature for each of ``num_examples`` examples, kept in the buffer ``lam``.

    Call it with logits, targets and the examples' indices in the dataset. In training mode a call first moves the
    temperatures of these examples, by one step (``inner="one_step"``, the paper's algorithm) or to the maximiser
    (``"solve"``), then returns the loss there; in evaluation mode the temperatures stay. They start at ``lam0`` and are
    saved with the module. ``alpha < 1`` warns: the temperature may reach 0.

    Raises ``ValueError`` for ``num_examples`` below 1, ``lam0`` or ``alpha`` not finite and above 0, a negative
    ``margin`` or an unknown word, and when called as ``aldr_kl``, or with indices that do not fit.

    >>> loss = ALDRKLLoss(num_examples=10, lam0=1.0)
    >>> _ = loss(torch.tensor([[9.0, 0.0, 0.0]]), torch.tensor([0]), torch.tensor([4]))
    >>> bool(loss.lam[4] < 0.6), float(loss.lam[5])
    (True, 1.0)
    """

    lam: Tensor

    def __init__(
        self,
        num_examples: int,
        lam0: float = 10.0,
        alpha: float = 2.0,
        margin: float = 0.1,
        normalize: Normalization | None = None,
        inner: Literal["one_step", "solve"] = "one_step",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        whole_number("num_examples", num_examples, 1)
        _check_adaptive(lam0, alpha)
        at_least("margin", margin, 0)
        one_of("inner", inner, ("one_step", "solve"))
        _check_words(normalize, reduction)
        if alpha < 1:
            warnings.warn(f"alpha below 1 lets temperatures reach 0, got {alpha}", stacklevel=2)
        self.lam0, self.alpha, self.margin, self.inner = lam0, alpha, margin, inner
        self.normalize: Normalization | None = normalize
        self.reduction: Reduction = reduction
        self.register_buffer("lam", torch.full((num_examples,), float(lam0)))

    def forward(self, logits: Logits, target: Labels, index: Labels) -> Float[Tensor, "..."]:
        _check(logits, target, self.margin, self.normalize, self.reduction)
        class_indices("index", index, len(logits), len(self.lam))
        scores, lam = _normalized(logits, self.normalize), self.lam[index.long()]
        if self.training:
            with torch.no_grad():
                z = _lowered(scores, target.long()[:, None], self.margin)
                if self.inner == "one_step":
                    lam = _stepped_temperature(z, lam, self.lam0, self.alpha)
                else:
                    lam = _solved_temperature(z, self.lam0, self.alpha)
                self.lam[index.long()] = lam.to(self.lam.dtype)
        return reduce(_aldr_kl(scores, target, lam, self.lam0, self.alpha, self.margin), self.reduction)

    def extra_repr(self) -> str:
        return (
            f"num_examples={len(self.lam)}, lam0={self.lam0}, alpha={self.alpha}, margin={self.margin}, "
            f"normalize={self.normalize!r}, inner={self.inner!r}, reduction={self.reduction!r}"
        )


def _normalized(logits: Tensor, normalize: Normalization | None) -> Tensor:
    if normalize is None:
        return logits
    K = logits.shape[1]
    if normalize == "softplus":
        # Far below 0 softplus is exponential, and shares do not feel a shift: rows are lifted to where it is not 0.
        lift = (-30 - logits.detach().amax(dim=1, keepdim=True)).clamp(min=0.0)
        positive_scores = F.softplus(logits + lift, threshold=40.0)
        return positive_scores * (K / positive_scores.sum(dim=1, keepdim=True))
    norm = logits.abs().sum(dim=1, keepdim=True)
    return logits * (K / torch.where(norm > 0, norm, 1.0))


def _aldr_kl(scores: Tensor, target: Tensor, lam: Tensor, lam0: float, alpha: float, margin: float) -> Tensor:
    lam = lam.detach().to(scores.dtype)
    penalty = alpha * math.log(scores.shape[1]) / (2 * lam0) * (lam - lam0) ** 2
    return _ldr_kl(scores, target, lam, margin) - penalty


def _ldr_kl(scores: Tensor, target: Tensor, lam: float | Tensor, margin: float) -> Tensor:
    """LDR-KL per example, for one temperature or one per example."""
    scores = scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores
    if not isinstance(lam, Tensor) and lam >= _HOTTEST:
        return _margins(scores, target, margin).mean(dim=1)
    column = lam.clamp(min=_COLDEST)[:, None] if isinstance(lam, Tensor) else max(lam, _COLDEST)
    return _LDRKL.apply(scores, target.long()[:, None], column, margin)


class _LDRKL(torch.autograd.Function):
    """``psi = top + lam log mean e^w`` with ``w = (z − top)/lam <= 0``, in one working copy of the scores.

    Where all w are near 0 the mean of expm1(w) and log1p keep the digits that lam log K would drown.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, label: Tensor, lam: float | Tensor, margin: float) -> Tensor:
        work = _lowered(scores, label, margin)
        top, own = work.amax(dim=1, keepdim=True), work.gather(1, label)
        # with a margin the lowered scores are a copy already
        work = (work.sub_(top) if margin else work - top).div_(lam).expm1_()
        below = work.mean(dim=1, keepdim=True)
        total = work.add_(1).sum(dim=1, keepdim=True)
        log_mean = torch.where(below > -0.5, torch.log1p(below), torch.log(total / work.shape[1]))
        ctx.save_for_backward(scores, label, work, total)
        ctx.lam, ctx.margin = lam, margin
        return (top - own + lam * log_mean).squeeze(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None, None, None]:
        scores, label, unnormalised, total = ctx.saved_tensors
        g = gradients[0][:, None]
        if torch.is_grad_enabled():  # a second derivative is wanted: say it in operations that have one
            lowered = _lowered(scores, label, ctx.margin)
            p = torch.softmax((lowered - lowered.detach().amax(dim=1, keepdim=True)) / ctx.lam, dim=1)
            return (g * p).scatter_add(1, label, -g), None, None, None
        return (unnormalised * (g / total)).scatter_add_(1, label, -g), None, None, None


def _lowered(scores: Tensor, label: Tensor, margin: float) -> Tensor:
    """Scores with the label's own lowered by the margin, so that ``z`` is their difference to it."""
    return scores if margin == 0 else scores.scatter_add(1, label, scores.new_full(label.shape, -margin))


def _margins(scores: Tensor, target: Tensor, margin: float) -> Tensor:
    label = target.long()[:, None]
    lowered = _lowered(scores, label, margin)
    return lowered - lowered.gather(1, label)


def _kl_from_uniform(scores: Tensor, lam: Tensor) -> Tensor:
    """``sum p log(K p)`` for p = softmax(scores / lam): ``sum p w − log mean e^w`` with ``w = (scores − top)/lam``."""
    w = torch.sub(scores, scores.amax(dim=1, keepdim=True)).div_(lam.clamp(min=_COLDEST)[:, None]).clamp_(min=-1e4)
    unnormalised = w.exp()
    total = unnormalised.sum(dim=1)
    expected = torch.linalg.vecdot(unnormalised, w) / total
    return (expected - torch.log(total / scores.shape[1])).clamp(min=0.0)


def _stepped_temperature(z: Tensor, lam: Tensor, lam0: float, alpha: float) -> Tensor:
    shrunk = lam0 * (1 - _kl_from_uniform(z, lam) / (alpha * math.log(z.shape[1])))
    return shrunk.clamp(min=max(lam0 * 1e-6, _COLDEST))


def _solved_temperature(z: Tensor, lam0: float, alpha: float) -> Tensor:
    """The maximiser: the objective is not concave in general, so the best of a grid decides where to bisect.

    z may be shifted by a constant per row, which moves the objective and not its maximiser.
    """
    low = max(lam0 * (1 - 1 / alpha), lam0 * 1e-6)
    grid = [low + (lam0 - low) * (step / _GRID) ** 2 for step in range(_GRID + 1)]
    strength = alpha * math.log(z.shape[1]) / lam0
    top = z.amax(dim=1)
    best = torch.full_like(top, -math.inf)
    left, right = torch.full_like(top, low), torch.full_like(top, lam0)
    for number, t in enumerate(grid):
        value = t * torch.expm1((z - top[:, None]) / t).mean(dim=1).log1p() - strength / 2 * (t - lam0) ** 2 + top
        better = value > best
        best = torch.where(better, value, best)
        left = torch.where(better, grid[max(number - 1, 0)], left)
        right = torch.where(better, grid[min(number + 1, _GRID)], right)
    for _ in range(30):
        middle = (left + right) / 2
        rising = strength * (lam0 - middle) >= _kl_from_uniform(z, middle)
        left, right = torch.where(rising, middle, left), torch.where(rising, right, middle)
    return (left + right) / 2


def _check(logits: Tensor, target: Tensor, margin: float, normalize: str | None, reduction: str) -> None:
    class_logits("logits", logits)
    class_indices("target", target, len(logits), logits.shape[1])
    at_least("margin", margin, 0)
    _check_words(normalize, reduction)


def _check_temperature(name: str, lam: float) -> None:
    if not (isinstance(lam, float) and lam == math.inf):
        positive(name, lam)


def _check_adaptive(lam0: float, alpha: float) -> None:
    positive("lam0", lam0)
    positive("alpha", alpha)


def _check_temperatures(lam: Tensor, length: int) -> None:
    floating("lam", lam, 1)
    if lam.shape != (length,):
        raise ValueError(f"lam must have shape ({length},), got {tuple(lam.shape)}")
    if lam.device.type == "cpu" and not bool(((lam > 0) & torch.isfinite(lam)).all()):
        raise ValueError("lam must be finite and above 0, got other elements")


def _check_words(normalize: str | None, reduction: str) -> None:
    if normalize is not None:
        one_of("normalize", normalize, ("softplus", "l1"))
    one_of("reduction", reduction, ("mean", "sum", "none"))
