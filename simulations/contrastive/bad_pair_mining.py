"""Pairs that align too easily or never: can their losses tell, and does leaving them out help?

Six experiments. *identities* compares losses, memory and weights with their definitions written out. *linear model*
draws views whose noise is shared by a known part of the instances, and measures what a linear encoder misses of the
signal at shares below and above the predicted threshold, without weights, with an oracle's and with half of the noisy
pairs removed. *capacity* searches for losses that flag more pairs than variance allows. *series* trains encoders of
generated waves and of real utterances by nine speakers, with bad pairs injected, so that the truth is known: plain
contrastive learning, mining by mean and deviation, mining by robust statistics and an oracle that removes bad pairs
start equal and see the same views, at several learning rates, of which each method has its own best on held-out series.
Shuffled flags, shuffled labels and the untrained encoder show where chance lies. *bookkeeping* times sums and masks
against lists.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from neural.contrastive.bad_pair_mining import (
    PairMemory,
    gaussian_pair_weights,
    mine_bad_pairs,
    nt_xent_per_pair,
)
from neural.contrastive.time_series import PairedSeries, inject_bad_pairs
from simulations import Claim, Experiment, Paper, Replicate, Verdict, statistics
from simulations.contrastive.pair_detection import detection, levels, probes
from simulations.contrastive.series_claims import columns_claim, level_claim, methods_claim, tuned_claim
from simulations.contrastive.series_conditions import CONDITIONS, VIEWS, split_series
from simulations.contrastive.series_training import (
    MINING,
    ORACLE,
    PLAIN,
    TrainedEncoders,
    Training,
    gradient_shares,
    train,
)
from simulations.controls import exchange
from simulations.costs import alternating_seconds
from theory.contrastive import bad_pair_mining as theory
from theory.contrastive.dcl import info_nce_loss
from theory.fuzz import check_bound

PAPER = Paper(
    title="Towards Enhancing Time Series Contrastive Learning: A Dynamic Bad Pair Mining Approach",
    authors="Xiang Lan, Hanshu Yan, Shenda Hong, Mengling Feng",
    venue="ICLR 2024",
    arxiv="2302.03357",
)
DEVIATIONS = [
    "The paper weights by the normal density, which exceeds 1 where sigma < 0.399; our default has height 1.",
    "The authors' code ramps past losses up to the number of epochs, so that the mean is of losses scaled down and the "
    "current loss is far from it: weighting is then removal. The plain mean is our default.",
    "Mean and deviation flag at most 1/(1 + beta²) of the pairs on a side; with beta = 3, no more than a tenth.",
    "Weights on noisy pairs leave the clean share as it is: the threshold becomes 1/(1 + s (nu² − rho²)) for a mean "
    "weight s, not 1/(s (nu² + 1 − rho²)).",
    "Generated waves and 640 utterances replace four medical and activity sets; encoders are small.",
]
SUMS = "sums and masks"
LISTS = "lists"


# identities -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identities:
    """Random embeddings, loss histories and statistics."""

    sets: int = 20


def simulate_identities(settings: Identities, seed: int, device: str) -> pd.DataFrame:
    """Largest deviation per identity and random set, in float64."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(settings.sets):
        errors = _loss_errors(rng, device) | _memory_errors(rng, device) | _weight_errors(rng, device)
        rows += [{"identity": name, "error": error} for name, error in errors.items()]
    return pd.DataFrame(rows)


def _loss_errors(rng: np.random.Generator, device: str) -> dict[str, float]:
    batch, dim, tau = int(rng.integers(2, 30)), int(rng.integers(1, 20)), float(np.exp(rng.uniform(-3, 0.5)))
    z1, z2 = rng.standard_normal((2, batch, dim)) + rng.uniform(0, 1)
    t1, t2 = torch.tensor(z1, device=device), torch.tensor(z2, device=device)
    each = nt_xent_per_pair(t1, t2, tau).cpu().numpy()
    chunked = nt_xent_per_pair(t1, t2, tau, chunk_size=int(rng.integers(1, 2 * batch))).cpu().numpy()
    cosines = np.concatenate([z1, z2]) / np.linalg.norm(np.concatenate([z1, z2]), axis=1, keepdims=True)
    similarities = cosines @ cosines.T / tau
    anchors = np.arange(2 * batch)
    scores = np.exp(similarities)
    scores[anchors, anchors] = 0
    usual = -np.log(scores[anchors, (anchors + batch) % (2 * batch)] / scores.sum(1))
    return {
        "loss per pair": float(np.abs(each - info_nce_loss(z1, z2, tau).mean(0)).max()),
        "mean is NT-Xent": float(abs(each.mean() - usual.mean())),
        "chunks": float(np.abs(each - chunked).max()),
    }


