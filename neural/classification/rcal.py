"""RCAL: training on noisy, long-tailed labels from calibrated contrastive representations.

An encoder is first trained without labels, by contrasting two views of every input. Its features z_i = f(x_i) then
serve twice. Every class is taken for a Gaussian in them, estimated robustly from the polluted labels, with rare classes
borrowing from similar frequent ones, and new features are drawn from these Gaussians. And while encoder f and head h
are trained on labels, features are kept near where contrast had put them:

    loss = (1 − s) CE(h(f(x)), y) + s CE(h(z'), k) + beta mean |f(x_i) − z_i|²

with mixup of inputs in the first term, features z' drawn for class k in the second, and the individual calibration in
the third.

    pretrain_encoder(encoders, x, features=64, views=Views(), generator=generator)
    model = RCAL(encoder, head, beta=1.0, mixup=1.0, classes=10).fit(x, y_noisy)
    model.predict(x_test)

``pretrain_encoder`` and ``fine_tune`` train stacks of networks in lockstep (``neural.ensemble``); ``RCAL`` takes
ordinary modules.

Source: Zhang, Zhao, Yao, Yuan and Huang (2023), "When Noisy Labels Meet Long Tail Dilemmas: A Representation
Calibration Method". The share s, trimming by distance to the median and the weights of borrowing are choices made here.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from neural.contrastive.dcl import info_nce_loss
from neural.contrastive.images import Views
from neural.contrastive.pretrain import EncoderEnsemble, pretrain
from neural.ensemble import EnsembleBatchNorm, EnsembleLinear, EnsembleSGD
from neural.validation import (
    Reduction,
    at_least,
    class_indices,
    finite_contents,
    floating,
    in_range,
    one_of,
    positive,
    reduce,
    whole_number,
)

__all__ = [
    "RCAL",
    "ClassStats",
    "RobustMethod",
    "StackedClassificationLoss",
    "calibrate_tails",
    "fine_tune",
    "individual_calibration_loss",
    "pretrain_encoder",
    "robust_class_stats",
    "sample_gaussian_classes",
]

RobustMethod = Literal["lof", "median", "none"]
StackedClassificationLoss = Callable[
    [Float[Tensor, "models batch classes"], Int[Tensor, "models batch"]], Float[Tensor, "models batch"]
]
"""Losses of all samples under all models, from logits and labels."""
PerModel = float | Float[Tensor, " models"]
_FEWEST_FOR_LOF = 9


class RCAL:
    """Representation calibration with a pre-trained ``encoder`` (to features) and a ``head`` (from these to logits).

    ``fit`` estimates the class Gaussians (``method`` and ``contamination`` as in ``robust_class_stats``), lets rare
    classes borrow from ``neighbours`` frequent ones, draws ``per_class`` features per class (as many as the largest
    class has samples if not given), and trains encoder and head as ``fine_tune`` does, in evaluation mode so that
    features of the same input stay comparable. All randomness comes from ``seed``. ``stats`` holds what was estimated.

    Raises ``ValueError`` for numbers out of range, an unknown method, and in ``fit`` for inputs that are empty or
    not finite or labels that do not fit them.

    >>> _ = torch.manual_seed(0)
    >>> x, y = torch.randn(40, 4), torch.arange(40) % 2
    >>> x = x + 4.0 * y[:, None]
    >>> model = RCAL(nn.Linear(4, 3), nn.Linear(3, 2), classes=2, steps=60, batch_size=20).fit(x, y)
    >>> bool((model.predict(x) == y).float().mean() > 0.9)
    True
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        beta: float = 1.0,
        mixup: float = 1.0,
        *,
        classes: int,
        method: RobustMethod = "lof",
        contamination: float = 0.2,
        neighbours: int = 3,
        per_class: int | None = None,
        sample_share: float = 0.5,
        steps: int = 300,
        batch_size: int = 64,
        learning_rate: float = 0.05,
        augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
        seed: int = 0,
    ) -> None:
        at_least("beta", beta, 0.0)
        at_least("mixup", mixup, 0.0)
        whole_number("classes", classes, 2)
        one_of("method", method, ("lof", "median", "none"))
        in_range("contamination", contamination, 0.0, 0.5)
        whole_number("neighbours", neighbours, 1)
        if per_class is not None:
            whole_number("per_class", per_class, 1)
        in_range("sample_share", sample_share, 0.0, 1.0)
        whole_number("steps", steps, 1)
        whole_number("batch_size", batch_size, 1)
        positive("learning_rate", learning_rate)
        whole_number("seed", seed, 0)
        self.encoder, self.head = encoder, head
        self.beta, self.mixup, self.sample_share = beta, mixup, sample_share
        self.classes, self.per_class, self.neighbours = classes, per_class, neighbours
        self.method: RobustMethod = method
        self.contamination = contamination
        self.steps, self.batch_size, self.learning_rate = steps, batch_size, learning_rate
        self.augment, self.seed = augment, seed
        self.stats: ClassStats | None = None

    def fit(self, X: Float[Tensor, "samples ..."], y_noisy: Int[Tensor, " samples"]) -> "RCAL":
        """Calibrate the representations of ``X`` and train on them and ``y_noisy``; returns itself."""
        floating("X", X)
        finite_contents("X", X)
        class_indices("y_noisy", y_noisy, len(X), self.classes)
        generator = torch.Generator(X.device).manual_seed(self.seed)
        self.encoder.eval()
        self.head.eval()
        with torch.no_grad():
            reference = self.encoder(X)
        stats = robust_class_stats(reference, y_noisy, self.method, self.contamination, classes=self.classes)
        self.stats = calibrate_tails(stats, self.neighbours)
        per_class = self.per_class or int(torch.bincount(y_noisy).max())
        samples, sample_labels = sample_gaussian_classes(self.stats, per_class, generator)
        fine_tune(
            _StackOfOne(self.encoder), _StackOfOne(self.head), X, y_noisy[None], models=1, reference=reference[None],
            samples=samples[None], sample_labels=sample_labels[None], beta=self.beta, mixup=self.mixup,
            sample_share=self.sample_share, steps=self.steps, batch_size=self.batch_size,
            learning_rate=self.learning_rate, augment=self.augment, generator=generator,
        )  # fmt: skip
        return self

    @torch.no_grad()
    def predict(self, X: Float[Tensor, "samples ..."]) -> Int[Tensor, " samples"]:
        """The most probable class of every input."""
        floating("X", X)
        finite_contents("X", X)
        return self.head(self.encoder(X)).argmax(-1)


