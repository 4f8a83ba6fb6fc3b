"""Which token of a wrong answer left no way back, who finds it, and what sparing the others does to learning.

*identities* holds contrast, losses, gradients, pass@k and the enumeration of continuations against second ways to
compute them. *tables* takes a tabular policy on chains of arithmetic, whose chance of success after every token is
known exactly, and asks how often rollouts find the exact critical token, with shuffled scores as the negative
condition. *language* does the same with a transformer, whose chances are enumerated; separates critical tokens from
others by the contrast of a model of right and one of wrong answers, against the probability of the model itself, models
exchanged, and equal models, which have no contrast; counts what each costs; and trains it on pairs by every method at
every learning rate, in lockstep, among them cDPO whose scores are shuffled among the tokens. Learning rates are chosen
on held-out problems of the other replicates.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from neural.alignment import cdpo
from neural.tiny_lm.logprobs import token_logps
from neural.unlearning.losses import dpo_loss
from simulations import Claim, Experiment, Paper, Verdict, statistics
from simulations.alignment.chain_learning import KAPPA, teacher_counts
from simulations.alignment.critical_tokens import Language, simulate_language
from simulations.controls import columns_exchanged
from simulations.unlearning.unlearning_runs import chosen_elsewhere
from theory.alignment import cdpo as theory
from theory.alignment.chain_mdp import ChainMDP, fit_sft

PAPER = Paper(
    title="Critical Tokens Matter: Token-Level Contrastive Estimation Enhances LLM's Reasoning Capability",
    authors="Zicheng Lin, Tian Liang, Jiahao Xu, Qiuzhi Liu, Xing Wang, Ruilin Luo, Chufan Shi, Siheng Li, Yujiu Yang, "
    "Zhaopeng Tu",
    venue="ICML 2025",
    arxiv="2411.19943",
)
DEVIATIONS = [
    "A whole wrong answer has no completion that is right, so that by definition every wrong answer has a critical "
    "token, its last one at the latest. Only tokens of the steps, before the answer is announced, count here.",
    "Exact chances of success are never 0; where 64 rollouts are held against them, a chance below 1 − 2^(−1/64) = "
    "0.0108 counts as none: more likely than not such rollouts see no success.",
    "The paper's loss sums over the answer; the authors' code takes the mean over positions of a loss of each, padding "
    "included, which adds log 2 for each padded position. Ours leaves padding out.",
    "Where later successes rule out every candidate, the authors' code falls back to the last; we say there is none.",
    "The paper counts a generated token, but also a whole text in training, as one pass. We count so, and tokens.",
    "Full fine-tuning of a transformer of 15,000 parameters on arithmetic modulo 5, sampled at temperature 1, stands "
    "for adapters of 8 billion on GSM8K and MATH; pairs are one for each problem, as in the paper.",
    "Quick sees half of the pairs, once: too little for methods to part in accuracy, as they do in longer training.",
]
_DYNAMICS_RATE = 3e-4
"""Where log-ratios are compared, unless the grid lacks it: one rate for all methods."""


# identities -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identities:
    """Random laws and pairs of answers."""

    instances: int = 30
    vocabulary: int = 7
    tokens: int = 6
    most: int = 8


def simulate_identities(settings: Identities, seed: int, device: str) -> pd.DataFrame:
    """Errors of each identity, and of what would be there in its place."""
    generator, rng = torch.Generator().manual_seed(seed % 2**63), np.random.default_rng(seed)
    rows = []
    for _ in range(settings.instances):
        row = _contrast_errors(settings, generator, rng, device)
        rows.append(row | _loss_errors(settings, generator, rng, device) | _enumeration_errors(rng))
    worst = pd.DataFrame(rows).agg(
        {name: "min" if name.startswith("instead") else "max" for name in rows[0]}
    )  # fmt: skip
    return pd.DataFrame([worst.to_dict() | _pass_errors(settings.most)])


def _contrast_errors(settings: Identities, generator, rng, device: str) -> dict[str, float]:
    beta = float(rng.uniform(0.1, 3))
    shape = (3, settings.tokens + 1, settings.vocabulary)
    pos, neg = (2 * torch.randn(shape, generator=generator, dtype=torch.float64).to(device) for _ in range(2))
    ids = torch.randint(settings.vocabulary, shape[:2], generator=generator).to(device)
    found = cdpo.contrastive_estimation(pos, neg, ids, beta).cpu().numpy()
    laws = [each.softmax(-1).cpu().numpy()[:, :-1] for each in (pos, neg)]
    targets = ids.cpu().numpy()[:, 1:, None]
    direct = np.log(np.take_along_axis(theory.contrast(laws[0], laws[1], beta), targets, axis=2))[..., 0]
    equal = cdpo.contrastive_estimation(pos, pos, ids, beta) - token_logps(pos, ids)
    means = rng.normal(size=2)
    x = np.linspace(-40, 40, 20001)
    densities = [np.exp(-((x - mean) ** 2) / 2) / np.sqrt(2 * np.pi) for mean in means]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = -((1 + beta) * (x - means[0]) ** 2 - beta * (x - means[1]) ** 2) / 2
    mixed = np.exp(logs - logs.max())
    mixed /= mixed.sum()
    expected = theory.gaussian_contrast_mean(float(means[0]), float(means[1]), beta)
    spread = (mixed * (x - expected) ** 2).sum() - (densities[0] * (x - means[0]) ** 2).sum() / densities[0].sum()
    return {
        "contrast": float(np.abs(found - direct).max()),
        "instead_contrast": float(np.abs(found - token_logps(pos, ids).cpu().numpy()).max()),
        "equal": float(equal.abs().max()), "gaussian": float(max(abs((mixed * x).sum() - expected), abs(spread))),
        "instead_gaussian": float(abs(expected - means[0])),
    }  # fmt: skip


def _loss_errors(settings: Identities, generator, rng, device: str) -> dict[str, float]:
    shape = (4, settings.tokens)
    pol_w, pol_l, ref_w, ref_l = (
        -5 * torch.rand(shape, generator=generator, dtype=torch.float64).to(device) for _ in range(4)
    )
    texts = (pol_w, pol_l, ref_w, ref_l)
    scores = torch.rand(shape, generator=generator, dtype=torch.float64).to(device)
    mask = torch.ones(shape, dtype=torch.bool, device=device)
    gamma, smoothing = float(rng.uniform(0.05, 2)), float(rng.uniform(0, 0.5))
    dpo = dpo_loss(
        pol_w.sum(1), pol_l.sum(1), ref_w.sum(1), ref_l.sum(1), beta=gamma, scale=gamma, reduction="none"
    )  # fmt: skip
    zero = cdpo.cdpo_loss(*texts, mask, mask, torch.zeros_like(scores), gamma, reduction="none")
    one = cdpo.cdpo_loss(*texts, mask, mask, torch.ones_like(scores), gamma, reduction="none")
    up = -torch.nn.functional.logsigmoid(gamma * (pol_w - ref_w).sum(1))
    ratio_w, ratio_l = (pol_w - ref_w).cpu().numpy(), (pol_l - ref_l).cpu().numpy()
    rooms = 0.0
    for form in ("sequence", "token"):
        ours = cdpo.cdpo_loss(
            *texts, mask, mask, scores, gamma, form=form, label_smoothing=smoothing, reduction="none"
        )  # fmt: skip
        other = theory.cdpo_loss(ratio_w, ratio_l, scores.cpu().numpy(), gamma, form, label_smoothing=smoothing)
        rooms = max(rooms, float(np.abs(ours.cpu().numpy() - other).max()))
    rejected = pol_l.clone().requires_grad_()
    loss = cdpo.cdpo_loss(pol_w, rejected, ref_w, ref_l, mask, mask, scores, gamma, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, rejected)
    margin = gamma * ((pol_w - ref_w).sum(1) - ((1 - scores) * (pol_l - ref_l)).sum(1))
    expected = torch.sigmoid(-margin)[:, None] * gamma * (1 - scores)
    return {
        "no_score_is_dpo": float((zero - dpo).abs().max()), "full_score_only_up": float((one - up).abs().max()),
        "instead_loss": float((zero - one).abs().max()), "rooms": rooms,
        "gradient": float((gradient - expected).abs().max()),
        "instead_gradient": float((gradient - expected / (1 - scores)).abs().max()),
    }  # fmt: skip


def _enumeration_errors(rng: np.random.Generator) -> dict[str, float]:
    """All continuations of a random law over three tokens, one by one, against the tree of those that leave it."""
    tokens, length = 3, 4
    laws = {
        prefix: rng.dirichlet(np.full(tokens, 0.4))
        for d in range(length)
        for prefix in itertools.product(range(tokens), repeat=d)
    }
    good = rng.random((tokens,) * length) < 0.3
    response = rng.integers(0, tokens, (1, length))

    def next_probs(prefixes: np.ndarray) -> np.ndarray:
        return np.stack([laws[tuple(row[1:].tolist())] for row in prefixes])

    def verify(_prompts: np.ndarray, texts: np.ndarray) -> np.ndarray:
        return good[tuple(texts.T)]

    direct = []
    for t in range(length + 1):
        start, total = tuple(response[0, :t].tolist()), 0.0
        for rest in itertools.product(range(tokens), repeat=length - t):
            text = start + rest
            total += float(np.prod([laws[text[:d]][text[d]] for d in range(t, length)])) * good[text]
        direct.append(total)
    prompt = np.zeros((1, 1), dtype=np.int64)
    whole, pruned = (theory.prefix_success(next_probs, prompt, response, verify, prune) for prune in (0.0, 0.05))
    outside = np.maximum(pruned.lower[0] - direct, direct - pruned.upper[0]).max()
    return {
        "enumeration": float(np.abs(whole.lower[0] - direct).max()), "outside_bounds": float(max(outside, 0.0)),
        "spread_of_scores": float(np.ptp(direct)),
    }  # fmt: skip


def _pass_errors(most: int) -> dict[str, float]:
    """pass@k of both rooms against all subsets, for all n, c and k, and that of the naive 1 − (1 − c/n)^k."""
    error, naive = 0.0, 0.0
    for n in range(1, most + 1):
        for k in range(1, n + 1):
            subsets = list(itertools.combinations(range(n), k))
            both = cdpo.pass_at_k(n, torch.arange(n + 1), k).tolist()
            for c in range(n + 1):
                direct = sum(subset[0] < c for subset in subsets) / len(subsets)
                error = max(error, abs(both[c] - direct), abs(theory.pass_at_k(n, c, k) - direct))
                naive = max(naive, abs(1 - (1 - c / n) ** k - direct))
    return {"pass_at_k": error, "instead_pass_at_k": naive}


# tables -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tables:
    """Teacher problems of the tabular policy, answers of which the wrong ones are judged, rollouts per prefix."""

    base: int = 5
    n_ops: int = 3
    teacher: int = 192
    problems: int = 3000
    rollouts: tuple[int, ...] = (16, 64, 256, 1024)


def simulate_tables(settings: Tables, seed: int, device: str) -> pd.DataFrame:
    """A row per number of rollouts: agreement with the exact critical token, in clear cases, of shuffled scores."""
    rng = np.random.default_rng(seed)
    world = ChainMDP(settings.base, settings.n_ops)
    policy = fit_sft(teacher_counts(world, world.problems(settings.teacher, rng)), KAPPA)
    problems = world.problems(settings.problems, rng)
    answers = policy.sample(problems, 1, rng)[:, 0]
    wrong = ~world.verify(problems, answers)
    problems, answers = problems[wrong], answers[wrong]
    exact = theory.chain_prefix_success(policy, problems, answers)[:, 1 : 3 * settings.n_ops + 1]
    first_wrong = 3 * world.first_wrong_step(problems, answers) + 2
    rows = []
    for rollouts in settings.rollouts:
        none = theory.no_success_level(rollouts)
        truth = _critical(exact, none)
        # Rollouts succeed with the prefix's exact chance, independently: a binomial count.
        estimate = rng.binomial(rollouts, exact) / rollouts
        found, shuffled = _critical(estimate), _critical(rng.permuted(estimate, axis=1))
        clear = ((exact < none / 4) | (exact > max(0.1, 4 * none))).all(axis=1)
        rows.append(
            {"rollouts": rollouts, "answers": len(truth), "agreement": float((found == truth).mean()),
             "shuffled": float((shuffled == truth).mean()), "clear": float(clear.mean()),
             "clear_agreement": float((found == truth)[clear].mean()) if clear.any() else 0.0,
             "critical": float((truth >= 0).mean()), "differs": float((truth != first_wrong)[truth >= 0].mean())}
        )  # fmt: skip
    return pd.DataFrame(rows)


def _critical(scores: np.ndarray, none: float = 0.0) -> np.ndarray:
    return cdpo.find_critical_token(torch.from_numpy(scores), none=none).numpy()


EXPERIMENTS = [
    Experiment(
        "identities", simulate_identities, quick=Identities(), full=Identities(1000), tiny=Identities(2, most=4)
    ),
    Experiment(
        "tables", simulate_tables, quick=Tables(), full=Tables(base=10, n_ops=5, teacher=1024, problems=50_000),
        tiny=Tables(base=3, n_ops=2, teacher=16, problems=40, rollouts=(16, 64)),
    ),
    Experiment(
        "language", simulate_language, quick=Language(),
        full=Language(
            base=10, n_ops=5, teacher=4096, d_model=96, n_layers=2, sft_steps=1500, sft_batch=64, sft_rate=3e-3,
            fresh=4096, answers=16, contrast_steps=300, judged=400, right_judged=100, exact=24, prune=1e-5, pairs=4096,
            steps=250, batch=16, validation=1000, test=4000,
        ),
        tiny=Language(
            base=3, n_ops=2, teacher=32, d_model=8, sft_steps=60, sft_batch=16, sft_rate=0.02, fresh=30, answers=6,
            contrast_steps=3, judged=6, right_judged=3, rollouts=4, exact=3, prune=1e-3, pairs=20, rates=(3e-4, 1e-3),
            steps=2, batch=4, validation=10, test=20,
        ),
    ),
]  # fmt: skip


# claims -----------------------------------------------------------------------------------------


def _errors(*columns: str, instead: str, compared: str, tolerance: float = 1e-10):
    def judge(table: pd.DataFrame) -> Verdict:
        return statistics.all_of(
            [
                statistics.identity(
                    table[list(columns)].max(axis=1), f"largest error of {compared}", tolerance=tolerance
                ),
                statistics.at_least(float(table[instead].min()), "least error of what is no identity", threshold=1e-3),
            ]
        )  # fmt: skip

    return judge


def _of(
    kind: str, column: str, compared: str, *, less: str = "", above: float | None = None, below: float | None = None
):
    """A trend of one column of the language model's rows, or of the difference of two."""

    def judge(table: pd.DataFrame) -> Verdict:
        rows = table[table["kind"] == kind].groupby("replicate", sort=True)
        values = rows[column].mean().to_numpy(dtype=np.float64)
        if less:
            values = values - rows[less].mean().to_numpy(dtype=np.float64)
        return statistics.trend(values, compared, above=above, below=below)

    return judge


