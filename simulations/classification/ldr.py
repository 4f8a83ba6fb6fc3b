"""Label-distributionally robust losses: one temperature from the hinge to a symmetric loss, and what each end costs.

*closed forms* solves the inner maximisation anew with a convex solver. *limits* measures how fast LDR-KL reaches its
two ends. *order* minimises conditional risks of random label distributions exactly and looks for swapped labels; the
same search must find them for the hinge and for symmetric losses on a simplex. *symmetry* measures how far sums over
labels are from constant. *impossibility* holds both sides of the conflict between symmetry and top-k consistency:
corners of the simplex, and a symmetric loss off it that ranks perfectly. *temperature* checks the calculus of the
adaptive loss. *noise bound* knows all risks of a finite population. *digits* trains fifteen losses (and two controls)
on handwritten digits with clean, uniformly flipped and shifted labels: all networks of a replicate in lockstep, from
the same weights on the same batches, with as many settings for each loss; settings are chosen by the mean accuracy
over replicates on held-out data whose labels are as noisy as those of training. *soft labels* draws labels from three
plausible classes, and chooses settings by the top-2 and top-3 accuracy that is then judged.
"""

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from neural.classification.label_noise import inject_pair_noise, inject_symmetric_noise
from neural.classification.ldr import adaptive_temperature, ldr_kl
from simulations import Claim, Experiment, Paper, Replicate, Verdict, statistics
from simulations.classification.noisy_digits import (
    FIFTEEN,
    coverage,
    equal_grid,
    noisy_digits,
    train_in_lockstep,
    tuned,
)
from simulations.controls import columns_exchanged, exchange, shifted
from simulations.costs import alternating_seconds
from theory.classification import ldr as theory
from theory.classification import top_k_consistency as top_k

PAPER = Paper(
    title="Label Distributionally Robust Losses for Multi-class Classification: Consistency, Robustness and Adaptivity",
    authors="Dixian Zhu, Yiming Ying, Tianbao Yang",
    venue="ICML 2023",
    arxiv="2112.14869",
)
DEVIATIONS = [
    "LDR-KL at lam = 1 without margin is cross-entropy less log K; values of the two losses must not be compared.",
    "That a symmetric top-1 consistent loss cannot be top-k consistent needs a hypothesis on the scores: on a simplex "
    "it holds, but 1 − u_y/||u|| with centred scores u is symmetric and top-k calibrated for every k.",
    "The authors' one-step temperature takes p from the scores without margin and adds 1e-5; ours takes the margins, "
    "whose fixed point is the stationary temperature, and adds nothing.",
    "The adaptive objective is not concave in the temperature in general: it can have several local maxima.",
    "The authors' noise of rate e picks among all K labels: a share e (K − 1)/K of labels is wrong. So does ours.",
    "The robust log loss follows its own paper; the code published with LDR takes one logarithm of a sum of scores.",
]


# closed forms -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClosedForms:
    """Random margins for every regularizer, temperature and number of classes."""

    instances: int = 10
    classes: tuple[int, ...] = (2, 5, 10)
    temperatures: tuple[float, ...] = (0.05, 0.3, 1.0, 10.0)


def simulate_closed_forms(settings: ClosedForms, seed: int, device: str) -> pd.DataFrame:
    """Largest deviation from the solver, at the right temperature and at one that is 5 % too high."""
    rng, rows = np.random.default_rng(seed), []
    for K in settings.classes:
        scores = 2 * rng.normal(size=(settings.instances, K))
        target = rng.integers(0, K, settings.instances)
        z = theory.margins(scores, target, 0.1)
        for lam in settings.temperatures:
            for regularizer in ("kl", "euclidean", "none"):
                solved = theory.ldr_sup(z, lam, regularizer, _solver())
                error, other = (
                    float(np.abs(solved - theory.ldr_closed_form(z, t, regularizer)).max()) for t in (lam, 1.05 * lam)
                )
                rows.append({"classes": K, "lam": lam, "identity": regularizer, "error": error, "other_error": other})
            f, y = torch.tensor(scores, device=device), torch.tensor(target, device=device)
            entropy = F.cross_entropy(f / lam, y, reduction="none")
            gaps = {
                "cross-entropy": ldr_kl(f, y, lam, 0.0, reduction="none") - lam * (entropy - math.log(K)),
                "both implementations": ldr_kl(f, y, lam, 0.1, "softplus", "none").cpu()
                - torch.as_tensor(theory.ldr_kl(scores, target, lam, 0.1, "softplus")),
            }
            rows += [
                {"classes": K, "lam": lam, "identity": name, "error": float(gap.abs().max()), "other_error": 0.0}
                for name, gap in gaps.items()
            ]
    return pd.DataFrame(rows)


def _solver() -> Literal["cvxpy", "numeric"]:
    return "cvxpy" if importlib.util.find_spec("cvxpy") else "numeric"


# speed ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Speed:
    """Instances for the closed form; the solver gets the first few of them and is scaled up."""

    instances: int = 10_000
    solved: int = 100
    classes: int = 10
    rounds: int = 3


def simulate_speed(settings: Speed, seed: int, device: str) -> pd.DataFrame:
    """Seconds for all instances, the two sides taking turns."""
    z = np.random.default_rng(seed).normal(size=(settings.instances, settings.classes))
    sides = {
        "closed form": lambda: theory.ldr_closed_form(z, 0.5),
        "solver": lambda: theory.ldr_sup(z[: settings.solved], 0.5, "kl", _solver()),
    }
    table = alternating_seconds(sides, rounds=settings.rounds)
    scale = table["side"].map({"closed form": 1.0, "solver": settings.instances / settings.solved})
    return table.assign(seconds=table["seconds"] * scale, instances=settings.instances)


