"""Unlearning from logit difference (ULD): an assistant learns what is to be forgotten and is subtracted.

    z = z_target − α z_assistant,      L_assistant = CE(forget) + λ KL(uniform ‖ assistant) on the rest

The target's weights never change. Both parts of the assistant's loss are bounded below by 0, where gradient ascent has
no bound: remembering a little is easier than forgetting a little.

    assistant = truncate_layers(target, 1)                                     # a copy of its first block(s)
    loss = assistant_loss(token_logps(assistant(forget), forget), forget_mask, assistant(retain), retain_mask)
    unlearned = LogitDifferenceLM(target, assistant, alpha=0.8)
    unlearned(ids); unlearned.generate(prompts, n_new=7)

A constant added to all logits of a position changes nothing, since log-probabilities are combined. The filter of
*relative top* keeps only words that the target itself finds likely enough; ``mode="exclude"`` (ours) takes the others
out, in scores and in generation alike, ``mode="zero"`` keeps the target's logit for them, as public code does in
scores. Both models need one vocabulary; only its size can be checked here.

Sources: Ji, Liu, Zhang, Liu, Kompella, Liu and Chang (2024), *Reversing the forget–retain objectives: an efficient LLM
unlearning framework from logit difference*; for the filter Li et al. (2023), *Contrastive decoding*.
"""

import copy
import math
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from neural.tiny_lm.model import TinyGPT
from neural.tiny_lm.sampling import sample
from neural.validation import at_least, finite_contents, floating, in_range, one_of, positive, whole_number

__all__ = [
    "LogitDifferenceLM",
    "assistant_loss",
    "logit_difference",
    "relative_top_mask",
    "truncate_layers",
    "uniform_loss",
]

Logits = Float[Tensor, "*batch vocabulary"]
Mode = Literal["exclude", "zero"]


def logit_difference(
    target_logits: Logits,
    assistant_logits: Logits,
    alpha: float = 0.8,
    relative_top: float | None = None,
    mode: Mode = "exclude",
) -> Logits:
    """``log_softmax(target) − alpha · log_softmax(assistant)``, filtered by ``relative_top_mask`` if that is given.

    Words that the filter drops get −∞ (``exclude``) or the target's log-probability alone (``zero``). NaN logits stay
    NaN. Raises ``ValueError`` for another vocabulary, shapes that differ, alpha below 0, or ``relative_top`` outside
    (0, 1).

    >>> target = torch.tensor([[2.0, 0.0]])
    >>> torch.softmax(logit_difference(target, target, alpha=1.0), dim=-1)
    tensor([[0.5000, 0.5000]])
    """
    floating("target_logits", target_logits)
    floating("assistant_logits", assistant_logits)
    if target_logits.ndim == 0 or target_logits.shape != assistant_logits.shape:
        raise ValueError(
            f"assistant_logits must have shape {tuple(target_logits.shape)}, as target_logits, got "
            f"{tuple(assistant_logits.shape)}: both models need one vocabulary"
        )
    at_least("alpha", alpha, 0)
    one_of("mode", mode, ("exclude", "zero"))
    target, assistant = (_log_probs(logits) for logits in (target_logits, assistant_logits))
    difference = target - alpha * assistant
    if relative_top is None:
        return difference
    dropped = ~relative_top_mask(target_logits, relative_top)
    return difference.masked_fill(dropped, -math.inf) if mode == "exclude" else torch.where(dropped, target, difference)


def relative_top_mask(logits: Logits, relative_top: float) -> Bool[Tensor, "*batch vocabulary"]:
    """True for words whose probability is at least ``relative_top`` times the largest, and for the likeliest ones.

    These are the ``max(1, ⌊relative_top · V⌋)`` likeliest; public code takes the least likely word for the threshold,
    and so filters nothing, where ``relative_top · V`` is below 1. Raises ``ValueError`` for ``relative_top`` outside
    (0, 1).

    >>> relative_top_mask(torch.log(torch.tensor([0.7, 0.2, 0.09, 0.01])), 0.25)
    tensor([ True,  True, False, False])
    """
    floating("logits", logits)
    in_range("relative_top", relative_top, 0, 1)
    if not 0 < relative_top < 1:
        raise ValueError(f"relative_top must lie strictly between 0 and 1, got {relative_top}")
    values = _log_probs(logits)
    # Unsorted: of the likeliest words only the least and the first matter.
    highest = values.topk(max(1, int(relative_top * values.shape[-1])), dim=-1, sorted=False).values
    threshold = torch.minimum(highest.amin(-1, keepdim=True), highest.amax(-1, keepdim=True) + math.log(relative_top))
    return values >= threshold


