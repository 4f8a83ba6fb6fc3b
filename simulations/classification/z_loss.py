"""The Z-loss: what of the scores it needs, an output layer that D does not slow down, and top-k word prediction.

*identities* holds the losses against what defines them on random scores: orthogonal maps that fix the sum and the
target's score, shifts and scales, gradients in closed form; softmax and a change of sign must not pass. *certificate*
searches scores whose target ranks worse than its standard score allows, and attains the bound for every k. *exactness*
trains the factored output layer and an explicit one side by side, with targets that occur twice in a batch; momentum on
the explicit side, and a factor that is never re-orthogonalised, must part them. *costs* times one training step (loss,
gradient in the hidden units, new weights) of the factored layer, of log-softmax, and of adaptive softmax with the
faster of two sets of cutoffs. *words* trains n-gram networks on the language reference
that Python's ``help()`` shows: all losses start equal and see the same batches, each with the same number of learning
rates, of which the best on validation text, averaged over the replicates' splits, is compared on test text.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neural.classification import z_loss as losses
from neural.classification.factored_output import FactoredOutputLayer, factored_spherical_loss
from neural.classification.word_prediction import (
    Windows,
    WordPredictor,
    documentation_corpus,
    fit,
    split_windows,
    topk_accuracy,
)
from simulations import Claim, Experiment, Paper, Verdict, statistics
from simulations.controls import exchange
from simulations.costs import alternating_seconds
from theory.classification import z_loss as theory
from theory.fuzz import check_bound

PAPER = Paper(
    title="The Z-loss: a shift and scale invariant classification loss belonging to the Spherical Family",
    authors="Alexandre de Brébisson, Pascal Vincent",
    venue="arXiv 2016",
    arxiv="1604.08859",
)
DEVIATIONS = [
    "A step that would make the middle factor singular is taken on the explicit weights; it has an exact result there.",
    "Scores that deviate by at most eps count as constant; the authors' example adds eps to sigma, which costs the "
    "scale invariance a share eps/sigma.",
    "With weight decay, Q = WᵀW and Wᵀ1 must decay too; an update that leaves them is no longer exact.",
    "The middle factor is mended as soon as its condition asks for it, not only every so many steps.",
    "Words are ranked by the probabilities of log-spherical and log-Taylor softmax, which do not grow with the score; "
    "ranking by scores would put both losses at a disadvantage that is not theirs.",
    "The word models are trained with Adam on explicit layers: the losses are compared, not the speed of the layer.",
    "The corpus is the language reference of the Python interpreter, not the One Billion Word benchmark.",
]


# identities -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identities:
    """Random scores: how many vectors, of at most how many classes."""

    vectors: int = 100
    max_classes: int = 40


def simulate_identities(settings: Identities, seed: int, device: str) -> pd.DataFrame:
    """Largest deviation per identity and vector of scores, in float64."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(settings.vectors):
        classes = int(rng.integers(4, settings.max_classes + 1))
        scores = rng.standard_normal((1, classes)) * 10 ** rng.uniform(-1, 1) + rng.standard_normal() * 3
        target = np.array([int(rng.integers(classes))])
        a, b = 10 ** rng.uniform(-1.5, 0.5), rng.uniform(-1, 5)
        errors = (
            _rotation_errors(scores, target, a, b, rng, device)
            | _invariance_errors(scores, target, a, b, rng, device)
            | _gradient_errors(scores, target, a, b, device)
        )
        rows += [{"identity": name, "classes": classes, "error": error} for name, error in errors.items()]
    return pd.DataFrame(rows)


_SPHERICAL = ("Z-loss", "squared error", "log-spherical", "log-Taylor")


def _family(a: float, b: float) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """The losses on scores, one value per example."""
    return {
        "Z-loss": partial(losses.z_loss, a=a, b=b, reduction="none"),
        "squared error": partial(losses.spherical_mse, reduction="none"),
        "log-Taylor": lambda o, y: F.nll_loss(losses.log_taylor_softmax(o), y, reduction="none"),
        "log-spherical": lambda o, y: F.nll_loss(losses.log_spherical_softmax(o), y, reduction="none"),
        "softmax": partial(F.cross_entropy, reduction="none"),
    }