def _replacement(kind: str, with_token: str, without: str):
    def judge(table: pd.DataFrame) -> Verdict:
        return statistics.all_of(
            [
                _of(kind, with_token, "success with the critical token", below=0.05)(table),
                _of(kind, without, "success without it", above=0.2)(table),
            ]
        )

    return judge


def _judge_pass_at_most(table: pd.DataFrame) -> Verdict:
    rows = table[table["kind"] == "passk"]
    most = rows[rows["k"] == rows["k"].max()].groupby("replicate", sort=True)[["with", "without"]].mean()
    gained = (most["without"] - most["with"]).to_numpy(dtype=np.float64)
    return statistics.trend(gained, f"pass@{int(rows['k'].max())} without the token less with it", above=0.0)


def _judge_rollouts(table: pd.DataFrame) -> Verdict:
    rows = table[table["kind"] == "exact"]
    return statistics.all_of(
        [
            statistics.at_most(
                float(rows["deviation"].max()), "standard errors of rollouts outside the exact bounds", threshold=1.3
            ),
            statistics.at_least(float(rows["wrong_by"].min()), "of the tokens in reverse order", threshold=3.0),
        ]
    )


def _judge_tables(column: str, above: float, less: str = ""):
    def judge(table: pd.DataFrame) -> Verdict:
        rows = table[table["rollouts"] == 64].groupby("replicate", sort=True)
        values = rows[column].mean().to_numpy(dtype=np.float64)
        if less:
            values = values - rows[less].mean().to_numpy(dtype=np.float64)
        compared = f"share in which 64 rollouts find the exact critical token{', less shuffled ones' if less else ''}"
        return statistics.trend(values, compared, above=above)

    return judge


