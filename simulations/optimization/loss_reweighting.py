"""Weights from current losses: what they gain in a bound, on a regression and on a tiny language model.

*duality* solves the adversary's problem behind the weights anew, primal and dual. *weights* puts random batches, and
batches made to be worst, to the bounds of the weights; a temperature below 1/log 2 must break the cap 2/M there.
*convergence* descends consistent least squares and checks the contraction of every step, both bounds, and the signs of
their correction; weights that favour easy samples must lose what the others gain. *limit* follows trajectories as r
grows. *regression* is the paper's toy: four fifths of the samples vary in four of twenty coordinates; all strategies,
temperatures, step sizes and noise levels of a replicate run in lockstep on the same batches. Beside the common step
size, each strategy gets as many settings, chosen by held-out samples; weights that are shuffled over the batch show
what is due to their place. *language* trains tiny transformers on real English, four fifths of whose sequences come
from a few passages repeated over and over: 80 % redundancy in text, as in the regression. Loss on held-out varied text
decides; every strategy, and again shuffled weights, has the same number of settings of learning rate and temperature,
chosen by the mean over replicates on other held-out text. *cost* times the weights against a training step.
"""

import importlib.util
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import torch

from neural.optimization.loss_reweighting import ReweightedLoss, loss_weights, sequence_losses
from neural.tiny_lm.model import TinyGPT
from simulations import Claim, Experiment, Paper, Replicate, Verdict, statistics
from simulations.controls import exchange, shifted
from simulations.costs import alternating_seconds
from simulations.optimization.redundant_text import NO_BURNIN, SHUFFLED, Language, simulate_language
from theory.fuzz import bound_ratio
from theory.optimization import loss_reweighting as theory
from theory.optimization.loss_weights import Strategy, weights_of_rows

PAPER = Paper(
    title="Dynamic Loss-Based Sample Reweighting for Improved Large Language Model Pretraining",
    authors="Daouda Sow, Herbert Woisetschläger, Saikiran Bulusu, Shiqiang Wang, Hans-Arno Jacobsen, Yingbin Liang",
    venue="ICLR 2025",
    arxiv="2502.06733",
)
DEVIATIONS = [
    "The authors' helper returns the normalised loss for the strategy called uniform, which is not uniform; ours gives "
    "equal weights.",
    "The convergence bound with the factor 1 − eta L is loose by 2 at eta = 1/(2L): co-coercivity removes the factor, "
    "and Huber's function attains what is left.",
    "A cap of 2/M on the weights is guaranteed for every batch from r = 1/log 2 = 1.44 on; the default r = 1 only "
    "guarantees e/M.",
    "Four fifths of the language model's sequences repeat a few passages, so that redundancy is known; the paper's "
    "corpora are redundant by themselves. Models have 15,000 parameters, not billions.",
]
REWEIGHTED: tuple[Strategy, ...] = ("linupper", "quadratic", "extremes", "upper")
DIVERGED = 1e6
"""What counts as the loss of a run that diverged."""


# duality ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Duality:
    """Random losses for every batch size and temperature."""

    instances: int = 6
    sizes: tuple[int, ...] = (2, 5, 20)
    temperatures: tuple[float, ...] = (0.3, 1.0, 3.0)


def simulate_duality(settings: Duality, seed: int, device: str) -> pd.DataFrame:
    """Errors of the closed form against two solvers, at the right temperature and one 10 % off, and of both rooms."""
    rng, rows = np.random.default_rng(seed), []
    solvers = ("dual", "cvxpy") if importlib.util.find_spec("cvxpy") else ("dual",)
    for size in settings.sizes:
        for r in settings.temperatures:
            for _ in range(settings.instances):
                f = rng.normal(size=size)
                closed, other = (_softmax(f / t) for t in (r, 1.1 * r))
                for solver in solvers:
                    solved, value = theory.kl_dro_solution(f, r, solver)
                    rows.append(
                        {
                            "size": size, "r": r, "compared": solver, "weights": float(np.abs(solved - closed).max()),
                            "value": abs(value - theory.kl_dro_value(f, r)),
                            "other_weights": float(np.abs(solved - other).max()),
                        }
                    )  # fmt: skip
                gaps = {
                    "upper is KL-DRO at r · range": theory.sample_weights(f, "upper", r) - _softmax(f / (r * np.ptp(f)))
                }
                for strategy in theory.STRATEGIES:
                    ours = loss_weights(torch.tensor(f, device=device), strategy, r).cpu().numpy()
                    gaps["both implementations"] = np.maximum(
                        gaps.get("both implementations", np.zeros(size)),
                        np.abs(ours - theory.sample_weights(f, strategy, r)),
                    )
                rows += [
                    {"size": size, "r": r, "compared": name, "weights": float(np.abs(gap).max()), "value": 0.0,
                     "other_weights": np.inf}
                    for name, gap in gaps.items()
                ]  # fmt: skip
    return pd.DataFrame(rows)


def _softmax(scores: np.ndarray) -> np.ndarray:
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


