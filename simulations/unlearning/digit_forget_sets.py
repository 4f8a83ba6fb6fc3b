"""Forget sets of real digits and what they do: retraining and methods, complements, classes, shortcuts.

Each function is one replicate on its own split of scikit-learn's digits: a perceptron is trained, sets of its training
points are selected, others are trained without them. ``simulate_unlearning`` retrains and runs approximate methods on
two models, one to choose learning rates by (with held-out digits of its own) and one to judge; ``simulate_coreset``
trains on the complements; ``simulate_classwise`` ties weights within classes; ``simulate_spurious`` adds a strip to
each image that gives away the class of most, or of none where strips are shuffled.
"""

import warnings
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy.stats import chi2_contingency, rankdata
from torch import Tensor, nn

from neural.unlearning import unlearning_methods as unlearning
from neural.unlearning.worst_case_forget import example_scores, select_forget_set, sign_unlearn
from simulations import Replicate
from simulations.unlearning.digit_models import (
    DigitClassifiers,
    Training,
    digit_split,
    rows_of,
    trained_on,
    without,
)

Direction = Literal["worst", "easiest"]
_DIRECTIONS: tuple[Direction, ...] = ("worst", "easiest")
WORST, EASIEST = _DIRECTIONS
RANDOM = "random"
HEURISTICS: dict[Literal["loss", "el2n", "grad-norm"], str] = {
    "loss": "lowest loss", "el2n": "lowest EL2N", "grad-norm": "lowest gradient norm",
}  # fmt: skip
RELABELLING = ("RL", "SalUn", "boundary-shrink")
FOLLOWING = ("FT", "CF-k", "SCRUB")
ORIGINAL = "original model"
BIASED, SHUFFLED = "strip follows the class", "strip shuffled"