# limits -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limits:
    """Random margins, temperatures towards both ends."""

    instances: int = 2000
    classes: int = 6
    cold: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03)
    hot: tuple[float, ...] = (30.0, 100.0, 300.0, 1000.0)


def simulate_limits(settings: Limits, seed: int, device: str) -> pd.DataFrame:
    """Mean distance from either end, and the worst ratio to its bound (the second also without its factor 1/8)."""
    rng, rows = np.random.default_rng(seed), []
    z = theory.margins(rng.normal(size=(settings.instances, settings.classes)), 0, 0.0)
    for end, temperatures in (("svm", settings.cold), ("linear", settings.hot)):
        limit = theory.ldr_limit(z, "svm" if end == "svm" else "linear")
        for lam in temperatures:
            gap = np.abs(theory.ldr_closed_form(z, lam) - limit)
            bound = lam * math.log(settings.classes) if end == "svm" else np.ptp(z, axis=1) ** 2 / (8 * lam)
            worst = float((gap / bound).max())
            rows.append({"end": end, "lam": lam, "gap": gap.mean(), "ratio": worst, "instances": len(z)})
    return pd.DataFrame(rows)


# order ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """Random label distributions whose probabilities differ by more than ``gap``."""

    instances: int = 60
    programs: int = 20
    classes: int = 5
    gap: float = 1e-3


def simulate_order(settings: Order, seed: int, device: str) -> pd.DataFrame:
    """Distributions on which the minimiser is not top-k preserving, for every k and loss."""
    rng = np.random.default_rng(seed)
    q = _separated(rng, settings.instances, settings.classes, settings.gap)
    lam, margin = 10.0 ** rng.uniform(-1.3, 1.3, len(q)), rng.uniform(0, 1, len(q)) * (rng.random(len(q)) < 0.8)
    exact = np.stack([top_k.ldr_kl_minimizer(*each) for each in zip(q, lam, margin, strict=True)])
    gradients = [_risk_gradient(*each) for each in zip(exact, q, lam, margin, strict=True)]
    few = q[: settings.programs]
    minimisers = {
        "LDR-KL": (q, exact),
        "Crammer–Singer": (few, np.stack([top_k.crammer_singer_minimizer(each) for each in few])),
        "linear limit on a simplex": (few, np.stack([top_k.simplex_minimizer(each, len(each)) for each in few])),
    }
    return pd.DataFrame(
        [
            {
                "loss": name, "k": k, "instances": len(p),
                "violations": int(np.sum(~np.asarray(top_k.is_topk_preserving(f, p, k)))),
                "gradient": max(gradients) if name == "LDR-KL" else 0.0,
            }
            for name, (p, f) in minimisers.items() for k in range(1, settings.classes)
        ]
    )  # fmt: skip


def _separated(rng: np.random.Generator, count: int, classes: int, gap: float) -> np.ndarray:
    drawn = rng.dirichlet(np.ones(classes), 4 * count + 20)
    return drawn[np.diff(np.sort(drawn, axis=1), axis=1).min(axis=1) > gap][:count]


def _risk_gradient(f: np.ndarray, q: np.ndarray, lam: float, margin: float) -> float:
    """Largest entry of ``sum_y q_y (p*_y − e_y)``, which vanishes where the convex risk is least."""
    p = theory.worst_case_distribution(theory.margins(f[None], np.arange(len(q)), margin), lam)
    return float(np.abs(q @ p - q).max())


# symmetry ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Symmetry:
    """Random scores with K classes, temperatures of the fit."""

    instances: int = 300
    classes: int = 5
    temperatures: tuple[float, ...] = (10.0, 30.0, 100.0, 300.0, 1000.0)


def simulate_symmetry(settings: Symmetry, seed: int, device: str) -> pd.DataFrame:
    """Range of ``sum_y loss_y`` over scores, normalised and not, with the bound."""
    raw = 3 * np.random.default_rng(seed).normal(size=(settings.instances, settings.classes))
    rows = []
    for lam in settings.temperatures:
        loss = partial(top_k.ldr_kl_losses, lam=lam)
        rows.append(
            {
                "lam": lam,
                "defect": top_k.symmetry_defect(loss, theory.normalized_scores(raw)),
                "raw_defect": top_k.symmetry_defect(partial(top_k.ldr_kl_losses, lam=1.0), raw),
                "bound": top_k.symmetry_defect_bound(settings.classes, lam),
                "instances": settings.instances,
            }
        )
    return pd.DataFrame(rows)


# impossibility ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Impossibility:
    """Random label distributions, random directions that might beat the closed form."""

    instances: int = 100
    directions: int = 2000
    descents: int = 3
    classes: int = 4
    gap: float = 1e-3