# weights ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Weights:
    """Random batches of at most ``largest`` samples, temperatures between 0.1 and 10."""

    instances: int = 400
    largest: int = 64


def simulate_weights(settings: Weights, seed: int, device: str) -> pd.DataFrame:
    """Largest errors of what must not change weights, worst ratios to their bounds, and the cap 2/M, per strategy."""
    rng = np.random.default_rng(seed)
    batches = [_batch(rng, settings.largest, number % 3) for number in range(settings.instances)]
    return pd.DataFrame([{"strategy": s, **_weight_row(rng, batches, s)} for s in REWEIGHTED])


def _batch(rng: np.random.Generator, largest: int, kind: int) -> tuple[np.ndarray, float]:
    """Any losses, two values only, or one outlier: the last attains the bounds of ``linupper``."""
    size = int(rng.integers(1, largest + 1))
    losses = (rng.exponential(size=size), rng.integers(0, 2, size).astype(float), np.eye(size)[0])[kind]
    return losses, float(10.0 ** rng.uniform(-1, 1))


def _weight_row(
    rng: np.random.Generator, batches: list[tuple[np.ndarray, float]], strategy: Strategy
) -> dict[str, float]:
    names = ("sum", "affine", "permuted", "largest", "least", "range", "capped", "uncapped")
    worst: dict[str, float] = dict.fromkeys(names, 0.0)
    for losses, r in batches:
        size = len(losses)
        w = theory.sample_weights(losses, strategy, r)
        scaled = 10.0 ** rng.uniform(-3, 3) * (losses + rng.normal())
        order = rng.permutation(size)
        low, high = theory.weight_bounds(size, r)
        capped, uncapped = (theory.sample_weights(losses, strategy, t).max() for t in (max(r, 1 / np.log(2)), 1.0))
        found = {
            "sum": abs(w.sum() - 1) + max(-w.min(), 0.0),
            "affine": np.abs(theory.sample_weights(scaled, strategy, r) - w).max(),
            "permuted": np.abs(theory.sample_weights(losses[order], strategy, r) - w[order]).max(),
            "largest": w.max() / high, "least": low / w.min(), "range": w.max() / w.min() / np.exp(1 / r),
            "capped": capped * size / 2 if size > 1 else 0.0, "uncapped": uncapped * size / 2 if size > 1 else 0.0,
        }  # fmt: skip
        worst = {name: max(value, float(found[name])) for name, value in worst.items()}
    return {**worst, "instances": len(batches)}


# convergence ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Convergence:
    """Consistent least squares with rows of unit norm, so that L = 1; descent on all samples."""

    samples: int = 40
    dim: int = 15
    steps: int = 300
    temperatures: tuple[float, ...] = (0.4, 1.0, 2.0)


