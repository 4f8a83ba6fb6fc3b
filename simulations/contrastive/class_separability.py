"""Few-shot networks that ask for compact, separated classes tell apart classes that they never saw, more or less.

Four experiments. *properties* checks the score and the losses: range, invariances, floor, contraction towards class
means, the proto-triplet loss against torch's triplet loss, and where the ICNN loss has no gradient. *glyphs* trains
networks on generated classes whose images a common nuisance drowns (raw pixels classify them badly), with cross-entropy
over prototypes (the baseline), proto-triplet and ICNN losses alone and together, and the plain batch-hard triplet loss;
all start equal and see the same episodes, with five labelled samples per class and with one. Accuracy is that of
episodes of unseen classes; every method, the baseline too, has four settings, and the one is taken that is best on
held-out classes, a mean over all replicates. The same networks meet shifts: stronger nuisance, other directions,
handwritten digits. *digits* holds four of scikit-learn's ten digits back, another four in every replicate, and trains
on six; settings are chosen on two splits of these six alone. Networks that are untrained or trained on shuffled labels
show where chance lies.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from neural.contrastive import class_separability as losses
from simulations import Claim, Experiment, Paper, Replicate, Verdict, statistics
from simulations.contrastive.unseen_classes import (
    ALL,
    CE,
    CE_ICNN,
    CE_PT,
    ICNN,
    METHODS,
    PT,
    RAW,
    SHUFFLED,
    TRIPLET,
    UNTRAINED,
    Arm,
    GlyphWorld,
    Grid,
    Stream,
    best_settings,
    digit_split,
    evaluate,
    make_arms,
    make_encoder,
    train_arms,
)
from simulations.controls import exchange
from theory.contrastive import class_separability as theory

PAPER = Paper(
    title="SuSana Distancia is all you need: Enforcing class separability in metric learning via two novel "
    "distance-based loss functions for few-shot image classification",
    authors="Mauricio Mendez-Ruiz, Jorge Gonzalez-Zapata, Ivan Reyes-Amezcua, Daniel Flores-Araiza, "
    "Francisco Lopez-Tiro, Andres Mendez-Vazquez, Gilberto Ochoa-Ruiz",
    venue="2023",
    arxiv="2305.09062",
)
DEVIATIONS = [
    "Public code adds 1e-6 to squared distances and 1e-7 to denominators; both are left out here, so that the score is "
    "exactly scale-free, and distances of 0 are defined.",
    "Public code drops the nearest candidate as the point itself, against prototypes too: a perfect match then loses "
    "its own prototype. Here a point is left out by its index, and only where it is among the candidates.",
    "Public code takes a distance of 0 for 'not of another class', so that duplicates of two classes count as pure; "
    "here they are strangers at distance 0.",
    "Without any same-class neighbour public code has lambda_same = 1; here it is 0, the limit as the last one leaves.",
    "Public code sets gamma to 1 where k was cut down to the number of points; here gamma is the purity always.",
    "Generated glyphs, handwritten digits and small perceptrons replace miniImageNet and its backbones: they can show "
    "what the losses do to unseen classes, not the paper's accuracies.",
    "The baseline's temperature is tuned; the paper's losses have as many settings: the temperature with ICNN, the "
    "margin with proto-triplet (there the temperature is 1), the numbers of neighbours for ICNN alone (4 and a whole "
    "class elsewhere). The batch-hard triplet loss stands beside, which the paper leaves out.",
]


# properties -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Properties:
    """Random episodes of five classes with eight samples, and small sets that are searched for counterexamples."""

    episodes: int = 10
    searched: int = 300


def simulate_properties(settings: Properties, seed: int, device: str) -> pd.DataFrame:
    """Largest deviation per property, in float64: a row per property and random episode."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(settings.episodes):
        errors = _score_errors(rng) | _triplet_errors(rng, device) | _gradient_norms(rng, device)
        rows += [{"check": name, "error": error} for name, error in errors.items()]
    rows.append({"check": "fall anywhere under contraction", "error": _worst_fall(rng, settings.searched)})
    return pd.DataFrame(rows)


