"""Harder negatives, synthesised from the hardest of a queue, make a harder task and sometimes a better representation.

Five experiments. *identities* compares the geometry of mixtures, the loss and its gradients with vectors that are mixed
and normalised one by one, beside a form that lets gradients through the mixing and must not pass. *false negatives*
counts how often mixtures have two parents of the query's class. *training* trains small encoders on generated
glyphs (100 classes, so that a negative is seldom a false one) against a queue of keys of a slowly following
encoder: without mixtures, with both kinds, with each kind alone, with same-class negatives removed by an oracle, and
with smaller queues. All start equal and see the same views and batches; only the negatives differ. *tuning* compares
the best of the same temperatures and learning rates, chosen on one half of the test images and judged on the other.
Probes with shuffled labels show where chance lies.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from neural.contrastive.images import LabelledImages, digits, glyphs
from neural.contrastive.mochi import mix_hard_negatives, mochi_logits, mochi_loss
from neural.contrastive.momentum import MemoryQueue, pretrain_with_queue
from neural.contrastive.pretrain import EncoderEnsemble
from simulations import Claim, Experiment, Paper, Verdict, statistics
from simulations.contrastive.glyph_probes import best_settings, glyph_views, halves, probe, shuffled_labels
from simulations.controls import exchange
from theory.contrastive import mochi as theory

PAPER = Paper(
    title="Hard Negative Mixing for Contrastive Learning",
    authors="Yannis Kalantidis, Mert Bulent Sariyildiz, Noe Pion, Philippe Weinzaepfel, Diane Larlus",
    venue="NeurIPS 2020",
    arxiv="2010.01028",
)
DEVIATIONS = [
    "The two parents of a pair are different; drawing both independently sometimes mixes a negative with itself.",
    "Keys of the query's own image are left out before the hardest are chosen, or pairs would mix positives.",
    "A public implementation indexes the negatives of all queries with the ranks of one: each query has its own here.",
    "Glyphs and small perceptrons replace ImageNet: they can show what mixing does, not the paper's accuracies.",
]
PLAIN, BOTH, PAIRS, QUERY, ORACLE = "MoCo", "MoCHi", "pairs only", "query only", "class oracle"
SHUFFLED = "shuffled labels"


# identities -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identities:
    """Random queries and queues."""

    sets: int = 20


def simulate_identities(settings: Identities, seed: int, device: str) -> pd.DataFrame:
    """Largest deviation per identity and random queue, in float64."""
    generator = torch.Generator(device).manual_seed(seed)
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(settings.sets):
        batch, dim, size = (int(rng.integers(low, high)) for low, high in ((1, 9), (2, 33), (8, 65)))
        tau = float(np.exp(rng.uniform(np.log(0.05), 0)))
        errors = _geometry_errors(rng, dim) | _loss_errors(batch, dim, size, tau, generator)
        rows += [{"identity": name, "dim": dim, "temperature": tau, "error": error} for name, error in errors.items()]
    return pd.DataFrame(rows)


def _geometry_errors(rng: np.random.Generator, dim: int, count: int = 200) -> dict[str, float]:
    """Closed forms of cosines against mixtures made as vectors."""
    centre = rng.exponential(1.0) * np.eye(dim)[0]
    q, u, v = (_unit(rng.standard_normal((count, dim)) + centre) for _ in range(3))
    a, b = rng.uniform(0, 1, count), np.sort(rng.uniform(0, 0.5, count))
    s_u, s_v, c = (np.clip((x * y).sum(1), -1, 1) for x, y in ((q, u), (q, v), (u, v)))
    pairs = (q * _unit(a[:, None] * u + (1 - a[:, None]) * v)).sum(1)
    queries = (q * _unit(b[:, None] * q + (1 - b[:, None]) * u)).sum(1)
    angle, halved = np.arccos(s_u), np.arccos(np.clip(queries, -1, 1))
    one_parent = theory.query_mixed_similarity(np.full(count, s_u[0]), b)
    tangent = (1 - b) / np.linalg.norm(b[:, None] * q + (1 - b[:, None]) * u, axis=1)
    away = u - s_u[:, None] * q
    mixture = _unit(b[:, None] * q + (1 - b[:, None]) * u)
    inner = np.clip(s_u, -0.999, 0.999)
    followed = (theory.query_mixed_similarity(inner + 1e-4, b) - theory.query_mixed_similarity(inner - 1e-4, b)) / 2e-4
    equal = theory.mixed_similarity(np.abs(s_u), np.abs(s_u), np.clip(2 * s_u**2 - 1, -1, 1), 0.5)
    return {
        "two negatives": float(np.abs(theory.mixed_similarity(s_u, s_v, c, a) - pairs).max()),
        "query and negative": float(np.abs(theory.query_mixed_similarity(s_u, b) - queries).max()),
        "half the angle at 1/2": float(np.abs(theory.query_mixed_similarity(s_u, 0.5) - np.cos(angle / 2)).max()),
        "angle outside [theta/2, theta]": float(np.maximum(angle / 2 - halved, halved - angle).max(initial=0.0)),
        "fall along the query's weight": float(np.maximum(-np.diff(one_parent), 0).max()),
        "tangent of a query mixture": float(np.abs(mixture - queries[:, None] * q - tangent[:, None] * away).max()),
        "tangent, mixing followed": float(np.abs(followed - tangent).max()),
        # Two parents at ±theta from the query in one plane: their mixture is the query.
        "equal parents across the query": float(np.abs(equal[np.abs(s_u) > 1e-3] - 1).max(initial=0.0)),
    }


def _loss_errors(batch: int, dim: int, size: int, tau: float, generator: torch.Generator) -> dict[str, float]:
    """The lean logits, the loss and its gradient against mixtures that are held as vectors."""
    device, seed = generator.device, int(torch.randint(2**31, (), generator=generator, device=generator.device))

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, device=device, dtype=torch.float64)

    def again() -> torch.Generator:
        return torch.Generator(device).manual_seed(seed)

    query, key = draw(batch, dim).requires_grad_(), draw(batch, dim)
    queue = F.normalize(draw(size, dim), dim=1).requires_grad_()
    n_hard, n_pairs, n_query = 6, 9, 5
    q, k = F.normalize(query, dim=1), F.normalize(key, dim=1)
    vectors = mix_hard_negatives(query, queue, n_hard, n_pairs, n_query, generator=again())
    scores = torch.cat([(q * k).sum(1, keepdim=True), q @ queue.detach().T], 1)
    explicit = torch.cat([scores, torch.einsum("bd,bmd->bm", q, vectors)], 1) / tau
    lean = mochi_logits(query, key, queue, n_hard, n_pairs, n_query, tau, generator=again())
    losses = mochi_loss(
        query, key, queue, n_hard, n_pairs, n_query, tau, generator=again(), chunk_size=3, reduction="none"
    )
    plain = mochi_loss(query, key, queue, n_hard, 0, 0, tau, reduction="none")
    cosines = (explicit.detach() * tau).cpu().numpy()
    parts = cosines[:, 0], cosines[:, 1 : 1 + size], cosines[:, 1 + size :]
    (gradient,) = torch.autograd.grad(losses.sum(), query, retain_graph=True)
    shares = torch.softmax(explicit.detach(), 1)
    pull = torch.einsum("bm,bmd->bd", shares[:, 1 + size :], vectors) + shares[:, 1 : 1 + size] @ queue.detach()
    by_hand = (pull - (1 - shares[:, :1]) * k) / tau
    return {
        "lean logits": float((lean - explicit).detach().abs().max()),
        "loss by definition": float(np.abs(theory.mochi_loss(*parts, tau) - losses.detach().cpu().numpy()).max()),
        "loss increase": float(
            np.abs((losses - plain).detach().cpu().numpy() - theory.loss_increase(*parts, tau)).max()
        ),
        "fall of the loss": float((plain - losses).detach().clamp_min(0).max()),
        "no mixtures": float(
            np.abs(theory.mochi_loss(*parts[:2], np.empty((batch, 0)), tau) - plain.detach().cpu().numpy()).max()
        ),
        "gradient": float((gradient - _through_norm(query, by_hand)).abs().max()),
        "gradient of the queue": float(
            torch.autograd.grad(losses.sum(), queue, allow_unused=True)[0] is not None
        ),
    }  # fmt: skip


def _through_norm(query: torch.Tensor, by_unit: torch.Tensor) -> torch.Tensor:
    q = F.normalize(query.detach(), dim=1)
    tangent = by_unit.detach() - (by_unit.detach() * q).sum(1, keepdim=True) * q
    return tangent / query.detach().norm(dim=1, keepdim=True)


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


# false negatives --------------------------------------------------------------------------------


@dataclass(frozen=True)
class FalseNegatives:
    """Untrained features of real and generated images: how often mixtures have two parents of the query's class."""

    queries: int = 300
    n_hard: int = 64
    n_pairs: int = 256