def _rotation_errors(
    scores: np.ndarray, target: np.ndarray, a: float, b: float, rng: np.random.Generator, device: str
) -> dict[str, float]:
    """Change of every loss under a random orthogonal map that fixes the sum and the target's score."""
    classes = scores.shape[1]
    fixed = np.stack([np.ones(classes), np.arange(classes) == target[0]], axis=1)
    basis = np.linalg.qr(np.concatenate([fixed, rng.standard_normal((classes, classes - 2))], axis=1))[0][:, 2:]
    turn = np.linalg.qr(rng.standard_normal((classes - 2, classes - 2)))[0]
    inside = scores @ basis
    turned = scores + (inside @ turn - inside) @ basis.T
    before, after, y = (torch.tensor(each, device=device) for each in (scores, turned, target))
    errors = {
        f"{name} turned": float((loss(before, y) - loss(after, y)).abs())
        for name, loss in _family(a, b).items()
    }  # fmt: skip
    s, q, oc = theory.spherical_coordinates(scores, target)
    for name, kind in zip(_SPHERICAL, theory.SPHERICAL_LOSSES, strict=True):
        expected = theory.spherical_loss(s, q, oc, classes, kind, a, b)
        found = _family(a, b)[name](before, y).cpu().numpy()
        errors[f"{name} of coordinates"] = float(np.abs(found - expected).max() / (1 + np.abs(expected).max()))
    return errors


def _invariance_errors(
    scores: np.ndarray, target: np.ndarray, a: float, b: float, rng: np.random.Generator, device: str
) -> dict[str, float]:
    # A shift far above the spread would round the scores themselves, and the comparison would measure that.
    scale = 10 ** rng.uniform(-2, 2)
    shift = rng.uniform(-100, 100) * scale * scores.std()
    o, y = torch.tensor(scores, device=device), torch.tensor(target, device=device)
    z, softmax = (_family(a, b)[name] for name in ("Z-loss", "softmax"))
    flipped = float((z(o, y) - z(-o, y)).abs() / abs(theory.z_scores(scores)[0, target[0]]))
    return {
        "Z-loss scaled and shifted": float((z(o, y) - z(scale * o + shift, y)).abs()),
        "Z-loss with the sign changed": flipped,
        "softmax scaled": float((softmax(o, y) - softmax(scale * o, y)).abs()),
    }


def _gradient_errors(scores: np.ndarray, target: np.ndarray, a: float, b: float, device: str) -> dict[str, float]:
    """Closed forms against autograd, both of the drop-in loss and of its definition written out."""
    o = torch.tensor(scores, device=device, requires_grad=True)
    y = torch.tensor(target, device=device)
    automatic = torch.autograd.grad(_z_loss_written_out(o, y, a, b), o)[0].cpu().numpy()
    ours = torch.autograd.grad(losses.z_loss(o, y, a, b), o)[0].cpu().numpy()
    closed = theory.z_loss_grad(scores, target, a, b)
    by_coordinates = theory.scores_gradient(
        scores, target, *theory.spherical_grad(*theory.spherical_coordinates(scores, target), scores.shape[1], a=a, b=b)
    )
    size = float(np.linalg.norm(closed))
    return {
        "gradient in closed form": float(np.abs(closed - automatic).max() / size),
        "gradient of the drop-in loss": float(np.abs(ours - automatic).max() / size),
        "gradient by coordinates": float(np.abs(by_coordinates - automatic).max() / size),
        "sum of the gradient": float(np.abs(ours.sum()) / size),
        "gradient times scores": float(np.abs((ours * scores).sum()) / (size * np.linalg.norm(scores))),
        "norm of the gradient": float(abs(theory.z_loss_gradient_norm(scores, target, a, b)[0] / size - 1)),
    }


def _z_loss_written_out(o: Tensor, y: Tensor, a: float, b: float) -> Tensor:
    z = (o - o.mean(1, keepdim=True)) / o.std(1, correction=0, keepdim=True)
    return torch.log1p(torch.exp(a * (b - z.gather(1, y[:, None])))).sum() / a


# certificate ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Certificate:
    """Numbers of classes, random scores for each, and the largest D whose every k is attained."""

    classes: tuple[int, ...] = (3, 24, 100)
    instances: int = 34_000
    attained_up_to: int = 40


def simulate_certificate(settings: Certificate, seed: int, device: str) -> pd.DataFrame:
    """Worst ratio of a rank to its certificate per number of classes, and how closely the witnesses attain it."""
    rows = []
    for classes in settings.classes:
        report = check_bound(
            lambda scores: (scores >= scores[:, :1]).sum(axis=1),
            lambda scores: scores.shape[1] / (1 + np.maximum(theory.z_scores(scores)[:, 0], 0) ** 2),
            partial(_random_scores, classes=classes), settings.instances, rounds=5, seed=seed,
        )  # fmt: skip
        scores = report.witness["scores"]
        rank, z = int((scores >= scores[0]).sum()), float(theory.z_scores(scores[None])[0, 0])
        rows.append(
            {"quantity": "worst ratio", "classes": classes, "k": rank, "value": report.worst_ratio,
             "instances": report.instances, "witness": f"rank {rank} of {classes} at z = {z:.4g}"}
        )  # fmt: skip
    for classes in range(3, settings.attained_up_to + 1):
        for k in range(1, classes - 1):
            witness = theory.rank_witness(classes, k)
            z = theory.z_scores(witness[None])[0, 0]
            rank = int((witness >= witness[0]).sum())
            gap = max(
                abs(rank * (1 + z**2) / classes - 1),
                abs(z - theory.b_for_topk(classes, k)) / z,
                abs(rank - theory.rank_certificate(z, classes)),
            )
            rows.append(
                {
                    "quantity": "witness gap",
                    "classes": classes,
                    "k": k,
                    "value": gap,
                    "instances": 1,
                    "witness": "built",
                }
            )
    return pd.DataFrame(rows)