def simulate_convergence(settings: Convergence, seed: int, device: str) -> Replicate:
    """Worst ratios of the contraction and of the bounds, and the signs of delta, per strategy, temperature and step."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(settings.samples, settings.dim))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = X @ rng.normal(size=settings.dim)
    runs = [
        (strategy, r, eta) for strategy in (*theory.STRATEGIES, "easy first") for r in settings.temperatures
        for eta in (0.5, 1.0)
    ]  # fmt: skip
    names, rs, etas = (np.array(column) for column in zip(*runs, strict=True))
    path = theory.lockstep_sgd(
        X, np.tile(y, (len(runs), 1)), lambda losses, _: _weights_with_easy_first(losses, names, rs), etas,
        settings.steps,
    )  # fmt: skip
    squared = path["dist"] ** 2
    rows = []
    for k, (strategy, r, eta) in enumerate(runs):
        fall, weighted, delta = -np.diff(squared[:, k]), path["weighted"][:, k], path["delta"][:, k]
        average = float(path["loss"][:, k].mean())
        sharp = theory.sharp_bound(squared[0, k], eta, 1.0, delta)
        plain = theory.bound(squared[0, k], eta, 1.0, delta) if eta < 1 else np.inf
        factors = {"contraction": 1 - eta, "sharp_contraction": min(1.0, 2 - eta)}
        rows.append(
            {
                "strategy": strategy, "r": r, "eta": eta, "steps": settings.steps, "average_gap": average,
                "bound": plain, "sharp_bound": sharp,
                **{name: float(bound_ratio(2 * eta * c * weighted, fall).max()) for name, c in factors.items()},
                "bound_ratio": average / plain, "sharp_ratio": average / sharp, "least_delta": float(delta.min()),
                "largest_delta": float(delta.max()), "mean_delta": float(delta.mean()),
                "negative_steps": int((delta < -1e-15).sum()), "tight_error": 0.0, "tightened": 0.0,
            }
        )  # fmt: skip
    D0_sq, eta, gaps = theory.tight_instance(settings.steps)
    attained = float(gaps.mean()) / theory.sharp_bound(D0_sq, eta, 1.0, np.zeros(settings.steps))
    table = pd.DataFrame(rows).assign(tight_error=abs(attained - 1), tightened=1.01 * attained)
    shown = [k for k, run in enumerate(runs) if run[1:] == (1.0, 0.5)]
    return Replicate(table, {"delta": path["delta"][:, shown].T})


def _weights_with_easy_first(losses: np.ndarray, names: np.ndarray, rs: np.ndarray) -> np.ndarray:
    """``easy first`` is ``upper`` of the negative losses: it decreases in the loss."""
    reverse = names == "easy first"
    return weights_of_rows(np.where(reverse[:, None], -losses, losses), np.where(reverse, "upper", names), rs)


# limit ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limit:
    """The regression of the toy, on batches; temperatures towards equal weights."""

    temperatures: tuple[float, ...] = (1e2, 1e3, 1e4, 1e5, 1e6)
    steps: int = 200
    batch: int = 64
    learning_rate: float = 0.05


def simulate_limit(settings: Limit, seed: int, device: str) -> pd.DataFrame:
    """Largest distance of any parameter from the uniform trajectory, at any step, per strategy and temperature."""
    rng = np.random.default_rng(seed)
    X, y, _ = _redundant_regression(rng, 1000, 20, 4, 0.8)
    runs = [("uniform", 1.0), *((s, r) for s in REWEIGHTED for r in settings.temperatures)]
    names, rs = (np.array(column) for column in zip(*runs, strict=True))
    path = theory.lockstep_sgd(
        X, np.tile(y, (len(runs), 1)), lambda losses, _: weights_of_rows(losses, names, rs),
        np.full(len(runs), settings.learning_rate), settings.steps, settings.batch, rng,
    )  # fmt: skip
    distance = np.abs(path["theta"] - path["theta"][:, :1]).max(axis=(0, 2))
    return pd.DataFrame(
        [{"strategy": s, "r": r, "distance": d} for (s, r), d in zip(runs[1:], distance[1:], strict=True)]
    )


# regression -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Regression:
    """The toy: ``redundant`` of the samples vary in ``few`` of ``dim`` coordinates.

    ``learning_rate``, one of ``learning_rates``, and r = 1 are the common setting. For tuning each reweighting has
    ``temperatures`` times ``learning_rates`` settings, equal weights as many learning rates over the same range.
    """

    samples: int = 4000
    dim: int = 20
    few: int = 4
    redundant: float = 0.8
    batch: int = 64
    steps: int = 400
    noises: tuple[float, ...] = (0.0, 1.0)
    learning_rate: float = 0.05
    learning_rates: tuple[float, ...] = (0.0125, 0.05, 0.2, 0.4, 0.8, 1.6, 3.2)
    temperatures: tuple[float, ...] = (0.1, 0.4, 1.0, 2.5)
    held_out: int = 400


def simulate_regression(settings: Regression, seed: int, device: str) -> Replicate:
    """Steps to 5 % of the first test loss, early and final loss, for every setting of every strategy.

    The test loss is that of the population, without noise, which is known in closed form. Settings are to be chosen by
    the steps, or the final loss, on held-out samples. A run that never gets there counts as one step more than all.
    """
    rng = np.random.default_rng(seed)
    shape = settings.dim, settings.few, settings.redundant
    X, y, theta = _redundant_regression(rng, settings.samples + settings.held_out, *shape)
    runs = _regression_runs(settings)
    noises, names, rs, etas = (np.array(column) for column in zip(*runs, strict=True))
    noisy = y + noises[:, None] * rng.normal(size=len(y))
    shuffled = names == SHUFFLED
    strategies = np.where(shuffled, "linupper", names)

    def weighting(losses: np.ndarray, own: np.random.Generator) -> np.ndarray:
        w = weights_of_rows(losses, strategies, rs)
        w[shuffled] = w[shuffled][:, own.permutation(losses.shape[1])]
        return w

    train, held = slice(0, settings.samples), slice(settings.samples, None)
    # Large steps may diverge; such runs never get there.
    with np.errstate(all="ignore"):
        path = theory.lockstep_sgd(X[train], noisy[:, train], weighting, etas, settings.steps, settings.batch, rng)
        variances = np.where(np.arange(settings.dim) < settings.few, 1.0, 1 - settings.redundant)
        test = _capped((path["theta"] - theta) ** 2 @ variances / 2)
        valid = _capped(_mean_loss(path["theta"], X[held], noisy[:, held]))
    tail = slice(-(settings.steps // 10 + 1), None)
    rows = [
        {
            "noise": noise, "strategy": strategy, "r": r, "learning_rate": eta,
            "steps_to_target": _first_below(test[:, k], 0.05 * test[0, k]),
            "held_out_steps": _first_below(valid[:, k] - noise**2 / 2, 0.05 * (valid[0, k] - noise**2 / 2)),
            "early": float(test[settings.steps // 8, k]), "final": float(test[tail, k].mean()),
            "held_out_final": float(valid[tail, k].mean()),
        }
        for k, (noise, strategy, r, eta) in enumerate(runs)
    ]  # fmt: skip
    common = [k for k, run in enumerate(runs) if run[0] == 0 and run[2] == 1 and run[3] == settings.learning_rate]
    return Replicate(pd.DataFrame(rows), {"test": test[:, common].T, "delta": path["delta"][:, common].T})


def _regression_runs(settings: Regression) -> list[tuple[float, str, float, float]]:
    """(noise, strategy, r, learning rate): as many settings for every strategy."""
    runs = [
        (s, r, eta) for s in (*REWEIGHTED, SHUFFLED) for r in settings.temperatures for eta in settings.learning_rates
    ]  # fmt: skip
    rates, count = settings.learning_rates, len(settings.temperatures) * len(settings.learning_rates)
    finer = [*rates, *np.geomspace(rates[0], rates[-1], count - len(rates) + 2)[1:-1]]
    runs += [("uniform", 1.0, float(eta)) for eta in finer]
    return [(noise, *run) for noise in settings.noises for run in runs]


def _capped(losses: np.ndarray) -> np.ndarray:
    return np.minimum(np.nan_to_num(losses, nan=DIVERGED, posinf=DIVERGED), DIVERGED)


def _mean_loss(theta: np.ndarray, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Half the mean squared residual of thetas (steps, models, dim), by the second moments of the sample."""
    quadratic = np.einsum("tkd,tkd->tk", theta @ (X.T @ X / len(X)), theta)
    return (quadratic - 2 * np.einsum("tkd,kd->tk", theta, y @ X / len(X)) + (y**2).mean(axis=1)) / 2