def simulate_impossibility(settings: Impossibility, seed: int, device: str) -> pd.DataFrame:
    """For every k, the share of distributions that each symmetric loss ranks right, and how symmetric it is."""
    rng, K = np.random.default_rng(seed), settings.classes
    q = _separated(rng, settings.instances, K, settings.gap)
    corners = np.stack([top_k.simplex_minimizer(each, float(K)) for each in q])
    directions = rng.normal(size=(settings.directions, K))
    spherical = top_k.spherical_symmetric_loss
    found = q - 1 / K
    beaten = (q * spherical(found)).sum(1) - (q @ spherical(directions).T).min(axis=1)
    descents = [
        top_k.population_minimizer(each, spherical, starts=1, seed=seed % 2**31) for each in q[: settings.descents]
    ]
    cosines = [float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in zip(descents, found, strict=False)]
    shares = rng.dirichlet(np.full(K, 0.5), settings.directions)
    losses = {
        "simplex": (corners, top_k.symmetry_defect(lambda f: 1 - f, shares), 0.0, 1.0),
        "spherical": (found, top_k.symmetry_defect(spherical, directions), float(beaten.max()), min(cosines)),
    }
    return pd.DataFrame(
        [
            {"loss": name, "k": k, "ranked": float(np.mean(top_k.is_topk_preserving(f, q, k))), "defect": defect,
             "beaten_by": beaten_by, "cosine": cosine, "instances": len(q)}
            for name, (f, defect, beaten_by, cosine) in losses.items() for k in range(1, K)
        ]
    )  # fmt: skip


# temperature ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Temperature:
    """Random margins per strength; ``alpha`` is in units of ``lam0 / log K``."""

    instances: int = 40
    classes: int = 5
    alphas: tuple[float, ...] = (1.01, 2.0, 10.0)
    iterations: int = 2000