def _memory_errors(rng: np.random.Generator, device: str) -> dict[str, float]:
    """Sums and counts against a list of losses per pair, where some pairs are left out of some epochs."""
    pairs, epochs = int(rng.integers(8, 40)), int(rng.integers(2, 12))
    errors = {}
    for ramp, name in ((False, "memory"), (True, "memory with ramp")):
        memory = PairMemory(pairs, ramp, epochs=epochs, device=device)
        lists: list[list[float]] = [[] for _ in range(pairs)]
        for _ in range(epochs):
            index = rng.permutation(pairs)[: rng.integers(2, pairs + 1)]
            losses = rng.exponential(2.0, len(index))
            memory.update(torch.tensor(index, device=device), torch.tensor(losses, device=device))
            for i, loss in zip(index, losses, strict=True):
                lists[i].append(float(loss))
        means = [
            float(np.mean([(1 + e) / epochs * x if ramp else x for e, x in enumerate(losses)])) if losses else np.nan
            for losses in lists
        ]
        kept = memory.behaviour().cpu().numpy()
        same_gaps = np.array_equal(np.isnan(kept), np.isnan(means))
        errors[name] = float(np.nanmax(np.abs(kept - means))) if same_gaps else np.inf
    return errors


def _weight_errors(rng: np.random.Generator, device: str) -> dict[str, float]:
    losses = torch.tensor(rng.gamma(4.0, 0.5, 200), device=device)
    flags = mine_bad_pairs(losses, 0.5, 0.5)
    mask = flags.noisy | flags.faulty
    sigma = float(np.exp(rng.uniform(np.log(0.02), np.log(3))))
    # The pair at the centre is flagged, as one is whose loss has come back to the average since.
    losses, mask = torch.cat([losses, flags.mu[None]]), torch.cat([mask, torch.tensor([True], device=device)])
    gauss, pdf, clipped = (
        gaussian_pair_weights(losses, mask, flags.mu, sigma, kind).cpu().numpy()
        for kind in ("gauss", "pdf", "clipped_pdf")
    )
    flagged = mask.cpu().numpy()
    distance = np.abs(losses.cpu().numpy() - float(flags.mu))
    beyond = (pdf > 1) & flagged
    radius = theory.pdf_excess_radius(sigma)
    return {
        "weight outside [0, 1]": float(max(gauss.max() - 1, -gauss.min(), clipped.max() - 1, -clipped.min(), 0)),
        "weight of unflagged pairs less 1": float(np.abs(np.stack([gauss, pdf, clipped])[:, ~flagged] - 1).max()),
        "density above 1 elsewhere than predicted": float((beyond != ((distance < radius) & flagged)).sum()),
        "height of the density": float(abs(pdf[-1] - 1 / (sigma * np.sqrt(2 * np.pi))) * sigma),
        "height of the density at sigma = 0.1": float(
            gaussian_pair_weights(losses[-1:], mask[-1:], flags.mu, 0.1, "pdf")
        ),
    }  # fmt: skip


# linear model -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class LinearModel:
    """Shares of noisy instances as multiples of the threshold; the noisiest also with many samples."""

    noise: tuple[float, ...] = (1.5, 2.0, 3.0)
    multiples: tuple[float, ...] = (0.4, 0.7, 0.85, 1.0, 1.15, 1.3, 1.6)
    rho: float = 0.3
    samples: int = 5000
    scarce_noise: float = 5.0
    many_samples: int = 80_000
    recall: float = 0.5