def uniform_loss(
    logits: Float[Tensor, "batch tokens vocabulary"], mask: Bool[Tensor, "batch targets"] | None = None
) -> Float[Tensor, ""]:
    """Mean over positions of ``KL(uniform ‖ p) = −log V − mean_v log p(v)``, at least 0.

    ``mask`` is over targets, as everywhere: entry t judges the logits at position t; without it all positions but the
    last count. Raises ``ValueError`` for shapes that do not fit, a mask without a target, or (on CPU) logits that are
    not finite.

    >>> uniform_loss(torch.zeros(1, 3, 5))
    tensor(0.)
    """
    floating("logits", logits, 3)
    finite_contents("logits", logits)
    if logits.shape[1] < 2:
        raise ValueError(f"logits must have at least 2 tokens, got shape {tuple(logits.shape)}")
    divergence = -math.log(logits.shape[2]) - _log_probs(logits[:, :-1]).mean(-1)
    if mask is None:
        return divergence.mean().clamp_min(0)
    _check_mask("mask", mask, divergence, "logits")
    return (divergence.masked_fill(~mask, 0).sum() / mask.sum()).clamp_min(0)


def assistant_loss(
    forget_logps_tok: Float[Tensor, "forget targets"],
    forget_mask: Bool[Tensor, "forget targets"],
    retain_logits: Float[Tensor, "retain tokens vocabulary"],
    retain_mask: Bool[Tensor, "retain retain_targets"] | None = None,
    retain_weight: float = 5.0,
) -> Float[Tensor, ""]:
    """Mean negative log-probability of the facts to forget, plus ``retain_weight`` times ``uniform_loss`` on the rest.

    Never below 0. Raises ``ValueError`` for shapes that do not fit, a mask without a target, a weight below 0, or (on
    CPU) log-probabilities that are not finite or above 0.
    """
    floating("forget_logps_tok", forget_logps_tok, 2)
    _check_mask("forget_mask", forget_mask, forget_logps_tok, "forget_logps_tok")
    at_least("retain_weight", retain_weight, 0)
    told = forget_logps_tok.masked_fill(~forget_mask, 0).to(_computed(forget_logps_tok))
    finite_contents("forget_logps_tok", told)
    if told.device.type == "cpu" and float(told.detach().max()) > 1e-4:
        raise ValueError(f"forget_logps_tok must be log-probabilities, at most 0, got {float(told.detach().max())}")
    remembered = -told.sum() / forget_mask.sum()
    floating("retain_logits", retain_logits, 3)
    finite_contents("retain_logits", retain_logits)
    if retain_mask is not None:
        _check_mask("retain_mask", retain_mask, retain_logits[:, :-1, 0], "retain_logits")
    return remembered + retain_weight * uniform_loss(retain_logits, retain_mask)


class LogitDifferenceLM(nn.Module):
    """The target less the assistant, as one language model.

    ``target`` and ``assistant`` map ids to logits, or return something with ``.logits`` as Hugging Face's models do.
    Raises ``ValueError`` for what is no module, and what ``logit_difference`` raises.
    """

    def __init__(
        self,
        target: nn.Module,
        assistant: nn.Module,
        alpha: float = 0.8,
        relative_top: float | None = None,
        mode: Mode = "exclude",
    ) -> None:
        super().__init__()
        for name, model in (("target", target), ("assistant", assistant)):
            if not isinstance(model, nn.Module):
                raise ValueError(f"{name} must be a module, got {type(model).__name__}")
        at_least("alpha", alpha, 0)
        if relative_top is not None:
            positive("relative_top", relative_top)
        one_of("mode", mode, ("exclude", "zero"))
        self.target, self.assistant = target, assistant
        self.alpha, self.relative_top = alpha, relative_top
        self.mode: Mode = mode

    def forward(self, ids: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch tokens vocabulary"]:
        """Combined logits. Raises ``ValueError`` for what the models do not take, or other vocabularies."""
        logits = [
            found if isinstance(found, Tensor) else found.logits for found in (self.target(ids), self.assistant(ids))
        ]
        return logit_difference(logits[0], logits[1], self.alpha, self.relative_top, self.mode)

    def generate(
        self,
        prefix_ids: Int[Tensor, "batch tokens"],
        n_new: int,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, "batch new"]:
        """Continuations, greedy unless a temperature is given. Raises ``ValueError`` as ``sample``."""
        return sample(self, prefix_ids, n_new, temperature, generator)


def truncate_layers(model: TinyGPT, n: int) -> TinyGPT:
    """A copy with the first ``n`` blocks only; embeddings, last norm and head are copied whole.

    Raises ``ValueError`` for something else than a TinyGPT, or n outside 1 … its number of blocks.
    """
    if not isinstance(model, TinyGPT):
        raise ValueError(f"model must be a TinyGPT, got {type(model).__name__}")
    whole_number("n", n, 1)
    if n > len(model.blocks):
        raise ValueError(f"n must be at most the number of blocks, {len(model.blocks)}, got {n}")
    shorter = copy.deepcopy(model)
    shorter.blocks = shorter.blocks[:n]
    return shorter


def _computed(values: Tensor) -> torch.dtype:
    return torch.promote_types(values.dtype, torch.float32)


def _log_probs(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits, dim=-1, dtype=_computed(logits))


def _check_mask(name: str, mask: Tensor, like: Tensor, source: str) -> None:
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != like.shape:
        got = f"{mask.dtype} of {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"{name} must be bool of shape {tuple(like.shape)}, as {source}, got {got}")
    if mask.device.type == "cpu" and not bool(mask.any()):
        raise ValueError(f"{name} must have a target")
