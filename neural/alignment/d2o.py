"""Distributional dispreference optimisation (D2O): away from a bad answer, anchored at one's own answers.

    L = mean_x −log σ( (β/K) Σ_i log π(y_i|x)/π_r(y_i|x) − α log π(y_l|x)/π_r(y_l|x) ),      y_i ~ π_r(·|x)

There is no human positive answer: K answers of the reference model itself stand on the other side. All arguments are
sums of token log-probabilities (``sequence_logps``), the reference's computed once and cached.

    pol_self = sequence_logps(token_logps(model(ids), ids), mask).view(batch, K)     # one pass over batch · K texts
    loss = d2o_loss(pol_self, ref_self, pol_neg, ref_neg, alpha=0.1, beta=0.1)

K = 1 with α = β is DPO with a self-sample as the preferred answer; β = 0 is α/2 times NPO.

Source: Duan, Yi, Zhang, Liu, Liu, Lu, Xie and Gu (2024), *Negating negatives: alignment without human positive samples
via distributional dispreference optimization* (loss and gradient).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from neural.validation import Reduction, at_least, floating, one_of, reduce

__all__ = ["d2o_loss", "d2o_margin"]


def d2o_loss(
    pol_self: Float[Tensor, "batch samples"],
    ref_self: Float[Tensor, "batch samples"],
    pol_neg: Float[Tensor, " batch"],
    ref_neg: Float[Tensor, " batch"],
    alpha: float = 0.1,
    beta: float = 0.1,
    mask: Bool[Tensor, "batch samples"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, ""] | Float[Tensor, " batch"]:
    """``−log σ(margin)`` of ``d2o_margin``; the gradient does not reach the references.

    Raises ``ValueError`` for shapes or dtypes that do not fit, a row of ``mask`` without a sample, alpha or beta below
    0, and on CPU for log-probabilities that are not finite or above 0.

    >>> logps = torch.tensor([-2.0])
    >>> round(d2o_loss(logps[:, None], logps[:, None], logps, logps).item(), 4)
    0.6931
    """
    one_of("reduction", reduction, ("mean", "sum", "none"))
    return reduce(-F.logsigmoid(d2o_margin(pol_self, ref_self, pol_neg, ref_neg, alpha, beta, mask)), reduction)


def d2o_margin(
    pol_self: Float[Tensor, "batch samples"],
    ref_self: Float[Tensor, "batch samples"],
    pol_neg: Float[Tensor, " batch"],
    ref_neg: Float[Tensor, " batch"],
    alpha: float = 0.1,
    beta: float = 0.1,
    mask: Bool[Tensor, "batch samples"] | None = None,
) -> Float[Tensor, " batch"]:
    """``β mean_i (pol_self_i − ref_self_i) − α (pol_neg − ref_neg)``, the mean over the samples that ``mask`` keeps.

    Its gradient weighs every self-sample by β/K and the negative by −α. Raises ``ValueError`` as ``d2o_loss``.

    >>> d2o_margin(torch.tensor([[-1.0, -3.0]]), torch.tensor([[-2.0, -2.0]]), torch.tensor([-5.0]),
    ...            torch.tensor([-4.0]), alpha=0.5)
    tensor([0.5000])
    """
    at_least("alpha", alpha, 0)
    at_least("beta", beta, 0)
    own = _log_ratio("pol_self", pol_self, "ref_self", ref_self, 2)
    negative = _log_ratio("pol_neg", pol_neg, "ref_neg", ref_neg, 1)
    if len(own) != len(negative):
        raise ValueError(f"pol_neg must have {len(own)} entries, as pol_self has rows, got {len(negative)}")
    if mask is None:
        anchor = own.mean(1)
    else:
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != own.shape:
            got = f"{mask.dtype} of {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
            raise ValueError(f"mask must be bool of shape {tuple(own.shape)}, as pol_self, got {got}")
        if mask.device.type == "cpu" and not bool(mask.any(1).all()):
            raise ValueError(f"mask must keep a sample of every row, row {int((~mask.any(1)).nonzero()[0])} has none")
        anchor = own.masked_fill(~mask, 0).sum(1) / mask.sum(1)
    return beta * anchor - alpha * negative


def _log_ratio(name: str, policy: Tensor, ref_name: str, reference: Tensor, axes: int) -> Tensor:
    for label, value in ((name, policy), (ref_name, reference)):
        floating(label, value, axes)
        if value.device.type == "cpu":
            low, high = (float(end) for end in torch.aminmax(value.detach()))
            if not (low > -torch.inf and high <= 1e-4):
                raise ValueError(f"{label} must hold finite log-probabilities, at most 0, got {low} … {high}")
    if policy.shape != reference.shape:
        raise ValueError(f"{ref_name} must have shape {tuple(policy.shape)}, as {name}, got {tuple(reference.shape)}")
    dtype = torch.promote_types(policy.dtype, torch.float32)
    return policy.to(dtype) - reference.to(dtype).detach()