def simulate_temperature(settings: Temperature, seed: int, device: str) -> pd.DataFrame:
    """Derivatives by differences, the interval, uniqueness, and where the one-step iteration ends."""
    rng, rows = np.random.default_rng(seed), []
    for alpha in settings.alphas:
        lam0 = 1.0
        scores = rng.normal(size=(settings.instances, settings.classes)) * 10.0 ** rng.uniform(
            -1, 1, (settings.instances, 1)
        )
        z = theory.margins(scores, 0, 0.1)
        chosen = theory.adaptive_temperature(z, lam0, alpha)
        strength = alpha * math.log(settings.classes) / lam0
        unique = np.asarray(strength > theory.uniqueness_curvature(z, lam0 * (1 - 1 / alpha), lam0))
        lam = np.full(len(z), lam0)
        for _ in range(settings.iterations):
            before, lam = lam, theory.one_step_temperature(z, lam, lam0, alpha)
            if np.abs(lam - before).max() < 1e-13:
                break
        f, y = torch.tensor(scores, device=device), torch.zeros(len(z), dtype=torch.long, device=device)
        torch_value = theory.adaptive_objective(z, adaptive_temperature(f, y, lam0, alpha).cpu().numpy(), lam0, alpha)
        slope_error, curvature_error = _derivative_errors(z, 0.7)
        outside = np.maximum(lam0 * (1 - 1 / alpha) - chosen.lam, chosen.lam - lam0).max()
        rows.append(
            {
                "alpha": alpha, "instances": len(z), "unique": int(unique.sum()),
                "several_where_unique": int(np.sum(chosen.maxima[unique] > 1)),
                "several_elsewhere": int(np.sum(chosen.maxima[~unique] > 1)),
                "outside": float(max(outside, 0.0)),
                "iteration_error": float(np.abs(lam - chosen.lam)[unique].max(initial=0.0)),
                "torch_shortfall": float(np.abs(chosen.value - torch_value).max()),
                "slope_error": slope_error, "curvature_error": curvature_error,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _derivative_errors(z: np.ndarray, lam: float, step: float = 1e-4) -> tuple[float, float]:
    """Of d psi/d lam = −KL and of d KL/d lam = −Var/lam³, relative to 1 + size, by fourth-order differences."""
    weights = np.array([1, -8, 8, -1]) / (12 * step)
    points = lam + step * np.array([-2, -1, 1, 2])
    slope = sum(w * theory.ldr_closed_form(z, float(t)) for w, t in zip(weights, points, strict=True))
    change = sum(w * theory.kl_from_uniform(z, float(t)) for w, t in zip(weights, points, strict=True))
    p = theory.worst_case_distribution(z, lam)
    variance = (p * z**2).sum(1) - (p * z).sum(1) ** 2
    expected = -variance / lam**3
    return (
        float(np.abs(slope + theory.kl_from_uniform(z, lam)).max()),
        float((np.abs(change - expected) / (1 + np.abs(expected))).max()),
    )


# noise bound ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NoiseBound:
    """Finite populations, and finite sets of normalised scores to choose among."""

    populations: int = 200
    points: int = 4
    classes: int = 4
    hypotheses: int = 40
    temperatures: tuple[float, ...] = (1.0, 10.0, 100.0)
    rates: tuple[float, ...] = (0.2, 0.4, 0.6)


def simulate_noise_bound(settings: NoiseBound, seed: int, device: str) -> pd.DataFrame:
    """Worst ratio of clean excess to the bound, with each loss's own defect and with that of the hottest."""
    rng, K = np.random.default_rng(seed), settings.classes
    shape = (settings.populations, settings.hypotheses, settings.points, K)
    scores = theory.normalized_scores(rng.normal(size=shape) * 10.0 ** rng.uniform(-1, 1.5, (*shape[:2], 1, 1)))
    q = rng.dirichlet(np.full(K, 0.3), (settings.populations, settings.points))
    everyone = np.arange(settings.populations)
    losses = {lam: top_k.ldr_kl_losses(scores, lam) for lam in settings.temperatures}
    deltas = {lam: np.ptp(loss.sum(-1), axis=(1, 2)) / 2 for lam, loss in losses.items()}
    rows = []
    for lam, loss in losses.items():
        clean = np.einsum("nhpk,npk->nh", loss, q) / settings.points
        for eps in settings.rates:
            noisy = np.einsum("nhpk,npk->nh", loss, top_k.noisy_distribution(q, eps)) / settings.points
            excess = clean[everyone, noisy.argmin(1)] - clean.min(1)
            unit = top_k.noise_excess_bound(eps, 1.0, K)
            rows.append(
                {
                    "lam": lam, "eps": eps, "instances": settings.populations,
                    "ratio": float((excess / (unit * deltas[lam])).max()),
                    "ratio_other_defect": float((excess / (unit * deltas[max(losses)])).max()),
                    "excess": float(excess.mean()), "bound": float((unit * deltas[lam]).mean()),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


# digits -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Digits:
    """Perceptrons 64–hidden–10 on digits; ``values`` numbers per loss times as many learning rates for every loss."""

    uniform: tuple[float, ...] = (0.6,)
    shifted: tuple[float, ...] = (0.3,)
    values: int = 1
    learning_rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0)
    epochs: int = 15
    hidden: int = 32


def simulate_digits(settings: Digits, seed: int, device: str) -> Replicate:
    """Every setting of every loss: accuracy on equally noisy held-out labels, top-1 to top-3 accuracy on clean ones."""
    rng = np.random.default_rng(seed)
    conditions: dict[str, Callable[[np.ndarray], np.ndarray]] = {"clean": lambda y: y}
    for rate in settings.uniform:
        conditions[f"uniform {rate:g}"] = partial(
            inject_symmetric_noise, rate=rate, rng=rng, including_own=True, classes=10
        )
    for rate in settings.shifted:
        conditions[f"shifted {rate:g}"] = partial(inject_pair_noise, rate=rate, rng=rng, classes=10)
    data = noisy_digits(list(conditions.values()), seed, device)
    losses = [*FIFTEEN, "LDR-KL, raw scores", "ALDR-KL, lam0 = 1"]
    runs = equal_grid(losses, settings.values, settings.learning_rates, len(conditions))
    held, test, temperatures = train_in_lockstep(
        data, runs, seed, device, epochs=settings.epochs, hidden=settings.hidden
    )
    held_labels = data.noisy[1].cpu()[[run.condition for run in runs]]
    held_out = (held.argmax(-1) == held_labels).double().mean(1)
    truth = F.one_hot(torch.as_tensor(data.test_labels), 10).to(test.dtype)
    top = [coverage(test, truth, k) for k in (1, 2, 3)]
    corrupted = data.noisy[0].cpu().numpy() != data.clean
    table = pd.DataFrame(
        [
            {
                "noise": list(conditions)[run.condition], "loss": run.loss, "value": run.value,
                "learning_rate": run.rate, "held_out": float(held_out[number]),
                **{f"top{k + 1}": float(values[number]) for k, values in enumerate(top)},
            }
            for number, run in enumerate(runs)
        ]
    )  # fmt: skip
    own = temperatures["ALDR-KL, lam0 = 1", 1.0].numpy()
    mine = [run for run in runs if run.loss == "ALDR-KL, lam0 = 1"]
    wrong = corrupted[[run.condition for run in mine]]
    table["temperature_gap"] = 0.0
    gaps = [_difference_of_means(t, w) for t, w in zip(own, wrong, strict=True)]
    table.loc[table["loss"] == "ALDR-KL, lam0 = 1", "temperature_gap"] = gaps
    return Replicate(table, {"temperatures": own, "corrupted": wrong})


def _difference_of_means(values: np.ndarray, mask: np.ndarray) -> float:
    """Mean inside the mask less outside; 0 where one of the two is empty (no label is wrong)."""
    return float(values[mask].mean() - values[~mask].mean()) if 0 < mask.sum() < mask.size else 0.0


# soft labels ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SoftLabels:
    """Labels drawn from three plausible classes: the digit, the next one and the one after that."""

    plausible: tuple[float, ...] = (0.5, 0.3, 0.2)
    losses: tuple[str, ...] = ("cross-entropy", "MAE", "linear limit", "LDR-KL, lam = 1", "LDR-KL")
    learning_rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0)
    epochs: int = 15
    hidden: int = 32


def simulate_soft_labels(settings: SoftLabels, seed: int, device: str) -> pd.DataFrame:
    """Expected top-k accuracy over the true label distribution; held-out labels are drawn like those of training."""
    rng = np.random.default_rng(seed)

    def draw(y: np.ndarray) -> np.ndarray:
        return (y + rng.choice(len(settings.plausible), len(y), p=settings.plausible)) % 10

    data = noisy_digits([draw], seed, device)
    runs = equal_grid(settings.losses, 1, settings.learning_rates, 1)
    held, test, _ = train_in_lockstep(data, runs, seed, device, epochs=settings.epochs, hidden=settings.hidden)
    drawn = F.one_hot(data.noisy[1][0].cpu(), 10).to(held.dtype)
    shares = np.zeros((len(data.test_labels), 10))
    for step, share in enumerate(settings.plausible):
        shares[np.arange(len(shares)), (data.test_labels + step) % 10] += share
    truth = torch.as_tensor(shares, dtype=test.dtype)
    held_out = (coverage(held, drawn, 2) + coverage(held, drawn, 3)) / 2
    top = [coverage(test, truth, k) for k in (1, 2, 3)]
    return pd.DataFrame(
        [
            {
                "noise": "soft", "loss": run.loss, "value": run.value, "learning_rate": run.rate,
                "held_out": float(held_out[number]),
                **{f"top{k + 1}": float(values[number]) for k, values in enumerate(top)},
            }
            for number, run in enumerate(runs)
        ]
    )  # fmt: skip


EXPERIMENTS = [
    Experiment(
        "closed_forms", simulate_closed_forms, quick=ClosedForms(), full=ClosedForms(instances=100),
        tiny=ClosedForms(2, (3,), (0.5,)), replicates=1,
    ),
    Experiment("limits", simulate_limits, quick=Limits(), full=Limits(instances=100_000), tiny=Limits(20)),
    Experiment("order", simulate_order, quick=Order(), full=Order(5000, 500), tiny=Order(10, 4)),
    Experiment(
        "symmetry", simulate_symmetry, quick=Symmetry(), full=Symmetry(instances=20_000), tiny=Symmetry(instances=20)
    ),
    Experiment(
        "impossibility", simulate_impossibility, quick=Impossibility(), full=Impossibility(1000, 20_000, 30),
        tiny=Impossibility(5, 20, 1),
    ),
    Experiment(
        "temperature", simulate_temperature, quick=Temperature(), full=Temperature(instances=2000),
        tiny=Temperature(10, iterations=5),
    ),
    Experiment(
        "noise_bound", simulate_noise_bound, quick=NoiseBound(), full=NoiseBound(populations=2000),
        tiny=NoiseBound(populations=5),
    ),
    Experiment(
        "digits", simulate_digits, quick=Digits(),
        full=Digits(
            uniform=(0.3, 0.6, 0.9), shifted=(0.1, 0.3, 0.5), values=3,
            learning_rates=(0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0), epochs=60, hidden=64,
        ),
        tiny=Digits(epochs=1, learning_rates=(0.1,), hidden=8), replicates=5,
    ),
    Experiment(
        "soft_labels", simulate_soft_labels, quick=SoftLabels(),
        full=SoftLabels(learning_rates=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0), epochs=60, hidden=64),
        tiny=SoftLabels(epochs=1, learning_rates=(0.1,), hidden=8), replicates=5,
    ),
    Experiment("speed", simulate_speed, quick=Speed(), full=Speed(solved=1000), tiny=Speed(100, 2, 3, 1), replicates=1),
]  # fmt: skip


# claims -----------------------------------------------------------------------------------------


def _judge_closed_forms(table: pd.DataFrame) -> Verdict:
    solved = table[table["identity"].isin(["kl", "euclidean", "none"])]
    rest = table[~table["identity"].isin(["kl", "euclidean", "none"])]
    felt = solved[solved["identity"] != "none"]
    return statistics.all_of(
        [
            statistics.identity(solved["error"], "largest error of a closed form against the solver", tolerance=1e-8),
            statistics.identity(
                rest["error"], "error of the offset from cross-entropy and between implementations", tolerance=1e-10
            ),
            statistics.at_least(felt["other_error"].min(), "least error at a temperature 5 % too high", threshold=1e-4),
        ]
    )


def _closed_forms_example() -> pd.DataFrame:
    names = ("kl", "euclidean", "none", "cross-entropy", "both implementations")
    return pd.DataFrame(
        [{"replicate": 0, "classes": 5, "lam": 1.0, "identity": n, "error": 1e-10, "other_error": 0.01} for n in names]
    )


def _worst(table: pd.DataFrame, ratio: pd.Series) -> pd.Series:
    return table.iloc[int(ratio.to_numpy().argmax())]


def _judge_limits(table: pd.DataFrame) -> Verdict:
    cold, hot = table[table["end"] == "svm"], table[table["end"] == "linear"]

    def ratio(rows: pd.DataFrame, compared: str) -> Verdict:
        worst = _worst(rows, rows["ratio"])
        return statistics.bound(
            worst["ratio"], compared, instances=int(rows["instances"].sum()), required=10_000,
            witness=f"lam = {worst['lam']:g}, replicate {worst['replicate']}",
        )  # fmt: skip

    return statistics.all_of(
        [
            statistics.within(
                statistics.log_log_slopes(hot, "lam", "gap"), "slope of psi − mean z in lam", low=-1.05, high=-0.95
            ),
            statistics.within(
                statistics.log_log_slopes(cold, "lam", "gap"), "slope of max z − psi in lam", low=0.95, high=1.05
            ),
            ratio(cold, "largest max z − psi over lam log K"),
            ratio(hot, "largest psi − mean z over range²/(8 lam)"),
        ]
    )


def _limits_example() -> pd.DataFrame:
    rows = []
    for k in range(5):
        for lam in (0.001, 0.01, 100.0, 1000.0):
            end = "svm" if lam < 1 else "linear"
            gap = (1 + 0.01 * k * math.log10(lam)) * (lam if lam < 1 else 1 / lam)
            rows.append({"replicate": k, "end": end, "lam": lam, "gap": gap, "ratio": 0.9, "instances": 2000})
    return pd.DataFrame(rows)


def _violations(table: pd.DataFrame, loss: str, first: int = 1) -> pd.DataFrame:
    return table[(table["loss"] == loss) & (table["k"] >= first)]


def _judge_order(table: pd.DataFrame) -> Verdict:
    ours = _violations(table, "LDR-KL")
    last = table["k"].max()
    simplex = table[(table["loss"] == "linear limit on a simplex") & table["k"].between(2, last)]
    return statistics.all_of(
        [
            statistics.at_most(
                float(ours["violations"].sum()), "label distributions that LDR-KL ranks wrong", threshold=0.0,
                instances=int(ours.loc[ours["k"] == 1, "instances"].sum()),
            ),
            statistics.identity(ours["gradient"], "gradient of the risk at its minimiser", tolerance=1e-9),
            statistics.at_least(
                _violations(table, "Crammer–Singer")["violations"].sum(), "the same for the hinge", threshold=1.0
            ),
            statistics.at_least(simplex["violations"].sum(), "the same for a linear loss, k ≥ 2", threshold=1.0),
        ]
    )  # fmt: skip


def _order_example() -> pd.DataFrame:
    wrong = {"LDR-KL": 0, "Crammer–Singer": 20, "linear limit on a simplex": 30}
    return pd.DataFrame(
        [
            {"replicate": r, "loss": loss, "k": k, "instances": 200, "violations": w, "gradient": 1e-15}
            for r in range(5) for loss, w in wrong.items() for k in (1, 2, 3)
        ]
    )  # fmt: skip


def _judge_symmetry(table: pd.DataFrame) -> Verdict:
    worst = _worst(table, table["defect"] / table["bound"])
    return statistics.all_of(
        [
            statistics.within(
                statistics.log_log_slopes(table, "lam", "defect"), "slope of the symmetry defect in lam",
                low=-1.15, high=-0.85,
            ),
            statistics.bound(
                worst["defect"] / worst["bound"], "largest defect over K (K + margin)²/(8 lam)",
                instances=int(table["instances"].sum()), required=5000,
                witness=f"lam = {worst['lam']:g}, replicate {worst['replicate']}",
            ),
            statistics.at_least(
                table["raw_defect"].min(), "defect at lam = 1 with scores as they are", threshold=5.0
            ),
        ]
    )  # fmt: skip


def _symmetry_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "lam": lam, "defect": 9 / lam ** (1 + 0.01 * k), "raw_defect": 40.0, "bound": 16 / lam,
             "instances": 300}
            for k in range(5) for lam in (10.0, 30.0, 100.0, 300.0, 1000.0)
        ]
    )  # fmt: skip