def simulate_false_negatives(settings: FalseNegatives, seed: int, device: str) -> pd.DataFrame:
    """Shares of same-class rows among the hardest, and of mixtures with two such parents, counted and expected."""
    rows = []
    for name, data in (("digits", digits(seed % 2**31)), ("glyphs", glyphs(split_seed=seed % 2**31))):
        rng = np.random.default_rng(seed)
        centred = (data.train - data.train.mean(0)).numpy().astype(np.float64)
        features, labels = _unit(centred), data.train_labels.numpy()
        chosen = rng.permutation(len(features))[: settings.queries]
        scores = features[chosen] @ features.T
        scores[np.arange(len(chosen)), chosen] = -np.inf
        hardest = np.argpartition(-scores, settings.n_hard, axis=1)[:, : settings.n_hard]
        same = labels[hardest] == labels[chosen][:, None]
        first = rng.integers(settings.n_hard, size=(len(chosen), settings.n_pairs))
        second = rng.integers(settings.n_hard - 1, size=first.shape)
        second += second >= first
        both = np.take_along_axis(same, first, 1) & np.take_along_axis(same, second, 1)
        expected = [theory.class_parent_share(int(k), settings.n_hard) for k in same.sum(1)]
        rows.append(
            {"data": name, "same_class_hard": same.mean(), "same_class_pairs": both.mean(),
             "expected_pairs": float(np.mean(expected))}
        )  # fmt: skip
    return pd.DataFrame(rows)


