"""Harder positives and mixed negatives, made from features: the mechanism is there, the gain is another question.

Four experiments. *identities* compares scores, norms and gradients of transformed features with vectors that are
transformed one by one. *spread* draws permutations and weights and compares the variance of mixed scores with its
expectation. *training* trains small encoders on generated glyphs against a queue of keys of a slowly following
encoder: plain, with extrapolated positives (as they are, renormalised, or by a fraction of the weight), with
interpolated negatives, with both; once with strong clutter, where positives are hard from the beginning, and once
with little, where they are easy. All start equal and see the same views, batches, weights and permutations. *tuning*
compares the best of the same temperatures and learning rates, chosen on one half of the test images and judged on the
other. Probes with shuffled labels show where chance lies.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from neural.contrastive.feature_transformation import (
    extrapolate_positives,
    feature_transformation_loss,
    interpolate_negatives,
    interpolated_scores,
    score_statistics,
)
from neural.contrastive.images import LabelledImages, Views, glyphs
from neural.contrastive.momentum import MemoryQueue, pretrain_with_queue
from neural.contrastive.pretrain import EncoderEnsemble
from neural.contrastive.similarity import unit_rows
from simulations import Claim, Experiment, Paper, Replicate, Verdict, statistics
from simulations.contrastive.glyph_probes import best_settings, glyph_views, halves, probe, shuffled_labels
from simulations.controls import exchange
from theory.contrastive import feature_transformation as theory

PAPER = Paper(
    title="Improving Contrastive Learning by Visualizing Feature Transformation",
    authors="Rui Zhu, Bingchen Zhao, Jingen Liu, Zhenglong Sun, Chang Wen Chen",
    venue="ICCV 2021",
    arxiv="2108.02982",
)
DEVIATIONS = [
    "Queue entries of the query's own image are left out, and so are mixtures with one: they would be positives.",
    "The authors' command line draws one weight per batch; weights per sample and per dimension are options here.",
    "Glyphs and small perceptrons replace ImageNet: they can show the mechanism, not the paper's accuracies.",
]
PLAIN, APART, MIXED, BOTH, RENORMALISED = "MoCo", "extrapolation", "interpolation", "both", "renormalised"
SHUFFLED = "shuffled labels"
HARD, EASY = "hard", "easy"


# identities -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identities:
    """Random pairs and queues."""

    sets: int = 60


def simulate_identities(settings: Identities, seed: int, device: str) -> pd.DataFrame:
    """Largest deviation per identity and random set, in float64."""
    generator = torch.Generator(device).manual_seed(seed)
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(settings.sets):
        batch, dim, size = (int(rng.integers(low, high)) for low, high in ((1, 9), (2, 33), (4, 65)))
        tau = float(np.exp(rng.uniform(np.log(0.05), 0)))
        errors = _errors_of(batch, dim, size, tau, generator)
        rows += [{"identity": name, "dim": dim, "temperature": tau, "error": error} for name, error in errors.items()]
    return pd.DataFrame(rows)


def _errors_of(batch: int, dim: int, size: int, tau: float, generator: torch.Generator) -> dict[str, float]:
    device = generator.device

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, device=device, dtype=torch.float64)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, device=device, dtype=torch.float64)

    centre = draw(dim)
    q, k, queue = (unit_rows(draw(n, dim) + centre) for n in (batch, batch, size))
    lam, mask, share = 1 + uniform(batch, 1), 1 + uniform(batch, dim), uniform(1)
    perm = torch.randperm(size, generator=generator, device=device)
    s = (q * k).sum(1)
    cosines, weights = s.clamp(-1, 1).cpu().numpy(), lam[:, 0].cpu().numpy()
    far_q, far_k = extrapolate_positives(q, k, lam)
    masked_q, masked_k = extrapolate_positives(q, k, mask)
    score = (far_q * far_k).sum(1)
    by_dimension = theory.extrapolated_score_by_dimension(*(x.cpu().numpy() for x in (q, k, mask)))
    scores = q @ queue.T
    mixed = interpolated_scores(scores, share, perm)
    vectors = interpolate_negatives(queue, share, perm)
    before, after = (theory.log_mean_mass(x.cpu().numpy(), tau) for x in (scores, mixed))
    same = torch.nn.functional.cross_entropy(
        torch.cat([s[:, None], scores], 1) / tau, torch.zeros(batch, dtype=torch.long, device=device)
    )
    plain = feature_transformation_loss(q, k, queue, tau, positives=False, negatives=False)
    losses = [torch.logaddexp(p / tau, (scores / tau).logsumexp(1)) - p / tau for p in (s, score)]
    return {
        "score": _largest(score.cpu().numpy() - theory.extrapolated_score(cosines, weights)),
        "norm": _largest(far_q.norm(dim=1).cpu().numpy() - theory.extrapolated_norm(cosines, weights)),
        "other norm": _largest(far_k.norm(dim=1).cpu().numpy() - theory.extrapolated_norm(cosines, weights)),
        "renormalised score": _largest(
            (unit_rows(far_q) * unit_rows(far_k)).sum(1).cpu().numpy() - theory.renormalised_score(cosines, weights)
        ),
        "score by dimension": _largest((masked_q * masked_k).sum(1).cpu().numpy() - by_dimension),
        "score outside [5s − 4, s]": float(torch.maximum(score - s, 5 * s - 4 - score).clamp_min(0).max()),
        "mixed scores": float((mixed - q @ vectors.T).abs().max()),
        "mean of mixed scores": float((mixed.mean(1) - scores.mean(1)).abs().max()),
        "rise of the mass": float(np.maximum(after - before, 0).max()),
        "plain loss": float((plain - same).abs()),
        "fall of the loss": float((losses[0] - losses[1]).clamp_min(0).max()),
        "gradient multiplier": _multiplier_error(q, k, lam, live_key=True),
        "gradient, key constant": _multiplier_error(q, k, lam, live_key=False),
    }


def _multiplier_error(q: torch.Tensor, k: torch.Tensor, lam: torch.Tensor, *, live_key: bool) -> float:
    """What turns the query in the transformed score's gradient, against 1 + 2 lam (lam − 1) times the original."""
    query = q.clone().requires_grad_()
    far_q, far_k = extrapolate_positives(query, k, lam)
    (gradient,) = torch.autograd.grad((far_q * (far_k if live_key else far_k.detach())).sum(), query)
    tangent = gradient - (gradient * q).sum(1, keepdim=True) * q
    turned = k - (k * q).sum(1, keepdim=True) * q
    return float((tangent - (1 + 2 * lam * (lam - 1)) * turned).abs().max())


