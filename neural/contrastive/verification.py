"""Verification: do two items belong together? Trials from features, and the rate at which both errors are equal."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neural.validation import class_indices, finite_contents, floating

__all__ = ["cosine_trials", "equal_error_rate"]


def cosine_trials(
    features: Float[Tensor, "*stack items dim"], labels: Int[Tensor, " items"]
) -> tuple[Float[Tensor, "*stack trials"], Bool[Tensor, " trials"]]:
    """Cosines of all pairs i < j, and which pairs share their label: the trials of a verification test.

    Several models at once along leading axes. Raises ``ValueError`` for features that are not floating-point, have
    fewer than two items or (on CPU) are not finite, and for labels of another number or negative.

    >>> scores, is_target = cosine_trials(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]]), torch.tensor([0, 1, 1]))
    >>> scores.tolist(), is_target.tolist()
    ([0.0, 0.0, 1.0], [False, False, True])
    """
    floating("features", features)
    finite_contents("features", features)
    if features.ndim < 2 or features.shape[-2] < 2:
        raise ValueError(f"features must be (…, items, dim) with two items at least, got {tuple(features.shape)}")
    class_indices("labels", labels, features.shape[-2])
    first, second = torch.triu_indices(len(labels), len(labels), 1, device=features.device)
    unit = F.normalize(features, dim=-1)
    return (unit @ unit.mT)[..., first, second], labels[first] == labels[second]


def equal_error_rate(
    scores: Float[Tensor, "*stack trials"], is_target: Bool[Tensor, " trials"]
) -> Float[Tensor, "*stack"]:
    """Error rate at the threshold where false acceptances and false rejections are equally frequent, in [0, 1].

    Trials are accepted if their score is at least the threshold; with

        FAR(t) = share of non-targets with score ≥ t,      FRR(t) = share of targets with score < t,

    the rate is FAR = FRR on the straight line between the neighbouring operating points, so that tied scores count as
    if ties were broken at random: useless scores give ½. Only the order of the scores matters. Several models at once
    along leading axes. Raises ``ValueError`` for scores that are empty, not floating-point or (on CPU) not finite,
    ``is_target`` of another shape or type, and trials of one kind only.

    >>> equal_error_rate(torch.tensor([0.9, 0.8, 0.4, 0.6, 0.1, 0.2]), torch.tensor([1, 1, 1, 0, 0, 0]).bool())
    tensor(0.3333)
    """
    floating("scores", scores)
    finite_contents("scores", scores)
    if not isinstance(is_target, Tensor) or is_target.dtype != torch.bool or is_target.shape != scores.shape[-1:]:
        raise ValueError(f"is_target must be a boolean tensor of shape {tuple(scores.shape[-1:])}, got {is_target!r}")
    targets = int(is_target.sum())
    if not 0 < targets < len(is_target):
        raise ValueError(f"is_target must have trials of both kinds, got {targets} targets of {len(is_target)}")
    ordered = scores.sort(dim=-1, descending=True)
    hits = is_target[ordered.indices].double()
    false_rejections = 1 - hits.cumsum(-1) / targets
    false_acceptances = (1 - hits).cumsum(-1) / (len(is_target) - targets)
    # Accepting k trials is a threshold only where the next score is smaller.
    reachable = F.pad(ordered.values[..., :-1] > ordered.values[..., 1:], (0, 1), value=True)
    excess = F.pad(false_rejections - false_acceptances, (1, 0), value=1.0)
    acceptances = F.pad(false_acceptances, (1, 0))
    places = torch.arange(excess.shape[-1], device=scores.device)
    reachable = F.pad(reachable, (1, 0), value=True)
    before = torch.where(reachable & (excess >= 0), places, 0).amax(-1, keepdim=True)
    after = torch.where(reachable & (excess < 0), places, len(places) - 1).amin(-1, keepdim=True)
    above, below = excess.gather(-1, before), excess.gather(-1, after)
    rate = acceptances.gather(-1, before).lerp(acceptances.gather(-1, after), above / (above - below))
    return rate.squeeze(-1).to(torch.promote_types(scores.dtype, torch.float32))