# training ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Training:
    """Encoders of glyphs; mixtures are (hardest, pairs, with the query), queues of the plain loss are also smaller."""

    mixtures: tuple[int, int, int] = (64, 64, 16)
    query_only: int = 64
    queue_size: int = 512
    smaller_queues: tuple[int, ...] = (128, 256)
    temperature: float = 0.3
    learning_rate: float = 0.06
    steps: int = 180
    warm_up: int = 40
    batch_size: int = 64
    width: int = 128
    ends: int = 50


@dataclass(frozen=True)
class Tuning:
    """The same settings for the loss with and without mixtures: pairs of temperature and learning rate."""

    grid: tuple[tuple[float, float], ...] = ((0.1, 0.002), (0.1, 0.005), (0.2, 0.002), (0.2, 0.005))
    mixtures: tuple[int, int, int] = (64, 64, 16)
    queue_size: int = 512
    steps: int = 140
    warm_up: int = 30
    batch_size: int = 64
    width: int = 128


@dataclass(frozen=True)
class _Arm:
    """One of the networks that are trained side by side."""

    method: str
    mixtures: tuple[int, int, int]
    queue_size: int
    temperature: float
    learning_rate: float


def simulate_training(settings: Training, seed: int, device: str) -> pd.DataFrame:
    """Probes, uniformity and what the task was like, for every method; chance levels beside them."""
    hard, pairs, _ = settings.mixtures

    def arm(method: str, mixtures: tuple[int, int, int], queue_size: int = settings.queue_size) -> _Arm:
        return _Arm(method, mixtures, queue_size, settings.temperature, settings.learning_rate)

    arms = [
        *(arm(PLAIN, (hard, 0, 0), size) for size in (settings.queue_size, *settings.smaller_queues)),
        arm(ORACLE, (hard, 0, 0)), arm(BOTH, settings.mixtures), arm(PAIRS, (hard, pairs, 0)),
        arm(QUERY, (hard, 0, settings.query_only)),
    ]  # fmt: skip
    data = glyphs(split_seed=seed % 2**31).to(device)
    watch = _Watch(settings.ends, settings.steps)
    models = _train(settings, arms, data, seed, device, watch)
    accuracies = probe(models, data)
    rows = [
        {"method": a.method, "queue": a.queue_size, **accuracy, **seen}
        for a, accuracy, seen in zip(arms, accuracies, watch.rows(len(arms)), strict=True)
    ]
    chance = probe(models, shuffled_labels(data, seed))[0]
    return pd.DataFrame([*rows, {**rows[0], **chance, "method": SHUFFLED}])