def _score_errors(rng: np.random.Generator) -> dict[str, float]:
    """Range, invariances, and what contraction and separation do to the score of one random episode."""
    y = np.repeat(np.arange(5), 8)
    centres = rng.exponential(1.0) * rng.standard_normal((5, 3))
    x = centres[y] + rng.standard_normal((40, 3))
    score = _score(x, y)
    moved = x @ Rotation.random(rng=rng).as_matrix().T + 10 * rng.standard_normal(3)
    path = [_score(_contracted(x, y, t), y) for t in np.linspace(0, 1, 26)]
    separated = 10 * np.eye(5)[y] + rng.uniform(-0.2, 0.2, (40, 5))
    apart = np.linalg.norm(separated[:, None] - separated, axis=-1)
    same = y[:, None] == y
    floor = theory.icnn_floor(apart[same].max(), apart[~same].min())
    return {
        "outside [0, 1]": max(-score, score - 1, 0.0),
        "rotation and translation": abs(_score(moved, y) - score),
        "scale": abs(_score(np.exp(rng.uniform(-5, 5)) * x, y) - score),
        "below the floor of separated classes": max(floor - _score(separated, y), 0.0),
        "short of 1 for separated classes": 1 - _score(separated, y),
        "fall under contraction": float(np.maximum(-np.diff(path), 0).max()),
        "rise under contraction": float(path[-1] - path[0]),
        "torch and numpy": abs(float(losses.icnn_score(torch.tensor(x), torch.tensor(y), 4, 9)) - score),  # type: ignore[arg-type]
    }


def _score(x: np.ndarray, y: np.ndarray, k: int = 4, n_neighbors: int = 9) -> float:
    return float(theory.icnn_score(x, y, k, n_neighbors))  # type: ignore[arg-type]


def _contracted(x: np.ndarray, y: np.ndarray, t: float) -> np.ndarray:
    """Every point moved by the share t of the way to its class's mean."""
    means = np.stack([x[y == c].mean(0) for c in range(y.max() + 1)])
    return (1 - t) * x + t * means[y]


def _worst_fall(rng: np.random.Generator, count: int) -> float:
    """The largest fall of the score by a contraction, among small sets of any shape."""
    worst = 0.0
    for _ in range(count):
        ways, size = int(rng.integers(2, 4)), int(rng.integers(2, 5))
        y = np.repeat(np.arange(ways), size)
        x = rng.exponential(1.0) * rng.standard_normal((ways, 2))[y] + rng.standard_normal((len(y), 2))
        start, end = np.sort(rng.uniform(0, 0.9, 2))
        k = int(rng.integers(1, size + 1))
        before, after = (_score(_contracted(x, y, t), y, k, len(y) - 1) for t in (start, end))
        worst = max(worst, before - after)
    return worst


def _triplet_errors(rng: np.random.Generator, device: str) -> dict[str, float]:
    """The proto-triplet loss against torch's triplet loss, its gradient in closed form, and where it is 0."""
    ways, dim, margin = int(rng.integers(2, 7)), int(rng.integers(2, 9)), float(rng.uniform(0.1, 2))
    labels = rng.integers(0, ways, 30)
    c = 2 * rng.standard_normal((ways, dim))
    q = c[labels] + rng.standard_normal((30, dim))
    queries, means = (torch.tensor(a, device=device, requires_grad=True) for a in (q, c))
    targets = torch.tensor(labels, device=device)
    ours = losses.proto_triplet_loss(queries, targets, means, margin, reduction="none")
    by_hand = theory.proto_triplet_gradient(q, labels, c, margin)
    automatic = torch.autograd.grad(ours.sum(), (queries, means), retain_graph=True)
    distances = np.linalg.norm(q[:, None] - c, axis=-1)
    own = distances[np.arange(30), labels]
    wrong = np.where(np.arange(ways) == labels[:, None], np.inf, distances)
    negative = means[torch.tensor(wrong.argmin(1), device=device)]
    # torch adds eps to every coordinate of the difference.
    peer = torch.nn.TripletMarginLoss(margin, eps=1e-16, reduction="none")(queries, means[targets], negative)
    closer = wrong.min(1) - own >= margin
    return {
        "torch's triplet loss": float((ours - peer).detach().abs().max()),
        "numpy's triplet loss": float(
            np.abs(ours.detach().cpu().numpy() - theory.proto_triplet_loss(q, labels, c, margin)).max()
        ),
        "triplet gradient": max(
            float(np.abs(a.cpu().numpy() - b).max()) for a, b in zip(automatic, by_hand, strict=True)
        ),
        "zero otherwise than by the margin": float(((ours == 0).cpu().numpy() != closer).sum()),
    }