def individual_calibration_loss(
    z: Float[Tensor, "*stack samples dim"], z_ref: Float[Tensor, "*stack samples dim"], reduction: Reduction = "mean"
) -> Float[Tensor, "..."]:
    """``|z_i − z_ref_i|²`` of every sample, their sum or their mean; no gradient flows into ``z_ref``.

    Raises ``ValueError`` for shapes that differ, fewer than two axes, an unknown ``reduction`` or (on CPU) features
    that are not finite.

    >>> individual_calibration_loss(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.zeros(2, 2)).item()
    2.5
    """
    floating("z", z)
    floating("z_ref", z_ref)
    if z.ndim < 2 or z.shape != z_ref.shape:
        raise ValueError(f"z and z_ref must have one shape (samples, dim), got {tuple(z.shape)}, {tuple(z_ref.shape)}")
    finite_contents("z", z)
    finite_contents("z_ref", z_ref)
    return reduce((z - z_ref.detach()).square().sum(-1), reduction)


@dataclass(frozen=True)
class ClassStats:
    """Mean and covariance of every class, and ``n``, the number of samples they rest on."""

    mean: Float[Tensor, "classes dim"]
    cov: Float[Tensor, "classes dim dim"]
    n: Int[Tensor, " classes"]

    def __post_init__(self) -> None:
        floating("mean", self.mean, 2)
        floating("cov", self.cov, 3)
        if self.cov.shape != (*self.mean.shape, self.mean.shape[1]):
            raise ValueError(
                f"cov must have shape {(*self.mean.shape, self.mean.shape[1])}, got {tuple(self.cov.shape)}"
            )
        finite_contents("mean", self.mean)
        finite_contents("cov", self.cov)
        if not isinstance(self.n, Tensor) or self.n.is_floating_point() or self.n.shape != self.mean.shape[:1]:
            raise ValueError(f"n must be {len(self.mean)} whole numbers, got {self.n!r:.60}")
        if self.n.device.type == "cpu" and int(self.n.min()) < 0:
            raise ValueError(f"n must be at least 0, got {int(self.n.min())}")