def simulate_tuning(settings: Tuning, seed: int, device: str) -> pd.DataFrame:
    """Accuracy on both halves of the test images at every setting, with and without mixtures."""
    hard = settings.mixtures[0]
    arms = [
        _Arm(method, mixtures, settings.queue_size, tau, rate)
        for method, mixtures in ((PLAIN, (hard, 0, 0)), (BOTH, settings.mixtures))
        for tau, rate in settings.grid
    ]
    data = glyphs(split_seed=seed % 2**31).to(device)
    models = _train(settings, arms, data, seed, device, None)
    by_half = [probe(models, half) for half in halves(data, seed)]
    return pd.DataFrame(
        [
            {"method": a.method, "temperature": a.temperature, "learning_rate": a.learning_rate,
             "knn_first": first["knn"], "knn_second": second["knn"]}
            for a, first, second in zip(arms, *by_half, strict=True)
        ]
    )  # fmt: skip


class _Watch:
    """What the task is like at the beginning, once the queue holds real keys, and at the end of training."""

    def __init__(self, ends: int, steps: int) -> None:
        self.first, self.last = range(ends // 4, ends + ends // 4), range(steps - ends, steps)
        self.seen: dict[str, list[torch.Tensor]] = {name: [] for name in self.names}

    names = ("proxy_all", "proxy_real", "top_share_first", "top_share_last", "same_class_hard", "same_class_pairs")

    def rows(self, models: int) -> list[dict[str, float]]:
        means = {name: torch.stack(values).mean(0).tolist() for name, values in self.seen.items()}
        return [{name: values[m] for name, values in means.items()} for m in range(models)]

    @torch.no_grad()
    def step(self, step: int, logits: tuple[torch.Tensor, ...], real: int, same_class: torch.Tensor, n_hard: int):
        negatives = torch.cat([each[..., 1 : 1 + real] for each in logits])
        if step in self.first or step in self.last:
            shares = torch.softmax(negatives, -1).topk(max(1, real // 100), dim=-1).values.sum(-1).mean(-1)
            if step in self.first:
                self.seen["top_share_first"].append(shares)
            if step in self.last:
                self.seen["top_share_last"].append(shares)
        if step not in self.last:
            return
        positive = torch.cat([each[..., 0] for each in logits])
        hardest_of_all = torch.cat([each[..., 1:].amax(-1) for each in logits])
        self.seen["proxy_all"].append((positive > hardest_of_all).float().mean(-1))
        self.seen["proxy_real"].append((positive > negatives.amax(-1)).float().mean(-1))
        hardest = negatives.topk(n_hard, dim=-1).indices
        same = same_class.expand(negatives.shape).gather(-1, hardest).float()
        count = same.sum(-1)
        self.seen["same_class_hard"].append((count / n_hard).mean(-1))
        self.seen["same_class_pairs"].append((count * (count - 1) / (n_hard * (n_hard - 1))).mean(-1))


def _train(
    settings: Training | Tuning, arms: list[_Arm], data: LabelledImages, seed: int, device: str, watch: _Watch | None
) -> EncoderEnsemble:
    """All arms in lockstep, those without mixtures first; the others draw the same and use as many as they have."""
    generator = torch.Generator(device).manual_seed(seed)
    models = EncoderEnsemble(len(arms), generator=generator, width=settings.width)
    draws = torch.Generator(device).manual_seed(seed + 1)
    (n_hard,) = {a.mixtures[0] for a in arms}
    plain = sum(a.mixtures[1:] == (0, 0) for a in arms)
    pairs, query = (max(a.mixtures[kind] for a in arms) for kind in (1, 2))
    taus = torch.tensor([a.temperature for a in arms], device=device)[:, None, None]
    rates = torch.tensor([a.learning_rate for a in arms], device=device)
    oracle = torch.tensor([a.method == ORACLE for a in arms], device=device)[:, None, None]
    absent = _absent(arms[plain:], settings.queue_size, pairs, query, device)

    def loss(q: torch.Tensor, k: torch.Tensor, queue: MemoryQueue, owners: torch.Tensor, step: int) -> torch.Tensor:
        own = queue.owners == owners[:, None]
        labels = torch.where(queue.owners < 0, -1, data.train_labels[queue.owners])
        same_class = (data.train_labels[owners][:, None] == labels) & ~own
        beyond = torch.stack([~queue.newest(a.queue_size) for a in arms])[:, None]
        ignored = own | beyond | (oracle & same_class)

        def logits_of(part: slice, s: int, t: int) -> torch.Tensor:
            made = mochi_logits(
                q[part], k[part], queue.rows[part], n_hard, s, t, 1.0, generator=draws, ignore_mask=ignored[part]
            )
            return made / taus[part]

        without = logits_of(slice(0, plain), 0, 0)
        mixed = logits_of(slice(plain, None), *((pairs, query) if step >= settings.warm_up else (0, 0)))
        mixed = mixed.masked_fill(absent[..., : mixed.shape[-1]], -torch.inf)
        if watch is not None:
            watch.step(step, (without.detach(), mixed.detach()), settings.queue_size, same_class, n_hard)
        return torch.cat([(each.logsumexp(-1) - each[..., 0]).mean(-1) for each in (without, mixed)])

    pretrain_with_queue(
        models, data.train, loss, views=glyph_views(), batch_size=settings.batch_size, queue_size=settings.queue_size,
        steps=settings.steps, learning_rate=rates, generator=generator,
    )  # fmt: skip
    return models


def _absent(arms: list[_Arm], queue_size: int, pairs: int, query: int, device: str) -> torch.Tensor:
    """Marks the columns of the logits that an arm does not have."""
    columns = [
        torch.zeros(len(arms), 1 + queue_size, dtype=torch.bool),
        torch.arange(pairs) >= torch.tensor([a.mixtures[1] for a in arms])[:, None],
        torch.arange(query) >= torch.tensor([a.mixtures[2] for a in arms])[:, None],
    ]
    return torch.cat(columns, 1)[:, None].to(device)


EXPERIMENTS = [
    Experiment("identities", simulate_identities, quick=Identities(), tiny=Identities(3)),
    Experiment("false_negatives", simulate_false_negatives, quick=FalseNegatives(), tiny=FalseNegatives(20)),
    Experiment(
        "training", simulate_training, quick=Training(),
        full=Training(smaller_queues=(64, 128, 256), steps=2000, warm_up=200, width=256),
        tiny=Training(steps=8, warm_up=4, width=8, ends=4),
    ),
    Experiment(
        "tuning", simulate_tuning, quick=Tuning(),
        full=Tuning(
            tuple((tau, rate) for tau in (0.05, 0.1, 0.2, 0.4, 0.8) for rate in (0.001, 0.002, 0.005, 0.01, 0.03)),
            steps=2000, warm_up=200, width=256,
        ),
        tiny=Tuning(steps=4, warm_up=2, width=8),
    ),
]  # fmt: skip


# claims -----------------------------------------------------------------------------------------

GEOMETRY = (
    "two negatives", "query and negative", "half the angle at 1/2", "equal parents across the query",
    "tangent of a query mixture",
)  # fmt: skip
LOSS = ("lean logits", "loss by definition", "loss increase", "no mixtures")
_GRADIENT = ("gradient", "gradient of the queue")


def _errors(table: pd.DataFrame, *names: str) -> np.ndarray:
    errors = table.loc[table["identity"].isin(names), "error"].to_numpy()
    if len(errors) == 0:
        raise ValueError(f"no errors of {names} in the table")
    return errors


def _judge_geometry(table: pd.DataFrame) -> Verdict:
    followed = float(_errors(table, "tangent, mixing followed").max())
    return statistics.all_of(
        [
            statistics.identity(
                _errors(table, *GEOMETRY), "largest error of the closed forms of mixtures", tolerance=1e-9
            ),
            statistics.at_least(followed, "error of the tangent if the mixing is differentiated too", threshold=1e-3),
        ]
    )


def _judge_angles(table: pd.DataFrame) -> Verdict:
    names = ("angle outside [theta/2, theta]", "fall along the query's weight")
    return statistics.identity(
        _errors(table, *names), "most by which an angle leaves [theta/2, theta] or a cosine falls", tolerance=1e-7
    )


def _judge_loss(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.identity(_errors(table, *LOSS), "largest error of logits, loss and increase", tolerance=1e-10),
            statistics.identity(
                _errors(table, "fall of the loss"), "most by which mixtures lower a loss", tolerance=1e-12
            ),
        ]
    )


def _judge_gradient(table: pd.DataFrame) -> Verdict:
    return statistics.identity(
        _errors(table, *_GRADIENT), "largest error of the query's gradient; 1 if the queue had one", tolerance=1e-9
    )


def _identities_example() -> pd.DataFrame:
    small = dict.fromkeys((*GEOMETRY, *LOSS, *_GRADIENT), 1e-14)
    zero = dict.fromkeys(
        ("angle outside [theta/2, theta]", "fall along the query's weight", "fall of the loss"), 0.0
    )  # fmt: skip
    return pd.DataFrame(
        [
            {"replicate": k, "identity": name, "dim": 8, "temperature": 0.2, "error": error}
            for k in range(5)
            for name, error in {**small, **zero, "tangent, mixing followed": 0.5}.items()
        ]
    )


def _wrong_by(name: str, error: float):
    """A control: as if this identity failed by ``error``."""
    return lambda t: t.assign(error=t["error"].where(t["identity"] != name, error))


def _full_queue(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["queue"] == table["queue"].max()]


def _difference_claim(
    id: str, column: str, method: str, compared: str, statement: str, *, above: bool, source: str, paper_value: str = ""
) -> Claim:
    """The claim that a method's measurement lies above (or below) that of the loss without mixtures."""

    def judge(table: pd.DataFrame) -> Verdict:
        values = statistics.paired(_full_queue(table), column, "method", method, PLAIN)
        side = {"above": 0.0} if above else {"below": 0.0}
        return statistics.trend(values, f"{compared}, {method} less {PLAIN}", **side)

    def example() -> pd.DataFrame:
        gain = 0.05 if above else -0.05
        return pd.DataFrame(
            [
                {"replicate": k, "method": m, "queue": 512, column: base + 0.003 * ((k * 7) % 3)}
                for k in range(5)
                for m, base in ((PLAIN, 0.5), (method, 0.5 + gain + 0.001 * k))
            ]
        )

    return Claim(
        id, "training", "trend", source, statement, judge, example,
        lambda t: exchange(t, "method", method, PLAIN), paper_value=paper_value,
    )  # fmt: skip


def _judge_tuned(table: pd.DataFrame) -> Verdict:
    gain = statistics.paired(best_settings(table), "knn", "method", BOTH, PLAIN)
    return statistics.trend(gain, f"nearest-neighbour accuracy at the best setting, {BOTH} less {PLAIN}", above=0.0)


def _tuned_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "method": m, "temperature": tau, "learning_rate": 0.002,
             "knn_first": base + 0.01 * k - 0.1 * abs(tau - 0.2), "knn_second": base + 0.008 * k - 0.1 * abs(tau - 0.2)}
            for k in range(5)
            for m, base in ((PLAIN, 0.5), (BOTH, 0.55))
            for tau in (0.1, 0.2)
        ]
    )  # fmt: skip


