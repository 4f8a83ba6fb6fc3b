"""Losses of supervised metric learning, to be trained alone or beside another term.

All take embeddings ``z`` (..., batch, dim) and the classes of the batch; leading axes stack problems that share the
labels, each with parameters of its own where those are tensors, and the result has one loss per problem. With cosines
s of unit rows:

    cosine_softmax_loss   cross-entropy of s(z, proxy)/temperature over the classes' proxies
    arcface_loss          the same with the target's angle increased by a margin
    proxy_anchor_loss     soft maxima over the batch, proxy by proxy
    supcon_loss           −mean over positives of log softmax over the other rows of s/temperature
    smooth_ap_loss        1 − average precision, with ranks counted by sigmoids

Proxies are a tensor (..., classes, dim) that the caller trains. A zero row has cosine 0 with everything and gradient 0;
half precision is computed in float32. All raise ``ValueError`` for shapes that do not fit, scalars out of range, an
unknown reduction, and (on CPU) elements that are not finite or labels without a proxy.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from neural.contrastive.similarity import unit_rows
from neural.validation import Reduction, at_least, class_indices, finite_contents, floating, one_of, positive

__all__ = ["arcface_loss", "cosine_softmax_loss", "proxy_anchor_loss", "smooth_ap_loss", "supcon_loss"]

Embeddings = Float[Tensor, "*stack batch dim"]
Labels = Int[Tensor, " batch"]
Proxies = Float[Tensor, "*stack classes dim"]
PerProblem = float | Float[Tensor, "..."]
Losses = Float[Tensor, "..."]


def cosine_softmax_loss(
    z: Embeddings, labels: Labels, proxies: Proxies, temperature: PerProblem = 0.1, reduction: Reduction = "mean"
) -> Losses:
    """Cross-entropy of the cosines with the proxies over ``temperature``; ``"none"`` gives (..., batch).

    Source: Zhai and Wu (2019), *Classification is a Strong Baseline for Deep Metric Learning*: the normalised softmax.

    >>> z = torch.eye(2)
    >>> round(cosine_softmax_loss(z, torch.tensor([0, 1]), z, temperature=1.0).item(), 4)
    0.3133
    """
    _check_temperature("temperature", temperature)
    cosines = _proxy_cosines(z, labels, proxies)
    return _reduced(_cross_entropy(cosines / _per_problem(temperature, 2, z), labels), reduction)


def arcface_loss(
    z: Embeddings, labels: Labels, proxies: Proxies, margin: PerProblem = 0.5, scale: float = 64.0,
    reduction: Reduction = "mean",
) -> Losses:  # fmt: skip
    """Cross-entropy of ``scale`` times cosines, the target's being cos(θ + margin); the margin is in radians.

    Where θ + margin exceeds π it is cos θ − margin sin(margin) instead, so that it falls with the angle throughout.
    ``"none"`` gives (..., batch). Source: Deng, Guo, Xue and Zafeiriou (2019), *ArcFace*.

    >>> z = torch.eye(2)
    >>> round(arcface_loss(z, torch.tensor([0, 1]), z, margin=0.5, scale=1.0).item(), 4)
    0.3477
    """
    positive("scale", scale)
    _check_margin(margin)
    cosines = _proxy_cosines(z, labels, proxies)
    places = labels.expand(cosines.shape[:-1])[..., None]
    target = cosines.gather(-1, places)
    added = _per_problem(margin, 2, z)
    squared_sine = (1 - target * target).clamp(min=0)
    # The square root's slope at 0 is infinite; where() alone would turn it into NaN.
    sine = torch.where(squared_sine == 0, 0.0, torch.where(squared_sine == 0, 1.0, squared_sine).sqrt())
    turned = target * torch.cos(added) - sine * torch.sin(added)
    beyond = target < -torch.cos(added)
    moved = torch.where(beyond, target - added * torch.sin(added), turned)
    return _reduced(_cross_entropy(scale * cosines.scatter(-1, places, moved), labels), reduction)


def proxy_anchor_loss(
    z: Embeddings, labels: Labels, proxies: Proxies, margin: PerProblem = 0.1, scale: float = 32.0
) -> Float[Tensor, "..."]:
    """``mean over proxies with positives of log(1 + sum exp(−scale (s − margin)))`` over their positives in the batch,
    plus ``mean over all proxies of log(1 + sum exp(scale (s + margin)))`` over the rest of the batch.

    Source: Kim, Kim, Cho and Kwak (2020), *Proxy Anchor Loss for Deep Metric Learning*.

    >>> z = torch.eye(2)
    >>> round(proxy_anchor_loss(z, torch.tensor([0, 1]), z, margin=0.0, scale=1.0).item(), 4)
    1.0064
    """
    positive("scale", scale)
    _check_margin(margin)
    cosines = _proxy_cosines(z, labels, proxies)
    own = labels[:, None] == torch.arange(proxies.shape[-2], device=labels.device)
    added = _per_problem(margin, 2, z)
    pulled = _log_one_plus_sum(-scale * (cosines - added), own)
    pushed = _log_one_plus_sum(scale * (cosines + added), ~own)
    return pulled.sum(-1) / own.any(0).sum() + pushed.mean(-1)


def supcon_loss(z: Embeddings, labels: Labels, temperature: PerProblem = 0.1, reduction: Reduction = "mean") -> Losses:
    """``−mean over the anchor's positives of log softmax(s/temperature)`` over all other rows.

    Anchors without positives have loss 0 (``"none"`` gives (..., batch)) and do not count in the mean; without any
    positives the loss is 0. Source: Khosla et al. (2020), *Supervised Contrastive Learning*: the loss with the sum over
    positives outside the logarithm.

    >>> z = torch.eye(3)[[0, 0, 1, 1]]
    >>> round(supcon_loss(z, torch.tensor([0, 0, 1, 1]), temperature=1.0).item(), 4)
    0.5514
    """
    _check_temperature("temperature", temperature)
    cosines, positives = _pair_cosines(z, labels)
    itself = torch.eye(len(labels), dtype=torch.bool, device=z.device)
    log_shares = torch.log_softmax((cosines / _per_problem(temperature, 2, z)).masked_fill(itself, -torch.inf), dim=-1)
    counts = positives.sum(-1)
    losses = -log_shares.masked_fill(~positives, 0.0).sum(-1) / counts.clamp(min=1)
    return _reduced(losses, reduction, counted=counts > 0)


def smooth_ap_loss(
    z: Embeddings, labels: Labels, temperature: PerProblem = 0.01, reduction: Reduction = "mean"
) -> Losses:
    """1 − average precision of every row's ranking of the others, with ``sigmoid(difference/temperature)`` for ranks.

    A positive j of anchor i has rank 1 + sum over others k of sigmoid((s_ik − s_ij)/temperature); its precision is its
    rank among positives over its rank among all. Anchors without positives have loss 0 (``"none"`` gives (..., batch))
    and do not count in the mean. Memory: positive pairs times batch. Source: Brown, Xie, Kalogeiton and
    Zisserman (2020), *Smooth-AP*; public code lets the query rank itself among its positives, here it does not.

    >>> z = torch.eye(3)[[0, 0, 1, 1]]
    >>> round(smooth_ap_loss(z, torch.tensor([0, 0, 1, 1])).item(), 4)
    0.0
    """
    _check_temperature("temperature", temperature)
    cosines, positives = _pair_cosines(z, labels)
    anchor, partner = positives.nonzero(as_tuple=True)
    at_partner = cosines[..., anchor, partner]
    ahead = torch.sigmoid((cosines[..., anchor, :] - at_partner[..., None]) / _per_problem(temperature, 2, z))
    every = torch.arange(len(labels), device=z.device)
    rival = (every != anchor[:, None]) & (every != partner[:, None])
    among_all = 1 + (ahead * rival).sum(-1)
    among_positives = 1 + (ahead * (rival & positives[anchor])).sum(-1)
    counts = positives.sum(-1)
    summed = cosines.new_zeros(cosines.shape[:-1]).index_add(-1, anchor, among_positives / among_all)
    losses = torch.where(counts > 0, 1 - summed / counts.clamp(min=1), 0.0)
    return _reduced(losses, reduction, counted=counts > 0)


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    places = labels.expand(logits.shape[:-1])[..., None]
    return -torch.log_softmax(logits, dim=-1).gather(-1, places)[..., 0]


def _log_one_plus_sum(exponents: Tensor, mask: Tensor) -> Tensor:
    """``log(1 + sum of exp)`` over the masked rows of every column."""
    return torch.logsumexp(F.pad(exponents.masked_fill(~mask, -torch.inf), (0, 0, 1, 0)), dim=-2)


def _proxy_cosines(z: Tensor, labels: Tensor, proxies: Tensor) -> Tensor:
    _check_embeddings(z, labels)
    floating("proxies", proxies)
    finite_contents("proxies", proxies)
    if proxies.ndim != z.ndim or (*proxies.shape[:-2], proxies.shape[-1]) != (*z.shape[:-2], z.shape[-1]):
        raise ValueError(f"proxies must fit z {tuple(z.shape)} but for their number, got {tuple(proxies.shape)}")
    class_indices("labels", labels, z.shape[-2], proxies.shape[-2])
    with torch.autocast(z.device.type, enabled=False):
        u = unit_rows(z)
        return u @ unit_rows(proxies).to(u.dtype).mT


def _pair_cosines(z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines of all rows, and which pairs are of one class."""
    _check_embeddings(z, labels)
    if len(labels) < 2:
        raise ValueError(f"z must have at least 2 rows (one has no pairs), got {len(labels)}")
    positives = labels[:, None] == labels
    positives.fill_diagonal_(False)
    with torch.autocast(z.device.type, enabled=False):
        u = unit_rows(z)
        return u @ u.mT, positives