def _arms(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["kind"] == "arm"]


def _accuracy(first: str, second: str, *, above: float | None = None, below: float | None = None):
    def judge(table: pd.DataFrame) -> Verdict:
        rows = chosen_elsewhere(_arms(table), "validation")
        gained = statistics.paired(rows, "accuracy", "method", first, second)
        return statistics.trend(gained, f"accuracy, {first} less {second}", above=above, below=below)

    return judge


def _judge_hasty(table: pd.DataFrame) -> Verdict:
    rows = _arms(table)
    rows = rows[rows["learning_rate"] == rows["learning_rate"].max()]
    gained = statistics.paired(rows, "accuracy", "method", "cdpo", "dpo")
    return statistics.trend(gained, "accuracy at the largest learning rate, cdpo less dpo", above=0.0)


def _at_one_rate(table: pd.DataFrame, method: str, column: str) -> np.ndarray:
    rows = _arms(table)
    rows = rows[rows["method"] == method]
    rate = min(rows["learning_rate"].unique(), key=lambda r: abs(np.log(r / _DYNAMICS_RATE)))
    return rows[rows["learning_rate"] == rate].groupby("replicate", sort=True)[column].mean().to_numpy(dtype=np.float64)


def _judge_chosen(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.trend(_at_one_rate(table, "dpo", "chosen"), "log-ratio of right answers, dpo", below=0.0),
            statistics.trend(_at_one_rate(table, "cdpo", "chosen"), "log-ratio of right answers, cdpo", above=0.0),
        ]
    )