def _gradient_norms(rng: np.random.Generator, device: str) -> dict[str, float]:
    """Gradients of the ICNN loss of an episode of five separated classes with ten samples."""
    labels = torch.arange(5, device=device).repeat_interleave(10)
    x = torch.tensor(4 * np.eye(5)[labels.cpu()] + rng.uniform(-0.4, 0.4, (50, 5)), device=device, requires_grad=True)
    mixed = torch.tensor(rng.standard_normal((50, 5)), device=device, requires_grad=True)

    def gradient(of: Callable[[losses.ICNNParts], Tensor], points: Tensor, inspected: int) -> Tensor:
        parts = losses.icnn_score(points, labels, 4, inspected, return_parts=True)
        assert isinstance(parts, losses.ICNNParts)
        return torch.autograd.grad(of(parts), points)[0]

    whole = gradient(lambda p: p.score, mixed, 10)
    distances_only = gradient(lambda p: (p.lambda_same + p.lambda_diff) / 4, mixed, 10)
    return {
        "gradient of the purity": float((whole - distances_only).abs().max()),
        "gradient, pure and few inspected": float(gradient(lambda p: -p.score.log(), x, 9).norm()),
        "gradient, as many inspected as a class has": float(gradient(lambda p: -p.score.log(), x, 10).norm()),
    }


# glyphs -----------------------------------------------------------------------------------------

_AT_ONCE = 512
SHIFTS = ("same", "stronger clutter", "other clutter", "digits")


@dataclass(frozen=True)
class Glyphs:
    """Classes of generated images, episodes of them, and what the networks are trained with."""

    train_classes: int = 40
    held_out_classes: int = 20
    test_classes: int = 20
    per_class: int = 20
    side: int = 8
    noise: float = 0.5
    clutter: float = 3.0
    stronger: float = 4.5
    way: int = 5
    shots: tuple[int, ...] = (1, 5)
    query: int = 5
    steps: int = 160
    learning_rate: float = 2e-3
    network: str = "perceptron"
    width: int = 64
    test_episodes: int = 150
    scored: int = 40
    temperatures: tuple[float, ...] = (0.05, 0.25, 1.0, 5.0)
    margins: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0)
    neighbours: tuple[tuple[int, int], ...] = ((4, 5), (4, 0), (24, 49), (48, 49))


def simulate_glyphs(settings: Glyphs, seed: int, device: str) -> Replicate:
    """Accuracy on held-out and on unseen classes, shifted too, and the score of unseen ones; a row per arm and shot."""
    generator = torch.Generator(device).manual_seed(seed)
    ends = np.cumsum([0, settings.train_classes, settings.held_out_classes, settings.test_classes]).tolist()
    seen, held_out, unseen = (range(a, b) for a, b in pairwise(ends))
    world = GlyphWorld(ends[-1], settings.side, settings.noise, generator)
    images, labels = world.items(seen, settings.per_class, settings.clutter)
    shuffled = labels[torch.randperm(len(labels), generator=generator, device=device)]
    tests = {
        "held_out": world.items(held_out, settings.per_class, settings.clutter),
        "same": world.items(unseen, settings.per_class, settings.clutter),
        "stronger clutter": world.items(unseen, settings.per_class, settings.stronger),
        "other clutter": world.items(unseen, settings.per_class, settings.clutter, other=True),
        "digits": _digits_like(images, settings.side, seed, device),
    }
    arms = [*make_arms(_grid(settings)), Arm(SHUFFLED, "", stream=1), Arm(UNTRAINED, "", stream=0)]
    trained = len(arms) - 1  # the last stays as it starts
    every = torch.arange(len(labels), device=device)
    rows, arrays = [], {}
    for shot in settings.shots:
        encoder = make_encoder(settings.network, trained, settings.side**2, settings.width, generator)
        episode = {"way": settings.way, "shot": shot, "query": settings.query}
        found: dict[str, dict[str, np.ndarray]] = {}
        start = {name: _embed(encoder, x, 1) for name, (x, _) in tests.items()}
        train_arms(
            encoder, arms[:trained], images, [Stream(every, labels), Stream(every, shuffled)], **episode,
            steps=settings.steps, learning_rate=settings.learning_rate, generator=generator,
        )  # fmt: skip
        for name, (x, y) in tests.items():
            everything = torch.cat([_embed(encoder, x, trained), start[name]])
            found[name] = _evaluated(settings, everything, x, y, episode, name == "same", generator)
        rows += [
            {"shot": shot, "method": method, "setting": setting, "held_out": found["held_out"]["accuracy"][m],
             **{f"accuracy {name}": found[name]["accuracy"][m] for name in SHIFTS}, "score": found["same"]["score"][m]}
            for m, (method, setting) in enumerate([*((a.method, a.setting) for a in arms), (RAW, "")])
        ]  # fmt: skip
        if shot == max(settings.shots):
            best = {m: _best_model(rows, arms, m, shot) for m in (CE, ALL, TRIPLET)}
            arrays = _one_episode(_embed(encoder, tests["same"][0], trained), tests["same"][1], best, settings.way)
    return Replicate(pd.DataFrame(rows), arrays)