def simulate_linear_model(settings: LinearModel, seed: int, device: str) -> pd.DataFrame:
    """Share of the signal missed, per deviation of the noise, multiple of the threshold, and weights."""
    rng = np.random.default_rng(seed)
    conditions = [(nu, settings.samples) for nu in (*settings.noise, settings.scarce_noise)]
    rows = []
    for nu, samples in [*conditions, (settings.scarce_noise, settings.many_samples)]:
        for multiple in settings.multiples:
            for weights, recall in (("none", 0.0), ("oracle", 1.0), ("half removed", settings.recall)):
                if samples == settings.many_samples and weights != "none":
                    continue
                # An oracle moves the threshold to 1; its shares are those of the unweighted encoder.
                moved = 0.0 if weights == "oracle" else recall
                eta = multiple * theory.noisy_alignment_threshold(settings.rho, nu, recall=moved)
                views = theory.linear_views(samples, min(eta, 1.0), settings.rho, nu, rng=rng)
                kept = np.where(views.noisy & (rng.random(samples) < recall), 0.0, 1.0)
                found = theory.aligned_subspace(theory.cross_view_covariance(views.first, views.second, kept), 3)
                rows.append(
                    {"nu": nu, "samples": samples, "multiple": multiple, "weights": weights, "eta": eta,
                     "missed": theory.subspace_loss(found, views.signal),
                     "expected": float(theory.signal_loss(eta, settings.rho, nu, noisy_weight=1 - recall))}
                )  # fmt: skip
    return pd.DataFrame(rows)


# capacity ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Capacity:
    """Random losses and thresholds."""

    instances: int = 100_000


def simulate_capacity(settings: Capacity, seed: int, device: str) -> pd.DataFrame:
    """Worst variance that observed flags need, as a ratio to what there is; and what robust thresholds flag instead."""
    bound = theory.BOUNDS[0]
    report = check_bound(bound.lhs, bound.rhs, bound.sampler, settings.instances, seed=seed % 2**31)
    attained = _attained_load(np.random.default_rng(seed))
    # Two fifths of the pairs are bad: what no mean and deviation could flag, medians do.
    losses = torch.cat([torch.zeros(30), torch.linspace(2.8, 3.2, 60), torch.full((10,), 6.0)])
    robust = mine_bad_pairs(losses, 2.0, 3.0, robust=True)
    load = theory.flag_load(float(robust.noisy.float().mean()), float(robust.faulty.float().mean()), 2.0, 3.0)
    return pd.DataFrame(
        [
            {"rule": "mean and deviation", "ratio": report.worst_ratio, "instances": report.instances,
             "witness": str({k: np.round(v, 4).tolist() for k, v in report.witness.items()}), "attained": attained},
            {"rule": "median", "ratio": float(load), "instances": len(losses), "witness": "30 low, 10 high of 100",
             "attained": attained},
        ]
    )  # fmt: skip


def _attained_load(rng: np.random.Generator) -> float:
    """Variance of the three values that need least of it, over their predicted load: 1 if the bound is tight."""
    p, q = rng.dirichlet([2.0, 2.0, 6.0])[:2]
    low, high = rng.uniform(1, 3, 2)
    values, shares = np.array([-low, high, (p * low - q * high) / (1 - p - q)]), np.array([p, q, 1 - p - q])
    return float((shares * values**2).sum() / theory.flag_load(p, q, low, high))


# series -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Series:
    """Conditions by name, sizes of generated sets, and training; detection is looked at with one ``learning_rate``."""

    conditions: tuple[str, ...] = ("waves, noisy", "waves, both", "speakers, noisy", "speakers, both")
    samples: int = 300
    held_out: int = 400
    length: int = 24
    learning_rates: tuple[float, ...] = (0.003, 0.01, 0.03)
    learning_rate: float = 0.03
    epochs: int = 24
    warmup: int = 10
    batch_size: int = 50
    temperature: float = 0.2
    thresholds: tuple[float, float] = (1.5, 1.5)
    widths: tuple[int, ...] = (12, 24)
    kernel: int = 7
    stride: int = 2
    blocks: int = 0
    last_epochs: int = 5

    @property
    def training(self) -> Training:
        """The part that training needs."""
        return Training(
            self.learning_rates, self.epochs, self.warmup, self.batch_size, self.temperature, self.thresholds,
            self.widths, self.kernel, self.stride, self.blocks,
        )  # fmt: skip