def _largest(x: np.ndarray) -> float:
    return float(np.abs(x).max())


# spread -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """Draws of weight and permutation for one queue."""

    draws: int = 2000
    size: int = 512
    dim: int = 32
    alphas: tuple[float, ...] = (0.4, 1.6, 6.0)


def simulate_spread(settings: Spread, seed: int, device: str) -> pd.DataFrame:
    """Mean ratio of the variances of mixed and original scores, and the expectation, for each alpha."""
    rng = np.random.default_rng(seed)
    queue = rng.standard_normal((settings.size, settings.dim)) + 0.5
    scores = (queue / np.linalg.norm(queue, axis=1, keepdims=True))[:, 0]
    rows = []
    for alpha in settings.alphas:
        weights = rng.beta(alpha, alpha, settings.draws)
        ratios = [np.var(w * scores + (1 - w) * rng.permutation(scores)) / np.var(scores) for w in weights]
        rows.append(
            {"alpha": alpha, "ratio": np.mean(ratios), "standard_error": np.std(ratios) / np.sqrt(settings.draws),
             "expected": theory.interpolation_variance_factor(alpha)}
        )  # fmt: skip
    return pd.DataFrame(rows)


# training ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Training:
    """Encoders of glyphs; ``fractions`` of the extrapolation's excess weight are tried besides all of it."""

    fractions: tuple[float, ...] = (0.1, 0.25, 0.5)
    clutter: tuple[float, float] = (1.2, 0.15)
    temperature: float = 0.3
    learning_rate: float = 0.06
    steps: int = 110
    start: int = 30
    batch_size: int = 64
    queue_size: int = 256
    width: int = 128
    last: int = 40
    alpha_pos: float = 2.0
    alpha_neg: float = 1.6


