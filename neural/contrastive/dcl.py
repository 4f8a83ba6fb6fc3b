"""Decoupled contrastive learning: InfoNCE without the positive in its denominator.

Two views ``z1, z2`` of a batch of N samples. For anchor i of view k, ``p_i`` is the cosine of its two
views over the temperature and ``U_ki`` the sum of ``exp(cosine/temperature)`` over the 2(N − 1) negatives:

    InfoNCE (NT-Xent)   log(1 + U_ki exp(−p_i)) = softplus(DCL)
    DCL                 −p_i + log U_ki
    DCLW                −w_i p_i + log U_ki,    w_i = 2 − N softmax_i(cosine_i / sigma), held constant

InfoNCE's gradient is DCL's times q = sigmoid(DCL), anchor by anchor; q goes to 0 for small batches
and easy positives, which is why those learn slowly with InfoNCE.

    loss = dcl_loss(projector(encoder(view1)), projector(encoder(view2)), temperature=0.1)

Source: Yeh, Hong, Hsu, Liu, Chen and LeCun (2022), *Decoupled Contrastive Learning*:
the definitions of L (InfoNCE), L_DC and L_DCW, and Proposition 1.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from neural.contrastive.similarity import log_negative_mass, positive_similarity, unit_rows
from neural.validation import Reduction, finite_contents, floating, one_of, positive, reduce, whole_number

__all__ = [
    "DCLLoss",
    "DCLWLoss",
    "InfoNCELoss",
    "dcl_loss",
    "dclw_loss",
    "info_nce_loss",
    "mvmf_weights",
    "npc_multiplier",
]

Embeddings = Float[Tensor, "batch dim"]


def info_nce_loss(
    z1: Embeddings,
    z2: Embeddings,
    temperature: float = 0.1,
    decoupled: bool = False,
    weight: Literal["mvmf"] | None = None,
    sigma: float = 0.5,
    chunk_size: int | None = None,
    reduction: Reduction = "mean",
    normalize: bool = True,
) -> Float[Tensor, "..."]:
    """InfoNCE over both views, or its decoupled form; the one function behind this module's losses.

    Args:
        z1, z2: embeddings of the two views, row i of both from sample i.
        temperature: divides the cosines.
        decoupled: leave the positive out of the denominator (DCL).
        weight: ``"mvmf"`` weights the positives of DCL by ``mvmf_weights`` (DCLW).
        sigma: concentration of those weights.
        chunk_size: rows of the (2N, 2N) similarities held at once; memory is then linear in N.
        reduction: ``"mean"`` over the 2N anchors, ``"sum"``, or ``"none"`` for shape (2, N).
        normalize: divide rows by their norm first; without it rows are taken to have norm 1.

    A zero row has cosine 0 with everything and gradient 0. Half precision is computed in float32.

    Raises ``ValueError`` for shapes that differ or are not (N, d), N < 2 (no negatives), a
    ``temperature``, ``sigma`` or ``chunk_size`` not above 0, ``weight`` without ``decoupled``, an unknown word, or
    (on CPU) elements that are not finite.

    >>> z = torch.eye(2)
    >>> round(info_nce_loss(z, z, temperature=1.0).item(), 4)
    0.5514
    """
    u1, u2 = _checked_views(z1, z2, temperature, normalize)
    positive("sigma", sigma)
    if chunk_size is not None:
        whole_number("chunk_size", chunk_size, 1)
    if weight not in (None, "mvmf"):
        raise ValueError(f"weight must be None or 'mvmf', got {weight!r}")
    if weight is not None and not decoupled:
        raise ValueError("weight must be None unless decoupled=True: the weighted loss is defined for DCL")
    positives = positive_similarity(u1, u2, temperature)
    weighted = positives if weight is None else _mvmf_weights(u1, u2, sigma) * positives
    losses = log_negative_mass(u1, u2, temperature, chunk_size) - weighted
    # softplus(x) = −logsigmoid(−x); F.softplus drops the exponential above 20, an error of 2e-9
    return reduce(losses if decoupled else -F.logsigmoid(-losses), reduction)


def dcl_loss(
    z1: Embeddings,
    z2: Embeddings,
    temperature: float = 0.1,
    *,
    chunk_size: int | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """Decoupled contrastive loss, ``mean of −p_i + log U_ki``; it may be negative.

    Arguments, shapes and errors as in ``info_nce_loss``. Source: the definition of L_DC.

    >>> z = torch.eye(2)
    >>> round(dcl_loss(z, z, temperature=1.0).item(), 4)
    -0.3069
    """
    return info_nce_loss(z1, z2, temperature, decoupled=True, chunk_size=chunk_size, reduction=reduction)


def dclw_loss(
    z1: Embeddings,
    z2: Embeddings,
    temperature: float = 0.1,
    sigma: float = 0.5,
    *,
    chunk_size: int | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """DCL with positives weighted by ``mvmf_weights``: hard positives pull more, easy ones less.

    Arguments, shapes and errors as in ``info_nce_loss``. Source: the definition of L_DCW.
    """
    return info_nce_loss(
        z1, z2, temperature, decoupled=True, weight="mvmf", sigma=sigma, chunk_size=chunk_size, reduction=reduction
    )


def npc_multiplier(z1: Embeddings, z2: Embeddings, temperature: float = 0.1) -> Float[Tensor, "2 batch"]:
    """The negative–positive coupling ``q_ki = 1 − exp(p_i)/(exp(p_i) + U_ki) = sigmoid(DCL_ki)``.

    Shapes and errors as in ``info_nce_loss``. Source: Proposition 1.
    """
    return torch.sigmoid(dcl_loss(z1, z2, temperature, reduction="none"))


def mvmf_weights(z1: Embeddings, z2: Embeddings, sigma: float = 0.5) -> Float[Tensor, " batch"]:
    """Negative von Mises–Fisher weights ``2 − N softmax_i(cosine_i / sigma)``, without gradient.

    Their mean is 1. A pair with more than twice the mean mass has a negative weight: its views are
    pushed apart. Errors as in ``info_nce_loss``. Source: the definition of L_DCW.
    """
    u1, u2 = _checked_views(z1, z2, 1.0, True)
    positive("sigma", sigma)
    return _mvmf_weights(u1, u2, sigma)


class InfoNCELoss(nn.Module):
    """``info_nce_loss`` with its parameters: call it with the embeddings of two views."""

    def __init__(
        self, temperature: float = 0.1, *, chunk_size: int | None = None, reduction: Reduction = "mean"
    ) -> None:
        super().__init__()
        positive("temperature", temperature)
        one_of("reduction", reduction, ("mean", "sum", "none"))
        if chunk_size is not None:
            whole_number("chunk_size", chunk_size, 1)
        self.temperature, self.chunk_size = temperature, chunk_size
        self.reduction: Reduction = reduction

    def forward(self, z1: Embeddings, z2: Embeddings) -> Float[Tensor, "..."]:
        return info_nce_loss(z1, z2, self.temperature, chunk_size=self.chunk_size, reduction=self.reduction)


class DCLLoss(InfoNCELoss):
    """``dcl_loss`` with its parameters: call it with the embeddings of two views."""

    def forward(self, z1: Embeddings, z2: Embeddings) -> Float[Tensor, "..."]:
        return dcl_loss(z1, z2, self.temperature, chunk_size=self.chunk_size, reduction=self.reduction)


class DCLWLoss(InfoNCELoss):
    """``dclw_loss`` with its parameters: call it with the embeddings of two views."""

    def __init__(
        self,
        temperature: float = 0.1,
        sigma: float = 0.5,
        *,
        chunk_size: int | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(temperature, chunk_size=chunk_size, reduction=reduction)
        positive("sigma", sigma)
        self.sigma = sigma

    def forward(self, z1: Embeddings, z2: Embeddings) -> Float[Tensor, "..."]:
        return dclw_loss(z1, z2, self.temperature, self.sigma, chunk_size=self.chunk_size, reduction=self.reduction)


def _checked_views(z1: Tensor, z2: Tensor, temperature: float, normalize: bool) -> tuple[Tensor, Tensor]:
    floating("z1", z1)
    floating("z2", z2)
    if z1.ndim != 2 or z1.shape != z2.shape:
        raise ValueError(f"z1 and z2 must have one shape (batch, dim), got {tuple(z1.shape)} and {tuple(z2.shape)}")
    if len(z1) < 2:
        raise ValueError(f"z1 and z2 must have at least 2 rows (one sample has no negatives), got {len(z1)}")
    positive("temperature", temperature)
    finite_contents("z1", z1)
    finite_contents("z2", z2)
    return (unit_rows(z1), unit_rows(z2)) if normalize else (z1, z2)


def _mvmf_weights(u1: Tensor, u2: Tensor, sigma: float) -> Tensor:
    cosines = (u1 * u2).sum(-1).detach()
    return 2 - len(cosines) * torch.softmax(cosines / sigma, dim=0)
