"""Continuations of prompts, sampled or greedy.

    new = sample(model, prompts, n_new=12, temperature=1.0, generator=torch.Generator().manual_seed(0))   # (batch, 12)
    answers = sample(model, prompts, n_new=7, temperature=0.0)                                            # greedy
    until(answers, end)                                      # bool: the tokens before each row's first ``end``

A ``TinyGPT`` keeps the keys and values of what it has read, so that every new token costs one position; any other
module is called on the whole text for each token, with its logits taken from ``.logits`` where there is one. An
ensemble continues every prompt with each of its models.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from neural.tiny_lm.ensemble import TinyGPTEnsemble
from neural.tiny_lm.model import TinyGPT
from neural.validation import at_least, class_indices, indices, whole_number

__all__ = ["sample", "until"]


@torch.no_grad()
def sample(
    model: nn.Module,
    prefix_ids: Int[Tensor, "batch tokens"] | Int[Tensor, "models batch tokens"],
    n_new: int,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    top_k: int | None = None,
) -> Int[Tensor, "batch new"] | Int[Tensor, "models batch new"]:
    """``n_new`` tokens after each prompt, one by one from ``softmax(logits / temperature)``; 0 takes the likeliest.

    All prompts have one length. ``top_k`` keeps the k likeliest tokens and whatever ties with the last of them. The
    ``generator`` has to live where the logits do. With a ``TinyGPTEnsemble`` the answer has a leading axis of models,
    and the prompts may have one. Raises ``ValueError`` for prompts that are not whole numbers of shape (batch, tokens),
    numbers out of range, or what the model raises.

    >>> sample(TinyGPT(5, d_model=8), torch.tensor([[1, 2], [3, 4]]), n_new=3, temperature=0.0).shape
    torch.Size([2, 3])
    """
    indices("prefix_ids", prefix_ids)
    together = isinstance(model, TinyGPTEnsemble)
    if prefix_ids.numel() == 0 or prefix_ids.ndim not in ((2, 3) if together else (2,)):
        raise ValueError(f"prefix_ids must have shape (batch ≥ 1, tokens ≥ 1), got {tuple(prefix_ids.shape)}")
    if isinstance(model, (TinyGPT, TinyGPTEnsemble)):
        class_indices("prefix_ids", prefix_ids.reshape(-1), prefix_ids.numel(), model.vocab_size)
    whole_number("n_new", n_new, 1)
    at_least("temperature", temperature, 0)
    if top_k is not None:
        whole_number("top_k", top_k, 1)
    if generator is not None and not isinstance(generator, torch.Generator):
        raise ValueError(f"generator must be a torch.Generator, got {type(generator).__name__}")
    ids = prefix_ids.long()
    if together and ids.ndim == 2:
        ids = ids.expand(model.models, *ids.shape)
    length = ids.shape[-1]
    caches: list[dict[str, Tensor]] | None = [{} for _ in model.blocks] if isinstance(model, TinyGPT) else None
    for position in range(length, length + n_new):
        if caches is None:
            found = model(ids)
            logits = (found if isinstance(found, Tensor) else found.logits)[..., -1, :]
        else:
            unread = ids if position == length else ids[:, -1:]
            logits = model(unread, caches, pos0=position - unread.shape[1])[:, -1]
        ids = torch.cat([ids, _next(logits, temperature, generator, top_k)[..., None]], dim=-1)
    return ids[..., length:]


def until(ids: Int[Tensor, "*batch tokens"], end: int) -> Bool[Tensor, "*batch tokens"]:
    """True for the tokens before the first ``end`` of each row.

    Raises ``ValueError`` for ids that are not whole numbers or an ``end`` below 0.

    >>> until(torch.tensor([[5, 7, 0, 7]]), end=0)
    tensor([[ True,  True, False, False]])
    """
    indices("ids", ids)
    if ids.ndim == 0:
        raise ValueError("ids must have at least one axis, got a single number")
    whole_number("end", end, 0)
    return (ids == end).cumsum(-1) == 0


def _next(
    logits: Float[Tensor, "*batch vocabulary"],
    temperature: float,
    generator: torch.Generator | None,
    top_k: int | None,
) -> Int[Tensor, "*batch"]:
    if temperature == 0:
        return logits.argmax(-1)
    if top_k is not None and top_k < logits.shape[-1]:
        least = logits.topk(top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    probabilities = torch.softmax(logits / temperature, dim=-1, dtype=torch.float32)
    drawn = torch.multinomial(probabilities.flatten(0, -2), 1, generator=generator)
    return drawn.view(probabilities.shape[:-1])