def _judge_impossibility(table: pd.DataFrame) -> Verdict:
    simplex, spherical = table[table["loss"] == "simplex"], table[table["loss"] == "spherical"]
    return statistics.all_of(
        [
            statistics.at_least(
                spherical["ranked"].min(), "share that the spherical loss ranks right, worst k", threshold=1.0,
                instances=int(spherical.loc[spherical["k"] == 1, "instances"].sum()),
            ),
            statistics.at_most(
                simplex.loc[simplex["k"] > 1, "ranked"].max(), "share that a linear loss ranks right, k ≥ 2",
                threshold=0.0,
            ),
            statistics.at_least(simplex.loc[simplex["k"] == 1, "ranked"].min(), "the same at k = 1", threshold=1.0),
            statistics.identity(table["defect"], "symmetry defects", tolerance=1e-12),
            statistics.at_most(
                spherical["beaten_by"].max(), "risk at the closed form less the best of random directions",
                threshold=1e-12,
            ),
            statistics.at_least(spherical["cosine"].min(), "cosine of descent and closed form", threshold=1 - 1e-6),
        ]
    )  # fmt: skip


def _impossibility_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": r, "loss": loss, "k": k, "ranked": float(loss == "spherical" or k == 1), "defect": 1e-15,
             "beaten_by": -1e-6, "cosine": 1.0, "instances": 100}
            for r in range(5) for loss in ("simplex", "spherical") for k in (1, 2, 3)
        ]
    )  # fmt: skip


