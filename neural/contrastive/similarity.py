"""The similarity core of in-batch contrastive losses: positives, and the log-mass of the negatives.

For two views of N samples there are 2N anchors. An anchor's negatives are the 2(N − 1) embeddings of
other samples in both views; itself and its positive are left out. Everything these losses need is

    positive_similarity    <u1_i, u2_i> / temperature                    (..., N)
    log_negative_mass      log sum_j exp(<u_i, u_j> / temperature)       (..., 2, N)

with quadratic memory, or linear in N with ``chunk_size``. Leading axes stack independent problems.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["log_negative_mass", "positive_similarity", "unit_rows"]

Temperature = float | Float[Tensor, "..."]


def unit_rows(z: Float[Tensor, "... dim"]) -> Float[Tensor, "... dim"]:
    """Rows divided by their Euclidean norm, in float32 at least; a zero row stays zero and has gradient 0."""
    z = z if z.dtype == torch.float64 else z.float()
    squared = (z * z).sum(-1, keepdim=True)
    is_zero = squared == 0
    # The square root's slope at 0 is infinite; where() alone would turn it into NaN.
    norms = torch.where(is_zero, 1.0, squared).sqrt()
    return torch.where(is_zero, 0.0, z / norms)


def positive_similarity(
    u1: Float[Tensor, "*stack batch dim"], u2: Float[Tensor, "*stack batch dim"], temperature: Temperature
) -> Float[Tensor, "*stack batch"]:
    """Cosine of each sample's two views over the temperature (a number, or one per stacked problem)."""
    return (u1 * u2).sum(-1) / _per_problem(temperature, 1)


def log_negative_mass(
    u1: Float[Tensor, "*stack batch dim"],
    u2: Float[Tensor, "*stack batch dim"],
    temperature: Temperature,
    chunk_size: int | None = None,
) -> Float[Tensor, "*stack 2 batch"]:
    """``log sum exp(cosine/temperature)`` over each anchor's negatives; ``[k, i]`` belongs to view k.

    ``u1, u2`` are unit rows. Without ``chunk_size`` the (2N, 2N) similarities are held and every
    derivative is available. With it, ``chunk_size`` rows at a time are computed, in the backward
    pass once more: memory O(N (chunk_size + dim)), exact first derivatives, no second ones, and a
    temperature that is a plain number.
    """
    u = torch.cat([u1, u2], dim=-2)
    if chunk_size is not None:
        return _ChunkedLogMass.apply(u, float(temperature), chunk_size).unflatten(-1, (2, -1))  # type: ignore[no-any-return]
    # Mixed precision would round the similarities, which the temperature then multiplies.
    with torch.autocast(u.device.type, enabled=False):
        similarities = (u @ u.mT) / _per_problem(temperature, 2)
        samples = u1.shape[-2]
        for offset in (0, samples, -samples):
            similarities.diagonal(offset, dim1=-2, dim2=-1).fill_(-torch.inf)
        return torch.logsumexp(similarities, dim=-1).unflatten(-1, (2, -1))


def _per_problem(temperature: Temperature, axes: int) -> Temperature:
    return temperature.reshape(*temperature.shape, *(1,) * axes) if isinstance(temperature, Tensor) else temperature


class _ChunkedLogMass(torch.autograd.Function):
    """Log-mass of the negatives, a block of rows at a time.

    With ``E = exp(u u^T/tau)`` on negatives, symmetric, and incoming gradients g, the gradient at u_i
    is ``(1/tau) sum_j E_ij (g_i/U_i + g_j/U_j) u_j``: it needs row i of E alone, so that each block
    of rows gives its own rows of the gradient and nothing has to be scattered.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, temperature: float, chunk_size: int) -> Tensor:
        log_mass = torch.cat([torch.logsumexp(s, dim=-1) for _, s in _blocks(u, temperature, chunk_size)])
        ctx.save_for_backward(u, log_mass)
        ctx.temperature, ctx.chunk_size = temperature, chunk_size
        return log_mass

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        u, log_mass = ctx.saved_tensors
        (g,) = grad_outputs
        gradient = torch.empty_like(u)
        for rows, similarities in _blocks(u, ctx.temperature, ctx.chunk_size):
            # Both exponents are at most 0: a similarity never exceeds the log-mass that contains it.
            weights = (similarities - log_mass[rows, None]).exp_().mul_(g[rows, None])
            weights += similarities.sub_(log_mass).exp_().mul_(g)
            torch.mm(weights, u, out=gradient[rows])
        return gradient.div_(ctx.temperature), None, None


def _blocks(u: Tensor, temperature: float, chunk_size: int) -> Any:
    """Row blocks of the similarities over the temperature, with −inf for the anchor and its positive."""
    count = len(u)
    with torch.autocast(u.device.type, enabled=False):
        for start in range(0, count, chunk_size):
            rows = torch.arange(start, min(start + chunk_size, count), device=u.device)
            similarities = (u[start : start + chunk_size] @ u.T).div_(temperature)
            local = rows - start
            similarities[local, rows] = -torch.inf
            similarities[local, (rows + count // 2) % count] = -torch.inf
            yield slice(start, start + len(rows)), similarities