def _random_scores(rng: np.random.Generator, count: int, classes: int) -> dict[str, np.ndarray]:
    """From flat to spiked; the target, class 0, is lifted so that the certificate says something."""
    spiked = rng.gamma(10.0 ** rng.uniform(-1.5, 1, (count, 1)), size=(count, classes))
    scores = np.where(rng.random((count, 1)) < 0.5, spiked, rng.standard_normal((count, classes)))
    scores[:, 0] += rng.exponential(2.0, count)
    return {"scores": scores}


# exactness --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Exactness:
    """Two layers that take the same steps: sizes and number of steps."""

    classes: int = 500
    hidden: int = 12
    batch: int = 6
    steps: int = 300


@dataclass(frozen=True)
class _Condition:
    name: str
    loss: losses.CoordinateLoss
    rate: float
    dtype: torch.dtype = torch.float64
    stabilize_every: int = 100
    weight_decay: float = 0.0
    momentum: float = 0.0


_Z = partial(losses.z_loss_of_coordinates, a=0.1, b=10.0)
_CONDITIONS = (
    _Condition("Z-loss", _Z, 0.1),
    _Condition("Z-loss, weight decay", _Z, 0.1, weight_decay=0.05),
    _Condition("log-Taylor", losses.taylor_nll_of_coordinates, 0.1),
    _Condition("squared error, mended", losses.spherical_mse_of_coordinates, 0.012, stabilize_every=10),
    _Condition("Z-loss, float32", _Z, 0.1, dtype=torch.float32),
    _Condition("squared error, never mended", losses.spherical_mse_of_coordinates, 0.012, stabilize_every=0),
    _Condition("Z-loss, momentum", _Z, 0.1, momentum=0.9),
)
_EXACT = tuple(c.name for c in _CONDITIONS[:4])
_NOT_EXACT = tuple(c.name for c in _CONDITIONS[5:])


def simulate_exactness(settings: Exactness, seed: int, device: str) -> pd.DataFrame:
    """Largest deviation of the factored layer from the explicit one, relative to the largest entry, per condition."""
    return pd.DataFrame([_side_by_side(settings, condition, seed, device) for condition in _CONDITIONS])


def _side_by_side(settings: Exactness, condition: _Condition, seed: int, device: str) -> dict[str, object]:
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(settings.classes, settings.hidden, generator=generator, dtype=torch.float64)
    start = (start / settings.hidden**0.5).to(device, condition.dtype)
    factored = FactoredOutputLayer.from_weight(
        start, condition.rate, condition.stabilize_every, weight_decay=condition.weight_decay
    )
    explicit = nn.Parameter(start.clone())
    optimizer = torch.optim.SGD(
        [explicit], condition.rate, momentum=condition.momentum, weight_decay=condition.weight_decay
    )
    by_hidden = 0.0
    for _ in range(settings.steps):
        h = torch.randn(settings.batch, settings.hidden, generator=generator, dtype=torch.float64)
        target = torch.randint(settings.classes, (settings.batch,), generator=generator).to(device)
        target[1] = target[0]
        ours, theirs = (h.to(device, condition.dtype).clone().requires_grad_() for _ in range(2))
        factored_spherical_loss(ours, target, condition.loss, factored, "sum").backward()
        o = theirs @ explicit.T
        loss = condition.loss(o.gather(1, target[:, None])[:, 0], o.square().sum(1), o.sum(1), settings.classes).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert ours.grad is not None
        assert theirs.grad is not None
        by_hidden = max(by_hidden, _relative(ours.grad, theirs.grad))
    weight = explicit.detach()
    return {
        "condition": condition.name,
        "weights": _relative(factored.dense_weight(), weight),
        "hidden_gradient": by_hidden,
        "gram": _relative(factored.Q, weight.double().T @ weight.double()),
        "repairs": factored.repairs,
    }


def _relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


# costs ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Costs:
    """Training steps to be timed; ``block`` factored steps, with one look at the singular values, count as one call."""

    classes: tuple[int, ...] = (1_000, 10_000, 100_000)
    hidden: int = 128
    batch: int = 64
    rounds: int = 2
    block: int = 25


_CUTOFFS = {"adaptive softmax, 2 + 8 %": (0.02, 0.1), "adaptive softmax, 5 + 20 %": (0.05, 0.25)}