def robust_class_stats(
    z: Float[Tensor, "samples dim"],
    y: Int[Tensor, " samples"],
    method: RobustMethod = "lof",
    contamination: float = 0.2,
    *,
    classes: int,
) -> ClassStats:
    """Mean and (unbiased) covariance of every class after the share ``contamination`` of outliers is dropped.

    ``"lof"`` drops the largest local outlier factors (20 neighbours, fewer in smaller classes, nothing below 9
    samples), ``"median"`` the samples farthest from the coordinate-wise median, ``"none"`` nothing. A class with one
    sample gets the pooled covariance within classes, one without samples also the mean of all. Statistics are float64
    for float64 features, else float32. Memory is quadratic in a class for ``"lof"``.
    Raises ``ValueError`` for features or labels that do not fit, an unknown method, contamination outside [0, 0.5].

    >>> z = torch.tensor([[0.0], [1.0], [2.0], [30.0]])
    >>> robust_class_stats(z, torch.zeros(4, dtype=torch.long), "median", 0.25, classes=1).mean.item()
    1.0
    """
    floating("z", z, 2)
    finite_contents("z", z)
    whole_number("classes", classes, 1)
    class_indices("y", y, len(z), classes)
    one_of("method", method, ("lof", "median", "none"))
    in_range("contamination", contamination, 0.0, 0.5)
    z = z if z.dtype == torch.float64 else z.float()
    means, covs = z.mean(0).repeat(classes, 1), z.new_zeros(classes, z.shape[1], z.shape[1])
    counts = []
    for k in range(classes):
        rows = z[y == k]
        if (
            len(rows)
            and method != "none"
            and contamination > 0
            and (method == "median" or len(rows) >= _FEWEST_FOR_LOF)
        ):
            factor = _local_outlier_factors(rows) if method == "lof" else (rows - _median(rows)).square().sum(1)
            # A stable sort in falling order, so that of equals the later ones are kept, as numpy's twin does.
            kept = torch.argsort(-factor, stable=True)[len(rows) - math.ceil((1 - contamination) * len(rows)) :]
            rows = rows[kept]
        counts.append(len(rows))
        if len(rows):
            means[k] = rows.mean(0)
            covs[k] = (rows - means[k]).T @ (rows - means[k]) / max(len(rows) - 1, 1)
    n = torch.tensor(counts, device=z.device)
    own = (n - 1).clamp(min=0)
    pooled = (own[:, None, None] * covs).sum(0) / own.sum().clamp(min=1)
    return ClassStats(means, torch.where((n >= 2)[:, None, None], covs, pooled), n)


def calibrate_tails(stats: ClassStats, q: int = 3, tail: Int[Tensor, " tails"] | None = None) -> ClassStats:
    """Covariances of rare classes, shrunk towards those of their ``q`` nearest frequent classes.

        S'_k = n_k/(n_k + d) S_k + d/(n_k + d) sum_j w_j S_j,    w = softmax(−|mu_j − mu_k|² / their mean)

    ``tail`` lists the rare classes; if not given, they are those with fewer samples than the median class. Heads are
    the others with two samples or more. Raises ``ValueError`` for ``q`` below 1, labels that do not fit or no heads.

    >>> stats = ClassStats(torch.tensor([[0.0], [1.0]]), torch.tensor([[[4.0]], [[2.0]]]), torch.tensor([50, 3]))
    >>> calibrate_tails(stats).cov.flatten().tolist()
    [4.0, 2.5]
    """
    whole_number("q", q, 1)
    classes, d = stats.mean.shape
    if tail is None:
        # torch.median takes the lower of two middle values.
        is_tail = stats.n.double() < torch.quantile(stats.n.double(), 0.5)
    else:
        if not isinstance(tail, Tensor) or tail.ndim != 1 or len(tail) == 0:
            raise ValueError(f"tail must be a non-empty vector of class indices, got {tail!r:.60}")
        class_indices("tail", tail, len(tail), classes)
        is_tail = torch.zeros(classes, dtype=torch.bool, device=stats.n.device).index_fill(0, tail.long(), True)
    if not bool(is_tail.any()):
        return stats
    tails, heads = is_tail.nonzero()[:, 0], (~is_tail & (stats.n >= 2)).nonzero()[:, 0]
    if len(heads) == 0:
        raise ValueError("tail must leave at least one class with two samples or more")
    squared = (stats.mean[tails, None] - stats.mean[heads]).square().sum(-1)
    near, order = squared.topk(min(q, len(heads)), dim=1, largest=False)
    typical = near.mean(1, keepdim=True)
    weights = torch.softmax(-near / torch.where(typical > 0, typical, 1.0), dim=1)
    n = stats.n[tails].to(stats.cov.dtype)
    own = torch.where(n >= 2, n / (n + d), 0.0)[:, None, None]
    borrowed = torch.einsum("tq,tqde->tde", weights, stats.cov[heads[order]])
    cov = stats.cov.index_copy(0, tails, own * stats.cov[tails] + (1 - own) * borrowed)
    return ClassStats(stats.mean, cov, stats.n)