def _grid(settings: "Glyphs | Digits") -> Grid:
    return Grid(settings.temperatures, settings.margins, settings.neighbours)


def _digits_like(images: Tensor, side: int, seed: int, device: str) -> tuple[Tensor, Tensor]:
    """Handwritten digits as large, and with as much variance, as the images that a network was trained on."""
    pixels, labels, _, _ = digit_split(seed % 2**31, 0.0, device)
    enlarged = torch.nn.functional.interpolate(
        pixels.reshape(-1, 1, 8, 8), size=(side, side), mode="bilinear", align_corners=False
    ).flatten(1)
    return (enlarged - enlarged.mean()) / enlarged.std() * images.std(), labels


@torch.no_grad()
def _embed(encoder: torch.nn.Module, images: Tensor, models: int) -> Tensor:
    """Embeddings (models, samples, dim) by the first so many of the networks."""
    count = int(encoder.models)  # type: ignore[arg-type]
    parts = [encoder(part.expand(count, *part.shape))[:models] for part in images.split(_AT_ONCE)]
    return torch.cat(parts, dim=1)


def _evaluated(
    settings: Glyphs, embeddings: Tensor, images: Tensor, labels: Tensor, episode: dict[str, int], scored: bool,
    generator: torch.Generator,
) -> dict[str, np.ndarray]:  # fmt: skip
    """What ``evaluate`` finds for all networks, and last for the pixels themselves."""
    state = generator.get_state()
    options = {"episodes": settings.test_episodes, "scored": settings.scored if scored else 0, "generator": generator}
    parts = []
    for each in (embeddings, images[None]):
        generator.set_state(state)  # the same episodes
        parts.append(evaluate(each, labels, **episode, **options))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _best_model(rows: list[dict], arms: Sequence[Arm], method: str, shot: int) -> int:
    held_out = [row["held_out"] for row in rows if row["shot"] == shot]
    return max((m for m, arm in enumerate(arms) if arm.method == method), key=lambda m: held_out[m])


def _one_episode(embeddings: Tensor, labels: Tensor, models: dict[str, int], way: int) -> dict[str, np.ndarray]:
    """The first unseen classes in the plane of their two largest principal components, one array per method."""
    chosen = labels < labels.min() + way
    arrays = {"labels": (labels[chosen] - labels.min()).cpu().numpy()}
    for method, m in models.items():
        z = embeddings[m, chosen].double().cpu().numpy()
        z = z - z.mean(0)
        plane = np.linalg.svd(z, full_matrices=False)[2][:2]
        arrays[method] = (z @ plane.T / z.std()).astype(np.float32)
    return arrays


# digits -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Digits:
    """Three-way episodes of six digits to train on, four-way ones of the other four to judge by.

    Adam ignores the scale of a loss, so that temperatures and margins have limits at both ends. The grids reach from
    the lower limit, where methods without a fixed temperature are often best without clutter. Under clutter held-out
    accuracy hardly depends on them below temperatures of 4: the best may then be at either end. Of numbers of
    neighbours, k = 1 is the least and 28 the most that an episode allows.
    """

    clutters: tuple[float, ...] = (0.0, 3.0)
    shot: int = 5
    query: int = 5
    steps: int = 40
    learning_rate: float = 3e-3
    width: int = 64
    test_episodes: int = 200
    temperatures: tuple[float, ...] = (0.0002, 0.005, 0.15, 4.0)
    margins: tuple[float, ...] = (0.001, 0.02, 0.5, 10.0)
    neighbours: tuple[tuple[int, int], ...] = ((1, 2), (4, 5), (16, 29), (28, 29))


