"""Negative preference optimisation against gradient ascent and its relatives, from the exact rates to a language model.

*limits* compares the loss with gradient ascent as beta goes to 0, its gradient with the weighted one, and both rooms.
*divergence* descends the logistic forget loss for 10,000 steps on orthogonal rows and on nearly orthogonal Gaussian
ones: gradient ascent must move linearly and NPO logarithmically, between bounds with constants. From a start that has
memorised the rows both first wait for the logistic function to leave its plateau. *features* is the paper's synthetic
experiment, two populations and a linear model on random features, at the paper's learning rates and with rates tuned.
*authors* makes tiny transformers forget up to nine tenths of fifty fictional authors and compares them with models that
were never shown these: forget quality is the p-value of a Kolmogorov–Smirnov test, utility what is left of everything
else. All methods of a replicate run in lockstep on the same batches, at one learning rate; those that are compared also
run over a grid of as many rates each, and a replicate's rate is the one that was best on the *other* replicates, which
are other worlds. ``W=1+RT`` is NPO+RT without the weight: what the weight is worth is their difference, and it must
collapse. What changes with the fraction, with beta and with the weight of the retain term is in ``forgetting_sweeps``.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.special import log_expit

from neural.unlearning.npo import ga_loss, npo_loss, npo_weight
from simulations import Claim, Experiment, Paper, Replicate, Verdict, statistics
from simulations.controls import exchange, shifted
from simulations.unlearning.forgetting_sweeps import SWEEP_CLAIMS
from simulations.unlearning.forgotten_authors import (
    THRESHOLD,
    WITHOUT_WEIGHT,
    Authors,
    authors_ends,
    authors_paths,
    authors_tuned,
    late_exponents,
    sentences_at_equal_forgetting,
    simulate_authors,
)
from simulations.unlearning.random_features import feature_problem, trajectory
from simulations.unlearning.unlearning_runs import METHODS, at_all_rates, chosen_elsewhere
from theory.unlearning import npo as theory

PAPER = Paper(
    title="Negative Preference Optimization: From Catastrophic Collapse to Effective Unlearning",
    authors="Ruiqi Zhang, Licong Lin, Yu Bai, Song Mei",
    venue="COLM 2024",
    arxiv="2404.05868",
)
DEVIATIONS = [
    "The paper's theorem has unspecified constants and, in its proof, a weight without the factor 2; ours has the "
    "factor, exact constants for orthogonal rows, and upper bounds that are attained in the limit.",
    "The retain term KL is KL(original || model), as the authors' code has it; their text writes the other direction. "
    "It averages over targets, not over prompt and padding.",
    "DPO carries the factor 2/beta of the authors' code, where the text has 1/beta.",
    "In the synthetic experiment a refusal is a fair coin, so that DPO and IDK are defined for two labels.",
    "The language models are tiny, trained from scratch on sentences of our own making; forgotten authors then are "
    "names that a retrained model has never seen, which a pretrained model's are not.",
]
PAPER_RATES = {"GA": 5e-4, "GA+RT": 5e-4, "NPO": 5e-3, "NPO+RT": 5e-3, "DPO+RT": 5e-3, "IDK+RT": 5e-3}


# limits -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limits:
    """Random log-probabilities in [−5, 0]; a toy of ``rows`` orthogonal rows for the values after 200 steps."""

    samples: int = 1000
    betas: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 0.1, 1.0)
    rows: int = 10


def simulate_limits(settings: Limits, seed: int, device: str) -> pd.DataFrame:
    """Distance from gradient ascent, of gradients from the weighted ones, and between rooms, per beta."""
    rng = np.random.default_rng(seed)
    logps, ref = rng.uniform(-5, 0, (2, settings.samples))
    R = logps - ref
    own = torch.tensor(logps, device=device, requires_grad=True)
    reference = torch.tensor(ref, device=device)
    (ascent,) = torch.autograd.grad(ga_loss(own), own)
    toy = theory.lockstep_trajectories(
        2 * np.eye(settings.rows), np.arange(settings.rows) % 2, rng.normal(size=settings.rows), 1.0, 200,
        [0.0, *settings.betas],
    )["margin"]  # fmt: skip
    start, ends = log_expit(toy[0, 0]), log_expit(toy[:, -1])
    rows = []
    for beta, end in zip(settings.betas, ends[1:], strict=True):
        loss = npo_loss(own, reference, beta)
        (gradient,) = torch.autograd.grad(loss, own)
        weighted = npo_weight(own, reference, beta) / settings.samples
        value = float(loss.detach())
        gap = value - 2 / beta * np.log(2) - (logps.mean() - ref.mean())
        quadratic = beta / 4 * float((R**2).mean())
        remainder, low = theory.small_beta_remainder(logps, ref, beta)
        rows.append(
            {
                "beta": beta, "gap": abs(gap - quadratic) / beta, "half_gap": abs(gap / 2 - quadratic) / beta,
                "cosine_gap": 1 - float(torch.cosine_similarity(gradient, ascent, dim=0)),
                "norm_gap": abs(float(gradient.norm() / ascent.norm()) - 1),
                "gradient_error": float((gradient - weighted).abs().max() * settings.samples),
                "unweighted_error": float((gradient - ascent).abs().max() * settings.samples),
                "rooms_error": abs(value - theory.npo_loss(logps, ref, beta)) / value,
                "remainder_ratio": remainder / low,
                "least_npo": min(value, theory.npo_loss(end, start, beta)),
                "ga_end": float(ends[0].mean()),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


# divergence -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Divergence:
    """Rows of norm ``r``, orthogonal or Gaussian in ``dim`` dimensions; beta 0 stands for gradient ascent.

    The start has norm 1. A second one, for orthogonal rows, has memorised all of them: margins are ``memorised``.
    """

    n: int = 20
    r: float = 2.0
    dim: int = 400
    eta: float = 1.0
    steps: int = 10_000
    betas: tuple[float, ...] = (0.1, 0.5, 1.0, 2.0)
    memorised: float = 6.0


def simulate_divergence(settings: Divergence, seed: int, device: str) -> Replicate:
    """Fits of the distance on t and on log t, doubling increments and ratios to the bounds, per design and beta."""
    rng, n, steps = np.random.default_rng(seed), settings.n, settings.steps
    gaussian = rng.normal(size=(n, settings.dim))
    y, small = rng.integers(0, 2, n), rng.normal(size=settings.dim)
    gaussian *= settings.r / np.linalg.norm(gaussian, axis=1, keepdims=True)
    orthogonal = settings.r * np.linalg.qr(gaussian.T)[0].T
    small /= np.linalg.norm(small)
    memorised = settings.memorised / settings.r**2 * ((2 * y - 1) @ orthogonal)
    problems = {
        "orthogonal": (orthogonal, small), "gaussian": (gaussian, small), "memorised": (orthogonal, memorised)
    }  # fmt: skip
    arms, t = (0.0, *settings.betas), np.arange(steps + 1)
    shown = np.unique(np.geomspace(1, steps, 120).astype(int))
    rows, arrays = [], {"t": shown}
    for design, (X, theta0) in problems.items():
        path = theory.lockstep_trajectories(X, y, theta0, settings.eta, steps, arms)
        arrays[design] = path["dist"][:, shown]
        for beta, dist, margin in zip(arms, path["dist"], path["margin"], strict=True):
            bounds = (margin[0], np.full(n, settings.r), settings.eta)
            low, high = theory.npo_bounds(*bounds, beta, t) if beta else theory.ga_bounds(*bounds, t)
            rows.append({"design": design, "beta": beta, **_fits(t, dist, low, high), **_predicted(settings, beta)})
    return Replicate(pd.DataFrame(rows), arrays)


def _predicted(settings: Divergence, beta: float) -> dict[str, float]:
    slope = theory.npo_log_slope(settings.n, beta) if beta else theory.ga_rate(settings.n, settings.eta, settings.r)
    return {"predicted": slope, "half_predicted": slope / 2}


def _fits(t: np.ndarray, dist: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, float]:
    steps = len(t) - 1
    late = slice(max(steps // 20, 1), None)
    quarter, half = steps // 4, steps // 2
    return {
        "linear_slope": float(np.polyfit(t, dist, 1)[0]), "linear_r2": _r2(t, dist),
        "log_slope": float(np.polyfit(np.log(t[late]), dist[late], 1)[0]), "log_r2": _r2(np.log(t[late]), dist[late]),
        "time_slope": float(np.polyfit(dist[late], np.log(t[late]), 1)[0]),
        "earlier_increment": float(dist[half] - dist[quarter]), "last_increment": float(dist[-1] - dist[half]),
        "lower_ratio": float((low[1:] / dist[1:]).max()), "upper_ratio": float((dist[1:] / high[1:]).max()),
        "end_ratio": float(dist[-1] / high[-1]), "steps": steps,
    }  # fmt: skip


def _r2(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.corrcoef(x, y)[0, 1] ** 2)


# features ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Features:
    """The paper's synthetic experiment, all methods at the paper's rates, ``tuned`` at all of ``rates`` besides."""

    alpha: float = 1.0
    steps: int = 2000
    rates: tuple[float, ...] = (1.6e-4, 5e-4, 1.6e-3, 5e-3, 1.6e-2, 5e-2, 0.16, 0.5)
    tuned: tuple[str, ...] = ("GA+RT", "NPO+RT")
    evaluations: int = 10


def simulate_features(settings: Features, seed: int, device: str) -> pd.DataFrame:
    """Forget and retain distance along the way, of every method with its rates."""
    problem = feature_problem(seed, settings.alpha)
    arms = list(PAPER_RATES.items())
    arms += [(name, rate) for name in settings.tuned for rate in settings.rates if rate != PAPER_RATES[name]]
    times = np.unique(np.linspace(0, settings.steps, settings.evaluations + 1).astype(int)).tolist()
    rows = trajectory(problem, [m for m, _ in arms], [rate for _, rate in arms], settings.steps, times)
    return pd.DataFrame(rows)


EXPERIMENTS = [
    Experiment("limits", simulate_limits, quick=Limits(), full=Limits(samples=100_000), tiny=Limits(samples=50)),
    Experiment(
        "divergence", simulate_divergence, quick=Divergence(), full=Divergence(steps=100_000),
        tiny=Divergence(steps=200, dim=30, betas=(0.5, 2.0)),
    ),
    Experiment(
        "features", simulate_features, quick=Features(), full=Features(evaluations=20),
        tiny=Features(steps=10, rates=(5e-4, 5e-3), evaluations=2),
    ),
    Experiment(
        "authors", simulate_authors, quick=Authors(),
        full=Authors(
            fractions=(0.1, 0.2, 0.3, 0.5, 0.7, 0.9), steps=100, batch_size=32,
            evaluate_at=(5, 10, 20, 35, 50, 100), rate=1e-3, rates=(1.25e-4, 2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3),
            methods=tuple(METHODS), swept=("GA+RT", "NPO+RT", "NPO", "IDK+RT"), chosen_rates=(5e-4, 1e-3, 1e-3, 1e-3),
            tuned=("GA+RT", "GA+KL", "NPO+RT", "NPO+KL", "DPO+RT", "IDK+RT", "SimNPO+RT"),
            betas=(0.01, 0.03, 0.3, 1.0, 2.0, 5.0), retain_weights=(0.25, 0.5, 2.0, 3.0, 5.0),
            forget_facts=400, other_facts=200, d_model=64, training_steps=400, training_batch=128, training_rate=5e-3,
        ),
        tiny=Authors(
            fractions=(0.2, 0.9), steps=2, batch_size=4, evaluate_at=(1, 2), rates=(2e-3, 4e-3),
            methods=("GA", "GA+RT", "GA+KL", "NPO", "NPO+RT", WITHOUT_WEIGHT, "DPO+RT", "IDK+RT"),
            tuned=("GA+RT", "NPO+RT"), betas=(0.01,), retain_weights=(2.0, 5.0),
            forget_facts=8, other_facts=8, d_model=8, training_steps=4, training_batch=8,
        ),
    ),
]  # fmt: skip


# judges of limits and divergence ----------------------------------------------------------------


def _judge_limit(table: pd.DataFrame) -> Verdict:
    small, least = table[table["beta"] <= 0.01], table[table["beta"] == table["beta"].min()]
    return statistics.all_of(
        [
            statistics.at_most(
                small["gap"].max(), "distance from ascent and the quadratic term, over beta", threshold=1e-3,
                instances=len(small),
            ),
            statistics.at_most(least["cosine_gap"].max(), "1 − cosine of the gradients, least beta", threshold=1e-4),
            statistics.at_most(least["norm_gap"].max(), "relative difference of their norms", threshold=0.01),
            statistics.at_most(
                table["remainder_ratio"].max(), "the rest over its bound beta³R⁴/96", threshold=1 + 1e-9
            ),
        ]
    )  # fmt: skip


def _judge_weight(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.identity(table["gradient_error"], "autograd less W times ascent's gradient", tolerance=1e-6),
            statistics.identity(
                table["rooms_error"], "relative difference of the two implementations", tolerance=1e-10
            ),
            statistics.at_least(table["least_npo"].min(), "least NPO loss of toy and samples", threshold=0.0),
            statistics.at_most(table["ga_end"].max(), "ascent's loss after 200 steps of the toy", threshold=-50.0),
        ]
    )


def _limits_example() -> pd.DataFrame:
    row = {
        "gap": 5e-5, "half_gap": 0.5, "cosine_gap": 1e-6, "norm_gap": 1e-3, "gradient_error": 1e-16,
        "unweighted_error": 0.1, "rooms_error": 1e-16, "remainder_ratio": 0.99, "least_npo": 0.1, "ga_end": -72.0,
    }  # fmt: skip
    return pd.DataFrame([{"replicate": k, "beta": beta, **row} for k in range(5) for beta in (1e-3, 1e-2)])


def _ascent(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["beta"] == 0) & (table["design"] != "memorised")]


def _npo(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["beta"] > 0) & (table["design"] != "memorised")]


def _judge_linear(table: pd.DataFrame) -> Verdict:
    ascent = _ascent(table)
    orthogonal = ascent[ascent["design"] == "orthogonal"]
    return statistics.all_of(
        [
            statistics.within(
                orthogonal["linear_slope"] / orthogonal["predicted"], "slope over eta r²/√n, orthogonal rows", low=0.99,
                high=1.01,
            ),
            statistics.at_least(ascent["linear_r2"].min(), "least R² of distance on t, both designs", threshold=0.999),
        ]
    )  # fmt: skip


def _judge_bounds(table: pd.DataFrame) -> Verdict:
    rows = table[table["design"] != "gaussian"].reset_index(drop=True)
    verdicts = []
    for column, compared in (("upper_ratio", "distance over its upper bound"), ("lower_ratio", "lower bound over it")):
        worst = rows.iloc[int(rows[column].to_numpy().argmax())]
        verdicts.append(
            statistics.bound(
                worst[column], f"largest {compared}", instances=int(rows["steps"].sum()), required=10_000,
                witness=f"beta = {worst['beta']:g}, replicate {worst['replicate']}",
            )
        )  # fmt: skip
    end = rows.loc[rows["design"] == "orthogonal", "end_ratio"].min()
    return statistics.all_of(
        [*verdicts, statistics.at_least(end, "least last distance over its bound, small start", threshold=0.99)]
    )


def _judge_delay(table: pd.DataFrame) -> Verdict:
    rows = table[(table["design"] == "memorised") & (table["beta"] > 0)]
    ratio = (rows["log_slope"] / rows["predicted"]).groupby(rows["replicate"]).min()
    return statistics.all_of(
        [
            statistics.trend(ratio, "least slope over √n/beta from a memorised start", above=1.05),
            statistics.at_most(rows["log_r2"].max(), "largest R² of the fit on log t there", threshold=0.999),
        ]
    )


def _judge_logarithm(table: pd.DataFrame) -> Verdict:
    rows = _npo(table)
    slopes = [
        statistics.within(
            group["log_slope"] / group["predicted"],
            f"slope over √n/beta, {design}, beta = {beta:g}",
            low=0.95,
            high=1.05,
        )
        for (design, beta), group in rows.groupby(["design", "beta"], sort=True)
    ]
    return statistics.all_of(
        [
            *slopes,
            statistics.at_least(rows["log_r2"].min(), "least R² of NPO's distance on log t", threshold=0.999),
            statistics.at_most(rows["linear_r2"].max(), "largest R² of NPO's distance on t", threshold=0.95),
            statistics.at_most(_ascent(table)["log_r2"].max(), "R² of ascent's on log t", threshold=0.95),
        ]
    )


def _judge_doubling(table: pd.DataFrame) -> Verdict:
    verdicts = []
    for name, rows, expected in (("NPO", _npo(table), 1.0), ("ascent", _ascent(table), 2.0)):
        ratio = (rows["last_increment"] / rows["earlier_increment"]).groupby(rows["replicate"]).mean()
        verdicts.append(
            statistics.within(
                ratio, f"D(2t) − D(t) over D(t) − D(t/2), {name}, about {expected:g}", low=0.97 * expected,
                high=1.03 * expected,
            )
        )  # fmt: skip
    rows = _npo(table)
    growth = (rows["time_slope"] * rows["predicted"]).groupby(rows["replicate"]).mean()
    verdicts.append(statistics.within(growth, "slope of log time in NPO's distance, over beta/√n", low=0.95, high=1.05))
    return statistics.all_of(verdicts)


def _divergence_example() -> pd.DataFrame:
    rows = []
    for k in range(5):
        for design in ("orthogonal", "gaussian", "memorised"):
            late = design == "memorised"
            for beta in (0.0, 0.5, 2.0):
                slope, noise = 4.47 / beta if beta else 0.9, 1e-3 * (k % 3)
                rows.append(
                    {
                        "replicate": k, "design": design, "beta": beta, "linear_slope": slope * (1 + noise),
                        "linear_r2": 0.7 if beta else 0.99999, "log_slope": slope * (1.01 + 0.2 * late + noise),
                        "log_r2": 0.9999 - 0.02 * late if beta else 0.89, "time_slope": (0.99 + noise) / slope,
                        "earlier_increment": slope, "last_increment": slope * (1 if beta else 2) * (1 + noise),
                        "lower_ratio": 0.95, "upper_ratio": 0.999, "end_ratio": 0.998, "steps": 20_000,
                        "predicted": slope, "half_predicted": slope / 2,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def _increments_exchanged(table: pd.DataFrame) -> pd.DataFrame:
    """NPO's increments double, and ascent's stay."""
    return table.assign(last_increment=table["earlier_increment"] * np.where(table["beta"] > 0, 2.0, 1.0))


# judges of features and authors -----------------------------------------------------------------


def features_at_paper_rates(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the paper's learning rate of every method."""
    return table[table["learning_rate"] == table["method"].map(PAPER_RATES)]


