"""The contrastive temperature trades uniform features for tolerant ones, and few-label accuracy peaks in between.

Two experiments. *identities* holds closed-form gradients, penalties, entropies and both limits against autograd,
differences and the losses themselves on random similarities, beside wrong versions that must not pass.
*representations* trains small encoders on augmented handwritten digits: all start equal and see the same views in the
same order, so that only the loss differs. Plain contrastive losses over a grid of temperatures meet hard ones, which
push an anchor's most similar half of the negatives alone, and the simple loss, which pushes all alike and chooses a
learning rate instead of a temperature. Where methods are compared at their best, each chooses among equally many
settings, by probes of training images whose other half is held out, averaged over several splits. With ten classes a
tenth of the negatives are classmates: a hard loss that keeps a tenth is the negative condition, in which there is
hardly anything else to push. Untrained encoders show where the probes start, shuffled labels what tolerance is without
classes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from neural.contrastive.contrastive_temperature import contrastive_loss, tolerance, uniformity
from neural.contrastive.hard_negatives import hard_log_mass, hard_mean
from neural.contrastive.images import LabelledImages, Views, digits, glyphs
from neural.contrastive.pretrain import EncoderEnsemble, encode, pretrain
from neural.contrastive.similarity import positive_similarity, unit_rows
from neural.contrastive.stacked_probes import stacked_knn_accuracy, stacked_linear_probe_accuracy
from simulations import Claim, Experiment, Paper, Replicate, Verdict, statistics
from simulations.controls import columns_exchanged, exchange
from theory.contrastive import contrastive_temperature as theory

PAPER = Paper(
    title="Understanding the Behaviour of Contrastive Loss",
    authors="Feng Wang, Huaping Liu",
    venue="CVPR 2021",
    arxiv="2012.09740",
)
DEVIATIONS = [
    "Hard losses keep exactly k of an anchor's negatives; the paper keeps all above a quantile: they differ at ties.",
    "Negatives are the other samples of the batch, in both views; the paper's come from a memory.",
    "Tolerance averages over pairs of different samples; a sample with itself would add a constant.",
    "Digits of 8 x 8 pixels replace CIFAR and ImageNet: they can show the effect, not the paper's accuracies.",
    "Below temperature 0.2 uniformity is not monotone here: those encoders are under-trained after equally many steps.",
]


# identities -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identities:
    """Random similarities: how many sets of eight anchors, with at most how many negatives."""

    sets: int = 100
    max_negatives: int = 64
    temperatures: int = 200


def simulate_identities(settings: Identities, seed: int, device: str) -> pd.DataFrame:
    """One value per check and set of random similarities, in float64."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(settings.sets):
        negatives = int(rng.integers(2, settings.max_negatives + 1))
        tau = float(np.exp(rng.uniform(np.log(0.05), np.log(5))))
        s_positive, s_negative = rng.uniform(-1, 1, 8), rng.uniform(-1, 1, (8, negatives))
        checks = (
            _gradient_checks(s_positive, s_negative, tau, device)
            | _entropy_checks(s_negative, tau, settings.temperatures)
            | _limit_checks(s_positive, s_negative)
        )
        rows += [{"check": k, "negatives": negatives, "temperature": tau, "value": v} for k, v in checks.items()]
    return pd.DataFrame(rows)


def _gradient_checks(s_positive: np.ndarray, s_negative: np.ndarray, tau: float, device: str) -> dict[str, float]:
    """Closed gradients against autograd, over all negatives and over the hardest half."""
    gap = balance = ratio = 0.0
    for fraction in (None, 0.5):
        a, b = (torch.tensor(s, device=device, requires_grad=True) for s in (s_positive, s_negative))
        loss = contrastive_loss(a, b, tau, fraction, reduction="none")
        automatic = [g.cpu().numpy() for g in torch.autograd.grad(loss.sum(), (a, b))]
        closed = theory.contrastive_loss_grad(s_positive, s_negative, tau, fraction)
        penalties = theory.relative_penalties(s_negative, tau, fraction)
        gap = max(gap, *(float(np.abs(x - y).max()) for x, y in zip(automatic, closed, strict=True)))
        balance = max(balance, float(np.abs(automatic[0] + automatic[1].sum(1)).max()))
        # an easy positive has a gradient near 0, which a ratio must not be divided by
        ratio = max(ratio, float(np.abs(automatic[1] + penalties * automatic[0][:, None]).max()))
    everything = np.column_stack([s_positive, s_negative]) / tau
    with_positive = np.exp(everything - np.logaddexp.reduce(everything, axis=1)[:, None])[:, 1:]
    return {
        "gradients": gap,
        "positive gradient is minus the sum of the negative ones": balance,
        "relative penalties": ratio,
        "penalties with the positive in the denominator": float(
            np.abs(with_positive - theory.relative_penalties(s_negative, tau)).max()
        ),
    }