def _judge_rejected(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.trend(
                _at_one_rate(table, method, "rejected"), f"log-ratio of wrong answers, {method}", below=0.0
            )
            for method in ("dpo", "cdpo")
        ]
    )


def _judge_chosen_gap(table: pd.DataFrame) -> Verdict:
    gap = _at_one_rate(table, "cdpo", "chosen") - _at_one_rate(table, "dpo", "chosen")
    return statistics.trend(gap, "log-ratio of right answers, cdpo less dpo", above=0.0)


# examples and controls ---------------------------------------------------------------------------


def _identities_example() -> pd.DataFrame:
    names = (
        "contrast", "equal", "gaussian", "no_score_is_dpo", "full_score_only_up", "rooms", "gradient", "enumeration",
        "outside_bounds", "pass_at_k",
    )  # fmt: skip
    row = dict.fromkeys(names, 1e-15)
    instead = {f"instead_{name}": 0.3 for name in ("contrast", "gaussian", "loss", "gradient", "pass_at_k")}
    return pd.DataFrame([{"replicate": k, **row, **instead, "spread_of_scores": 0.4} for k in range(5)])


def _tables_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "rollouts": n, "agreement": 0.9 + 0.002 * k, "clear_agreement": 0.97 + 0.002 * k,
             "shuffled": 0.1 + 0.001 * k}
            for k in range(5) for n in (16, 64)
        ]
    )  # fmt: skip