def _by_queue(table: pd.DataFrame) -> pd.DataFrame:
    plain = table[table["method"] == PLAIN]
    return plain.pivot(index="replicate", columns="queue", values="knn").sort_index(axis=1)


def _judge_diminishing(table: pd.DataFrame) -> Verdict:
    gains = _by_queue(table).diff(axis=1).iloc[:, 1:]
    change = (gains.iloc[:, -1] - gains.iloc[:, 0]).to_numpy()
    return statistics.trend(change, "gain in accuracy by the last doubling of the queue less the first", below=0.0)


def _judge_memory(table: pd.DataFrame) -> Verdict:
    by_queue = _by_queue(table)
    gain = (by_queue.iloc[:, -1] - by_queue.iloc[:, 0]).to_numpy()
    return statistics.trend(
        gain, f"accuracy with {by_queue.columns[-1]} keys less that with {by_queue.columns[0]}", above=0.0
    )


def _memory_example() -> pd.DataFrame:
    accuracy = {128: 0.4, 256: 0.5, 512: 0.53}
    return pd.DataFrame(
        [
            {"replicate": k, "method": PLAIN, "queue": size, "knn": value + 0.002 * k * (1 + size / 500)}
            for k in range(5)
            for size, value in accuracy.items()
        ]
    )