def _redundant_regression(
    rng: np.random.Generator, samples: int, dim: int, few: int, redundant: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    X, theta = rng.normal(size=(samples, dim)), rng.normal(size=dim)
    X[rng.random(samples) < redundant, few:] = 0
    return X, X @ theta, theta


def _first_below(course: np.ndarray, target: float) -> int:
    """The first place at which the course is below the target, or its length."""
    below = course < target
    return int(below.argmax()) if below.any() else len(course)


# cost -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """A transformer's training step, and how often each side is timed."""

    width: int = 64
    layers: int = 2
    length: int = 64
    batch: int = 32
    rounds: int = 9
    calls: int = 20
    loop_batch: int = 8
    loop_rounds: int = 3


def simulate_cost(settings: Cost, seed: int, device: str) -> pd.DataFrame:
    """Seconds of a training step, of reweighted and plain mean, and of the gradient by one or by M backward passes."""
    generator = torch.Generator().manual_seed(seed % 2**63)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        model = TinyGPT(64, settings.width, settings.layers, 4, settings.length).to(device)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    ids = torch.randint(0, 64, (settings.batch, settings.length), generator=generator).to(device)
    few = ids[: settings.loop_batch]
    reweight = ReweightedLoss("linupper", r=1.0)
    losses = sequence_losses(model(ids), ids)[0].detach().requires_grad_()

    def finished() -> None:
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)

    def step() -> None:
        optimizer.zero_grad()
        sequence_losses(model(ids), ids)[0].mean().backward()
        optimizer.step()
        finished()

    def reweighting() -> None:
        for _ in range(settings.calls):
            torch.autograd.grad(reweight(losses), losses)
        finished()

    def plain_mean() -> None:
        for _ in range(settings.calls):
            torch.autograd.grad(losses.mean(), losses)
        finished()

    def one_pass() -> None:
        torch.autograd.grad(reweight(sequence_losses(model(few), few)[0]), parameters)
        finished()

    def passes() -> None:
        each = sequence_losses(model(few), few)[0]
        weights = loss_weights(each)
        total = [torch.zeros_like(p) for p in parameters]
        for w, loss in zip(weights, each, strict=True):
            for t, g in zip(total, torch.autograd.grad(loss, parameters, retain_graph=True), strict=True):
                t.add_(g * w)
        finished()

    sides = {"step": step, "reweighting": reweighting, "plain mean": plain_mean}
    tables = [
        alternating_seconds(sides, rounds=settings.rounds, warmup=2),
        alternating_seconds({"one pass": one_pass, "M passes": passes}, rounds=settings.loop_rounds),
    ]
    table = pd.concat(tables, ignore_index=True).assign(samples=settings.loop_batch)
    calls = np.where(table["side"].isin(["reweighting", "plain mean"]), settings.calls, 1)
    return table.assign(seconds=table["seconds"] / calls)


EXPERIMENTS = [
    Experiment(
        "duality", simulate_duality, quick=Duality(), full=Duality(instances=100), tiny=Duality(1, (3,), (1.0,)),
        replicates=1,
    ),
    Experiment("weights", simulate_weights, quick=Weights(200), full=Weights(20_000), tiny=Weights(12)),
    Experiment(
        "convergence", simulate_convergence, quick=Convergence(), full=Convergence(steps=3000),
        tiny=Convergence(steps=20),
    ),
    Experiment("limit", simulate_limit, quick=Limit(), full=Limit(steps=400), tiny=Limit(steps=5)),
    Experiment(
        "regression", simulate_regression, quick=Regression(), full=Regression(), tiny=Regression(500, steps=20),
        replicates=10,
    ),
    Experiment(
        "language", simulate_language, quick=Language(),
        full=Language(
            strategies=(*REWEIGHTED, SHUFFLED, NO_BURNIN), temperatures=(0.1, 0.4, 1.0, 2.0),
            learning_rates=(0.001, 0.004, 0.016), widths=(64, 128), layers=4, heads=4, vocabulary=64, length=64,
            batch=64, steps=1500, period=48, held_out=512, evaluations=30,
        ),
        tiny=Language(steps=2, learning_rates=(0.01, 0.03), temperatures=(0.4, 1.0), held_out=8, evaluations=2),
    ),
    Experiment(
        "cost", simulate_cost, quick=Cost(), full=Cost(width=128, layers=4), tiny=Cost(16, 1, 8, 4, 2, 2, 3, 1),
        replicates=1,
    ),
]  # fmt: skip