def _judge_temperature(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.identity(
                [*table["slope_error"], *table["curvature_error"]], "errors of the two derivatives", tolerance=1e-6
            ),
            statistics.identity(table["outside"], "temperatures outside their interval, by", tolerance=1e-9),
            statistics.at_most(
                float(table["several_where_unique"].sum()), "several maxima although the strength is sufficient",
                threshold=0.0, instances=int(table["unique"].sum()),
            ),
            statistics.identity(
                table["iteration_error"], "end of the one-step iteration less the maximiser", tolerance=1e-6
            ),
            statistics.identity(table["torch_shortfall"], "value at the batched solver's temperature", tolerance=1e-8),
            statistics.at_least(
                float(table["several_elsewhere"].sum()), "several maxima where it is not", threshold=1.0
            ),
        ]
    )  # fmt: skip


def _temperature_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "alpha": alpha, "instances": 60, "unique": 30, "several_where_unique": 0,
             "several_elsewhere": 5, "outside": 0.0, "iteration_error": 1e-12, "torch_shortfall": 1e-12,
             "slope_error": 1e-11, "curvature_error": 1e-10}
            for k in range(5) for alpha in (1.01, 2.0)
        ]
    )  # fmt: skip


def _judge_noise_bound(table: pd.DataFrame) -> Verdict:
    worst = _worst(table, table["ratio"])
    return statistics.all_of(
        [
            statistics.bound(
                worst["ratio"], "largest clean excess of a noisy minimiser over its bound",
                instances=int(table["instances"].sum()), required=5000,
                witness=f"lam = {worst['lam']:g}, eps = {worst['eps']:g}, replicate {worst['replicate']}",
            ),
            statistics.at_least(
                table["ratio_other_defect"].max(), "the same with the defect of the hottest loss for all",
                threshold=1.01,
            ),
        ]
    )  # fmt: skip


def _noise_bound_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "lam": lam, "eps": 0.4, "instances": 1000, "ratio": 0.5, "ratio_other_defect": 20.0,
             "excess": 0.1, "bound": 1.0}
            for k in range(5) for lam in (1.0, 100.0)
        ]
    )  # fmt: skip


def _gain(table: pd.DataFrame, noise: str, first: str, second: str, column: str = "top1") -> np.ndarray:
    """Paired difference of tuned losses under the conditions whose name starts with ``noise``."""
    rows = tuned(table)
    return statistics.paired(rows[rows["noise"].str.startswith(noise)], column, "loss", first, second)