@dataclass(frozen=True)
class Tuning:
    """The same pairs of temperature and learning rate with and without transformations."""

    grid: tuple[tuple[float, float], ...] = ((0.1, 0.002), (0.1, 0.005), (0.2, 0.002), (0.2, 0.005))
    steps: int = 100
    start: int = 20
    batch_size: int = 64
    queue_size: int = 256
    width: int = 128
    alpha_pos: float = 2.0
    alpha_neg: float = 1.6


@dataclass(frozen=True)
class _Arm:
    """One of the networks that are trained side by side."""

    method: str
    apart: float
    mixed: bool
    renormalise: bool
    temperature: float
    learning_rate: float


def simulate_training(settings: Training, seed: int, device: str) -> Replicate:
    """Probes, alignment and scores for every method and regime, and the course of the scores."""
    kinds = [
        (PLAIN, 0.0, False, False), (APART, 1.0, False, False), (MIXED, 0.0, True, False), (BOTH, 1.0, True, False),
        (RENORMALISED, 1.0, False, True), *((f"extrapolation × {c:g}", c, False, False) for c in settings.fractions),
    ]  # fmt: skip
    data = glyphs(split_seed=seed % 2**31).to(device)
    rows, arrays = [], {}
    for regime, clutter in zip((HARD, EASY), settings.clutter, strict=True):
        views = (
            glyph_views() if regime == HARD else Views(shift=0.1, noise=0.02, erase=0, contrast=0.1, clutter=clutter)
        )
        chosen = kinds if regime == HARD else kinds[:4]
        arms = [_Arm(*kind, settings.temperature, settings.learning_rate) for kind in chosen]
        course: list[torch.Tensor] = []
        models = _train(settings, arms, data, views, seed, device, course)
        steps = torch.stack(course).cpu().numpy()
        arrays[regime] = steps.astype(np.float32)
        last = steps[-settings.last :].mean(0)
        rows += [
            {
                "regime": regime,
                "method": a.method,
                "start": settings.start,
                **accuracy,
                **dict(zip(_COURSE, values, strict=True)),
            }
            for a, accuracy, values in zip(arms, probe(models, data, views), last.tolist(), strict=True)
        ]
        chance = probe(models, shuffled_labels(data, seed), views)[0]
        rows.append({**rows[-len(arms)], **chance, "method": SHUFFLED})
    return Replicate(pd.DataFrame(rows), arrays)


def simulate_tuning(settings: Tuning, seed: int, device: str) -> pd.DataFrame:
    """Accuracy on both halves of the test images at every setting, plain and with either transformation."""
    arms = [
        _Arm(method, apart, mixed, False, tau, rate)
        for method, apart, mixed in ((PLAIN, 0.0, False), (APART, 1.0, False), (MIXED, 0.0, True))
        for tau, rate in settings.grid
    ]
    data = glyphs(split_seed=seed % 2**31).to(device)
    models = _train(settings, arms, data, glyph_views(), seed, device, None)
    by_half = [probe(models, half) for half in halves(data, seed)]
    return pd.DataFrame(
        [
            {"method": a.method, "temperature": a.temperature, "learning_rate": a.learning_rate,
             "knn_first": first["knn"], "knn_second": second["knn"]}
            for a, first, second in zip(arms, *by_half, strict=True)
        ]
    )  # fmt: skip


_COURSE = ("alignment", "positive", "negative_mean", "negative_variance", "queue_variance")


