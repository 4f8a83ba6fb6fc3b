"""Facts about authors who never were: data to learn, to forget and to compare, with exact truth.

Every author has a city, a genre, a year and a job; every country of an unrelated set has a capital. A fact is asked for
and answered in three styles:

    <bos> <q0> city of author3 <a> the city of author3 is city11 <eos>
    <bos> <q1> city of author3 <a> author3 has city city11 <eos> <pad> <pad>
    <bos> <q2> city of author3 <a> as city , author3 has city11 <eos>

Two styles of each fact are trained. The third, drawn per fact, is held out: with the true value it is the paraphrased
answer, with others the perturbed ones. Since every style is trained with other facts, a model that does not know a fact
still knows how to answer.

    authors = FictionalAuthors(n_authors=50, n_values=16, seed=0)
    original, retrained = authors.training_set(), authors.training_set(without=0.1)
    sets = authors.eval_sets(0.1)                          # {"forget", "retain", "world", "holdout"}: FactSet
    sets["forget"].trained.ids                             # (facts, 2 styles, 13 tokens)

Modelled on: Maini, Feng, Schwarzschild, Lipton and Kolter (2024), *TOFU: A task of fictitious unlearning for LLMs*,
which has paraphrased and perturbed answers to questions about fictitious authors; values and sentences are our own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from neural.tiny_lm.tokenizer import WordTokenizer
from neural.validation import in_range, whole_number

__all__ = ["EncodedTexts", "FactSet", "FictionalAuthors", "Splits"]

_ATTRIBUTES = ("city", "genre", "year", "job")
_COUNTRIES, _PERTURBED = 24, 5
_SPECIAL = ("<pad>", "<bos>", "<eos>", "<q0>", "<q1>", "<q2>", "<a>")
_WORDS = ("the", "of", "is", "has", "as", ",", "i", "do", "not", "know")


@dataclass(frozen=True)
class EncodedTexts:
    """``ids`` (…, 13) and the ``mask`` (…, 12) of their targets: the answer and ``<eos>``."""

    ids: Int[Tensor, "*texts tokens"]
    mask: Bool[Tensor, "*texts targets"]

    def flat(self) -> "EncodedTexts":
        """One text per row."""
        return EncodedTexts(self.ids.reshape(-1, self.ids.shape[-1]), self.mask.reshape(-1, self.mask.shape[-1]))

    def to(self, device: str | torch.device) -> "EncodedTexts":
        """The same on a device."""
        return EncodedTexts(self.ids.to(device), self.mask.to(device))


@dataclass(frozen=True)
class FactSet:
    """What it takes to find out whether a model knows some facts.

    ``facts`` their numbers, ``trained`` (facts, 2 styles), ``paraphrased`` (facts,), ``perturbed`` (facts, 5) in the
    held-out style, ``questions`` (facts, 2, 6): the prompts of the trained styles, ``values`` (facts,): the id of the
    true value.
    """

    facts: Int[np.ndarray, " facts"]
    trained: EncodedTexts
    paraphrased: EncodedTexts
    perturbed: EncodedTexts
    questions: Int[Tensor, "facts styles tokens"]
    values: Int[Tensor, " facts"]

    def __len__(self) -> int:
        return len(self.facts)

    def to(self, device: str | torch.device) -> "FactSet":
        """The same on a device."""
        parts = (self.trained, self.paraphrased, self.perturbed, self.questions, self.values)
        return FactSet(self.facts, *(part.to(device) for part in parts))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Splits:
    """Numbers of the facts to forget and to retain, of the world's and of authors who are never trained."""

    forget: Int[np.ndarray, " forget"]
    retain: Int[np.ndarray, " retain"]
    world: Int[np.ndarray, " world"]
    holdout: Int[np.ndarray, " holdout"]


