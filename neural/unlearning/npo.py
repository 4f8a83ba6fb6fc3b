"""Negative preference optimisation: make a language model forget without making it babble.

    mask, ids = labels_to_mask(labels)                                             # −100: prompt and padding
    ref = sequence_logps(token_logps(start(ids).logits, ids), mask)                # once, of the model at the start
    logps = sequence_logps(token_logps(model(ids).logits, ids), mask)              # every step
    npo_loss(logps, ref[rows], beta=0.1).backward()

    L = −(2/beta) mean log sigma(−beta (logps − ref_logps)),     grad L = mean W grad logps,
    W = 2 p^beta / (p^beta + ref^beta)

W is 1 at the reference, where NPO's step is gradient ascent's, and goes to 0 as a sequence is forgotten; L is never
negative, so that there is nothing to gain from going on. For beta → 0 it is gradient ascent on the cross-entropy.
``UnlearningObjective`` joins it, or a baseline of ``neural.unlearning.losses``, with a term for what to retain.

Source: Zhang, Lin, Bai and Mei (2024), *Negative Preference Optimization: From Catastrophic Collapse to Effective
Unlearning*. Theory: ``theory.unlearning.npo``.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from neural.unlearning.losses import (
    dpo_loss,
    ga_loss,
    idk_loss,
    kl_retain_loss,
    kto_loss,
    log_ratio,
    nll_retain_loss,
    sequence_sums,
    simnpo_loss,
    undial_loss,
    wga_loss,
)
from neural.validation import Reduction, at_least, one_of, positive, reduce

__all__ = [
    "UnlearningObjective",
    "dpo_loss",
    "ga_loss",
    "idk_loss",
    "kl_retain_loss",
    "kto_loss",
    "nll_retain_loss",
    "npo_loss",
    "npo_weight",
    "simnpo_loss",
    "undial_loss",
    "wga_loss",
]

Sequences = Float[Tensor, " batch"]
Tokens = Float[Tensor, "batch targets"]
Mask = Float[Tensor, "batch targets"] | Bool[Tensor, "batch targets"]
Logits = Float[Tensor, "batch tokens vocabulary"]
Forget = Literal["npo", "simnpo", "ga", "wga", "kto", "dpo", "idk"]
Retain = Literal["nll", "kl", "none"]

_BETAS: dict[str, float] = {"npo": 0.1, "kto": 0.1, "dpo": 0.1, "simnpo": 4.5, "wga": 1.0}


def npo_loss(
    logps: Sequences, ref_logps: Sequences, beta: float = 0.1, reduction: Reduction = "mean"
) -> Float[Tensor, ""] | Sequences:
    """``(2/beta) log(1 + exp(beta (logps − ref_logps)))`` of sequences to forget.

    Args:
        logps: log-probabilities of the sequences, sums over their tokens, under the model.
        ref_logps: the same under the reference, as a rule the model at the start; no gradient flows into it.
        beta: large forgets less beyond the reference; small is close to gradient ascent.

    At least 0, and (2/beta) log 2 at the reference. Computed in float32, or float64 for float64. Raises ``ValueError``
    for vectors that do not fit, beta not above 0, and on CPU for log-probabilities that are not finite or above 0.

    >>> npo_loss(torch.tensor([-1.0, -9.0]), torch.tensor([-1.0, -1.0]), beta=0.5, reduction="none")
    tensor([2.7726, 0.0726])
    """
    _check_beta(beta)
    # −logsigmoid(−x), because softplus drops e^−x above x = 20.
    return reduce(-2 / beta * F.logsigmoid(-beta * log_ratio(logps, ref_logps)), reduction)


def npo_weight(logps: Sequences, ref_logps: Sequences, beta: float = 0.1) -> Sequences:
    """``W = 2 sigma(beta (logps − ref_logps))``, in (0, 2), detached: gradients of ``npo_loss`` over gradient ascent's.

    Raises ``ValueError`` as ``npo_loss``.

    >>> npo_weight(torch.tensor([-1.0, -9.0]), torch.tensor([-1.0, -1.0]), beta=0.5)
    tensor([1.0000, 0.0360])
    """
    _check_beta(beta)
    return 2 * torch.sigmoid(beta * log_ratio(logps, ref_logps).detach())


class UnlearningObjective(nn.Module):
    """``coef_f · forget + coef_r · retain``: what one step of unlearning minimises.

    Args:
        forget: ``npo``, ``simnpo``, ``ga``, ``wga``, ``kto``, ``dpo`` or ``idk`` (``neural.unlearning.losses``).
        retain: ``nll``, cross-entropy of a retain batch; ``kl``, divergence from the reference on it; ``none``.
        beta: of the forget loss; None is its usual value (0.1; ``simnpo`` 4.5, ``wga`` 1). Not used by ``ga``, ``idk``.
        coef_f, coef_r: at least 0.
        per_token: of ``ga`` alone: means over tokens, or over sequences of sums.

    Raises ``ValueError`` for other words, beta not above 0 or negative coefficients.

    >>> objective = UnlearningObjective("npo", retain="none")
    >>> objective(torch.tensor([[-1.0, -2.0]]), torch.tensor([[True, True]]), ref_logps=torch.tensor([-3.0]))
    tensor(13.8629)
    """

    def __init__(
        self,
        forget: Forget = "npo",
        retain: Retain = "nll",
        beta: float | None = None,
        coef_f: float = 1.0,
        coef_r: float = 1.0,
        per_token: bool = True,
    ) -> None:
        super().__init__()
        one_of("forget", forget, ("npo", "simnpo", "ga", "wga", "kto", "dpo", "idk"))
        one_of("retain", retain, ("nll", "kl", "none"))
        if beta is not None:
            _check_beta(beta)
        at_least("coef_f", coef_f, 0)
        at_least("coef_r", coef_r, 0)
        self.forget: Forget = forget
        self.retain: Retain = retain
        self.beta = _BETAS.get(forget, 1.0) if beta is None else beta
        self.coef_f, self.coef_r, self.per_token = coef_f, coef_r, per_token

    def forward(
        self,
        token_logps: Tokens | None = None,
        mask: Mask | None = None,
        ref_logps: Sequences | None = None,
        *,
        refusal_logps: Float[Tensor, "batch refusals"] | None = None,
        refusal_mask: Float[Tensor, "batch refusals"] | Bool[Tensor, "batch refusals"] | None = None,
        ref_refusal_logps: Sequences | None = None,
        kl: Float[Tensor, ""] | float | None = None,
        retain_logps: Float[Tensor, "retained others"] | None = None,
        retain_mask: Float[Tensor, "retained others"] | Bool[Tensor, "retained others"] | None = None,
        retain_logits: Float[Tensor, "retained tokens vocabulary"] | None = None,
        ref_retain_logits: Float[Tensor, "retained tokens vocabulary"] | None = None,
    ) -> Float[Tensor, ""]:
        """The loss of a batch.

        Args:
            token_logps, mask: of the answers to forget (all but ``idk``).
            ref_logps: sums over their targets under the reference (``npo``, ``kto``, ``dpo``).
            refusal_logps, refusal_mask: of refusals of the same questions (``dpo``, ``idk``).
            ref_refusal_logps: their sums under the reference (``dpo``).
            kl: divergence from the reference on other data (``kto``).
            retain_logps, retain_mask: of a retain batch (``nll``).
            retain_logits, ref_retain_logits: of a retain batch (``kl``), with ``retain_mask`` or for all positions.

        Raises ``ValueError`` for what is missing, and as the losses do.
        """
        loss = self.coef_f * self._forget(
            token_logps, mask, ref_logps, refusal_logps, refusal_mask, ref_refusal_logps, kl
        )
        if self.retain == "nll":
            retained = _named(
                nll_retain_loss,
                {"token_logps": "retain_logps", "mask": "retain_mask"},
                self._needed("retain_logps", retain_logps),
                self._needed("retain_mask", retain_mask),
            )
            return loss + self.coef_r * retained
        if self.retain == "kl":
            retained = _named(
                kl_retain_loss,
                {"ref_logits": "ref_retain_logits", "logits": "retain_logits", "mask": "retain_mask"},
                self._needed("retain_logits", retain_logits),
                self._needed("ref_retain_logits", ref_retain_logits),
                retain_mask,
            )
            return loss + self.coef_r * retained
        return loss

    def _forget(
        self,
        token_logps: Tensor | None,
        mask: Tensor | None,
        ref_logps: Tensor | None,
        refusal_logps: Tensor | None,
        refusal_mask: Tensor | None,
        ref_refusal_logps: Tensor | None,
        kl: Tensor | float | None,
    ) -> Tensor:
        names = {"token_logps": "refusal_logps", "mask": "refusal_mask"}
        if self.forget == "idk":
            refusals = self._needed("refusal_logps", refusal_logps), self._needed("refusal_mask", refusal_mask)
            return _named(idk_loss, names, *refusals)
        tokens, weights = self._needed("token_logps", token_logps), self._needed("mask", mask)
        if self.forget == "ga":
            return _named(ga_loss, {"logps": "token_logps"}, tokens, weights, self.per_token)
        if self.forget == "wga":
            return wga_loss(tokens, weights, self.beta)
        logps = sequence_sums("token_logps", tokens, weights)
        if self.forget == "simnpo":
            return simnpo_loss(logps, (weights > 0).sum(1), self.beta)
        reference = self._needed("ref_logps", ref_logps)
        if self.forget == "npo":
            return npo_loss(logps, reference, self.beta)
        if self.forget == "kto":
            return kto_loss(logps, reference, self._needed("kl", kl), self.beta)
        refusals = _named(
            lambda values, chosen: sequence_sums("token_logps", values, chosen), names,
            self._needed("refusal_logps", refusal_logps), self._needed("refusal_mask", refusal_mask),
        )  # fmt: skip
        ref_refusals = self._needed("ref_refusal_logps", ref_refusal_logps)
        return _named(
            dpo_loss, {"ref_w": "ref_refusal_logps", "ref_l": "ref_logps", "pol_w": "refusal_logps"},
            refusals, logps, ref_refusals, reference, self.beta,
        )  # fmt: skip

    def _needed(self, name: str, value: Any) -> Any:
        if value is None:
            raise ValueError(f"{name} must be given for {self.forget!r} with retain {self.retain!r}, got None")
        return value

    def extra_repr(self) -> str:
        return f"{self.forget!r}, retain={self.retain!r}, beta={self.beta}, coef_f={self.coef_f}, coef_r={self.coef_r}"


def _check_beta(beta: float) -> None:
    try:
        positive("beta", beta)
    except ValueError as error:
        raise ValueError(f"{error}; use ga_loss for beta=0") from None


def _named(loss: Callable[..., Tensor], names: dict[str, str], *arguments: Any) -> Tensor:
    """The loss, whose arguments have other names here."""
    try:
        return loss(*arguments)
    except ValueError as error:
        text = str(error)
        first = min((name for name in names if text.startswith(name)), key=len, default="")
        raise ValueError(names[first] + text[len(first) :] if first else text) from None
