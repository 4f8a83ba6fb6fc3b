"""SAFE-ALIGN: towards safe answers, and away from unsafe ones while the model still finds them likely.

    logps = token_logps(model(ids).logits, ids)              # blue and red texts in one forward pass
    nll = per_sample_nll(logps, mask)                        # means over the targets of each text
    safe_align_loss(nll[~is_red], nll[is_red]).backward()

    L = mean_{blue} nll − lambda1 · mean_{red: nll ≤ tau} nll − lambda2 · mean_{red: nll > tau} nll

with lambda2 < lambda1. Each mean is over its own subset, so that the last red text below tau carries all of lambda1; a
subset without texts counts 0. The threshold compares the *mean* token NLL. As a function of one red text's NLL the
objective jumps up by (lambda1 − lambda2)·tau at tau, which gradients do not see, and is unbounded below beyond it: the
second term slows the ascent down and does not end it. Three bounded variants, not of the paper, stand beside it:

    "clamp"         −lambda1 · mean min(nll, nll_max)                       no gradient beyond nll_max
    "npo"           lambda1 · mean (2/beta) log(1 + exp(beta (ref_nll − nll)))
    "unlikelihood"  −lambda1 · mean log(1 − p_t), of tokens (``SafeAlignObjective`` and ``unlikelihood_loss`` only)

and "none", −lambda1 · mean nll, is plain gradient ascent on red texts.

Sources: Bhardwaj and Poria (2023), *Red-teaming large language models using chain of utterances for safety-alignment*,
for the objective; Zhang, Lin, Bai and Mei (2024), *Negative preference optimization*; Welleck, Kulikov, Roller, Dinan,
Cho and Weston (2020), *Neural text generation with unlikelihood training*.
"""

import math
import warnings
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from neural.tiny_lm.logprobs import sequence_logps
from neural.validation import (
    Reduction,
    at_least,
    finite_contents,
    floating,
    in_range,
    one_of,
    positive,
    reduce,
    target_logps,
    target_weights,
)

__all__ = ["SafeAlignObjective", "per_sample_nll", "safe_align_loss", "unlikelihood_loss"]

LogProbs = Float[Tensor, "batch targets"]
Mask = Float[Tensor, "batch targets"] | Bool[Tensor, "batch targets"]
Bound = Literal["partition", "clamp", "none", "npo"]
TokenBound = Literal["partition", "clamp", "none", "npo", "unlikelihood"]

_ROUNDING = 1e-3
"""How far above 0 log-probabilities may be by rounding."""


def safe_align_loss(
    blue_nll: Float[Tensor, " blue"],
    red_nll: Float[Tensor, " red"],
    lambda1: float = 1.0,
    lambda2: float = 0.1,
    threshold: float = 1.0,
    bound: Bound = "partition",
    nll_max: float = 3.0,
    *,
    beta: float = 1.0,
    ref_red_nll: Float[Tensor, " red"] | None = None,
    allow_red_only: bool = False,
) -> Float[Tensor, ""]:
    """Mean NLL of safe texts minus what ``bound`` makes of that of unsafe ones.

    Args:
        blue_nll, red_nll: mean NLL per token of safe (also helpful and general) and unsafe texts, as ``per_sample_nll``
            gives them, in nats. No red text is plain fine-tuning.
        lambda1, lambda2: weights of red texts up to the threshold and beyond it; only ``partition`` has the second.
        threshold: tau, compared with the mean NLL (≤ is the strong side); infinity makes all of it strong.
        nll_max: of ``clamp``. beta, ref_red_nll: of ``npo``, the latter the NLL under the model at the start, to which
            no gradient flows.
        allow_red_only: accept a batch without safe texts, with a warning: such training destroys the model.

    Raises ``ValueError`` for vectors that do not fit, negative weights or threshold, no texts at all, no safe text
    unless allowed, ``npo`` without its reference, and on CPU for NLLs that are not finite or below 0.

    >>> safe_align_loss(torch.tensor([2.0]), torch.tensor([0.5, 1.0, 4.0]))          # 2 − 1 · 0.75 − 0.1 · 4
    tensor(0.8500)
    """
    one_of("bound", bound, ("partition", "clamp", "none", "npo"))
    _check_weights(lambda1, lambda2, threshold, nll_max, beta)
    blue, red = _losses("blue_nll", blue_nll), _losses("red_nll", red_nll)
    if not len(blue):
        _check_red_only("blue_nll", bool(len(red)), allow_red_only)
    if bound == "npo" and ref_red_nll is None and len(red):
        raise ValueError("ref_red_nll must be given for bound='npo', got None")
    reference = None
    if ref_red_nll is not None:
        reference = _losses("ref_red_nll", ref_red_nll).detach()
        if reference.shape != red.shape:
            raise ValueError(
                f"ref_red_nll must have shape {tuple(red.shape)}, as red_nll, got {tuple(reference.shape)}"
            )
    safe = _mean_of(blue, torch.ones_like(blue))
    return safe + _red_term(red, lambda1, lambda2, threshold, bound, nll_max, beta, reference)