def features_tuned(table: pd.DataFrame) -> pd.DataFrame:
    """Last rows, with every method's rate chosen on other replicates by the sum of both held-out distances."""
    last = at_all_rates(table[table["step"] == table["step"].max()])
    total = last["held_out_forget_distance"] + last["held_out_retain_distance"]
    distance = np.log10(last["forget_distance"] + last["retain_distance"])
    return chosen_elsewhere(last.assign(criterion=-np.log10(total), log_distance=distance), "criterion")


def _log_difference(rows: pd.DataFrame, column: str, first: str, second: str) -> np.ndarray:
    return statistics.paired(rows.assign(log=np.log10(rows[column])), "log", "method", first, second)


def _judge_features(table: pd.DataFrame) -> Verdict:
    rows = features_at_paper_rates(table)
    rows = rows[rows["step"] == rows["step"].max()]
    compared = "log10 of the last {} distance, {} less {}"
    return statistics.all_of(
        [
            *(
                statistics.trend(
                    _log_difference(rows, "retain_distance", first, second), compared.format("retain", first, second),
                    below=0.0,
                )
                for first, second in (("NPO+RT", "GA+RT"), ("GA+RT", "GA"))
            ),
            statistics.trend(
                _log_difference(rows, "forget_distance", "NPO+RT", "GA+RT"),
                compared.format("forget", "NPO+RT", "GA+RT") + ", at most 10 % worse", below=float(np.log10(1.1)),
            ),
        ]
    )  # fmt: skip