def _train(
    settings: Training | Tuning, arms: list[_Arm], data: LabelledImages, views: Views, seed: int, device: str,
    course: list[torch.Tensor] | None,
) -> EncoderEnsemble:  # fmt: skip
    """All arms in lockstep, with the same weights and permutations; an arm without a transformation has weight 1."""
    generator = torch.Generator(device).manual_seed(seed)
    models = EncoderEnsemble(len(arms), generator=generator, width=settings.width)
    draws = np.random.default_rng(seed)
    taus, rates, apart = (
        torch.tensor([getattr(a, name) for a in arms], device=device)
        for name in ("temperature", "learning_rate", "apart")
    )
    mixed, renormalise = (
        torch.tensor([getattr(a, name) for a in arms], device=device)[:, None, None]
        for name in ("mixed", "renormalise")
    )

    def loss(q: torch.Tensor, k: torch.Tensor, queue: MemoryQueue, owners: torch.Tensor, step: int) -> torch.Tensor:
        excess = float(draws.beta(settings.alpha_pos, settings.alpha_pos))
        share = float(draws.beta(settings.alpha_neg, settings.alpha_neg))
        perm = torch.from_numpy(draws.permutation(settings.queue_size)).to(device)
        on = step >= settings.start
        far_q, far_k = extrapolate_positives(q, k, 1 + on * excess * apart[:, None, None])
        far_q, far_k = (torch.where(renormalise, unit_rows(x), x) for x in (far_q, far_k))
        own = queue.owners == owners[:, None]
        scores = (far_q @ queue.rows.mT).masked_fill(own, -torch.inf)
        lam = torch.where(mixed & on, share, 1.0)
        transformed = torch.where(mixed, interpolated_scores(scores, lam, perm), scores)
        positive = (far_q * far_k).sum(-1)
        if course is not None:
            seen = score_statistics(positive.detach(), transformed.detach(), settings.temperature)  # type: ignore[union-attr]
            unmixed = (q @ queue.rows.mT).detach().var(-1, correction=0).mean(-1)
            numbers = [(q * k).sum(-1).detach().mean(-1), *(seen[name] for name in _COURSE[1:4]), unmixed]
            course.append(torch.stack(numbers, -1))
        logits = transformed / taus[:, None, None]
        positive = positive / taus[:, None]
        return (torch.logaddexp(positive, logits.logsumexp(-1)) - positive).mean(-1)

    pretrain_with_queue(
        models, data.train, loss, views=views, batch_size=settings.batch_size, queue_size=settings.queue_size,
        steps=settings.steps, learning_rate=rates, generator=generator,
    )  # fmt: skip
    return models


EXPERIMENTS = [
    Experiment("identities", simulate_identities, quick=Identities(), tiny=Identities(3)),
    Experiment("spread", simulate_spread, quick=Spread(), tiny=Spread(50, 32)),
    Experiment(
        "training", simulate_training, quick=Training(),
        full=Training((0.05, 0.1, 0.25, 0.5), steps=2000, start=200, width=256, last=200),
        tiny=Training(steps=6, start=2, width=8, last=2, queue_size=128),
    ),
    Experiment(
        "tuning", simulate_tuning, quick=Tuning(),
        full=Tuning(
            tuple((tau, rate) for tau in (0.05, 0.1, 0.2, 0.4, 0.8) for rate in (0.001, 0.002, 0.005, 0.01, 0.03)),
            steps=2000, start=200, width=256,
        ),
        tiny=Tuning(steps=4, start=2, width=8, queue_size=128),
    ),
]  # fmt: skip


# claims -----------------------------------------------------------------------------------------

SCORES = ("score", "norm", "other norm", "renormalised score", "score by dimension", "mixed scores", "plain loss")


def _errors(table: pd.DataFrame, *names: str) -> np.ndarray:
    errors = table.loc[table["identity"].isin(names), "error"].to_numpy()
    if len(errors) == 0:
        raise ValueError(f"no errors of {names} in the table")
    return errors


def _identity_judge(names: tuple[str, ...], compared: str, tolerance: float):
    return lambda t: statistics.identity(_errors(t, *names), compared, tolerance=tolerance)


def _judge_gradient(table: pd.DataFrame) -> Verdict:
    constant = float(_errors(table, "gradient, key constant").max())
    return statistics.all_of(
        [
            statistics.identity(
                _errors(table, "gradient multiplier"), "error of the gradient's multiplier", tolerance=1e-8
            ),
            statistics.at_least(constant, "its error if the transformed key were constant", threshold=1e-3),
        ]
    )