def _reduced(losses: Tensor, reduction: Reduction, counted: Tensor | None = None) -> Tensor:
    """The losses of every problem's anchors, their sum, or their mean over those that count."""
    one_of("reduction", reduction, ("mean", "sum", "none"))
    if reduction == "none":
        return losses
    total = losses.sum(-1)
    if reduction == "sum":
        return total
    return total / (losses.shape[-1] if counted is None else counted.sum().clamp(min=1))


def _per_problem(value: PerProblem, axes: int, z: Tensor) -> Tensor:
    dtype = z.dtype if z.dtype == torch.float64 else torch.float32
    given = torch.as_tensor(value, dtype=dtype, device=z.device)
    return given.reshape(*given.shape, *(1,) * axes)


def _check_embeddings(z: Tensor, labels: Tensor) -> None:
    floating("z", z)
    if z.ndim < 2:
        raise ValueError(f"z must have shape (..., batch, dim), got {tuple(z.shape)}")
    finite_contents("z", z)
    class_indices("labels", labels, z.shape[-2])


def _check_temperature(name: str, value: PerProblem) -> None:
    for end in _ends(name, value):
        positive(name, end)


def _check_margin(margin: PerProblem) -> None:
    for end in _ends("margin", margin):
        at_least("margin", end, 0)
        if end > math.pi:
            raise ValueError(f"margin must be at most pi, got {end}")


def _ends(name: str, value: PerProblem) -> list[float]:
    """The number itself, or the extremes of a CPU tensor."""
    if not isinstance(value, Tensor):
        return [value]
    floating(name, value)
    finite_contents(name, value)
    return [end.item() for end in torch.aminmax(value)] if value.device.type == "cpu" else []