def _judge_features_tuned(table: pd.DataFrame) -> Verdict:
    gap = statistics.paired(features_tuned(table), "log_distance", "method", "NPO+RT", "GA+RT")
    return statistics.trend(gap, "log10 of the sum of last distances, NPO+RT less GA+RT, each tuned", below=0.0)


def _features_example() -> pd.DataFrame:
    distances = {"GA": 2.0, "GA+RT": 0.2, "NPO": 0.3, "NPO+RT": 0.03, "DPO+RT": 0.07, "IDK+RT": 0.5}
    return pd.DataFrame(
        [
            {
                "replicate": k, "method": method, "learning_rate": rate, "step": 1000,
                **{
                    f"{lot}{side}_distance": value * (1 + rate) * share + 0.001 * (k % 3)
                    for lot in ("", "held_out_") for side, share in (("forget", 0.5), ("retain", 1.0))
                },
            }
            for k in range(5) for method, value in distances.items() for rate in (5e-4, 5e-3)
        ]
    )  # fmt: skip


def _features_exchanged(table: pd.DataFrame) -> pd.DataFrame:
    """Distances of NPO+RT and GA+RT exchanged at all rates, and at the paper's rates of each."""
    renamed = exchange(table, "method", "NPO+RT", "GA+RT")
    swapped = renamed["method"].isin(["NPO+RT", "GA+RT"])
    rates = renamed["learning_rate"].replace(
        {PAPER_RATES["GA"]: PAPER_RATES["NPO"], PAPER_RATES["NPO"]: PAPER_RATES["GA"]}
    )
    return renamed.assign(learning_rate=np.where(swapped, rates, renamed["learning_rate"]))