def simulate_series(settings: Series, seed: int, device: str) -> Replicate:
    """Detection, mean losses per kind, and probes of every method in every condition; histories as arrays."""
    rows, arrays = [], {}
    for number, name in enumerate(settings.conditions):
        condition = CONDITIONS[name]
        generator = torch.Generator(device).manual_seed((seed + number) % 2**63)
        data = split_series(condition, settings.samples, settings.held_out, settings.length, generator)
        pairs = inject_bad_pairs(
            data.train, condition.noisy, condition.faulty, fault=condition.fault, generator=generator
        )
        rates = settings.learning_rates if condition.tuned else (settings.learning_rate,)
        views = VIEWS[condition.views]
        trained = train(pairs, views, settings.training, rates, generator)
        shares = gradient_shares(trained, pairs, views, settings.training, generator) if condition.faulty else None
        accuracies = probes(trained, data, generator)
        for model, (rate, method) in enumerate(zip(trained.rates, trained.methods, strict=True)):
            row = {"condition": name, "data": condition.data, "noisy": condition.noisy, "faulty": condition.faulty,
                   "method": method, "learning_rate": rate, "shown": rate == settings.learning_rate}  # fmt: skip
            row |= detection(trained, model, pairs, generator) | levels(trained, model, pairs, settings.last_epochs)
            row |= {"gradient_share": np.nan if shares is None else float(shares[model]), **accuracies[model]}
            rows.append(row)
        arrays |= _kept(number, trained, pairs, settings.learning_rate)
    return Replicate(pd.DataFrame(rows), arrays)


def _kept(number: int, trained: TrainedEncoders, pairs: PairedSeries, shown: float) -> dict[str, np.ndarray]:
    """Histories of plain training and of each method's mean loss per kind, at the rate that is shown."""
    chosen = [k for k, rate in enumerate(trained.rates) if rate == shown]
    history = trained.history[:, chosen].float().cpu()
    kind = (pairs.noisy.long() + 2 * pairs.faulty.long()).cpu()
    means = torch.stack([history[:, :, kind == k].nanmean(-1) for k in range(3)], -1)
    return {
        f"history_{number}": history[:, 0].numpy(),
        f"kind_{number}": kind.numpy(),
        f"levels_{number}": means.numpy(),
    }


# bookkeeping ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bookkeeping:
    """One epoch's flags, then some of its batches, for many pairs of which 5 % are flagged on either side."""

    pairs: int = 100_000
    batch_size: int = 512
    batches: int = 4
    history: int = 3
    rounds: int = 3


def simulate_bookkeeping(settings: Bookkeeping, seed: int, device: str) -> pd.DataFrame:
    """Seconds for sums and masks, and for a dict of lists with membership by ``in``, in turn."""
    table = alternating_seconds(bookkeeping_sides(settings, seed), rounds=settings.rounds)
    return table.assign(pairs=settings.pairs)


def bookkeeping_sides(settings: Bookkeeping, seed: int) -> dict[str, Callable[[], object]]:
    """The two ways to do the same; both return the sum of the weights, which must agree."""
    generator = torch.Generator().manual_seed(seed % 2**63)
    base = torch.randn(settings.pairs, generator=generator, dtype=torch.float64)
    base += torch.rand(settings.pairs, generator=generator, dtype=torch.float64).lt(0.1) * 3 * base.sign()
    memory = PairMemory(settings.pairs)
    lists: dict[int, list[float]] = {i: [] for i in range(settings.pairs)}
    everything = torch.arange(settings.pairs)
    for _ in range(settings.history):
        losses = 5 + base + 0.1 * torch.randn(settings.pairs, generator=generator, dtype=torch.float64)
        memory.update(everything, losses)
        for i, loss in enumerate(losses.tolist()):
            lists[i].append(loss)
    order = torch.randperm(settings.pairs, generator=generator)
    batches = [(index, 5 + base[index]) for index in order.split(settings.batch_size)[: settings.batches]]

    def lean() -> float:
        flags = mine_bad_pairs(memory.behaviour(), 2.0, 2.0)
        flagged = flags.noisy | flags.faulty
        total = 0.0
        for index, losses in batches:
            total += float(gaussian_pair_weights(losses, flagged[index], flags.mu, flags.sigma).sum())
            memory.update(index, losses)
        return total

    def by_lists() -> float:
        behaviour = np.array([sum(lists[i]) / len(lists[i]) for i in range(settings.pairs)])
        mu, sigma = behaviour.mean(), behaviour.std()
        noisy = [i for i in range(settings.pairs) if behaviour[i] <= mu - 2 * sigma]
        faulty = [i for i in range(settings.pairs) if behaviour[i] >= mu + 2 * sigma]
        total = 0.0
        for index, losses in batches:
            for i, loss in zip(index.tolist(), losses.tolist(), strict=True):
                total += math.exp(-((loss - mu) ** 2) / (2 * sigma**2)) if i in noisy or i in faulty else 1.0
                lists[i].append(loss)
        return total

    return {SUMS: lean, LISTS: by_lists}


