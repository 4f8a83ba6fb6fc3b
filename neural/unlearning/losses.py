"""Losses that make a language model forget, beside which NPO is judged, and those that make it retain.

All take log-probabilities, which ``neural.tiny_lm.logprobs`` computes from the logits of any model, and are minimised:

    ga_loss(token_logps, mask)                        mean log-probability: ascent on cross-entropy
    wga_loss(token_logps, mask, beta)                 the same, tokens weighted with p^beta, which is held constant
    simnpo_loss(logps, lengths, beta, delta)          −(2/beta) mean log sigma(−beta (logps/length + delta))
    kto_loss(logps, ref_logps, kl, beta)              −(2/beta) mean log sigma(beta (kl − (logps − ref_logps)))
    dpo_loss(pol_w, pol_l, ref_w, ref_l, beta)        prefers a refusal (w) to the answer to forget (l)
    idk_loss(token_logps, mask)                       cross-entropy of refusals such as "I don't know"
    undial_loss(logits, ref_logits, input_ids, mask)  cross-entropy to the reference, its true token demoted

    nll_retain_loss(token_logps, mask)                cross-entropy of what to retain
    kl_retain_loss(logits, ref_logits, mask)          KL(reference || model) on what to retain

``logps`` are sums over the targets of a sequence, (batch,); ``token_logps`` and ``mask`` are (batch, targets).
References are constants: no gradient flows into them. Half precision is computed in float32. Log-probabilities above 0,
or that are not finite, are refused on CPU.

Sources: Zhang, Lin, Bai and Mei (2024), *Negative Preference Optimization*, for GA, DPO, IDK and the retain terms (with
the direction of KL and the factor 2 of DPO as in the authors' code); Fan, Liu, Lin, Jia, Zhang, Mei and Liu (2024),
*Simplicity Prevails: Rethinking Negative Preference Optimization for LLM Unlearning*, for SimNPO; Ethayarajh, Xu,
Muennighoff, Jurafsky and Kiela (2024), *KTO*; Wang, Zhou, Zhou, Shin, Han and Weinberger (2025), *Rethinking LLM
Unlearning Objectives*, for the weighted ascent; Dong, Lin, Belkin, Huerta and Vulić (2024), *UNDIAL*.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neural.tiny_lm.logprobs import sequence_logps
from neural.validation import (
    Reduction,
    class_indices,
    finite_contents,
    floating,
    indices,
    positive,
    reduce,
    target_logps,
    target_weights,
)

__all__ = [
    "dpo_loss",
    "ga_loss",
    "idk_loss",
    "kl_retain_loss",
    "kto_loss",
    "nll_retain_loss",
    "simnpo_loss",
    "undial_loss",
    "wga_loss",
]

Sequences = Float[Tensor, " batch"]
Tokens = Float[Tensor, "batch targets"]
Mask = Float[Tensor, "batch targets"] | Bool[Tensor, "batch targets"]
Logits = Float[Tensor, "batch tokens vocabulary"]

_ROUNDING = 1e-3
"""How far above 0 a sum of log-probabilities may be by rounding."""


def ga_loss(logps: Tokens | Sequences, mask: Mask | None = None, per_token: bool = True) -> Float[Tensor, ""]:
    """Mean log-probability of what to forget, over tokens, or over sequences of their sums.

    Args:
        logps: (batch, targets) with a mask, or sums (batch,) without.
        mask: which targets count.
        per_token: False takes the mean over sequences: the limit of NPO for beta → 0. The mean over tokens is that of
            the usual implementations; its gradient is smaller by the mean length.

    Unbounded below. Raises ``ValueError`` for shapes or dtypes that do not fit, and on CPU for log-probabilities that
    are not finite or above 0 and for a row without targets.

    >>> ga_loss(torch.tensor([[-1.0, -3.0]]), torch.tensor([[True, True]]))
    tensor(-2.)
    """
    if isinstance(logps, Tensor) and logps.ndim == 1:
        if mask is not None:
            raise ValueError("mask must be left out for sums over sequences, logps of shape (batch,)")
        return checked_logps("logps", logps).mean()
    if mask is None:
        raise ValueError("mask must be given with the log-probabilities of tokens, got None")
    values, weights = _masked("logps", logps, mask)
    return _token_mean(values, weights) if per_token else (values * weights).sum(1).mean()


def wga_loss(token_logps: Tokens, mask: Mask, beta: float = 1.0) -> Float[Tensor, ""]:
    """``mean_t p_t^beta log p_t`` with the weights p_t^beta held constant: ascent that leaves unlikely tokens alone.

    Raises ``ValueError`` as ``ga_loss``, and for beta not above 0.

    >>> round(wga_loss(torch.tensor([[0.5]]).log(), torch.tensor([[True]])).item(), 4)
    -0.3466
    """
    positive("beta", beta)
    values, weights = _masked("token_logps", token_logps, mask)
    return _token_mean((beta * values.detach()).exp() * values, weights)


def simnpo_loss(
    logps: Sequences,
    lengths: Int[Tensor, " batch"],
    beta: float = 4.5,
    delta: float = 0.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, ""] | Sequences:
    """``−(2/beta) log sigma(−beta (logps/lengths + delta))``: NPO on length-normalised log-probabilities, no reference.

    ``delta`` is the margin: the negative log-likelihood per token at which forgetting slows down. Raises ``ValueError``
    for vectors that do not fit, beta not above 0, a delta that is not a number, and on CPU for lengths below 1 and
    log-probabilities that are not finite or above 0.

    >>> round(simnpo_loss(torch.tensor([-4.0]), torch.tensor([4]), beta=1.0).item(), 4)
    0.6265
    """
    positive("beta", beta)
    if isinstance(delta, bool) or not isinstance(delta, int | float) or not math.isfinite(delta):
        raise ValueError(f"delta must be a finite number, got {delta!r}")
    values = checked_logps("logps", logps)
    indices("lengths", lengths)
    if lengths.shape != values.shape:
        raise ValueError(f"lengths must have shape {tuple(values.shape)}, as logps, got {tuple(lengths.shape)}")
    if lengths.device.type == "cpu" and int(lengths.min()) < 1:
        raise ValueError(f"lengths must be at least 1, got {int(lengths.min())}")
    return reduce(-2 / beta * F.logsigmoid(-beta * (values / lengths + delta)), reduction)


def kto_loss(
    logps: Sequences,
    ref_logps: Sequences,
    kl: Float[Tensor, ""] | float,
    beta: float = 0.1,
    reduction: Reduction = "mean",
) -> Float[Tensor, ""] | Sequences:
    """``−(2/beta) log sigma(beta (kl + ref_logps − logps))``: NPO with a reference point.

    ``kl`` estimates KL(model || reference) on other data; no gradient flows into it. Raises ``ValueError`` as
    ``npo_loss``, and for a kl that is not one finite number of at least 0.

    >>> loss = kto_loss(torch.tensor([-1.0]), torch.tensor([-1.0]), kl=0.0, beta=2.0)
    >>> round(loss.item(), 4)
    0.6931
    """
    positive("beta", beta)
    ratio = log_ratio(logps, ref_logps)
    point = torch.as_tensor(kl).detach() if isinstance(kl, Tensor | float | int) else None
    if point is None or point.numel() != 1 or point.ndim or point.is_complex():
        raise ValueError(f"kl must be one number, got {kl!r:.60}")
    if point.device.type == "cpu" and not 0 <= float(point) < math.inf:
        raise ValueError(f"kl must be a finite number of at least 0, got {float(point)}")
    return reduce(-2 / beta * F.logsigmoid(beta * (point.to(ratio) - ratio)), reduction)


def dpo_loss(
    pol_w: Sequences,
    pol_l: Sequences,
    ref_w: Sequences,
    ref_l: Sequences,
    beta: float = 0.1,
    scale: float = 2.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, ""] | Sequences:
    """``−(scale/beta) log sigma(beta ((pol_w − ref_w) − (pol_l − ref_l)))``: the refusal w rather than the answer l.

    ``scale`` 2 makes it NPO where the refusal's log-probability does not move; the paper writes 1. Raises
    ``ValueError`` for vectors that do not fit, beta or scale not above 0, and on CPU for log-probabilities that are not
    finite or above 0.

    >>> logps = torch.tensor([-1.0])
    >>> round(dpo_loss(logps, logps, logps, logps, beta=2.0).item(), 4)
    0.6931
    """
    positive("beta", beta)
    positive("scale", scale)
    wanted, unwanted = log_ratio(pol_w, ref_w, "pol_w", "ref_w"), log_ratio(pol_l, ref_l, "pol_l", "ref_l")
    if wanted.shape != unwanted.shape:
        raise ValueError(f"pol_w and pol_l must have one shape, got {tuple(wanted.shape)}, {tuple(unwanted.shape)}")
    return reduce(-scale / beta * F.logsigmoid(beta * (wanted - unwanted)), reduction)


def idk_loss(token_logps: Tokens, mask: Mask) -> Float[Tensor, ""]:
    """Mean cross-entropy of refusals: their log-probabilities after the questions to forget. Raises as ``ga_loss``.

    >>> idk_loss(torch.tensor([[-1.0, -3.0]]), torch.tensor([[True, False]]))
    tensor(1.)
    """
    return -_token_mean(*_masked("token_logps", token_logps, mask))


def undial_loss(
    logits: Logits, ref_logits: Logits, input_ids: Int[Tensor, "batch tokens"], mask: Mask, beta: float = 10.0
) -> Float[Tensor, ""]:
    """Mean over targets of the cross-entropy of ``logits`` to ``softmax(ref_logits − beta onehot(true token))``.

    Distillation of a reference whose logit of the true token is lowered by beta: bounded, and defined everywhere.
    Logits are not shifted. Raises ``ValueError`` for shapes or dtypes that do not fit, beta not above 0, and on CPU for
    logits that are not finite, ids outside the vocabulary or a row without targets.

    >>> logits = torch.zeros(1, 2, 2)
    >>> round(undial_loss(logits, logits, torch.tensor([[0, 1]]), torch.tensor([[True]])).item(), 4)
    0.6931
    """
    positive("beta", beta)
    _check_logits(logits, ref_logits)
    indices("input_ids", input_ids)
    if input_ids.shape != logits.shape[:2]:
        raise ValueError(f"input_ids must have shape {tuple(logits.shape[:2])}, got {tuple(input_ids.shape)}")
    class_indices("input_ids", input_ids.reshape(-1), input_ids.numel(), logits.shape[2])
    weights = target_weights("mask", mask, logits, (logits.shape[0], logits.shape[1] - 1), "targets of logits")
    chosen = weights > 0
    student = torch.log_softmax(logits[:, :-1][chosen], dim=-1, dtype=computed(logits))
    teacher = ref_logits[:, :-1][chosen].detach().to(student.dtype, copy=True)
    true = input_ids[:, 1:][chosen][:, None].long()
    teacher.scatter_add_(-1, true, torch.full_like(true, -beta, dtype=teacher.dtype))
    return (-(torch.softmax(teacher, -1) * student).sum(-1) * weights[chosen]).sum() / weights.sum()


def nll_retain_loss(token_logps: Tokens, mask: Mask) -> Float[Tensor, ""]:
    """Mean cross-entropy over the targets of what to retain. Raises as ``ga_loss``.

    >>> nll_retain_loss(torch.tensor([[-1.0, -3.0]]), torch.tensor([[True, True]]))
    tensor(2.)
    """
    return -_token_mean(*_masked("token_logps", token_logps, mask))


def kl_retain_loss(logits: Logits, ref_logits: Logits, mask: Mask | None = None) -> Float[Tensor, ""]:
    """Mean over positions of KL(reference || model), of the positions that predict the mask's targets.

    Without a mask of all positions, prompt and padding included, as in common implementations. Raises ``ValueError``
    for shapes or dtypes that do not fit, and on CPU for logits that are not finite or a row without targets.

    >>> kl_retain_loss(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3))
    tensor(0.)
    """
    _check_logits(logits, ref_logits)
    weights = None
    if mask is not None:
        weights = target_weights("mask", mask, logits, (logits.shape[0], logits.shape[1] - 1), "targets of logits")
        chosen = weights > 0
        logits, ref_logits, weights = logits[:, :-1][chosen], ref_logits[:, :-1][chosen], weights[chosen]
    own = torch.log_softmax(logits, dim=-1, dtype=computed(logits))
    reference = torch.log_softmax(ref_logits.detach(), dim=-1, dtype=own.dtype)
    divergence = F.kl_div(own, reference, reduction="none", log_target=True).sum(-1)
    return divergence.mean() if weights is None else (divergence * weights).sum() / weights.sum()


def computed(values: Tensor) -> torch.dtype:
    """The dtype to compute in: at least float32."""
    return torch.promote_types(values.dtype, torch.float32)


def checked_logps(name: str, logps: Tensor) -> Tensor:
    """Log-probabilities of sequences in at least float32; refuses what cannot be any."""
    floating(name, logps, 1)
    values = logps.to(computed(logps))
    _check_range(name, values)
    return values


def log_ratio(logps: Tensor, ref_logps: Tensor, name: str = "logps", ref_name: str = "ref_logps") -> Tensor:
    """``logps − ref_logps`` of sequences, checked; the reference is a constant."""
    values, reference = checked_logps(name, logps), checked_logps(ref_name, ref_logps).detach()
    if values.shape != reference.shape:
        raise ValueError(f"{ref_name} must have shape {tuple(values.shape)}, as {name}, got {tuple(reference.shape)}")
    return values - reference


def sequence_sums(name: str, token_logps: Tensor, mask: Tensor) -> Tensor:
    """Sums over the targets of every row, checked."""
    values, weights = _masked(name, token_logps, mask)
    return sequence_logps(values, weights)


def _check_range(name: str, values: Tensor) -> None:
    if values.device.type != "cpu":
        return
    low, high = (float(end) for end in torch.aminmax(values.detach()))
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{name} must be finite, got NaN or infinite elements")
    if high > _ROUNDING:
        raise ValueError(f"{name} must be log-probabilities, at most 0, got {high}")


def _masked(name: str, token_logps: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities, 0 where the mask is, and its weights."""
    floating(name, token_logps, 2)
    weights = target_weights("mask", mask, token_logps, like_name=name)
    return target_logps(name, token_logps, weights), weights


def _token_mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum()


def _check_logits(logits: Tensor, ref_logits: Tensor) -> None:
    for name, value in (("logits", logits), ("ref_logits", ref_logits)):
        floating(name, value, 3)
        finite_contents(name, value)
    if logits.shape != ref_logits.shape:
        raise ValueError(f"ref_logits must have shape {tuple(logits.shape)}, got {tuple(ref_logits.shape)}")
    if logits.shape[1] < 2:
        raise ValueError(f"logits must have at least 2 tokens, got shape {tuple(logits.shape)}")