def _language_example() -> pd.DataFrame:
    rows: list[dict] = []
    accuracies = {
        "base": 0.5, "dpo": 0.4, "cdpo": 0.55, "cdpo per position": 0.54, "rpo": 0.52, "cdpo + nll": 0.55, "tdpo": 0.5,
        "sft on positives": 0.5, "cdpo both sides": 0.45, "cdpo, shuffled scores": 0.5,
    }  # fmt: skip
    for k in range(5):
        noise = 0.002 * (k - 2)
        rows.append(
            {"kind": "tokens", "critical": 0.97 + noise, "critical_right": 0.01, "differs": 0.7 + noise,
             "auc_contrast": 0.8 + noise, "auc_base": 0.7, "auc_equal": 0.68, "auc_exchanged": 0.5, "auc_shuffled": 0.5,
             "auc_contrast_results": 0.75 + noise, "auc_base_results": 0.65, "s_critical": 0.4, "s_other": 0.9 + noise,
             "pass1_with": 0.02 + noise, "pass1_without": 0.4 + noise, "pass_ratio": 0.0005 + noise / 1e4,
             "pass_ratio_with_training": 0.003 + noise / 100, "token_ratio_with_training": 0.004 + noise / 100}
        )  # fmt: skip
        rows.append(
            {"kind": "exact", "agreement": 0.9 + noise, "shuffled_agreement": 0.1, "clear_agreement": 0.97 + noise,
             "exact_critical": 0.97 + noise, "exact_differs": 0.7 + noise, "exact_with": 0.02 + noise,
             "exact_without": 0.4 + noise, "deviation": 1.0, "wrong_by": 9.0}
        )  # fmt: skip
        rows += [{"kind": "passk", "k": n, "with": 0.02 * n, "without": 0.4 + 0.03 * n + noise} for n in (1, 4)]
        for method, accuracy in accuracies.items():
            moved = {"dpo": (-1.0, -4.0), "cdpo": (0.5, -2.0)}.get(method, (0.1, -1.0))
            rows += [
                {"kind": "arm", "method": method, "learning_rate": rate, "validation": accuracy,
                 "accuracy": accuracy + (noise if method == "cdpo" else 0.0), "chosen": moved[0] + noise,
                 "rejected": moved[1] + noise}
                for rate in ((0.0,) if method == "base" else (3e-4, 1e-3))
            ]  # fmt: skip
        for row in rows:
            row.setdefault("replicate", k)
    return pd.DataFrame(rows)