def _quality(rows: pd.DataFrame, method: str, *, above: bool) -> Verdict:
    values = rows[rows["method"] == method].groupby("replicate")["log_quality"].mean()
    threshold = float(np.log10(THRESHOLD))
    side = {"above": threshold} if above else {"below": threshold}
    return statistics.trend(values, f"log10 forget quality at the end, {method}", **side)


def _judge_kept(table: pd.DataFrame) -> Verdict:
    rows = authors_ends(table)
    methods = [("NPO", True), ("NPO+RT", True), ("original", False)]
    return statistics.all_of([_quality(rows, method, above=above) for method, above in methods])


def _judge_lost(*methods: str):
    def judge(table: pd.DataFrame) -> Verdict:
        return statistics.all_of([_quality(authors_ends(table), method, above=False) for method in methods])

    return judge


def _judge_utility(first: str, second: str):
    def judge(table: pd.DataFrame) -> Verdict:
        gap = statistics.paired(authors_ends(table), "utility", "method", first, second)
        return statistics.trend(gap, f"utility at the end, {first} less {second}, one learning rate", above=0.0)

    return judge


def _judge_tuned(first: str, second: str):
    def judge(table: pd.DataFrame) -> Verdict:
        gap = statistics.paired(authors_tuned(table), "usable", "method", first, second)
        return statistics.trend(gap, f"utility if forgotten, else 0, {first} less {second}, each tuned", above=0.0)

    return judge