def per_sample_nll(token_logps: LogProbs, mask: Mask) -> Float[Tensor, " batch"]:
    """Mean negative log-likelihood of each row's targets, computed in at least float32.

    Raises ``ValueError`` for shapes or dtypes that do not fit, and on CPU for a row without targets, negative weights
    and log-probabilities that are not finite or above 0.

    >>> per_sample_nll(torch.tensor([[-1.0, -3.0, -9.0]]), torch.tensor([[True, True, False]]))
    tensor([2.])
    """
    values, weights = _masked(token_logps, mask)
    return -sequence_logps(values, weights, average=True)


def unlikelihood_loss(
    token_logps: LogProbs, mask: Mask, reduction: Reduction = "mean"
) -> Float[Tensor, ""] | Float[Tensor, " batch"]:
    """``−log(1 − p_t)`` in the mean over the targets of each row: at least 0, and 0 where tokens are impossible.

    A probability within rounding of 1 counts as the largest one below 1 of its dtype, which keeps the loss finite.
    Raises ``ValueError`` as ``per_sample_nll``.

    >>> unlikelihood_loss(torch.tensor([[0.5, 0.75]]).log(), torch.tensor([[True, True]]))
    tensor(1.0397)
    """
    values, weights = _masked(token_logps, mask)
    values = values.clamp_max(-torch.finfo(values.dtype).eps / 2)
    # log(1 − p) loses its digits in log1p(−p) for p near 1 and in log(−expm1) for p near 0.
    near_one = values > -math.log(2)
    unlikely = torch.where(
        near_one,
        (-torch.expm1(torch.where(near_one, values, -1.0))).log(),
        torch.log1p(-torch.where(near_one, -1.0, values).exp()),
    )
    return reduce(-sequence_logps(unlikely, weights, average=True), reduction)