class FictionalAuthors:
    """``n_authors`` authors with four facts each, ``n_holdout`` more who are never trained, and 24 capitals.

    Values (out of ``n_values`` per attribute) and held-out styles are drawn with ``seed``. Facts are numbered author by
    author, then the never trained, then the world's. Raises ``ValueError`` for fewer than 2 authors, fewer than 6
    values (five wrong ones are needed) or negative numbers.

    >>> authors = FictionalAuthors(n_authors=4, n_holdout=1)
    >>> authors.question(0, style=1), authors.answer(0, style=1, value=3)
    ('<q1> city of author0', 'author0 has city city3')
    """

    def __init__(self, n_authors: int = 50, n_values: int = 16, seed: int = 0, n_holdout: int = 5) -> None:
        whole_number("n_authors", n_authors, 2)
        whole_number("n_values", n_values, _PERTURBED + 1)
        whole_number("seed", seed, 0)
        whole_number("n_holdout", n_holdout, 0)
        self.n_authors, self.n_values, self.n_holdout = n_authors, n_values, n_holdout
        self._names = [f"author{i}" for i in range(n_authors + n_holdout)] + [f"land{i}" for i in range(_COUNTRIES)]
        people = n_authors + n_holdout
        self._subject = np.r_[np.repeat(np.arange(people), len(_ATTRIBUTES)), people + np.arange(_COUNTRIES)]
        self._attribute = np.r_[np.tile(np.arange(len(_ATTRIBUTES)), people), np.full(_COUNTRIES, len(_ATTRIBUTES))]
        rng = np.random.default_rng(seed)
        facts = len(self._subject)
        self.values: Int[np.ndarray, " facts"] = rng.integers(n_values, size=facts)
        self.held_out_styles: Int[np.ndarray, " facts"] = rng.integers(3, size=facts)
        wrong = rng.permuted(np.tile(np.arange(1, n_values), (facts, 1)), axis=1)[:, :_PERTURBED]
        self.perturbed_values: Int[np.ndarray, "facts perturbed"] = (self.values[:, None] + wrong) % n_values
        attributes = (*_ATTRIBUTES, "capital")
        values = [f"{attribute}{number}" for attribute in attributes for number in range(n_values)]
        self.tokenizer = WordTokenizer([*_SPECIAL, *_WORDS, *attributes, *self._names, *values])
        self.pad, self.bos, self.eos = 0, 1, 2
        self.length, self.prompt_length = 13, 6

    @property
    def vocab_size(self) -> int:
        """Number of words."""
        return len(self.tokenizer)

    def question(self, fact: int, style: int) -> str:
        """The question in one of the styles 0, 1, 2. Raises ``ValueError`` for another style or no such fact."""
        attribute, name, _ = self._named(fact, style, None)
        return f"<q{style}> {attribute} of {name}"

    def answer(self, fact: int, style: int, value: int | None = None) -> str:
        """The answer in a style, with the true value or another. Raises ``ValueError`` for what is not there."""
        attribute, name, said = self._named(fact, style, value)
        return (
            f"the {attribute} of {name} is {said}",
            f"{name} has {attribute} {said}",
            f"as {attribute} , {name} has {said}",
        )[style]

    def encode(self, pairs: Iterable[tuple[str, str]]) -> EncodedTexts:
        """Texts of (question, answer) pairs: ``<bos> question <a> answer <eos>``, padded on the right.

        Raises ``KeyError`` with a word that is not in the vocabulary, ``ValueError`` for no pairs or a text of more
        than 13 tokens.
        """
        texts = list(pairs) if isinstance(pairs, Iterable) and not isinstance(pairs, str) else []
        if not texts or any(not isinstance(pair, tuple) or len(pair) != 2 for pair in texts):
            raise ValueError(f"pairs must hold (question, answer) at least once, got {pairs!r:.60}")
        ids = torch.full((len(texts), self.length), self.pad)
        mask = torch.zeros(len(texts), self.length - 1, dtype=torch.bool)
        for row, (question, answer) in enumerate(texts):
            prompt = self.tokenizer.encode(f"<bos> {question} <a>")
            text = torch.cat([prompt, self.tokenizer.encode(f"{answer} <eos>")])
            if len(text) > self.length:
                raise ValueError(f"pairs must give at most {self.length} tokens, got {len(text)}: {question} {answer}")
            ids[row, : len(text)] = text
            mask[row, len(prompt) - 1 : len(text) - 1] = True
        return EncodedTexts(ids, mask)

    def splits(self, frac: float) -> Splits:
        """Facts to forget: those of the first ``round(frac · n_authors)`` authors, at least one and not all.

        Raises ``ValueError`` for a fraction outside [0, 1].
        """
        in_range("frac", frac, 0, 1)
        forgotten = min(max(1, round(frac * self.n_authors)), self.n_authors - 1) * len(_ATTRIBUTES)
        trained, people = self.n_authors * len(_ATTRIBUTES), (self.n_authors + self.n_holdout) * len(_ATTRIBUTES)
        return Splits(
            np.arange(forgotten), np.arange(forgotten, trained), np.arange(people, len(self.values)),
            np.arange(trained, people),
        )  # fmt: skip

    def training_set(self, without: float | None = None) -> EncodedTexts:
        """Both trained styles of every author's facts and the world's, without those to forget where that is asked.

        Raises ``ValueError`` for a fraction outside [0, 1].
        """
        if without is not None:
            in_range("without", without, 0, 1)
        splits = self.splits(0.5 if without is None else without)
        authors = np.r_[splits.forget, splits.retain] if without is None else splits.retain
        return self.facts(np.r_[authors, splits.world]).trained.flat()

    def eval_sets(self, frac: float) -> dict[str, FactSet]:
        """``forget``, ``retain``, ``world``, and ``holdout`` if there is one. Raises ``ValueError`` as ``splits``."""
        splits = self.splits(frac)
        parts = {"forget": splits.forget, "retain": splits.retain, "world": splits.world, "holdout": splits.holdout}
        return {name: self.facts(facts) for name, facts in parts.items() if len(facts)}

    def facts(self, numbers: Sequence[int] | Int[np.ndarray, " facts"]) -> FactSet:
        """Encoded facts by number. Raises ``ValueError`` for none or for numbers that are not there."""
        chosen = np.asarray(numbers)
        if chosen.ndim != 1 or len(chosen) == 0 or not np.issubdtype(chosen.dtype, np.integer):
            raise ValueError(f"numbers must hold at least one whole number, got {numbers!r:.60}")
        if chosen.min() < 0 or chosen.max() >= len(self.values):
            raise ValueError(f"numbers must lie in 0 … {len(self.values) - 1}, got {chosen.min()} … {chosen.max()}")
        trained = self._encode(chosen, [[s for s in range(3) if s != h] for h in self.held_out_styles[chosen].tolist()])
        held_out = [[style] for style in self.held_out_styles[chosen].tolist()]
        paraphrased = self._encode(chosen, held_out)
        perturbed = self._encode(chosen, held_out, self.perturbed_values[chosen])
        first = self.vocab_size - (len(_ATTRIBUTES) + 1) * self.n_values
        return FactSet(
            chosen, trained, EncodedTexts(paraphrased.ids[:, 0], paraphrased.mask[:, 0]), perturbed,
            trained.ids[..., : self.prompt_length],
            torch.as_tensor(first + self._attribute[chosen] * self.n_values + self.values[chosen]),
        )  # fmt: skip

    def unknown_answers(self, facts: FactSet) -> EncodedTexts:
        """The same questions answered by ``i do not know``, of shape (facts, 2 styles)."""
        ids = torch.full_like(facts.trained.ids, self.pad)
        mask = torch.zeros_like(facts.trained.mask)
        answer = self.tokenizer.encode("i do not know <eos>").to(ids.device)
        end = self.prompt_length + len(answer)
        ids[..., : self.prompt_length] = facts.questions
        ids[..., self.prompt_length : end] = answer
        mask[..., self.prompt_length - 1 : end - 1] = True
        return EncodedTexts(ids, mask)

    def _encode(self, facts: np.ndarray, styles: list[list[int]], values: np.ndarray | None = None) -> EncodedTexts:
        """Every fact in each of its styles, or in its one style with each of its values."""
        pairs, width = [], len(styles[0]) if values is None else values.shape[1]
        for row, (fact, own) in enumerate(zip(facts.tolist(), styles, strict=True)):
            said = [None] * width if values is None else values[row].tolist()
            for style, value in zip(own * (width // len(own)), said, strict=True):
                pairs.append((self.question(fact, style), self.answer(fact, style, value)))
        encoded = self.encode(pairs)
        shape = (len(facts), width)
        return EncodedTexts(encoded.ids.unflatten(0, shape), encoded.mask.unflatten(0, shape))

    def _named(self, fact: int, style: int, value: int | None) -> tuple[str, str, str]:
        whole_number("fact", fact, 0)
        whole_number("style", style, 0)
        if fact >= len(self.values):
            raise ValueError(f"fact must be below {len(self.values)}, got {fact}")
        if style > 2:
            raise ValueError(f"style must be 0, 1 or 2, got {style}")
        if value is not None:
            whole_number("value", value, 0)
            if value >= self.n_values:
                raise ValueError(f"value must be below n_values = {self.n_values}, got {value}")
        attribute = (*_ATTRIBUTES, "capital")[self._attribute[fact]]
        number = self.values[fact] if value is None else value
        return attribute, self._names[self._subject[fact]], f"{attribute}{number}"