def sample_gaussian_classes(
    stats: ClassStats, per_class: int, generator: torch.Generator
) -> tuple[Float[Tensor, "samples dim"], Int[Tensor, " samples"]]:
    """``per_class`` features from every class' Gaussian, with their labels, by class.

    A covariance that is singular gets a jitter of 1e-7 (float64: 1e-10) times its mean variance (the largest of all
    classes', if its own is 0), ten times as much up to five times over. Raises ``ValueError`` for one that still
    fails and for ``per_class`` below 1.

    >>> stats = ClassStats(torch.zeros(2, 1), torch.ones(2, 1, 1), torch.tensor([5, 5]))
    >>> z, y = sample_gaussian_classes(stats, 2, torch.Generator().manual_seed(0))
    >>> tuple(z.shape), y.tolist()
    ((4, 1), [0, 0, 1, 1])
    """
    whole_number("per_class", per_class, 1)
    classes, d = stats.mean.shape
    noise = torch.randn(classes, per_class, d, generator=generator, device=stats.mean.device, dtype=stats.mean.dtype)
    drawn = torch.baddbmm(stats.mean[:, None], noise, _cholesky_factors(stats.cov).mT)
    return drawn.flatten(0, 1), torch.arange(classes, device=drawn.device).repeat_interleave(per_class)


def pretrain_encoder(
    encoder: nn.Module,
    x: Float[Tensor, "samples pixels"],
    *,
    features: int,
    views: Views,
    generator: torch.Generator,
    models: int = 1,
    projections: int = 32,
    temperature: float = 0.2,
    batch_size: int = 128,
    steps: int = 300,
    learning_rate: float = 0.1,
) -> None:
    """Train a stack of encoders, (models, batch, pixels) to (models, batch, ``features``), in place and without labels.

    InfoNCE on projections (two layers, normalised over the batch) of two views of every image; the projector is thrown
    away, encoders are left in evaluation mode. Raises ``ValueError`` for images that are empty or not finite, numbers
    out of range, or a batch of fewer than two images or more than there are.

    Source: Chen, Kornblith, Norouzi and Hinton (2020), SimCLR, for loss, views and projector.
    """
    floating("x", x, 2)
    finite_contents("x", x)
    for name, number in (("features", features), ("models", models), ("projections", projections), ("steps", steps)):
        whole_number(name, number, 1)
    positive("temperature", temperature)
    positive("learning_rate", learning_rate)
    whole_number("batch_size", batch_size, 2)
    if batch_size > len(x):
        raise ValueError(f"batch_size must be at most the {len(x)} images, got {batch_size}")

    def loss(z1: Tensor, z2: Tensor, step: int) -> Tensor:
        return torch.stack([info_nce_loss(a, b, temperature) for a, b in zip(z1, z2, strict=True)])

    projected = _ProjectedEncoder(encoder, models, features, projections, generator)
    pretrain(
        projected, x, loss, views=views, batch_size=batch_size, steps=steps, learning_rate=learning_rate,
        generator=generator,
    )  # fmt: skip