def _methods_exchanged(first: str, second: str):
    def control(table: pd.DataFrame) -> pd.DataFrame:
        """Accuracies and log-ratios change hands, whatever rates each method has."""
        turned = {first: second, second: first}
        both = table[table["method"].isin(turned)]
        if "base" not in turned:
            return table.assign(method=table["method"].replace(turned))
        # The model before training has one rate: what is exchanged are accuracies, to it and from it.
        other = second if first == "base" else first
        means = both.groupby(["replicate", "method"])["accuracy"].mean().unstack("method")
        moved = table.copy()
        for name in turned:
            rows = moved["method"] == name
            moved.loc[rows, "accuracy"] = moved.loc[rows, "replicate"].map(means["base" if name == other else other])
        return moved

    return control


def _lowered(**values: float):
    """A control that puts a measurement, with its scatter, around another value."""

    def control(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(**{name: value + table[name] - table[name].mean() for name, value in values.items()})

    return control


def _language(id: str, source: str, statement: str, judge, control, paper_value: str = "") -> Claim:
    return Claim(
        id, "language", "trend", source, statement, judge, _language_example, control, paper_value
    )  # fmt: skip


_CRITICAL = "critical tokens by rollouts"
_ESTIMATED = "contrastive estimation"
_EXACT = "critical tokens by rollouts, against exact chances of success; ours"
_TABLE3 = "accuracy on GSM8K and MATH500"

CLAIMS = [
    Claim(
        "C1a", "identities", "identity", "contrastive estimation; derived",
        "Logits may stand for log-probabilities in the contrast, equal models contrast to themselves, and normal laws "
        "of one variance to one whose mean is moved on by beta times their distance.",
        _errors("contrast", "equal", "gaussian", instead="instead_contrast", compared="contrasts", tolerance=1e-8),
        _identities_example, columns_exchanged("contrast", "instead_contrast"),
    ),
    Claim(
        "C1b", "identities", "identity", "loss; derived",
        "With scores of 0 cDPO is DPO, with scores of 1 it only pushes right answers up, and its derivative by a "
        "rejected token is sigma(−h) gamma (1 − s).",
        _errors("no_score_is_dpo", "full_score_only_up", "rooms", "gradient", instead="instead_gradient",
                compared="losses and gradients"),
        _identities_example, columns_exchanged("no_score_is_dpo", "instead_loss"),
    ),
    Claim(
        "C1c", "identities", "identity", "pass@k",
        "The estimator of pass@k is the share of all subsets of k samples with a right one.",
        _errors("pass_at_k", instead="instead_pass_at_k", compared="pass@k"),
        _identities_example, columns_exchanged("pass_at_k", "instead_pass_at_k"),
    ),
    Claim(
        "C1d", "identities", "identity", "exact chances of success; ours",
        "The tree of continuations that leave an answer gives the chance of success after each of its tokens, and "
        "bounds of it where it is pruned.",
        _errors("enumeration", "outside_bounds", instead="spread_of_scores", compared="chances of success"),
        _identities_example, columns_exchanged("enumeration", "spread_of_scores"),
    ),
    _language(
        "C2a", _CRITICAL, "At least 90 % of wrong answers have a critical token before the answer is announced.",
        _of("tokens", "critical", "share with a critical token", above=0.9), _lowered(critical=0.4),
        paper_value="100 of 100 on MATH, 99 of 100 on GSM8K",
    ),
    _language(
        "C2b", _EXACT, "By exact chances of success at least 90 % do.",
        _of("exact", "exact_critical", "share with an exact critical token", above=0.9), _lowered(exact_critical=0.4),
    ),
    _language(
        "C2c", "control: right answers", "Right answers hardly have one: fewer than 5 %.",
        _of("tokens", "critical_right", "share with a critical token", below=0.05),
        columns_exchanged("critical", "critical_right"),
    ),
    _language(
        "C3a", _CRITICAL, "The critical token is not the first wrong one in more than 30 % of wrong answers.",
        _of("tokens", "differs", "share where it is another", above=0.3), _lowered(differs=0.1),
        paper_value="65 % and 87 % on the two benchmarks",
    ),
    _language(
        "C3b", _EXACT, "The exact critical token is not either.",
        _of("exact", "exact_differs", "share where it is another", above=0.3), _lowered(exact_differs=0.1),
    ),
    _language(
        "C4a", "pass@k with and without the critical token",
        "After the critical token less than 5 % of new rollouts succeed, more than 20 % where it is forbidden.",
        _replacement("tokens", "pass1_with", "pass1_without"), columns_exchanged("pass1_with", "pass1_without"),
        paper_value="0 % against about 30 %",
    ),
    _language(
        "C4b", "pass@k with and without the critical token",
        "With as many attempts as there are rollouts it is still ahead without the token.",
        _judge_pass_at_most, columns_exchanged("with", "without"), paper_value="above 90 % without at k = 64",
    ),
    _language(
        "C4c", _EXACT, "So it is by exact chances at the exact critical token.",
        _replacement("exact", "exact_with", "exact_without"), columns_exchanged("exact_with", "exact_without"),
    ),
    _language(
        "C5a", _ESTIMATED, "Small scores of the contrast mark critical tokens: the area under the curve is above .5.",
        _of("tokens", "auc_contrast", "area under the curve", above=0.5), _lowered(auc_contrast=0.3),
    ),
    _language(
        "C5b", _ESTIMATED, "… more so than small probabilities of the model itself.",
        _of("tokens", "auc_contrast", "area, contrast less own probability", less="auc_base", above=0.0),
        columns_exchanged("auc_contrast", "auc_base"),
    ),
    _language(
        "C5c", "control: two equal models", "… and more than the contrast of two equal models, which is no contrast.",
        _of("tokens", "auc_contrast", "area, contrast less equal models", less="auc_equal", above=0.0),
        columns_exchanged("auc_contrast", "auc_equal"),
    ),
    _language(
        "C5d", "control: models exchanged", "… and more than with the two models exchanged.",
        _of("tokens", "auc_contrast", "area, contrast less models exchanged", less="auc_exchanged", above=0.0),
        columns_exchanged("auc_contrast", "auc_exchanged"),
    ),
    _language(
        "C5e", _ESTIMATED, "Critical tokens have smaller scores than others.",
        _of("tokens", "s_critical", "mean score, critical less others", less="s_other", below=0.0),
        columns_exchanged("s_critical", "s_other"),
    ),
    _language(
        "C5f", "contrastive estimation; ours",
        "Among results of steps alone, which are seldom certain, the contrast marks critical ones better than the "
        "model's own probability.",
        _of("tokens", "auc_contrast_results", "area among results, contrast less own probability",
            less="auc_base_results", above=0.0),
        columns_exchanged("auc_contrast_results", "auc_base_results"),
    ),
    _language(
        "C6a", "log-probabilities during training",
        "At one learning rate DPO ends with right answers less likely than before, cDPO with more likely ones.",
        _judge_chosen, _methods_exchanged("dpo", "cdpo"),
    ),
    _language(
        "C6b", "log-probabilities during training", "There wrong answers become less likely with both.",
        _judge_rejected, lambda t: t.assign(rejected=-t["rejected"]),
    ),
    _language(
        "C6c", "log-probabilities during training", "There cDPO leaves right answers more likely than DPO does.",
        _judge_chosen_gap, _methods_exchanged("dpo", "cdpo"),
    ),
    _language(
        "C7a", _TABLE3, "cDPO is more accurate than DPO, each at its learning rate.",
        _accuracy("cdpo", "dpo", above=0.0), _methods_exchanged("cdpo", "dpo"),
        paper_value="GSM8K 77.2 against 71.3, MATH500 33.4 against 30.5",
    ),
    _language(
        "C7b", _TABLE3, "It is no less accurate than the model before, by two points at most.",
        _accuracy("cdpo", "base", above=-0.02),
        lambda t: t.assign(accuracy=t["accuracy"] - 0.2 * (t["method"] == "cdpo")),
    ),
    _language(
        "C7c", _TABLE3, "It is more accurate than RPO.", _accuracy("cdpo", "rpo", above=0.0),
        _methods_exchanged("cdpo", "rpo"), paper_value="GSM8K 77.2 against 75.4, MATH500 33.4 against 32.3",
    ),
    _language(
        "C7d", _TABLE3, "It is more accurate than TDPO.", _accuracy("cdpo", "tdpo", above=0.0),
        _methods_exchanged("cdpo", "tdpo"),
    ),
    _language(
        "C7e", "accuracy at one learning rate; ours",
        "At one large learning rate for both, cDPO is more accurate than DPO.",
        _judge_hasty, _methods_exchanged("cdpo", "dpo"),
    ),
    _language(
        "C7f", "control: scores shuffled among the tokens of each wrong answer",
        "It matters which tokens have which scores: shuffled ones are less accurate.",
        _accuracy("cdpo", "cdpo, shuffled scores", above=0.0), _methods_exchanged("cdpo", "cdpo, shuffled scores"),
    ),
    _language(
        "C8a", "cost of contrastive estimation",
        "Scores by contrast, training of both models included, take less than 1 % of the passes that rollouts take.",
        _of("tokens", "pass_ratio_with_training", "share of passes", below=0.01),
        _lowered(pass_ratio_with_training=0.5),
        paper_value="0.002 %",
    ),
    _language(
        "C8b", "cost of contrastive estimation", "Without training they take less than 1 %.",
        _of("tokens", "pass_ratio", "share of passes", below=0.01), _lowered(pass_ratio=0.5),
    ),
    _language(
        "C8c", "cost of contrastive estimation; ours",
        "With training it is less than 1 % of the tokens, too, that go through a model.",
        _of("tokens", "token_ratio_with_training", "share of tokens", below=0.01),
        _lowered(token_ratio_with_training=0.5),
    ),
    _language(
        "C9", "ablation: weights on negative tokens only",
        "Weighting the right answer's tokens, too, is less accurate than weighting the wrong one's alone.",
        _accuracy("cdpo both sides", "cdpo", below=0.0), _methods_exchanged("cdpo both sides", "cdpo"),
    ),
    Claim(
        "C10a", "tables", "trend", _EXACT,
        "In tables, 64 rollouts find the exact critical token in more than 80 % of wrong answers.",
        _judge_tables("agreement", 0.8), _tables_example, columns_exchanged("agreement", "shuffled"),
    ),
    Claim(
        "C10b", "tables", "trend", _EXACT,
        "They do in more than 90 % of those where no token's chance is near the least that 64 rollouts see.",
        _judge_tables("clear_agreement", 0.9), _tables_example, columns_exchanged("clear_agreement", "shuffled"),
    ),
    Claim(
        "C10c", "tables", "trend", "control: scores shuffled among tokens", "More often than with scores shuffled.",
        _judge_tables("agreement", 0.0, less="shuffled"), _tables_example, columns_exchanged("agreement", "shuffled"),
    ),
    _language(
        "C10d", _EXACT, "The transformer's scores by rollouts are the exact chances of success.",
        _judge_rollouts, columns_exchanged("deviation", "wrong_by"),
    ),
    _language(
        "C10e", _EXACT, "64 rollouts find its exact critical token in more than 80 % of wrong answers.",
        _of("exact", "agreement", "share in which they do", above=0.8),
        columns_exchanged("agreement", "shuffled_agreement"),
    ),
    _language(
        "C10f", "control: scores shuffled among tokens", "More often than with scores shuffled.",
        _of("exact", "agreement", "share, less that of shuffled scores", less="shuffled_agreement", above=0.0),
        columns_exchanged("agreement", "shuffled_agreement"),
    ),
]  # fmt: skip