def _entropy_checks(s_negative: np.ndarray, tau: float, temperatures: int) -> dict[str, float]:
    grid = np.geomspace(0.01, 100, temperatures)
    entropies = np.array([theory.penalty_entropy(s_negative, each) for each in grid])
    step = 1e-5 / tau
    ends = [theory.penalty_entropy(s_negative, 1 / (1 / tau + sign * step)) for sign in (-1, 1)]
    slope = theory.penalty_entropy_slope(s_negative, tau)
    penalties = theory.relative_penalties(s_negative, tau)
    log_ratio = np.log(penalties[:, 0] / penalties[:, 1]) - (s_negative[:, 0] - s_negative[:, 1]) / tau
    return {
        "largest fall of the entropy": float(-np.diff(entropies, axis=0).min()),
        "slope of the entropy": float(np.abs((ends[1] - ends[0]) / (2 * step) - slope).max() / np.abs(slope).max()),
        "slope without the factor 1/tau": float(np.abs(slope * (tau - 1)).max() / np.abs(slope).max()),
        "ratio of penalties": float(np.abs(log_ratio).max()),
    }


def _limit_checks(s_positive: np.ndarray, s_negative: np.ndarray) -> dict[str, float]:
    worst = below = 0.0
    for tau in np.geomspace(1e-4, 1, 20):
        excess = tau * theory.contrastive_loss(s_positive, s_negative, tau)
        excess -= theory.small_temperature_limit(s_positive, s_negative)
        worst = max(worst, float(excess.max()) / theory.small_temperature_error_bound(s_negative.shape[1], tau))
        below = max(below, float(-excess.min()))
    tau = 1000.0
    residual = theory.contrastive_loss(s_positive, s_negative, tau) - theory.large_temperature_expansion(
        s_positive, s_negative, tau
    )
    half_variance = np.column_stack([s_positive, s_negative]).var(1) / 2
    return {
        "excess over the limit / bound": worst,
        "excess below 0": below,
        "large-temperature residual": float(np.abs(residual * tau**2 / half_variance - 1).max()),
        "residual, variance of the negatives alone": float(
            np.abs(residual * tau**2 / (s_negative.var(1) / 2) - 1).max()
        ),
    }


# representations --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Representations:
    """Encoders trained with each loss.

    Temperatures of the plain and of the hard losses; those that a method may choose from are ``tuned``; the simple
    loss chooses a learning rate instead. ``too_few`` is the share of negatives that a hard loss should not go down to.
    """

    datasets: tuple[str, ...] = ("digits",)
    temperatures: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
    tuned_temperatures: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5, 1.0)
    hard_fractions: tuple[float, ...] = (0.5,)
    hard_temperatures: tuple[float, ...] = (0.2, 0.5, 1.0, 2.0, 5.0)
    too_few: float = 0.1
    simple_rates: tuple[float, ...] = (0.002, 0.006, 0.02, 0.06, 0.2)
    learning_rate: float = 0.05
    batch_size: int = 64
    steps: int = 200
    width: int = 96
    label_draws: int = 5
    validation_splits: int = 3


@dataclass(frozen=True)
class Arm:
    """One encoder's loss: the negatives it keeps, their temperature (infinite: the simple loss), its learning rate."""

    loss: str
    temperature: float
    hard_fraction: float
    learning_rate: float
    tuned: bool


UNTRAINED = Arm("untrained", np.nan, np.nan, np.nan, False)