def simulate_costs(settings: Costs, seed: int, device: str) -> pd.DataFrame:
    """Seconds of one training step (loss, gradient in the hidden units, new weights) per layer and D.

    The fastest of the rounds counts: whatever else a machine does only ever adds.
    """
    rows = []
    for classes in settings.classes:
        generator = torch.Generator(device).manual_seed(seed)
        h = torch.randn(settings.batch, settings.hidden, generator=generator, device=device)
        # Frequencies fall like 1/rank, as those of words do, and classes come sorted, as adaptive softmax needs.
        uniform = torch.rand(settings.batch, generator=generator, device=device, dtype=torch.float64)
        target = ((classes + 1) ** uniform).long().clamp(1, classes) - 1
        sides = training_steps(h, target, classes, settings.block, generator)
        if device.startswith("cuda"):
            sides = {name: _synchronised(call, device) for name, call in sides.items()}
        table = alternating_seconds(sides, rounds=settings.rounds)
        for layer, seconds in table.groupby("side")["seconds"].min().items():
            steps = settings.block if layer == "factored" else 1
            rows.append({"classes": classes, "layer": layer, "seconds": seconds / steps})
    return pd.DataFrame(rows)


def training_steps(
    h: Tensor, target: Tensor, classes: int, block: int, generator: torch.Generator
) -> dict[str, Callable[[], None]]:
    """One step of each layer from the same hidden units: gradient in ``h`` and plain descent on the weights.

    The factored layer's call makes ``block`` steps, the last of which looks at the singular values.
    """
    hidden = h.shape[1]
    layer = FactoredOutputLayer(classes, hidden, 1e-3, stabilize_every=block, generator=generator)
    weights = nn.Parameter(layer.dense_weight())

    def factored() -> None:
        for _ in range(block):
            x = h.clone().requires_grad_()
            factored_spherical_loss(x, target, losses.z_loss_of_coordinates, layer).backward()

    def log_softmax() -> None:
        _descend(F.cross_entropy(F.linear(h.clone().requires_grad_(), weights), target), [weights])

    def adaptive(module: nn.AdaptiveLogSoftmaxWithLoss) -> None:
        _descend(module(h.clone().requires_grad_(), target).loss, list(module.parameters()))

    steps = {"factored": factored, "log-softmax": log_softmax}
    for name, shares in _CUTOFFS.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = nn.AdaptiveLogSoftmaxWithLoss(hidden, classes, [max(1, int(s * classes)) for s in shares])
        steps[name] = partial(adaptive, module.to(h.device))
    return steps


def _descend(loss: Tensor, parameters: list[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = None
    loss.backward()
    with torch.no_grad():
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=1e-3)


def _synchronised(call: Callable[[], None], device: str) -> Callable[[], None]:
    def complete() -> None:
        call()
        torch.cuda.synchronize(device)

    return complete


# shapes -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shapes:
    """Losses along the target's score, the other scores being standard normal."""

    classes: int = 1000
    points: int = 201


def simulate_shapes(settings: Shapes, seed: int, device: str) -> pd.DataFrame:
    """Every loss as the target's score goes from −10 to 40."""
    others = np.random.default_rng(seed).standard_normal(settings.classes)
    grid = np.linspace(-10, 40, settings.points)
    scores = np.tile(others, (settings.points, 1))
    scores[:, 0] = grid
    targets = np.zeros(settings.points, dtype=np.int64)
    s, q, oc = theory.spherical_coordinates(scores, targets)
    curves = {
        "Z-loss, a = 0.1, b for k = 1": theory.z_loss(scores, targets, 0.1, theory.b_for_topk(settings.classes, 1)),
        "Z-loss, a = 1, b = 0": theory.z_loss(scores, targets),
        "log-Taylor": theory.spherical_loss(s, q, oc, settings.classes, "log_taylor"),
        "log-spherical": theory.spherical_loss(s, q, oc, settings.classes, "log_spherical"),
        "softmax": np.logaddexp.reduce(scores, axis=1) - grid,
    }
    return pd.DataFrame(
        [{"loss": n, "target_score": t, "value": v} for n, c in curves.items() for t, v in zip(grid, c, strict=True)]
    )


# words ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Words:
    """n-gram networks: vocabulary, text, sizes, and the learning rates of each loss.

    The Z-loss is trained with each a of ``z_a`` and, beside it, b for the k of ``z_k``: ``b_for_topk(vocabulary, k)``,
    or 0 for k = 0. Its rates are as many as the others', but lie higher: at the others' its best was the largest.
    """

    vocabulary: int = 500
    order: int = 4
    windows: int = 12_000
    embedding: int = 16
    width: int = 32
    epochs: int = 2
    batch_size: int = 256
    rates: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1)
    z_rates: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3)
    z_a: tuple[float, ...] = (1.0, 0.1)
    z_k: tuple[int, ...] = (0, 1)