def simulate_digits(settings: Digits, seed: int, device: str) -> pd.DataFrame:
    """Accuracy on four unseen digits, and on three of the six when training on the other three, both ways round."""
    rows = [row for clutter in settings.clutters for row in _digit_rows(settings, clutter, seed, device)]
    return pd.DataFrame(rows)


def _digit_rows(settings: Digits, clutter: float, seed: int, device: str) -> list[dict[str, object]]:
    generator = torch.Generator(device).manual_seed(seed)
    images, labels, seen, unseen = digit_split(seed % 2**31, clutter, device)
    folds = [(seen[:3], seen[3:]), (seen[3:], seen[:3])]
    streams = [_stream_of(labels, classes) for classes in (seen, *(kept for kept, _ in folds))]
    shuffled = streams[0].labels[torch.randperm(len(streams[0].labels), generator=generator, device=device)]
    streams.append(Stream(streams[0].rows, shuffled))
    settled = make_arms(_grid(settings))
    count = len(settled)
    arms = [arm for stream in range(3) for arm in make_arms(_grid(settings), stream)] + [Arm(SHUFFLED, "", stream=3)]
    encoder = make_encoder("perceptron", len(arms), images.shape[1], settings.width, generator)
    untrained = _embed(encoder, images, 1)
    train_arms(
        encoder, arms, images, streams, way=3, shot=settings.shot, query=settings.query, steps=settings.steps,
        learning_rate=settings.learning_rate, generator=generator,
    )  # fmt: skip
    embedded = _embed(encoder, images, len(arms))

    def accuracy(embeddings: Tensor, classes: list[int]) -> list[float]:
        stream = _stream_of(labels, classes)
        return evaluate(
            embeddings[:, stream.rows], stream.labels, way=len(classes), shot=settings.shot, query=settings.query,
            episodes=settings.test_episodes, generator=torch.Generator(device).manual_seed(seed + 1),
        )["accuracy"].tolist()  # fmt: skip

    by_fold = [
        accuracy(embedded[number * count : (number + 1) * count], held_out)
        for number, (_, held_out) in enumerate(folds, start=1)
    ]
    judged = accuracy(torch.cat([embedded[:count], embedded[-1:], untrained]), unseen) + accuracy(images[None], unseen)
    held_out = [*np.mean(by_fold, axis=0), np.nan, np.nan, np.nan]
    names = [*((arm.method, arm.setting) for arm in settled), (SHUFFLED, ""), (UNTRAINED, ""), (RAW, "")]
    return [
        {"clutter": clutter, "method": method, "setting": setting, "held_out": chosen_by, "accuracy": judged_by,
         "unseen": " ".join(map(str, sorted(unseen)))}
        for (method, setting), chosen_by, judged_by in zip(names, held_out, judged, strict=True)
    ]  # fmt: skip


def _stream_of(labels: Tensor, classes: Sequence[int]) -> Stream:
    rows = torch.isin(labels, torch.tensor(classes, device=labels.device)).nonzero().squeeze(1)
    return Stream(rows, labels[rows])


_TINY_GRID = {"temperatures": (0.1, 0.5), "margins": (0.3, 1.0), "neighbours": ((4, 5), (4, 0))}
_WIDE_GRID = {
    "temperatures": (0.0002, 0.001, 0.005, 0.025, 0.15, 0.8, 4.0, 20.0),
    "margins": (0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 50.0),
    "neighbours": ((1, 2), (2, 3), (4, 5), (8, 9), (4, 0), (8, 29), (16, 29), (28, 29)),
}  # fmt: skip

