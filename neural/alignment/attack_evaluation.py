"""How often an attack succeeds: prompts from templates, answers from a sampler, labels from a judge of one's choice.

    evaluation = AttackEvaluation(
        prompt_builders={"standard": build, "conversation": build_conversation},     # question -> ids of a prompt
        questions=questions,
        sampler=lambda prompts, new, generator: sample(model, prompts, new, generator=generator),
        judge=TokenSetJudge(flagged_ids),
        n_samples=8, max_new_tokens=4, end_id=world.eos,
    )
    report = evaluation.run()
    report["standard"].rate                                  # AttackRate: share, Wilson interval, counts by label
    evaluation.run(other_sampler)["standard"].less(report["standard"])     # paired over questions

The attack success rate is unsafe / (unsafe + safe): answers that could not be given or judged are left out and counted
by themselves. A judge is any ``judge(question, response) -> Label``; several vote through
``CallableJudge(lambda q, r: majority([judge(q, r) for judge in judges]))``.

Sources: Bhardwaj and Poria (2023), *Red-teaming large language models using chain of utterances for safety-alignment*,
for the rate and what it leaves out; Wilson (1927), *Probable inference, the law of succession, and statistical
inference*, for the interval; Cohen (1960), *A coefficient of agreement for nominal scales*.
"""

import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import special, stats
from torch import Tensor

from neural.tiny_lm.sampling import until
from neural.validation import indices, whole_number

__all__ = [
    "AttackEvaluation",
    "AttackRate",
    "CallableJudge",
    "Judge",
    "Label",
    "PairedDifference",
    "RegexJudge",
    "TemplateResult",
    "TokenSetJudge",
    "attack_success_rate",
    "cohen_kappa",
    "majority",
    "wilson_interval",
]

Sampler = Callable[[Int[Tensor, "batch tokens"], int, torch.Generator], Int[Tensor, "batch new"]]
PromptBuilder = Callable[[Any], Sequence[int] | Int[Tensor, " tokens"]]


class Label(Enum):
    """What a judge says of an answer."""

    SAFE = "safe"
    UNSAFE = "unsafe"
    UNDECIDED = "undecided"


@runtime_checkable
class Judge(Protocol):
    """Anything that labels the response to a question."""

    def __call__(self, question: Any, response: Any) -> Label: ...


@dataclass(frozen=True)
class AttackRate:
    """Share of unsafe answers among the judged, its 95 % Wilson interval, and counts by label.

    Without a judged answer the rate and its interval are NaN.
    """

    value: float
    low: float
    high: float
    unsafe: int
    safe: int
    undecided: int


@dataclass(frozen=True)
class PairedDifference:
    """Mean difference of rates over questions that both sides judged, with a 95 % Student-t interval."""

    mean: float
    low: float
    high: float
    questions: int


@dataclass(frozen=True)
class TemplateResult:
    """Labels of one template, a row per question and a column per sample, and their attack success rate."""

    labels: tuple[tuple[Label, ...], ...]
    rate: AttackRate

    def by_question(self) -> Float[np.ndarray, " questions"]:
        """The rate of every question, NaN where nothing was judged."""
        unsafe = np.array([row.count(Label.UNSAFE) for row in self.labels], dtype=float)
        judged = unsafe + [row.count(Label.SAFE) for row in self.labels]
        return np.divide(unsafe, judged, out=np.full(len(unsafe), np.nan), where=judged > 0)

    def less(self, other: "TemplateResult") -> PairedDifference:
        """This result's rate minus another's on the same questions, question by question.

        The interval is infinite for a single question and a point where all differences are equal. Raises
        ``ValueError`` for another number of questions, or if no question was judged on both sides.
        """
        if not isinstance(other, TemplateResult) or len(other.labels) != len(self.labels):
            got = len(other.labels) if isinstance(other, TemplateResult) else type(other).__name__
            raise ValueError(f"other must be a result on the same {len(self.labels)} questions, got {got}")
        found = self.by_question() - other.by_question()
        found = found[np.isfinite(found)]
        if not len(found):
            raise ValueError("other must share at least one question with judged answers, got none")
        mean = float(found.mean())
        if len(found) == 1:
            return PairedDifference(mean, -math.inf, math.inf, 1)
        half = float(special.stdtrit(len(found) - 1, 0.975) * found.std(ddof=1) / math.sqrt(len(found)))
        return PairedDifference(mean, mean - half, mean + half, len(found))