def _half(table: pd.DataFrame) -> float:
    fractions = np.unique(table["fraction"])
    return float(fractions[np.abs(fractions - 0.5).argmin()])


def _judge_half(table: pd.DataFrame) -> Verdict:
    paths = authors_paths(table, _half(table))
    best = paths[paths["step"] > 0].groupby(["replicate", "method"])[["usable"]].max().reset_index()
    gap = statistics.paired(best, "usable", "method", "NPO+RT", "GA+RT")
    compared = f"best utility of a step with forget quality above 0.05, NPO+RT less GA+RT, fraction {_half(table):g}"
    return statistics.trend(gap, compared, above=0.0)


def _judge_half_kept(table: pd.DataFrame) -> Verdict:
    rows = authors_ends(table, _half(table))
    return statistics.all_of([_quality(rows, "NPO+RT", above=True), _quality(rows, "GA+RT", above=False)])


def _judge_sentences(table: pd.DataFrame) -> Verdict:
    rows = sentences_at_equal_forgetting(table)
    return statistics.all_of(
        [
            statistics.trend(
                statistics.paired(rows, "well_formed", "method", "NPO+RT", second),
                f"share of answers that are sentences at equal forgetting, NPO+RT less {second}", above=0.0,
            )
            for second in ("GA", "GA+RT")
        ]
    )  # fmt: skip