def simulate_representations(settings: Representations, seed: int, device: str) -> Replicate:
    """Uniformity, tolerance and probes per loss, with what shuffled labels and untrained encoders give.

    Arrays: histograms of the similarity of positives and of the ten nearest neighbours by temperature; the penalties'
    entropy on one encoder's similarities over temperatures, relative to its largest value; one anchor's similarities.
    """
    rows: list[dict[str, object]] = []
    arrays: dict[str, np.ndarray] = {}
    for name in settings.datasets:
        data = _images(name, seed).to(device)
        arms = _arms(settings)
        generator = torch.Generator(device).manual_seed(seed)
        views = Views()
        start = EncoderEnsemble(1, generator=generator, width=settings.width)
        untrained = _measure(start, data, views, settings, seed)
        models = EncoderEnsemble(len(arms), generator=generator, width=settings.width)
        rates = torch.tensor([arm.learning_rate for arm in arms], device=device)
        pretrain(
            models, data.train, _stacked_loss(arms, settings.batch_size, device), views=views,
            batch_size=settings.batch_size, steps=settings.steps, learning_rate=rates, generator=generator,
        )  # fmt: skip
        measured = _measure(models, data, views, settings, seed)
        chosen = _choices(arms, measured)
        rows += [
            {"data": name, **vars(arm), **row, **picked}
            for arm, row, picked in zip([UNTRAINED, *arms], untrained + measured, chosen, strict=True)
        ]
        if name == settings.datasets[0]:
            arrays = _similarity_arrays(models, arms, data, views, generator)
    return Replicate(pd.DataFrame(rows), arrays)


def _images(name: str, seed: int) -> LabelledImages:
    return digits(seed % 2**31) if name == "digits" else glyphs(split_seed=seed % 2**31)


def _arms(settings: Representations) -> list[Arm]:
    rate, tuned = settings.learning_rate, settings.tuned_temperatures
    hard = list(product(settings.hard_fractions, settings.hard_temperatures))
    hard += [(settings.too_few, 1.0)] if (settings.too_few, 1.0) not in hard else []
    return [
        *(Arm("contrastive", tau, 1.0, rate, tau in tuned) for tau in settings.temperatures),
        *(Arm("hard contrastive", tau, share, rate, share == 0.5) for share, tau in hard),
        *(Arm("simple", np.inf, 1.0, each, True) for each in settings.simple_rates),
        *(Arm("hard simple", np.inf, share, rate, False) for share in settings.hard_fractions),
    ]


def _stacked_loss(
    arms: list[Arm], batch_size: int, device: str
) -> Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]:
    """Losses of all encoders, computed together where they keep equally many negatives."""
    groups: dict[tuple[float, bool], list[int]] = {}
    for number, arm in enumerate(arms):
        groups.setdefault((arm.hard_fraction, bool(np.isinf(arm.temperature))), []).append(number)
    slices = [(fraction, simple, slice(members[0], members[-1] + 1)) for (fraction, simple), members in groups.items()]
    if [number for *_, each in slices for number in range(each.start, each.stop)] != list(range(len(arms))):
        raise ValueError("arms of one loss and hard_fraction must stand side by side")
    taus = torch.tensor([arm.temperature for arm in arms], device=device)

    def loss(z1: torch.Tensor, z2: torch.Tensor, step: int) -> torch.Tensor:
        u1, u2 = unit_rows(z1), unit_rows(z2)
        losses = []
        for fraction, simple, each in slices:
            kept = max(1, round(fraction * (2 * batch_size - 2)))
            if simple:
                gaps = hard_mean(u1[each], u2[each], kept) - positive_similarity(u1[each], u2[each], 1.0)[:, None]
                losses.append(gaps.mean((1, 2)))
            else:
                mass = hard_log_mass(u1[each], u2[each], taus[each], kept)
                gaps = positive_similarity(u1[each], u2[each], taus[each])[:, None] - mass
                losses.append(-F.logsigmoid(gaps).mean((1, 2)))
        return torch.cat(losses)

    return loss


