"""Does a classifier forget without labels? A class, random points and mislabelled points of real digits.

*identities* holds the losses of both rooms against each other, their bounds, and who gets a gradient; a temperature in
the wrong place must be noticed. *unlearning* trains perceptrons on scikit-learn's digits until they fit everything (a
fifth of the labels wrong, for one task), and lets them forget. Label-agnostic forgetting (LAF), without labels, and
LAF+R, with thirty, meet retraining without the forgotten points, and methods that know every label: fine-tuning,
gradient ascent, boundary shrink, SCRUB and an ensemble of shards (SISA); distillation from a bad teacher needs none,
either. Every method has four learning rates (LAF's two move together; SISA has none to choose) and keeps the one
that is nearest to retraining on other models, other forget sets and other held-out digits, by the mean over replicates.
Beside LAF run its own ablations, at the middle of its learning rates. *cost* times LAF, autoencoders included, and
retraining in turn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from neural.unlearning import label_agnostic_forgetting as laf
from neural.unlearning.unlearning_methods import Method, unlearn, unroll
from simulations import Claim, Experiment, Paper, Replicate, Verdict, statistics
from simulations.controls import exchange, shifted
from simulations.costs import alternating_seconds
from simulations.unlearning.forgetting_tasks import (
    CLASS,
    NOISY,
    RANDOM,
    Group,
    StackedClassifiers,
    Task,
    forgetting_groups,
    measured,
    outputs,
    shard_outputs,
)
from theory.unlearning import label_agnostic_forgetting as theory

PAPER = Paper(
    title="Label-Agnostic Forgetting: A Supervision-Free Unlearning in Deep Models",
    authors="Shaofei Shen, Chenhao Zhang, Yawen Zhao, Alina Bialkowski, Weitong Tony Chen, Miao Xu",
    venue="ICLR 2024",
    arxiv="2404.00506",
)
DEVIATIONS = [
    "The authors' decoder ends in a sigmoid; embeddings after a ReLU are not in (0, 1), and our output is linear.",
    "Networks of 48 embedding dimensions instead of 256 and larger learning rates: a digit's forget set has three "
    "batches a pass, the paper's hundreds.",
    "The divergence of the autoencoders has no 1e-8 inside its logarithm, which the authors' code adds.",
    "Student and teacher both keep dropout and batch normalisation in evaluation mode.",
    "The attacker is a logistic regression instead of gradient-boosted trees, and its success is an area under the "
    "curve, which does not depend on how many points are held out.",
    "All methods have four learning rates (SISA none), but not as many steps: LAF takes 20 or 40 passes over what is "
    "forgotten, methods with labels 3 epochs over their data, which is few for those that see forgotten points alone.",
    "Ours: at the original model the gradient of the alignment loss vanishes. Under Adam rounding is enough to leave "
    "that saddle, so that the alignment loss alone can forget a class. For tau = 5 or 20 the temperature is a weight "
    "1/tau on the mean distance of the forgotten points, up to 1/(2 tau²).",
]
ORIGINAL, RETRAINED, LAF, REPAIRED = "original", "retrained", "LAF", "LAF+R"
TEACHER, SHARDS, UNROLL = "bad teacher", "SISA", "Unroll"
NO_ALIGNMENT, NO_EXTRACTOR = "LAF without L_RA", "LAF without L_UE"
SUPERVISED = ("FT", "GA", "boundary-shrink", "SCRUB", SHARDS, UNROLL)


# identities -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identities:
    """Random embeddings: batch sizes, widths and temperatures."""

    batches: tuple[int, ...] = (1, 8, 32)
    dims: tuple[int, ...] = (4, 64)
    temperatures: tuple[float, ...] = (0.5, 5.0, 20.0)


def simulate_identities(settings: Identities, seed: int, device: str) -> pd.DataFrame:
    """Largest relative error per identity, batch sizes, width and temperature."""
    rng, rows = np.random.default_rng(seed), []
    for remaining, forgotten in product(settings.batches, repeat=2):
        for dim in settings.dims:
            scale = 10.0 ** rng.uniform(-1, 1)
            sets = [scale * rng.normal(size=(n, dim)) for n in (remaining, remaining, forgotten, forgotten)]
            tensors = [torch.tensor(each, device=device) for each in sets]
            for temperature in settings.temperatures:
                for name, error in _identity_errors(sets, tensors, temperature).items():
                    rows.append({"identity": name, "dim": dim, "temperature": temperature, "error": error})
    return pd.DataFrame(rows)


def _identity_errors(sets: list[np.ndarray], tensors: list[Tensor], tau: float) -> dict[str, float]:
    e_r, t_r, e_f, t_f = (each.clone().requires_grad_() for each in tensors)
    count = len(e_r)
    c, k = theory.cosine_distance(sets[0], sets[1]), theory.cosine_distance(sets[2], sets[3])
    u_r, u_f = (((a - b) ** 2).sum(1) for a, b in (sets[:2], sets[2:]))
    loss = laf.representation_alignment_loss(e_r, t_r, e_f, t_f, tau)
    alignment = float(loss.detach())
    away = float(laf.extractor_unlearning_loss(*tensors))
    expected = theory.alignment_loss(c, k, tau)
    order = torch.arange(len(e_r)).flip(0).to(e_r.device)
    mixed = float(laf.representation_alignment_loss(tensors[0][order], tensors[1][order], tensors[2], tensors[3], tau))
    low, high = theory.unlearning_bounds(len(u_r), len(u_f))
    near, far = theory.alignment_bounds(c, k, tau)
    inside = low < away < high and near - 1e-9 <= alignment <= far + 1e-9
    loss.backward()
    pushed = sum(0.0 if t.grad is None else float(t.grad.abs().max()) for t in (t_r, t_f))
    start = [t.clone().requires_grad_() for t in (tensors[1], tensors[3])]
    laf.representation_alignment_loss(start[0], tensors[1], start[1], tensors[3], tau).backward()
    stays = max(float((t.grad * t.detach().norm(dim=1, keepdim=True)).abs().max()) for t in start)  # type: ignore[operator]
    misplaced = float((c / tau - np.log(np.exp(k / tau).sum())).sum())
    mu, sigma = tensors[0][:, :2], tensors[1][:, :2].abs() + 0.1
    vae = float(laf.vae_loss(tensors[0], tensors[1], mu, sigma, 0.1))
    kl = theory.gaussian_kl(mu.cpu().numpy(), sigma.cpu().numpy()).mean()
    return {
        "L_RA, numpy and torch": abs(alignment - expected) / count,
        "L_RA as log-ratios": abs(float((c - np.log(np.exp(k / tau).sum())).sum()) - expected) / count,
        "L_UE, numpy and torch": abs(away - theory.unlearning_loss(u_r, u_f)) / count,
        "autoencoder loss, numpy and torch": abs(vae / (u_r.mean() + 0.1 * kl) - 1),
        "order within a batch": abs(mixed - alignment) / count,
        "outside the bounds": float(not inside),
        "gradient of the teacher": pushed,
        "gradient at the teacher": stays,
        "temperature in the numerator too": abs(misplaced - expected) / count,
    }


# unlearning -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Forgetting(Task):
    """The task, LAF's numbers, and as many settings of every method.

    LAF's learning rate of L_RA is twice that of L_UE, both ``other_factor`` times as large where no class is
    forgotten; ablations run at the middle one. A class has fewer points than the other forget sets, and gets twice the
    passes for about as many steps.
    """

    hidden: tuple[int, ...] = (64, 32)
    vae_epochs: int = 12
    vae_rate: float = 3e-3
    temperature: float = 20.0
    passes: int = 20
    checkpoints: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75, 1.0)
    unlearning_rates: tuple[float, ...] = (2e-3, 5e-3, 1.25e-2, 3.2e-2)
    other_factor: float = 4.0
    labelled: int = 30
    methods: tuple[Method, ...] = ("FT", "GA", "boundary-shrink", "SCRUB")
    learning_rates: tuple[float, ...] = (1e-3, 5e-3, 2.5e-2, 0.125)
    epochs: int = 3
    shards: int = 5


def simulate_unlearning(settings: Forgetting, seed: int, device: str) -> Replicate:
    """A row per task, part, method, setting and (for LAF) number of passes; embeddings before and after, in a plane."""
    seed = seed % 2**62
    rows: list[dict[str, object]] = []
    arrays: dict[str, np.ndarray] = {}
    for group in forgetting_groups(settings, seed, device):
        reference = measured(group, outputs(group, group.retrained))

        def add(
            method: str,
            setting: float,
            found: list[dict[str, float]],
            passes: float = 1.0,
            names: list[tuple[str, str]] = group.names,
        ) -> None:
            named = {"method": method, "setting": setting, "passes": passes}
            rows.extend(
                {"task": kind, "part": part, **named, **row} for (kind, part), row in zip(names, found, strict=True)
            )

        add(RETRAINED, 0.0, [{**row, "gap": 0.0} for row in reference])
        add(ORIGINAL, 0.0, measured(group, outputs(group, group.original), reference))
        for method, rate, passes, found in _laf_runs(settings, group, reference, seed, arrays):
            add(method, rate, found, passes)
        for method, rate, model in _other_runs(settings, group, seed):
            add(method, rate, measured(group, outputs(group, model), reference))
        shards = shard_outputs(group, settings, settings.shards, seed)
        add(SHARDS, float(settings.shards), measured(group, shards, reference))
    return Replicate(pd.DataFrame(rows), arrays)


def _laf_runs(
    settings: Forgetting,
    group: Group,
    reference: list[dict[str, float]],
    seed: int,
    arrays: dict[str, np.ndarray],
) -> Iterator[tuple[str, float, float, list[dict[str, float]]]]:
    """Every learning rate and both ablations in lockstep: method, rate, passes, and metrics with losses per model."""
    is_class = CLASS in group.names[0]
    rates = [rate * (1.0 if is_class else settings.other_factor) for rate in settings.unlearning_rates]
    middle = rates[len(rates) // 2]
    arms = [(LAF, rate, rate, 2 * rate) for rate in rates]
    if is_class:
        arms += [(NO_ALIGNMENT, middle, middle, 0.0), (NO_EXTRACTOR, middle, 0.0, 2 * middle)]
    models, device = len(group.names), group.retain[0].device
    passes = settings.passes * (2 if is_class else 1)
    many = group.repeated(len(arms))
    call = {"hidden": settings.hidden, "vae_epochs": settings.vae_epochs, "vae_learning_rate": settings.vae_rate}
    once = laf.LAF(group.original, group.original.extractor, group.original.classifier, **call, seed=seed)
    vaes = once.fit_vaes(group.forget[0], group.retain[0])
    away, near = (torch.tensor([arm[k] for arm in arms], device=device).repeat_interleave(models) for k in (2, 3))
    run = laf.LAF(
        many.original, many.original.extractor, many.original.classifier, **call, passes=passes, unlearning_rate=away,
        alignment_rate=near, temperature=settings.temperature, seed=seed,
    )  # fmt: skip
    at = {max(1, round(share * passes)): share for share in settings.checkpoints}
    repeated = (_repeated(vaes[0], len(arms)), _repeated(vaes[1], len(arms)))
    for number, losses in enumerate(run.iterate(many.forget[0], many.retain[0], repeated), 1):
        if number not in at:
            continue
        found = measured(many, outputs(many, run.model), reference * len(arms), accuracies_only=number < passes)
        for row, away_loss, near_loss in zip(found, losses.extractor.tolist(), losses.alignment.tolist(), strict=True):
            row |= {"L_UE": away_loss, "L_RA": near_loss}
        for k, (method, rate, _, _) in enumerate(arms):
            mine = slice(k * models, (k + 1) * models)
            yield method, rate, float(number), found[mine]
    if is_class:
        at_middle = models * len(rates[: len(rates) // 2])
        arrays |= _planes(group, run.extractor, many.held_out[0], at_middle)
    few = torch.randperm(group.retain[1].shape[1], generator=torch.Generator().manual_seed(seed))[: settings.labelled]
    run.repair(many.retain[0][:, few.to(device)], many.retain[1][:, few.to(device)])
    found = measured(many, outputs(many, run.model), reference * len(arms))
    for k, (_, rate, _, _) in enumerate(arms[: len(rates)]):
        mine = slice(k * models, (k + 1) * models)
        yield REPAIRED, rate, float(passes), found[mine]


def _repeated(vae: laf.RepresentationVAE, times: int) -> laf.RepresentationVAE:
    """The VAEs of an ensemble, ``times`` times over."""
    hidden = tuple(int(layer.bias.shape[-1]) for layer in vae.encoder[:-1])  # type: ignore[union-attr]
    many = laf.RepresentationVAE(vae.dim, vae.latent, hidden, models=times * vae.models)
    for parameter, source in zip(many.parameters(), vae.parameters(), strict=True):
        parameter.data = source.data.repeat(times, 1, 1)
    return many.requires_grad_(False)


@torch.no_grad()
def _planes(group: Group, unlearned: torch.nn.Module, held_out: Tensor, at: int) -> dict[str, np.ndarray]:
    """Embeddings of held-out images on their first two principal axes, of the first model of the group."""
    first = group.held_out[0]
    found = {
        "original": group.original.extractor(first)[0], "LAF": unlearned(held_out)[at],
        "retrained": group.retrained.extractor(first)[0],
    }  # fmt: skip
    planes = {}
    for name, e in found.items():
        centred = (e - e.mean(0)).double().cpu().numpy()
        planes[f"plane_{name}"] = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    return {**planes, "labels": group.held_out[1][0].cpu().numpy(), "forgotten": np.array(group.forgotten_class[0])}


_FACTORS = {"GA": 0.2, "boundary-shrink": 0.2, "SCRUB": 0.4, TEACHER: 0.4, UNROLL: 200.0}
"""Smaller learning rates for methods that ascend or relabel; one step of unrolling needs a large one."""


def _other_runs(settings: Forgetting, group: Group, seed: int) -> Iterator[tuple[str, float, torch.nn.Module]]:
    """Methods that know labels, and the bad teacher, at every learning rate."""
    for rate in settings.learning_rates:
        for method in settings.methods:
            factor = _FACTORS.get(method, 1.0)
            yield method, rate * factor, unlearn(
                method, group.original, group.forget, group.retain, epochs=settings.epochs, learning_rate=rate * factor,
                batch_size=settings.train_batch, seed=seed,
            )  # fmt: skip
        strength = rate * _FACTORS[UNROLL]
        yield UNROLL, strength, unroll(group.original, group.start, group.forget, strength)
        rate *= _FACTORS[TEACHER]
        yield TEACHER, rate, laf.distil_bad_teacher(
            group.original, group.forget[0], group.retain[0], epochs=settings.epochs, learning_rate=rate,
            batch_size=settings.train_batch, seed=seed,
        )  # fmt: skip


# bounds -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Instances:
    """Random instances per bound, before the search from the worst of them."""

    count: int = 20_000


def simulate_bounds(settings: Instances, seed: int, device: str) -> pd.DataFrame:
    """Worst ratio of the two sides, and its witness, per bound."""
    rows = []
    for bound in theory.BOUNDS:
        report = bound.check(settings.count, seed=seed % 2**31)
        witness = " ".join(
            f"{k}={np.array2string(v, precision=3, threshold=4)}" for k, v in sorted(report.witness.items())
        )
        rows.append(
            {"bound": bound.name, "ratio": report.worst_ratio, "instances": report.instances, "witness": witness}
        )
    return pd.DataFrame(rows)


# cost -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost(Task):
    """One model that forgets a class, timed in as many rounds."""

    hidden: tuple[int, ...] = (64, 32)
    vae_epochs: int = 12
    passes: int = 40
    rounds: int = 3


def simulate_cost(settings: Cost, seed: int, device: str) -> pd.DataFrame:
    """Seconds of LAF, of its autoencoders alone, and of retraining, in turn; of random images, as time ignores them."""
    generator, count = torch.Generator().manual_seed(seed % 2**62), settings.per_class
    model = StackedClassifiers(1, 10, settings, device)
    forget, retain = (
        (
            torch.rand(1, n, 64, generator=generator).to(device),
            torch.randint(10, (1, n), generator=generator).to(device),
        )
        for n in (count, 9 * count)
    )
    method = laf.LAF(
        model, model.extractor, model.classifier, hidden=settings.hidden, vae_epochs=settings.vae_epochs,
        passes=settings.passes, unlearning_rate=1.25e-2, alignment_rate=2.5e-2,
    )  # fmt: skip

    def finished() -> None:
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)

    def whole() -> None:
        method.fit(forget[0], retain[0])
        finished()

    def autoencoders() -> None:
        method.fit_vaes(forget[0], retain[0])
        finished()

    def retraining() -> None:
        unlearn(
            "retrain", model, forget, retain, epochs=settings.train_epochs, learning_rate=settings.train_rate,
            batch_size=settings.train_batch,
        )  # fmt: skip
        finished()

    return alternating_seconds(
        {LAF: whole, "autoencoders": autoencoders, RETRAINED: retraining}, rounds=settings.rounds
    )


_LARGE = {
    "images": "glyphs", "network": "convolutional", "per_class": 400, "width": 128, "train_rate": 5e-3,
    "train_batch": 100, "train_epochs": 80, "hidden": (128, 32), "vae_epochs": 30,
}  # fmt: skip
_SMALL = {"per_class": 12, "width": 16, "train_epochs": 2, "hidden": (8,), "vae_epochs": 1}
EXPERIMENTS = [
    Experiment(
        "identities", simulate_identities, quick=Identities(), full=Identities(dims=(4, 64, 512)),
        tiny=Identities((3,), (4,), (5.0,)), replicates=1,
    ),
    Experiment(
        "bounds", simulate_bounds, quick=Instances(), full=Instances(10**6), tiny=Instances(500), replicates=1
    ),
    Experiment(
        "unlearning", simulate_unlearning, quick=Forgetting(),
        full=Forgetting(
            **_LARGE, epochs=10,
            unlearning_rates=(1e-4, 3e-4, 1e-3, 2e-3, 4e-3, 8e-3),
            learning_rates=(2e-5, 1e-4, 5e-4, 2.5e-3, 1.25e-2, 6e-2),
        ),
        tiny=Forgetting(
            **_SMALL, passes=2, unlearning_rates=(1e-3,),
            learning_rates=(1e-3,), epochs=1, labelled=8, shards=2,
        ),
    ),
    Experiment(
        "cost", simulate_cost, quick=Cost(per_class=40, rounds=2), full=Cost(**_LARGE, rounds=5),
        tiny=Cost(**_SMALL, passes=1, rounds=1), replicates=1,
    ),
]  # fmt: skip


# claims -----------------------------------------------------------------------------------------

_WRONG = "temperature in the numerator too"


def _judge_identities(table: pd.DataFrame) -> Verdict:
    right = table[table["identity"] != _WRONG]
    worst = right["identity"].to_numpy()[right["error"].to_numpy().argmax()]
    return statistics.all_of(
        [
            statistics.identity(right["error"], f"largest relative error ({worst})", tolerance=1e-10),
            statistics.at_least(
                float(table.loc[table["identity"] == _WRONG, "error"].median()),
                "median error with a temperature in the numerator, too", threshold=1e-3,
            ),
        ]
    )  # fmt: skip


def _identities_example() -> pd.DataFrame:
    errors = {"L_RA, numpy and torch": 1e-16, "gradient at the teacher": 1e-17, _WRONG: 0.4}
    return pd.DataFrame([{"replicate": 0, "identity": name, "error": error} for name, error in errors.items()])


def _judge_bounds(table: pd.DataFrame) -> Verdict:
    worst = table.iloc[int(table["ratio"].to_numpy().argmax())]
    return statistics.bound(
        float(worst["ratio"]), f"worst ratio of {len(table)} bounds, of “{worst['bound']}”",
        instances=int(table["instances"].min()), required=500, witness=str(worst["witness"]),
    )  # fmt: skip


def _bounds_example() -> pd.DataFrame:
    return pd.DataFrame([{"replicate": 0, "bound": "phi", "ratio": 0.99, "instances": 10**4, "witness": "u=1"}])


def _last(table: pd.DataFrame, task: str, method: str, part: str) -> pd.DataFrame:
    """Rows of a method after its last pass."""
    rows = table[(table["task"] == task) & (table["method"] == method) & (table["part"] == part)]
    if rows.empty:
        raise ValueError(f"no rows of {method!r} on {task!r}")
    return rows[rows["passes"] == rows["passes"].max()]


def chosen_setting(table: pd.DataFrame, task: str, method: str) -> float:
    """The setting nearest to retraining on the tuning part, by the mean over replicates."""
    gaps = _last(table, task, method, "tuning").groupby("setting")["gap"].mean()
    return float(gaps.idxmin())  # type: ignore[arg-type]


def tuned(table: pd.DataFrame, task: str, method: str, column: str, like: str | None = None) -> pd.Series:
    """A measurement of the test part per replicate, at the setting chosen for the method (or for another)."""
    setting = chosen_setting(table, task, like or method)
    rows = _last(table, task, method, "test")
    return rows[rows["setting"] == setting].groupby("replicate", sort=True)[column].mean()


def best_supervised(table: pd.DataFrame, task: str) -> str:
    """The method that knows labels and is nearest to retraining on the tuning part."""
    present = [m for m in SUPERVISED if m in set(table["method"])]
    return min(present, key=lambda m: _last(table, task, m, "tuning").groupby("setting")["gap"].mean().min())


def _judge_level(task: str, method: str, column: str, what: str, **threshold: float):
    def judge(table: pd.DataFrame) -> Verdict:
        return statistics.trend(tuned(table, task, method, column), what, **threshold)

    return judge


def _judge_less(task: str, column: str, first: str, second: str, what: str, **threshold: float):
    """``column`` of a method less another's; where the first repairs the second, at the second's setting."""

    def judge(table: pd.DataFrame) -> Verdict:
        like = second if (first, second) == (REPAIRED, LAF) else None
        difference = tuned(table, task, first, column, like) - tuned(table, task, second, column)
        return statistics.trend(difference, f"{what}, {first} less {second}", **threshold)

    return judge


def _judge_nearer(task: str, column: str, what: str):
    """Distance from retraining, LAF's less the original's."""

    def judge(table: pd.DataFrame) -> Verdict:
        reference = tuned(table, task, RETRAINED, column)
        away = [(tuned(table, task, method, column) - reference).abs() for method in (LAF, ORIGINAL)]
        return statistics.trend(away[0] - away[1], f"{what}: distance from retraining, LAF less original", below=0.0)

    return judge


def _judge_ablation(method: str, column: str, what: str, *, paired: bool, **threshold: float):
    """An ablation of class unlearning at its one setting, by itself or less LAF at the same."""

    def judge(table: pd.DataFrame) -> Verdict:
        alone = tuned(table, CLASS, method, column)
        if not paired:
            return statistics.trend(alone, what, **threshold)
        rows = _last(table, CLASS, LAF, "test")
        rows = rows[rows["setting"] == chosen_setting(table, CLASS, method)]
        return statistics.trend(alone - rows.groupby("replicate", sort=True)[column].mean(), what, **threshold)

    return judge


def _judge_comparable(task: str):
    def judge(table: pd.DataFrame) -> Verdict:
        others = pd.concat([tuned(table, task, method, "gap") for method in SUPERVISED], axis=1).mean(axis=1)
        what = "mean distance from retraining (points), LAF less the average of methods with labels"
        return statistics.trend(tuned(table, task, LAF, "gap") - others, what, below=1.0)

    return judge


def _judge_repaired(task: str):
    def judge(table: pd.DataFrame) -> Verdict:
        best = best_supervised(table, task)
        difference = tuned(table, task, REPAIRED, "gap") - tuned(table, task, best, "gap")
        return statistics.trend(difference, f"mean distance from retraining (points), LAF+R less {best}", below=0.0)

    return judge


def _example() -> pd.DataFrame:
    """A world in which everything that the paper says is so."""
    values = {
        CLASS: {
            RETRAINED: (0.0, 97.0, 20.0, 0.0), ORIGINAL: (100.0, 97.0, 50.0, 45.0), LAF: (1.0, 96.0, 22.0, 2.0),
            REPAIRED: (1.0, 96.5, 21.0, 1.0), NO_ALIGNMENT: (30.0, 30.0, 20.0, 40.0),
            NO_EXTRACTOR: (99.0, 97.0, 50.0, 45.0),
        },
        RANDOM: {
            RETRAINED: (94.0, 96.0, 50.0, 0.0), ORIGINAL: (100.0, 96.5, 56.0, 4.0), LAF: (97.0, 95.5, 52.0, 2.0),
            REPAIRED: (96.0, 95.8, 51.0, 1.0),
        },
        NOISY: {
            RETRAINED: (1.0, 96.0, 50.0, 0.0), ORIGINAL: (95.0, 82.0, 45.0, 29.0), LAF: (5.0, 93.0, 49.0, 2.0),
            REPAIRED: (3.0, 94.0, 49.0, 1.0),
        },
    }  # fmt: skip
    rows = []
    for task, methods in values.items():
        for method, numbers in {**methods, **dict.fromkeys(SUPERVISED, (2.0, 95.0, 48.0, 3.0))}.items():
            for k in range(5):
                named = dict(zip(("train_f", "test", "attack", "gap"), numbers, strict=True))
                jitter = {name: value + 0.02 * k * (method in (LAF, REPAIRED)) for name, value in named.items()}
                for part in ("test", "tuning"):
                    rows.append(
                        {"replicate": k, "task": task, "part": part, "method": method, "setting": 1.0, "passes": 20.0}
                        | jitter
                    )
    return pd.DataFrame(rows)


def _methods_exchanged(first: str, second: str):
    return lambda table: exchange(table, "method", first, second)


def _judge_cost(table: pd.DataFrame) -> Verdict:
    seconds = table.pivot_table(index=["replicate", "round"], columns="side", values="seconds")
    ratio = float((seconds[LAF] / seconds[RETRAINED]).median())
    share = float((seconds["autoencoders"] / seconds[LAF]).median())
    compared = f"seconds of LAF over those of retraining ({share:.0%} of LAF's for the autoencoders)"
    return statistics.at_most(ratio, compared, threshold=1.0, instances=len(seconds))


def _cost_example() -> pd.DataFrame:
    seconds = {LAF: 0.5, "autoencoders": 0.2, RETRAINED: 1.0}
    return pd.DataFrame(
        [{"replicate": 0, "round": k, "side": side, "seconds": s} for k in range(3) for side, s in seconds.items()]
    )


_COMPARISON = "comparison with retraining and methods that know labels"
CLAIMS = [
    Claim(
        "C1", "identities", "identity", "loss functions of the method",
        "Losses are their closed forms in both rooms and ignore the order within batches; L_UE and L_RA stay within "
        "their bounds; the teacher gets no gradient, and at the teacher L_RA has none.",
        _judge_identities, _identities_example, lambda t: exchange(t, "identity", "L_RA, numpy and torch", _WRONG),
    ),
    Claim(
        "C1b", "bounds", "bound", "bounded loss of the paper; constants derived here",
        "phi stays in [1, e) and saturates between (e − 1)/(1 + u) and e/(1 + u); |L_UE| ≤ B (e − 1); L_RA sees "
        "forgotten points by their mean, up to 1/(2 tau²).",
        _judge_bounds, _bounds_example, lambda t: t.assign(ratio=2 * t["ratio"]),
    ),
    Claim(
        "C2a", "unlearning", "trend", "class removal without labels",
        "LAF forgets a class: at most 5 % of its training points are still recognised.",
        _judge_level(CLASS, LAF, "train_f", "accuracy on the forgotten class (%)", below=5.0), _example,
        _methods_exchanged(LAF, ORIGINAL), paper_value="about 0 %",
    ),
    Claim(
        "C2b", "unlearning", "trend", "class removal without labels",
        "Accuracy on held-out images of the other classes stays within 2 points of retraining.",
        _judge_less(CLASS, "test", LAF, RETRAINED, "accuracy on other classes (points)", above=-2.0), _example,
        shifted("test", "method", (LAF,), -20.0),
    ),
    Claim(
        "C3", "unlearning", "trend", "LAF+R",
        "Repair with 30 labelled points costs the other classes' held-out images less than half a point.",
        _judge_less(CLASS, "test", REPAIRED, LAF, "accuracy on other classes (points)", above=-0.5), _example,
        shifted("test", "method", (REPAIRED,), -20.0),
    ),
    Claim(
        "C4a", "unlearning", "trend", "condition of the task, ours",
        "There is something to forget of random points: the original fits them better than a retrained model by more "
        "than 2 points.",
        _judge_less(RANDOM, "train_f", ORIGINAL, RETRAINED, "accuracy on forgotten points (points)", above=2.0),
        _example, _methods_exchanged(ORIGINAL, RETRAINED),
    ),
    Claim(
        "C4b", "unlearning", "trend", "removal of random points",
        "LAF lowers the accuracy on random forgotten points.",
        _judge_less(RANDOM, "train_f", LAF, ORIGINAL, "accuracy on forgotten points (points)", below=0.0), _example,
        _methods_exchanged(LAF, ORIGINAL),
    ),
    Claim(
        "C4c", "unlearning", "trend", "removal of random points",
        "It moves that accuracy toward the retrained model's.",
        _judge_nearer(RANDOM, "train_f", "accuracy on forgotten points (points)"), _example,
        _methods_exchanged(LAF, ORIGINAL),
    ),
    Claim(
        "C4d", "unlearning", "trend", "removal of random points",
        "Test accuracy stays within 2 points of retraining.",
        _judge_less(RANDOM, "test", LAF, RETRAINED, "test accuracy (points)", above=-2.0), _example,
        shifted("test", "method", (LAF,), -20.0),
    ),
    Claim(
        "C4e", "unlearning", "trend", "removal of random points, membership attack",
        "The attacker's area under the curve moves toward the retrained model's.",
        _judge_nearer(RANDOM, "attack", "attacker's area (points)"), _example, _methods_exchanged(LAF, ORIGINAL),
    ),
    Claim(
        "C5", "unlearning", "trend", "removal of mislabelled points",
        "Forgetting mislabelled points raises test accuracy above the original model's.",
        _judge_less(NOISY, "test", LAF, ORIGINAL, "test accuracy (points)", above=0.0), _example,
        _methods_exchanged(LAF, ORIGINAL),
    ),
    Claim(
        "C6a", "unlearning", "trend", "ablation",
        "Without L_RA the other classes are lost: over 10 points of held-out accuracy less than LAF.",
        _judge_ablation(
            NO_ALIGNMENT, "test", "accuracy on other classes (points), without L_RA less LAF", paired=True, below=-10.0
        ),
        _example, shifted("test", "method", (NO_ALIGNMENT,), 100.0),
    ),
    Claim(
        "C6b", "unlearning", "trend", "ablation",
        "Without L_UE the class is not forgotten: over half of its training points are still recognised.",
        _judge_ablation(
            NO_EXTRACTOR, "train_f", "accuracy on the forgotten class without L_UE (%)", paired=False, above=50.0
        ),
        _example, shifted("train_f", "method", (NO_EXTRACTOR,), -100.0),
    ),
    Claim(
        "C6c", "unlearning", "trend", "ablation",
        "Without L_UE more of the forgotten class is still recognised than with LAF.",
        _judge_ablation(
            NO_EXTRACTOR, "train_f", "accuracy on the forgotten class (points), without L_UE less LAF", paired=True,
            above=0.0,
        ),
        _example, shifted("train_f", "method", (NO_EXTRACTOR,), -100.0),
    ),
    *[
        Claim(
            f"C7{letter}", "unlearning", "trend", _COMPARISON,
            f"On {task}, LAF without labels is at most 1 point further from retraining than methods with labels are on "
            "average.",
            _judge_comparable(task), _example, shifted("gap", "method", (LAF,), 50.0),
            paper_value="comparable to fully supervised methods",
        )
        for letter, task in (("a", CLASS), ("b", RANDOM), ("c", NOISY))
    ],
    *[
        Claim(
            f"C7{letter}", "unlearning", "trend", _COMPARISON,
            f"On {task}, LAF+R is nearer to retraining than the best method with labels.",
            _judge_repaired(task), _example, shifted("gap", "method", (REPAIRED,), 50.0),
        )
        for letter, task in (("d", CLASS), ("e", RANDOM), ("f", NOISY))
    ],
    Claim(
        "C8", "cost", "cost", "cost of the method", "LAF, its autoencoders included, takes less time than retraining.",
        _judge_cost, _cost_example, lambda t: exchange(t, "side", LAF, RETRAINED),
    ),
]  # fmt: skip