# claims -----------------------------------------------------------------------------------------


def _judge_duality(table: pd.DataFrame) -> Verdict:
    solved = table[table["compared"].isin(["cvxpy", "dual"])]
    rest = table[~table["compared"].isin(["cvxpy", "dual"])]
    other = solved.groupby(["size", "r"])["other_weights"].max()
    return statistics.all_of(
        [
            statistics.identity(solved["weights"], "largest error of a weight against the solvers", tolerance=1e-4),
            statistics.identity(solved["value"], "largest error of the value", tolerance=1e-8),
            statistics.identity(
                rest["weights"], "errors of upper as KL-DRO and between implementations", tolerance=1e-12
            ),
            statistics.at_least(
                other.min(), "least over sizes and r of the error at a temperature 10 % too high", threshold=2e-4
            ),
        ]
    )


def _duality_example() -> pd.DataFrame:
    names = ("cvxpy", "dual", "upper is KL-DRO at r · range", "both implementations")
    return pd.DataFrame(
        [
            {"replicate": 0, "size": 5, "r": 1.0, "compared": name, "weights": 1e-13, "value": 1e-12,
             "other_weights": 0.02}
            for name in names
        ]
    )  # fmt: skip


def _judge_weights(table: pd.DataFrame) -> Verdict:
    verdicts = [
        statistics.identity(
            [*table["sum"], *table["affine"], *table["permuted"]],
            "deviations from a distribution, from invariance and from equivariance", tolerance=1e-9,
        )
    ]  # fmt: skip
    for column, compared in (
        ("range", "largest ratio of two weights over e^(1/r)"),
        ("largest", "largest weight over its bound"),
        ("least", "least weight's bound over the weight"),
    ):
        verdicts.append(_weight_bound(table, column, compared))
    attained = table[table["strategy"] == "linupper"]["largest"].min()
    return statistics.all_of(
        [*verdicts, statistics.at_least(attained, "LinUpper's largest weight over the bound", threshold=1 - 1e-9)]
    )


def _weight_bound(table: pd.DataFrame, column: str, compared: str) -> Verdict:
    worst = table.iloc[int(table[column].to_numpy().argmax())]
    return statistics.bound(
        worst[column], compared, instances=int(table["instances"].sum()), required=1000,
        witness=f"{worst['strategy']}, replicate {worst['replicate']}",
    )  # fmt: skip


def _judge_cap(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            _weight_bound(table, "capped", "largest M w / 2 at r of 1/log 2 or more"),
            statistics.at_least(
                table.loc[table["strategy"] == "linupper", "uncapped"].max(), "the same at r = 1, LinUpper",
                threshold=1.0,
            ),
        ]
    )  # fmt: skip


def _weights_example() -> pd.DataFrame:
    row = {
        "sum": 1e-16, "affine": 1e-15, "permuted": 1e-16, "largest": 1.0, "least": 1.0, "range": 1.0, "capped": 0.98,
        "uncapped": 20.0, "instances": 400,
    }  # fmt: skip
    return pd.DataFrame([{"replicate": k, "strategy": s, **row} for k in range(5) for s in REWEIGHTED])


def _judge_convergence(table: pd.DataFrame) -> Verdict:
    plain = table[(table["eta"] < 1) & (table["strategy"] != "easy first")]
    verdicts = []
    for column, compared in (
        ("bound_ratio", "average gap over D²/(2 eta (1 − eta L) T) − mean delta"),
        ("contraction", "2 eta (1 − eta L) sum w g over the fall of D², worst step"),
    ):
        worst = plain.iloc[int(plain[column].to_numpy().argmax())]
        verdicts.append(
            statistics.bound(
                worst[column], compared, instances=int(plain["steps"].sum()), required=1000,
                witness=f"{worst['strategy']}, r = {worst['r']:g}, replicate {worst['replicate']}",
            )
        )  # fmt: skip
    return statistics.all_of(verdicts)


def _judge_sharp(table: pd.DataFrame) -> Verdict:
    worst = table.iloc[int(table[["sharp_ratio", "sharp_contraction"]].max(axis=1).to_numpy().argmax())]
    return statistics.all_of(
        [
            statistics.bound(
                worst[["sharp_ratio", "sharp_contraction"]].max(),
                "average gap, or a step's fall, over the bound without the factor 1 − eta L",
                instances=int(table["steps"].sum()), required=1000,
                witness=f"{worst['strategy']}, r = {worst['r']:g}, eta = {worst['eta']:g}",
            ),
            statistics.identity(table["tight_error"], "Huber's function from equality", tolerance=1e-12),
            statistics.at_least(
                table["tightened"].min(), "its ratio to a bound that is 1 % smaller", threshold=1 + 1e-9
            ),
        ]
    )  # fmt: skip


