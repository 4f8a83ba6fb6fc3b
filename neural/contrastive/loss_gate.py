"""Learning from noisy pseudo labels: a dynamic loss gate with label correction (DLG-LC).

A classifier of pseudo labels has small losses l_i where the label is right and large ones where it is wrong. After
every epoch two Gaussians are fitted to the log losses; where they cross lies the gate tau. The next epoch,

    L = (1/N) sum_i 1[l_i < tau] l_i + (1/N) sum_i 1[l_i ≥ tau] 1[max p_i > confidence] H(target_i, P_i)

learns labels below the gate, and above it the sharpened prediction of a clean crop, ``target_i ∝ p_i^(1/sharpen)``,
where that is confident. The classifier is AAM-softmax: logits ``scale cos(theta_y + margin)`` for the label and
``scale cos(theta_j)`` for other classes.

    criterion = DLGLCLoss(samples=len(labels), margin=0.2, scale=32.0)
    loss = criterion(cosines, labels, index, clean_cosines)     # in every step; index says which samples these are
    criterion.update_gate()                                     # after every epoch

``method="fixed"`` is loss-gated learning, with a threshold that must be found by hand. Leading axes stack independent
problems, each with its own gate.

Source: Han, Chen and Qian (2022), *Self-Supervised Speaker Verification Using Dynamic Loss-Gate and Label Correction*,
and (2023), *Self-Supervised Learning with Cluster-Aware-DINO for High-Performance Robust Speaker Verification*;
Deng, Guo, Xue and Zafeiriou (2019), *ArcFace*, for the margin.
"""

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from neural.validation import (
    Reduction,
    class_indices,
    finite_contents,
    floating,
    in_range,
    indices,
    one_of,
    positive,
    reduce,
    whole_number,
)

__all__ = [
    "DLGLCLoss",
    "GaussianPair",
    "aam_softmax_logits",
    "aam_softmax_loss",
    "dlg_lc_loss",
    "dynamic_loss_gate",
    "fit_gaussian_pair",
    "gaussian_crossing",
    "label_correction_targets",
    "loss_gate_threshold",
]

Cosines = Float[Tensor, "*stack batch classes"]
Labels = Int[Tensor, "*stack batch"]
Method = Literal["gmm", "fixed"]

_FEWEST = 10
_BINS = 2048


class GaussianPair(NamedTuple):
    """Weights, means and standard deviations of two Gaussians, the smaller mean first."""

    weights: Float[Tensor, "*stack 2"]
    means: Float[Tensor, "*stack 2"]
    stds: Float[Tensor, "*stack 2"]


def aam_softmax_logits(cos: Cosines, y: Labels, margin: float = 0.2, scale: float = 32.0) -> Cosines:
    """``scale cos(theta_y + margin)`` for the label, ``scale cos(theta_j)`` for the other classes.

    ``cos(theta + margin) = cos theta cos margin − sin theta sin margin`` needs no arc cosine. Beyond
    ``theta = pi − margin``, where it would rise again, the label's logit is ``scale (cos theta − margin sin margin)``.
    At theta = 0 the sine's gradient, which is infinite, is taken as 0. Half precision is computed in float32.

    Raises ``ValueError`` for cosines that are not (…, batch, classes ≥ 2), labels that do not fit, a margin outside
    [0, pi), a scale not above 0, or (on CPU) cosines outside [−1, 1] by more than rounding.

    >>> aam_softmax_logits(torch.tensor([[1.0, 0.0]]), torch.tensor([0]), margin=0.5, scale=1.0)[0, 0].item() == (
    ...     torch.tensor(0.5).cos().item())
    True
    """
    cosines = _checked_cosines("cos", cos)
    _check_labels("y", y, cos)
    _check_margin(margin, scale)
    return scale * _with_margin(cosines, y, margin)