EXPERIMENTS = [
    Experiment("identities", simulate_identities, quick=Identities(), full=Identities(200), tiny=Identities(3)),
    Experiment(
        "linear_model", simulate_linear_model, quick=LinearModel(),
        full=LinearModel(noise=(1.25, 1.5, 2.0, 3.0, 4.0), samples=20_000, many_samples=1_000_000),
        tiny=LinearModel(noise=(2.0,), multiples=(0.7, 1.15, 1.3), samples=200, many_samples=400),
    ),
    Experiment(
        "capacity", simulate_capacity, quick=Capacity(), full=Capacity(1_000_000), tiny=Capacity(1000), replicates=2
    ),
    Experiment(
        "series", simulate_series, quick=Series(),
        full=Series(
            conditions=tuple(CONDITIONS), samples=1000, held_out=2000,
            learning_rates=(0.0003, 0.001, 0.003, 0.01, 0.03), learning_rate=0.003,
            epochs=60, warmup=24, batch_size=100, widths=(32, 64, 128), blocks=1,
        ),
        tiny=Series(
            samples=40, held_out=30, learning_rates=(0.003,), learning_rate=0.003, epochs=3, warmup=1, batch_size=12,
            widths=(4,), last_epochs=2,
        ),
    ),
    Experiment(
        "bookkeeping", simulate_bookkeeping, quick=Bookkeeping(), full=Bookkeeping(batches=40),
        tiny=Bookkeeping(2000, batches=1, history=1, rounds=1), replicates=1,
    ),
]  # fmt: skip


# claims -----------------------------------------------------------------------------------------

WAVES_NOISY, WAVES_BOTH, SPEAKERS_PERMUTED, SPEAKERS_BOTH = tuple(CONDITIONS)[:4]
_PAPER, _OURS = "definition of the method", "derived here"
_NAMES = {WAVES_NOISY: "waves", WAVES_BOTH: "waves", SPEAKERS_PERMUTED: "speakers", SPEAKERS_BOTH: "speakers"}


def _errors(table: pd.DataFrame, *names: str) -> np.ndarray:
    errors = table.loc[table["identity"].isin(names), "error"].to_numpy()
    if len(errors) == 0:
        raise ValueError(f"no errors of {names} in the table")
    return errors


def _identity_claim(id: str, names: tuple[str, ...], compared: str, statement: str, *, source: str) -> Claim:
    def example() -> pd.DataFrame:
        return pd.DataFrame([{"replicate": k, "identity": n, "error": 1e-15} for k in range(5) for n in names])

    return Claim(
        id, "identities", "identity", source, statement,
        lambda t: statistics.identity(_errors(t, *names), compared, tolerance=1e-9), example,
        lambda t: t.assign(error=t["error"].where(t["identity"] != names[0], 0.1)),
    )  # fmt: skip


def _missed(table: pd.DataFrame, weights: str, multiple: float, nu: float, samples: int) -> pd.Series:
    rows = table[(table["weights"] == weights) & (table["nu"] == nu) & (table["samples"] == samples)]
    return rows.loc[np.isclose(rows["multiple"], multiple), "missed"]


def _judge_transition(table: pd.DataFrame, weights: str) -> Verdict:
    defaults = LinearModel()
    common = table[table["samples"] == table["samples"].min()]
    noise = sorted(set(common["nu"]) - {defaults.scarce_noise})
    parts = [
        statistics.trend(
            _missed(common, weights, multiple, nu, common["samples"].iloc[0]),
            f"share of the signal missed at {multiple:g} of the threshold, nu = {nu:g}", **side,
        )
        for nu in noise
        for multiple, side in ((0.7, {"below": 0.05}), (1.3, {"above": 0.95}))
    ]  # fmt: skip
    return statistics.all_of(parts)


def _judge_oracle(table: pd.DataFrame) -> Verdict:
    rows = table[table["weights"] == "oracle"]
    worst = rows.groupby("replicate")["missed"].max()
    return statistics.trend(worst, "largest share of the signal missed without the noisy pairs", below=0.01)