def _queues_reversed(table: pd.DataFrame) -> pd.DataFrame:
    """As if the smallest queue were the largest, and accuracies of the middle one lower."""
    sizes = sorted(table["queue"].unique())
    return table.assign(queue=table["queue"].map(dict(zip(sizes, sizes[::-1], strict=True))))


def _accelerating(table: pd.DataFrame) -> pd.DataFrame:
    """As if the last doubling brought the most."""
    return table.assign(knn=table["knn"] + 0.5 * (table["queue"] == table["queue"].max()))


def _judge_skewness(table: pd.DataFrame) -> Verdict:
    plain = _full_queue(table[table["method"] == PLAIN]).sort_values("replicate")
    growth = (plain["top_share_last"] - plain["top_share_first"]).to_numpy()
    return statistics.trend(growth, "share of the hardest 1 % in the negatives' mass, last steps less first", above=0.0)


def _judge_dilution(table: pd.DataFrame) -> Verdict:
    mixed = _full_queue(table[table["method"] == BOTH]).sort_values("replicate")
    gap = (mixed["same_class_pairs"] - mixed["same_class_hard"]).to_numpy()
    return statistics.trend(gap, "mixtures of two false negatives less false negatives among the hardest", below=0.0)


def _shares_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "method": m, "queue": 512, "top_share_first": 0.02, "top_share_last": 0.06 + 0.001 * k,
             "same_class_pairs": 0.001, "same_class_hard": 0.03 + 0.001 * k}
            for k in range(5)
            for m in (PLAIN, BOTH)
        ]
    )  # fmt: skip


