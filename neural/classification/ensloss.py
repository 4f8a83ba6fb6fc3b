"""EnsLoss: train with another calibrated loss at every step, by drawing the derivatives instead of the loss.

With targets y = ±1 and margins ``m = y · logit`` stochastic gradients of a margin loss phi are those of

    mean_i( g_i m_i ),      g_i = phi'(m_i) held constant.

EnsLoss draws the g_i: random negative numbers, the most negative for the smallest margin, so that they are derivatives
of *some* convex and classification-calibrated loss, a different one every time. It replaces the loss of a
binary-classification loop:

    criterion = EnsLoss()                                 # instead of nn.BCEWithLogitsLoss()
    criterion(model(x).squeeze(1), y).backward()          # y in {0, 1} or {−1, 1}

The *value* of the loss means nothing: only its gradient does. Log another loss (``margin_loss("bce")``), and never stop
early on this one. Ranks are those of the batch at hand: small batches make them nearly meaningless, and with gradient
accumulation or data parallelism each micro-batch is ranked by itself.

Source: Dai (2025), *EnsLoss: Stochastic Calibrated Loss Ensembles for Preventing Overfitting in Classification*.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from neural.validation import at_least, finite_contents, floating, one_of, positive, whole_number

__all__ = ["EnsLoss", "derivative_loss", "inverse_box_cox", "margin_loss", "sample_calibrated_derivatives"]

Targets = Float[Tensor, "..."] | Int[Tensor, "..."] | Bool[Tensor, "..."]

_BASES = ("normal", "exponential")
# Below this, lam u underflows or vanishes beside 1, and the exponential is exact to the last digit.
_EXPONENTIAL_BELOW = 1e-30


class EnsLoss(nn.Module):
    """A drop-in for ``nn.BCEWithLogitsLoss``: the gradient of a random calibrated loss at every call.

    Args:
        lam: parameter of the inverse Box-Cox transform that makes magnitudes of the draws; 0 is the paper's default.
        resample_lam: redraw ``lam`` uniformly from ``lam_range`` after so many training steps (``None``: never).
        clip, tail_power, floor, base: as in ``sample_calibrated_derivatives``.
        generator: source of randomness; the default one of the device if ``None``. Draws are made on its device.

    After a call ``last_derivatives`` has the derivatives drawn, in the order of the batch, and ``lam`` the parameter in
    use. Half-precision logits get derivatives in float32, where the floor does not vanish.

    Raises ``ValueError`` for ``lam`` not finite, ``clip`` not above 0, ``tail_power`` or ``floor`` below 0, another
    ``base``, ``resample_lam`` below 1, or a ``lam_range`` that is not (low, high) with low <= high.

    >>> criterion = EnsLoss(generator=torch.Generator().manual_seed(0))
    >>> logits = torch.tensor([2.0, -1.0], requires_grad=True)
    >>> criterion(logits, torch.tensor([1, 0])).backward()
    >>> bool(logits.grad[0] < 0 < logits.grad[1])
    True
    """

    last_derivatives: Tensor | None

    def __init__(
        self,
        lam: float = 0.0,
        resample_lam: int | None = None,
        clip: float = 1.0,
        tail_power: float = 1.0,
        floor: float = 1e-6,
        base: str = "normal",
        lam_range: tuple[float, float] = (-1.0, 1.0),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        _check_sampling(lam, clip, tail_power, floor, base)
        if resample_lam is not None:
            whole_number("resample_lam", resample_lam, 1)
        if not (isinstance(lam_range, tuple | list) and len(lam_range) == 2):
            raise ValueError(f"lam_range must be (low, high), got {lam_range!r:.60}")
        for end in lam_range:
            at_least("lam_range", end, -math.inf)
        if lam_range[0] > lam_range[1]:
            raise ValueError(f"lam_range must be (low, high) with low <= high, got {lam_range!r}")
        _check_generator(generator)
        self.lam, self.resample_lam, self.lam_range = float(lam), resample_lam, lam_range
        self.clip, self.tail_power, self.floor, self.base = clip, tail_power, floor, base
        self.generator = generator
        self.last_derivatives = None
        self._steps = 0

    def forward(self, logits: Float[Tensor, "..."], target: Targets) -> Float[Tensor, ""]:
        """``mean(g_i m_i)``, whose gradient is ``g_i y_i / B``.

        ``logits`` and ``target`` are both ``(batch,)`` or both ``(batch, 1)``. Raises ``ValueError`` for other shapes,
        an empty batch, logits that are not floating-point, and on the CPU for logits that are not finite or targets
        other than {0, 1} or {−1, 1}.
        """
        scores, signs = _binary(logits, target)
        if self.training:
            self._maybe_redraw_lam()
        g = _sample(
            scores.detach() * signs, self.lam, self.clip, self.tail_power, self.floor, self.base, self.generator
        )
        self.last_derivatives = g
        return _held_constant(scores, signs, g)

    def extra_repr(self) -> str:
        return (
            f"lam={self.lam}, resample_lam={self.resample_lam}, clip={self.clip}, tail_power={self.tail_power}, "
            f"floor={self.floor}, base={self.base!r}"
        )

    def _maybe_redraw_lam(self) -> None:
        if self.resample_lam is not None and self._steps % self.resample_lam == 0 and self._steps > 0:
            device = "cpu" if self.generator is None else self.generator.device
            low, high = self.lam_range
            self.lam = low + (high - low) * float(torch.rand((), generator=self.generator, device=device))
        self._steps += 1


def sample_calibrated_derivatives(
    margins: Float[Tensor, "*models batch"],
    lam: float = 0.0,
    clip: float = 1.0,
    tail_power: float = 1.0,
    floor: float = 1e-6,
    base: str = "normal",
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*models batch"]:
    """Random derivatives of a convex calibrated loss at these margins; each row of the last axis is a batch of its own.

        X_i = inverse_box_cox(u_i, lam),       g_(k) = −min(k-th largest X, clip) / max(m_(k), 1)^tail_power − floor

    for the k-th smallest margin ``m_(k)`` (ties: in the order given). So g does not decrease in the margin
    and lies in ``[−clip − floor, −floor]``. ``base`` is the distribution of u: standard normal, or the
    logarithm of a standard exponential (magnitudes are then exponential at ``lam = 0``). As the derivative of one fixed
    loss the default tail 1/m would not be bounded below; ``tail_power=2`` is safe there too. Half-precision margins
    give float32.

    Raises ``ValueError`` for margins that are empty, not floating-point or (on the CPU) not finite, and for parameters
    as ``EnsLoss``.

    >>> g = sample_calibrated_derivatives(torch.tensor([-2.0, 0.0, 3.0]), generator=torch.Generator().manual_seed(0))
    >>> bool((g.diff() >= 0).all() and (g < 0).all())
    True
    """
    floating("margins", margins)
    if margins.ndim == 0:
        raise ValueError("margins must have a batch axis, got a single number")
    finite_contents("margins", margins)
    _check_sampling(lam, clip, tail_power, floor, base)
    _check_generator(generator)
    return _sample(margins.detach(), lam, clip, tail_power, floor, base, generator)


def derivative_loss(
    logits: Float[Tensor, "..."], target: Targets, derivatives: Float[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """``mean(g_i m_i)`` with given g: its gradient is that of any margin loss with these derivatives at the margins.

    Shapes and errors as ``EnsLoss.forward``; ``derivatives`` are one number per logit and pass no gradient.

    >>> logits = torch.tensor([0.3, -2.0], requires_grad=True)
    >>> derivative_loss(logits, torch.tensor([1, 0]), torch.tensor([-0.5, -0.1])).backward()
    >>> logits.grad.tolist() == [-0.25, torch.tensor(0.05).item()]
    True
    """
    scores, signs = _binary(logits, target)
    floating("derivatives", derivatives, 1)
    finite_contents("derivatives", derivatives)
    if len(derivatives) != len(scores):
        raise ValueError(f"derivatives must have one number for each of {len(scores)} logits, got {len(derivatives)}")
    return _held_constant(scores, signs, derivatives.detach())


def inverse_box_cox(u: Float[Tensor, "..."], lam: float) -> Float[Tensor, "..."]:
    """``(1 + lam u)_+^{1/lam}``, ``e^u`` at ``lam = 0``; where ``1 + lam u <= 0``: 0 or, for lam < 0, infinity.

    Raises ``ValueError`` for ``lam`` not finite, and u empty, not floating-point or (on the CPU) not finite.

    >>> inverse_box_cox(torch.tensor([1.5, -3.0]), 1.0)
    tensor([2.5000, 0.0000])
    """
    floating("u", u)
    finite_contents("u", u)
    at_least("lam", lam, -math.inf)
    return _inverse_box_cox(u, lam)


def margin_loss(name: str) -> Callable[[Tensor], Tensor]:
    """A fixed margin loss, elementwise on margins ``y · logit``.

    ``"bce"``, ``"hinge"``, ``"exp"``, ``"squared"``, ``"focal"`` (gamma = 2, no class weights), and the hinge with
    tails beyond 1 that leave it with slope −1: ``"sqrt_hinge"`` −2(√m − 1), ``"log_hinge"`` −log m, ``"inv_hinge"``
    1/m − 1, ``"exp_hinge"`` e^{1−m} − 1, ``"inv_log_hinge"`` e/log(m + e − 1) − e. The first two tails are not bounded
    below, the focal loss is not convex. Below a margin of −22 (float32; −177 in float64) the exponential goes on
    linearly, so that gradients and their squares stay finite; clip gradient norms when training with it.

    Raises ``ValueError`` for another name; the function returned, for margins that are empty or not floating-point.

    >>> margin_loss("sqrt_hinge")(torch.tensor([0.0, 4.0]))
    tensor([ 1., -2.])
    """
    one_of("name", name, _LOSSES)
    loss = _LOSSES[name]

    def of_margins(margins: Tensor) -> Tensor:
        floating("margins", margins)
        return loss(margins)

    return of_margins


def _hinge_with_tail(tail: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    # The tail is never evaluated below 1: a NaN in the branch not taken would still reach the gradient.
    return lambda m: torch.where(m <= 1, 1 - m, tail(m.clamp(min=1)))


def _exponential(m: Tensor) -> Tensor:
    limit = math.log(torch.finfo(m.dtype).max) / 4
    return torch.exp(-m.clamp(min=-limit)) + math.exp(limit) * F.relu(-limit - m)


# softplus drops e^{−m} above 20, −logsigmoid does not
_LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "bce": lambda m: -F.logsigmoid(m),
    "hinge": lambda m: F.relu(1 - m),
    "exp": _exponential,
    "squared": lambda m: (1 - m).square(),
    "focal": lambda m: torch.sigmoid(-m).square() * -F.logsigmoid(m),
    "sqrt_hinge": _hinge_with_tail(lambda m: 2 - 2 * m.sqrt()),
    "log_hinge": _hinge_with_tail(lambda m: -m.log()),
    "inv_hinge": _hinge_with_tail(lambda m: m.reciprocal() - 1),
    "exp_hinge": _hinge_with_tail(lambda m: torch.expm1(1 - m)),
    "inv_log_hinge": _hinge_with_tail(lambda m: math.e / (m + (math.e - 1)).log() - math.e),
}


def _sample(
    margins: Tensor,
    lam: float,
    clip: float,
    tail_power: float,
    floor: float,
    base: str,
    generator: torch.Generator | None,
) -> Tensor:
    dtype = torch.promote_types(margins.dtype, torch.float32)
    device = margins.device if generator is None else generator.device
    u = torch.randn(margins.shape, dtype=dtype, device=device, generator=generator)
    if base == "exponential":
        u = u.exponential_(generator=generator).log_()
    # X grows with u and is cut before anything is multiplied, so that an infinite one never meets a 0.
    g = _inverse_box_cox(u.to(margins.device).sort(dim=-1, descending=True).values, lam).clamp_(max=clip).neg_()
    ascending = margins.sort(dim=-1, stable=True)
    if tail_power:
        beyond = ascending.values.to(dtype).clamp(min=1.0)
        g.div_(beyond if tail_power == 1 else beyond**tail_power)
        if tail_power != 1:
            # Powers of equal margins may differ by rounding, between a vector's lanes and what is left over.
            g = g.cummax(dim=-1).values
    g = torch.empty_like(g).scatter_(-1, ascending.indices, g)
    return g.sub_(floor)


def _inverse_box_cox(u: Tensor, lam: float) -> Tensor:
    if abs(lam) < _EXPONENTIAL_BELOW:
        return u.exp()
    return ((lam * u).clamp(min=-1.0).log1p() / lam).exp()


def _held_constant(scores: Tensor, signs: Tensor, g: Tensor) -> Tensor:
    """``mean(g · signs · scores)`` as one product, at least in single precision."""
    dtype = torch.promote_types(scores.dtype, g.dtype)
    return torch.dot(scores.to(dtype), (g * signs).to(dtype).div_(len(g)))


def _binary(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Scores ``(batch,)`` and signs ±1, checked."""
    floating("logits", logits)
    if logits.ndim not in (1, 2) or (logits.ndim == 2 and logits.shape[1] != 1):
        raise ValueError(f"logits must have shape (batch,) or (batch, 1): two classes, got {tuple(logits.shape)}")
    if not isinstance(target, Tensor) or target.shape != logits.shape:
        got = tuple(target.shape) if isinstance(target, Tensor) else type(target).__name__
        raise ValueError(f"target must have the shape of logits, {tuple(logits.shape)}, got {got}")
    if target.is_complex():
        raise ValueError(f"target must hold real numbers, got {target.dtype}")
    dtype = torch.promote_types(logits.dtype, torch.float32)
    if target.device.type == "cpu":
        zero_one = _check_contents(logits.detach(), target)
        signs = target.to(dtype)
    else:
        zero_one, signs = True, (target > 0).to(dtype)
    # 2 target − 1 in one call
    return logits.flatten(), (torch.rsub(signs, -1, alpha=-2) if zero_one else signs).flatten()


def _check_contents(logits: Tensor, target: Tensor) -> bool:
    """Whether targets are 0 and 1, rather than −1 and 1; one pass over each tensor while all is well."""
    # NaN and infinity show in the extremes.
    if not all(math.isfinite(end) for end in torch.aminmax(logits)):
        finite_contents("logits", logits)
    squares = target * target
    if torch.equal(squares, target):
        return True
    if not bool((squares == 1).all()):
        raise ValueError(f"target must hold 0 and 1, or −1 and 1, got {target.unique()[:5].tolist()}")
    return False


def _check_sampling(lam: float, clip: float, tail_power: float, floor: float, base: str) -> None:
    at_least("lam", lam, -math.inf)
    positive("clip", clip)
    at_least("tail_power", tail_power, 0.0)
    at_least("floor", floor, 0.0)
    one_of("base", base, _BASES)


def _check_generator(generator: torch.Generator | None) -> None:
    if generator is not None and not isinstance(generator, torch.Generator):
        raise ValueError(f"generator must be a torch.Generator, got {generator!r:.60}")