def aam_softmax_loss(
    cos: Cosines, y: Labels, margin: float = 0.2, scale: float = 32.0, *, reduction: Reduction = "mean"
) -> Float[Tensor, "..."]:
    """Cross-entropy of ``aam_softmax_logits``, computed so that easy samples keep a loss above 0.

    ``reduction="none"`` gives a loss per sample. Arguments and errors as there.
    """
    logits = aam_softmax_logits(cos, y, margin, scale)
    one_of("reduction", reduction, ("mean", "sum", "none"))
    return reduce(_cross_entropy(logits, y), reduction)


def fit_gaussian_pair(
    values: Float[Tensor, "*stack samples"], *, tolerance: float = 1e-6, max_iterations: int = 1000
) -> GaussianPair:
    """Maximum-likelihood mixture of two Gaussians for every stacked sample, by expectation and maximisation.

    Starts from the halves below and above the mean; ends when no parameter moves by more than ``tolerance`` standard
    deviations, or after ``max_iterations``: Gaussians that overlap are told apart slowly. One iteration is two products
    with the moments (1, x, x²) of the samples. Many samples are first gathered in bins that keep their moments:
    iterations there cost nothing, and few are left for the samples. All is computed in float64; variances are kept
    above 10⁻⁶ of the sample's. Equal values give two equal Gaussians.

    Raises ``ValueError`` for fewer than two samples, numbers out of range, or (on CPU) values that are not finite.

    >>> fit_gaussian_pair(torch.tensor([0.0, 0.2, 5.0, 5.2])).means.numpy().round(3).tolist()
    [0.1, 5.1]
    """
    floating("values", values)
    finite_contents("values", values)
    positive("tolerance", tolerance)
    whole_number("max_iterations", max_iterations, 1)
    if values.ndim == 0 or values.shape[-1] < 2:
        raise ValueError(f"values must hold at least 2 samples, got shape {tuple(values.shape)}")
    x = values.detach().double().reshape(-1, values.shape[-1])
    variance, centre = torch.var_mean(x, dim=1, keepdim=True, correction=0)
    scale = torch.where(variance > 0, variance, 1.0).sqrt()
    z = (x - centre) / scale
    share = (z > 0).double()
    samples = torch.stack([torch.ones_like(z), z, z * z], dim=1)
    if z.shape[1] > 4 * _BINS:
        bins = _binned(samples)
        weights = bins[:, :1].clamp_min(1)
        positions = bins / weights
        positions[:, 2] = positions[:, 1].square()
        found = _expectation_maximisation(positions, bins, (positions[:, 1] > 0).double(), tolerance, max_iterations)
        share = torch.einsum("scn,sc->sn", samples, _log_odds(found)).sigmoid_()
    found = _expectation_maximisation(samples, samples, share, tolerance, max_iterations)
    order = found[:, 1].argsort(dim=1)
    weights, means, variances = (found[:, k].gather(1, order) for k in range(3))
    shape = (*values.shape[:-1], 2)
    return GaussianPair(
        weights.reshape(shape), (centre + scale * means).reshape(shape), (scale * variances.sqrt()).reshape(shape)
    )


def gaussian_crossing(w1: float, m1: float, s1: float, w2: float, m2: float, s2: float) -> float:
    """Where ``w1 N(x; m1, s1²) = w2 N(x; m2, s2²)`` between the means, else the larger mean: all below it is kept.

    There is at most one such point, since the ratio of the densities falls between the means. Raises ``ValueError``
    for means that are not finite and for weights or deviations that are not finite and above 0.

    >>> gaussian_crossing(0.5, 0.0, 1.0, 0.5, 2.0, 1.0)
    1.0
    """
    for name, value in (("w1", w1), ("s1", s1), ("w2", w2), ("s2", s2)):
        positive(name, value)
    for name, value in (("m1", m1), ("m2", m2)):
        in_range(name, value, -1e300, 1e300)
    pair = torch.tensor([[w1, w2], [m1, m2], [s1, s2]], dtype=torch.float64)
    return _crossing(GaussianPair(*pair[:, [0, 1] if m1 <= m2 else [1, 0]])).item()