def _judge_signs(table: pd.DataFrame) -> Verdict:
    growing = table[table["strategy"].isin(["linupper", "upper"])]
    falling = table[table["strategy"] == "easy first"]
    rounding = 1e-12
    return statistics.all_of(
        [
            statistics.at_least(
                growing["least_delta"].min(), "least delta of any step, LinUpper and Upper", threshold=-rounding,
                instances=int(growing["steps"].sum()),
            ),
            statistics.at_least(
                float(table.loc[table["strategy"] == "extremes", "negative_steps"].sum()),
                "steps with negative delta, Extremes", threshold=1.0,
            ),
            statistics.at_most(
                falling["largest_delta"].max(), "largest delta of any step, easy samples first", threshold=rounding
            ),
        ]
    )  # fmt: skip


def _convergence_example() -> pd.DataFrame:
    signs = {"uniform": 0.0, "linupper": 0.1, "quadratic": 0.05, "extremes": -0.05, "upper": 0.1, "easy first": -0.1}
    return pd.DataFrame(
        [
            {
                "replicate": k, "strategy": s, "r": 1.0, "eta": eta, "steps": 300, "average_gap": 0.02, "bound": 0.08,
                "sharp_bound": 0.04, "contraction": 0.25, "sharp_contraction": 0.5, "bound_ratio": 0.25,
                "sharp_ratio": 0.5, "least_delta": delta, "largest_delta": delta, "mean_delta": delta,
                "negative_steps": 300 * (delta < 0), "tight_error": 0.0, "tightened": 1.01,
            }
            for k in range(5) for s, delta in signs.items() for eta in (0.5, 1.0)
        ]
    )  # fmt: skip


def _judge_limit(table: pd.DataFrame) -> Verdict:
    last = table[table["r"] == table["r"].max()]
    slopes = [
        statistics.within(
            statistics.log_log_slopes(rows, "r", "distance"), f"slope of the distance in r, {strategy}", low=-1.05,
            high=-0.95,
        )
        for strategy, rows in table.groupby("strategy", sort=True)
    ]  # fmt: skip
    nearest = statistics.identity(
        last["distance"], f"largest distance of a parameter at r = {table['r'].max():g}", tolerance=1e-6
    )
    return statistics.all_of([nearest, *slopes])


def _limit_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "strategy": s, "r": r, "distance": (0.5 + 0.01 * k) / r ** (1 + 0.001 * k)}
            for k in range(5) for s in REWEIGHTED for r in (1e2, 1e4, 1e6)
        ]
    )  # fmt: skip


def _common(table: pd.DataFrame, noise: float, r: float) -> pd.DataFrame:
    """Rows at the common learning rate, at that noise and temperature."""
    rate = Regression().learning_rate
    has_r = (table["r"] == r) | (table["strategy"] == "uniform")
    return table[(table["noise"] == noise) & (table["learning_rate"] == rate) & has_r]


def _judge_order(table: pd.DataFrame) -> Verdict:
    rows = _common(table, 0.0, 1.0)
    order = ("linupper", "quadratic", "uniform", "extremes")
    return statistics.all_of(
        [
            statistics.trend(
                statistics.paired(rows, "steps_to_target", "strategy", first, second),
                f"steps to 5 %, {first} less {second}", below=0.0,
            )
            for first, second in pairwise(order)
        ]
    )  # fmt: skip


def _judge_difference(
    column: str,
    second: str,
    *,
    above: float | None = None,
    below: float | None = None,
    noise: float = 0.0,
    r: float = 1.0,
):
    def judge(table: pd.DataFrame) -> Verdict:
        gap = statistics.paired(_common(table, noise, r), column, "strategy", "linupper", second)
        compared = f"{column}, LinUpper less {second}, noise {noise:g}, r = {r:g}"
        return statistics.trend(gap, compared, above=above, below=below)

    return judge  # fmt: skip


def tuned(table: pd.DataFrame, criterion: str, by: tuple[str, ...]) -> pd.DataFrame:
    """Rows of the setting with the least mean of ``criterion`` over replicates, for every strategy."""
    keys = [*by, "strategy", "r", "learning_rate"]
    means = table.groupby(keys, sort=True, as_index=False)[criterion].mean()
    best = means.loc[means.groupby([*by, "strategy"], sort=True)[criterion].idxmin(), keys]
    return table.merge(best, on=keys, how="inner")


def _judge_tuned(noise: float, criterion: str, column: str, *, above: float | None = None, below: float | None = None):
    def judge(table: pd.DataFrame) -> Verdict:
        rows = tuned(table[table["noise"] == noise], criterion, ("noise",))
        gap = statistics.paired(rows, column, "strategy", "linupper", "uniform")
        compared = f"{column}, LinUpper less uniform, noise {noise:g}, each tuned"
        return statistics.trend(gap, compared, above=above, below=below)

    return judge


