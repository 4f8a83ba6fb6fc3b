"""Texts that a model was or was not trained on, and every score of theirs.

Documents are made of sentences from three templates: an entity, fixed words, two adjectives by Zipf's law and a fact
drawn evenly, so that what a model cannot guess of a document it has not seen is a few words only.

    documents = Documents(sentences=4)
    ids = documents.draw(300, rng)                           # (300, 41); members and others come from one law
    train_together(ensemble, [ids[:150], …], learning_rates, steps, batch, seed, after={60: measure})
    scores = all_scores(logits, ids, texts, lowercase_logits=…, reference=…)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from neural.tiny_lm.ensemble import EnsembleAdamW, TinyGPTEnsemble
from neural.tiny_lm.logprobs import token_logps
from neural.tiny_lm.train import ensemble_token_logps
from neural.unlearning.min_k_prob import (
    lowercase_score,
    min_k_plus_plus,
    min_k_prob,
    perplexity_score,
    reference_score,
    zlib_score,
)

__all__ = ["SHARES", "Documents", "all_scores", "train_together"]

SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0)
_ENTITIES, _ADJECTIVES, _FACTS, _TEMPLATES, _FIXED = 40, 30, 60, 3, 5
_SENTENCE = 10


class Documents:
    """A law of documents of ``sentences`` ten-token sentences after a first token.

    Entities are capitalised four times in five; ``lowercase`` writes all of them small, as lower case does.
    """

    def __init__(self, sentences: int = 4) -> None:
        self.sentences, self.length = sentences, 1 + _SENTENCE * sentences
        names = [f"Entity{i}" for i in range(_ENTITIES)] + [f"entity{i}" for i in range(_ENTITIES)]
        fixed = [f"word{i}" for i in range(_TEMPLATES * _FIXED)]
        adjectives, facts = [f"adj{i}" for i in range(_ADJECTIVES)], [f"fact{i}" for i in range(_FACTS)]
        self.words = ["<bos>", ".", *names, *fixed, *adjectives, *facts]
        self.vocab_size = len(self.words)
        weights = np.arange(1, _ADJECTIVES + 1) ** -1.6
        self._zipf = weights / weights.sum()

    def draw(self, count: int, rng: np.random.Generator) -> Tensor:
        """Ids of independent documents, of shape (count, length)."""
        shape = (count, self.sentences)
        entity = 2 + rng.integers(_ENTITIES, size=shape) + _ENTITIES * (rng.random(shape) < 0.2)
        fixed = 2 + 2 * _ENTITIES + _FIXED * rng.integers(_TEMPLATES, size=shape)[..., None] + np.arange(_FIXED)
        first = 2 + 2 * _ENTITIES + _TEMPLATES * _FIXED
        adjectives = first + rng.choice(_ADJECTIVES, size=(*shape, 2), p=self._zipf)
        fact = first + _ADJECTIVES + rng.integers(_FACTS, size=shape)
        parts = [entity, fixed[..., 0], fixed[..., 1], fixed[..., 2], adjectives[..., 0], fixed[..., 3], fixed[..., 4],
                 adjectives[..., 1], fact, np.ones(shape, dtype=np.int64)]  # fmt: skip
        ids = np.stack(parts, axis=-1).reshape(count, -1)
        return torch.tensor(np.concatenate([np.zeros((count, 1), dtype=np.int64), ids], axis=1))

    def lowercase(self, ids: Tensor) -> Tensor:
        """The same documents in lower case."""
        capital = (ids >= 2) & (ids < 2 + _ENTITIES)
        return torch.where(capital, ids + _ENTITIES, ids)

    def texts(self, ids: Tensor) -> list[str]:
        """The documents as words."""
        return [" ".join(self.words[i] for i in row[1:]) for row in ids.tolist()]


def train_together(
    ensemble: TinyGPTEnsemble,
    texts: Sequence[Tensor],
    learning_rates: Tensor,
    steps: int,
    batch: int,
    seed: int,
    after: Mapping[int, Callable[[], None]],
    warmup: int = 10,
) -> None:
    """Train every model on its own texts, at a constant rate after the warm-up; ``after[step]()`` looks in between.

    Every model passes through its texts in an order of its own, and sees all of them before one twice.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = EnsembleAdamW(ensemble.parameters(), learning_rates)
    orders = [torch.empty(0, dtype=torch.long) for _ in texts]
    for step in range(1, steps + 1):
        rows = []
        for number, own in enumerate(texts):
            while len(orders[number]) < batch:
                orders[number] = torch.cat([orders[number], torch.randperm(len(own), generator=generator)])
            rows.append(own[orders[number][:batch].to(own.device)])
            orders[number] = orders[number][batch:]
        ids = torch.stack(rows)
        loss = -ensemble_token_logps(ensemble(ids), ids).mean((1, 2))
        optimizer.step(loss.sum(), scale=min(1.0, step / warmup))
        if step in after:
            after[step]()


def all_scores(
    logits: Tensor,
    ids: Tensor,
    texts: Sequence[str],
    lowercase_ids: Tensor,
    lowercase_logits: Tensor,
    reference_logits: Tensor,
) -> dict[str, np.ndarray]:
    """Every score of every text, larger for members; Min-K% for all ``SHARES``."""
    logs = token_logps(logits, ids)
    mean = perplexity_score(logs)
    found = {f"min {k:g}": min_k_prob(logs, k=k) for k in SHARES}
    found |= {
        "perplexity": mean,
        "zlib": zlib_score(-mean, texts),
        "lowercase": lowercase_score(-mean, -perplexity_score(token_logps(lowercase_logits, lowercase_ids))),
        "reference": reference_score(mean, perplexity_score(token_logps(reference_logits, ids))),
        "min-k++": min_k_plus_plus(logits, ids, k=0.2),
    }
    return {name: score.double().cpu().numpy() for name, score in found.items()}