@dataclass(frozen=True)
class Digits:
    """Points to train on, how models are trained, and how sets are selected.

    ``passes`` over the data make the lower level. The model whose points are to be forgotten starts from another draw
    than the retrained ones.
    """

    points: int = 1200
    hidden: tuple[int, ...] = (128, 64)
    train_epochs: int = 20
    train_rate: float = 4e-3
    passes: int = 3
    inner_lr: float = 5e-4
    outer_steps: int = 5
    outer_lr: float = 5.0
    batch_size: int = 64

    @property
    def training(self) -> Training:
        return Training(self.hidden, self.train_epochs, self.train_rate)

    @property
    def inner_steps(self) -> int:
        return self.passes * -(-self.points // self.batch_size)


def _select(
    settings: Digits, model: nn.Module, data: unlearning.Data, m: int, seed: int, direction: Direction = WORST
) -> tuple[Tensor, Tensor]:
    found = select_forget_set(
        model, *data, m, settings.inner_steps, settings.inner_lr, settings.outer_steps, settings.outer_lr,
        direction=direction, seed=seed, batch_size=settings.batch_size,
    )  # fmt: skip
    return found.indices, found.w


# unlearning -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Forgetting(Digits):
    """Share of the training points to forget, sets, methods, and their learning rates."""

    share: float = 0.1
    random_sets: int = 2
    methods: tuple[unlearning.Method, ...] = (*RELABELLING, *FOLLOWING)
    learning_rates: tuple[float, ...] = (2e-4, 1e-3, 5e-3, 2.5e-2, 0.125)
    epochs: int = 3


def simulate_unlearning(settings: Forgetting, seed: int, device: str) -> Replicate:
    """A row per part (test, tuning), kind and number of set, method and learning rate; weights and extreme images."""
    split = digit_split(seed, settings.points, device)
    m, N = round(settings.share * settings.points), settings.points
    bases = trained_on(split.train, torch.arange(N, device=device).expand(2, -1), seed, settings.training)
    tuning, test = bases.model(0), bases.model(1)
    generator = torch.Generator().manual_seed(seed)
    sets: dict[tuple[str, str, int], Tensor] = {}
    for part, model in (("tuning", tuning), ("test", test)):
        sets[part, WORST, 0], w = _select(settings, model, split.train, m, seed)
        for number in range(1 if part == "tuning" else settings.random_sets):
            sets[part, RANDOM, number] = torch.randperm(N, generator=generator)[:m].to(device)
    sets["test", EASIEST, 0], _ = _select(settings, test, split.train, m, seed, EASIEST)
    for score, name in HEURISTICS.items():
        scores = example_scores(test, *split.train, score)
        sets["test", name, 0] = scores.argsort(stable=True)[:m]
    kept = {key: without(rows, N) for key, rows in sets.items()}
    retrained = trained_on(split.train, torch.stack(list(kept.values())), seed + 1, settings.training)

    def measured(key: tuple[str, str, int], model: nn.Module) -> dict[str, float]:
        forget, retain = rows_of(split.train, sets[key]), rows_of(split.train, kept[key])
        held_out = split.test if key[0] == "test" else split.validation
        return unlearning.unlearning_metrics(model, forget, retain, held_out, seed)

    found, reference = [], {}
    for k, key in enumerate(sets):
        model = retrained.model(k)
        reference[key] = measured(key, model)
        left = float(example_scores(model, *rows_of(split.train, sets[key]), "loss").mean())
        found.append({**_named(key), "method": "retrain", "learning_rate": 0.0, **reference[key], "left": left})
    judged = [("test", WORST, 0), ("test", RANDOM, 0), ("tuning", WORST, 0), ("tuning", RANDOM, 0)]
    originals = [test if key[0] == "test" else tuning for key in judged]
    for key, model in zip(judged, originals, strict=True):
        metrics = measured(key, model)
        gap = unlearning.average_gap(metrics, reference[key])
        found.append({**_named(key), "method": ORIGINAL, "learning_rate": 0.0, **metrics, "gap": gap})
    stacked = DigitClassifiers.stacked_from(originals)
    forget, retain = (rows_of(split.train, torch.stack([of[key] for key in judged])) for of in (sets, kept))
    for method in settings.methods:
        for rate in settings.learning_rates:
            models = unlearning.unlearn(
                method,
                stacked,
                forget,
                retain,
                epochs=settings.epochs,
                learning_rate=rate,
                seed=seed,
                batch_size=128,
            )
            for k, key in enumerate(judged):
                metrics = measured(key, models.model(k))  # type: ignore[operator]
                gap = unlearning.average_gap(metrics, reference[key])
                found.append({**_named(key), "method": method, "learning_rate": rate, **metrics, "gap": gap})
    shown = {name: split.train[0][sets["test", name, 0][:10]].cpu().numpy() for name in (WORST, EASIEST)}
    return Replicate(pd.DataFrame(found), {"w": w.cpu().numpy(), **shown})


def _named(key: tuple[str, str, int]) -> dict[str, object]:
    return dict(zip(("part", "set", "number"), key, strict=True))


# coreset ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Complements(Digits):
    """Shares of the training points that are left out."""

    shares: tuple[float, ...] = (0.1, 0.3)


def simulate_coreset(settings: Complements, seed: int, device: str) -> pd.DataFrame:
    """Accuracy on all held-out digits, in percent, of models trained without each set, and with everything."""
    split, N = digit_split(seed, settings.points, device), settings.points
    (x, y), (more, labels) = split.validation, split.test
    held_out = torch.cat([x, more]), torch.cat([y, labels])
    bases = trained_on(split.train, torch.arange(N, device=device).expand(2, -1), seed, settings.training)
    base, found = bases.model(0), [{"share": 0.0, "set": "none", "TA": _accuracy(bases, held_out)[1]}]
    order = torch.randperm(N, generator=torch.Generator().manual_seed(seed)).to(device)
    for share in settings.shares:
        m = round(share * N)
        sets = {way: _select(settings, base, split.train, m, seed, way)[0] for way in _DIRECTIONS}
        sets[RANDOM] = order[:m]
        kept = torch.stack([without(rows, N) for rows in sets.values()])
        accuracies = _accuracy(trained_on(split.train, kept, seed + 1, settings.training), held_out)
        found += [{"share": share, "set": name, "TA": value} for name, value in zip(sets, accuracies, strict=True)]
    return pd.DataFrame(found)


@torch.no_grad()
def _accuracy(models: DigitClassifiers, data: unlearning.Data) -> list[float]:
    count = len(models.layers[0].weight)  # type: ignore[arg-type]
    logits = models(data[0].expand(count, *data[0].shape))
    return [100 * float(each) for each in (logits.argmax(-1) == data[1]).double().mean(-1)]


# classwise --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Classes(Digits):
    """Two selections with weights tied within classes: one to choose, one whose small steps leave weights to rank."""

    ranking_lr: float = 0.02


def simulate_classwise(settings: Classes, seed: int, device: str) -> pd.DataFrame:
    """A row per class: its weight, whether it was chosen, and loss and UA on it after its own removal."""
    split = digit_split(seed, settings.points, device)
    X, y = split.train
    model = trained_on(split.train, torch.arange(len(y), device=device)[None], seed, settings.training).model(0)
    sizes = torch.bincount(y)
    # The size of some class, so that a whole class can be chosen.
    m = int(sizes[(sizes - len(y) // 10).abs().argmin()])
    weights = [
        _tied_weights(model, split.train, m, replace(settings, outer_lr=rate), seed)
        for rate in (settings.outer_lr, settings.ranking_lr)
    ]
    found = []
    for c in range(10):
        mine = y == c
        unlearned = sign_unlearn(
            model, X, y, mine.to(X.dtype), settings.inner_steps, settings.inner_lr, batch_size=settings.batch_size,
            seed=seed,
        )  # fmt: skip
        left = float(example_scores(unlearned, X[mine], y[mine], "loss").mean())
        with torch.no_grad():
            UA = 100 * float((unlearned(X[mine]).argmax(1) != c).double().mean())
        first = [float(w[mine][0]) for w in weights]
        found.append({"class": c, "size": int(sizes[c]), "w": first[0], "score": first[1], "left": left, "UA": UA})
    table = pd.DataFrame(found)
    shuffled = np.random.default_rng(seed).permutation(table["score"].to_numpy())
    left = -table["left"].to_numpy()
    return table.assign(
        correlation=_ranks_agree(table["score"].to_numpy(), left), shuffled=_ranks_agree(shuffled, left)
    )


def _ranks_agree(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's correlation; 0 where one side is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])


def _tied_weights(model: nn.Module, data: unlearning.Data, m: int, settings: Digits, seed: int) -> Tensor:
    """w tied within classes. The class that comes first need not have m points, which is no matter here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="groups in order of w", category=UserWarning)
        return select_forget_set(
            model, *data, m, settings.inner_steps, settings.inner_lr, settings.outer_steps, settings.outer_lr,
            groups=data[1], seed=seed, batch_size=settings.batch_size,
        ).w  # fmt: skip


# spurious ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Strips(Digits):
    """A strip of ten pixels beside each image marks its class in the ``majority``, another one in the rest."""

    majority: float = 0.8
    share: float = 0.1


def simulate_spurious(settings: Strips, seed: int, device: str) -> pd.DataFrame:
    """Share of the majority in the worst set, and the chi-square test of its table against the rest."""
    split, rng = digit_split(seed, settings.points, device), np.random.default_rng(seed)
    (X, y), N = split.train, settings.points
    aligned = rng.random(N) < settings.majority
    marked = np.where(aligned, y.cpu().numpy(), (y.cpu().numpy() + rng.integers(1, 10, N)) % 10)
    order, found = rng.permutation(N), []
    for condition, marks in ((BIASED, marked), (SHUFFLED, marked[order])):
        strip = F.one_hot(torch.tensor(marks, device=device), 10).to(X.dtype)
        data = torch.cat([X, strip], 1), y
        model = trained_on(data, torch.arange(N, device=device)[None], seed, settings.training).model(0)
        chosen, _ = _select(settings, model, data, round(settings.share * N), seed)
        inside = np.zeros(N, dtype=bool)
        inside[chosen.cpu().numpy()] = True
        counts = [[(inside == i)[aligned == a].sum() for a in (True, False)] for i in (True, False)]
        p = float(chi2_contingency(np.array(counts)).pvalue)  # type: ignore[attr-defined]
        found.append({
            "condition": condition, "majority": float(aligned[inside].mean()), "expected": float(aligned.mean()),
            "log10_p": float(np.log10(max(p, 1e-300))),
        })  # fmt: skip
    return pd.DataFrame(found)