_KS = (1, 5, 10, 20, 50, 100)
_SHUFFLED = "softmax, contexts shuffled"
_ScoresLoss = Callable[[Tensor, Tensor], Tensor]
_Link = Callable[[Tensor], Tensor]


def simulate_words(settings: Words, seed: int, device: str) -> pd.DataFrame:
    """Top-k accuracies on validation and test text, per loss and learning rate, and of models that see no context."""
    corpus = documentation_corpus(settings.vocabulary)
    parts = split_windows(corpus, settings.order, seed, limit=settings.windows)
    train, valid, test = (part.to(device) for part in parts)
    mixed = torch.randperm(len(train.targets), generator=torch.Generator().manual_seed(seed)).to(device)
    shuffled = Windows(train.contexts[mixed], train.targets)
    runs = [
        (name, rate, loss, link, train)
        for name, (rates, loss, link) in _word_losses(settings).items()
        for rate in rates
    ]
    runs.append((_SHUFFLED, settings.rates[len(settings.rates) // 2], F.cross_entropy, None, shuffled))
    rows = []
    for name, rate, loss, link, windows in runs:
        generator = torch.Generator().manual_seed(seed)
        model = WordPredictor(
            settings.vocabulary, settings.order - 1, settings.embedding, settings.width, generator
        ).to(device)
        fit(
            model, windows, loss,
            learning_rate=rate, epochs=settings.epochs, batch_size=settings.batch_size, seed=seed,
        )  # fmt: skip
        scores = {
            f"{part}_top{k}": share
            for part, held_out in (("valid", valid), ("test", test))
            for k, share in topk_accuracy(model, held_out, _KS, link).items()
        }
        rows.append({"loss": name, "rate": rate, **scores})
    frequent = torch.bincount(train.targets, minlength=settings.vocabulary).argsort(descending=True, stable=True)
    shares = {k: float(torch.isin(test.targets, frequent[:k]).double().mean()) for k in _KS}
    rows.append({"loss": "most frequent words", **{f"test_top{k}": share for k, share in shares.items()}})
    return pd.DataFrame(rows).assign(corpus=corpus.digest[:16], tokens=len(corpus.classes))


def _word_losses(settings: Words) -> dict[str, tuple[tuple[float, ...], _ScoresLoss, _Link | None]]:
    """Learning rates, mean loss, and what ranks the classes where it is not the scores themselves, by name.

    The probabilities of two losses do not grow with the score: they are ranked by those probabilities.
    """
    named: dict[str, tuple[_ScoresLoss, _Link | None]] = {
        "softmax": (F.cross_entropy, None),
        "log-Taylor": (_on_scores(losses.taylor_nll_of_coordinates), losses.log_taylor_softmax),
        "log-spherical": (_on_scores(losses.spherical_nll_of_coordinates), losses.log_spherical_softmax),
        "squared error": (_on_scores(losses.spherical_mse_of_coordinates), None),
    }
    chosen = {name: (settings.rates, *loss) for name, loss in named.items()}
    for a, k in zip(settings.z_a, settings.z_k, strict=True):
        b = theory.b_for_topk(settings.vocabulary, k) if k else 0.0
        chosen[z_name(a, k)] = (settings.z_rates, partial(losses.z_loss, a=a, b=b), None)
    return chosen


def z_name(a: float, k: int) -> str:
    """How a setting of the Z-loss is called in tables: its a, and the k that its b is for."""
    return f"Z-loss, a = {a:g}, " + (f"b for k = {k}" if k else "b = 0")


def _on_scores(loss: losses.CoordinateLoss) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss of coordinates as a mean over scores: three reductions, and no matrix but the scores."""

    def mean(o: Tensor, y: Tensor) -> Tensor:
        return loss(o.gather(1, y[:, None])[:, 0], torch.linalg.vecdot(o, o), o.sum(1), o.shape[1]).mean()

    return mean


EXPERIMENTS = [
    Experiment(
        "identities", simulate_identities, quick=Identities(), full=Identities(2000), tiny=Identities(3), replicates=1
    ),
    Experiment(
        "certificate", simulate_certificate, quick=Certificate(), full=Certificate((3, 24, 100, 1000), 250_000, 100),
        tiny=Certificate((3, 24), 1000, 6), replicates=1,
    ),
    Experiment(
        "exactness", simulate_exactness, quick=Exactness(), full=Exactness(20_000, 64, 32, 2000),
        tiny=Exactness(50, 4, 3, 20), replicates=1,
    ),
    Experiment(
        "costs", simulate_costs, quick=Costs(), full=Costs((10_000, 100_000, 1_000_000), 256, 128, 10, 100),
        tiny=Costs((100, 200), 16, 4, 1, 2),
    ),
    Experiment("shapes", simulate_shapes, quick=Shapes(), tiny=Shapes(20, 5), replicates=1),
    Experiment(
        "words", simulate_words, quick=Words(),
        full=Words(
            3000, 4, 60_000, 64, 256, 3, 256, (0.001, 0.003, 0.01, 0.03), (0.003, 0.01, 0.03, 0.1),
            (1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.03, 0.03, 0.03), (0, 10, 1, 0, 10, 1, 0, 10, 1),
        ),
        tiny=Words(300, 3, 300, 4, 8, 1, 128, (0.03,), (0.1,)),
    ),
]  # fmt: skip


# claims -----------------------------------------------------------------------------------------


def _errors(table: pd.DataFrame, *identities: str) -> np.ndarray:
    errors = table.loc[table["identity"].isin(identities), "error"].to_numpy()
    if len(errors) == 0:
        raise ValueError(f"no errors of {identities} in the table")
    return errors


def _identity_claim(
    id: str, source: str, statement: str, holds: tuple[str, ...], fails: tuple[str, ...], tolerance: float,
    control: Callable[[pd.DataFrame], pd.DataFrame],
) -> Claim:  # fmt: skip
    def judge(table: pd.DataFrame) -> Verdict:
        parts = [
            statistics.identity(
                _errors(table, *holds), f"largest error of {len(holds)} identities", tolerance=tolerance
            )
        ]
        parts += [
            statistics.at_least(
                float(np.median(_errors(table, name))), f"median error where it must fail ({name})", threshold=1e-3
            )
            for name in fails
        ]
        return statistics.all_of(parts)

    def example() -> pd.DataFrame:
        rows = [(name, 1e-14) for name in holds] + [(name, 0.5) for name in fails]
        return pd.DataFrame([{"replicate": 0, "identity": n, "classes": 20, "error": e} for n, e in rows])

    return Claim(id, "identities", "identity", source, statement, judge, example, control)


def _judge_certificate(table: pd.DataFrame) -> Verdict:
    searched = table[table["quantity"] == "worst ratio"]
    worst = searched.iloc[int(searched["value"].to_numpy().argmax())]
    gaps = table.loc[table["quantity"] == "witness gap", "value"]
    return statistics.all_of(
        [
            statistics.bound(
                worst["value"], "largest ratio of the target's rank to D / (1 + z²)",
                instances=int(searched["instances"].sum()), required=100_000, witness=str(worst["witness"]),
            ),
            statistics.identity(gaps, "gap of the witnesses, all k", tolerance=1e-12),
        ]
    )  # fmt: skip


def _certificate_example() -> pd.DataFrame:
    searched = [
        {"quantity": "worst ratio", "classes": d, "k": 1, "value": 1.0, "instances": 50_000, "witness": f"D = {d}"}
        for d in (3, 24)
    ]
    attained = [{"quantity": "witness gap", "classes": 9, "k": k, "value": 1e-15, "instances": 1} for k in range(1, 8)]
    return pd.DataFrame(searched + attained).assign(replicate=0)


def _tightened(table: pd.DataFrame) -> pd.DataFrame:
    """As if the certificate said one per cent less than what the witnesses attain."""
    searched = table["quantity"] == "worst ratio"
    return table.assign(value=table["value"].where(~searched, 1 / 0.99))


def _judge_exactness(table: pd.DataFrame) -> Verdict:
    exact = table[table["condition"].isin(_EXACT)]
    parted = table[table["condition"].isin(_NOT_EXACT)]
    return statistics.all_of(
        [
            statistics.identity(
                exact["weights"], "largest relative deviation of the weights, float64", tolerance=1e-10
            ),
            statistics.identity(
                exact["hidden_gradient"], "largest relative deviation of the hidden gradient, float64", tolerance=1e-10
            ),
            statistics.at_least(
                float(parted["weights"].min()), "least deviation with momentum, or never mended", threshold=1e-3
            ),
        ]
    )


def _exactness_example() -> pd.DataFrame:
    deviation = {c.name: 1e-14 for c in _CONDITIONS} | dict.fromkeys(_NOT_EXACT, 1.0) | {"Z-loss, float32": 1e-6}
    return pd.DataFrame(
        [
            {"replicate": k, "condition": n, "weights": e, "hidden_gradient": e, "gram": e, "repairs": 0}
            for k in range(3)
            for n, e in deviation.items()
        ]
    )


def _judge_single_precision(table: pd.DataFrame) -> Verdict:
    rows = table[table["condition"] == "Z-loss, float32"]
    return statistics.identity(
        np.concatenate([rows["weights"], rows["hidden_gradient"]]),
        "largest relative deviation of weights and hidden gradient, float32", tolerance=1e-4,
    )  # fmt: skip


def _slopes(table: pd.DataFrame, layer: str) -> np.ndarray:
    return statistics.log_log_slopes(table[table["layer"] == layer], "classes", "seconds")


def _faster(table: pd.DataFrame, layers: tuple[str, ...]) -> tuple[int, np.ndarray]:
    """The largest D, and there the seconds of the fastest of ``layers`` over those of the factored layer."""
    classes = int(table["classes"].max())
    at = table[table["classes"] == classes].pivot(index="replicate", columns="layer", values="seconds")
    return classes, (at[list(layers)].min(axis=1) / at["factored"]).to_numpy()


def _judge_log_softmax(table: pd.DataFrame) -> Verdict:
    classes, ratio = _faster(table, ("log-softmax",))
    return statistics.trend(
        ratio,
        f"seconds of a log-softmax step over those of a factored one, D = {classes:,}",
        above=40 * classes / 10**6,
    )


def _judge_adaptive(table: pd.DataFrame) -> Verdict:
    classes, ratio = _faster(table, tuple(_CUTOFFS))
    return statistics.trend(
        ratio, f"seconds of the faster adaptive softmax over those of a factored step, D = {classes:,}", above=4.0
    )


def _costs_example() -> pd.DataFrame:
    power = {"factored": (2e-3, 0.0), "log-softmax": (2e-6, 1.0)}
    power |= dict.fromkeys(_CUTOFFS, (1e-6, 1.0))
    return pd.DataFrame(
        [
            {"replicate": k, "classes": d, "layer": n, "seconds": scale * d**slope * (1 + 0.01 * ((k + i) % 3))}
            for k in range(5)
            for i, (n, (scale, slope)) in enumerate(power.items())
            for d in (1_000, 10_000, 100_000)
        ]
    )


def _layers_exchanged(table: pd.DataFrame) -> pd.DataFrame:
    return exchange(table, "layer", "factored", "log-softmax")


def chosen_rates(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Of every loss the rows of the learning rate whose validation score, averaged over replicates, is best.

    ``metric`` is ``top1`` … ``top100`` or ``mean``, over all k.
    """
    trained = table[table["rate"].notna()]
    ks = [f"top{k}" for k in _KS] if metric == "mean" else [metric]
    scored = trained.assign(
        validation=trained[[f"valid_{k}" for k in ks]].mean(axis=1),
        score=trained[[f"test_{k}" for k in ks]].mean(axis=1),
    )
    averages = scored.groupby(["loss", "rate"])["validation"].mean().reset_index()
    best = averages.loc[averages.groupby("loss")["validation"].idxmax(), ["loss", "rate"]]
    return scored.merge(best, on=["loss", "rate"])


_LARGE_B, _ZERO_B = z_name(0.1, 1), z_name(1.0, 0)


def _words_claim(id: str, source: str, statement: str, metric: str, better: str, worse: str, value: str = "") -> Claim:
    def judge(table: pd.DataFrame) -> Verdict:
        chosen = chosen_rates(table, metric)
        gain = statistics.paired(chosen, "score", "loss", better, worse)
        named = "top-k accuracy averaged over k" if metric == "mean" else f"top-{metric[3:]} accuracy"
        return statistics.trend(gain, f"{named}, {better} less {worse}", above=0.0)

    return Claim(
        id, "words", "trend", source, statement, judge, partial(_words_example, better, worse),
        lambda table: exchange(table, "loss", better, worse), value,
    )  # fmt: skip


def _words_example(better: str, worse: str) -> pd.DataFrame:
    rows = []
    for k in range(5):
        for name, level in ((better, 0.4), (worse, 0.3)):
            for rate, loss in ((0.01, 0.1), (0.03, 0.0), (0.1, 0.05)):
                scores = {f"{part}_top{n}": level - loss + 0.001 * n + 0.003 * ((k + (rate > 0.02)) % 3)
                          for part in ("valid", "test") for n in _KS}  # fmt: skip
                rows.append({"replicate": k, "loss": name, "rate": rate, **scores})
    return pd.DataFrame(rows)


_GRADIENT = (
    "gradient in closed form", "gradient of the drop-in loss", "gradient by coordinates", "sum of the gradient",
    "gradient times scores", "norm of the gradient",
)  # fmt: skip

CLAIMS = [
    _identity_claim(
        "C1", "definition of the spherical family",
        "Z-loss, squared error, log-Taylor and log-spherical softmax depend on the scores only through their sum, "
        "their squared norm and the target's score; softmax does not.",
        tuple(f"{name} {what}" for name in _SPHERICAL for what in ("turned", "of coordinates")), ("softmax turned",),
        1e-10, lambda t: exchange(t, "identity", "Z-loss turned", "softmax turned"),
    ),
    _identity_claim(
        "C2", "abstract: shift and scale invariance",
        "Shifting and positively scaling the scores leaves the Z-loss as it is; changing their sign does not, "
        "and scaling changes softmax.",
        ("Z-loss scaled and shifted",), ("Z-loss with the sign changed", "softmax scaled"),
        1e-10, lambda t: exchange(t, "identity", "Z-loss scaled and shifted", "softmax scaled"),
    ),
    _identity_claim(
        "C3", "gradient, derived here",
        "The closed-form gradient of the Z-loss, in scores and in coordinates, is autograd's; it sums to 0, is "
        "orthogonal to the scores and has the length |r|/sigma sqrt(1 − 1/D − z²/D).",
        _GRADIENT, (),
        1e-8, lambda t: t.assign(error=t["error"].where(t["identity"] != "norm of the gradient", 0.5 / t["classes"])),
    ),
    Claim(
        "C4", "certificate", "bound", "derived here (Cantelli)",
        "A target with standard score z > 0 has at most D / (1 + z²) classes at or above it; for every k some scores "
        "attain that.",
        _judge_certificate, _certificate_example, _tightened,
    ),
    Claim(
        "C5a", "exactness", "identity", "Vincent et al. 2015: the updates are exact",
        "After hundreds of steps, targets that occur twice included, factored weights and hidden gradients are those "
        "of the explicit layer; with momentum, or with a factor that is never re-orthogonalised, they are not.",
        _judge_exactness, _exactness_example, lambda t: exchange(t, "condition", "Z-loss", "Z-loss, momentum"),
    ),
    Claim(
        "C5b", "exactness", "identity", "Vincent et al. 2015: the updates are exact",
        "In float32 they agree to 1e-4.",
        _judge_single_precision, _exactness_example,
        lambda t: exchange(t, "condition", "Z-loss, float32", "Z-loss, momentum"),
    ),
    Claim(
        "C6a", "costs", "cost", "abstract: complexity independent of the number of classes",
        "A factored step takes the same time whatever D: its exponent is within −0.1 … 0.15.",
        lambda t: statistics.within(_slopes(t, "factored"), "exponent of seconds in D, factored", low=-0.1, high=0.15),
        _costs_example, _layers_exchanged,
    ),
    Claim(
        "C6b", "costs", "cost", "complexity of softmax",
        "A log-softmax step takes time proportional to D: its exponent is within 0.8 … 1.2.",
        lambda t: statistics.within(
            _slopes(t, "log-softmax"), "exponent of seconds in D, log-softmax", low=0.8, high=1.2
        ),
        _costs_example, _layers_exchanged,
    ),
    Claim(
        "C6c", "costs", "cost", "timings on the One Billion Word benchmark",
        "A factored step is at least 40 D/10⁶ times as fast as a log-softmax step: 40 times at a million classes.",
        _judge_log_softmax, _costs_example, _layers_exchanged,
        paper_value="40 times faster than log-softmax (D = 793,471, GPU, whole model)",
    ),
    Claim(
        "C6d", "costs", "cost", "timings on the One Billion Word benchmark",
        "At the largest D, a factored step is more than 4 times as fast as one of adaptive softmax.",
        _judge_adaptive, _costs_example, lambda t: exchange(t, "layer", "factored", next(iter(_CUTOFFS))),
        paper_value="more than 4 times faster than hierarchical softmax (D = 793,471, GPU)",
    ),
    *(
        _words_claim(
            f"C7{letter}", "abstract: outperforms other spherical losses",
            f"On next words the Z-loss has better top-k scores than {rival}, averaged over k.", "mean", _LARGE_B, rival,
        )
        for letter, rival in zip("abc", ("log-Taylor", "log-spherical", "squared error"), strict=True)
    ),
    _words_claim(
        "C7d", "control of the task", "What is measured is learnt from contexts: with contexts shuffled it is lost.",
        "top10", _LARGE_B, _SHUFFLED,
    ),
    _words_claim(
        "C8a", "abstract: outperforms log-softmax on some top-k scores",
        "With b for k = 1, the Z-loss has a better top-1 score than softmax.", "top1", _LARGE_B, "softmax",
    ),
    _words_claim(
        "C8b", "abstract: outperforms log-softmax on some top-k scores",
        "With b = 0, the Z-loss has a better top-100 score than softmax.", "top100", _ZERO_B, "softmax",
    ),
    _words_claim(
        "C8c", "abstract: hyper-parameters adjust which k matters", "A large b is better than b = 0 for k = 1.",
        "top1", _LARGE_B, _ZERO_B,
    ),
    _words_claim(
        "C8d", "abstract: hyper-parameters adjust which k matters", "b = 0 is better than a large b for k = 100.",
        "top100", _ZERO_B, _LARGE_B,
    ),
]  # fmt: skip