def _regression_example() -> pd.DataFrame:
    steps = {"linupper": 30, "upper": 35, "quadratic": 50, "uniform": 100, SHUFFLED: 101, "extremes": 130}
    return pd.DataFrame(
        [
            {
                "replicate": k, "noise": noise, "strategy": s, "r": r, "learning_rate": 0.05,
                "steps_to_target": n + k % 3, "held_out_steps": n + k % 3, "early": n / 1000 + 0.0001 * k,
                "final": (0.5 - n / 1000 if noise else n / 1000) + 0.001 * (k % 3), "held_out_final": 0.5 + n / 1000,
            }
            for k in range(8) for noise in (0.0, 1.0) for s, n in steps.items() for r in (0.4, 1.0)
        ]
    )  # fmt: skip


def _judge_language(first: str, second: str, *, above: float | None = None, below: float | None = None, r: float = 0.0):
    """Of the widest models, each strategy tuned, or with the learning rate alone tuned at that r."""

    def judge(table: pd.DataFrame) -> Verdict:
        rows = table[table["width"] == table["width"].max()]
        if r:
            rows = rows[(rows["strategy"] == "uniform") | (rows["r"] == r)]
        gap = statistics.paired(tuned(rows, "held_out", ("width",)), "test", "strategy", first, second)
        compared = f"test loss on varied text (nats), {first} less {second}" + (f", r = {r:g}" if r else "")
        return statistics.trend(gap, compared, above=above, below=below)

    return judge


def _language_example() -> pd.DataFrame:
    losses = {"linupper": 2.6, "uniform": 2.9, "extremes": 3.0, SHUFFLED: 2.95}
    return pd.DataFrame(
        [
            {"replicate": k, "width": 24, "strategy": s, "r": 1.0, "learning_rate": rate,
             "held_out": loss + rate, "test": loss + rate + 0.01 * (k % 3) * (s != "uniform"), "half_way": loss + 0.2,
             "varied_share": 0.2}
            for k in range(5) for s, loss in losses.items() for rate in (0.01, 0.03)
        ]
    )  # fmt: skip


def _by_round(table: pd.DataFrame, *sides: str) -> pd.DataFrame:
    """Seconds of each round, a column per side."""
    rows = table[table["side"].isin(sides)]
    return rows.pivot_table(index=["replicate", "round"], columns="side", values="seconds")


def _judge_overhead(table: pd.DataFrame) -> Verdict:
    seconds = _by_round(table, "step", "reweighting", "plain mean")
    ratio = float(((seconds["reweighting"] - seconds["plain mean"]) / seconds["step"]).median())
    compared = "reweighted less plain mean, over a training step, median of rounds"
    return statistics.at_most(ratio, compared, threshold=0.01)


def _judge_passes(table: pd.DataFrame) -> Verdict:
    seconds = _by_round(table, "one pass", "M passes")
    ratio = float((seconds["M passes"] / seconds["one pass"]).median()) / int(table["samples"].iloc[0])
    return statistics.at_least(ratio, "M backward passes over one, divided by M", threshold=0.5)


def _cost_example() -> pd.DataFrame:
    seconds = {"step": 0.1, "reweighting": 2e-4, "plain mean": 1e-4, "one pass": 0.05, "M passes": 0.7}
    return pd.DataFrame(
        [
            {"replicate": 0, "round": k, "side": side, "seconds": value, "samples": 16}
            for k in range(3) for side, value in seconds.items()
        ]
    )  # fmt: skip


def _exchanged(first: str, second: str):
    return lambda table: exchange(table, "strategy", first, second)


def _order_reversed(table: pd.DataFrame) -> pd.DataFrame:
    return exchange(exchange(table, "strategy", "linupper", "extremes"), "strategy", "quadratic", "uniform")


def _signs_exchanged(table: pd.DataFrame) -> pd.DataFrame:
    return exchange(table, "strategy", "linupper", "easy first")