EXPERIMENTS = [
    Experiment(
        "properties", simulate_properties, quick=Properties(), full=Properties(200, 20_000), tiny=Properties(2, 20)
    ),
    Experiment(
        "glyphs", simulate_glyphs, quick=Glyphs(),
        full=Glyphs(
            train_classes=100, held_out_classes=50, test_classes=50, side=28, steps=2000, learning_rate=1e-3,
            network="conv4", width=32, test_episodes=600,
        ),
        tiny=Glyphs(6, 5, 5, per_class=10, steps=3, width=8, test_episodes=5, scored=3, **_TINY_GRID),
    ),
    Experiment(
        "digits", simulate_digits, quick=Digits(),
        full=Digits(steps=1000, learning_rate=2e-3, test_episodes=1000, **_WIDE_GRID),
        tiny=Digits(steps=2, width=8, test_episodes=5, **_TINY_GRID),
    ),
]  # fmt: skip


# claims -----------------------------------------------------------------------------------------

_INVARIANCES = ("outside [0, 1]", "rotation and translation", "scale", "torch and numpy")
_FLOOR, _SHORT = "below the floor of separated classes", "short of 1 for separated classes"
_FALLS = ("fall under contraction", "fall anywhere under contraction")
_RISE = "rise under contraction"
_TRIPLETS = ("torch's triplet loss", "numpy's triplet loss", "triplet gradient", "zero otherwise than by the margin")
_VANISHING, _PRESENT = "gradient, pure and few inspected", "gradient, as many inspected as a class has"


def _errors(table: pd.DataFrame, *checks: str) -> np.ndarray:
    errors = table.loc[table["check"].isin(checks), "error"].to_numpy()
    if len(errors) == 0:
        raise ValueError(f"no errors of {checks} in the table")
    return errors


def _judge_identity(*checks: str, compared: str, tolerance: float) -> Callable[[pd.DataFrame], Verdict]:
    return lambda table: statistics.identity(_errors(table, *checks), compared, tolerance=tolerance)


def _judge_floor(table: pd.DataFrame) -> Verdict:
    short = float(_errors(table, _SHORT).max())
    return statistics.all_of(
        [
            statistics.identity(_errors(table, _FLOOR), "most by which a score is below the floor", tolerance=1e-12),
            # Points are at most 0.4 sqrt(5) apart in classes that are at least 10 sqrt(2) − 0.4 sqrt(5) apart.
            statistics.at_most(short, "most that separated classes lack to 1", threshold=0.02),
        ]
    )


def _judge_contraction(table: pd.DataFrame) -> Verdict:
    names = ("random episodes of 5 x 8 points", "small sets of any shape")
    return statistics.all_of(
        [
            statistics.identity(_errors(table, check), f"largest fall of the score on the way, {name}", tolerance=1e-12)
            for check, name in zip(_FALLS, names, strict=True)
        ]
    )


def _judge_rise(table: pd.DataFrame) -> Verdict:
    rises = table[table["check"] == _RISE].groupby("replicate")["error"].mean()
    return statistics.trend(rises, "score of points at their class means less that of the points", above=0.0)


def _judge_vanishing(table: pd.DataFrame) -> Verdict:
    present = float(_errors(table, _PRESENT).min())
    return statistics.all_of(
        [
            statistics.identity(_errors(table, _VANISHING), "gradient where no stranger is in sight", tolerance=1e-12),
            statistics.at_least(
                present, "least gradient with as many neighbours as a class has points", threshold=1e-4
            ),
        ]
    )


def _properties_example() -> pd.DataFrame:
    small = dict.fromkeys((*_INVARIANCES, _FLOOR, *_FALLS, *_TRIPLETS, "gradient of the purity", _VANISHING), 0.0)
    checks = {**small, _SHORT: 0.005, _PRESENT: 0.01}
    return pd.DataFrame(
        [
            {"replicate": k, "check": check, "error": error}
            for k in range(5)
            for check, error in {**checks, _RISE: 0.3 + 0.01 * k}.items()
        ]
    )