def _judge_growth(table: pd.DataFrame) -> Verdict:
    rows = late_exponents(table)
    by_method = {name: group["exponent"] for name, group in rows.groupby("method")}
    return statistics.all_of(
        [
            statistics.trend(by_method["NPO"], "late exponent of KL in steps, NPO", below=1.0),
            statistics.within(by_method["GA"], "late exponent of KL in steps, GA", low=0.75, high=1.25),
            statistics.trend(
                statistics.paired(rows, "exponent", "method", "NPO", "GA"), "exponent of NPO less GA's", below=0.0
            ),
        ]
    )


def _authors_example() -> pd.DataFrame:
    #           quality at the end, utility, KL between the last two steps, sentences when half forgotten
    methods = {
        "GA": (1e-5, 0.01, (10.0, 20.0), 0.1), "GA+RT": (1e-3, 0.2, (1.0, 2.0), 0.3),
        "GA+KL": (1e-3, 0.25, (1.0, 2.0), 0.3), "NPO": (0.4, 0.01, (8.0, 12.0), 0.1),
        "NPO+RT": (0.5, 0.6, (1.0, 0.8), 0.6), "NPO+KL": (0.5, 0.6, (1.0, 0.8), 0.6),
        WITHOUT_WEIGHT: (1e-5, 0.01, (10.0, 20.0), 0.1), "DPO+RT": (1e-3, 0.5, (0.1, 0.1), 0.9),
        "IDK+RT": (1e-3, 0.5, (0.1, 0.1), 0.0), "SimNPO+RT": (0.01, 0.7, (0.1, 0.1), 0.9),
    }  # fmt: skip
    rows = []
    for k in range(5):
        noise = 1 + 0.02 * (k % 3)
        for fraction in (0.1, 0.5):
            shared = {"replicate": k, "fraction": fraction, "common_rate": 4e-3}
            for name, quality, p in (("original", 1e-5, 0.98), ("retrained", 1.0, 0.05)):
                rows.append(
                    {**shared, "method": name, "learning_rate": 0.0, "step": 0, "forget_quality": quality,
                     "utility": 0.85, "forget_probability": p, "well_formed": 1.0, "retain_kl": 0.0}
                )  # fmt: skip
            for name, (quality, utility, kl, share) in methods.items():
                for rate in (2e-3, 4e-3):
                    rows += [
                        {
                            **shared, "method": name, "learning_rate": rate, "step": step, "utility": utility * noise,
                            "forget_quality": quality / noise, "forget_probability": 0.05 if step == 20 else 0.001,
                            "well_formed": share * noise, "retain_kl": kl[step == 40] * noise,
                        }
                        for step in ((20, 40) if rate == 4e-3 else (40,))
                    ]  # fmt: skip
    return pd.DataFrame(rows)