def _slowed(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(seconds=np.where(table["side"] == "reweighting", table["seconds"] * 1000, table["seconds"]))


def _no_loop(table: pd.DataFrame) -> pd.DataFrame:
    return exchange(table, "side", "one pass", "M passes")


CLAIMS = [
    Claim(
        "C1", "duality", "identity", "KL-regularised form of the weights",
        "The weights maximise sum w s − r KL(w, uniform) over the simplex; the maximum is r log mean exp(s/r).",
        _judge_duality, _duality_example, lambda t: t.assign(weights=t["other_weights"]),
    ),
    Claim(
        "C2", "weights", "bound", "shapes of the strategies, bounds derived here",
        "Weights are a distribution that no positive affine map of the losses changes, within e^(1/r) of each other; "
        "LinUpper attains the bounds.",
        _judge_weights, _weights_example, lambda t: t.assign(range=1.05 * t["range"], largest=1.05 * t["largest"]),
    ),
    Claim(
        "C2b", "weights", "bound", "maximum weight 2/M, threshold derived here",
        "From r = 1/log 2 on, no weight of any batch exceeds 2/M; at r = 1 one can.",
        _judge_cap, _weights_example, lambda t: t.assign(capped=t["uncapped"]),
    ),
    Claim(
        "C3", "convergence", "bound", "convergence under interpolation, re-derived",
        "The average gap is at most D²/(2 eta (1 − eta L) T) less the mean delta; every step contracts as that needs.",
        _judge_convergence, _convergence_example,
        lambda t: t.assign(bound_ratio=5 * t["bound_ratio"], contraction=5 * t["contraction"]),
    ),
    Claim(
        "C3b", "convergence", "bound", "co-coercivity, derived here",
        "The factor 1 − eta L is not needed, and what is left is attained: no smaller constant will do.",
        _judge_sharp, _convergence_example, lambda t: t.assign(sharp_ratio=1.01, tight_error=0.01),
    ),
    Claim(
        "C4", "convergence", "bound", "sign of the correction",
        "delta is never negative for LinUpper and Upper, is for Extremes, never positive if easy samples come first.",
        _judge_signs, _convergence_example, _signs_exchanged,
    ),
    Claim(
        "C5", "regression", "trend", "linear regression with redundant samples",
        "At a common step size and r = 1, LinUpper reaches 5 % of the test loss first, then Quadratic, equal weights, "
        "Extremes.",
        _judge_order, _regression_example, _order_reversed, paper_value="LinUpper first, then Quadratic",
    ),
    Claim(
        "C5b", "regression", "trend", "control of the linear regression",
        "It is the place of the weights: shuffled over the batch, LinUpper's need more steps.",
        _judge_difference("steps_to_target", SHUFFLED, below=0.0), _regression_example,
        _exchanged("linupper", SHUFFLED),
    ),
    Claim(
        "C5c", "regression", "trend", "linear regression, step sizes tuned",
        "With step size and r tuned equally, LinUpper still needs fewer steps than equal weights.",
        _judge_tuned(0.0, "held_out_steps", "steps_to_target", below=0.0), _regression_example,
        _exchanged("linupper", "uniform"),
    ),
    Claim(
        "C6a", "regression", "trend", "limit of the method, ours",
        "With label noise of sd 1 and r = 0.4, LinUpper's loss is lower after an eighth of the steps.",
        _judge_difference("early", "uniform", below=0.0, noise=1.0, r=0.4), _regression_example,
        shifted("early", "strategy", ("linupper",), 10.0),
    ),
    Claim(
        "C6b", "regression", "trend", "limit of the method, ours",
        "There its final loss is higher than that of equal weights: faster early, not better at the floor.",
        _judge_difference("final", "uniform", above=0.0, noise=1.0, r=0.4), _regression_example,
        shifted("final", "strategy", ("linupper",), -10.0),
    ),
    Claim(
        "C7a", "language", "trend", "language models",
        "On text that is 80 % redundant, LinUpper's loss on varied text is lower than that of equal weights.",
        _judge_language("linupper", "uniform", below=0.0), _language_example, _exchanged("linupper", "uniform"),
        paper_value="lower perplexity at 124M to 774M parameters",
    ),
    Claim(
        "C7b", "language", "trend", "language models",
        "Extremes are not better than equal weights there, by more than 0.01 nats.",
        _judge_language("extremes", "uniform", above=-0.01), _language_example,
        shifted("test", "strategy", ("extremes",), -1.0),
    ),
    Claim(
        "C7c", "language", "trend", "language models",
        "At the paper's r = 1, Extremes are not better than equal weights, by more than 0.01 nats.",
        _judge_language("extremes", "uniform", above=-0.01, r=1.0), _language_example,
        shifted("test", "strategy", ("extremes",), -1.0),
    ),
    Claim(
        "C7d", "language", "trend", "control of language models",
        "It is the place of the weights: shuffled over the batch, LinUpper's lead to a higher loss.",
        _judge_language("linupper", SHUFFLED, below=0.0), _language_example, _exchanged("linupper", SHUFFLED),
    ),
    Claim(
        "C7e", "language", "trend", "language models",
        "At the paper's r = 1, LinUpper's loss is lower than that of equal weights.",
        _judge_language("linupper", "uniform", below=0.0, r=1.0), _language_example, _exchanged("linupper", "uniform"),
    ),
    Claim(
        "C8", "limit", "limit", "temperature of the weights",
        "As r grows trajectories approach that of equal weights like 1/r; at r = 1e6 they are within 1e-6.",
        _judge_limit, _limit_example, lambda t: t.assign(distance=t["distance"] * 1e3),
    ),
    Claim(
        "C9", "cost", "cost", "cost of the method",
        "Reweighting costs less than 1 % of a training step.",
        _judge_overhead, _cost_example, _slowed, paper_value="negligible",
    ),
    Claim(
        "C10", "cost", "cost", "weights without gradient",
        "One weighted backward pass replaces M passes, at a cost that is M times smaller, within a factor of 2.",
        _judge_passes, _cost_example, _no_loop,
    ),
]  # fmt: skip