def _wrong_by(check: str, error: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A control: as if this check had failed by ``error``."""
    return lambda table: table.assign(error=table["error"].where(table["check"] != check, error))


def _chosen(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Every method at its best setting, and what has no settings."""
    return pd.concat([best_settings(table, by), table[~table["method"].isin(METHODS)]], ignore_index=True)


def _gain_claim(
    id: str, experiment: str, where: tuple[str, float], column: str, method: str, against: str, statement: str, *,
    source: str, paper_value: str = "",
) -> Claim:  # fmt: skip
    """The claim that a method is more accurate than another, both at their best settings.

    Settings are chosen on held-out classes: of glyphs by the mean of all replicates, of digits by the folds of each.
    """
    key, value = where
    by = ["replicate"] if experiment == "digits" else [key]

    def judge(table: pd.DataFrame) -> Verdict:
        gains = statistics.paired(_chosen(table[table[key] == value], by), column, "method", method, against)
        return statistics.trend(
            gains, f"{column} of unseen classes, {method} less {against}, {key} {value:g}", above=0.0
        )

    def example() -> pd.DataFrame:
        return pd.DataFrame(
            [
                {"replicate": k, key: value, "method": m, "setting": s, "held_out": base + 0.02 * number,
                 column: base + 0.02 * number + 0.003 * ((7 * k) % 3)}
                for k in range(5)
                for m, base in ((against, 0.6), (method, 0.66 + 0.002 * k))
                for number, s in enumerate(("a", "b"))
            ]
        )  # fmt: skip

    return Claim(
        id, experiment, "trend", source, statement, judge, example,
        lambda table: exchange(table, "method", method, against), paper_value=paper_value,
    )  # fmt: skip


_NEAR, _FAR = "k 4, 5 inspected", "k 4, all inspected"


def _judge_inspected(table: pd.DataFrame) -> Verdict:
    alone = table[(table["method"] == ICNN) & (table["shot"] == 5)]
    gains = statistics.paired(alone, "accuracy same", "setting", _FAR, _NEAR)
    return statistics.trend(gains, "accuracy with 10 neighbours inspected less that with 5, ICNN alone", above=0.0)


def _inspected_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "shot": 5, "method": ICNN, "setting": s, "accuracy same": base + 0.003 * ((7 * k) % 3)}
            for k in range(5)
            for s, base in ((_NEAR, 0.5), (_FAR, 0.6 + 0.002 * k))
        ]
    )


def _judge_quality(table: pd.DataFrame) -> Verdict:
    trained = table[table["method"].isin((*METHODS, SHUFFLED)) & (table["shot"] == 5)]
    correlations = [
        float(rows["score"].corr(rows["accuracy same"], method="spearman")) for _, rows in trained.groupby("replicate")
    ]
    return statistics.trend(correlations, "rank correlation of score and accuracy over networks", above=0.7)


def _quality_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "shot": 5, "method": m, "setting": "a", "score": 0.5 + 0.01 * place,
             "accuracy same": 0.7 + 0.02 * (place + (k == 1) * (place == 2) * 1.5)}
            for k in range(5)
            for place, m in enumerate(METHODS)
        ]
    )  # fmt: skip


_ABSTRACT = "abstract: about 2 % over metric-based methods on miniImageNet"
_METHODS_OF_THE_PAPER = (
    (PT, "the proto-triplet loss alone"), (ICNN, "the ICNN loss alone"), (CE_PT, "cross-entropy with proto-triplet"),
    (CE_ICNN, "cross-entropy with ICNN"), (ALL, "all three together"),
)  # fmt: skip
_OURS = "the comparison that the paper leaves out"