def _identities_example() -> pd.DataFrame:
    small = dict.fromkeys((*SCORES, "mean of mixed scores", "gradient multiplier"), 1e-14)
    zero = dict.fromkeys(("score outside [5s − 4, s]", "rise of the mass", "fall of the loss"), 0.0)
    return pd.DataFrame(
        [
            {"replicate": k, "identity": name, "dim": 8, "temperature": 0.2, "error": error}
            for k in range(5)
            for name, error in {**small, **zero, "gradient, key constant": 0.5}.items()
        ]
    )


def _wrong_by(name: str, error: float):
    """A control: as if this identity failed by ``error``."""
    return lambda t: t.assign(error=t["error"].where(t["identity"] != name, error))


def _judge_spread(table: pd.DataFrame) -> Verdict:
    parts = [
        statistics.within(
            rows["ratio"] - rows["expected"], f"variance ratio less 1 − alpha/(2 alpha + 1), alpha = {alpha:g}",
            low=-0.01, high=0.01,
        )
        for alpha, rows in table.groupby("alpha")
    ]  # fmt: skip
    return statistics.all_of(parts)


def _spread_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "alpha": a, "ratio": theory.interpolation_variance_factor(a) + 0.001 * (k - 2),
             "standard_error": 0.002, "expected": theory.interpolation_variance_factor(a)}
            for k in range(5)
            for a in (0.4, 1.6)
        ]
    )  # fmt: skip


def _difference_claim(
    id: str, regime: str, column: str, method: str, compared: str, statement: str, *, above: bool, source: str,
    paper_value: str = "",
) -> Claim:  # fmt: skip
    """The claim that a method's measurement lies above (or below) that of the plain loss."""

    def judge(table: pd.DataFrame) -> Verdict:
        values = statistics.paired(table[table["regime"] == regime], column, "method", method, PLAIN)
        side = {"above": 0.0} if above else {"below": 0.0}
        return statistics.trend(values, f"{compared}, {method} less {PLAIN}, {regime} positives", **side)

    def example() -> pd.DataFrame:
        gain = 0.05 if above else -0.05
        return pd.DataFrame(
            [
                {"replicate": k, "regime": regime, "method": m, column: base + 0.003 * ((k * 7) % 3)}
                for k in range(5)
                for m, base in ((PLAIN, 0.5), (method, 0.5 + gain + 0.001 * k))
            ]
        )

    return Claim(
        id, "training", "trend", source, statement, judge, example,
        lambda t: exchange(t, "method", method, PLAIN), paper_value=paper_value,
    )  # fmt: skip


def _judge_variance(table: pd.DataFrame) -> Verdict:
    rows = table[(table["method"] == MIXED) & (table["regime"] == HARD)].sort_values("replicate")
    change = (rows["negative_variance"] - rows["queue_variance"]).to_numpy()
    return statistics.trend(change, "variance of mixed negatives' scores less that of the queue's", below=0.0)


def _variance_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "replicate": k,
                "regime": HARD,
                "method": MIXED,
                "negative_variance": 0.1 + 0.001 * k,
                "queue_variance": 0.15,
            }
            for k in range(5)
        ]
    )


def _tuned_claim(id: str, method: str) -> Claim:
    def judge(table: pd.DataFrame) -> Verdict:
        gain = statistics.paired(best_settings(table), "knn", "method", method, PLAIN)
        return statistics.trend(
            gain, f"nearest-neighbour accuracy at the best setting, {method} less {PLAIN}", above=0.0
        )

    def example() -> pd.DataFrame:
        return pd.DataFrame(
            [
                {"replicate": k, "method": m, "temperature": tau, "learning_rate": 0.002,
                 "knn_first": base + 0.01 * k - 0.1 * abs(tau - 0.2), "knn_second": base + 0.008 * k - abs(tau - 0.2)}
                for k in range(5)
                for m, base in ((PLAIN, 0.5), (method, 0.55))
                for tau in (0.1, 0.2)
            ]
        )  # fmt: skip

    return Claim(
        id, "tuning", "trend", "downstream accuracy, main tables",
        f"Features are better with {method} when temperature and learning rate are chosen for each loss.",
        judge, example, lambda t: exchange(t, "method", method, PLAIN), paper_value=_GAIN,
    )  # fmt: skip


