"""Log-probabilities of tokens and sequences: what every loss of a language model here takes, never a model.

    logits (batch, T, vocabulary), not shifted; ids (batch, T); a mask (batch, T − 1) over TARGETS ids[:, 1:]

    mask, ids = labels_to_mask(labels)                       # labels as Hugging Face has them: −100 is no target
    log_probs = token_logps(model(ids), ids)                 # [:, t] is log p(ids[:, t + 1] | ids[:, : t + 1])
    sequence_logps(log_probs, mask)                          # (batch,), sums; average=True for means

The shift by one happens here, so that a model's logits go in as they come out: ``token_logps(hf(input_ids=ids,
attention_mask=m).logits, ids)``. Half precision is computed in float32; nothing is exponentiated.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from neural.validation import class_indices, finite_contents, floating, indices, whole_number

__all__ = ["labels_to_mask", "sequence_logps", "token_logps"]


def token_logps(
    logits: Float[Tensor, "batch tokens vocabulary"], input_ids: Int[Tensor, "batch tokens"], chunk: int | None = None
) -> Float[Tensor, "batch targets"]:
    """``log_softmax(logits[:, :-1])`` at ``input_ids[:, 1:]``, of shape (batch, tokens − 1).

    With ``chunk`` the logits are worked on that many positions at a time, forwards and backwards: no second tensor of
    their size is made but their gradient (which cannot be differentiated again). float64 stays, anything less is
    computed in float32. NaN logits give NaN. Raises ``ValueError`` for shapes or dtypes that do not fit, fewer than two
    tokens, ``chunk`` below 1, or (on CPU) ids outside the vocabulary.

    >>> token_logps(torch.zeros(1, 3, 4), torch.tensor([[0, 1, 2]])).exp()
    tensor([[0.2500, 0.2500]])
    """
    floating("logits", logits, 3)
    _same_tokens("input_ids", input_ids, logits)
    class_indices("input_ids", input_ids.reshape(-1), input_ids.numel(), logits.shape[2])
    targets = input_ids[:, 1:].long()
    if chunk is not None:
        whole_number("chunk", chunk, 1)
        return _ChunkedLogProbs.apply(logits, targets, chunk)  # type: ignore[no-any-return]
    log_probs = torch.log_softmax(logits[:, :-1], dim=-1, dtype=_computed(logits))
    return log_probs.gather(-1, targets[..., None]).squeeze(-1)


def sequence_logps(
    token_logps: Float[Tensor, "batch targets"],
    mask: Float[Tensor, "batch targets"] | Bool[Tensor, "batch targets"],
    average: bool = False,
) -> Float[Tensor, " batch"]:
    """Sum over the masked targets of each row, or with ``average`` their mean.

    A row without targets sums to 0; ``average`` raises ``ValueError`` for it (on CPU; elsewhere its mean is NaN). Also
    raises it for shapes or dtypes that do not fit and (on CPU) for masks that are not finite.

    >>> sequence_logps(torch.tensor([[-1.0, -3.0]]), torch.tensor([[1.0, 1.0]]), average=True)
    tensor([-2.])
    """
    floating("token_logps", token_logps, 2)
    if not isinstance(mask, Tensor) or mask.is_complex() or mask.shape != token_logps.shape:
        got = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"mask must have the shape of token_logps, {tuple(token_logps.shape)}, got {got}")
    weights = mask.to(token_logps.dtype)
    finite_contents("mask", weights)
    # Where the mask is 0, padding may be −inf: 0 · inf would be NaN.
    sums = (token_logps * weights).masked_fill(weights == 0, 0.0).sum(dim=1)
    if not average:
        return sums
    counts = weights.sum(dim=1)
    if counts.device.type == "cpu" and bool((counts == 0).any()):
        raise ValueError(
            f"mask must have a target in every row to average, row {int((counts == 0).nonzero()[0])} has none"
        )
    return sums / counts


def labels_to_mask(
    labels: Int[Tensor, "batch tokens"], ignore_index: int = -100
) -> tuple[Bool[Tensor, "batch targets"], Int[Tensor, "batch tokens"]]:
    """``labels[:, 1:] != ignore_index``, and the labels with 0 in place of ``ignore_index``.

    Raises ``ValueError`` for labels that are not whole numbers of shape (batch, tokens ≥ 2), or on CPU for negative
    ones other than ``ignore_index``.

    >>> labels_to_mask(torch.tensor([[-100, 5, 7]]))
    (tensor([[True, True]]), tensor([[0, 5, 7]]))
    """
    indices("labels", labels)
    if labels.ndim != 2 or labels.shape[1] < 2 or len(labels) == 0:
        raise ValueError(f"labels must have shape (batch ≥ 1, tokens ≥ 2), got {tuple(labels.shape)}")
    if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
        raise ValueError(f"ignore_index must be a whole number, got {ignore_index!r}")
    targets = labels != ignore_index
    safe = labels.masked_fill(~targets, 0)
    if safe.device.type == "cpu" and int(safe.min()) < 0:
        raise ValueError(f"labels must be at least 0 or ignore_index = {ignore_index}, got {int(safe.min())}")
    return targets[:, 1:], safe


def _same_tokens(name: str, ids: Tensor, logits: Tensor) -> None:
    indices(name, ids)
    if ids.shape != logits.shape[:2]:
        raise ValueError(
            f"{name} must have shape {tuple(logits.shape[:2])}, as logits {tuple(logits.shape)}, got {tuple(ids.shape)}"
        )
    if ids.shape[1] < 2:
        raise ValueError(f"{name} must have at least 2 tokens, got shape {tuple(ids.shape)}")


def _computed(logits: Tensor) -> torch.dtype:
    return torch.promote_types(logits.dtype, torch.float32)


class _ChunkedLogProbs(torch.autograd.Function):
    """Log-probabilities by log-sum-exp, whose backward pass writes softmaxes straight into the gradient."""

    @staticmethod
    def forward(ctx, logits: Tensor, targets: Tensor, chunk: int) -> Tensor:  # type: ignore[override]
        normalizers = torch.cat(
            [torch.logsumexp(part.to(_computed(logits)), dim=-1) for part in logits[:, :-1].split(chunk, dim=1)], dim=1
        )
        ctx.save_for_backward(logits, targets, normalizers)
        ctx.chunk = chunk
        return logits[:, :-1].gather(-1, targets[..., None]).squeeze(-1).to(normalizers.dtype) - normalizers

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        logits, targets, normalizers = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        gradient[:, -1] = 0
        for start in range(0, targets.shape[1], ctx.chunk):
            rows = slice(start, min(start + ctx.chunk, targets.shape[1]))
            probabilities = logits[:, rows].to(normalizers.dtype, copy=True)
            probabilities.sub_(normalizers[:, rows, None]).exp_().mul_(-grad[:, rows, None])
            probabilities.scatter_add_(-1, targets[:, rows, None], grad[:, rows, None])
            gradient[:, rows] = probabilities
        return gradient, None, None