def _judge_window(table: pd.DataFrame) -> Verdict:
    """Noise that few instances carry: the step is blurred by few samples and sharp with many."""
    nu = table["nu"].max()
    rows = table[(table["nu"] == nu) & (table["weights"] == "none") & np.isclose(table["multiple"], 1.15)]
    few, many = (rows[rows["samples"] == n].sort_values("replicate") for n in sorted(rows["samples"].unique()))
    gain = many["missed"].to_numpy() - few["missed"].to_numpy()
    name = f"share missed at 1.15 of the threshold, nu = {nu:g}"
    return statistics.all_of(
        [
            statistics.trend(many["missed"], f"{name}, many samples", above=0.95),
            statistics.trend(gain, f"{name}, many samples less few", above=0.0),
        ]
    )


def _exchanged(table: pd.DataFrame) -> pd.Series:
    """Numbers of samples with few and many exchanged where the noise is strongest."""
    few, many = table["samples"].min(), table["samples"].max()
    return table["samples"].where(table["nu"] < table["nu"].max(), few + many - table["samples"])


def _linear_example() -> pd.DataFrame:
    rows = []
    for k in range(5):
        for nu, samples in ((2.0, 5000), (5.0, 5000), (5.0, 80_000)):
            for multiple in (0.7, 1.15, 1.3):
                for weights in ("none", "oracle", "half removed"):
                    missed = 0.001 if multiple < 1 or weights == "oracle" else 0.99
                    blurred = 0.3 if (nu, samples, multiple) == (5.0, 5000, 1.15) and weights == "none" else 0.0
                    rows.append(
                        {"replicate": k, "nu": nu, "samples": samples, "multiple": multiple, "weights": weights,
                         "missed": missed - blurred + 1e-4 * k}
                    )  # fmt: skip
    return pd.DataFrame(rows)


def _judge_capacity(table: pd.DataFrame) -> Verdict:
    rows = table[table["rule"] == "mean and deviation"]
    worst = rows.sort_values("ratio").iloc[-1]
    return statistics.bound(
        float(worst["ratio"]), "variance that the observed flags need over what there is",
        instances=int(rows["instances"].min()), required=100_000, witness=str(worst["witness"]),
    )  # fmt: skip


def _judge_median(table: pd.DataFrame) -> Verdict:
    """The same measure of what medians flag must lie above 1: the bound is one of mean and deviation, not of flags."""
    rows = table[table["rule"] == "median"]
    return statistics.at_least(float(rows["ratio"].min()), "variance that the medians' flags need", threshold=1.0)


def _capacity_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": 0, "rule": rule, "ratio": ratio, "instances": 100_000, "witness": "example"}
            for rule, ratio in (("mean and deviation", 0.999), ("median", 2.0))
        ]
    )


def _judge_cost(table: pd.DataFrame) -> Verdict:
    rounds = table.pivot(index="round", columns="side", values="seconds")
    ratio = float((rounds[LISTS] / rounds[SUMS]).median())
    return statistics.at_least(ratio, "seconds by lists over seconds by sums and masks, median", threshold=50.0)


def _cost_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": 0, "round": r, "side": s, "seconds": x}
            for r in range(3)
            for s, x in ((SUMS, 1.0), (LISTS, 90.0))
        ]
    )


_ABSTRACT = "consistent gains of accuracy and AUROC on four real sets (abstract)"