def _exchanged(*pairs: tuple[str, str]):
    def control(table: pd.DataFrame) -> pd.DataFrame:
        for first, second in pairs:
            table = exchange(table, "method", first, second)
        return table

    return control


def _retrained(*methods: str):
    """These methods forget as the retrained model does."""

    def control(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(forget_quality=np.where(table["method"].isin(methods), 1.0, table["forget_quality"]))

    return control


CLAIMS = [
    Claim(
        "C1", "limits", "limit", "relation of NPO to gradient ascent; quadratic term and its bound derived here",
        "As beta goes to 0 NPO is gradient ascent: L − (2/beta) log 2 = mean R + (beta/4) mean R², up to beta³R⁴/96.",
        _judge_limit, _limits_example, lambda t: t.assign(gap=t["half_gap"]),
    ),
    Claim(
        "C2", "limits", "identity", "gradient of the NPO loss",
        "NPO's gradient is ascent's, weighted with W = 2 p^beta/(p^beta + ref^beta); the loss stays at 0 or above.",
        _judge_weight, _limits_example, lambda t: t.assign(gradient_error=t["unweighted_error"]),
    ),
    Claim(
        "C3", "divergence", "rate", "theorem on divergence in logistic regression",
        "Gradient ascent moves linearly in the number of steps, by eta r²/√n each for orthogonal rows.",
        _judge_linear, _divergence_example, lambda t: t.assign(predicted=t["half_predicted"]),
    ),
    Claim(
        "C3b", "divergence", "bound", "bounds with constants, derived here; certified in theory.unlearning.npo",
        "For orthogonal rows both distances stay between bounds of which the upper ones are attained.",
        _judge_bounds, _divergence_example, lambda t: t.assign(upper_ratio=1.02 * t["upper_ratio"]),
    ),
    Claim(
        "C4", "divergence", "rate", "theorem on divergence in logistic regression",
        "From a start of norm 1 NPO moves by √n/beta for every unit of log t, also for nearly orthogonal rows.",
        _judge_logarithm, _divergence_example, lambda t: t.assign(log_slope=t["log_slope"] / 2),
    ),
    Claim(
        "C4b", "divergence", "rate", "limit of the statement, ours",
        "What is memorised (margin 6) delays this: the same fit is too steep, and no line.",
        _judge_delay, _divergence_example, lambda t: t.assign(log_slope=t["predicted"], log_r2=0.9999),
    ),
    Claim(
        "C5", "divergence", "rate", "exponentially slower divergence",
        "Doubling the steps adds a constant to NPO's distance and doubles what ascent adds; NPO needs exp(beta D/√n).",
        _judge_doubling, _divergence_example, _increments_exchanged,
    ),
    Claim(
        "C6", "features", "trend", "synthetic experiment with random features, the paper's learning rates",
        "At the end the retain distance of NPO+RT is below GA+RT's, and that below GA's; NPO+RT forgets no worse.",
        _judge_features, _features_example, _features_exchanged, paper_value="NPO+RT on the Pareto frontier",
    ),
    Claim(
        "C6b", "features", "trend", "synthetic experiment, learning rates tuned equally",
        "With rates chosen on other replicates, NPO+RT still ends nearer to the retrained model than GA+RT.",
        _judge_features_tuned, _features_example, _features_exchanged,
    ),
    Claim(
        "C7", "authors", "trend", "forget quality on TOFU, a tenth forgotten",
        "NPO and NPO+RT keep forget quality above 0.05 to the end; the model that never forgot is told apart.",
        _judge_kept, _authors_example, _exchanged(("NPO", "original")),
        paper_value="only NPO+RT above 0.05 on Forget10",
    ),
    Claim(
        "C7b", "authors", "trend", "catastrophic collapse of gradient ascent",
        "At the same learning rate GA, GA+RT and GA+KL end below a forget quality of 0.05.",
        _judge_lost("GA", "GA+RT", "GA+KL"), _authors_example, _retrained("GA", "GA+RT", "GA+KL"),
    ),
    Claim(
        "C7c", "authors", "trend", "utility on TOFU",
        "At the same learning rate NPO+RT ends with more utility than GA+RT.",
        _judge_utility("NPO+RT", "GA+RT"), _authors_example, _exchanged(("NPO+RT", "GA+RT")),
    ),
    Claim(
        "C7d", "authors", "trend", "control: NPO without its weight",
        "It is the weight: ascent in NPO's units (W = 1) with the same retain term ends with less utility.",
        _judge_utility("NPO+RT", WITHOUT_WEIGHT), _authors_example, _exchanged(("NPO+RT", WITHOUT_WEIGHT)),
    ),
    Claim(
        "C7e", "authors", "trend", "methods with learning rates tuned equally",
        "With rates chosen on other worlds, NPO+RT has more utility among models that have forgotten than GA+RT.",
        _judge_tuned("NPO+RT", "GA+RT"), _authors_example, _exchanged(("NPO+RT", "GA+RT")),
    ),
    Claim(
        "C7f", "authors", "trend", "methods with learning rates tuned equally",
        "With rates chosen on other worlds, NPO+RT has more utility among models that have forgotten than DPO+RT.",
        _judge_tuned("NPO+RT", "DPO+RT"), _authors_example, _exchanged(("NPO+RT", "DPO+RT")),
    ),
    Claim(
        "C7g", "authors", "trend", "refusals on TOFU",
        "At the same learning rate, learning to refuse does not forget: DPO+RT and IDK+RT end below 0.05.",
        _judge_lost("DPO+RT", "IDK+RT"), _authors_example, _retrained("DPO+RT", "IDK+RT"),
    ),
    Claim(
        "C8", "authors", "trend", "half of the data forgotten",
        "Of steps with forget quality above 0.05, NPO+RT's best has more utility than GA+RT's, half being forgotten.",
        _judge_half, _authors_example, _exchanged(("NPO+RT", "GA+RT")),
        paper_value="above 0.05 at a utility above 0.55 on Forget50",
    ),
    Claim(
        "C8b", "authors", "trend", "half of the data forgotten",
        "With half of the facts forgotten, NPO+RT is above 0.05 at the last step, GA+RT is not.",
        _judge_half_kept, _authors_example, _exchanged(("NPO+RT", "GA+RT")),
    ),
    Claim(
        "C9", "authors", "trend", "readable answers after unlearning",
        "At equal forgetting more of NPO+RT's answers are sentences than of GA's and GA+RT's.",
        _judge_sentences, _authors_example, shifted("well_formed", "method", ("NPO+RT",), -0.55),
    ),
    Claim(
        "C10", "authors", "trend", "divergence from the original model",
        "Late in training KL from the original on retained facts grows linearly under GA, more slowly under NPO.",
        _judge_growth, _authors_example, _exchanged(("NPO", "GA")),
    ),
    *SWEEP_CLAIMS,
]  # fmt: skip
