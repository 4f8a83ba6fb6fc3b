"""Representation calibration on long-tailed digits with wrong labels, against baselines that are tuned as carefully.

Class frequencies fall exponentially in a random order of the digits, and labels flip in proportion to them, so that
rare classes fill up with samples of frequent ones. *gaussian model* holds the formulas for polluted moments and for the
error of a linear discriminant against simulation, and measures from how many samples on trimming pays. *long tail*
trains linear classifiers on principal components of the pixels, which stand in for contrastive features: RCAL whole,
without each of its parts, with a misjudged noise rate and on shuffled labels, beside cross-entropy, class weights,
logit adjustment, balanced resampling, generalised cross-entropy and clean labels. Balanced, clean labels show whether
it does harm. Every method has the same number of penalties to choose from, by held-out digits. *networks* pre-trains
small encoders by contrast on the training images and fine-tunes them, with the same views and batches for all: RCAL
whole and without each part, and the baselines from scratch and from the same contrastive start, each at its best of the
same learning rates. *assumption* tests the assumption itself, that a class is Gaussian, on pixels, principal components
and contrastive features.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from neural.classification import rcal as neural
from neural.classification.label_noise import exponential_counts, inject_joint_noise
from neural.contrastive.evaluate import linear_probe_accuracy
from neural.contrastive.images import Views
from neural.ensemble import EnsembleBatchNorm, EnsembleLinear
from simulations import Claim, Experiment, Paper, Replicate, Verdict, statistics
from simulations.controls import exchange, shifted
from theory.classification import rcal as theory
from theory.classification.representation_calibration import (
    ClassStats,
    RobustMethod,
    calibrate_tails,
    inliers,
    mardia_test,
    robust_class_stats,
    sample_gaussian_classes,
)
from theory.fuzz import bound_ratio

PAPER = Paper(
    title="When Noisy Labels Meet Long Tail Dilemmas: A Representation Calibration Method",
    authors="Manyi Zhang, Xuyang Zhao, Jun Yao, Chun Yuan, Weiran Huang",
    venue="ICCV 2023",
    arxiv="2211.10955",
)
DEVIATIONS = [
    "Weights of borrowing come from sample sizes and distances, without free constants; rare classes keep their means.",
    "RCAL trains linear classifiers on drawn features alone; a variant keeps the noisy originals, as the networks do.",
    "Digits replace CIFAR, WebVision and Clothing1M; the largest class has 100 images, to leave some to tune on.",
    "Robust estimation is told the noise rate; a variant is told half of it. Rare classes are polluted more than that.",
    "All methods are tuned on clean, balanced held-out digits, which real data with wrong labels would not offer.",
]
CLASSES = 10


# gaussian model ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class GaussianModel:
    """Random classes, how many samples of each, and sizes of errors of the means."""

    instances: int = 20
    samples: int = 20_000
    dims: tuple[int, int] = (2, 8)
    error_sizes: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)
    bound_instances: int = 5_000
    trimming_sizes: tuple[int, ...] = (20, 100, 1000)
    trimming_draws: int = 8


def simulate_gaussian_model(settings: GaussianModel, seed: int, device: str) -> pd.DataFrame:
    """Standardised errors of both formulas, excess risk by size of error, worst ratio to its bound, and trimming."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(settings.instances):
        d = int(rng.integers(settings.dims[0], settings.dims[1] + 1))
        rows += _pollution_rows(d, settings.samples, rng)
        rows += _discriminant_rows(d, settings, rng)
    (bound,) = theory.BOUNDS
    sample = bound.sampler(rng, settings.bound_instances)
    ratios = bound_ratio(np.asarray(bound.lhs(**sample)), np.asarray(bound.rhs(**sample)))
    worst = int(ratios.argmax())
    witness = f"e0={np.round(sample['e0'][worst], 3).tolist()} e1={np.round(sample['e1'][worst], 3).tolist()}"
    rows.append(
        {"quantity": "bound", "size": settings.bound_instances, "value": float(ratios[worst]), "witness": witness}
    )
    return pd.DataFrame([*rows, *_trimming_rows(settings, rng)]).fillna({"witness": "none"})


def _random_covariance(d: int, rng: np.random.Generator) -> np.ndarray:
    root = rng.standard_normal((d, d))
    return root @ root.T / d + 0.1 * np.eye(d)