def fine_tune(
    encoder: nn.Module,
    head: nn.Module,
    x: Float[Tensor, "samples ..."],
    y: Int[Tensor, "models samples"],
    *,
    models: int,
    generator: torch.Generator,
    reference: Float[Tensor, "models samples dim"] | None = None,
    samples: Float[Tensor, "models drawn dim"] | None = None,
    sample_labels: Int[Tensor, "models drawn"] | None = None,
    beta: PerModel = 0.0,
    mixup: PerModel = 0.0,
    sample_share: PerModel = 0.0,
    loss: StackedClassificationLoss | None = None,
    steps: int = 300,
    batch_size: int = 64,
    learning_rate: PerModel = 0.05,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    clip_norm: float | None = None,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
) -> None:
    """Train stacks of encoders and heads in place, each on its own labels, samples and weights of the three terms.

    All models see the same batches of inputs, transformed by ``augment`` if given, in the same order, and the rows
    of ``samples`` at the same places. ``beta``, ``mixup`` (the Beta distribution's parameter, 0 for none),
    ``sample_share`` and ``learning_rate`` (which falls to 0 along a cosine) are numbers, or one per model.
    ``loss`` replaces cross-entropy on the inputs. ``reference`` is needed for ``beta > 0``, ``samples`` with
    ``sample_labels`` for ``sample_share > 0``.

    Raises ``ValueError`` for tensors that are empty, not finite or do not fit each other, numbers out of range, or
    references or samples that are missing.
    """
    floating("x", x)
    finite_contents("x", x)
    whole_number("models", models, 1)
    _stacked_labels("y", y, (models, len(x)))
    whole_number("steps", steps, 1)
    whole_number("batch_size", batch_size, 1)
    in_range("momentum", momentum, 0.0, 1.0)
    at_least("weight_decay", weight_decay, 0.0)
    if clip_norm is not None:
        positive("clip_norm", clip_norm)
    betas, alphas, shares, rates = (
        _per_model(name, value, models, x)
        for name, value in (
            ("beta", beta), ("mixup", mixup), ("sample_share", sample_share), ("learning_rate", learning_rate)
        )
    )  # fmt: skip
    if float(shares.max()) > 1:
        raise ValueError(f"sample_share must be at most 1, got {sample_share!r:.60}")
    calibrated, sampled, mixed = (bool((v > 0).any()) for v in (betas, shares, alphas))
    if calibrated and reference is None:
        raise ValueError("reference must be given for beta above 0, got None")
    if sampled and (samples is None or sample_labels is None):
        raise ValueError("samples and sample_labels must be given for sample_share above 0, got None")
    if reference is not None:
        _stacked_features("reference", reference, models, len(x))
    if samples is not None and sample_labels is not None:
        _stacked_features("samples", samples, models, None)
        _stacked_labels("sample_labels", sample_labels, (models, samples.shape[1]))
    weights = _mixing_weights(alphas, steps, generator)
    initial = rates if isinstance(learning_rate, Tensor) else learning_rate
    optimiser = EnsembleSGD(
        [*encoder.parameters(), *head.parameters()], initial, momentum, weight_decay, clip_norm=clip_norm
    )
    criterion = loss or _cross_entropy
    for step in range(steps):
        decay = 0.5 * (1 + math.cos(math.pi * step / steps))
        optimiser.learning_rate = rates * decay if isinstance(learning_rate, Tensor) else float(rates[0]) * decay
        rows = torch.randint(len(x), (batch_size,), generator=generator, device=x.device)
        inputs = x[rows] if augment is None else augment(x[rows], generator)
        stacked, labels = inputs.expand(models, *inputs.shape), y[:, rows]
        partner = torch.randperm(batch_size, generator=generator, device=x.device)
        lam = weights[step]
        blended = stacked
        if mixed:
            shape = (-1, *(1,) * (stacked.ndim - 1))
            blended = torch.lerp(stacked[:, partner], stacked, lam.reshape(shape))
        # Without mixup one pass serves both terms.
        passed = torch.cat([blended, stacked], dim=1) if mixed and calibrated else blended
        features = encoder(passed)
        logits = head(features[:, :batch_size])
        if step == 0:
            _labels_below("y", y, logits.shape[-1])
            if sample_labels is not None:
                _labels_below("sample_labels", sample_labels, logits.shape[-1])
        risk = criterion(logits, labels).mean(1)
        if mixed:
            risk = lam * risk + (1 - lam) * criterion(logits, labels[:, partner]).mean(1)
        total = (1 - shares) * risk
        if sampled and samples is not None and sample_labels is not None:
            drawn = torch.randint(samples.shape[1], (batch_size,), generator=generator, device=x.device)
            total = total + shares * _cross_entropy(head(samples[:, drawn]), sample_labels[:, drawn]).mean(1)
        if calibrated and reference is not None:
            drift = individual_calibration_loss(features[:, -batch_size:], reference[:, rows], "none").mean(1)
            total = total + betas * drift
        optimiser.step(total.sum())