CLAIMS = [
    Claim(
        "C1a", "properties", "identity", "the modified score; derived here",
        "The score is in [0, 1] and does not change when points are moved, turned or scaled.",
        _judge_identity(*_INVARIANCES, compared="largest deviation from [0, 1] and from invariance", tolerance=1e-9),
        _properties_example, _wrong_by("scale", 0.1),
    ),
    Claim(
        "C1b", "properties", "bound", "derived here",
        "Separated, tight classes score at least 1 − diameter/(4 separation).",
        _judge_floor, _properties_example, _wrong_by(_FLOOR, 0.1),
    ),
    Claim(
        "C1c", "properties", "bound", "the score as a measure of class separability",
        "The score never falls as every point moves towards its class's mean.",
        _judge_contraction, _properties_example, _wrong_by(_FALLS[0], 0.1),
    ),
    Claim(
        "C1d", "properties", "trend", "the score as a measure of class separability",
        "The score rises when every point moves to its class's mean.",
        _judge_rise, _properties_example,
        lambda table: table.assign(error=table["error"].where(table["check"] != _RISE, -table["error"])),
    ),
    Claim(
        "C2", "properties", "identity", "definition of the proto-triplet loss; gradient derived here",
        "The proto-triplet loss is the triplet loss with prototypes as positive and negative, and 0 exactly where "
        "every query is the margin closer to its own.",
        _judge_identity(*_TRIPLETS, compared="largest error of loss and gradient; queries wrongly 0", tolerance=1e-9),
        _properties_example, _wrong_by(_TRIPLETS[0], 0.1),
    ),
    Claim(
        "C3a", "properties", "identity", "the ICNN loss; derived here",
        "Purity has no gradient: the score's is that of its distances.",
        _judge_identity("gradient of the purity", compared="gradient of the purity", tolerance=1e-12),
        _properties_example, _wrong_by("gradient of the purity", 0.1),
    ),
    Claim(
        "C3b", "properties", "limit", "the ICNN loss; derived here",
        "Where classes are pure and no stranger is inspected, the ICNN loss has no gradient; inspecting as many as a "
        "class has points restores it.",
        _judge_vanishing, _properties_example, _wrong_by(_VANISHING, 0.1),
    ),
    Claim(
        "C3c", "glyphs", "trend", "neighbours of the whole episode in public code; derived here",
        "The ICNN loss alone learns more when it inspects as many neighbours as a class has samples.",
        _judge_inspected, _inspected_example, lambda table: exchange(table, "setting", _FAR, _NEAR),
    ),
    *(
        _gain_claim(
            f"C4{letter}{shot}", "glyphs", ("shot", shot), "accuracy same", method, CE,
            f"{name[0].upper() + name[1:]} tells unseen classes apart better than tuned cross-entropy ({shot}-shot).",
            source="abstract", paper_value=_ABSTRACT if method == ALL else "",
        )
        for shot in (5, 1)
        for letter, (method, name) in zip("abcde", _METHODS_OF_THE_PAPER, strict=True)
    ),
    *(
        _gain_claim(
            f"C4f{shot}", "glyphs", ("shot", shot), "accuracy same", PT, TRIPLET,
            f"Prototypes as positive and negative beat the plain batch-hard triplet loss ({shot}-shot).", source=_OURS,
        )
        for shot in (5, 1)
    ),
    _gain_claim(
        "C4g", "glyphs", ("shot", 5), "accuracy same", CE, SHUFFLED,
        "What is measured is learnt: shuffled training labels lose it.", source="control of the experiment",
    ),
    _gain_claim(
        "C4h", "glyphs", ("shot", 5), "accuracy same", CE, RAW,
        "The tuned baseline tells unseen classes apart better than raw pixels.", source=_OURS,
    ),
    Claim(
        "C5", "glyphs", "trend", "the score as a measure of embeddings",
        "Networks whose episodes of unseen classes score higher are more accurate.",
        _judge_quality, _quality_example, lambda table: table.assign(score=-table["score"]),
    ),
    *(
        _gain_claim(
            f"C6{letter}", "glyphs", ("shot", 5), f"accuracy {shift}", PT, CE,
            f"The gain of the proto-triplet loss stays in another domain ({shift}).",
            source="abstract: cross-domain, CUB, Dogs and Cars",
        )
        for letter, shift in zip("abc", SHIFTS[1:], strict=True)
    ),
    *(
        _gain_claim(
            f"C7{letter}", "digits", ("clutter", clutter), "accuracy", method, CE,
            f"On unseen handwritten digits{' under clutter' if clutter else ''}, {name} beats tuned cross-entropy.",
            source="abstract",
        )
        for letter, (clutter, method, name) in zip(
            "abcd",
            ((c, m, n) for c in (0.0, 3.0) for m, n in (_METHODS_OF_THE_PAPER[0], _METHODS_OF_THE_PAPER[-1])),
            strict=True,
        )
    ),
    _gain_claim(
        "C7e", "digits", ("clutter", 0.0), "accuracy", CE, RAW,
        "Six digits teach the tuned baseline more about the other four than their raw pixels tell.", source=_OURS,
    ),
    _gain_claim(
        "C7f", "digits", ("clutter", 3.0), "accuracy", CE, SHUFFLED,
        "Under clutter, what is measured is learnt: shuffled training labels lose it.",
        source="control of the experiment",
    ),
]  # fmt: skip
