"""Characters or words as tokens, and the text that every Python interpreter brings along.

The text is the language reference that ``help()`` shows (``pydoc_data.topics``, standard library): 450,000 characters
of English prose and code. It differs a little between versions of Python.

    text = documentation_text()
    tokenizer = CharTokenizer.of_text(text, size=48)         # the 47 most frequent characters; id 0 is every other
    ids = tokenizer.encode(text)
    WordTokenizer(["<bos>", "a", "fact"]).encode("<bos> a fact")
"""

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from neural.validation import class_indices, indices, whole_number

__all__ = ["CharTokenizer", "WordTokenizer", "documentation_text"]


class CharTokenizer:
    """One id per character of ``vocabulary``, in its order.

    With ``unknown`` (a character) id 0 stands for every other character, and decodes to it; without, a text with
    another character raises ``KeyError`` with that character. Raises ``ValueError`` for an empty vocabulary, entries
    that are not single characters, or one that is there twice.

    >>> tokenizer = CharTokenizer("abc")
    >>> tokenizer.encode("cab"), tokenizer.decode(torch.tensor([2, 0]))
    (tensor([2, 0, 1]), 'ca')
    """

    def __init__(self, vocabulary: Iterable[str], unknown: str | None = None) -> None:
        characters = list(vocabulary) if isinstance(vocabulary, Iterable) else []
        if not characters or any(not isinstance(c, str) or len(c) != 1 for c in characters):
            raise ValueError(f"vocabulary must consist of at least one single character, got {vocabulary!r:.60}")
        if unknown is not None and (not isinstance(unknown, str) or len(unknown) != 1):
            raise ValueError(f"unknown must be a single character, got {unknown!r}")
        self.characters = tuple(characters if unknown is None else [unknown, *characters])
        if len(set(self.characters)) < len(self.characters):
            raise ValueError("vocabulary must hold every character once, and not the unknown one")
        self.unknown = unknown
        self._ids = {character: number for number, character in enumerate(self.characters)}

    @classmethod
    def of_text(cls, text: str, size: int) -> "CharTokenizer":
        """The ``size − 1`` most frequent characters of a text (ties in their order); all others become ``�``.

        Raises ``ValueError`` for an empty text or a size below 2.
        """
        whole_number("size", size, 2)
        if not isinstance(text, str) or not text:
            raise ValueError(f"text must be a non-empty string, got {text!r:.60}")
        counts = Counter(text)
        counts.pop("�", None)
        frequent = sorted(counts, key=lambda character: (-counts[character], character))
        return cls(frequent[: size - 1], unknown="�")

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> Int[Tensor, " tokens"]:
        """Ids of the characters of a text, int64."""
        if not isinstance(text, str):
            raise ValueError(f"text must be a string, got {type(text).__name__}")
        # Every different character is looked up once.
        points = torch.tensor(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.int32).astype(np.int64))
        different, places = points.unique(return_inverse=True)
        if self.unknown is None:
            found = [self._ids[chr(point)] for point in different.tolist()]
        else:
            found = [self._ids.get(chr(point), 0) for point in different.tolist()]
        return torch.tensor(found, dtype=torch.long)[places]

    def decode(self, ids: Int[Tensor, " tokens"]) -> str:
        """The text of a vector of ids. Raises ``ValueError`` for ids beyond the vocabulary."""
        indices("ids", ids)
        flat = ids.cpu()
        class_indices("ids", flat, flat.numel() if flat.ndim == 1 else -1, len(self))
        return "".join(self.characters[number] for number in flat.tolist())


class WordTokenizer:
    """One id per word of ``vocab``, in its order; words of a text stand between spaces.

    A text with another word raises ``KeyError`` with that word. Raises ``ValueError`` for an empty vocabulary, entries
    that are not words without white space, or one that is there twice.

    >>> tokenizer = WordTokenizer(["the", "sky", "is"])
    >>> tokenizer.encode("the sky is"), tokenizer.decode(torch.tensor([2, 1]))
    (tensor([0, 1, 2]), 'is sky')
    """

    def __init__(self, vocab: Iterable[str]) -> None:
        words = list(vocab) if isinstance(vocab, Iterable) and not isinstance(vocab, str) else []
        if not words or any(not isinstance(word, str) or word.split() != [word] for word in words):
            raise ValueError(f"vocab must consist of at least one word without white space, got {vocab!r:.60}")
        if len(set(words)) < len(words):
            raise ValueError("vocab must hold every word once")
        self.words = tuple(words)
        self._ids = {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, text: str) -> Int[Tensor, " tokens"]:
        """Ids of the words of a text, int64."""
        if not isinstance(text, str):
            raise ValueError(f"text must be a string, got {type(text).__name__}")
        return torch.tensor([self._ids[word] for word in text.split()], dtype=torch.long)

    def decode(self, ids: Int[Tensor, " tokens"]) -> str:
        """The words of a vector of ids, with a space between. Raises ``ValueError`` for ids beyond the vocabulary."""
        indices("ids", ids)
        flat = ids.cpu()
        class_indices("ids", flat, flat.numel() if flat.ndim == 1 else -1, len(self))
        return " ".join(self.words[number] for number in flat.tolist())


def documentation_text(keep_case: bool = False) -> str:
    """The language reference in lower case or as it is written, with every run of white space as one space.

    >>> "assignment statements" in documentation_text()
    True
    """
    from pydoc_data.topics import topics

    text = re.sub(r"\s+", " ", "\n".join(topics[name] for name in sorted(topics)))
    return text if keep_case else text.lower()