def _judge_gain(noise: str, second: str, above: float, first: str = "LDR-KL"):
    def judge(table: pd.DataFrame) -> Verdict:
        gain = _gain(table, noise, first, second)
        return statistics.trend(gain, f"accuracy of {first} less {second}, {noise}", above=above)

    return judge


def average_ranks(table: pd.DataFrame) -> pd.DataFrame:
    """Rank of each of the fifteen losses (1 is best), averaged over conditions: a row per replicate and loss."""
    rows = tuned(table)
    rows = rows[rows["loss"].isin(FIFTEEN)]
    ranks = rows.groupby(["replicate", "noise"])["top1"].rank(ascending=False)
    return rows.assign(rank=ranks).groupby(["replicate", "loss"])["rank"].mean().reset_index()


def _judge_rank(table: pd.DataFrame) -> Verdict:
    ranks = average_ranks(table)
    means = ranks.groupby("loss")["rank"].mean()
    ours = str(means[["LDR-KL", "ALDR-KL"]].idxmin())
    rival = str(means.drop(["LDR-KL", "ALDR-KL"]).idxmin())
    lead = statistics.paired(ranks, "rank", "loss", ours, rival)
    return statistics.trend(lead, f"average rank of {ours} less that of {rival}", below=0.0)


def _judge_soft(loss: str) -> Callable[[pd.DataFrame], Verdict]:
    def judge(table: pd.DataFrame) -> Verdict:
        rows = tuned(table)
        return statistics.all_of(
            [
                statistics.trend(
                    statistics.paired(rows, f"top{k}", "loss", loss, other), f"top-{k} accuracy of {loss} less {other}",
                    above=0.0,
                )
                for other in ("MAE", "linear limit") for k in (2, 3)
            ]
        )  # fmt: skip

    return judge


def _judge_adaptivity(table: pd.DataFrame) -> Verdict:
    rows = tuned(table)
    rows = rows[(rows["loss"] == "ALDR-KL, lam0 = 1") & (rows["noise"] != "clean")]
    return statistics.all_of(
        [
            statistics.trend(
                each.groupby("replicate")["temperature_gap"].mean(),
                f"temperature of corrupted less clean examples, {noise}", above=0.0,
            )
            for noise, each in rows.groupby("noise", sort=False)
        ]
    )  # fmt: skip


def _digits_example() -> pd.DataFrame:
    noisy = {"cross-entropy": 0.8, "LDR-KL": 0.95, "ALDR-KL": 0.95, "LDR-KL, raw scores": 0.82}
    rows = []
    for k in range(5):
        for noise in ("clean", "uniform 0.6", "shifted 0.3"):
            for number, loss in enumerate([*FIFTEEN, "LDR-KL, raw scores", "ALDR-KL, lam0 = 1"]):
                for rate in (0.1, 0.3):
                    accuracy = 0.97 + 0.004 * (loss in ("LDR-KL", "ALDR-KL"))
                    accuracy = accuracy if noise == "clean" else noisy.get(loss, 0.85)
                    accuracy += 0.001 * ((3 * k + number) % 4) - (rate == 0.3) * 0.1
                    gap = 0.03 + 0.001 * k if loss == "ALDR-KL, lam0 = 1" and noise != "clean" else 0.0
                    rows.append(
                        {"replicate": k, "noise": noise, "loss": loss, "value": 1.0, "learning_rate": rate,
                         "held_out": accuracy, "top1": accuracy, "top2": accuracy, "top3": accuracy,
                         "temperature_gap": gap}
                    )  # fmt: skip
    return pd.DataFrame(rows)


def _soft_example() -> pd.DataFrame:
    accuracy = {"cross-entropy": 0.7, "MAE": 0.6, "linear limit": 0.6, "LDR-KL, lam = 1": 0.72, "LDR-KL": 0.7}
    return pd.DataFrame(
        [
            {"replicate": k, "noise": "soft", "loss": loss, "value": 1.0, "learning_rate": 0.1, "held_out": a,
             "top1": a, "top2": a + 0.002 * ((2 * k + len(loss)) % 3), "top3": a + 0.1 + 0.002 * ((k + len(loss)) % 3)}
            for k in range(5) for loss, a in accuracy.items()
        ]
    )  # fmt: skip


def _judge_speed(table: pd.DataFrame) -> Verdict:
    seconds = table.pivot_table(index=["replicate", "round"], columns="side", values="seconds")
    ratio = (seconds["solver"] / seconds["closed form"]).median()
    return statistics.at_least(
        ratio, "seconds of the solver (scaled up) over those of the closed form", threshold=1000.0,
        instances=int(table["instances"].max()),
    )  # fmt: skip


def _speed_example() -> pd.DataFrame:
    seconds = {"closed form": 0.005, "solver": 30.0}
    return pd.DataFrame(
        [
            {"replicate": 0, "round": r, "side": s, "seconds": t, "instances": 10_000}
            for r in range(3) for s, t in seconds.items()
        ]
    )  # fmt: skip


def _ranked_by_nobody(table: pd.DataFrame) -> pd.DataFrame:
    """The spherical loss ranks as the linear one does, and the other way round."""
    return exchange(table, "loss", "simplex", "spherical")


def _bad_ranks(table: pd.DataFrame) -> pd.DataFrame:
    """LDR and ALDR exchange their accuracies with the two worst losses."""
    means = average_ranks(table).groupby("loss")["rank"].mean().sort_values()
    worst = [loss for loss in means.index if loss not in ("LDR-KL", "ALDR-KL")][-2:]
    return exchange(exchange(table, "loss", "LDR-KL", worst[0]), "loss", "ALDR-KL", worst[1])


