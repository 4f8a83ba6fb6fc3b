"""The hardest negatives of a batch: for two views of N samples, sums over each anchor's most similar ones.

``neural.contrastive.similarity`` with all 2(N − 1) negatives of an anchor, this module with the ``top_k`` nearest:

    hard_log_mass    log sum_j exp(<u_i, u_j> / temperature)     (..., 2, N)
    hard_mean        mean_j <u_i, u_j>                           (..., 2, N)

Which of several equally similar ones is kept changes neither. Memory is quadratic, or linear in N with ``chunk_size``.
Leading axes stack independent problems.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from neural.contrastive.similarity import Temperature, log_negative_mass
from neural.validation import finite_contents, floating, positive, whole_number

__all__ = ["hard_log_mass", "hard_mean"]

StackedViews = Float[Tensor, "*stack batch dim"]


def hard_log_mass(
    u1: StackedViews, u2: StackedViews, temperature: Temperature, top_k: int, chunk_size: int | None = None
) -> Float[Tensor, "*stack 2 batch"]:
    """``log sum exp(cosine/temperature)`` over each anchor's ``top_k`` most similar negatives; ``[k, i]`` is view k's.

    ``u1, u2`` are unit rows; leading axes stack problems, each with a temperature of its own if that is a tensor.
    Without ``chunk_size`` memory is quadratic in the batch. With it, that many rows of the similarities are computed at
    a time, in the backward pass once more: one problem, a temperature that is a number, first derivatives only.
    Raises ``ValueError`` for shapes that differ, fewer than two samples, a ``top_k`` outside 1 … 2(N − 1), a
    ``temperature`` or ``chunk_size`` not above 0, or (on CPU) elements that are not finite.
    """
    _check_stack(u1, u2, top_k, chunk_size)
    if not isinstance(temperature, Tensor):
        positive("temperature", temperature)
    if top_k == 2 * u1.shape[-2] - 2:
        return log_negative_mass(u1, u2, temperature, chunk_size)
    u = torch.cat([u1, u2], dim=-2)
    if chunk_size is not None:
        return _ChunkedHardest.apply(u, float(temperature), top_k, chunk_size).unflatten(-1, (2, -1))  # type: ignore[no-any-return]
    divisor = temperature.reshape(*temperature.shape, 1, 1) if isinstance(temperature, Tensor) else temperature
    with torch.autocast(u.device.type, enabled=False):
        return torch.logsumexp(_hardest_of_batch(u, top_k) / divisor, dim=-1).unflatten(-1, (2, -1))


def hard_mean(
    u1: StackedViews, u2: StackedViews, top_k: int, chunk_size: int | None = None
) -> Float[Tensor, "*stack 2 batch"]:
    """Mean cosine of each anchor with its ``top_k`` most similar negatives.

    Over all of them it takes memory linear in the batch. Arguments and errors as in ``hard_log_mass``.
    """
    _check_stack(u1, u2, top_k, chunk_size)
    samples = u1.shape[-2]
    u = torch.cat([u1, u2], dim=-2)
    with torch.autocast(u.device.type, enabled=False):
        if top_k == 2 * samples - 2:
            # The mean over everything else is linear: <u_i, sum − u_i − its positive>, and no similarity is needed.
            others = u.sum(-2, keepdim=True) - torch.cat([u1 + u2, u1 + u2], dim=-2)
            return (u * others).sum(-1).div(top_k).unflatten(-1, (2, -1))
        if chunk_size is not None:
            return _ChunkedHardest.apply(u, None, top_k, chunk_size).unflatten(-1, (2, -1))  # type: ignore[no-any-return]
        return _hardest_of_batch(u, top_k).mean(-1).unflatten(-1, (2, -1))


def _check_stack(u1: Tensor, u2: Tensor, top_k: int, chunk_size: int | None) -> None:
    for name, u in (("u1", u1), ("u2", u2)):
        floating(name, u)
        finite_contents(name, u)
    if u1.ndim < 2 or u1.shape != u2.shape or u1.shape[-2] < 2:
        raise ValueError(
            f"u1 and u2 must have one shape (..., batch >= 2, dim), got {tuple(u1.shape)} and {tuple(u2.shape)}"
        )
    negatives = 2 * u1.shape[-2] - 2
    whole_number("top_k", top_k, 1)
    if top_k > negatives:
        raise ValueError(f"top_k must be at most the {negatives} negatives, got {top_k}")
    if chunk_size is not None:
        whole_number("chunk_size", chunk_size, 1)
        if u1.ndim != 2:
            raise ValueError(f"chunk_size must be None for stacked problems, got {chunk_size} with {tuple(u1.shape)}")


def _hardest_of_batch(u: Tensor, kept: int) -> Tensor:
    """The ``kept`` largest cosines of every row with rows of other samples, in no order."""
    cosines = u @ u.mT
    samples = u.shape[-2] // 2
    for offset in (0, samples, -samples):
        cosines.diagonal(offset, dim1=-2, dim2=-1).fill_(-torch.inf)
    return cosines.topk(kept, dim=-1, sorted=False).values


class _ChunkedHardest(torch.autograd.Function):
    """Log-mass (or, without a temperature, mean) of every row's hardest negatives, a block of rows at a time.

    With weights W_ij of negative j in row i's result (a softmax over those kept, over the temperature; or 1/kept) and
    incoming gradients g, the gradient at u_i is ``sum_j (g_i W_ij + g_j W_ji) u_j``. Unlike the similarities, W is not
    symmetric: i may be among j's hardest but not j among i's. So each block adds to its own rows and to the others'.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, temperature: float | None, kept: int, chunk_size: int) -> Tensor:
        results = [_reduced(values, temperature) for _, values, _ in _hardest_blocks(u, kept, chunk_size)]
        ctx.save_for_backward(u)
        ctx.temperature, ctx.kept, ctx.chunk_size = temperature, kept, chunk_size
        return torch.cat(results)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        (u,), (g,) = ctx.saved_tensors, grad_outputs
        gradient = torch.zeros_like(u)
        with torch.autocast(u.device.type, enabled=False):
            for rows, values, places in _hardest_blocks(u, ctx.kept, ctx.chunk_size):
                if ctx.temperature is None:
                    weights = torch.full_like(values, 1 / ctx.kept)
                else:
                    weights = torch.softmax(values / ctx.temperature, dim=-1).div_(ctx.temperature)
                spread = u.new_zeros(len(values), len(u)).scatter_(1, places, weights.mul_(g[rows, None]))
                gradient[rows].addmm_(spread, u)
                gradient.addmm_(spread.T, u[rows])
        return gradient, None, None, None


def _reduced(values: Tensor, temperature: float | None) -> Tensor:
    return values.mean(-1) if temperature is None else torch.logsumexp(values / temperature, dim=-1)


def _hardest_blocks(u: Tensor, kept: int, chunk_size: int) -> Any:
    """Blocks of rows with their ``kept`` largest cosines to other samples, and where those are."""
    count = len(u)
    with torch.autocast(u.device.type, enabled=False):
        for start in range(0, count, chunk_size):
            rows = torch.arange(start, min(start + chunk_size, count), device=u.device)
            cosines = u[start : start + chunk_size] @ u.T
            cosines[rows - start, rows] = -torch.inf
            cosines[rows - start, (rows + count // 2) % count] = -torch.inf
            values, places = cosines.topk(kept, dim=-1, sorted=False)
            yield slice(start, start + len(rows)), values, places
