"""Cluster-aware DINO and the dynamic loss gate: speakers learnt without labels, on synthetic voices and real vowels.

Five experiments. *identities* compares losses, gradients and centres with definitions written out, and the crossing of
two Gaussians with a search on a grid. *distillation* trains self-distilled encoders on synthetic speakers with mild and
with strong session noise, with crops from one utterance, from k-means clusters, and from true clusters spoilt to a
known purity, with and without centring; then classifiers on their pseudo labels, with no gate, a fixed one, a dynamic
one, and label correction. *noise* trains those classifiers on labels that are wrong at random. *vowels* runs the whole
method on 640 real utterances of nine speakers. All networks of a replicate start equal and see the same crops. Every
method has equally many settings; the one used is that with the lowest mean error on validation speakers (for the
vowels: validation utterances), and errors are reported on others.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from neural.contrastive import ca_dino
from neural.contrastive.japanese_vowels import japanese_vowels
from neural.contrastive.loss_gate import gaussian_crossing
from neural.contrastive.speakers import vowel_utterances
from simulations import Claim, Experiment, Paper, Replicate, Verdict, statistics
from simulations.contrastive.speaker_pipeline import best_settings
from simulations.contrastive.speaker_stages import (
    CLUSTERS,
    CORRECTED,
    DINO,
    DYNAMIC,
    FIXED,
    METHODS,
    NONE,
    ORACLE,
    RANDOM,
    RAW,
    SUPERVISED,
    UNCENTRED,
    Grid,
    Heard,
    Stages,
    both_stages,
    classified,
    synthetic,
)
from simulations.controls import exchange
from theory.contrastive import ca_dino as theory

PAPER = Paper(
    title="Self-Supervised Learning with Cluster-Aware-DINO for High-Performance Robust Speaker Verification",
    authors="Bing Han, Zhengyang Chen, Yanmin Qian",
    venue="arXiv preprint 2023",
    arxiv="2304.05754",
)
DEVIATIONS = [
    "Perceptrons on synthetic voices and nine speakers' vowels replace ResNets on VoxCeleb: mechanisms, not its error.",
    "Clusters are as many as speakers and are found anew every few epochs; the paper's numbers are far larger.",
    "A dynamic gate keeps at least the share of samples in the Gaussian of small losses; the crossing alone need not.",
    "Predictions that are corrected carry no margin, neither the clean crop's nor the augmented one's.",
    "Without a crossing between the means the gate is the larger mean; where the unreliable Gaussian dominates at the "
    "smaller mean already, the smaller mean would err less.",
]


# identities -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identities:
    """Random crops, and random mixtures whose crossing is searched for on a grid that is refined four times."""

    sets: int = 20
    mixtures: int = 300
    grid: int = 1001


def simulate_identities(settings: Identities, seed: int, device: str) -> pd.DataFrame:
    """Deviation per identity for random crops, in float64, and what a search finds of crossings."""
    generator = torch.Generator(device).manual_seed(seed)
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for _ in range(settings.sets):
        rows += [{"identity": name, "error": error} for name, error in _loss_errors(rng, generator).items()]
    for _ in range(settings.mixtures):
        w1, gap = float(rng.uniform(0.02, 0.98)), float(abs(rng.normal(0, 1.5) - rng.normal(0, 1.5)))
        s1, s2 = np.exp(rng.normal(0, 0.7, 2)).tolist()
        found = _crossing_errors(w1, gap, s1, s2, settings.grid)
        rows += [{"identity": name, "error": error} for name, error in found.items()]
    return pd.DataFrame(rows)


def _loss_errors(rng: np.random.Generator, generator: torch.Generator) -> dict[str, float]:
    batch, outputs, crops = (int(rng.integers(low, high)) for low, high in ((1, 7), (2, 17), (2, 7)))
    t_teacher, t_student = float(np.exp(rng.uniform(-3.5, -0.7))), float(np.exp(rng.uniform(-2.3, 0)))

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, device=generator.device, dtype=torch.float64)

    teacher, student = draw(2, batch, outputs), draw(crops, batch, outputs).requires_grad_()
    criterion = ca_dino.DINOLoss(outputs, t_teacher, t_student).to(teacher.device, torch.float64)
    before = draw(outputs)
    criterion.center.copy_(before)
    loss = criterion(list(teacher), list(student))
    (gradient,) = torch.autograd.grad(loss, student)
    p, log_s = torch.softmax((teacher - before) / t_teacher, -1), torch.log_softmax(student.detach() / t_student, -1)
    terms = [-(p[a] * log_s[b]).sum(-1).mean() for a in range(2) for b in range(crops) if b != a]
    outputs_of = [x.detach().cpu().numpy() for x in (teacher, student, before)]
    arrays = outputs_of[0], outputs_of[1], outputs_of[2], t_teacher, t_student
    # A student that says what the teacher says pays the teacher's entropy.
    alike = teacher[:1].expand(2, -1, -1)
    echo = ca_dino.dino_loss(alike, (alike - before) * (t_student / t_teacher), before, t_teacher, t_student)
    later = ca_dino.dino_loss(teacher, student, criterion.center, t_teacher, t_student)
    return {
        "loss": abs(float(loss.detach()) - theory.dino_loss(*arrays)),
        "2 V − 2 pairs": abs(float(loss.detach()) - float(torch.stack(terms).sum()) / (2 * crops - 2)),
        "gradient": float(np.abs(gradient.cpu().numpy() - theory.dino_loss_grad(*arrays)).max()),
        "entropy": abs(float(echo - torch.special.entr(p[0]).sum(-1).mean())),
        "centre": float((criterion.center - (0.9 * before + 0.1 * teacher.mean(dim=(0, 1)))).abs().max()),
        "loss, centre updated first": abs(float(loss.detach() - later.detach())),
    }


def _crossing_errors(w1: float, gap: float, s1: float, s2: float, grid: int) -> dict[str, float]:
    """Closed form against search; how many roots there are besides the one expected; least error by search."""
    mixture = (w1, 0.0, s1, 1 - w1, gap, s2)
    closed = theory.gaussian_crossing(*mixture)
    low, high, roots = 0.0, gap, []
    for _ in range(4):
        points = np.linspace(low, high, grid)
        positive = theory.log_density_ratio(points, *mixture) > 0
        changes = np.flatnonzero(positive[1:] != positive[:-1])
        roots.append(len(changes))
        if not len(changes):
            break
        low, high = float(points[changes[0]]), float(points[changes[0] + 1])
    ends = theory.log_density_ratio(np.array([0.0, gap]), *mixture)
    crosses = bool(ends[0] > 0 > ends[1])
    errors = theory.gate_error(np.linspace(0, gap, grid), *mixture)
    least = float(theory.gate_error(closed, *mixture)) if crosses else float(min(errors[0], errors[-1]))
    return {
        "crossing": abs(closed - (low + high) / 2) if crosses else abs(closed - gap),
        "crossing, torch": abs(closed - gaussian_crossing(*mixture)),
        "roots other than one": abs(roots[0] - 1) if crosses else float(roots[0]),
        "without a crossing": float(not crosses),
        "least error": least / float(errors.min()),
        "midpoint": abs(theory.gaussian_crossing(w1, 0.0, s1, w1, gap, s1) - gap / 2),
    }


# training ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Distilling(Stages):
    """Synthetic speakers with each strength of session noise; ``purities`` are those of spoilt true clusters."""

    sessions: tuple[float, ...] = (0.5, 1.2)
    speakers: int = 30
    utterances: int = 8


@dataclass(frozen=True)
class Vowels(Stages):
    """Real utterances."""

    batch_size: int = 54
    purities: tuple[float, ...] = ()
    learning_rates: tuple[float, ...] = (0.01, 0.02, 0.04)
    gates: tuple[float, ...] = (0.1, 0.5, 2.0)


@dataclass(frozen=True)
class Noise(Grid):
    """Labels that are wrong with each probability, at random."""

    rates: tuple[float, ...] = (0.3, 0.5)
    session: float = 0.7
    speakers: int = 40
    utterances: int = 10
    batch_size: int = 80
    classifier_epochs: int = 30


def simulate_distillation(settings: Distilling, seed: int, device: str) -> Replicate:
    """Both stages at every strength of session noise, a row per method and setting."""
    heard = synthetic(settings.speakers, settings.utterances, settings.sessions, seed, device)
    rows, arrays = both_stages(heard, settings, seed, device)
    return Replicate(rows.assign(session=[settings.sessions[level] for level in rows.pop("level")]), arrays)


def simulate_vowels(settings: Vowels, seed: int, device: str) -> Replicate:
    """Both stages on recordings of nine speakers; half of the test part chooses settings, half is reported."""
    vowels = japanese_vowels().to(device)
    order = torch.randperm(int((~vowels.train).sum()), generator=torch.Generator().manual_seed(seed)).to(device)
    held_out = (~vowels.train).nonzero()[:, 0][order]
    train = vowels.train.nonzero()[:, 0]
    validation, test = held_out.chunk(2)
    world = vowel_utterances(vowels, torch.ones_like(vowels.train))
    rows, arrays = both_stages(Heard(world, train[None], validation[None], test[None]), settings, seed, device)
    return Replicate(rows.drop(columns="level"), arrays)


def simulate_noise(settings: Noise, seed: int, device: str) -> Replicate:
    """Classifiers of labels that are wrong at random: a row per rate, method and setting."""
    heard = synthetic(settings.speakers, settings.utterances, (settings.session,), seed, device)
    heard = replace(heard, train=heard.train.expand(len(settings.rates), -1))
    generator = torch.Generator(device).manual_seed(seed + 1)
    truth = heard.speakers(heard.train)
    other = torch.randint(1, settings.speakers, truth.shape, generator=generator, device=device)
    drawn = torch.rand(truth.shape, generator=generator, device=device)
    labels = torch.stack([torch.where(drawn < p, (truth + other) % settings.speakers, truth) for p in settings.rates])
    table, arrays = classified(heard, labels, settings, METHODS, generator)
    return Replicate(table.assign(noise=[settings.rates[level] for level in table.pop("level")]), arrays)


EXPERIMENTS = [
    Experiment("identities", simulate_identities, quick=Identities(), tiny=Identities(3, 10, 101)),
    Experiment(
        "distillation", simulate_distillation, quick=Distilling(),
        full=Distilling(
            learning_rates=(0.0025, 0.005, 0.01, 0.02, 0.04), gates=(0.5, 1.0, 2.0, 4.0, 8.0),
            confidences=(0.5, 0.6, 0.7, 0.8, 0.9), classifier_epochs=60, width=128, dim=64, warm_up=60, epochs=40,
            purities=(0.9, 0.8, 0.7, 0.6, 0.4), sessions=(0.5, 0.8, 1.2, 1.6), speakers=100, utterances=10,
            batch_size=100,
        ),
        tiny=Distilling(
            (0.01,), (4.0,), (0.5,), classifier_epochs=3, open_epochs=1, width=8, dim=4, warm_up=1, epochs=2, refresh=1,
            batch_size=12, purities=(0.5,), speakers=4, utterances=6,
        ),
    ),
    Experiment(
        "noise", simulate_noise, quick=Noise(),
        full=Noise(
            learning_rates=(0.0025, 0.005, 0.01, 0.02, 0.04), gates=(0.5, 1.0, 2.0, 4.0, 8.0),
            confidences=(0.5, 0.6, 0.7, 0.8, 0.9), classifier_epochs=60, width=128, dim=64, speakers=100,
            batch_size=100, rates=(0.0, 0.2, 0.3, 0.5, 0.7),
        ),
        tiny=Noise(
            (0.01,), (4.0,), (0.5,), classifier_epochs=3, open_epochs=1, width=8, dim=4, speakers=4, batch_size=16
        ),
    ),
    Experiment(
        "vowels", simulate_vowels, quick=Vowels(),
        full=Vowels(
            learning_rates=(0.0025, 0.005, 0.01, 0.02, 0.04), gates=(0.5, 1.0, 2.0, 4.0, 8.0),
            confidences=(0.5, 0.6, 0.7, 0.8, 0.9), classifier_epochs=60, width=256, dim=64, warm_up=80, epochs=80,
        ),
        tiny=Vowels(
            (0.01,), (4.0,), (0.5,), classifier_epochs=3, open_epochs=1, width=8, dim=4, warm_up=1, epochs=2, refresh=1,
        ),
    ),
]  # fmt: skip


# claims -----------------------------------------------------------------------------------------


def _errors(table: pd.DataFrame, *names: str) -> np.ndarray:
    errors = table.loc[table["identity"].isin(names), "error"].to_numpy()
    if len(errors) == 0:
        raise ValueError(f"no errors of {names} in the table")
    return errors


EXACT = ("loss", "2 V − 2 pairs", "gradient", "entropy", "centre")


def _judge_loss(table: pd.DataFrame) -> Verdict:
    updated = float(_errors(table, "loss, centre updated first").max())
    return statistics.all_of(
        [
            statistics.identity(_errors(table, *EXACT), "loss, pairs, gradient, entropy and centre", tolerance=1e-9),
            statistics.at_least(updated, "change of the loss if the centre were updated first", threshold=1e-3),
        ]
    )


def _judge_crossing(table: pd.DataFrame) -> Verdict:
    found = _errors(table, "crossing", "crossing, torch", "midpoint")
    return statistics.identity(found, "crossing against search, torch and midpoint", tolerance=1e-6)


def _judge_least(table: pd.DataFrame) -> Verdict:
    ratios = _errors(table, "least error")
    return statistics.bound(
        float(ratios.max()), "gate's error at the crossing over the least between the means", instances=len(ratios),
        required=1000, witness=f"mixture {int(ratios.argmax())} of {len(ratios)}",
    )  # fmt: skip


def _judge_fallback(table: pd.DataFrame) -> Verdict:
    rows = table[table["identity"] == "without a crossing"]
    return statistics.trend(rows.groupby("replicate")["error"].mean(), "share of mixtures that do not cross", above=0.1)


def _identities_example() -> pd.DataFrame:
    rare = {"loss, centre updated first": 0.5, "least error": 1.0}
    small = dict.fromkeys((*EXACT, "crossing", "crossing, torch", "midpoint"), 1e-13)
    names = {**small, **rare, "roots other than one": 0.0, "without a crossing": 0.4}
    return pd.DataFrame(
        [{"replicate": k, "identity": n, "error": e} for k in range(5) for n, e in names.items() for _ in range(200)]
    )


def _but(name: str, error: float):
    """A control: as if this were found everywhere."""
    return lambda t: t.assign(error=t["error"].where(t["identity"] != name, error))


def _selected(table: pd.DataFrame, at: dict[str, Any]) -> pd.DataFrame:
    """Rows of a condition, each method with its best setting."""
    for column, value in at.items():
        table = table[table[column] == value]
    return best_settings(table, ["method"])


_EXAMPLE = {
    "eer_validation": 0.2, "eer": 0.2, "purity": 0.6, "entropy": 2.0, "precision": 0.95, "precision_random": 0.5,
    "recall": 0.95, "corrected_right": 0.8, "label_purity": 0.8,
}  # fmt: skip


def _example(at: dict[str, Any], methods: dict[str, dict[str, float]]):
    """Five replicates in which methods have these values and everything else is alike."""

    def example() -> pd.DataFrame:
        return pd.DataFrame(
            [
                {"replicate": k, **at, "method": method, "setting": "one",
                 **{c: v + 0.002 * ((k * 3 + len(method)) % 5) for c, v in {**_EXAMPLE, **values}.items()}}
                for k in range(5)
                for method, values in methods.items()
            ]
        )  # fmt: skip

    return example


def _better(
    id: str, experiment: str, at: dict[str, Any], better: str, worse: str, statement: str, source: str,
    column: str = "eer", paper_value: str = "",
) -> Claim:  # fmt: skip
    """The claim that a method's error is lower (its purity or entropy higher) than another's."""
    wants_less = column == "eer"
    first, second = (worse, better) if wants_less else (better, worse)
    name = {"eer": "equal error rate", "purity": "purity of held-out clusters", "entropy": "entropy of the mean output"}

    def judge(table: pd.DataFrame) -> Verdict:
        gain = statistics.paired(_selected(table, at), column, "method", first, second)
        where = ", ".join(str(value) if isinstance(value, str) else f"{key} {value:g}" for key, value in at.items())
        return statistics.trend(gain, f"{name[column]}, {first} less {second} ({where or experiment})", above=0.0)

    return Claim(
        id, experiment, "trend", source, statement, judge, _example(at, {first: {column: 0.4}, second: {column: 0.2}}),
        lambda t: exchange(t, "method", better, worse), paper_value,
    )  # fmt: skip


def _exceeds(id: str, column: str, method: str, limits: dict[float, float], statement: str, source: str) -> Claim:
    """The claim that a share is above a limit at each rate of wrong labels."""

    def judge(table: pd.DataFrame) -> Verdict:
        return statistics.all_of(
            [
                statistics.trend(
                    _selected(table, {"noise": rate}).query("method == @method").groupby("replicate")[column].mean(),
                    f"{column.replace('_', ' ')}, {method}, {rate:.0%} wrong", above=limit,
                )
                for rate, limit in limits.items()
            ]
        )  # fmt: skip

    def example() -> pd.DataFrame:
        return pd.concat([_example({"noise": rate}, {method: {}})() for rate in limits])

    return Claim(
        id, "noise", "trend", source, statement, judge, example, lambda t: t.assign(**{column: t[column] * 0.2})
    )


def _judge_random_gate(table: pd.DataFrame) -> Verdict:
    rows = _selected(table, {"noise": 0.5}).query("method == @DYNAMIC").sort_values("replicate")
    gain = (rows["precision"] - rows["precision_random"]).to_numpy()
    return statistics.trend(gain, "share of right labels, gate less random choice of as many, 50% wrong", above=0.0)


def _judge_purity_slope(table: pd.DataFrame) -> Verdict:
    rows = table[(table["stage"] == "distillation") & table["method"].str.contains("true clusters|of purity|random")]
    slopes = []
    for _, each in rows.groupby("replicate"):
        # Levels of noise differ in error: only what varies within one counts.
        within = each.groupby("session")[["label_purity", "eer"]].transform(lambda x: x - x.mean())
        slopes.append(float((within["label_purity"] * within["eer"]).sum() / (within["label_purity"] ** 2).sum()))
    return statistics.trend(slopes, "slope of equal error rate on purity of clusters", below=0.0)


def _purity_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "stage": "distillation", "session": session, "method": method, "label_purity": purity,
             "eer": session - 0.1 * purity + 0.001 * ((k + len(method)) % 3)}
            for k in range(5)
            for session in (0.5, 1.2)
            for method, purity in ((ORACLE, 1.0), ("clusters of purity 0.6", 0.6), (RANDOM, 0.2))
        ]
    )  # fmt: skip


def _gap_claim(id: str, experiment: str, at: dict[str, Any], statement: str) -> Claim:
    """The claim that correction closes half of the gap between pseudo labels and true ones."""

    def judge(table: pd.DataFrame) -> Verdict:
        rows = _selected(table, at)
        gain = statistics.paired(rows, "eer", "method", NONE, CORRECTED)
        gap = statistics.paired(rows, "eer", "method", NONE, SUPERVISED)
        return statistics.trend(
            gain - gap / 2, "error gained by correction less half of the gap to true labels", above=0.0
        )

    methods = {NONE: {"eer": 0.4}, CORRECTED: {"eer": 0.22}, SUPERVISED: {"eer": 0.2}}
    return Claim(
        id, experiment, "trend", "abstract", statement, judge, _example(at, methods),
        lambda t: exchange(t, "method", NONE, CORRECTED), _PAPER_VALUE,
    )  # fmt: skip


MILD, STRONG = Distilling().sessions[0], Distilling().sessions[-1]
FIRST, SECOND = "distillation", "classification"
_PAPER_VALUE = "22.17, 27.94, 25.56 % lower EER than the best self-supervised system (Vox1-O, E, H)"


def _first(session: float) -> dict[str, Any]:
    return {"stage": FIRST, "session": session}


CLAIMS = [
    Claim(
        "C1", "identities", "identity", "definition of the DINO loss; gradient derived here",
        "The loss is the mean over 2 V − 2 pairs with the old centre; its gradient is softmax less target.",
        _judge_loss, _identities_example, _but("gradient", 0.1),
    ),
    Claim(
        "C2a", "identities", "identity", "derived here",
        "The crossing of two weighted Gaussians between their means has a closed form; equal ones cross midway.",
        _judge_crossing, _identities_example, _but("crossing", 0.01),
    ),
    Claim(
        "C2b", "identities", "identity", "derived here (the log ratio falls between the means)",
        "Weighted densities whose order changes between the means cross there once, all others never.",
        lambda t: statistics.identity(_errors(t, "roots other than one"), "roots missing or spare", tolerance=0.0),
        _identities_example, _but("roots other than one", 1.0),
    ),
    Claim(
        "C2c", "identities", "bound", "derived here",
        "No gate between the means treats fewer samples wrongly than the crossing or, without one, the better mean.",
        _judge_least, _identities_example, _but("least error", 1.1),
    ),
    Claim(
        "C2d", "identities", "trend", "our question",
        "Without a crossing between the means, in more than a tenth of random mixtures, the gate needs another rule.",
        _judge_fallback, _identities_example, _but("without a crossing", 0.0),
    ),
    _better(
        "C3a", FIRST, _first(MILD), DINO, UNCENTRED, "Without centring outputs collapse: their mean has less entropy.",
        "centring", column="entropy",
    ),
    _better("C3b", FIRST, _first(MILD), DINO, UNCENTRED, "Without centring verification is worse.", "centring"),
    _better("C4a", FIRST, _first(MILD), DINO, RAW, "Self-distillation beats raw features (mild noise).", "stage 1"),
    _better("C4b", FIRST, _first(STRONG), DINO, RAW, "Self-distillation beats raw features (strong noise).", "stage 1"),
    *(
        _better(f"C5{letter}", FIRST, _first(session), better, worse, statement, "cluster-aware training")
        for letter, session, better, worse, statement in (
            ("a", STRONG, ORACLE, DINO, "Positives from true clusters lower the error under strong session noise."),
            ("b", MILD, ORACLE, DINO, "Positives from true clusters lower the error under mild session noise."),
            ("c", MILD, CLUSTERS, DINO, "Positives from k-means clusters lower the error (mild session noise)."),
            ("d", STRONG, CLUSTERS, DINO, "Positives from k-means clusters lower the error (strong session noise)."),
            ("f", STRONG, DINO, RANDOM, "The gain is the clusters': random ones raise the error."),
        )
    ),
    Claim(
        "C5e", FIRST, "trend", "cluster-aware training; our question",
        "The purer the clusters that positives come from, the lower the error.",
        _judge_purity_slope, _purity_example, lambda t: t.assign(label_purity=-t["label_purity"]),
    ),
    *(
        _better(f"C6{letter}", "noise", {"noise": rate}, better, worse, statement, "loss gate, label correction")
        for letter, rate, better, worse, statement in (
            ("a", 0.3, FIXED, NONE, "With 30 % wrong labels a fixed gate helps."),
            ("b", 0.3, DYNAMIC, NONE, "With 30 % wrong labels a dynamic gate helps."),
            ("c", 0.3, CORRECTED, NONE, "With 30 % wrong labels gate and correction help."),
            ("d", 0.5, FIXED, NONE, "With half of the labels wrong a fixed gate helps."),
            ("e", 0.5, DYNAMIC, NONE, "With half of the labels wrong a dynamic gate helps."),
            ("f", 0.5, CORRECTED, NONE, "With half of the labels wrong gate and correction help."),
            ("g", 0.5, DYNAMIC, FIXED, "With half of the labels wrong a dynamic gate beats a fixed one that is tuned."),
            ("h", 0.5, CORRECTED, DYNAMIC, "With half of the labels wrong correction adds to the dynamic gate."),
        )
    ),
    _exceeds(
        "C7a", "precision", DYNAMIC, {0.3: 0.9, 0.5: 0.8}, "What the dynamic gate keeps is right: 90 %, 80 %.",
        "dynamic loss gate",
    ),
    _exceeds(
        "C7b", "recall", DYNAMIC, {0.3: 0.8, 0.5: 0.8}, "The gate keeps four fifths of right labels.", "loss gate"
    ),
    _exceeds(
        "C7c", "corrected_right", CORRECTED, {0.3: 0.5, 0.5: 0.5}, "Most corrected labels are right.", "correction"
    ),
    Claim(
        "C7d", "noise", "trend", "control of the gate", "Labels below the gate are right more often than random ones.",
        _judge_random_gate, _example({"noise": 0.5}, {DYNAMIC: {}}),
        lambda t: t.rename(columns={"precision": "precision_random", "precision_random": "precision"}),
    ),
    *(
        _better(
            f"C8{letter}", FIRST, {"stage": SECOND, "session": session}, method, NONE,
            f"On pseudo labels {what} ({how} session noise).", "stage 2", paper_value=_PAPER_VALUE,
        )
        for letter, session, how, method, what in (
            ("a", MILD, "mild", FIXED, "a fixed gate helps"), ("b", MILD, "mild", DYNAMIC, "a dynamic gate helps"),
            ("c", MILD, "mild", CORRECTED, "gate and correction help"),
            ("d", STRONG, "strong", FIXED, "a fixed gate helps"),
            ("e", STRONG, "strong", DYNAMIC, "a dynamic gate helps"),
            ("f", STRONG, "strong", CORRECTED, "gate and correction help"),
        )
    ),
    _gap_claim(
        "C8g", FIRST, {"stage": SECOND, "session": MILD},
        "Correction closes half of the gap to true labels (mild session noise).",
    ),
    *(
        _better(f"C9{letter}", "vowels", {"stage": stage}, better, worse, f"Real vowels: {statement}", source, column)
        for letter, stage, better, worse, column, statement, source in (
            ("a", FIRST, DINO, RAW, "eer", "self-distillation beats raw features.", "stage 1"),
            ("b", FIRST, DINO, RAW, "purity", "its clusters of held-out utterances are purer.", "stage 1"),
            ("c", FIRST, DINO, UNCENTRED, "eer", "without centring verification is worse.", "centring"),
            ("d", FIRST, ORACLE, DINO, "eer", "positives from true clusters lower the error.", "cluster-aware"),
            ("e", FIRST, CLUSTERS, DINO, "eer", "positives from k-means clusters lower the error.", "cluster-aware"),
            ("f", SECOND, FIXED, NONE, "eer", "on pseudo labels a fixed gate helps.", "stage 2"),
            ("g", SECOND, DYNAMIC, NONE, "eer", "on pseudo labels a dynamic gate helps.", "stage 2"),
            ("h", SECOND, CORRECTED, NONE, "eer", "on pseudo labels gate and correction help.", "stage 2"),
            ("i", SECOND, CORRECTED, NONE, "purity", "gate and correction make held-out clusters purer.", "stage 2"),
        )
    ),
    _gap_claim("C9j", "vowels", {"stage": SECOND}, "Real vowels: correction closes half of the gap to true labels."),
]  # fmt: skip