def _pollution_rows(d: int, samples: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Mean and variance along a random direction against the formula, with and without the term between classes."""
    mu, mu_q, S, S_q = *rng.standard_normal((2, d)), _random_covariance(d, rng), _random_covariance(d, rng)
    mu_q = mu + 3 * (mu_q - mu) / np.linalg.norm(mu_q - mu)
    rho = float(rng.uniform(0.1, 0.5))
    foreign = rng.random(samples) < rho
    Z = np.where(foreign[:, None], rng.multivariate_normal(mu_q, S_q, samples), rng.multivariate_normal(mu, S, samples))
    mean, cov = theory.polluted_moments(mu, S, rho, mu_q, S_q)
    v = (mu_q - mu) / 3 + 0.3 * rng.standard_normal(d)
    along = Z @ v
    deviations = (along - along.mean()) ** 2
    variance_sd = deviations.std() / np.sqrt(samples)
    within = (1 - rho) * S + rho * S_q
    values = {
        "polluted mean": (along.mean() - v @ mean) / (along.std() / np.sqrt(samples)),
        "polluted covariance": (deviations.mean() - v @ cov @ v) / variance_sd,
        "polluted covariance, no term between classes": (deviations.mean() - v @ within @ v) / variance_sd,
        "bias over rho times the distance": np.linalg.norm(Z.mean(0) - mu) / (3 * rho),
    }
    return [{"quantity": name, "size": samples, "value": float(value)} for name, value in values.items()]


def _discriminant_rows(d: int, settings: GaussianModel, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Errors counted on samples against the closed form, and what errors of the means of growing size cost."""
    mu0, mu1, S = *rng.standard_normal((2, d)), _random_covariance(d, rng)
    mu1 = mu0 + 2 * (mu1 - mu0) / np.sqrt((mu1 - mu0) @ np.linalg.solve(S, mu1 - mu0))
    root = np.linalg.cholesky(S)
    errors = root @ rng.standard_normal((d, 2)) / np.sqrt(d)
    w, b = theory.lda_rule(mu0 + 0.3 * errors[:, 0], mu1 + 0.3 * errors[:, 1], S)
    closed = float(theory.gaussian_error(mu0, mu1, S, w, b))
    truth = rng.random(settings.samples) < 0.5
    Z = np.where(truth[:, None], mu1, mu0) + rng.standard_normal((settings.samples, d)) @ root.T
    counted = float(((Z @ w + b > 0) != truth).mean())
    standardised = (counted - closed) / np.sqrt(closed * (1 - closed) / settings.samples)
    rows: list[dict[str, Any]] = [{"quantity": "error of LDA", "size": settings.samples, "value": standardised}]
    best = float(theory.gaussian_error(mu0, mu1, S, *theory.lda_rule(mu0, mu1, S)))
    for size in settings.error_sizes:
        rule = theory.lda_rule(mu0 + size * errors[:, 0], mu1 + size * errors[:, 1], S)
        excess = float(theory.gaussian_error(mu0, mu1, S, *rule)) - best
        rows.append({"quantity": "excess risk", "size": size, "value": excess})
    return rows


def _trimming_rows(settings: GaussianModel, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Error of plain and trimmed means in 16 dimensions, 30 % pollution three standard deviations away."""
    rows: list[dict[str, Any]] = []
    shift = np.zeros(16)
    shift[0] = 3.0
    for n in settings.trimming_sizes:
        for _ in range(settings.trimming_draws):
            Z = rng.standard_normal((n, 16)) + shift * (rng.random((n, 1)) < 0.3)
            y = np.zeros(n, dtype=np.int64)
            for method in ("none", "median", "lof"):
                error = float(np.linalg.norm(robust_class_stats(Z, y, method, 0.3).mean))
                rows.append({"quantity": f"mean, {method}", "size": n, "value": error})
    return rows


# long tail ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LongTail:
    """(Noise rate, imbalance ratio) of every condition, sizes of the parts of the data, and the search."""

    conditions: tuple[tuple[float, float], ...] = ((0.2, 20.0), (0.4, 20.0), (0.0, 1.0))
    n_max: int = 100
    test_per_class: int = 50
    held_out_per_class: int = 20
    dim: int = 16
    splits: int = 2
    penalties: tuple[float, ...] = (3e-1, 3e-2, 3e-3, 3e-4, 3e-5)
    iterations: int = 30


@dataclass(frozen=True)
class _TrainingSet:
    """What one method trains on: rows with weights that sum to 1, offsets of its logits, and the q of its loss."""

    method: str
    features: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray
    q: float = 0.0
    measured: dict[str, float] = field(default_factory=dict)
    stats: ClassStats | None = None


def simulate_long_tail(settings: LongTail, seed: int, device: str) -> Replicate:
    """Balanced test accuracy of every method and condition, at the penalty that held-out digits prefer.

    A replicate has one test set, and ``splits`` partitions of the rest into a noisy long tail and clean, balanced
    held-out digits. The penalty with the best held-out mean over the splits is chosen; measurements are means over
    them. Arrays keep the first two components of one training set and the Gaussians found in it.
    """
    pixels, labels = _digits()
    features = _components(pixels, settings.dim)
    test, rest = _take_per_class(labels, np.arange(len(labels)), settings.test_per_class, np.random.default_rng(seed))
    truth = robust_class_stats(features[rest], labels[rest], "none", 0.0)
    rows, arrays = [], {}
    worst = max(settings.conditions)
    for noise, ratio in settings.conditions:
        for split in range(settings.splits):
            rng = np.random.default_rng([seed, split])
            held, train, order = _split(labels, rest, settings, ratio, rng)
            noisy = inject_joint_noise(labels[train], noise, rng, classes=CLASSES)
            sets = _training_sets(features[train], noisy, labels[train], noise, truth, settings.n_max, [seed, split, 1])
            if (noise, ratio) == worst and split == 0:
                arrays = _plane(features[train], noisy, labels[train], order, truth, sets)
            for each, penalty, W in _solved(sets, settings, device):
                correct = (features[test] @ W[:-1] + W[-1]).argmax(1) == labels[test]
                held_out = ((features[held] @ W[:-1] + W[-1]).argmax(1) == labels[held]).mean()
                rows.append(
                    {"noise": noise, "ratio": ratio, "method": each.method, "penalty": penalty, "held_out": held_out}
                    | _accuracies(correct, labels[test], order) | each.measured
                )  # fmt: skip
    return Replicate(_at_best_setting(rows, "penalty"), arrays)


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Pixels in [0, 1] and labels."""
    pixels, labels = load_digits(return_X_y=True)
    return np.asarray(pixels) / 16, np.asarray(labels)


def _components(X: np.ndarray, dim: int) -> np.ndarray:
    """The leading principal components of all rows; no labels are involved."""
    centred = X - X.mean(0)
    return centred @ np.linalg.svd(centred, full_matrices=False)[2][:dim].T


def _split(
    labels: np.ndarray, rest: np.ndarray, settings: "LongTail | Networks", ratio: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Held-out samples, a long tail of training samples, and the classes from the most frequent to the rarest."""
    held, pool = _take_per_class(labels, rest, settings.held_out_per_class, rng)
    order, counts = rng.permutation(CLASSES), exponential_counts(settings.n_max, CLASSES, ratio)
    pool = rng.permutation(pool)
    train = [pool[labels[pool] == k][:count] for k, count in zip(order, counts, strict=True)]
    return held, np.concatenate(train), order


def _take_per_class(
    labels: np.ndarray, pool: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """``count`` random members of each class from the pool, and the others."""
    shuffled = rng.permutation(pool)
    taken = np.concatenate([shuffled[labels[shuffled] == k][:count] for k in range(CLASSES)])
    return taken, np.setdiff1d(pool, taken)


def _accuracies(correct: np.ndarray, labels: np.ndarray, order: np.ndarray) -> dict[str, float]:
    """Mean over classes, mean over the three rarest, and every class' by rank."""
    by_rank = np.array([correct[labels == k].mean() for k in order])
    ranks = {f"rank_{rank}": float(value) for rank, value in enumerate(by_rank)}
    return {"accuracy": float(by_rank.mean()), "tail_accuracy": float(by_rank[-3:].mean())} | ranks


def _at_best_setting(rows: list[dict[str, Any]], setting: str) -> pd.DataFrame:
    """Means over splits, at each method's setting with the best held-out mean."""
    keys = ["noise", "ratio", "method"]
    means = pd.DataFrame(rows).groupby([*keys, setting], sort=False, as_index=False).mean()
    best = means.groupby(keys, sort=False)["held_out"].idxmax()
    return means.loc[best].reset_index(drop=True)


def _training_sets(
    Z: np.ndarray, y: np.ndarray, clean: np.ndarray, noise: float, truth: ClassStats, n_max: int, seed: list[int]
) -> list[_TrainingSet]:
    """The training set of every method; where there is no noise, of those alone that show harm."""
    flat, none = np.full(len(y), 1 / len(y)), np.zeros(CLASSES)
    by_class = _class_weights(y, np.ones(len(y), dtype=bool))
    rng = np.random.default_rng(seed)

    def recovered(
        name: str, method: RobustMethod = "lof", *, calibrated: bool = True, contamination: float = noise,
        labels: np.ndarray = y, keep: bool = False,
    ) -> _TrainingSet:  # fmt: skip
        """Features drawn from the recovered Gaussians: the same standard normals for every method."""
        with warnings.catch_warnings(record=True) as raised:
            warnings.simplefilter("always")
            stats = robust_class_stats(Z, labels, method, contamination, classes=CLASSES)
        stats = calibrate_tails(stats) if calibrated else stats
        drawn, drawn_labels = sample_gaussian_classes(stats, n_max, np.random.default_rng([*seed, 1]))
        tails = np.argsort(np.bincount(clean, minlength=CLASSES))[:3]
        measured = {
            "mean_error": float(np.linalg.norm(stats.mean - truth.mean, axis=1).mean()),
            "tail_cov_error": float(np.linalg.norm((stats.cov - truth.cov)[tails], axis=(1, 2)).mean()),
            "warnings": float(len(raised)),
        }
        if keep:
            drawn, drawn_labels = np.concatenate([drawn, Z]), np.concatenate([drawn_labels, labels])
        return _TrainingSet(name, drawn, drawn_labels, np.full(len(drawn), 1 / len(drawn)), none, 0.0, measured, stats)

    sets = [
        _TrainingSet("CE", Z, y, flat, none),
        recovered("RCAL"),
        recovered("RCAL, originals kept", keep=True),
    ]
    if noise == 0:
        return sets
    again = rng.choice(len(y), len(y), p=by_class)
    log_prior = np.log(np.maximum(np.bincount(y, minlength=CLASSES), 0.5) / len(y))
    sets += [
        _TrainingSet("class weights", Z, y, by_class, none),
        _TrainingSet("logit adjustment", Z, y, flat, log_prior),
        _TrainingSet("balanced resampling", Z[again], y[again], flat, none),
        _TrainingSet("GCE", Z, y, flat, none, 0.7),
        _TrainingSet("clean labels", Z, clean, flat, none),
        recovered("RCAL, median", "median"),
        recovered("RCAL, half the noise assumed", contamination=noise / 2),
        recovered("RCAL, shuffled labels", labels=rng.permutation(y)),
        recovered("without robust estimation", "none"),
        recovered("without tail calibration", calibrated=False),
        recovered("without both", "none", calibrated=False),
    ]
    filtered: tuple[tuple[str, Literal["lof", "median"]], ...] = (
        ("without sampling", "lof"),
        ("without sampling, median", "median"),
    )
    for name, method in filtered:
        kept = inliers(Z, y, method, noise, classes=CLASSES)
        sets.append(_TrainingSet(name, Z, y, _class_weights(y, kept), none))
    return sets


def _class_weights(y: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Weights of the kept samples, equal in sum for every class."""
    weights = np.where(kept, 1 / np.maximum(np.bincount(y[kept], minlength=CLASSES), 1)[y], 0.0)
    return weights / weights.sum()


def _plane(
    Z: np.ndarray, noisy: np.ndarray, clean: np.ndarray, order: np.ndarray, truth: ClassStats,
    sets: list[_TrainingSet],
) -> dict[str, np.ndarray]:  # fmt: skip
    """A training set in the plane of the first two components, with the Gaussians found in it."""
    found = {each.method: each.stats for each in sets if each.stats is not None} | {"truth": truth}
    arrays = {"plane_points": Z[:, :2], "plane_observed": noisy, "plane_clean": clean, "plane_order": order}
    for key, method in (("polluted", "without both"), ("recovered", "RCAL"), ("truth", "truth")):
        if method in found:
            arrays[f"plane_mean_{key}"] = found[method].mean[:, :2]
            arrays[f"plane_cov_{key}"] = found[method].cov[:, :2, :2]
    return arrays


def _solved(
    sets: list[_TrainingSet], settings: LongTail, device: str
) -> Iterator[tuple[_TrainingSet, float, np.ndarray]]:
    """Every training set at every penalty, solved in batches of similar length: (set, penalty, weights)."""
    batches: dict[tuple[int, bool], list[_TrainingSet]] = {}
    for each in sets:
        batches.setdefault((-(-len(each.labels) // 250) * 250, each.q > 0), []).append(each)
    for (length, _), members in batches.items():

        def padded(arrays: Sequence[np.ndarray], dtype: torch.dtype, length: int = length) -> Tensor:
            filled = [np.concatenate([a, np.zeros((length - len(a), *a.shape[1:]), a.dtype)]) for a in arrays]
            return torch.as_tensor(np.stack(filled), dtype=dtype, device=device)

        W = logistic_regressions(
            padded([m.features for m in members], torch.float32),
            padded([m.labels for m in members], torch.long),
            padded([m.weights for m in members], torch.float32),
            torch.tensor(np.stack([m.offsets for m in members]), dtype=torch.float32, device=device),
            torch.tensor([m.q for m in members], device=device),
            settings.penalties,
            settings.iterations,
        )
        for member, path in zip(members, W.double().cpu().numpy(), strict=True):
            yield from ((member, penalty, w) for penalty, w in zip(settings.penalties, path, strict=True))


def logistic_regressions(
    X: Tensor, y: Tensor, sample_weights: Tensor, offsets: Tensor, q: Tensor, penalties: Sequence[float],
    iterations: int,
) -> Tensor:  # fmt: skip
    """Multinomial logistic regressions in lockstep: (problems, penalties, dim + 1, classes), intercepts last.

    Each minimises ``sum_i w_i loss(Wᵀ x_i + offset, y_i) + penalty/2 |W|²``, intercepts free; the loss is
    cross-entropy, or (1 − p_y^q)/q for q > 0. Half the weighted second moment of x bounds the curvature (Böhning
    1992): steps that it preconditions are accelerated, and restarted where they turn uphill. Cross-entropy starts from
    the last penalty's solution, the generalised loss from that of cross-entropy.
    """
    X = torch.cat([X, X.new_ones(*X.shape[:2], 1)], dim=2)
    problems, _, dim = X.shape
    penalised = torch.ones(dim, device=X.device)
    penalised[-1] = 0
    weighted, transposed = X * sample_weights[..., None], X.mT.contiguous()
    curvature = 0.5 * weighted.mT @ X + 1e-7 * torch.eye(dim, device=X.device)
    one_hot = F.one_hot(y, offsets.shape[1]).to(X.dtype).mT.contiguous()
    W, path = X.new_zeros(problems, offsets.shape[1], dim), []
    for penalty in penalties:
        inverse = torch.linalg.inv(curvature + penalty * torch.diag(penalised))

        def descend(W: Tensor, q: Tensor | None, penalty: float = penalty, inverse: Tensor = inverse) -> Tensor:
            V, momentum = W, X.new_ones(problems, 1, 1)
            for _ in range(iterations):
                p = torch.softmax(torch.baddbmm(offsets[..., None], V, transposed), dim=1)
                residual = p - one_hot
                if q is not None:
                    residual = residual * p.gather(1, y[:, None]) ** q[:, None, None]
                gradient = residual @ weighted + penalty * penalised * V
                new = V - gradient @ inverse
                uphill = (gradient * (new - W)).sum((1, 2), keepdim=True) > 0
                following = (1 + (1 + 4 * momentum**2).sqrt()) / 2
                V = new + torch.where(uphill, 0.0, (momentum - 1) / following) * (new - W)
                W, momentum = new, torch.where(uphill, 1.0, following)
            return W

        W = descend(W, None)
        # From scratch the generalised loss, which is not convex, gives up rare classes.
        path.append((descend(W, q) if bool((q > 0).any()) else W).mT)
    return torch.stack(path, dim=1)


# networks ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Networks:
    """Perceptrons pre-trained by contrast on the training images and fine-tuned on several draws of wrong labels."""

    conditions: tuple[tuple[float, float], ...] = ((0.4, 20.0),)
    n_max: int = 100
    test_per_class: int = 50
    held_out_per_class: int = 20
    draws: int = 2
    width: int = 96
    features: int = 48
    pretraining_steps: int = 250
    steps: int = 100
    batch_size: int = 32
    learning_rates: tuple[float, ...] = (0.002, 0.01, 0.05, 0.25)


@dataclass(frozen=True)
class _Variant:
    """One way to train; RCAL's variants lack one part each."""

    method: str
    share: float = 0.5
    beta: float = 1.0
    mixup: float = 1.0
    labels: str = "noisy"
    start: str = "contrast"
    loss: str = "CE"


_FROM_SCRATCH = (
    _Variant("CE", 0.0, 0.0, 0.0),
    _Variant("CE", 0.0, 0.0, 0.0, labels="clean"),
    *(_Variant(loss, 0.0, 0.0, 0.0, loss=loss) for loss in ("class weights", "logit adjustment", "GCE")),
)
_FROM_CONTRAST = (
    _Variant("RCAL"),
    _Variant("RCAL", labels="clean"),
    _Variant("without sampling", share=0.0),
    _Variant("without individual calibration", beta=0.0),
    _Variant("without mixup", mixup=0.0),
    _Variant("without contrast", start="supervised"),
    _Variant("CE, contrastive start", 0.0, 0.0, 0.0),
    _Variant("CE, contrastive start", 0.0, 0.0, 0.0, labels="clean"),
    _Variant("class weights, contrastive start", 0.0, 0.0, 0.0, loss="class weights"),
    _Variant("logit adjustment, contrastive start", 0.0, 0.0, 0.0, loss="logit adjustment"),
)
_PROBED = ("CE", "CE, contrastive start", "RCAL")
_VIEWS = Views(clutter=0.0, erase=0, contrast=0.2)


def simulate_networks(settings: Networks, seed: int, device: str) -> pd.DataFrame:
    """Balanced test accuracy, and a linear probe's with clean labels, at the learning rate that held-out digits prefer.

    A replicate has one long-tailed set of training images and one contrastive encoder of them for every imbalance, and
    ``draws`` draws of wrong labels; the rate with the best held-out mean over the draws is chosen, measurements are
    means over them. Rows without noise are of training with clean labels, on other batches for every draw.
    """
    pixels, labels = _digits()
    images = torch.tensor(pixels, dtype=torch.float32, device=device)
    test, rest = _take_per_class(labels, np.arange(len(labels)), settings.test_per_class, np.random.default_rng(seed))
    rows: list[dict[str, Any]] = []
    for noise, ratio in settings.conditions:
        rng = np.random.default_rng([seed, round(ratio)])
        held, train, order = _split(labels, rest, settings, ratio, rng)
        data = _Images(images, labels, train, held, test, order, noise, ratio)
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**31)))
        untrained = _Networks(1, settings, generator)
        contrast = _Networks(1, settings, generator)
        contrast.load_state_dict(untrained.state_dict())
        neural.pretrain_encoder(
            contrast.encoder, images[train], features=settings.features, views=_VIEWS, generator=generator,
            batch_size=min(96, len(train)), steps=settings.pretraining_steps,
        )  # fmt: skip
        untrained.standardise(images[train], generator)
        contrast.standardise(images[train])
        contrast.head.load_state_dict(untrained.head.state_dict())
        for draw in range(settings.draws):
            noisy = inject_joint_noise(labels[train], noise, np.random.default_rng([seed, draw]), classes=CLASSES)
            rows += _network_rows(data, noisy, untrained, contrast, settings, seed % 2**30 + draw, device)
    return _at_best_setting(rows, "learning_rate")


@dataclass(frozen=True)
class _Images:
    """All images with their labels, which of them are used for what, and the classes from frequent to rare."""

    images: Tensor
    labels: np.ndarray
    train: np.ndarray
    held: np.ndarray
    test: np.ndarray
    order: np.ndarray
    noise: float
    ratio: float


class _Networks(nn.Module):
    """A stack of encoders, one hidden layer with batch normalisation, and heads."""

    def __init__(self, models: int, settings: "Networks | Assumption", generator: torch.Generator) -> None:
        super().__init__()
        self.models = models
        self.encoder = nn.Sequential(
            EnsembleLinear(models, 64, settings.width, generator),
            EnsembleBatchNorm(models, settings.width, generator.device),
            nn.ReLU(),
            EnsembleLinear(models, settings.width, settings.features, generator),
        )
        self.head = EnsembleLinear(models, settings.features, CLASSES, generator)

    @torch.no_grad()
    def evaluate(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features and logits of images by every model, in evaluation mode."""
        features = self.encoder.eval()(images.expand(self.models, *images.shape))
        return features, self.head(features)

    @torch.no_grad()
    def standardise(self, images: Tensor, generator: torch.Generator | None = None) -> None:
        """Make features of mean 0 and mean variance 1 without changing what they say.

        With a generator, normalisation is first given the statistics of views, which an untrained network lacks.
        """
        if generator is not None:
            self.encoder.train()
            for _ in range(50):
                self.encoder(_VIEWS(images, generator)[None])
        features, _ = self.evaluate(images)
        scale = features.var(1, keepdim=True).mean(2, keepdim=True).sqrt()
        last = self.encoder[3]
        assert isinstance(last, EnsembleLinear)
        last.weight.data.div_(scale)
        last.bias.data.sub_(features.mean(1, keepdim=True)).div_(scale)


def _network_rows(
    data: _Images, noisy: np.ndarray, untrained: _Networks, contrast: _Networks, settings: Networks, seed: int,
    device: str,
) -> list[dict[str, Any]]:  # fmt: skip
    """Every variant at every rate on one draw of labels; those from scratch first, as one is the supervised start."""
    rates = settings.learning_rates
    runs = [(variant, rate) for variant in _FROM_SCRATCH for rate in rates]
    scratch = _trained(runs, {"contrast": untrained.state_dict()}, data, noisy, settings, seed, device)
    rows = _evaluated(scratch, runs, data)
    best = int(np.argmax([row["held_out"] for row in rows[: len(rates)]]))
    supervised = _Networks(1, settings, torch.Generator(device))
    supervised.load_state_dict({name: value[best : best + 1] for name, value in scratch.state_dict().items()})
    supervised.standardise(data.images[data.train])
    supervised.head.load_state_dict(untrained.head.state_dict())
    starts = {"contrast": contrast.state_dict(), "supervised": supervised.state_dict()}
    runs = [(variant, rate) for variant in _FROM_CONTRAST for rate in rates]
    return rows + _evaluated(_trained(runs, starts, data, noisy, settings, seed, device), runs, data)


def _trained(
    runs: list[tuple[_Variant, float]], starts: dict[str, dict[str, Tensor]], data: _Images, noisy: np.ndarray,
    settings: Networks, seed: int, device: str,
) -> _Networks:  # fmt: skip
    """All runs in lockstep, each from its start: the same batches, views, mixing weights and normals for all.

    Batch normalisation keeps its statistics, so that features can be held to those that the Gaussians are of.
    """
    generator = torch.Generator(device).manual_seed(seed)
    networks = _Networks(len(runs), settings, generator)
    states = [starts[variant.start] for variant, _ in runs]
    networks.load_state_dict({name: torch.cat([state[name] for state in states]) for name in states[0]})
    observed = {"noisy": noisy, "clean": data.labels[data.train]}
    y = torch.stack([torch.as_tensor(observed[variant.labels], device=device) for variant, _ in runs])
    images = data.images[data.train]
    reference, _ = networks.evaluate(images)
    drawn: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}
    for k, (variant, _) in enumerate(runs):
        if (variant.start, variant.labels) not in drawn:
            contamination = data.noise if variant.labels == "noisy" else 0.0
            stats = neural.robust_class_stats(reference[k], y[k], "lof", contamination, classes=CLASSES)
            drawn[variant.start, variant.labels] = neural.sample_gaussian_classes(
                neural.calibrate_tails(stats), settings.n_max, torch.Generator(device).manual_seed(seed + 1)
            )
    samples, sample_labels = (torch.stack([drawn[v.start, v.labels][i] for v, _ in runs]) for i in range(2))

    def per_run(values: Iterable[float]) -> Tensor:
        return torch.tensor(list(values), device=device)

    neural.fine_tune(
        networks.encoder, networks.head, images, y, models=len(runs), reference=reference,
        samples=samples, sample_labels=sample_labels, beta=per_run(v.beta for v, _ in runs),
        mixup=per_run(v.mixup for v, _ in runs), sample_share=per_run(v.share for v, _ in runs),
        loss=_losses([v.loss for v, _ in runs], y), steps=settings.steps, batch_size=settings.batch_size,
        learning_rate=per_run(rate for _, rate in runs), clip_norm=5.0, augment=_VIEWS, generator=generator,
    )  # fmt: skip
    return networks


def _losses(names: list[str], y: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """Every model's own loss: cross-entropy, weighted, with logits adjusted by the prior, or generalised (q = 0.7)."""
    counts = F.one_hot(y, CLASSES).sum(1).clamp(min=1).float()
    chosen = {
        name: torch.tensor([n == name for n in names], device=y.device)[:, None]
        for name in ("class weights", "logit adjustment", "GCE")
    }
    weights = torch.where(chosen["class weights"], y.shape[1] / (CLASSES * counts), 1.0)
    offsets = torch.where(chosen["logit adjustment"], (counts / counts.sum(1, keepdim=True)).log(), 0.0)

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        log_p = torch.log_softmax(logits + offsets[:, None], dim=2).gather(2, labels[..., None])[..., 0]
        generalised = (1 - (0.7 * log_p).exp()) / 0.7
        return torch.where(chosen["GCE"], generalised, -log_p * weights.gather(1, labels))

    return loss


def _evaluated(networks: _Networks, runs: list[tuple[_Variant, float]], data: _Images) -> list[dict[str, Any]]:
    features, logits = networks.evaluate(data.images)
    predicted = logits.argmax(-1).cpu().numpy()
    labels = torch.as_tensor(data.labels)
    rows: list[dict[str, Any]] = []
    for k, (variant, rate) in enumerate(runs):
        correct = predicted[k] == data.labels
        probe = np.nan
        if variant.method in _PROBED:
            probe = linear_probe_accuracy(
                features[k, data.train], labels[data.train], features[k, data.test], labels[data.test]
            )
        rows.append(
            {"noise": data.noise if variant.labels == "noisy" else 0.0, "ratio": data.ratio, "method": variant.method,
             "learning_rate": rate, "held_out": correct[data.held].mean(), "probe": probe}
            | _accuracies(correct[data.test], data.labels[data.test], data.order)
        )  # fmt: skip
    return rows


# assumption --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Assumption:
    """How many images of each class are tested, in how many dimensions, and the contrastive encoder."""

    per_class: int = 120
    dim: int = 16
    width: int = 96
    features: int = 48
    pretraining_steps: int = 250


def simulate_assumption(settings: Assumption, seed: int, device: str) -> pd.DataFrame:
    """Mardia's test of every class, in as many dimensions for pixels, principal components and contrastive features.

    Pixels are the class' own of most variance, so that none is constant. Gaussian samples of the same size show what
    the test says where the assumption holds.
    """
    pixels, labels = _digits()
    rng = np.random.default_rng(seed)
    chosen, _ = _take_per_class(labels, np.arange(len(labels)), settings.per_class, rng)
    X, y = pixels[chosen], labels[chosen]
    images = torch.tensor(X, dtype=torch.float32, device=device)
    generator = torch.Generator(device).manual_seed(seed % 2**31)
    networks = _Networks(1, settings, generator)
    neural.pretrain_encoder(
        networks.encoder, images, features=settings.features, views=_VIEWS, generator=generator,
        batch_size=min(96, len(images)), steps=settings.pretraining_steps,
    )  # fmt: skip
    contrastive = networks.evaluate(images)[0][0].double().cpu().numpy()
    components = _components(X, settings.dim)
    contrastive = _components(contrastive, settings.dim)
    rows = []
    for k in range(CLASSES):
        members = y == k
        widest = np.argsort(X[members].var(0))[-settings.dim :]
        for kind, Z in (
            ("pixels", X[members][:, widest]),
            ("principal components", components[members]),
            ("contrastive features", contrastive[members]),
            ("Gaussian samples", rng.standard_normal((settings.per_class, settings.dim))),
        ):
            tested = mardia_test(Z)
            accepted = min(tested.skewness_p, tested.kurtosis_p) > 0.025
            rows.append(
                {"class": k, "features": kind, "log_skewness": np.log(tested.skewness), "kurtosis": tested.kurtosis,
                 "skewness_p": tested.skewness_p, "kurtosis_p": tested.kurtosis_p, "accepted": float(accepted)}
            )  # fmt: skip
    return pd.DataFrame(rows)


# judges ------------------------------------------------------------------------------------------


def _values(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    return table[table["quantity"] == quantity]


def _judge_formula(quantity: str) -> Callable[[pd.DataFrame], Verdict]:
    """Standardised errors of a formula that holds have mean 0; 3 standard deviations are allowed."""

    def judge(table: pd.DataFrame) -> Verdict:
        means = _values(table, quantity).groupby("replicate")["value"].mean()
        return statistics.within(means, f"{quantity}: mean error in standard deviations", low=-3.0, high=3.0)

    return judge


def _judge_moments(table: pd.DataFrame) -> Verdict:
    bias = _values(table, "bias over rho times the distance").groupby("replicate")["value"].mean()
    return statistics.all_of(
        [
            _judge_formula("polluted covariance")(table),
            _judge_formula("polluted mean")(table),
            statistics.within(bias, "bias over rho |mu_q − mu|, 20 000 samples", low=0.9, high=1.1),
        ]
    )


def _judge_trimming(table: pd.DataFrame) -> Verdict:
    """The gain from trimming at the largest and at the smallest number of samples."""
    means = table[table["quantity"].isin(["mean, none", "mean, median"])]
    gain = means.groupby(["replicate", "size", "quantity"])["value"].mean().unstack("quantity")
    gain = (gain["mean, none"] - gain["mean, median"]).unstack("size")
    few, many = gain[gain.columns.min()], gain[gain.columns.max()]
    return statistics.all_of(
        [
            statistics.trend(few - 0.1 * many, "gain at 20 samples less a tenth of that at 1000", below=0.0),
            statistics.trend(many, "error of the plain mean less that of the trimmed one, 1000 samples", above=0.0),
        ]
    )


def _judge_slope(table: pd.DataFrame) -> Verdict:
    excess = _values(table, "excess risk").groupby(["replicate", "size"])["value"].mean().reset_index()
    slopes = statistics.log_log_slopes(excess, "size", "value")
    return statistics.within(slopes, "log-log slope of excess risk over the size of errors", low=1.8, high=2.2)


def _judge_bound(table: pd.DataFrame) -> Verdict:
    rows = _values(table, "bound")
    worst = rows.iloc[int(np.argmax(rows["value"]))]
    return statistics.bound(
        float(worst["value"]), "excess risk over its bound", instances=int(rows["size"].sum()), required=20_000,
        witness=str(worst["witness"]),
    )  # fmt: skip


def _gaussian_example() -> pd.DataFrame:
    fixed = [
        ("polluted mean", 2e4, 0.1), ("polluted covariance", 2e4, -0.1), ("error of LDA", 2e4, 0.1),
        ("polluted covariance, no term between classes", 2e4, 50.0), ("bias over rho times the distance", 2e4, 1.0),
        ("excess risk", 1e-3, 1e-7), ("excess risk", 1e-2, 1e-5), ("bound", 1e4, 0.9),
        ("mean, none", 20, 1.2), ("mean, median", 20, 1.3), ("mean, none", 1000, 0.9), ("mean, median", 1000, 0.6),
    ]  # fmt: skip
    return pd.DataFrame(
        [
            {"replicate": k, "quantity": name, "size": size, "value": value * (1 + 0.01 * k), "witness": "e0=0"}
            for k in range(5)
            for name, size, value in fixed
        ]
    )


def _changed(quantity: str, change: Callable[[pd.DataFrame], pd.Series]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A control that changes the values of one quantity."""
    return lambda t: t.assign(value=t["value"].where(t["quantity"] != quantity, change(t)))


def _gains(
    table: pd.DataFrame, better: str, worse: str, column: str = "accuracy", *, above: float = 0.0, sign: int = 1
) -> Verdict:
    """``sign`` times the difference of two methods, in every condition with noise."""
    parts = []
    for (noise, ratio), rows in table[table["noise"] > 0].groupby(["noise", "ratio"]):
        gain = sign * statistics.paired(rows, column, "method", better, worse)
        text = f"{column}: {better} against {worse}, noise {noise:g}, ratio {ratio:g}"
        parts.append(statistics.trend(gain, text, above=above))
    return statistics.all_of(parts)


def _judge_harm(method: str) -> Callable[[pd.DataFrame], Verdict]:
    def judge(table: pd.DataFrame) -> Verdict:
        rows = table[table["noise"] == 0]
        loss = statistics.paired(rows, "accuracy", "method", "CE", method)
        return statistics.trend(loss, f"accuracy of CE less that of {method}, clean balanced labels", below=0.01)

    return judge


def _long_tail_example() -> pd.DataFrame:
    """(Accuracy, tail accuracy, error of means, error of tail covariances) of every method, at two rates of noise."""
    values = {
        "CE": (0.6, 0.3, 0.0, 0.0), "class weights": (0.75, 0.6, 0.0, 0.0), "logit adjustment": (0.75, 0.6, 0.0, 0.0),
        "balanced resampling": (0.7, 0.6, 0.0, 0.0), "GCE": (0.65, 0.4, 0.0, 0.0),
        "RCAL": (0.85, 0.8, 0.4, 0.7), "RCAL, median": (0.87, 0.8, 0.35, 0.7),
        "RCAL, originals kept": (0.86, 0.8, 0.4, 0.7), "RCAL, half the noise assumed": (0.848, 0.8, 0.45, 0.8),
        "RCAL, shuffled labels": (0.1, 0.1, 1.5, 1.3), "without robust estimation": (0.8, 0.7, 0.6, 0.9),
        "without tail calibration": (0.8, 0.7, 0.4, 1.6), "without sampling": (0.78, 0.7, 0.0, 0.0),
        "without sampling, median": (0.78, 0.7, 0.0, 0.0),
    }  # fmt: skip
    rows = [
        {"replicate": k, "noise": noise, "ratio": 20.0, "method": method, "accuracy": a + 0.001 * k * (len(method) % 3),
         "tail_accuracy": tail + 0.001 * k * (len(method) % 3), "mean_error": mean, "tail_cov_error": cov}
        for k in range(8) for noise in (0.2, 0.4) for method, (a, tail, mean, cov) in values.items()
    ]  # fmt: skip
    for k in range(8):
        for method, accuracy in (("CE", 0.95), ("RCAL", 0.949), ("RCAL, originals kept", 0.949)):
            rows.append({"replicate": k, "noise": 0.0, "ratio": 1.0, "method": method, "accuracy": accuracy})
    return pd.DataFrame(rows)


def _gain_claim(
    id: str, statement: str, better: str, worse: str, column: str = "accuracy", *, experiment: str = "long_tail",
    above: float = 0.0, sign: int = 1, source: str = "the method's parts, abstract", paper_value: str = "",
) -> Claim:  # fmt: skip
    return Claim(
        id, experiment, "trend", source, statement,
        lambda t: _gains(t, better, worse, column, above=above, sign=sign),
        _long_tail_example if experiment == "long_tail" else _networks_example,
        lambda t: exchange(t, "method", better, worse), paper_value,
    )  # fmt: skip


def _networks_example() -> pd.DataFrame:
    """(Accuracy, probe) of every method with wrong labels, and of three with clean ones."""
    noisy = {
        "CE": (0.6, 0.7), "class weights": (0.7, 0.7), "logit adjustment": (0.7, 0.7), "GCE": (0.5, 0.7),
        "RCAL": (0.85, 0.84), "without sampling": (0.7, 0.8), "without individual calibration": (0.75, 0.8),
        "without mixup": (0.8, 0.8), "without contrast": (0.72, 0.8), "CE, contrastive start": (0.65, 0.84),
        "class weights, contrastive start": (0.75, 0.8), "logit adjustment, contrastive start": (0.75, 0.8),
    }  # fmt: skip
    clean = {"CE": (0.85, 0.85), "RCAL": (0.88, 0.85), "CE, contrastive start": (0.87, 0.85)}
    return pd.DataFrame(
        [
            {"replicate": k, "noise": noise, "ratio": 20.0, "method": method,
             "accuracy": a + 0.001 * k * (len(method) % 3), "probe": probe + 0.001 * k * (len(method) % 3)}
            for k in range(5) for noise, values in ((0.4, noisy), (0.0, clean))
            for method, (a, probe) in values.items()
        ]
    )  # fmt: skip


def _judge_degradation(better: str) -> Callable[[pd.DataFrame], Verdict]:
    """How much more the probe of supervised features loses to wrong labels than that of ``better`` does."""

    def judge(table: pd.DataFrame) -> Verdict:
        clean = table[table["noise"] == 0]
        parts = []
        for (noise, ratio), rows in table[table["noise"] > 0].groupby(["noise", "ratio"]):
            at_zero = clean[clean["ratio"] == ratio]
            supervised, ours = (
                statistics.paired(
                    pd.concat([at_zero.assign(labels="clean"), rows.assign(labels="noisy")]).query("method == @method"),
                    "probe", "labels", "clean", "noisy",
                )
                for method in ("CE", better)
            )  # fmt: skip
            text = f"loss of probe accuracy: CE from scratch less {better}, noise {noise:g}, ratio {ratio:g}"
            parts.append(statistics.trend(supervised - ours, text, above=0.0))
        return statistics.all_of(parts)

    return judge


def _judge_nearer(kind: str) -> Callable[[pd.DataFrame], Verdict]:
    def judge(table: pd.DataFrame) -> Verdict:
        gain = statistics.paired(table, "log_skewness", "features", "pixels", kind)
        return statistics.trend(gain, f"log skewness of pixels less that of {kind}", above=0.0)

    return judge


def _judge_accepted(table: pd.DataFrame) -> Verdict:
    share = table[table["features"] == "contrastive features"].groupby("replicate")["accepted"].mean()
    return statistics.trend(share, "share of classes that pass Mardia's test at 5 %, contrastive features", above=0.5)


def _assumption_example() -> pd.DataFrame:
    values = {
        "pixels": (4.5, 0.0), "principal components": (4.0, 0.8), "contrastive features": (3.9, 0.9),
        "Gaussian samples": (3.7, 0.95),
    }  # fmt: skip
    return pd.DataFrame(
        [
            {
                "replicate": k,
                "features": kind,
                "log_skewness": skewness + 0.01 * k * (len(kind) % 3),
                "accepted": passed,
            }
            for k in range(5)
            for kind, (skewness, passed) in values.items()
        ]
    )


EXPERIMENTS = [
    Experiment(
        "gaussian_model",
        simulate_gaussian_model,
        quick=GaussianModel(),
        full=GaussianModel(instances=100, samples=100_000, bound_instances=200_000, trimming_draws=40),
        tiny=GaussianModel(instances=2, samples=500, bound_instances=200, trimming_draws=1),
        replicates=8,
    ),
    Experiment(
        "long_tail",
        simulate_long_tail,
        quick=LongTail(),
        full=LongTail(
            conditions=(*((eta, rho) for eta in (0.1, 0.3, 0.5) for rho in (10.0, 50.0, 100.0)), (0.0, 1.0)),
            splits=5, penalties=(1e0, 3e-1, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5), iterations=100,
        ),
        tiny=LongTail(conditions=((0.4, 20.0), (0.0, 1.0)), n_max=30, splits=1, penalties=(3e-2, 3e-3), iterations=5),
        replicates=8,
    ),
    Experiment(
        "networks",
        simulate_networks,
        quick=Networks(),
        full=Networks(
            conditions=tuple((eta, rho) for eta in (0.1, 0.3, 0.5) for rho in (10.0, 50.0, 100.0)), draws=3, width=256,
            features=64, pretraining_steps=3000, steps=1000, batch_size=64,
            learning_rates=(0.0005, 0.002, 0.01, 0.05, 0.25),
        ),
        tiny=Networks(n_max=20, draws=1, width=8, features=6, pretraining_steps=3, steps=3, learning_rates=(0.1, 0.5)),
        replicates=5,
    ),
    Experiment(
        "assumption",
        simulate_assumption,
        quick=Assumption(),
        full=Assumption(width=256, features=64, pretraining_steps=3000),
        tiny=Assumption(per_class=30, dim=4, width=8, features=6, pretraining_steps=3),
        replicates=5,
    ),
]  # fmt: skip
CLAIMS = [
    Claim(
        "C1", "gaussian_model", "identity", "derived from the Gaussian model of the paper",
        "Wrong labels shift a class' mean and covariance as the mixture's moments say, and more samples do not help.",
        _judge_moments, _gaussian_example,
        lambda t: exchange(t, "quantity", "polluted covariance", "polluted covariance, no term between classes"),
    ),
    _gain_claim(
        "C2a", "Means of classes are nearer to the clean ones after local outliers are dropped.",
        "RCAL", "without robust estimation", "mean_error", sign=-1, source="robust estimation, the paper's first step",
    ),
    _gain_claim(
        "C2b", "The same after samples far from the median are dropped.",
        "RCAL, median", "without robust estimation", "mean_error", sign=-1, source="variant made here",
    ),
    Claim(
        "C2c", "gaussian_model", "trend", "derived here",
        "Trimming pays only from some number of samples on: at about the dimension it gains next to nothing.",
        _judge_trimming, _gaussian_example, lambda t: exchange(t, "quantity", "mean, none", "mean, median"),
    ),
    _gain_claim(
        "C3a", "RCAL is more accurate than cross-entropy.", "RCAL", "CE", source="main comparison, abstract",
    ),
    *(
        _gain_claim(
            f"C3{letter}", f"RCAL is more accurate than {baseline}, tuned as carefully.", "RCAL", baseline,
            source="main comparison, abstract",
        )
        for letter, baseline in zip(
            "bcde", ("class weights", "logit adjustment", "balanced resampling", "GCE"), strict=True
        )
    ),
    _gain_claim(
        "C3f", "RCAL that keeps the noisy originals beside what it draws is more accurate than class weights.",
        "RCAL, originals kept", "class weights", source="main comparison, abstract",
    ),
    _gain_claim(
        "C3g", "RCAL that trims by distance to the median is more accurate than class weights.",
        "RCAL, median", "class weights", source="variant made here",
    ),
    _gain_claim(
        "C3h", "What RCAL gets right it learns from labels: shuffled ones teach nothing.",
        "RCAL", "RCAL, shuffled labels", above=0.3, source="control of the measurement",
    ),
    _gain_claim(
        "C4", "On the three rarest classes RCAL gains ten points or more over cross-entropy.",
        "RCAL", "CE", "tail_accuracy", above=0.1, source="main comparison, abstract",
    ),
    _gain_claim("C5a", "Robust estimation adds accuracy.", "RCAL", "without robust estimation"),
    _gain_claim(
        "C5b", "Robust estimation by distance to the median adds accuracy.", "RCAL, median",
        "without robust estimation", source="variant made here",
    ),
    _gain_claim("C5c", "Calibrating tails adds accuracy.", "RCAL", "without tail calibration"),
    _gain_claim(
        "C5d", "Sampling adds accuracy: the inliers themselves, weighted by class, do worse.", "RCAL",
        "without sampling",
    ),
    _gain_claim(
        "C5e", "Individual calibration adds accuracy to networks.", "RCAL", "without individual calibration",
        experiment="networks",
    ),
    _gain_claim("C5f", "Mixup adds accuracy to networks.", "RCAL", "without mixup", experiment="networks"),
    _gain_claim(
        "C5g", "Contrastive features add accuracy: RCAL on features learnt from wrong labels does worse.", "RCAL",
        "without contrast", experiment="networks",
    ),
    _gain_claim("C5h", "Sampling adds accuracy to networks.", "RCAL", "without sampling", experiment="networks"),
    Claim(
        "C6a", "assumption", "trend", "the paper's assumption",
        "Classes are less skewed, so nearer to Gaussian, in contrastive features than in as many pixels.",
        _judge_nearer("contrastive features"), _assumption_example,
        lambda t: exchange(t, "features", "pixels", "contrastive features"),
    ),
    Claim(
        "C6b", "assumption", "trend", "the paper's assumption; features that stand in for contrastive ones",
        "They are less skewed in principal components than in as many pixels.",
        _judge_nearer("principal components"), _assumption_example,
        lambda t: exchange(t, "features", "pixels", "principal components"),
    ),
    Claim(
        "C6c", "assumption", "trend", "the paper's assumption",
        "Most classes are Gaussian in contrastive features, as far as Mardia's test at 5 % can tell.",
        _judge_accepted, _assumption_example, lambda t: exchange(t, "features", "pixels", "contrastive features"),
    ),
    Claim(
        "C7a", "networks", "trend", "robustness of contrastive representations, abstract",
        "Fine-tuned on wrong labels, a contrastive encoder loses less of its probe accuracy than a supervised one.",
        _judge_degradation("CE, contrastive start"), _networks_example,
        lambda t: exchange(t, "method", "CE", "CE, contrastive start"),
    ),
    Claim(
        "C7b", "networks", "trend", "robustness of contrastive representations, abstract",
        "Nor does RCAL's encoder lose as much as a supervised one.",
        _judge_degradation("RCAL"), _networks_example, lambda t: exchange(t, "method", "CE", "RCAL"),
    ),
    Claim(
        "C8a", "long_tail", "limit", "sanity of the method, derived here",
        "Without noise and imbalance RCAL is within one point of cross-entropy.",
        _judge_harm("RCAL"), _long_tail_example, shifted("accuracy", "method", ("RCAL",), -0.1),
    ),
    Claim(
        "C8b", "long_tail", "limit", "sanity of the method, derived here",
        "So it is with the originals kept.",
        _judge_harm("RCAL, originals kept"), _long_tail_example,
        shifted("accuracy", "method", ("RCAL, originals kept",), -0.1),
    ),
    Claim(
        "C9a", "gaussian_model", "identity", "derived here",
        "The closed-form error of a perturbed linear discriminant is the one that samples show.",
        _judge_formula("error of LDA"), _gaussian_example, _changed("error of LDA", lambda t: t["value"] + 20.0),
    ),
    Claim(
        "C9b", "gaussian_model", "rate", "excess risk by error of means; the paper's theorem is of this type",
        "Errors of the means cost a linear discriminant their square.",
        _judge_slope, _gaussian_example, _changed("excess risk", lambda t: t["value"].abs() ** 0.5),
    ),
    Claim(
        "C9c", "gaussian_model", "bound", "derived here",
        "The excess risk is at most the sum of two squares of Mahalanobis norms that excess_risk_bound gives.",
        _judge_bound, _gaussian_example, _changed("bound", lambda t: 4 * t["value"]),
    ),
    _gain_claim(
        "C10", "Covariances of rare classes are nearer to the clean ones after borrowing from frequent classes.",
        "RCAL", "without tail calibration", "tail_cov_error", sign=-1, source="tail calibration",
    ),
    Claim(
        "C11", "long_tail", "trend", "sensitivity, derived here",
        "Told half the true noise rate, RCAL loses at most two points.",
        lambda t: _gains(t, "RCAL, half the noise assumed", "RCAL", above=-0.02), _long_tail_example,
        shifted("accuracy", "method", ("RCAL, half the noise assumed",), -0.1),
    ),
    _gain_claim(
        "C12a", "As networks too, RCAL is more accurate than cross-entropy.", "RCAL", "CE", experiment="networks",
        source="main comparison, abstract",
    ),
    _gain_claim(
        "C12b", "And more accurate than class weights from the same contrastive start.", "RCAL",
        "class weights, contrastive start", experiment="networks", source="main comparison, abstract",
    ),
    _gain_claim(
        "C12c", "And more accurate than logit adjustment from the same contrastive start.", "RCAL",
        "logit adjustment, contrastive start", experiment="networks", source="main comparison, abstract",
    ),
]  # fmt: skip