def _measure(
    models: EncoderEnsemble, data: LabelledImages, views: Views, settings: Representations, seed: int
) -> list[dict[str, float]]:
    """Every encoder's shape and probes; the ``validation_`` ones hold half of the training images out."""
    train, _ = encode(models, views.evaluation_copies(data.train))
    test, projections = encode(models, views.evaluation_copies(data.test))
    order = torch.randperm(len(data.test_labels), generator=torch.Generator().manual_seed(seed)).to(projections.device)
    columns = {
        "uniformity": uniformity(projections),
        "tolerance": tolerance(projections, data.test_labels),
        "tolerance_shuffled": tolerance(projections, data.test_labels[order]),
        "classmates_in_hardest_tenth": _classmates(projections, data.test_labels, 0.1),
        **_probes(train, data.train_labels, test, data.test_labels, range(settings.label_draws)),
    }
    validation = []
    for number in range(settings.validation_splits):
        split = torch.as_tensor(np.random.default_rng([seed % 2**31, number]).permutation(train.shape[1]))
        fit, held = split.to(train.device).tensor_split(2)
        validation.append(
            _probes(train[:, fit], data.train_labels[fit], train[:, held], data.train_labels[held], [number])
        )
    columns |= {f"validation_{probe}": torch.stack([each[probe] for each in validation]).mean(0) for probe in PROBES}
    return [{name: float(values[k]) for name, values in columns.items()} for k in range(len(train))]


PROBES = ("lin", "lin3", "knn")


def _probes(
    train: torch.Tensor, train_labels: torch.Tensor, test: torch.Tensor, test_labels: torch.Tensor, draws: Iterable[int]
) -> dict[str, torch.Tensor]:
    """Linear probes with all labels and with three per class (mean over draws of them), and nearest neighbours."""
    known = (train, train_labels, test, test_labels)
    few = [stacked_linear_probe_accuracy(*known, per_class=3, seed=draw) for draw in draws]
    return {
        "lin": stacked_linear_probe_accuracy(*known),
        "lin3": torch.stack(few).mean(0),
        "knn": stacked_knn_accuracy(*known),
    }


def _classmates(projections: torch.Tensor, labels: torch.Tensor, share: float) -> torch.Tensor:
    """Share of classmates among the most similar ``share`` of the other samples, per model."""
    cosines = projections @ projections.mT
    cosines.diagonal(dim1=-2, dim2=-1).fill_(-torch.inf)
    nearest = cosines.topk(max(1, round(share * (len(labels) - 1))), dim=-1).indices
    return (labels[nearest] == labels[:, None]).float().mean((1, 2))


def _choices(arms: list[Arm], measured: list[dict[str, float]]) -> list[dict[str, bool]]:
    """Which setting of its loss each probe would choose on held-out data; the first row is the untrained encoder's."""
    picked = [dict.fromkeys([f"chosen_{probe}" for probe in PROBES], False) for _ in range(len(arms) + 1)]
    for probe in PROBES:
        for loss in ("contrastive", "hard contrastive", "simple"):
            members = [k for k, arm in enumerate(arms) if arm.loss == loss and arm.tuned]
            best = max(members, key=lambda k: measured[k][f"validation_{probe}"])
            picked[best + 1][f"chosen_{probe}"] = True
    return picked


HISTOGRAM_BINS = np.linspace(-1, 1, 81)
ENTROPY_TEMPERATURES = np.geomspace(0.01, 10, 25)


def _similarity_arrays(
    models: EncoderEnsemble, arms: list[Arm], data: LabelledImages, views: Views, generator: torch.Generator
) -> dict[str, np.ndarray]:
    """What the figures show of similarities: of the plain losses, on test images."""
    _, first = encode(models, views(data.test, generator))
    _, second = encode(models, views(data.test, generator))
    arrays: dict[str, np.ndarray] = {}
    for number, arm in enumerate(arms):
        if arm.loss != "contrastive":
            continue
        u, v = first[number].double(), second[number].double()
        cosines = u @ u.T
        others = cosines[~torch.eye(len(u), dtype=torch.bool, device=u.device)].reshape(len(u), -1)
        nearest = others.topk(10, dim=1).values
        for name, values in (("positive", (u * v).sum(1)), ("nearest", nearest)):
            counts, _ = np.histogram(values.cpu().numpy().clip(-1, 1), HISTOGRAM_BINS)
            arrays[f"{name}_{arm.temperature:g}"] = counts / counts.sum()
        if arm.temperature == 0.5:
            similarities = others.cpu().numpy()
            entropies = [theory.penalty_entropy(similarities, tau) for tau in ENTROPY_TEMPERATURES]
            halves = [theory.penalty_entropy(similarities, tau, 0.5) for tau in ENTROPY_TEMPERATURES]
            arrays["entropy"] = np.mean(entropies, axis=1) / np.log(similarities.shape[1])
            arrays["entropy_hardest_half"] = np.mean(halves, axis=1) / np.log(similarities.shape[1])
            arrays["similarities"] = np.sort(similarities[0])
    return arrays