def dynamic_loss_gate(losses: Float[Tensor, "*stack samples"], log: bool = True) -> Float[Tensor, "*stack"]:
    """Gates of stacked problems: where two Gaussians of the log losses (``log=False``: of the losses) cross, as losses.

    At least the share of samples is kept that the Gaussian of small losses holds: a single mode has no meaningful
    crossing. Fewer than 10 samples or equal losses give infinity, no gate. The fit ends after 200 iterations: a gate is
    drawn anew in every epoch. The answer is in float64.

    Raises ``ValueError`` for losses that are not floating-point or (on CPU) not finite, or with ``log`` not above 0.
    """
    floating("losses", losses)
    finite_contents("losses", losses)
    if losses.ndim == 0:
        raise ValueError("losses must have an axis of samples, got shape ()")
    if log and losses.device.type == "cpu" and float(losses.min()) <= 0:
        raise ValueError(f"losses must be above 0 to take their logarithm, got {float(losses.min())}")
    values = losses.detach().double()
    values = values.log() if log else values
    if values.shape[-1] < _FEWEST:
        return torch.full_like(values[..., 0], torch.inf)
    pair = fit_gaussian_pair(values, tolerance=1e-5, max_iterations=200)
    crossing, ordered = _crossing(pair), values.sort(dim=-1).values
    held = (pair.weights[..., :1] * values.shape[-1]).long().clamp(1, values.shape[-1] - 1)
    last, following = (ordered.gather(-1, place)[..., 0] for place in (held - 1, held))
    gate = torch.where(crossing > last, crossing, (last + following) / 2)
    return torch.where(ordered[..., 0] < ordered[..., -1], gate.exp() if log else gate, torch.inf)


def loss_gate_threshold(
    losses: Float[Tensor, " samples"], log: bool = True, method: Method = "gmm", *, threshold: float = 2.0
) -> float:
    """The loss at which the gate closes: samples with ``loss < threshold`` are kept.

    ``"gmm"`` is ``dynamic_loss_gate``, ``"fixed"`` returns ``threshold``. Raises ``ValueError`` for losses that are not
    a floating-point vector and as there, for an unknown method, or a threshold not above 0.

    >>> losses = torch.cat([torch.linspace(0.1, 0.2, 50), torch.linspace(5, 9, 50)])
    >>> 0.2 < loss_gate_threshold(losses) < 5
    True
    """
    floating("losses", losses, 1)
    one_of("method", method, ("gmm", "fixed"))
    positive("threshold", threshold)
    return threshold if method == "fixed" else dynamic_loss_gate(losses, log).item()


def label_correction_targets(
    p_clean: Float[Tensor, "*stack batch classes"], confidence: float = 0.5, sharpen: float = 0.1
) -> tuple[Float[Tensor, "*stack batch classes"], Bool[Tensor, "*stack batch"]]:
    """``p^(1/sharpen) / sum p^(1/sharpen)`` and whether ``max p > confidence``, both without gradient.

    Raises ``ValueError`` for arrays that are not (…, batch, classes ≥ 2), a ``confidence`` outside [0, 1], a
    ``sharpen`` not above 0, or (on CPU) rows that are not distributions.

    >>> targets, mask = label_correction_targets(torch.tensor([[0.6, 0.4], [0.5, 0.5]]))
    >>> targets.numpy().round(3).tolist(), mask.tolist()
    ([[0.9829999804496765, 0.017000000923871994], [0.5, 0.5]], [True, False])
    """
    p = _checked_probabilities(p_clean)
    in_range("confidence", confidence, 0, 1)
    positive("sharpen", sharpen)
    # The largest probability is divided out first: powers of small ones underflow together.
    return torch.softmax((p / p.amax(-1, keepdim=True)).log() / sharpen, dim=-1), p.amax(-1) > confidence