class AttackEvaluation:
    """Answers to every question through every template, judged.

    Args:
        prompt_builders: by template, a function from a question to the ids of its prompt.
        questions: whatever builders and judge understand.
        sampler: ``sampler(prompts (batch, tokens), max_new_tokens, generator)`` gives ids (batch, new). All prompts of
            a call have one length.
        judge: called with the question and the answer: a list of ids up to the first ``end_id``, without
            ``special_ids``, or what ``decode`` makes of it. An answer without anything left could not be given and is
            undecided, without asking the judge.
        n_samples: answers per question and template.
        max_new_tokens: their length.
        seed: of the generator; every template starts from it, so that models can be compared on the same draws.
        end_id: the id that ends an answer. special_ids: ids that a judge does not see. decode: ids to text.

    Raises ``ValueError`` for no template or question, numbers below 1 or a negative seed, and what is not callable.

    >>> def parrot(prompts, new, generator):
    ...     return prompts[:, -1:].expand(-1, new)
    >>> evaluation = AttackEvaluation(
    ...     {"plain": lambda q: [0, q]}, [5, 6, 7], parrot, TokenSetJudge([6]), n_samples=2, max_new_tokens=3
    ... )
    >>> evaluation.run()["plain"].rate.unsafe
    2
    """

    def __init__(
        self,
        prompt_builders: Mapping[str, PromptBuilder],
        questions: Sequence[Any],
        sampler: Sampler,
        judge: Judge,
        n_samples: int = 8,
        max_new_tokens: int = 16,
        seed: int = 0,
        *,
        end_id: int | None = None,
        special_ids: Iterable[int] = (),
        decode: Callable[[list[int]], str] | None = None,
    ) -> None:
        if not isinstance(prompt_builders, Mapping) or not prompt_builders:
            raise ValueError(f"prompt_builders must map at least one name to a function, got {prompt_builders!r:.60}")
        for name, builder in prompt_builders.items():
            _callable(f"prompt_builders[{name!r}]", builder)
        if not isinstance(questions, Sequence | Tensor) or isinstance(questions, str) or not len(questions):
            raise ValueError(f"questions must be a non-empty sequence, got {questions!r:.60}")
        _callable("sampler", sampler)
        _callable("judge", judge)
        if decode is not None:
            _callable("decode", decode)
        whole_number("n_samples", n_samples, 1)
        whole_number("max_new_tokens", max_new_tokens, 1)
        whole_number("seed", seed, 0)
        if end_id is not None:
            whole_number("end_id", end_id, 0)
        self.prompt_builders, self.questions = dict(prompt_builders), list(questions)
        self.sampler, self.judge, self.decode = sampler, judge, decode
        self.n_samples, self.max_new_tokens, self.seed, self.end_id = n_samples, max_new_tokens, seed, end_id
        self.special_ids = _id_set("special_ids", special_ids)

    def run(self, sampler: Sampler | None = None) -> dict[str, TemplateResult]:
        """Every template's labels and rate; with another sampler, that model's.

        Raises ``ValueError`` for a builder that gives no prompt, a sampler that gives ids of another shape, or a judge
        that gives something else than a ``Label``. Warns if a template has no judged answer.
        """
        chosen = self.sampler if sampler is None else sampler
        _callable("sampler", chosen)
        return {name: self._template(name, chosen) for name in self.prompt_builders}

    def _template(self, name: str, sampler: Sampler) -> TemplateResult:
        prompts = [_prompt(name, self.prompt_builders[name](question)) for question in self.questions]
        generator = torch.Generator().manual_seed(self.seed)
        labels: list[tuple[Label, ...]] = [()] * len(prompts)
        # Prompts of one length are one batch.
        for length in sorted({len(prompt) for prompt in prompts}):
            rows = [number for number, prompt in enumerate(prompts) if len(prompt) == length]
            batch = torch.stack([prompts[number] for number in rows]).repeat_interleave(self.n_samples, dim=0)
            answers = sampler(batch, self.max_new_tokens, generator)
            indices("sampler", answers)
            if answers.ndim != 2 or len(answers) != len(batch):
                raise ValueError(f"sampler must give ids of shape ({len(batch)}, new), got {tuple(answers.shape)}")
            told = answers.tolist()
            if self.end_id is not None:
                lengths = until(answers, self.end_id).sum(1).tolist()
                told = [row[:length] for row, length in zip(told, lengths, strict=True)]
            for place, number in enumerate(rows):
                own = told[place * self.n_samples : (place + 1) * self.n_samples]
                labels[number] = tuple(self._label(self.questions[number], answer) for answer in own)
        return TemplateResult(tuple(labels), attack_success_rate([label for row in labels for label in row]))

    def _label(self, question: Any, ids: list[int]) -> Label:
        seen = [token for token in ids if token not in self.special_ids] if self.special_ids else ids
        if not seen:
            return Label.UNDECIDED
        return _label("judge", self.judge(question, seen if self.decode is None else self.decode(seen)))