EXPERIMENTS = [
    Experiment(
        "identities", simulate_identities, quick=Identities(10, temperatures=100), full=Identities(),
        tiny=Identities(3, 8, 20),
    ),
    Experiment(
        "representations", simulate_representations, quick=Representations(),
        full=Representations(
            datasets=("digits", "glyphs"),
            temperatures=(0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0, 5.0),
            hard_fractions=(0.1, 0.3, 0.5), batch_size=256, steps=2000, width=256,
        ),
        tiny=Representations(
            simple_rates=(0.05,), batch_size=16, steps=3, width=16, label_draws=1, validation_splits=1
        ),
    ),
]  # fmt: skip


# claims -----------------------------------------------------------------------------------------


def _checked(table: pd.DataFrame, *names: str) -> np.ndarray:
    values = table.loc[table["check"].isin(names), "value"].to_numpy(dtype=np.float64)
    if len(values) == 0:
        raise ValueError(f"no values of {names} in the table")
    return values


def _judge_gradients(table: pd.DataFrame) -> Verdict:
    exact = ("gradients", "positive gradient is minus the sum of the negative ones", "relative penalties")
    wrong = "penalties with the positive in the denominator"
    return statistics.all_of(
        [
            *(
                statistics.identity(_checked(table, name), f"largest error of: {name}", tolerance=1e-8)
                for name in exact
            ),
            statistics.at_least(_checked(table, wrong).max(), f"largest error of: {wrong}", threshold=1e-3),
        ]
    )


def _judge_entropy(table: pd.DataFrame) -> Verdict:
    wrong = "slope without the factor 1/tau"
    fall = "largest fall of the entropy"
    return statistics.all_of(
        [
            statistics.at_most(
                _checked(table, fall).max(), f"{fall} as the temperature grows", threshold=1e-12,
                instances=len(_checked(table, fall)),
            ),
            statistics.identity(
                _checked(table, "slope of the entropy"), "relative error of the entropy's slope", tolerance=1e-6
            ),
            statistics.identity(
                _checked(table, "ratio of penalties"), "largest error of the log ratio of two penalties", tolerance=1e-9
            ),
            statistics.at_least(_checked(table, wrong).max(), f"largest error of the {wrong}", threshold=1e-3),
        ]
    )  # fmt: skip


def _judge_limits(table: pd.DataFrame) -> Verdict:
    rows = table[table["check"] == "excess over the limit / bound"]
    worst = rows.iloc[int(rows["value"].to_numpy().argmax())]
    wrong = "residual, variance of the negatives alone"
    return statistics.all_of(
        [
            statistics.bound(
                worst["value"], "largest excess of tau L over max(max s − s⁺, 0), over tau log(N + 1)",
                instances=len(rows) * 8 * 20, required=1600, witness=f"N = {worst['negatives']:g}",
            ),
            statistics.at_most(
                _checked(table, "excess below 0").max(), "largest shortfall of tau L below its limit", threshold=1e-12
            ),
            statistics.at_most(
                _checked(table, "large-temperature residual").max(),
                "relative error of Var/2 as the residual times tau² at tau = 1000", threshold=0.01,
            ),
            statistics.at_least(
                _checked(table, wrong).max(), "the same with the variance of the negatives alone", threshold=0.05
            ),
        ]
    )  # fmt: skip


def _identities_example() -> pd.DataFrame:
    values = {
        "gradients": 1e-15, "positive gradient is minus the sum of the negative ones": 1e-15,
        "relative penalties": 1e-15, "penalties with the positive in the denominator": 0.3,
        "largest fall of the entropy": 0.0, "slope of the entropy": 1e-8, "slope without the factor 1/tau": 2.0,
        "ratio of penalties": 1e-14, "excess over the limit / bound": 0.9, "excess below 0": 0.0,
        "large-temperature residual": 1e-3, "residual, variance of the negatives alone": 0.4,
    }  # fmt: skip
    return pd.DataFrame(
        [
            {"replicate": k, "check": name, "negatives": 20, "temperature": 0.3, "value": value}
            for k in range(20)
            for name, value in values.items()
        ]
    )