def dlg_lc_loss(
    cos: Cosines,
    y: Labels,
    threshold: float | Float[Tensor, "*stack"],
    p_clean: Float[Tensor, "*stack batch classes"] | None = None,
    *,
    margin: float = 0.2,
    scale: float = 32.0,
    confidence: float = 0.5,
    sharpen: float = 0.1,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """AAM-softmax below the gate; above it cross-entropy with the corrected target, if there is a confident one.

    Args:
        cos, y: cosines with the class weights, and pseudo labels.
        threshold: the gate, one number or one per stacked problem; infinity keeps every label.
        p_clean: predictions for clean crops of the samples; without them nothing is corrected (DLG).
        margin, scale: as in ``aam_softmax_logits``. Predictions that are corrected carry no margin.
        confidence, sharpen: as in ``label_correction_targets``.
        reduction: ``"mean"`` over all samples, kept or not, ``"sum"``, or ``"none"`` for a loss per sample.

    Raises ``ValueError`` for what those functions refuse, predictions of another shape, or a threshold below 0.
    """
    logits = aam_softmax_logits(cos, y, margin, scale)
    one_of("reduction", reduction, ("mean", "sum", "none"))
    gate = _checked_threshold(threshold, cos)
    in_range("confidence", confidence, 0, 1)
    positive("sharpen", sharpen)
    losses = _cross_entropy(logits, y)
    kept = losses.detach() < gate
    loss = torch.where(kept, losses, 0.0)
    if p_clean is not None:
        _check_shape("p_clean", p_clean, cos)
        targets, confident = label_correction_targets(p_clean, confidence, sharpen)
        predicted = torch.log_softmax(scale * _checked_cosines("cos", cos), dim=-1)
        corrected = -(targets.to(predicted.dtype) * predicted).sum(-1)
        loss = loss + torch.where(~kept & confident, corrected, 0.0)
    return reduce(loss, reduction)


class DLGLCLoss(nn.Module):
    """``dlg_lc_loss`` that remembers the losses of all ``samples`` and sets its gate from them.

    The gate is open until ``update_gate`` is called for the first time: call it after the warm-up and then after every
    epoch. Losses are those of the training passes themselves. ``method="fixed"`` uses ``threshold`` instead. Without
    ``clean_cos`` nothing is corrected.
    """

    losses: Tensor
    threshold: Tensor

    def __init__(
        self,
        samples: int,
        margin: float = 0.2,
        scale: float = 32.0,
        confidence: float = 0.5,
        sharpen: float = 0.1,
        method: Method = "gmm",
        fixed_threshold: float = 2.0,
        *,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        whole_number("samples", samples, 1)
        _check_margin(margin, scale)
        in_range("confidence", confidence, 0, 1)
        positive("sharpen", sharpen)
        one_of("method", method, ("gmm", "fixed"))
        positive("fixed_threshold", fixed_threshold)
        one_of("reduction", reduction, ("mean", "sum", "none"))
        self.margin, self.scale, self.confidence, self.sharpen = margin, scale, confidence, sharpen
        self.method: Method = method
        self.fixed_threshold = fixed_threshold
        self.reduction: Reduction = reduction
        self.register_buffer("losses", torch.full((samples,), torch.nan))
        self.register_buffer("threshold", torch.tensor(torch.inf))

    def forward(
        self,
        cos: Float[Tensor, "batch classes"],
        y: Int[Tensor, " batch"],
        index: Int[Tensor, " batch"],
        clean_cos: Float[Tensor, "batch classes"] | None = None,
    ) -> Float[Tensor, "..."]:
        """Loss of a batch; ``index`` says which of the samples these are, ``clean_cos`` are cosines of clean crops."""
        floating("cos", cos, 2)
        class_indices("index", index, len(cos), len(self.losses))
        losses = aam_softmax_loss(cos, y, self.margin, self.scale, reduction="none")
        self.losses[index] = losses.detach().to(self.losses.dtype)
        p_clean = None
        if clean_cos is not None:
            _check_shape("clean_cos", clean_cos, cos)
            p_clean = torch.softmax(self.scale * _checked_cosines("clean_cos", clean_cos).detach(), dim=-1)
        return dlg_lc_loss(
            cos, y, self.threshold, p_clean, margin=self.margin, scale=self.scale, confidence=self.confidence,
            sharpen=self.sharpen, reduction=self.reduction,
        )  # fmt: skip

    def update_gate(self) -> float:
        """Set the gate from the newest loss of every sample seen so far, and return it."""
        seen = self.losses[~self.losses.isnan()]
        if len(seen):
            self.threshold.fill_(loss_gate_threshold(seen, method=self.method, threshold=self.fixed_threshold))
        return self.threshold.item()


def _with_margin(cosines: Tensor, y: Tensor, margin: float) -> Tensor:
    of_label = cosines.gather(-1, y[..., None]).clamp(-1, 1)
    squared = (1 - of_label) * (1 + of_label)
    vanishes = squared <= 0
    sine = torch.where(vanishes, 0.0, torch.where(vanishes, 1.0, squared).sqrt())
    turned = math.cos(margin) * of_label - math.sin(margin) * sine
    beyond = of_label < -math.cos(margin)
    return cosines.scatter(-1, y[..., None], torch.where(beyond, of_label - margin * math.sin(margin), turned))


def _cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """``log(1 + sum over j ≠ y of exp(l_j − l_y))``, which does not round to 0 where logsumexp less l_y would."""
    of_label = logits.gather(-1, y[..., None])
    others = (logits - of_label).scatter(-1, y[..., None], -torch.inf)
    losses = -nn.functional.logsigmoid(-others.logsumexp(-1))
    return losses.clamp_min(torch.finfo(losses.dtype).tiny)


def _binned(samples: Tensor) -> Tensor:
    """Moments (1, z, z²) of standardised samples summed in equal bins, shape (stack, 3, bins)."""
    z = samples[:, 1]
    low, high = z.amin(1, keepdim=True), z.amax(1, keepdim=True)
    places = ((z - low) * (_BINS / (high - low).clamp_min(1e-300))).long().clamp_max(_BINS - 1)
    bins = torch.zeros(*samples.shape[:2], _BINS, dtype=samples.dtype, device=samples.device)
    return bins.scatter_add_(2, places[:, None].expand_as(samples), samples)


def _expectation_maximisation(
    positions: Tensor, moments: Tensor, share: Tensor, tolerance: float, max_iterations: int
) -> Tensor:
    """Weights, means, variances as (stack, 3, 2), from each point's share in the second Gaussian."""
    total = moments.sum(2)
    found = torch.zeros(len(moments), 3, 2, dtype=moments.dtype, device=moments.device)
    for _ in range(max_iterations):
        second = torch.bmm(moments, share[:, :, None])[:, :, 0]
        sums = torch.stack([total - second, second], dim=2)
        mass = sums[:, :1].clamp_min(1e-12 * total[0, 0].item())
        mean = sums[:, 1:2] / mass
        variance = (sums[:, 2:] / mass - mean.square()).clamp_min(1e-6)
        before, found = found, torch.cat([mass / total[:, :1, None], mean, variance], dim=1)
        if (found - before).abs().max().item() <= tolerance:
            break
        share = torch.bmm(_log_odds(found)[:, None], positions)[:, 0].sigmoid_()
    return found


def _log_odds(found: Tensor) -> Tensor:
    """Coefficients of (1, z, z²) in the log odds of the second Gaussian."""
    weight, mean, variance = found.unbind(1)
    constant = weight.log() - 0.5 * variance.log() - 0.5 * mean.square() / variance
    each = torch.stack([constant, mean / variance, -0.5 / variance], dim=1)
    return each[:, :, 1] - each[:, :, 0]


def _crossing(pair: GaussianPair) -> Tensor:
    """Crossing between the means of every stacked pair, or its larger mean.

    With u = (x − m1)/gap the log ratio of the densities is ``a u² − b u + e``; the quadratic formula in the form
    ``2 e/(b + sqrt(b² − 4 a e))`` has no cancellation and covers a = 0.
    """
    (w1, w2), (m1, m2), (s1, s2) = (each.unbind(-1) for each in pair)
    gap, narrow = m2 - m1, torch.minimum(s1, s2)
    largest = torch.maximum(gap, narrow)
    odds = (w1.log() - w2.log() + s2.log() - s1.log()) * (narrow / largest).square()
    k1, k2 = ((gap / largest * (narrow / s)).square() for s in (s1, s2))
    e = odds + k2 / 2
    crosses = (e > 0) & (odds - k1 / 2 < 0)
    root = 2 * e / torch.where(crosses, k2 + (k2.square() - 2 * (k2 - k1) * e).clamp_min(0).sqrt(), 1.0)
    return torch.where(crosses, m1 + gap * root.clamp_max(1), m2)


def _checked_cosines(name: str, cos: Tensor) -> Tensor:
    floating(name, cos)
    if cos.ndim < 2 or cos.shape[-1] < 2:
        raise ValueError(f"{name} must be (…, batch, classes) with 2 classes at least, got shape {tuple(cos.shape)}")
    finite_contents(name, cos)
    if cos.device.type == "cpu":
        largest = max(abs(float(end)) for end in torch.aminmax(cos.detach()))
        if largest > 1 + 8 * torch.finfo(cos.dtype).eps:
            raise ValueError(f"{name} must be cosines in [−1, 1], got {largest}")
    return cos if cos.dtype == torch.float64 else cos.float()


def _check_labels(name: str, y: Tensor, cos: Tensor) -> None:
    indices(name, y)
    if y.shape != cos.shape[:-1]:
        raise ValueError(f"{name} must have shape {tuple(cos.shape[:-1])}, got {tuple(y.shape)}")
    class_indices(name, y.flatten(), y.numel(), cos.shape[-1])


def _check_shape(name: str, value: Tensor, cos: Tensor) -> None:
    floating(name, value)
    if value.shape != cos.shape:
        raise ValueError(f"{name} must have the shape of cos, {tuple(cos.shape)}, got {tuple(value.shape)}")


def _check_margin(margin: float, scale: float) -> None:
    in_range("margin", margin, 0, math.nextafter(math.pi, 0))
    positive("scale", scale)


def _checked_probabilities(p: Tensor) -> Tensor:
    floating("p_clean", p)
    if p.ndim < 2 or p.shape[-1] < 2:
        raise ValueError(f"p_clean must be (…, batch, classes) with 2 classes at least, got shape {tuple(p.shape)}")
    finite_contents("p_clean", p)
    known = p.detach() if p.dtype == torch.float64 else p.detach().float()
    if p.device.type == "cpu":
        tolerance = 8 * p.shape[-1] ** 0.5 * torch.finfo(p.dtype).eps
        if float(known.min()) < 0 or float((known.sum(-1) - 1).abs().max()) > tolerance:
            raise ValueError(f"p_clean must hold distributions along its last axis, got {p!r:.60}")
    return known


def _checked_threshold(threshold: float | Tensor, cos: Tensor) -> float | Tensor:
    if not isinstance(threshold, Tensor):
        in_range("threshold", threshold, 0, math.inf)
        return threshold
    if not threshold.is_floating_point() or threshold.shape not in ((), cos.shape[:-2]):
        raise ValueError(
            f"threshold must be a number or one per stacked problem, {tuple(cos.shape[:-2])}, "
            f"got {threshold.dtype} of shape {tuple(threshold.shape)}"
        )
    if threshold.device.type == "cpu" and not bool((threshold >= 0).all()):
        raise ValueError(f"threshold must be at least 0, got {threshold!r:.60}")
    return threshold[..., None]