class _StackOfOne(nn.Module):
    """An ordinary module as a stack of one model."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x[0])[None]


class _ProjectedEncoder(EncoderEnsemble):
    """Any stack of encoders with a projector, in the form that contrastive pre-training takes."""

    def __init__(
        self, encoder: nn.Module, models: int, features: int, projections: int, generator: torch.Generator
    ) -> None:
        nn.Module.__init__(self)
        self.models = models
        self.encoder = nn.Sequential(encoder)
        self.projector = nn.Sequential(
            EnsembleBatchNorm(models, features, generator.device),
            nn.ReLU(),
            EnsembleLinear(models, features, 2 * features, generator),
            EnsembleBatchNorm(models, 2 * features, generator.device),
            nn.ReLU(),
            EnsembleLinear(models, 2 * features, projections, generator),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        stacked = self.encoder(x.expand(self.models, *x.shape))
        return stacked, self.projector(stacked)


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").reshape(labels.shape)


def _mixing_weights(alphas: Tensor, steps: int, generator: torch.Generator) -> Tensor:
    """Beta(alpha, alpha) weights (steps, models), 1 where alpha is 0; torch has no Beta with a generator."""
    seed = int(torch.randint(2**31, (1,), generator=generator, device=generator.device))
    alpha = alphas.double().cpu().numpy()
    drawn = np.random.default_rng(seed).beta(
        np.where(alpha > 0, alpha, 1.0), np.where(alpha > 0, alpha, 1.0), (steps, len(alpha))
    )
    return torch.as_tensor(np.where(alpha > 0, drawn, 1.0), dtype=alphas.dtype, device=alphas.device)


def _median(rows: Tensor) -> Tensor:
    # torch.median takes the lower of two middle values.
    return torch.quantile(rows, 0.5, dim=0)


def _local_outlier_factors(rows: Tensor) -> Tensor:
    """Mean local reachability density of a sample's neighbours over its own (Breunig et al. 2000)."""
    neighbours = min(20, len(rows) - 1)
    # Not by the inner-product expansion, whose rounding makes twins of near neighbours.
    distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    near, index = distances.fill_diagonal_(torch.inf).topk(neighbours, dim=1, largest=False)
    reachability = torch.maximum(near, near[:, -1][index])
    density = 1 / (reachability.mean(1) + 1e-10)
    return density[index].mean(1) / density


def _cholesky_factors(covs: Tensor) -> Tensor:
    factors, failed = torch.linalg.cholesky_ex(covs)
    variances = covs.diagonal(dim1=1, dim2=2).mean(1)
    fallback = variances.max() if bool(variances.max() > 0) else torch.ones_like(variances[0])
    scales = torch.where(variances > 0, variances, fallback)
    identity = torch.eye(covs.shape[1], dtype=covs.dtype, device=covs.device)
    jitter = 1e-10 if covs.dtype == torch.float64 else 1e-7
    for _ in range(5):
        if not bool(failed.any()):
            return factors
        again, still = torch.linalg.cholesky_ex(covs + jitter * scales[:, None, None] * identity)
        factors = torch.where((failed > 0)[:, None, None], again, factors)
        failed = torch.where(failed > 0, still, failed)
        jitter *= 10
    if bool(failed.any()):
        classes = failed.nonzero()[:, 0].tolist()
        raise ValueError(f"stats.cov must be positive semi-definite, but is not for classes {classes}")
    return factors


def _per_model(name: str, value: PerModel, models: int, like: Tensor) -> Tensor:
    if not isinstance(value, Tensor):
        at_least(name, value, 0.0)
        return torch.full((models,), float(value), dtype=like.dtype, device=like.device)
    floating(name, value)
    if value.shape != (models,):
        raise ValueError(f"{name} must be a number or one for each of {models} models, got {tuple(value.shape)}")
    finite_contents(name, value)
    if value.device.type == "cpu" and bool((value < 0).any()):
        raise ValueError(f"{name} must be at least 0, got {float(value.min()):g}")
    return value.to(like)


def _stacked_features(name: str, value: Tensor, models: int, length: int | None) -> None:
    floating(name, value, 3)
    if value.shape[0] != models or (length is not None and value.shape[1] != length):
        raise ValueError(f"{name} must have shape ({models}, {length or 'drawn'}, dim), got {tuple(value.shape)}")
    finite_contents(name, value)


def _stacked_labels(name: str, value: Tensor, shape: tuple[int, int]) -> None:
    if not isinstance(value, Tensor) or value.dtype not in (torch.int64, torch.int32, torch.int16, torch.uint8):
        got = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"{name} must be a tensor of class indices, got {got}")
    if value.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {tuple(value.shape)}")
    if value.device.type == "cpu" and int(value.min()) < 0:
        raise ValueError(f"{name} must be at least 0, got {int(value.min())}")


def _labels_below(name: str, value: Tensor, classes: int) -> None:
    if value.device.type == "cpu" and int(value.max()) >= classes:
        raise ValueError(f"{name} must be in 0 … {classes - 1}, got {int(value.max())}")
