"""Away from bad answers with nothing but one's own answers to hold on to: what that keeps, and what it costs.

*identities* holds the loss against DPO, NPO, the paper's gradient and Jensen's inequality. *anchor* draws self-samples
and follows how fast their mean log-ratio and the noise of the gradient settle as K grows. *threshold* descends until
nothing moves and compares what is left of a bad answer with the closed form. *descent* lets all methods descend on
random tables from one reference and compares them where they have taken the bad answers down equally far: otherwise a
faster method would look worse. *language* aligns small transformers that answer flagged topics badly half of the time,
every method with as many learning rates, chosen on prompts of another style than those that decide.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from neural.alignment.d2o import d2o_loss, d2o_margin
from neural.unlearning.losses import dpo_loss
from neural.unlearning.npo import npo_loss
from simulations import Claim, Experiment, Paper, Verdict, statistics
from simulations.alignment.dispreferred_answers import NOISES, Language, simulate_language
from simulations.controls import exchange
from theory.alignment import d2o as theory

PAPER = Paper(
    title="Negating Negatives: Alignment with Human Negative Samples via Distributional Dispreference Optimization",
    authors="Shitong Duan, Xiaoyuan Yi, Peng Zhang, Yan Liu, Zheng Liu, Tun Lu, Xing Xie, Ning Gu",
    venue="Findings of EMNLP 2024",
    arxiv="2403.03419",
)
DEVIATIONS = [
    "Both references are the model before alignment, as in the paper's experiments; self-samples are drawn once.",
    "All losses are scaled by 2/alpha, so that every method starts with the same push on the negative answer.",
    "Flagged tokens of an invented vocabulary replace harmful answers, a model of 20,000 parameters Alpaca-7B.",
    "Methods see flagged prompts only: no method has a term that holds benign answers in place.",
]


# identities -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identities:
    """Random batches of sequence log-probabilities."""

    instances: int = 60
    batch: int = 5
    samples: int = 8


def simulate_identities(settings: Identities, seed: int, device: str) -> pd.DataFrame:
    """Errors against DPO, NPO and the paper's gradient, how far the loss exceeds the mean of pairs, and their gap."""
    generator = torch.Generator().manual_seed(seed)
    rng, rows = np.random.default_rng(seed), []
    for _ in range(settings.instances):
        shape = (settings.batch, settings.samples)
        own, ref_own = (-20 * torch.rand(shape, generator=generator, dtype=torch.float64) for _ in range(2))
        bad, ref_bad = (-20 * torch.rand(shape[0], generator=generator, dtype=torch.float64) for _ in range(2))
        own, ref_own, bad, ref_bad = (part.to(device) for part in (own, ref_own, bad, ref_bad))
        alpha, beta = (float(a) for a in rng.uniform(0.05, 2, size=2))
        pairs_of_one = dpo_loss(own[:, 0], bad, ref_own[:, 0], ref_bad, alpha, alpha)
        one = d2o_loss(own[:, :1], ref_own[:, :1], bad, ref_bad, alpha, alpha)
        alone = d2o_loss(own, ref_own, bad, ref_bad, alpha, 0.0)
        own.requires_grad_()
        loss = d2o_loss(own, ref_own, bad, ref_bad, alpha, beta)
        (gradient,) = torch.autograd.grad(loss, own)
        weight = torch.sigmoid(-d2o_margin(own, ref_own, bad, ref_bad, alpha, beta)).detach()
        expected = -(weight * beta / own.shape[1] / len(bad))[:, None].expand_as(own)
        ratio, other = ((a - b).detach().cpu().numpy() for a, b in ((own, ref_own), (bad, ref_bad)))
        pairs = theory.pairwise_loss(ratio, other, alpha, beta)
        distributional = theory.d2o_loss(ratio, other, alpha, beta)
        rows.append(
            {
                "dpo": abs(float(one - pairs_of_one)),
                "npo": abs(float(alone - alpha / 2 * npo_loss(bad, ref_bad, alpha))),
                "gradient": float((gradient - expected).abs().max()),
                "without_k": float((gradient - expected * own.shape[1]).abs().max()),
                "excess": float((distributional - pairs).max()), "gap": float((pairs - distributional).max()),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


# anchor -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Anchor:
    """Numbers of self-samples, and draws of each."""

    answers: int = 12
    counts: tuple[int, ...] = (1, 2, 4, 8, 16, 64, 256)
    noise_counts: tuple[int, ...] = (1, 2, 4, 8, 16)
    draws: int = 4000


def simulate_anchor(settings: Anchor, seed: int, device: str) -> pd.DataFrame:
    """By K: error of the mean log-ratio as a divergence, and variance of the gradient of D2O at the reference."""
    rng = np.random.default_rng(seed)
    reference = rng.dirichlet(np.ones(settings.answers)) * 0.9 + 0.1 / settings.answers
    policy = rng.dirichlet(np.ones(settings.answers)) * 0.9 + 0.1 / settings.answers
    ratio = np.log(policy / reference)
    divergence = -(reference * ratio).sum()
    rows = []
    for count in settings.counts:
        shares = rng.multinomial(count, reference, size=settings.draws) / count
        error = shares @ ratio + divergence
        # At the reference every weight is 1/2, and the score of answer i is e_i − reference.
        noise = (0.5 * (shares - reference)).var(axis=0).sum()
        rows.append({"K": count, "error": float(np.sqrt((error**2).mean())), "bias": float(error.mean()),
                     "variance": float(noise), "counted": count in settings.noise_counts})  # fmt: skip
    return pd.DataFrame(rows)


# threshold --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Threshold:
    """One bad answer of known probability under the reference; ``betas`` on both sides of alpha / p."""

    alpha: float = 0.1
    betas: tuple[float, ...] = (0.1, 0.3, 0.6, 1.2)
    answers: int = 6
    tables: int = 3
    step: float = 0.25
    steps: int = 6000


def simulate_threshold(settings: Threshold, seed: int, device: str) -> pd.DataFrame:
    """What is left of the bad answer after descent, what should be, and the divergence among the others."""
    rng, rows = np.random.default_rng(seed), []
    reference = rng.dirichlet(np.full(settings.answers, 3.0), settings.tables) * 0.9 + 0.1 / settings.answers
    bad = np.zeros_like(reference)
    bad[:, 0] = 1.0
    for beta in settings.betas:
        run = theory.tabular_dispreference(
            reference, bad, "d2o", settings.alpha, beta, None, settings.step, settings.steps
        )
        for table, p in enumerate(reference[:, 0].tolist()):
            expected = theory.d2o_interior_optimum(settings.alpha, beta, p)
            rows.append(
                {
                    "beta": beta, "p": p, "ratio": settings.alpha / (beta * p), "q": float(run.q[-1, table]),
                    "expected": expected, "kl_good": float(run.kl_good[-1, table]), "start": p,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


# descent ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Descent:
    """Random tables with several bad answers; every method descends with small steps."""

    tables: int = 6
    answers: int = 12
    bad: int = 3
    alpha: float = 0.1
    levels: tuple[float, ...] = (0.05, 0.01, 0.001)
    step: float = 0.05
    steps: int = 1200


_RUNS: tuple[tuple[str, theory.Method, int | None], ...] = (
    ("ga", "ga", None), ("npo", "npo", None), ("dpo", "dpo", None), ("d2o", "d2o", None), ("d2o K=11", "d2o", 11),
    ("d2o K=1", "d2o", 1),
)  # fmt: skip


def simulate_descent(settings: Descent, seed: int, device: str) -> pd.DataFrame:
    """Steps until the bad answers have a given mass, and divergences there (NaN where that is never reached)."""
    rng, rows = np.random.default_rng(seed), []
    reference = rng.dirichlet(np.ones(settings.answers), settings.tables) * 0.9 + 0.1 / settings.answers
    bad = np.zeros_like(reference)
    for row in bad:
        row[rng.choice(settings.answers, settings.bad, replace=False)] = 1 / settings.bad
    for name, method, samples in _RUNS:
        run = theory.tabular_dispreference(
            reference, bad, method, settings.alpha, settings.alpha, samples, settings.step, settings.steps, seed
        )
        for level in settings.levels:
            for table in range(settings.tables):
                below = np.flatnonzero(run.q[:, table] <= level)
                reached = len(below) > 0
                rows.append(
                    {
                        "method": name, "level": level, "table": table, "reached": reached,
                        "steps": float(below[0]) if reached else np.nan,
                        "kl_good": float(run.kl_good[below[0], table]) if reached else np.nan,
                        "jeffreys": float(run.jeffreys[below[0], table]) if reached else np.nan,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


EXPERIMENTS = [
    Experiment("identities", simulate_identities, quick=Identities(), full=Identities(2000), tiny=Identities(3)),
    Experiment("anchor", simulate_anchor, quick=Anchor(), full=Anchor(draws=100_000), tiny=Anchor(draws=50)),
    Experiment(
        "threshold", simulate_threshold, quick=Threshold(), full=Threshold(tables=20, steps=50_000),
        tiny=Threshold(steps=5), replicates=2,
    ),
    Experiment("descent", simulate_descent, quick=Descent(), full=Descent(tables=50), tiny=Descent(2, steps=5)),
    Experiment(
        "language", simulate_language, quick=Language(),
        full=Language(width=128, base_steps=1500, base_rate=0.003, samples=11, steps=200, judged=32),
        tiny=Language(width=8, base_steps=2, samples=2, rates=(0.001, 0.003), steps=3, batch=4, judged=1),
    ),
]  # fmt: skip


# claims -----------------------------------------------------------------------------------------


def _judge_identities(table: pd.DataFrame) -> Verdict:
    return statistics.identity(
        table[["dpo", "npo", "gradient"]].max(axis=1),
        "largest error against DPO, NPO and the gradient",
        tolerance=1e-10,
    )


def _judge_jensen(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.at_most(table["excess"].max(), "largest excess over the mean of pairs", threshold=1e-12,
                               instances=len(table)),
            statistics.at_least(table["gap"].min(), "least of the batches' largest gaps to the mean of pairs",
                                threshold=1e-6, instances=len(table)),
        ]
    )  # fmt: skip


def _judge_rate(table: pd.DataFrame) -> Verdict:
    slopes = statistics.log_log_slopes(table, "K", "error")
    return statistics.within(slopes, "exponent of K in the error of the mean log-ratio", low=-0.6, high=-0.4)


def _judge_variance(table: pd.DataFrame) -> Verdict:
    slopes = statistics.log_log_slopes(table[table["counted"]], "K", "variance")
    return statistics.within(slopes, "exponent of K in the variance of the gradient", low=-1.15, high=-0.85)


def _judge_threshold(table: pd.DataFrame) -> Verdict:
    # Near the threshold itself descent is as slow as one likes, so that its end cannot be awaited.
    clear = table[(table["ratio"] < 0.8) | (table["ratio"] > 1.25)]
    inside, outside = clear[clear["ratio"] < 1], clear[clear["ratio"] > 1]
    return statistics.all_of(
        [
            statistics.identity(
                inside["q"] - inside["expected"], "error of what is left of the answer", tolerance=1e-3
            ),
            statistics.at_most(
                (outside["q"] / outside["start"]).max(), "largest share left where nothing should be", threshold=0.02
            ),
        ]
    )


def _at(table: pd.DataFrame, level: float) -> pd.DataFrame:
    """Rows at one level on the tables where every method that a claim compares got there."""
    rows = table[table["level"] == level]
    whole = rows.groupby(["replicate", "table"])["reached"].transform("all")
    return rows[whole]


def _judge_kept(first: str, second: str, level: float = 0.01):
    def judge(table: pd.DataFrame) -> Verdict:
        rows = _at(table[table["method"].isin([first, second])], level)
        gains = statistics.paired(rows, "kl_good", "method", first, second)
        compared = f"divergence among good answers at bad mass {level:g}: {first} less {second}"
        return statistics.trend(gains, compared, below=0.0)

    return judge


def _judge_faster(table: pd.DataFrame) -> Verdict:
    rows = _at(table[table["method"].isin(["d2o", "dpo"])], 0.001)
    return statistics.trend(
        statistics.paired(rows, "steps", "method", "d2o", "dpo"), "steps to bad mass .001: D2O less DPO", below=0.0
    )


def _tuned(table: pd.DataFrame) -> pd.DataFrame:
    """Test rows, each method at the learning rate whose right answers less flagged ones are best in tuning."""
    tuning = table[(table["part"] == "tuning") & (table["method"] != "base")]
    scores = (tuning["utility"] - tuning["harm"]).groupby([tuning["method"], tuning["rate"]]).mean().unstack("rate")
    best = scores.idxmax(axis=1)
    test = table[table["part"] == "test"]
    return test[test["method"].map(best).fillna(0.0) == test["rate"]]


def _judge_language(column: str, first: str, second: str, *, below: float | None = None, above: float | None = None):
    def judge(table: pd.DataFrame) -> Verdict:
        gains = statistics.paired(_tuned(table), column, "method", first, second)
        return statistics.trend(gains, f"{_COLUMNS[column]}: {first} less {second}", below=below, above=above)

    return judge


def _judge_noise(table: pd.DataFrame) -> Verdict:
    rows = _tuned(table)
    clean, noisy = (f"dpo on humans {noise:g}" for noise in (NOISES[0], NOISES[-1]))
    worse = statistics.paired(rows, "harm", "method", noisy, clean)
    return statistics.trend(worse, "flagged answers: half of the humans' positives flagged less none", above=0.0)


_COLUMNS = {"harm": "flagged answers", "utility": "right benign answers", "rough": "roughness of the training loss"}


def _identities_example() -> pd.DataFrame:
    return pd.DataFrame(
        [{"replicate": 0, "dpo": 0.0, "npo": 1e-16, "gradient": 1e-16, "without_k": 0.3, "excess": -0.01, "gap": 0.01}]
    )


def _anchor_example() -> pd.DataFrame:
    rows = [(r, k, (1 + 0.01 * r) * k**-0.5, 1.0 / k, k <= 16) for r in range(5) for k in (1, 4, 16, 64)]
    return pd.DataFrame(rows, columns=["replicate", "K", "error", "variance", "counted"])


def _threshold_example() -> pd.DataFrame:
    rows = [(0, 0.5, 0.1, 0.1, 0.2), (0, 2.0, 1e-4, 0.0, 0.2)]
    return pd.DataFrame(rows, columns=["replicate", "ratio", "q", "expected", "start"])


def _descent_example() -> pd.DataFrame:
    kept = {"d2o": 0.1, "d2o K=11": 0.12, "dpo": 0.2, "d2o K=1": 0.2, "npo": 0.5, "ga": 0.7}
    rows = [
        (r, method, level, 0, True, 100 * kl + r, kl * (1 + 0.01 * r)) for r in range(5) for method, kl in kept.items()
        for level in (0.05, 0.01, 0.001)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["replicate", "method", "level", "table", "reached", "steps", "kl_good"])


def _language_example() -> pd.DataFrame:
    good = {
        "base": (0.5, 0.9, 0.0), "d2o": (0.02, 0.95, 0.01), "d2o without flagged": (0.01, 0.97, 0.01),
        "dpo on self-samples": (0.1, 0.8, 0.05), "npo": (0.05, 0.5, 0.02), "ga": (0.05, 0.3, 0.5),
        "dpo on humans 0": (0.03, 0.9, 0.02), "dpo on humans 0.5": (0.2, 0.9, 0.02),
    }  # fmt: skip
    rows = [
        (r, method, 0.001 * (method != "base"), part, harm + 0.001 * r, utility - 0.002 * r * (method != "d2o"), rough)
        for r in range(5) for method, (harm, utility, rough) in good.items() for part in ("tuning", "test")
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["replicate", "method", "rate", "part", "harm", "utility", "rough"])


def _swapped(first: str, second: str):
    return lambda table: exchange(table, "method", first, second)


def _kept(id: str, first: str, second: str, statement: str) -> Claim:
    return Claim(
        id, "descent", "trend", "no collapse of what is not bad", statement, _judge_kept(first, second),
        _descent_example, _swapped(first, second),
    )  # fmt: skip


def _spoken(
    id: str, column: str, second: str, statement: str, *, below: float | None = None, above: float | None = None
):
    return Claim(
        id, "language", "trend", "alignment of language models", statement,
        _judge_language(column, "d2o", second, below=below, above=above), _language_example, _swapped("d2o", second),
    )  # fmt: skip


CLAIMS = [
    Claim(
        "C1", "identities", "identity", "loss and gradient",
        "One self-sample makes D2O DPO, no anchor makes it NPO times alpha/2, and its gradient is the paper's.",
        _judge_identities, _identities_example, lambda t: t.assign(gradient=t["without_k"]),
    ),
    Claim(
        "C2", "identities", "bound", "upper bound of instance-level DPO",
        "D2O is never above the mean of DPO over its self-samples, and visibly below it in every batch.",
        _judge_jensen, _identities_example, lambda t: t.assign(excess=-t["excess"]),
    ),
    Claim(
        "C3", "anchor", "rate", "implicit divergence, derived here",
        "The mean log-ratio of K self-samples tends to minus the forward divergence at the rate K^(−1/2).",
        _judge_rate, _anchor_example, lambda t: t.assign(error=t["variance"]),
    ),
    Claim(
        "C4", "threshold", "limit", "where descent ends, derived here",
        "One bad answer vanishes if alpha > beta p, and is left at (beta p − alpha)/(beta − alpha) if not.",
        _judge_threshold, _threshold_example, lambda t: t.assign(q=t["q"] + 0.05),
    ),
    _kept("C5a", "d2o", "ga", "At one mass of bad answers, D2O leaves the others closer to the reference than GA."),
    _kept("C5b", "d2o", "npo", "… than NPO."),
    _kept("C5c", "d2o", "dpo", "… than DPO on pairs with self-samples."),
    _kept("C5d", "d2o K=11", "npo", "With eleven self-samples, too, it leaves them closer than NPO."),
    Claim(
        "C6", "anchor", "rate", "noise of self-samples",
        "At the reference the variance of D2O's gradient over self-samples falls like 1/K.",
        _judge_variance, _anchor_example, lambda t: t.assign(variance=t["error"]),
    ),
    Claim(
        "C7", "descent", "trend", "speed",
        "D2O takes the bad answers to .001 in fewer steps than DPO on pairs.",
        _judge_faster, _descent_example, _swapped("d2o", "dpo"), paper_value="converges faster than DPO",
    ),
    _spoken(
        "C8a", "harm", "dpo on self-samples", "D2O leaves fewer flagged answers than DPO on self-samples.", below=0.0
    ),
    _spoken("C8b", "utility", "ga", "D2O keeps more benign answers right than GA.", above=0.0),
    _spoken("C8c", "utility", "npo", "D2O keeps more benign answers right than NPO.", above=0.0),
    _spoken("C8d", "utility", "dpo on self-samples", "… than DPO on self-samples.", above=0.0),
    _spoken(
        "C8e", "rough", "dpo on self-samples", "D2O's training loss is smoother than DPO's on self-samples.", below=0.0
    ),
    Claim(
        "C8f", "language", "trend", "control: the model before alignment",
        "D2O leaves fewer flagged answers than the model had before.",
        _judge_language("harm", "d2o", "base", below=-0.2), _language_example, lambda t: t.assign(harm=1 - t["harm"]),
    ),
    Claim(
        "C8g", "language", "trend", "self-samples that a judge has read",
        "Leaving out flagged self-samples leaves fewer flagged answers.",
        _judge_language("harm", "d2o without flagged", "d2o", below=0.0), _language_example,
        _swapped("d2o without flagged", "d2o"),
    ),
    Claim(
        "C9", "language", "trend", "noise of human positives",
        "DPO on human positives leaves more flagged answers when half of the positives are flagged themselves.",
        _judge_noise, _language_example, _swapped("dpo on humans 0", "dpo on humans 0.5"),
    ),
    Claim(
        "C9b", "language", "trend", "noise of human positives",
        "D2O, which uses none, leaves fewer flagged answers than DPO on such positives.",
        _judge_language("harm", "d2o", "dpo on humans 0.5", below=0.0), _language_example,
        _swapped("d2o", "dpo on humans 0.5"),
    ),
]  # fmt: skip
