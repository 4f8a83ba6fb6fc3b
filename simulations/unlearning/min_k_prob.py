"""Does the least likely part of a text tell whether a model was trained on it better than all of it?

*identities* holds the score against a linear programme. *detection* trains small transformers on documents whose law is
known, so that members and others differ in nothing but having been seen: one model at several moments, against more
learning rates, more documents, other widths, a stream with repeated test items, and one that was not trained at all,
on which no score may tell anything. *english* does the same with real prose in characters, whose members and others are
passages of one reference work, mixed. *audit* looks whether the score finds the facts that a model was to forget, in
the model that knows them and in one trained without them.

Every score has one direction, larger for members, and no fitted part; k is swept, and the k of the comparison, 0.2, is
the paper's.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import torch
from scipy.optimize import linprog
from torch import Tensor

from neural.tiny_lm.ensemble import TinyGPTEnsemble
from neural.tiny_lm.fictional_authors import FictionalAuthors
from neural.tiny_lm.logprobs import token_logps
from neural.tiny_lm.model import TinyGPT
from neural.tiny_lm.tokenizer import CharTokenizer, documentation_text
from neural.unlearning.min_k_prob import MembershipDetector, min_k_prob, perplexity_score
from simulations import Claim, Experiment, Paper, Replicate, Verdict, statistics
from simulations.controls import exchange
from simulations.unlearning.author_models import AuthorTraining, author_model
from simulations.unlearning.membership_worlds import SHARES, Documents, all_scores, train_together
from simulations.unlearning.metrics import membership_auc, tpr_at_fpr

PAPER = Paper(
    title="Detecting Pretraining Data from Large Language Models",
    authors="Weijia Shi, Anirudh Ajith, Mengzhou Xia, Yangsibo Huang, Daogao Liu, Terra Blevins, Danqi Chen, "
    "Luke Zettlemoyer",
    venue="ICLR 2024",
    arxiv="2310.16789",
)
DEVIATIONS = [
    "The least E = k·N tokens are at least one; public code gives NaN where k·N is below 1.",
    "Every score is larger for members; public code has perplexity, zlib and lower case the other way round.",
    "Generated documents and passages of one manual replace WikiMIA, models of 20,000 parameters replace those of "
    "billions; members and others come from one law, where WikiMIA's differ in time as well.",
]
BASELINES = ("perplexity", "zlib", "lowercase", "min-k++")
OURS = "min 0.2"


# identities -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identities:
    """Random rows of log-probabilities of lengths up to ``longest``."""

    rows: int = 60
    longest: int = 30


def simulate_identities(settings: Identities, seed: int, device: str) -> pd.DataFrame:
    """Errors of the score against a linear programme, the mean and the minimum; how it orders by k; other orders."""
    rng, rows = np.random.default_rng(seed), []
    for _ in range(settings.rows):
        values = -rng.exponential(3.0, size=(1, int(rng.integers(1, settings.longest + 1))))
        low, high = np.sort(rng.uniform(0.02, 1, size=2))
        row = torch.tensor(values, device=device)
        weights = 1 / max(1, int(low * values.size + 1e-9))
        solved = linprog(values[0], A_eq=np.ones_like(values), b_eq=[1.0], bounds=(0, weights))
        score = float(min_k_prob(row, k=low))
        rows.append(
            {
                "tokens": values.size, "k": low, "programme": abs(score - solved.fun),
                "mean": abs(float(min_k_prob(row, k=1.0)) - values.mean()),
                "minimum": abs(float(min_k_prob(row, k=1e-9)) - values.min()),
                "falls": max(0.0, score - float(min_k_prob(row, k=high))),
                "reordered": abs(score - float(min_k_prob(row.flip(1), k=low))),
                "scale": abs(float(np.sort(values[0])[0]) - values.mean()),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


# detection --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Detection:
    """Documents, models and when to look; books are judged at the first moment, sweeps compared after ``at`` steps."""

    documents: int = 128
    sentences: int = 4
    width: int = 32
    rate: float = 0.006
    batch: int = 12
    moments: tuple[int, ...] = (45, 65, 85, 105)
    at: int = 85
    rates: tuple[float, ...] = (0.0015, 0.003, 0.006, 0.012)
    sizes: tuple[int, ...] = (64, 128, 256, 512)
    widths: tuple[int, ...] = (8, 16, 32, 48)
    copies: tuple[int, ...] = (1, 2, 4, 8)
    background: int = 128
    inserted: int = 32
    books: int = 16


def simulate_detection(settings: Detection, seed: int, device: str) -> Replicate:
    """Areas of every score at every moment (``sweep`` *moment*), and of two scores along every other sweep.

    The arrays hold Min-20% and perplexity after ``at`` steps, members first.
    """
    rng = np.random.default_rng(seed)
    documents = Documents(settings.sentences)
    count = settings.documents
    pool = documents.draw(max(settings.sizes), rng).to(device)
    others, background = documents.draw(count, rng).to(device), documents.draw(settings.background, rng).to(device)
    reference = documents.draw(count, rng).to(device)
    inserted = documents.draw(settings.inserted * len(settings.copies), rng).to(device)
    groups = inserted.split(settings.inserted)
    stream = torch.cat([background, *(g.repeat(m, 1) for g, m in zip(groups, settings.copies, strict=True))])

    runs: list[tuple[str, float, Tensor, float]] = [
        ("base", 0.0, pool[:count], settings.rate), ("reference", 0.0, reference, settings.rate),
        ("copies", 0.0, stream, settings.rate),
    ]  # fmt: skip
    runs += [("rate", rate, pool[:count], rate) for rate in settings.rates if rate != settings.rate]
    runs += [("size", size, pool[:size], settings.rate) for size in settings.sizes if size != count]
    ensemble = _ensemble(documents, settings.width, len(runs), seed).to(device)
    untrained = _ensemble(documents, settings.width, 1, seed).to(device)
    rows: list[dict[str, object]] = []
    kept: dict[str, np.ndarray] = {}
    seen = torch.cat([pool[:count], others])

    def look(step: int) -> None:
        scores = _scores(ensemble, seen, documents)
        rows.extend(_areas("moment", step, scores, count))
        if step == settings.moments[0]:
            rows.extend(_books(settings, scores, count, rng))
        if step == settings.at:
            kept.update({name: scores[name].reshape(2, -1) for name in (OURS, "perplexity")})
            rows.extend(_sweeps(settings, ensemble, runs, pool, others, groups))

    rates = torch.tensor([rate for *_, rate in runs], device=device)
    after = {step: (lambda step=step: look(step)) for step in settings.moments}
    train_together(ensemble, [own for _, _, own, _ in runs], rates, max(settings.moments), settings.batch, seed, after)
    rows += _lengths(settings, ensemble, seen, count, slowest=int(rates.argmin()))
    rows += _areas("untrained", 0, _scores(untrained, seen, documents), count)
    for width in settings.widths:
        if width != settings.width:
            alone = _ensemble(documents, width, 1, seed).to(device)
            rate = torch.tensor([settings.rate], device=device)
            train_together(alone, [pool[:count]], rate, settings.at, settings.batch, seed, {})
            rows += _pair("width", width, _logps(alone, seen)[0], count)
    rows += [
        {**row, "sweep": "width", "level": float(settings.width)}
        for row in rows
        if row["sweep"] == "moment" and row["level"] == settings.at and row["score"] in (OURS, "perplexity")
    ]
    return Replicate(pd.DataFrame(rows), kept)


def _ensemble(documents: Documents, width: int, models: int, seed: int) -> TinyGPTEnsemble:
    torch.manual_seed(seed)
    return TinyGPTEnsemble(TinyGPT(documents.vocab_size, width, max_len=documents.length), models)


@torch.no_grad()
def _scores(ensemble: TinyGPTEnsemble, ids: Tensor, documents: Documents) -> dict[str, np.ndarray]:
    """Scores of the first model, with the second as reference (or, alone, with itself)."""
    low = documents.lowercase(ids)
    logits, of_low = ensemble(ids), ensemble(low)
    return all_scores(logits[0], ids, documents.texts(ids), low, of_low[0], logits[min(1, len(logits) - 1)])


@torch.no_grad()
def _logps(ensemble: TinyGPTEnsemble, ids: Tensor) -> Tensor:
    return torch.stack([token_logps(one, ids) for one in ensemble(ids)])


def _areas(sweep: str, level: float, scores: dict[str, np.ndarray], members: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name, values in scores.items():
        area = membership_auc(values[:members], values[members:])
        found = tpr_at_fpr(values[:members], values[members:])
        rows.append({"sweep": sweep, "level": float(level), "score": name, "auc": area.value, "low": area.low,
                     "high": area.high, "tpr": found})  # fmt: skip
    return rows


def _pair(sweep: str, level: float, logs: Tensor, members: int) -> list[dict[str, object]]:
    scores = {OURS: min_k_prob(logs, k=0.2), "perplexity": perplexity_score(logs)}
    return _areas(sweep, level, {name: score.double().cpu().numpy() for name, score in scores.items()}, members)


def _sweeps(
    settings: Detection,
    ensemble: TinyGPTEnsemble,
    runs: list[tuple[str, float, Tensor, float]],
    pool: Tensor,
    others: Tensor,
    groups: tuple[Tensor, ...],
) -> list[dict[str, object]]:
    """Areas along learning rates, numbers of documents and copies in a stream."""
    rows: list[dict[str, object]] = []
    members = {
        number: min(settings.documents, int(size)) for number, (kind, size, *_) in enumerate(runs) if kind == "size"
    }
    logs = _logps(ensemble, torch.cat([pool[: settings.documents], others, *groups]))
    of_others = slice(settings.documents, settings.documents + len(others))
    for number, (kind, level, *_) in enumerate(runs):
        count = members.get(number, settings.documents)
        both = torch.cat([logs[number, :count], logs[number, of_others]])
        if kind == "base":
            rows += _pair("rate", settings.rate, both, count) + _pair("size", settings.documents, both, count)
        elif kind in ("rate", "size"):
            rows += _pair(kind, level, both, count)
        elif kind == "copies":
            for place, copies in enumerate(settings.copies):
                first = of_others.stop + place * settings.inserted
                group = logs[number, first : first + settings.inserted]
                rows += _pair("copies", copies, torch.cat([group, logs[number, of_others]]), len(group))
    return rows


def _lengths(
    settings: Detection, ensemble: TinyGPTEnsemble, seen: Tensor, count: int, slowest: int
) -> list[dict[str, object]]:
    """Areas from the first sentences only, by the model that learnt slowest: it does not know all by heart."""
    logs = _logps(ensemble, seen)[slowest]
    per_sentence = logs.shape[1] // settings.sentences
    return [
        row
        for sentences in range(1, settings.sentences + 1)
        for row in _pair("length", sentences * per_sentence, logs[:, : sentences * per_sentence], count)
    ]


def _books(
    settings: Detection, scores: dict[str, np.ndarray], count: int, rng: np.random.Generator
) -> list[dict[str, object]]:
    """A threshold from half of the books; on the other half, the area of snippets and that of shares over it."""
    values = torch.tensor(scores[OURS])
    inside = values[:count][torch.tensor(rng.permutation(count))].view(settings.books, -1)
    outside = values[count:][torch.tensor(rng.permutation(count))].view(settings.books, -1)
    half = settings.books // 2
    known = torch.cat([inside[:half].flatten(), outside[:half].flatten()])
    labels = torch.arange(len(known)) < len(known) // 2
    detector = MembershipDetector(k=0.2).fit_threshold(known, labels)
    shares = [
        detector.predict(part.flatten()).view(part.shape).double().mean(1).numpy()
        for part in (inside[half:], outside[half:])
    ]
    rows = []
    for name, (members, rest) in {
        "book": tuple(shares),
        "snippet": (inside[half:].flatten().numpy(), outside[half:].flatten().numpy()),
    }.items():
        area = membership_auc(members, rest)
        rows.append({"sweep": "books", "level": 0.0, "score": name, "auc": area.value, "low": area.low,
                     "high": area.high, "tpr": tpr_at_fpr(members, rest)})  # fmt: skip
    return rows


# english ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class English:
    """Passages of ``length`` characters; scores are of passages that nobody saw, too."""

    passages: int = 96
    length: int = 64
    vocabulary: int = 64
    width: int = 32
    rate: float = 0.01
    batch: int = 16
    moments: tuple[int, ...] = (25, 50, 75, 100)


def simulate_english(settings: English, seed: int, device: str) -> pd.DataFrame:
    """Areas of every score at every moment, on real prose."""
    rng = np.random.default_rng(seed)
    text = _prose()
    tokenizer = CharTokenizer.of_text(text, settings.vocabulary)
    starts = rng.permutation(len(text) // settings.length - 1)[: 3 * settings.passages] * settings.length
    passages = [text[start : start + settings.length] for start in starts.tolist()]
    ids = torch.stack([tokenizer.encode(passage) for passage in passages]).to(device)
    low = torch.stack([tokenizer.encode(passage.lower()) for passage in passages]).to(device)
    members, reference = ids[: settings.passages], ids[2 * settings.passages :]
    seen = slice(0, 2 * settings.passages)
    torch.manual_seed(seed)
    ensemble = TinyGPTEnsemble(TinyGPT(len(tokenizer), settings.width, max_len=settings.length), 2).to(device)
    rows: list[dict[str, object]] = []

    @torch.no_grad()
    def look(step: int) -> None:
        logits, of_low = ensemble(ids[seen]), ensemble(low[seen])
        scores = all_scores(logits[0], ids[seen], passages[seen], low[seen], of_low[0], logits[1])
        rows.extend(_areas("moment", step, scores, settings.passages))

    look(0)
    after = {step: (lambda step=step: look(step)) for step in settings.moments}
    rates = torch.full((2,), settings.rate, device=device)
    train_together(ensemble, [members, reference], rates, max(settings.moments), settings.batch, seed, after)
    return pd.DataFrame(rows)


@cache
def _prose() -> str:
    return documentation_text(keep_case=True)


# audit ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Audit:
    """A tenth of the authors to forget, against as many whom no model has seen."""

    authors: int = 50
    width: int = 64
    steps: int = 250
    fraction: float = 0.1


def simulate_audit(settings: Audit, seed: int, device: str) -> pd.DataFrame:
    """Areas between facts to forget and facts that nobody learnt, by models with and without the former."""
    world = FictionalAuthors(settings.authors, seed=seed)
    sets = {name: part.to(device) for name, part in world.eval_sets(settings.fraction).items()}
    rows: list[dict[str, object]] = []
    for name, without in (("original", None), ("retrained", settings.fraction)):
        training = AuthorTraining(without, settings.authors, d_model=settings.width, steps=settings.steps)
        model = author_model(training, seed, device)
        values = []
        for part in ("forget", "holdout"):
            texts = sets[part].trained.flat()
            with torch.no_grad():
                values.append(min_k_prob(token_logps(model(texts.ids), texts.ids), texts.mask, k=0.2).cpu().numpy())
        area = membership_auc(*values)
        rows.append({"model": name, "auc": area.value, "low": area.low, "high": area.high, "tpr": tpr_at_fpr(*values)})
    return pd.DataFrame(rows)


EXPERIMENTS = [
    Experiment(
        "identities", simulate_identities, quick=Identities(), full=Identities(2000, 200), tiny=Identities(5),
    ),
    Experiment(
        "detection", simulate_detection, quick=Detection(),
        full=Detection(
            documents=512, sentences=8, width=64, rate=0.003, batch=32, moments=(150, 250, 350, 450), at=350,
            rates=(0.00075, 0.0015, 0.003, 0.006), sizes=(256, 512, 1024, 2048), widths=(16, 32, 64, 128),
            background=512, inserted=128, books=64,
        ),
        tiny=Detection(
            documents=16, sentences=2, width=8, moments=(2, 3), at=3, rates=(0.003, 0.006), sizes=(8, 16),
            widths=(4, 8), copies=(1, 2), background=8, inserted=4, books=4,
        ),
    ),
    Experiment(
        "english", simulate_english, quick=English(),
        full=English(512, 128, 96, width=128, rate=0.003, batch=32, moments=(100, 200, 300, 400)),
        tiny=English(passages=8, length=16, width=8, moments=(1, 2)),
    ),
    Experiment(
        "audit", simulate_audit, quick=Audit(), full=Audit(400, width=128, steps=2500),
        tiny=Audit(10, width=8, steps=2, fraction=0.2),
    ),
]  # fmt: skip


# claims -----------------------------------------------------------------------------------------

_REGIME = (0.6, 0.95)


def _judge_identities(table: pd.DataFrame) -> Verdict:
    return statistics.identity(
        table[["programme", "mean", "minimum", "falls", "reordered"]].max(axis=1),
        "largest error against a linear programme, the two limits, the order by k and a reversed text",
        tolerance=1e-8,
    )


def _informative(table: pd.DataFrame) -> pd.DataFrame:
    """Areas by replicate and moment (rows) and score, at the moments where perplexity is neither blind nor perfect."""
    areas = table[table["sweep"] == "moment"].pivot_table(index=["replicate", "level"], columns="score", values="auc")
    return areas[areas["perplexity"].between(*_REGIME)]


def _judge_better(first: str, second: str):
    def judge(table: pd.DataFrame) -> Verdict:
        areas = _informative(table)
        gains = (areas[first] - areas[second]).groupby("replicate").mean()
        compared = f"AUC of {first} less that of {second}, where perplexity has {_REGIME[0]} to {_REGIME[1]}"
        return statistics.trend(gains, compared, above=0.0)

    return judge


def _judge_share(table: pd.DataFrame) -> Verdict:
    return statistics.all_of([_judge_better(OURS, other)(table) for other in ("min 0.5", "min 1")])


def _judge_grows(sweep: str, *, falls: bool = False):
    def judge(table: pd.DataFrame) -> Verdict:
        rows = table[(table["sweep"] == sweep) & (table["score"] == OURS)]
        means = rows.groupby(["replicate", "level"])["auc"].mean().unstack("level")
        rho = means.T.reset_index().corr("spearman")["level"].drop("level") * (-1 if falls else 1)
        along = "minus " if falls else ""
        return statistics.trend(rho, f"{along}Spearman's rho of AUC and {sweep} over its levels", above=0.8)

    return judge


def _judge_books(table: pd.DataFrame) -> Verdict:
    gains = statistics.paired(table[table["sweep"] == "books"], "auc", "score", "book", "snippet")
    return statistics.trend(gains, "AUC of shares of snippets over the threshold less that of snippets", above=0.0)


def _judge_blind(sweep: str, level: float):
    def judge(table: pd.DataFrame) -> Verdict:
        rows = table[(table["sweep"] == sweep) & (table["level"] == level)]
        areas = rows.groupby(["replicate", "score"])["auc"].mean().unstack("score")
        return statistics.all_of(
            [
                statistics.within(areas[name], f"AUC of {name} by a model without training", low=0.4, high=0.6)
                for name in (OURS, "perplexity", "zlib")
            ]
        )

    return judge


def _judge_audit(table: pd.DataFrame) -> Verdict:
    areas = table.groupby(["replicate", "model"])["auc"].mean().unstack("model")
    return statistics.all_of(
        [
            statistics.trend(areas["original"], "AUC of facts to forget by the model that knows them", above=0.9),
            statistics.within(areas["retrained"], "AUC by the model that never saw them", low=0.3, high=0.7),
        ]
    )


def _identities_example() -> pd.DataFrame:
    errors = dict.fromkeys(("programme", "mean", "minimum", "falls", "reordered"), 1e-15)
    return pd.DataFrame([{"replicate": 0, "tokens": 9, "k": 0.2, "scale": 3.0, **errors}])


def _example(levels: tuple[float, ...] = (45, 65, 85)) -> pd.DataFrame:
    """Areas as the paper would have them."""
    rows = []
    for replicate in range(5):
        for number, level in enumerate(levels):
            base = 0.65 + 0.08 * number + 0.002 * replicate
            of_k = {f"min {k:g}": base + 0.08 - 0.1 * abs(k - 0.2) for k in SHARES}
            others = {
                "perplexity": base,
                "zlib": base,
                "lowercase": base - 0.03,
                "min-k++": base,
                "reference": base + 0.02,
            }
            rows += [(replicate, "moment", level, name, auc) for name, auc in {**of_k, **others}.items()]
        for sweep, sign in (("rate", 1), ("size", -1), ("width", 1), ("copies", 1), ("length", 1)):
            rows += [(replicate, sweep, 2.0**i, OURS, 0.7 + 0.05 * sign * i) for i in range(4)]
        rows += [(replicate, "books", 0.0, "book", 0.9), (replicate, "books", 0.0, "snippet", 0.7 + 0.002 * replicate)]
        for name in (OURS, "perplexity", "zlib"):
            rows += [(replicate, "untrained", 0.0, name, 0.49 + 0.005 * replicate)]
            rows += [(replicate, "moment", 0.0, name, 0.49 + 0.005 * replicate)] if 0 not in levels else []
    return pd.DataFrame(rows, columns=["replicate", "sweep", "level", "score", "auc"])


def _audit_example() -> pd.DataFrame:
    rows = [(r, m, a + 0.004 * r) for r in range(5) for m, a in (("original", 0.97), ("retrained", 0.5))]
    return pd.DataFrame(rows, columns=["replicate", "model", "auc"])


def _exchanged(first: str, second: str):
    return lambda table: exchange(table, "score", first, second)


def _reversed(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(auc=1 - table["auc"])


def _sees_everything(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(auc=table["auc"] + 0.3)


def _rival(id: str, other: str, statement: str, experiment: str = "detection", first: str = OURS) -> Claim:
    return Claim(
        id, experiment, "trend", "comparison with baselines", statement, _judge_better(first, other), _example,
        _exchanged(first, other),
    )  # fmt: skip


def _sweep(id: str, sweep: str, statement: str, *, falls: bool = False) -> Claim:
    return Claim(
        id, "detection", "trend", "what makes detection easy", statement, _judge_grows(sweep, falls=falls), _example,
        _reversed,
    )  # fmt: skip


CLAIMS = [
    Claim(
        "C1", "identities", "identity", "definition of Min-K%, dual form derived here",
        "Min-K% is a linear programme over bounded weights, the mean at k = 1, the minimum as k falls; it grows with k "
        "and ignores the order of tokens.",
        _judge_identities, _identities_example, lambda t: t.assign(programme=t["scale"]),
    ),
    Claim(
        "C2", "detection", "trend", "main table",
        "Where perplexity is neither blind nor perfect, Min-20% separates members better.",
        _judge_better(OURS, "perplexity"), _example, _exchanged(OURS, "perplexity"), paper_value="0.72 against 0.67",
    ),
    Claim(
        "C2b", "english", "trend", "main table, on real prose in characters",
        "The same on passages of a manual, of which members and others are a random half each.",
        _judge_better(OURS, "perplexity"), _example, _exchanged(OURS, "perplexity"), paper_value="0.72 against 0.67",
    ),
    _rival("C3a", "zlib", "Min-20% separates better than perplexity per compressed byte."),
    _rival("C3b", "lowercase", "Min-20% separates better than the loss by lower case."),
    _rival("C3c", "min-k++", "Min-20% separates better than its successor, which standardises tokens."),
    _rival("C3d", "reference", "Min-20% separates better than a reference model that knows the documents' law."),
    _rival("C3e", "zlib", "On real prose, Min-20% separates better than perplexity per compressed byte.", "english"),
    _rival("C3f", "lowercase", "On real prose, Min-20% separates better than the loss by lower case.", "english"),
    Claim(
        "C4", "detection", "trend", "sweep over k",
        "k = 0.2 separates better than k = 0.5 and k = 1.",
        _judge_share, _example, _exchanged(OURS, "min 1"), paper_value="best k = 0.2 of 0.1 … 0.5",
    ),
    Claim(
        "C4b", "english", "trend", "sweep over k, on real prose in characters",
        "k = 0.2 separates better than k = 0.5 and k = 1.",
        _judge_share, _example, _exchanged(OURS, "min 1"), paper_value="best k = 0.2 of 0.1 … 0.5",
    ),
    _sweep("C5a", "length", "Longer texts are easier to detect."),
    _sweep("C5b", "width", "Larger models are easier to detect from."),
    _sweep("C5c", "moment", "Texts that were seen more often are easier to detect."),
    _sweep("C5d", "rate", "A larger learning rate makes texts easier to detect."),
    _sweep("C5e", "size", "Among more training texts each is harder to detect.", falls=True),
    _sweep("C6a", "copies", "Test items are the easier to detect the more copies of them were in the stream."),
    Claim(
        "C6b", "detection", "trend", "books",
        "A book's share of snippets over a threshold, fitted on other books, separates better than single snippets do.",
        _judge_books, _example, _exchanged("book", "snippet"), paper_value="0.88 on books",
    ),
    Claim(
        "C7", "audit", "trend", "audit of unlearning",
        "Min-20% finds the facts to forget in the model that knows them, and not in one trained without them.",
        _judge_audit, _audit_example, lambda t: exchange(t, "model", "original", "retrained"),
    ),
    Claim(
        "C8", "detection", "trend", "control: nothing was learnt",
        "By a model without training no score tells members of the same law from others.",
        _judge_blind("untrained", 0.0), _example, _sees_everything,
    ),
    Claim(
        "C8b", "english", "trend", "control: nothing was learnt, on real prose",
        "By a model without training no score tells members from others.",
        _judge_blind("moment", 0.0), _example, _sees_everything,
    ),
]  # fmt: skip
