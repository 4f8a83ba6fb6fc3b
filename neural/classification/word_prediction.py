"""Next-word prediction on a corpus that every Python interpreter brings along, with an n-gram network.

The text is the language reference that ``help()`` shows (``pydoc_data.topics``, standard library), about 64,000 words.
It is generated with the interpreter's documentation and so differs a little from version to version: ``digest`` says
which text it was. Words are runs of letters in lower case; class 0 is every word beyond the vocabulary, and is never a
target.

    corpus = documentation_corpus(vocabulary=1000)
    train, valid, test = split_windows(corpus, order=4, seed=0)
    model = WordPredictor(len(corpus.words), context=3)
    fit(model, train, lambda o, y: F.cross_entropy(o, y), learning_rate=2e-3, epochs=2)
    topk_accuracy(model, test, ks=(1, 5, 10))

Source: Bengio, Ducharme, Vincent and Jauvin (2003), *A neural probabilistic language model*, for the network; the task
and its top-k scores as in de Brébisson and Vincent (2016), *The Z-loss*.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from neural.validation import class_indices, finite_contents, floating, in_range, positive, whole_number

__all__ = [
    "Corpus",
    "Windows",
    "WordPredictor",
    "documentation_corpus",
    "fit",
    "ranks",
    "split_windows",
    "topk_accuracy",
]

_BLOCK = 400
"""Words of running text that stay in one part of a split."""


@dataclass(frozen=True)
class Corpus:
    """Words by class (``words[0]`` stands for all others), the text as classes, and the digest of the text."""

    words: tuple[str, ...]
    classes: Int[Tensor, " tokens"]
    digest: str


@dataclass(frozen=True)
class Windows:
    """Contexts and the words that follow them."""

    contexts: Int[Tensor, "windows context"]
    targets: Int[Tensor, " windows"]

    def to(self, device: torch.device | str) -> "Windows":
        """The same windows on another device."""
        return Windows(self.contexts.to(device), self.targets.to(device))


def documentation_corpus(vocabulary: int) -> Corpus:
    """The documentation's text, with the ``vocabulary − 1`` most frequent words (ties in order of the alphabet).

    Raises ``ValueError`` for a vocabulary below 3 or above the number of different words.

    >>> documentation_corpus(500).words[:3]
    ('<other>', 'the', 'a')
    """
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics))
    tokens = re.findall(r"[a-z]+", text.lower())
    counts = sorted(Counter(tokens).items(), key=lambda item: (-item[1], item[0]))
    whole_number("vocabulary", vocabulary, 3)
    if vocabulary > len(counts) + 1:
        raise ValueError(f"vocabulary must be at most {len(counts) + 1}, the number of words, got {vocabulary}")
    words = ("<other>", *(word for word, _ in counts[: vocabulary - 1]))
    number = {word: k for k, word in enumerate(words)}
    classes = torch.tensor([number.get(token, 0) for token in tokens])
    return Corpus(words, classes, hashlib.sha256(" ".join(tokens).encode()).hexdigest())


def split_windows(
    corpus: Corpus, order: int, seed: int, *, held_out: float = 0.1, limit: int | None = None
) -> tuple[Windows, Windows, Windows]:
    """Windows of ``order`` words for training, validation and test, from disjoint blocks of running text.

    Blocks are dealt out at random; no window crosses the end of a block. ``held_out`` is the share of the blocks in
    validation, and again in test; ``limit`` keeps that many training windows. Raises ``ValueError`` for an order below
    2 or not below the block, a share outside 0.01 … 0.4, or a limit below 1.
    """
    whole_number("order", order, 2)
    whole_number("seed", seed, 0)
    in_range("held_out", held_out, 0.01, 0.4)
    if order >= _BLOCK:
        raise ValueError(f"order must be below the {_BLOCK} words of a block, got {order}")
    if limit is not None:
        whole_number("limit", limit, 1)
    blocks = corpus.classes[: len(corpus.classes) // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    generator = torch.Generator().manual_seed(seed % 2**63)
    shuffled = blocks[torch.randperm(len(blocks), generator=generator)]
    aside = max(1, round(held_out * len(blocks)))
    parts = []
    for part in (shuffled[2 * aside :], shuffled[:aside], shuffled[aside : 2 * aside]):
        windows = part.unfold(1, order, 1).reshape(-1, order)
        windows = windows[windows[:, -1] != 0]
        parts.append(Windows(windows[:, :-1].contiguous(), windows[:, -1].contiguous()))
    train, valid, test = parts
    return Windows(train.contexts[:limit], train.targets[:limit]), valid, test


class WordPredictor(nn.Module):
    """Embeddings of the context's words, side by side, through one hidden layer of ReLUs to scores of all words.

    ``hidden(contexts)`` stops before the output layer. Raises ``ValueError`` for sizes below 1 (classes below 2).
    """

    def __init__(
        self, classes: int, context: int, embedding: int = 32, width: int = 64, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        for name, value, minimum in (
            ("classes", classes, 2), ("context", context, 1), ("embedding", embedding, 1), ("width", width, 1),
        ):  # fmt: skip
            whole_number(name, value, minimum)
        self.context = context
        device = torch.device("cpu") if generator is None else generator.device
        self.embedding = nn.Embedding(classes, embedding, device=device)
        self.below = nn.Linear(context * embedding, width, device=device)
        self.output = nn.Linear(width, classes, device=device)
        with torch.no_grad():
            self.embedding.weight.normal_(0, 0.3, generator=generator)
            for layer in (self.below, self.output):
                limit = layer.in_features**-0.5
                layer.weight.uniform_(-limit, limit, generator=generator)
                layer.bias.zero_()

    def hidden(self, contexts: Int[Tensor, "batch context"]) -> Float[Tensor, "batch width"]:
        """What the output layer sees."""
        if (
            not isinstance(contexts, Tensor)
            or contexts.ndim != 2
            or contexts.shape[1] != self.context
            or not len(contexts)
        ):
            got = tuple(contexts.shape) if isinstance(contexts, Tensor) else type(contexts).__name__
            raise ValueError(f"contexts must have shape (batch ≥ 1, {self.context}), got {got}")
        class_indices("contexts", contexts.reshape(-1), contexts.numel(), self.embedding.num_embeddings)
        return self.below(self.embedding(contexts).flatten(1)).relu()

    def forward(self, contexts: Int[Tensor, "batch context"]) -> Float[Tensor, "batch classes"]:
        return self.output(self.hidden(contexts))


def fit(
    model: WordPredictor,
    windows: Windows,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    learning_rate: float,
    epochs: int = 2,
    batch_size: int = 128,
    seed: int = 0,
) -> None:
    """Train with Adam, whose rate falls linearly to 0; the order of the batches depends on ``seed`` alone.

    ``loss(scores, targets)`` is a mean over the batch. Raises ``ValueError`` for numbers out of range.
    """
    positive("learning_rate", learning_rate)
    for name, value, minimum in (("epochs", epochs, 1), ("batch_size", batch_size, 1), ("seed", seed, 0)):
        whole_number(name, value, minimum)
    count = len(windows.targets)
    per_epoch = -(-count // batch_size)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1.0 / (epochs * per_epoch), epochs * per_epoch)
    generator = torch.Generator().manual_seed(seed % 2**63)
    for _ in range(epochs):
        for chosen in torch.randperm(count, generator=generator).to(windows.targets.device).split(batch_size):
            optimizer.zero_grad()
            loss(model(windows.contexts[chosen]), windows.targets[chosen]).backward()
            optimizer.step()
            schedule.step()


def ranks(scores: Float[Tensor, "batch classes"], targets: Int[Tensor, " batch"]) -> Int[Tensor, " batch"]:
    """How many classes score at least as high as the target, itself included: ties count against it.

    Raises ``ValueError`` for shapes that do not fit, and on CPU for scores that are not finite or targets out of range.

    >>> ranks(torch.tensor([[3.0, 1.0, 3.0]]), torch.tensor([0]))
    tensor([2])
    """
    floating("scores", scores, 2)
    finite_contents("scores", scores)
    class_indices("targets", targets, len(scores), scores.shape[1])
    return (scores >= scores.gather(1, targets[:, None])).sum(dim=1)


@torch.no_grad()
def topk_accuracy(
    model: WordPredictor, windows: Windows, ks: Sequence[int], link: Callable[[Tensor], Tensor] | None = None
) -> dict[int, float]:
    """Share of the windows whose target is among the k highest scores, for every k.

    ``link`` turns the model's outputs into what ranks the classes, where that is not the outputs themselves: a loss
    that squares them, such as log-spherical softmax, does not care about their sign. Raises ``ValueError`` for k < 1.
    """
    for k in ks:
        whole_number("ks", k, 1)
    found = torch.cat(
        [
            ranks(model(contexts) if link is None else link(model(contexts)), targets)
            for contexts, targets in zip(windows.contexts.split(1024), windows.targets.split(1024), strict=True)
        ]
    )
    return {k: float((found <= k).double().mean()) for k in ks}