class SafeAlignObjective(nn.Module):
    """SAFE-ALIGN on a mixed batch, from the log-probabilities of one forward pass.

    Args: as ``safe_align_loss``; ``bound`` may also be ``unlikelihood``.

    Raises ``ValueError`` for another bound and for weights or thresholds below 0.

    >>> objective = SafeAlignObjective(bound="clamp", nll_max=1.5)
    >>> logps, mask = torch.tensor([[-1.0, -3.0], [-2.0, -2.0]]), torch.ones(2, 2, dtype=torch.bool)
    >>> objective(logps, mask, is_red=torch.tensor([False, True]))
    tensor(0.5000)
    """

    def __init__(
        self,
        lambda1: float = 1.0,
        lambda2: float = 0.1,
        threshold: float = 1.0,
        bound: TokenBound = "partition",
        nll_max: float = 3.0,
        *,
        beta: float = 1.0,
        allow_red_only: bool = False,
    ) -> None:
        super().__init__()
        one_of("bound", bound, ("partition", "clamp", "none", "npo", "unlikelihood"))
        _check_weights(lambda1, lambda2, threshold, nll_max, beta)
        self.lambda1, self.lambda2, self.threshold = lambda1, lambda2, threshold
        self.bound: TokenBound = bound
        self.nll_max, self.beta, self.allow_red_only = nll_max, beta, allow_red_only

    def forward(
        self,
        token_logps: LogProbs,
        mask: Mask,
        is_red: Bool[Tensor, " batch"],
        ref_nll: Float[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, ""]:
        """The loss of a batch whose unsafe texts are marked; of ``ref_nll`` (``npo`` alone) only their entries count.

        Raises ``ValueError`` for what does not fit, ``npo`` without a reference, no safe text unless that was allowed,
        and as ``per_sample_nll``.
        """
        nll = per_sample_nll(token_logps, mask)
        if not isinstance(is_red, Tensor) or is_red.dtype != torch.bool or is_red.shape != nll.shape:
            got = f"{is_red.dtype} of {tuple(is_red.shape)}" if isinstance(is_red, Tensor) else type(is_red).__name__
            raise ValueError(f"is_red must be bool of shape {tuple(nll.shape)}, one per row of token_logps, got {got}")
        if self.bound == "npo" and ref_nll is None:
            raise ValueError("ref_nll must be given for bound='npo', got None")
        reference = None
        if ref_nll is not None:
            if not isinstance(ref_nll, Tensor) or ref_nll.shape != nll.shape:
                got = tuple(ref_nll.shape) if isinstance(ref_nll, Tensor) else type(ref_nll).__name__
                raise ValueError(f"ref_nll must have shape {tuple(nll.shape)}, one per row of token_logps, got {got}")
            reference = _losses("ref_nll", ref_nll)[is_red]
        if bool(is_red.all()):
            _check_red_only("is_red", True, self.allow_red_only)
        blue = nll[~is_red]
        safe = _mean_of(blue, torch.ones_like(blue))
        if self.bound != "unlikelihood":
            red = nll[is_red]
            weights = (self.lambda1, self.lambda2, self.threshold)
            return safe + _red_term(red, *weights, self.bound, self.nll_max, self.beta, reference)
        if not bool(is_red.any()):
            return safe
        penalty = unlikelihood_loss(token_logps[is_red], mask[is_red], reduction="none")
        return safe + self.lambda1 * penalty.mean()

    def extra_repr(self) -> str:
        return f"lambda1={self.lambda1}, lambda2={self.lambda2}, threshold={self.threshold}, bound={self.bound!r}"


def _red_term(
    red: Tensor,
    lambda1: float,
    lambda2: float,
    threshold: float,
    bound: Bound,
    nll_max: float,
    beta: float,
    reference: Tensor | None,
) -> Tensor:
    every = torch.ones_like(red)
    if bound == "partition":
        strong = (red <= threshold).to(red.dtype)
        return -lambda1 * _mean_of(red, strong) - lambda2 * _mean_of(red, every - strong)
    if bound == "clamp":
        return -lambda1 * _mean_of(red.clamp_max(nll_max), every)
    if bound == "npo" and reference is not None:
        # −logsigmoid(−x), because softplus drops e^−x above x = 20.
        return lambda1 * _mean_of(-2 / beta * F.logsigmoid(beta * (red - reference)), every)
    return -lambda1 * _mean_of(red, every)


def _mean_of(values: Tensor, chosen: Tensor) -> Tensor:
    """Mean over the chosen, 0 if there are none."""
    return (values * chosen).sum() / chosen.sum().clamp_min(1)


def _check_weights(lambda1: float, lambda2: float, threshold: float, nll_max: float, beta: float) -> None:
    at_least("lambda1", lambda1, 0)
    at_least("lambda2", lambda2, 0)
    in_range("threshold", threshold, 0, math.inf)
    positive("nll_max", nll_max)
    positive("beta", beta)


def _check_red_only(name: str, has_red: bool, allowed: bool) -> None:
    if not has_red or not allowed:
        raise ValueError(f"{name} must leave at least one safe text unless allow_red_only=True, got none")
    warnings.warn("without safe texts the ascent on unsafe ones destroys the model", stacklevel=3)


def _losses(name: str, nll: Tensor) -> Tensor:
    """NLLs in at least float32, possibly none; refuses what cannot be any."""
    if not isinstance(nll, Tensor) or not nll.is_floating_point() or nll.ndim != 1:
        got = f"{nll.dtype} of shape {tuple(nll.shape)}" if isinstance(nll, Tensor) else type(nll).__name__
        raise ValueError(f"{name} must be a floating-point vector, got {got}")
    values = nll.to(torch.promote_types(nll.dtype, torch.float32))
    finite_contents(name, values)
    if values.device.type == "cpu" and len(values) and float(values.detach().min()) < -_ROUNDING:
        raise ValueError(f"{name} must be negative log-likelihoods, at least 0, got {float(values.detach().min())}")
    return values


def _masked(token_logps: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities, 0 where the mask is, and its weights."""
    floating("token_logps", token_logps, 2)
    weights = target_weights("mask", mask, token_logps)
    return target_logps("token_logps", token_logps, weights), weights