def _judge_pair_share(table: pd.DataFrame) -> Verdict:
    parts = [
        statistics.within(
            rows["same_class_pairs"] - rows["expected_pairs"],
            f"mixtures of two false negatives less k(k−1)/(N(N−1)), {name}", low=-0.01, high=0.01,
        )
        for name, rows in table.groupby("data")
    ]  # fmt: skip
    return statistics.all_of(parts)


def _pair_share_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "data": d, "same_class_hard": 0.5, "same_class_pairs": 0.25 + 0.001 * k,
             "expected_pairs": 0.25}
            for k in range(5)
            for d in ("digits", "glyphs")
        ]
    )  # fmt: skip


_GAIN = "ImageNet-100, linear top-1: 78.0 with MoCo-v2, 79.0 with (1024, 1024, 128)"

CLAIMS = [
    Claim(
        "C1a", "identities", "identity", "definition of both mixtures; closed forms derived here",
        "Cosines with mixtures are closed forms of the parents' cosines, and a query mixture pushes the query along "
        "its negative alone.",
        _judge_geometry, _identities_example, _wrong_by("two negatives", 0.1),
    ),
    Claim(
        "C1b", "identities", "bound", "definition of the query mixture; derived here",
        "A mixture with the query is nearer to it than its negative, and never beyond half of the angle.",
        _judge_angles, _identities_example, _wrong_by("angle outside [theta/2, theta]", 0.1),
    ),
    Claim(
        "C2", "identities", "bound", "the loss with mixtures; derived here",
        "Mixtures raise the loss, by log(1 + their mass over that of everything else); without them it is MoCo's.",
        _judge_loss, _identities_example, _wrong_by("fall of the loss", 0.1),
    ),
    Claim(
        "C3", "identities", "identity", "mixing is not differentiated",
        "The query's gradient treats mixtures as constants, and no gradient reaches the queue.",
        _judge_gradient, _identities_example, _wrong_by("gradient of the queue", 1.0),
    ),
    _difference_claim(
        "C4a", "proxy_all", BOTH, "share of queries whose positive beats every negative",
        "Mixtures make the task harder.", above=False, source="proxy task accuracy over training",
    ),
    _difference_claim(
        "C4b", "proxy_real", BOTH, "share of queries whose positive beats every key of the queue",
        "On the queue's own keys the task is mastered better.", above=True,
        source="proxy task accuracy; measured against real negatives here",
    ),
    _difference_claim(
        "C4c", "proxy_all", PAIRS, "share of queries whose positive beats every negative",
        "Mixtures of two negatives alone make the task harder.", above=False,
        source="proxy task accuracy over training",
    ),
    _difference_claim(
        "C4d", "proxy_all", QUERY, "share of queries whose positive beats every negative",
        "Mixtures with the query alone make the task harder.", above=False, source="proxy task accuracy over training",
    ),
    *(
        _difference_claim(
            id, "knn", method, "nearest-neighbour accuracy", f"Features are better ({name}).", above=True,
            source="linear evaluation and transfer, abstract", paper_value=_GAIN if method == BOTH else "",
        )
        for id, method, name in (
            ("C5a", BOTH, "both kinds"), ("C5b", PAIRS, "two negatives"), ("C5c", QUERY, "with the query"),
        )
    ),
    _difference_claim(
        "C5d", "few", BOTH, "linear probe with three labels per class",
        "Features are better with few labels (both kinds).", above=True,
        source="linear evaluation and transfer, abstract",
    ),
    Claim(
        "C5e", "tuning", "trend", "linear evaluation and transfer, abstract",
        "Features are better when temperature and learning rate are chosen for each loss among the same settings.",
        _judge_tuned, _tuned_example, lambda t: exchange(t, "method", BOTH, PLAIN), paper_value=_GAIN,
    ),
    _difference_claim(
        "C5f", "knn", SHUFFLED, "nearest-neighbour accuracy",
        "What the probe measures is learnt: shuffled labels lose it.", above=False, source="control of the probe",
    ),
    *(
        _difference_claim(
            id, "uniformity", method, "uniformity (lower spreads more)", f"Features spread more evenly ({name}).",
            above=False, source="alignment and uniformity of the representation",
        )
        for id, method, name in (
            ("C6a", QUERY, "with the query"), ("C6b", PAIRS, "two negatives"), ("C6c", BOTH, "both kinds"),
        )
    ),
    Claim(
        "C7a", "training", "trend", "more memory, diminishing returns",
        "Doubling the queue gains less and less.", _judge_diminishing, _memory_example, _accelerating,
    ),
    Claim(
        "C7b", "training", "trend", "more memory, diminishing returns",
        "A larger queue gives better features.", _judge_memory, _memory_example, _queues_reversed,
    ),
    Claim(
        "C8", "training", "trend", "few hard negatives matter, motivation",
        "As training goes on, more of the negatives' mass is held by the hardest few.",
        _judge_skewness, _shares_example,
        lambda t: t.rename(columns={"top_share_first": "top_share_last", "top_share_last": "top_share_first"}),
    ),
    Claim(
        "C9a", "training", "trend", "false negatives; derived here",
        "Mixing dilutes false negatives: mixtures with two parents of the query's class are rarer than such negatives.",
        _judge_dilution, _shares_example,
        lambda t: t.rename(columns={"same_class_pairs": "same_class_hard", "same_class_hard": "same_class_pairs"}),
    ),
    Claim(
        "C9b", "false_negatives", "identity", "false negatives; derived here",
        "With k false ones among N, both parents of a pair are false with chance k(k − 1)/(N(N − 1)).",
        _judge_pair_share, _pair_share_example, lambda t: t.assign(expected_pairs=t["same_class_hard"]),
    ),
]  # fmt: skip
