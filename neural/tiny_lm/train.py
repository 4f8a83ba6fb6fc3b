"""Training a language model on texts of one length, in seconds.

    history = train_lm(model, ids, mask, steps=300, batch_size=128, lr=5e-3, seed=0)     # loss of every step
    train_lm(TinyGPTEnsemble(TinyGPT(170), models=5), …)                                 # all five in lockstep

AdamW with 20 steps of warm-up and then a cosine to 0; the loss is the mean negative log-likelihood of the masked
targets. Deterministic, given the model's weights and ``seed``.

Source: Loshchilov and Hutter (2019), *Decoupled weight decay regularization*, for the optimiser; (2017), *SGDR*, for
the cosine.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from neural.tiny_lm.ensemble import EnsembleAdamW, TinyGPTEnsemble
from neural.tiny_lm.logprobs import token_logps
from neural.validation import class_indices, indices, positive, whole_number

_NO_LIMIT = 1e30

__all__ = ["cosine_schedule", "ensemble_token_logps", "train_lm"]


def train_lm(
    model: nn.Module,
    ids: Int[Tensor, "texts tokens"] | Int[Tensor, "models texts tokens"],
    mask: Bool[Tensor, "texts targets"] | Bool[Tensor, "models texts targets"],
    steps: int,
    batch_size: int,
    lr: float,
    seed: int = 0,
    warmup: int = 20,
) -> Float[Tensor, " steps"] | Float[Tensor, "steps models"]:
    """Train in place; the history has each step's loss before that step.

    ``model`` is a ``TinyGPT``, anything that maps ids to logits, or a ``TinyGPTEnsemble``, whose models may each have
    their own texts (a leading axis) and see the same rows in the same order. Batches are drawn without repetition
    until every text has been seen. Raises ``ValueError`` for shapes that do not fit, a text without a target, or
    numbers out of range, ``FloatingPointError`` when a loss is not finite.

    >>> from neural.tiny_lm.model import TinyGPT
    >>> ids = torch.tensor([[0, 1, 2, 3]] * 8)
    >>> history = train_lm(TinyGPT(4, d_model=8), ids, torch.ones(8, 3, dtype=torch.bool), 40, 8, lr=0.02)
    >>> bool(history[-1] < history[0] / 2)
    True
    """
    together = isinstance(model, TinyGPTEnsemble)
    _check(model, ids, mask)
    whole_number("steps", steps, 1)
    whole_number("batch_size", batch_size, 1)
    positive("lr", lr)
    whole_number("seed", seed, 0)
    whole_number("warmup", warmup, 0)
    device = ids.device
    generator = torch.Generator().manual_seed(seed)
    texts, batch_size = ids.shape[-2], min(batch_size, ids.shape[-2])
    if together:
        ids = ids.expand(model.models, *ids.shape[-2:])
        mask = mask.expand(model.models, *mask.shape[-2:])
        rates = torch.full((model.models,), float(lr), device=device)
        optimizer = EnsembleAdamW(model.parameters(), rates, clip_norm=_NO_LIMIT)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    history = []
    order = torch.empty(0, dtype=torch.long)
    for step in range(steps):
        if len(order) < batch_size:
            order = torch.cat([order, torch.randperm(texts, generator=generator)])
        rows, order = order[:batch_size].to(device), order[batch_size:]
        scale = cosine_schedule(step, steps, warmup)
        if together:
            log_probs = ensemble_token_logps(model(ids[:, rows]), ids[:, rows])
            weights = mask[:, rows].to(log_probs.dtype)
            loss = -(log_probs * weights).sum((1, 2)) / weights.sum((1, 2))
            optimizer.step(loss.sum(), scale=scale)  # type: ignore[call-arg]
        else:
            found = model(ids[rows])
            log_probs = token_logps(found if isinstance(found, Tensor) else found.logits, ids[rows])
            weights = mask[rows].to(log_probs.dtype)
            loss = -(log_probs * weights).sum() / weights.sum()
            optimizer.param_groups[0]["lr"] = lr * scale  # type: ignore[union-attr]
            optimizer.zero_grad()  # type: ignore[union-attr]
            loss.backward()
            optimizer.step()  # type: ignore[call-arg]
        history.append(loss.detach())
        if (step % 50 == 49 or step == steps - 1) and not bool(torch.stack(history[-50:]).isfinite().all()):
            raise FloatingPointError(f"a loss was not finite within the 50 steps before step {step + 1}")
    return torch.stack(history)


def cosine_schedule(step: int, steps: int, warmup: int = 20) -> float:
    """What multiplies the learning rate: ``(step + 1) / warmup`` first, then ``(1 + cos πu) / 2`` with u from 0 to 1.

    Raises ``ValueError`` for a step outside 0 … ``steps`` − 1.

    >>> [round(cosine_schedule(step, 104, warmup=4), 2) for step in (0, 3, 54, 103)]
    [0.25, 1.0, 0.5, 0.0]
    """
    whole_number("steps", steps, 1)
    whole_number("step", step, 0)
    whole_number("warmup", warmup, 0)
    if step >= steps:
        raise ValueError(f"step must be below steps = {steps}, got {step}")
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) / 2


def ensemble_token_logps(
    logits: Float[Tensor, "models batch tokens vocabulary"],
    ids: Int[Tensor, "batch tokens"] | Int[Tensor, "models batch tokens"],
) -> Float[Tensor, "models batch targets"]:
    """``token_logps`` of every model of an ensemble, on the same texts or on its own.

    Raises ``ValueError`` as ``token_logps``, and for a number of models that does not fit.
    """
    if not isinstance(logits, Tensor) or logits.ndim != 4 or logits.numel() == 0:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"logits must have shape (models, batch, tokens, vocabulary), got {got}")
    indices("ids", ids)
    if ids.shape not in (logits.shape[1:3], logits.shape[:3]):
        raise ValueError(f"ids must have shape {tuple(logits.shape[1:3])}, got {tuple(ids.shape)}")
    class_indices("ids", ids.reshape(-1), ids.numel(), logits.shape[3])
    own = ids.expand(logits.shape[:3]).flatten(0, 1)
    return token_logps(logits.flatten(0, 1), own).view(*logits.shape[:2], -1)


def _check(model: nn.Module, ids: Tensor, mask: Tensor) -> None:
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a module, got {type(model).__name__}")
    indices("ids", ids)
    shapes: tuple[int, ...] = (2,)
    if isinstance(model, TinyGPTEnsemble):
        shapes = (2, 3)
        if ids.ndim == 3 and len(ids) != model.models:
            raise ValueError(f"ids must have one leading entry per model, {model.models}, got {tuple(ids.shape)}")
    if ids.ndim not in shapes or ids.numel() == 0 or ids.shape[-1] < 2:
        raise ValueError(f"ids must have shape (texts ≥ 1, tokens ≥ 2), got {tuple(ids.shape)}")
    expected = (*ids.shape[:-1], ids.shape[-1] - 1)
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != expected:
        got = f"{mask.dtype} of {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"mask must be bool of shape {expected}, as ids {tuple(ids.shape)}, got {got}")
    if mask.device.type == "cpu" and not bool(mask.any(-1).all()):
        raise ValueError("mask must have a target in every text")