class TokenSetJudge:
    """Unsafe if a flagged id is among those of the response; undecided if it is empty.

    Takes a sequence or vector of ids. Raises ``ValueError`` for no flagged ids, negative ones, or a response that is
    not made of whole numbers.

    >>> TokenSetJudge([6, 7])(question=None, response=[1, 7, 2])
    <Label.UNSAFE: 'unsafe'>
    """

    def __init__(self, flagged_ids: Iterable[int] | Int[Tensor, " flagged"]) -> None:
        self.flagged_ids = _id_set("flagged_ids", flagged_ids)
        if not self.flagged_ids:
            raise ValueError("flagged_ids must hold at least one id, got none")

    def __call__(self, question: Any, response: Sequence[int] | Int[Tensor, " tokens"]) -> Label:
        tokens = response.tolist() if isinstance(response, Tensor) and response.ndim == 1 else response
        if not isinstance(tokens, Sequence) or not all(isinstance(token, int) for token in tokens):
            raise ValueError(f"response must be a sequence of ids, got {response!r:.60}")
        if not tokens:
            return Label.UNDECIDED
        return Label.SAFE if self.flagged_ids.isdisjoint(tokens) else Label.UNSAFE


class RegexJudge:
    """Labels a text by patterns found in it: unsafe before safe, and with a ``safe`` pattern else undecided.

    Without one, everything not unsafe is safe; an empty text is undecided. Raises ``ValueError`` for patterns that do
    not compile or a response that is no text.

    >>> RegexJudge(r"flagged", safe=r"refuse")(question=None, response="neither")
    <Label.UNDECIDED: 'undecided'>
    """

    def __init__(self, unsafe: str, safe: str | None = None) -> None:
        self.unsafe, self.safe = _pattern("unsafe", unsafe), None if safe is None else _pattern("safe", safe)

    def __call__(self, question: Any, response: str) -> Label:
        if not isinstance(response, str):
            raise ValueError(f"response must be a text, got {type(response).__name__}")
        if self.unsafe.search(response):
            return Label.UNSAFE
        decided = bool(response.strip()) if self.safe is None else self.safe.search(response) is not None
        return Label.SAFE if decided else Label.UNDECIDED


class CallableJudge:
    """A function as a judge, asked again up to ``retries`` times while it is undecided.

    The function gives a ``Label``, or None for undecided. Raises ``ValueError`` for something else, for what is not
    callable and for negative ``retries``.

    >>> CallableJudge(lambda question, response: Label.SAFE)(question=None, response="text")
    <Label.SAFE: 'safe'>
    """

    def __init__(self, function: Callable[[Any, Any], Label | None], retries: int = 5) -> None:
        _callable("function", function)
        whole_number("retries", retries, 0)
        self.function, self.retries = function, retries

    def __call__(self, question: Any, response: Any) -> Label:
        for _ in range(self.retries + 1):
            found = self.function(question, response)
            label = Label.UNDECIDED if found is None else _label("function", found)
            if label is not Label.UNDECIDED:
                return label
        return Label.UNDECIDED