CLAIMS = [
    Claim(
        "C1a", "closed_forms", "identity", "definition of LDR and LDR-KL losses",
        "The worst label distribution has a closed form (KL, Euclidean, none), and LDR-KL at lam = 1 is cross-entropy "
        "less log K.",
        _judge_closed_forms, _closed_forms_example, columns_exchanged("error", "other_error"),
    ),
    Claim(
        "C1b", "limits", "limit", "limits of LDR-KL; rates derived here",
        "As lam falls LDR-KL reaches the hinge within lam log K, as it grows the mean margin within range²/(8 lam).",
        _judge_limits, _limits_example,
        lambda t: t.assign(end=t["end"].replace({"svm": "linear", "linear": "svm"})),
    ),
    Claim(
        "C2", "order", "bound", "top-k consistency of LDR-KL",
        "Risk minimisers of LDR-KL keep the order of label probabilities; those of the hinge and of a linear loss "
        "do not.",
        _judge_order, _order_example, lambda t: exchange(t, "loss", "LDR-KL", "Crammer–Singer"),
    ),
    Claim(
        "C3", "symmetry", "rate", "symmetry of the linear limit; rate derived here",
        "On normalised scores the sum of LDR-KL over labels is constant up to O(1/lam).",
        _judge_symmetry, _symmetry_example, lambda t: t.assign(defect=t["defect"] * np.sqrt(t["lam"])),
    ),
    Claim(
        "C4", "impossibility", "identity", "conflict of symmetry and top-k consistency, with its hypothesis",
        "Symmetric losses on a simplex rank nothing below the top; off it a symmetric loss ranks everything.",
        _judge_impossibility, _impossibility_example, _ranked_by_nobody,
        paper_value="no symmetric top-1 consistent loss is top-k consistent for all k",
    ),
    Claim(
        "C5", "temperature", "identity", "ALDR-KL and its one-step update",
        "Adaptive temperatures stay in [lam0 (1 − 1/alpha), lam0], are unique if alpha log K/lam0 exceeds Var/lam³, "
        "and the one-step update then converges to them.",
        _judge_temperature, _temperature_example,
        columns_exchanged("several_where_unique", "several_elsewhere"),
    ),
    Claim(
        "C6", "noise_bound", "bound", "uniform label noise; derived here",
        "A minimiser of the noisy risk has clean excess of at most 2 eps delta/((K − 1)(1 − eps K/(K − 1))).",
        _judge_noise_bound, _noise_bound_example, columns_exchanged("ratio", "ratio_other_defect"),
    ),
    Claim(
        "C7a", "digits", "trend", "experiments",
        "With 60 % of labels drawn at random, LDR-KL (lam = 10, normalised) is 3 points better than cross-entropy.",
        _judge_gain("uniform 0.6", "cross-entropy", 0.03), _digits_example,
        lambda t: exchange(t, "loss", "LDR-KL", "cross-entropy"),
        paper_value="better than cross-entropy on all seven data sets",
    ),
    Claim(
        "C7b", "digits", "trend", "experiments",
        "With 30 % of labels shifted to the next class, LDR-KL is 3 points better than cross-entropy.",
        _judge_gain("shifted 0.3", "cross-entropy", 0.03), _digits_example,
        lambda t: exchange(t, "loss", "LDR-KL", "cross-entropy"),
    ),
    Claim(
        "C7c", "digits", "trend", "experiments",
        "On clean labels LDR-KL and cross-entropy are within one point.",
        lambda t: statistics.within(
            _gain(t, "clean", "LDR-KL", "cross-entropy"), "accuracy of LDR-KL less cross-entropy, clean",
            low=-0.01, high=0.01,
        ),
        _digits_example, shifted("top1", "loss", ("LDR-KL",), -0.1),
    ),
    Claim(
        "C7d", "digits", "trend", "experiments",
        "LDR-KL or ALDR-KL has the best average rank of fifteen losses over clean and noisy labels.",
        _judge_rank, _digits_example, _bad_ranks, paper_value="ALDR-KL first, LDR-KL second of 15",
    ),
    Claim(
        "C7e", "digits", "trend", "experiments; the role of normalisation, ours",
        "Under 60 % random labels the robustness of lam = 10 comes with normalised scores: raw scores are worse.",
        _judge_gain("uniform 0.6", "LDR-KL, raw scores", 0.0), _digits_example,
        lambda t: exchange(t, "loss", "LDR-KL", "LDR-KL, raw scores"),
    ),
    Claim(
        "C8a", "soft_labels", "trend", "top-k consistency in practice",
        "With three plausible labels LDR-KL at lam = 1 has better top-2 and top-3 accuracy than symmetric losses.",
        _judge_soft("LDR-KL, lam = 1"), _soft_example, lambda t: exchange(t, "loss", "LDR-KL, lam = 1", "MAE"),
    ),
    Claim(
        "C8b", "soft_labels", "trend", "top-k consistency in practice",
        "So does LDR-KL at lam = 10.",
        _judge_soft("LDR-KL"), _soft_example, lambda t: exchange(t, "loss", "LDR-KL", "MAE"),
    ),
    Claim(
        "C9", "digits", "trend", "adaptivity of ALDR-KL",
        "At lam0 = 1 adaptive temperatures of corrupted examples end above those of clean ones.",
        _judge_adaptivity, _digits_example, lambda t: t.assign(temperature_gap=-t["temperature_gap"]),
    ),
    Claim(
        "C10", "speed", "cost", "use of the closed form",
        "On 10⁴ instances the closed form is a thousand times faster than a convex solver.",
        _judge_speed, _speed_example, lambda t: exchange(t, "side", "solver", "closed form"),
    ),
]  # fmt: skip