CLAIMS = [
    _identity_claim(
        "C1a", ("loss per pair", "mean is NT-Xent", "chunks"), "largest error of losses per pair",
        "Losses per pair average to NT-Xent.", source=_PAPER,
    ),
    _identity_claim(
        "C1b", ("memory", "memory with ramp"), "largest difference between sums and lists",
        "Sums and counts remember what lists of losses do, with the ramp and without.", source="the memory module",
    ),
    _identity_claim(
        "C2a", ("weight outside [0, 1]", "weight of unflagged pairs less 1"), "most by which a weight is wrong",
        "Weights of height 1 stay in [0, 1] and are 1 for pairs that are not flagged.", source=_PAPER,
    ),
    _identity_claim(
        "C2b", ("height of the density", "density above 1 elsewhere than predicted"), "error of where weights exceed 1",
        "The normal density is 1/(sigma sqrt(2 pi)) high: below sigma = 0.399 it weights some flagged pairs up.",
        source=_OURS,
    ),
    level_claim(
        "C2c", WAVES_BOTH, ("ramp_weight",), "With ramped memory, weighting a faulty pair is removing it.",
        "mean weight of faulty pairs at the end", source="the authors' code", below=0.01,
    ),
    Claim(
        "C3a", "linear_model", "limit", _OURS,
        "A linear encoder finds the signal below eta* = 1/(1 + nu² − rho²) and the noise above.",
        lambda t: _judge_transition(t, "none"), _linear_example, lambda t: t.assign(missed=1 - t["missed"]),
    ),
    Claim(
        "C3b", "linear_model", "limit", _OURS, "Without the noisy pairs it finds the signal at any of these shares.",
        _judge_oracle, _linear_example, lambda t: exchange(t, "weights", "oracle", "none"),
    ),
    Claim(
        "C3c", "linear_model", "limit", _OURS,
        "Removing half of the noisy pairs moves the threshold to 1/(1 + (nu² − rho²)/2).",
        lambda t: _judge_transition(t, "half removed"), _linear_example, lambda t: t.assign(missed=1 - t["missed"]),
    ),
    Claim(
        "C3d", "linear_model", "limit", _OURS,
        "Where few instances carry much noise the step is blurred by few samples, and sharp with many.",
        _judge_window, _linear_example,
        lambda t: t.assign(samples=_exchanged(t)),
    ),
    level_claim(
        "C4a", WAVES_NOISY, ("auroc_noisy",), "Low mean losses tell noisy pairs from clean ones (waves).",
        "area under the ROC curve", source="noisy pairs have low losses", above=0.95,
    ),
    level_claim(
        "C4b", WAVES_BOTH, ("auroc_faulty",), "High mean losses tell faulty pairs from clean ones (waves).",
        "area under the ROC curve", source="faulty pairs have high losses", above=0.99,
    ),
    level_claim(
        "C4c", SPEAKERS_BOTH, ("auroc_noisy",), "Low mean losses tell noisy pairs from clean ones (real speakers).",
        "area under the ROC curve", source="noisy pairs have low losses", above=0.95,
    ),
    level_claim(
        "C4d", SPEAKERS_BOTH, ("auroc_faulty",), "High mean losses tell faulty pairs from clean ones (real speakers).",
        "area under the ROC curve", source="faulty pairs have high losses", above=0.99,
    ),
    level_claim(
        "C4e", SPEAKERS_PERMUTED, ("auroc_noisy",),
        "Low mean losses tell noisy pairs from clean ones when views permute time (real speakers).",
        "area under the ROC curve", source="noisy pairs have low losses; strong augmentation", above=0.95,
    ),
    columns_claim(
        "C4f", WAVES_NOISY, "auroc_noisy", "auroc_noisy_untrained",
        "Training is what sets noisy pairs apart: the untrained encoder's losses do so less (waves).",
        "area under the ROC curve, trained less untrained", source="noisy alignment is learnt", above=True,
    ),
    level_claim(
        "C4g", WAVES_NOISY, ("auroc_noisy_shuffled",), "Flags in another order are not detected.",
        "area under the ROC curve, shuffled truth", source="control of the measure", below=0.6,
    ),
    columns_claim(
        "C5a", WAVES_NOISY, "loss_noisy", "loss_clean", "Noisy pairs that are trained on have lower losses (waves).",
        "mean loss, noisy less clean", source="noisy alignment", above=False,
    ),
    columns_claim(
        "C5b", WAVES_NOISY, "loss_noisy", "loss_clean",
        "Noisy pairs that are left out have higher losses: their noise was learnt (waves).",
        "mean loss, noisy less clean", source=_OURS, above=True, method=ORACLE,
    ),
    columns_claim(
        "C5c", SPEAKERS_BOTH, "loss_noisy", "loss_clean",
        "Noisy pairs that are trained on have lower losses (real speakers).",
        "mean loss, noisy less clean", source="noisy alignment", above=False,
    ),
    columns_claim(
        "C5d", SPEAKERS_BOTH, "loss_noisy", "loss_clean",
        "Noisy pairs that are left out have higher losses (real speakers).",
        "mean loss, noisy less clean", source=_OURS, above=True, method=ORACLE,
    ),
    columns_claim(
        "C5e", SPEAKERS_PERMUTED, "loss_noisy", "loss_clean",
        "Noisy pairs that are trained on have lower losses also when views permute time (real speakers).",
        "mean loss, noisy less clean", source="noisy alignment; strong augmentation", above=False,
    ),
    *(
        claim
        for suffix, condition in (("", WAVES_BOTH), ("s", SPEAKERS_BOTH))
        for claim in (
            columns_claim(
                f"C6a{suffix}", condition, "loss_faulty", "loss_clean",
                f"Faulty pairs keep higher losses than clean ones ({_NAMES[condition]}).",
                "mean loss, faulty less clean", source="faulty alignment", above=True,
            ),
            methods_claim(
                f"C6b{suffix}", condition, "loss_faulty", ORACLE, PLAIN,
                f"Training on faulty pairs lowers their losses: effort is spent on them ({_NAMES[condition]}).",
                "mean loss of faulty pairs", source="faulty alignment",
            ),
            level_claim(
                f"C6c{suffix}", condition, ("gradient_share",),
                f"Faulty pairs have more than their share of the gradient ({_NAMES[condition]}).",
                "share in gradient norms over share of pairs", source="faulty alignment; measured here", above=1.0,
            ),
            methods_claim(
                f"C7a{suffix}", condition, "loss_faulty", MINING, PLAIN,
                f"Mining keeps faulty pairs from being aligned ({_NAMES[condition]}).",
                "mean loss of faulty pairs", source=_PAPER,
            ),
            level_claim(
                f"C7b{suffix}", condition, ("precision_faulty_mean", "recall_faulty_mean"),
                f"Mean and deviation (beta = 1.5) flag the faulty pairs, and no others ({_NAMES[condition]}).",
                "flags of faulty pairs", source=_PAPER, above=0.95, method=MINING,
            ),
        )
    ),
    level_claim(
        "C7c", WAVES_NOISY, ("precision_noisy_mean",),
        "What mean and deviation (beta = 1.5) flag as noisy is noisy (waves).", "flags of noisy pairs",
        source=_PAPER, above=0.95, method=MINING,
    ),
    level_claim(
        "C7d", WAVES_NOISY, ("recall_noisy_mean",), "Mean and deviation find most noisy pairs (waves).",
        "flags of noisy pairs", source=_PAPER, above=0.5, method=MINING,
    ),
    level_claim(
        "C7e", WAVES_BOTH, ("recall_noisy_mean",),
        "Faulty pairs hide noisy ones: with both, mean and deviation miss nearly all noisy pairs (waves).",
        "flags of noisy pairs", source=_OURS, below=0.1, method=MINING,
    ),
    columns_claim(
        "C7f", WAVES_BOTH, "recall_noisy_robust", "recall_noisy_mean",
        "Median and median absolute deviation find more of them (waves).", "recall of noisy pairs, robust less not",
        source=_OURS, above=True, method=MINING,
    ),
    level_claim(
        "C7g", WAVES_BOTH, ("recall_noisy_robust",), "Median and median absolute deviation find most of them (waves).",
        "flags of noisy pairs", source=_OURS, above=0.8, method=MINING,
    ),
    Claim(
        "C7h", "capacity", "bound", _OURS,
        "Mean and deviation cannot flag more pairs than their variance allows, at most 1/(1 + beta²) on a side.",
        _judge_capacity, _capacity_example, lambda t: t.assign(ratio=1.2 * t["ratio"]),
    ),
    Claim(
        "C7i", "capacity", "bound", _OURS, "Median and median absolute deviation are not bound by that.",
        _judge_median, _capacity_example, lambda t: t.assign(ratio=t["ratio"] / 10),
    ),
    tuned_claim(
        "C8a", WAVES_BOTH, MINING, "Features are better with mining (waves).", source="linear evaluation",
        paper_value=_ABSTRACT,
    ),
    tuned_claim(
        "C8b", SPEAKERS_BOTH, MINING, "Features are better with mining (real speakers).", source="linear evaluation",
        paper_value=_ABSTRACT,
    ),
    tuned_claim(
        "C8c", WAVES_BOTH, ORACLE, "Bad pairs do harm: features are better without them (waves).",
        source="motivation; an oracle removes them",
    ),
    tuned_claim(
        "C8d", SPEAKERS_BOTH, ORACLE, "Bad pairs do harm: features are better without them (real speakers).",
        source="motivation; an oracle removes them",
    ),
    columns_claim(
        "C8e", SPEAKERS_BOTH, "accuracy", "accuracy_shuffled", "What the probe measures is in the labels.",
        "accuracy less that with shuffled labels", source="control of the probe", above=True,
    ),
    Claim(
        "C9", "bookkeeping", "cost", _OURS,
        "Sums and masks are at least 50 times as fast as lists of losses and membership in lists, at 100,000 pairs.",
        _judge_cost, _cost_example, lambda t: exchange(t, "side", SUMS, LISTS),
    ),
]  # fmt: skip