_GAIN = "ImageNet-1K top-1: 60.6 to 61.9 (MoCo v1), 67.5 to 69.6 (MoCo v2)"
_DOWNSTREAM = "downstream accuracy, main tables"

CLAIMS = [
    Claim(
        "C1", "identities", "identity", "definitions of both transformations; algebra derived here",
        "Scores and norms of transformed features are closed forms of the original score.",
        _identity_judge(SCORES, "largest error of the closed forms", 1e-10), _identities_example,
        _wrong_by("score", 0.1),
    ),
    Claim(
        "C1b", "identities", "bound", "derived here",
        "An extrapolated pair scores at most s and at least 5 s − 4; its loss against the same negatives is larger.",
        _identity_judge(
            ("score outside [5s − 4, s]", "fall of the loss"), "most by which score or loss leave their range", 1e-12
        ),
        _identities_example, _wrong_by("fall of the loss", 0.1),
    ),
    Claim(
        "C2a", "identities", "bound", "derived here (permutation, Jensen)",
        "Interpolation keeps the mean score of the negatives and never raises their mass.",
        _identity_judge(
            ("mean of mixed scores", "rise of the mass"), "change of the mean score, or rise of the log mass", 1e-10
        ),
        _identities_example, _wrong_by("rise of the mass", 0.1),
    ),
    Claim(
        "C2b", "spread", "identity", "derived here",
        "On average interpolation leaves 1 − alpha/(2 alpha + 1) of the negatives' variance, .619 at alpha = 1.6.",
        _judge_spread, _spread_example, lambda t: t.assign(expected=1.0),
    ),
    Claim(
        "C3", "identities", "identity", "derived here",
        "Extrapolation multiplies the pull of the positive by 1 + 2 l (l − 1).",
        _judge_gradient, _identities_example, _wrong_by("gradient multiplier", 0.1),
    ),
    *(
        _difference_claim(
            f"C5{letter}", regime, "alignment", APART, "cosine of the two views", above=True,
            statement=f"Extrapolation teaches invariance: views of one image agree more ({regime} positives).",
            source="view invariance, motivation of positive extrapolation",
        )
        for letter, regime in (("a", HARD), ("b", EASY))
    ),
    Claim(
        "C5c", "training", "trend", "diversity of negatives, visualisation of scores",
        "In training, mixed negatives' scores vary less than those of the queue they come from.",
        _judge_variance, _variance_example,
        lambda t: t.rename(columns={"negative_variance": "queue_variance", "queue_variance": "negative_variance"}),
    ),
    *(
        _difference_claim(
            f"C6{letter}", regime, "knn", method, "nearest-neighbour accuracy", above=True,
            statement=f"Features are better with {method} ({regime} positives).", source=_DOWNSTREAM,
            paper_value=_GAIN if method == BOTH else "",
        )
        for letter, regime, method in (
            ("a", HARD, APART), ("b", HARD, MIXED), ("c", HARD, BOTH), ("d", HARD, RENORMALISED),
            ("e", EASY, APART), ("f", EASY, MIXED), ("g", EASY, BOTH),
        )
    ),
    _tuned_claim("C6h", APART),
    _tuned_claim("C6i", MIXED),
    _difference_claim(
        "C6j", HARD, "knn", SHUFFLED, "nearest-neighbour accuracy", above=False,
        statement="What the probe measures is learnt: shuffled labels lose it.", source="control of the probe",
    ),
    _difference_claim(
        "C7", HARD, "uniformity", APART, "uniformity (lower spreads more)", above=True,
        statement="Agreement is paid for: with extrapolation features are spread less evenly.",
        source="alignment and uniformity; derived here",
    ),
    *(
        _difference_claim(
            f"C8{letter}", HARD, "knn", f"extrapolation × {c:g}", "nearest-neighbour accuracy", above=True,
            statement=f"A smaller dose helps: weights of 1 + {c:g} Beta(2, 2).", source="dose; our question",
        )
        for letter, c in zip("abc", (0.1, 0.25, 0.5), strict=True)
    ),
]  # fmt: skip