def _renamed(first: str, second: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A control that puts the wrong version in the place of the right one."""
    return lambda table: exchange(table, "check", first, second)


def _without_slack(table: pd.DataFrame) -> pd.DataFrame:
    """As if the bound were a third of what it is."""
    bounded = table["check"] == "excess over the limit / bound"
    return table.assign(value=table["value"].where(~bounded, 3 * table["value"]))


RISING = (0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
"""Temperatures at which encoders are trained to the end within the steps given."""


def _of(table: pd.DataFrame, column: str, loss: str, temperature: float, fraction: float = 1.0) -> pd.Series:
    """One measurement of one encoder per replicate, on digits."""
    rows = table[
        (table["data"] == "digits") & (table["loss"] == loss)
        & (table["temperature"] == temperature) & (table["hard_fraction"] == fraction)
    ]  # fmt: skip
    return _per_replicate(table, rows, column, f"{loss} at temperature {temperature:g}")


def _chosen(table: pd.DataFrame, probe: str, loss: str) -> pd.Series:
    """Accuracy with the setting that held-out data chose."""
    rows = table[(table["data"] == "digits") & (table["loss"] == loss) & table[f"chosen_{probe}"].astype(bool)]
    return _per_replicate(table, rows, probe, f"chosen {loss}")


def _per_replicate(table: pd.DataFrame, rows: pd.DataFrame, column: str, name: str) -> pd.Series:
    values = rows.set_index("replicate")[column].sort_index()
    if values.index.has_duplicates or len(values) != table["replicate"].nunique():
        raise ValueError(f"every replicate needs one row of {name}, got {len(values)}")
    return values


def _plain(table: pd.DataFrame, column: str, temperature: float) -> pd.Series:
    return _of(table, column, "contrastive", temperature)


def _hard(table: pd.DataFrame, column: str, temperature: float) -> pd.Series:
    return _of(table, column, "hard contrastive", temperature, 0.5)


def _judge_uniformity(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.trend(
                _plain(table, "uniformity", high) - _plain(table, "uniformity", low),
                f"uniformity at temperature {high:g} less that at {low:g}", above=0.0,
            )
            for low, high in pairwise(RISING)
        ]
    )  # fmt: skip


def _judge_tolerance(table: pd.DataFrame) -> Verdict:
    pairs = [(0.2, 0.3), (0.3, 0.5), (0.2, 1.0), (0.2, 2.0), (0.2, 5.0)]
    return statistics.all_of(
        [
            statistics.trend(
                _plain(table, "tolerance", high) - _plain(table, "tolerance", low),
                f"tolerance at temperature {high:g} less that at {low:g}", above=0.0,
            )
            for low, high in pairs
        ]
    )  # fmt: skip


def _judge_class_structure(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.trend(
                _plain(table, "tolerance", tau) - _plain(table, "tolerance_shuffled", tau),
                f"tolerance less that of shuffled labels at temperature {tau:g}", above=0.0,
            )
            for tau in RISING
        ]
    )  # fmt: skip


def _judge_inverted_u(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.trend(
                _plain(table, "lin3", 0.5) - _plain(table, "lin3", tau),
                f"few-label accuracy at temperature 0.5 less that at {tau:g}", above=0.0,
            )
            for tau in (0.1, 2.0, 5.0)
        ]
    )  # fmt: skip


def _judge_flatness(table: pd.DataFrame) -> Verdict:
    plain, hard = (measure(table, "lin3", 0.5) - measure(table, "lin3", 2.0) for measure in (_plain, _hard))
    return statistics.trend(
        plain - hard, "few-label accuracy lost from temperature 0.5 to 2, plain less hard", above=0.0
    )


def _judge_too_few(table: pd.DataFrame) -> Verdict:
    columns = ("lin3", "uniformity", "classmates_in_hardest_tenth")
    few, half = ({c: _of(table, c, "hard contrastive", 1.0, share) for c in columns} for share in (0.1, 0.5))
    return statistics.all_of(
        [
            statistics.trend(
                few["lin3"] - half["lin3"], "few-label accuracy, hardest tenth less hardest half", below=0.0
            ),
            statistics.trend(
                few["uniformity"] - half["uniformity"], "uniformity, hardest tenth less hardest half", above=0.0
            ),
            statistics.trend(
                half["classmates_in_hardest_tenth"], "share of classmates in the most similar tenth", above=0.5
            ),
        ]
    )  # fmt: skip


def _representations_example() -> pd.DataFrame:
    measured = {
        # temperature: uniformity, tolerance, lin3 of the plain and of the hard loss
        0.05: (-2.0, 0.72, 0.79, 0.80), 0.1: (-2.4, 0.70, 0.80, 0.81), 0.2: (-2.7, 0.65, 0.83, 0.84),
        0.3: (-2.6, 0.69, 0.84, 0.85), 0.5: (-2.4, 0.74, 0.86, 0.87), 1.0: (-2.2, 0.75, 0.83, 0.88),
        2.0: (-2.0, 0.74, 0.80, 0.86), 5.0: (-1.8, 0.71, 0.76, 0.82),
    }  # fmt: skip
    rows = []
    for k in range(5):
        noise = 0.002 * ((3 * k) % 5 - 2)

        def row(
            loss: str, tau: float, share: float, accuracy: float, even: float, near: float, chosen: bool,
            k: int = k, noise: float = noise,
        ) -> dict[str, object]:  # fmt: skip
            # a different part of the noise for every condition, so that paired differences vary
            bump = noise * (1 + (0.0 if np.isinf(tau) else tau) / 5 - share / 3)
            return {
                "replicate": k, "data": "digits", "loss": loss, "temperature": tau, "hard_fraction": share,
                "learning_rate": 0.05, "tuned": True, "uniformity": even + bump, "tolerance": near + bump,
                "tolerance_shuffled": 0.01 + bump, "classmates_in_hardest_tenth": 0.75 + bump,
                **dict.fromkeys(PROBES, accuracy + bump),
                **{f"chosen_{probe}": chosen for probe in PROBES},
            }  # fmt: skip

        for tau, (even, near, plain, hard) in measured.items():
            rows.append(row("contrastive", tau, 1.0, plain, even, near, tau == 0.5))
            rows.append(row("hard contrastive", tau, 0.5, hard, even - 0.1, near, tau == 1.0))
        rows.append(row("hard contrastive", 1.0, 0.1, 0.7, -0.2, 0.98, False))
        rows.append(row("simple", np.inf, 1.0, 0.76, -1.7, 0.71, True))
    return pd.DataFrame(rows)


def _temperatures_reversed(table: pd.DataFrame) -> pd.DataFrame:
    order = dict(zip(RISING, reversed(RISING), strict=True))
    return table.assign(temperature=table["temperature"].replace(order))


def _errors_counted(probe: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """As if a probe's errors were what it gets right."""
    return lambda table: table.assign(**{probe: 1 - table[probe]})


def _hard_and_plain_exchanged(table: pd.DataFrame) -> pd.DataFrame:
    shares = table["hard_fraction"].replace({1.0: 0.5, 0.5: 1.0})
    either = table["loss"].isin(["contrastive", "hard contrastive"])
    renamed = exchange(table, "loss", "contrastive", "hard contrastive")
    return renamed.assign(hard_fraction=table["hard_fraction"].where(~either, shares))


def _hard_claim(id: str, probe: str, name: str, paper_value: str = "") -> Claim:
    return Claim(
        id, "representations", "trend", "hard contrastive loss, table of linear accuracies",
        f"At temperature 1 pushing the hardest half of the negatives classifies better than pushing all ({name}).",
        lambda table: statistics.trend(
            _hard(table, probe, 1.0) - _plain(table, probe, 1.0),
            f"{name} accuracy, hard less plain, temperature 1", above=0.0,
        ),
        _representations_example, _hard_and_plain_exchanged, paper_value,
    )  # fmt: skip


def _best_claim(id: str, source: str, first: str, second: str, probe: str, name: str, **options: object) -> Claim:
    """Claims between two losses, each with the setting that held-out data chose among five."""

    def judge(table: pd.DataFrame) -> Verdict:
        difference = _chosen(table, probe, first) - _chosen(table, probe, second)
        return statistics.trend(difference, f"{name} accuracy, {first} less {second}, both at their best", above=0.0)

    return Claim(
        id, "representations", "trend", source,
        f"With settings chosen on held-out data the {first} loss classifies better than the {second} loss ({name}).",
        judge, _representations_example, lambda table: exchange(table, "loss", first, second), **options,  # type: ignore[arg-type]
    )  # fmt: skip


CLAIMS = [
    Claim(
        "C1", "identities", "identity", "gradient analysis",
        "The gradient at a negative is P_j/tau, at the positive minus their sum; penalties are softmax(s/tau).",
        _judge_gradients, _identities_example,
        _renamed("relative penalties", "penalties with the positive in the denominator"),
    ),
    Claim(
        "C2", "identities", "bound", "role of the temperature",
        "The penalties' entropy never falls with the temperature; its slope by 1/tau is −Var/tau.",
        _judge_entropy, _identities_example, _renamed("slope of the entropy", "slope without the factor 1/tau"),
    ),
    Claim(
        "C3", "identities", "limit", "two extreme cases",
        "tau L is within tau log(N + 1) of max(max s − s⁺, 0); L tends to a scaled simple loss, off by Var/(2 tau²).",
        _judge_limits, _identities_example, _without_slack,
    ),
    Claim(
        "C4a", "representations", "trend", "uniformity-tolerance dilemma",
        "Features become less uniform with every larger temperature from 0.2 to 5.",
        _judge_uniformity, _representations_example, _temperatures_reversed,
    ),
    Claim(
        "C4b", "representations", "trend", "uniformity-tolerance dilemma",
        "Tolerance rises with the temperature from 0.2 to 0.5 and stays above its value at 0.2.",
        _judge_tolerance, _representations_example, lambda table: table.assign(tolerance=-table["tolerance"]),
    ),
    Claim(
        "C4c", "representations", "trend", "uniformity-tolerance dilemma, against shuffled labels",
        "What tolerance measures is class structure: it exceeds that of shuffled labels at every temperature.",
        _judge_class_structure, _representations_example, columns_exchanged("tolerance", "tolerance_shuffled"),
    ),
    Claim(
        "C5", "representations", "trend", "table of linear accuracies by temperature",
        "Accuracy with three labels per class is highest between: better at temperature 0.5 than at 0.1, 2 and 5.",
        _judge_inverted_u, _representations_example, _errors_counted("lin3"),
        paper_value="83.3 % at 0.3 against 79.8 % at 0.07 and 82.2 % at 1 (CIFAR-10, linear probe)",
    ),
    _hard_claim(
        "C6a", "lin3", "few-label", "84.2 against 82.2 % (CIFAR-10), 56.8 against 48.3 % (CIFAR-100), linear probe"
    ),
    _hard_claim("C6b", "knn", "nearest-neighbour"),
    _hard_claim("C6c", "lin", "linear"),
    Claim(
        "C6d", "representations", "trend", "hard contrastive loss, table of linear accuracies",
        "With hard negatives few-label accuracy depends less on the temperature, from 0.5 to 2.",
        _judge_flatness, _representations_example, _hard_and_plain_exchanged,
    ),
    _best_claim(
        "C6e", "hard contrastive loss, table of linear accuracies", "hard contrastive", "contrastive", "knn",
        "nearest-neighbour", paper_value="84.2 against 83.3 % (CIFAR-10), 57.5 against 56.4 % (CIFAR-100), linear",
    ),
    _best_claim(
        "C6f", "hard contrastive loss, table of linear accuracies", "hard contrastive", "contrastive", "lin3",
        "few-label",
    ),
    _best_claim(
        "C7a", "simple contrastive loss, table of linear accuracies", "contrastive", "simple", "lin", "linear",
        paper_value="83.3 against 74.8 % (CIFAR-10)",
    ),
    _best_claim(
        "C7b", "simple contrastive loss, table of linear accuracies", "contrastive", "simple", "lin3", "few-label"
    ),
    Claim(
        "C8", "representations", "trend", "derived: false negatives among the hardest",
        "With ten classes the hardest tenth of negatives is mostly classmates; keeping only that collapses features.",
        _judge_too_few, _representations_example, lambda table: exchange(table, "hard_fraction", 0.1, 0.5),
    ),
]  # fmt: skip