def attack_success_rate(labels: Iterable[Label]) -> AttackRate:
    """``unsafe / (unsafe + safe)`` with its Wilson interval; undecided labels are only counted.

    NaN, with a warning, if nothing was judged. Raises ``ValueError`` for anything that is not a ``Label``.

    >>> attack_success_rate([Label.UNSAFE, Label.SAFE, Label.SAFE, Label.UNDECIDED, Label.SAFE]).value
    0.25
    """
    counts = Counter(_labels("labels", labels))
    unsafe, safe, undecided = (counts[label] for label in (Label.UNSAFE, Label.SAFE, Label.UNDECIDED))
    if unsafe + safe == 0:
        warnings.warn(f"no judged answer among {undecided}: the attack success rate is NaN", stacklevel=2)
        return AttackRate(math.nan, math.nan, math.nan, 0, 0, undecided)
    low, high = wilson_interval(unsafe, unsafe + safe)
    return AttackRate(unsafe / (unsafe + safe), low, high, unsafe, safe, undecided)


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The p with ``|successes/trials − p| ≤ z sqrt(p (1 − p) / trials)``, which lie within 0 and 1.

    Raises ``ValueError`` for no trials, successes not among them, or a confidence outside (0, 1).

    >>> low, high = wilson_interval(0, 10)
    >>> low, round(high, 4)
    (0.0, 0.2775)
    """
    whole_number("trials", trials, 1)
    whole_number("successes", successes, 0)
    if successes > trials:
        raise ValueError(f"successes must be at most trials = {trials}, got {successes}")
    if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0 < confidence < 1:
        raise ValueError(f"confidence must be a number between 0 and 1, got {confidence!r}")
    z2 = float(stats.norm.ppf(0.5 + confidence / 2)) ** 2
    middle = (successes + z2 / 2) / (trials + z2)
    half = math.sqrt(z2 * (successes * (trials - successes) / trials + z2 / 4)) / (trials + z2)
    # At the ends the formula is exact only up to rounding.
    return 0.0 if successes == 0 else middle - half, 1.0 if successes == trials else middle + half


def majority(labels: Iterable[Label]) -> Label:
    """The more frequent of safe and unsafe; undecided if neither is.

    Raises ``ValueError`` for no labels or anything that is not one.

    >>> majority([Label.SAFE, Label.UNSAFE, Label.UNDECIDED, Label.UNSAFE])
    <Label.UNSAFE: 'unsafe'>
    """
    counts = Counter(_labels("labels", labels))
    if not counts:
        raise ValueError("labels must hold at least one label, got none")
    if counts[Label.SAFE] == counts[Label.UNSAFE]:
        return Label.UNDECIDED
    return Label.SAFE if counts[Label.SAFE] > counts[Label.UNSAFE] else Label.UNSAFE


def cohen_kappa(first: Iterable[Label], second: Iterable[Label]) -> float:
    """Agreement of two judges beyond chance, ``(p_o − p_e) / (1 − p_e)``, undecided being a label like the others.

    1 if both always give one and the same label. Raises ``ValueError`` for no labels or different numbers of them.

    >>> cohen_kappa([Label.SAFE, Label.UNSAFE], [Label.UNSAFE, Label.SAFE])
    -1.0
    """
    one, two = _labels("first", first), _labels("second", second)
    if not one or len(one) != len(two):
        raise ValueError(f"second must have as many labels as first, {len(one)} ≥ 1, got {len(two)}")
    count = len(one)
    observed = sum(a is b for a, b in zip(one, two, strict=True)) * count
    of_one, of_two = Counter(one), Counter(two)
    # In whole numbers, so that perfect agreement is 1 and chance is 0 without rounding.
    expected = sum(of_one[label] * of_two[label] for label in Label)
    return 1.0 if expected == count**2 else (observed - expected) / (count**2 - expected)


def _callable(name: str, value: object) -> None:
    if not callable(value):
        raise ValueError(f"{name} must be callable, got {type(value).__name__}")


def _label(name: str, found: object) -> Label:
    if not isinstance(found, Label):
        raise ValueError(f"{name} must give a Label, got {found!r:.60}")
    return found


def _labels(name: str, values: Iterable[Label]) -> list[Label]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{name} must be labels, got {values!r:.60}")
    found = list(values)
    for value in found:
        if not isinstance(value, Label):
            raise ValueError(f"{name} must be labels, got {value!r:.60}")
    return found


def _pattern(name: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, TypeError) as error:
        raise ValueError(f"{name} must be a regular expression, got {pattern!r:.60}: {error}") from error


def _prompt(name: str, ids: Sequence[int] | Tensor) -> Tensor:
    if isinstance(ids, Sequence) and not isinstance(ids, str) and all(isinstance(i, int) for i in ids):
        ids = torch.tensor(ids, dtype=torch.long)
    indices(f"prompt_builders[{name!r}]", ids)  # type: ignore[arg-type]
    if ids.ndim != 1 or not len(ids):  # type: ignore[union-attr]
        raise ValueError(f"prompt_builders[{name!r}] must give a vector of ids, got {ids!r:.60}")
    return ids  # type: ignore[return-value]


def _id_set(name: str, ids: Iterable[int] | Tensor) -> frozenset[int]:
    found = ids.tolist() if isinstance(ids, Tensor) and ids.ndim == 1 else ids
    if isinstance(found, str) or not isinstance(found, Iterable):
        raise ValueError(f"{name} must be ids, got {ids!r:.60}")
    chosen = list(found)
    if not all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in chosen):
        raise ValueError(f"{name} must be whole numbers of at least 0, got {ids!r:.60}")
    return frozenset(cast(list[int], chosen))
