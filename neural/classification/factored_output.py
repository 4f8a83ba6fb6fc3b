"""An output layer for very many classes whose training step costs O(d^2) per example, whatever their number D.

For losses of the spherical family the gradient in the scores ``O = W H`` (D classes, d hidden units, m examples) is
``G = 2 O diag(gq) + Y + 1 gs^T`` with Y sparse (one entry per target): dense, but of a form that the weights can be
kept in. With

    W = V U + 1 omega^T,        Q = W^T W,        w = W^T 1                    V: D x d,   U, Q: d x d,   omega, w: d

loss, gradient in H and the *exact* step ``W - eta G H^T`` touch only the targets' rows of V, beside matrices of
order d and m. The weights are those that stochastic gradient descent on the explicit layer would have, up to rounding.

    layer = FactoredOutputLayer(D=793_471, d=512, eta=0.01)
    loss = factored_spherical_loss(hidden, target, z_loss_of_coordinates, layer)
    loss.backward()         # the gradient reaches `hidden`, and the layer has taken its step: no optimiser holds W

Only plain gradient descent (with weight decay and any schedule of ``eta``) is exact; momentum or Adam on W are not of
this form. Layers below may use any optimiser. For a bias, append a constant feature to the hidden units.

Source: Vincent, de Brébisson and Bouthillier (2015), *Efficient exact gradient update for training deep networks with
very large sparse targets*; the sum's part (omega, w) and the Z-loss: de Brébisson and Vincent (2016), *The Z-loss*.
All updates are derived anew.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from neural.classification.z_loss import CoordinateLoss
from neural.validation import (
    Reduction,
    at_least,
    class_indices,
    finite_contents,
    floating,
    one_of,
    positive,
    reduce,
    whole_number,
)

__all__ = ["FactoredOutputLayer", "factored_spherical_loss"]

_REPAIR = 30
"""Value of ``||U|| ||U^-1|| / d`` (Frobenius norms: 1 for a rotation) above which U is mended before its turn."""
_LOST = 1e4
"""… and above which the step is taken on explicit weights, because the inverse would lose digits."""
_ROWS = 1 << 16
"""Rows of V that are widened to float64 at a time."""
_SMALL = ("U", "U_inverse_T", "omega", "Q", "class_sum")
"""The state of order d, always float64."""


class FactoredOutputLayer(nn.Module):
    """D output classes over d hidden units, held as ``V U + 1 omega^T``.

    A step is ``forward``, then ``backward_update`` with the derivatives of the loss in what ``forward`` returned;
    ``factored_spherical_loss`` does both through autograd. V has the layer's dtype, everything of order d is
    float64, which is what keeps the variance ``q/D - (s/D)^2`` accurate. The state is buffers, not parameters:
    ``state_dict`` saves it, and no optimiser touches it.

    U drifts away from a rotation. Every ``stabilize_every`` steps, and at once where ``||U|| ||U^-1||`` asks for it,
    singular values more than a factor 2 away from their median are put back and V takes the difference: the weights
    stay the same, at O(D d) for each such value. A step that would make U singular (``2 eta gq ||h||^2 = 1``) is
    taken on the explicit weights, at O(D d^2). With ``stabilize_every=0`` nothing of this happens, and such a step
    raises ``RuntimeError``.

    Args:
        D: classes, at least 2.
        d: hidden units.
        eta: learning rate; the attribute of that name may be changed between steps.
        stabilize_every: steps between looks at the singular values of U.
        weight_decay: as in ``torch.optim.SGD``: ``W <- (1 - eta weight_decay) W - eta G H^T``.
        generator: for the initial weights, uniform in ±1/sqrt(d) as in ``nn.Linear``; W must not start at 0.
        dtype: of V.

    Raises ``ValueError`` for numbers out of range or ``eta weight_decay >= 1``.

    >>> layer = FactoredOutputLayer(D=1000, d=4, eta=0.1)
    >>> target_scores, q, s = layer(torch.ones(2, 4), torch.tensor([3, 7]))
    >>> layer.backward_update(gA=-torch.ones(2), gq=torch.zeros(2), gs=torch.zeros(2)).shape
    torch.Size([2, 4])
    """

    V: Tensor
    U: Tensor
    U_inverse_T: Tensor
    omega: Tensor
    Q: Tensor
    class_sum: Tensor

    def __init__(
        self, D: int, d: int, eta: float, stabilize_every: int = 100, *, weight_decay: float = 0.0,
        generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32,
    ) -> None:  # fmt: skip
        super().__init__()
        whole_number("D", D, 2)
        whole_number("d", d, 1)
        whole_number("stabilize_every", stabilize_every, 0)
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"dtype must be torch.float32 or torch.float64, got {dtype}")
        self.D, self.d, self.eta, self.stabilize_every, self.weight_decay = D, d, eta, stabilize_every, weight_decay
        self._check_rates()
        device = torch.device("cpu") if generator is None else generator.device
        weight = torch.empty(D, d, dtype=dtype, device=device).uniform_(-(d**-0.5), d**-0.5, generator=generator)
        self.register_buffer("V", weight)
        for name, shape in (
            ("U", (d, d)),
            ("U_inverse_T", (d, d)),
            ("omega", (d,)),
            ("Q", (d, d)),
            ("class_sum", (d,)),
        ):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64, device=device))
        self._restart()
        self.steps = 0
        self.repairs = 0
        self._pending: tuple[Tensor, ...] | None = None

    @classmethod
    def from_weight(
        cls, weight: Float[Tensor, "D d"], eta: float, stabilize_every: int = 100, *, weight_decay: float = 0.0
    ) -> "FactoredOutputLayer":
        """A layer that starts at a copy of these weights. Raises ``ValueError`` as the constructor."""
        floating("weight", weight, 2)
        finite_contents("weight", weight)
        generator = torch.Generator(weight.device)
        layer = cls(
            weight.shape[0], weight.shape[1], eta, stabilize_every,
            weight_decay=weight_decay, generator=generator, dtype=weight.dtype,
        )  # fmt: skip
        layer.V.copy_(weight.detach())
        layer._restart()
        return layer

    @torch.no_grad()
    def forward(
        self, H: Float[Tensor, "batch d"], idx: Int[Tensor, "batch *targets"]
    ) -> tuple[Float[Tensor, "batch *targets"], Float[Tensor, " batch"], Float[Tensor, " batch"]]:
        """Scores of the targets ``A``, squared norms ``q`` and sums ``s`` of all D scores, in float64.

        ``idx`` holds one class index per example, or several along a second axis. Keeps what ``backward_update``
        needs. Raises ``ValueError`` for shapes and dtypes that do not fit, an empty batch, and on CPU for hidden units
        that are not finite or indices outside ``0 … D − 1``.
        """
        self._check_hidden("H", H)
        if not isinstance(idx, Tensor) or idx.ndim not in (1, 2) or idx.shape[:1] != H.shape[:1] or idx.numel() == 0:
            got = tuple(idx.shape) if isinstance(idx, Tensor) else type(idx).__name__
            raise ValueError(f"idx must have shape ({len(H)},) or ({len(H)}, targets), got {got}")
        class_indices("idx", idx.reshape(-1), idx.numel(), self.D)
        return self._coordinates(H, idx)

    @torch.no_grad()
    def backward_update(
        self, gA: Float[Tensor, "batch *targets"], gq: Float[Tensor, " batch"], gs: Float[Tensor, " batch"]
    ) -> Float[Tensor, "batch d"]:
        """Take the step ``W <- W - eta G H^T`` for the latest ``forward``; returns the gradient in H, before the step.

        ``gA, gq, gs`` are the derivatives of the loss (summed or averaged over the batch) in the target scores, squared
        norms and sums. An index that occurs twice counts twice. Raises ``ValueError`` for shapes that do not fit and
        on CPU for derivatives that are not finite, ``RuntimeError`` if there was no ``forward`` since the last step.
        """
        if self._pending is None:
            raise RuntimeError("backward_update must follow a forward: each forward allows one step")
        hidden, idx, rows, by_Q, by_U = self._pending
        for name, value, shape in (("gA", gA, idx.shape), ("gq", gq, idx.shape[:1]), ("gs", gs, idx.shape[:1])):
            floating(name, value)
            if value.shape != shape:
                raise ValueError(f"{name} must have shape {tuple(shape)}, got {tuple(value.shape)}")
            _check_finite(name, value)
        self._check_rates()
        self._pending = None
        m, eta, keep = len(hidden), self.eta, 1 - self.eta * self.weight_decay
        gA, gq, gs = gA.double().reshape(m, -1), gq.double()[:, None], gs.double()
        flat, sum_gA = idx.reshape(-1), gA.sum(dim=1)
        # Rows are examples here: everything is the transpose of what the papers write.
        scaled = 2 * gq * hidden
        sparse = (gA[:, :, None] * rows.reshape(m, -1, self.d)).sum(dim=1) @ self.U
        sparse += torch.outer(sum_gA, self.omega).addr_(gs, self.class_sum)
        by_hidden = torch.addcmul(sparse, by_Q, 2 * gq)
        gram = _gradient_gram(scaled, gq * by_Q + sparse, gA, gs, sum_gA, flat, self.D)

        # Q + change + change^T is the square of the new weights: the part of second order is split between the two.
        change = hidden.T @ torch.add(gram @ hidden, by_hidden, alpha=-2 * keep / eta).mul_(eta**2 / 2)
        self.Q.mul_(keep**2).add_(change).add_(change.T)
        from_omega, from_sum = scaled @ self.omega, scaled @ self.class_sum
        self.omega.mul_(keep).sub_(eta * ((from_omega + gs) @ hidden))
        self.class_sum.mul_(keep).sub_(eta * ((from_sum + sum_gA + self.D * gs) @ hidden))
        self._step_factors(hidden, scaled, by_U, gA, flat, keep)
        self.steps += 1
        if self.stabilize_every and self.steps % self.stabilize_every == 0:
            self.stabilize()
        return by_hidden

    @torch.no_grad()
    def stabilize(self) -> int:
        """Put the outlying singular values of U back to their median; returns how many there were.

        The weights stay the same. If more than a third lie outside, ``unfactorize`` does it.
        """
        self._pending = None
        left, values, right = torch.linalg.svd(self.U)
        target = values.median()
        outside = (values > 2 * target) | (values < target / 2)
        count = int(outside.sum())
        if count > self.d / 3 or not 2.0**-20 < float(target) < 2.0**20:
            self.unfactorize()
            return count
        if count:
            vectors, ratios = left[:, outside], values[outside] / target - 1
            self._add_to_rows((vectors * ratios) @ vectors.T)
            values = torch.where(outside, target, values)
            self.U.copy_((left * values) @ right)
            self.repairs += 1
        # The inverse is renewed either way: what rounding has added to it is gone.
        self.U_inverse_T.copy_((left / values) @ right)
        return count

    @torch.no_grad()
    def unfactorize(self) -> None:
        """``V <- W, U <- 1, omega <- 0``, and Q and w anew from W: O(D d^2), and the weights stay the same."""
        self._pending = None
        self._explicit_rows(self.U, self.omega)
        self._restart()
        self.repairs += 1

    @torch.no_grad()
    def dense_weight(self) -> Float[Tensor, "D d"]:
        """The explicit weights ``V U + 1 omega^T``, in the layer's dtype."""
        weight = torch.empty_like(self.V)
        for start in range(0, self.D, _ROWS):
            weight[start : start + _ROWS] = self.V[start : start + _ROWS].double() @ self.U + self.omega
        return weight

    @torch.no_grad()
    def topk(self, H: Float[Tensor, "batch d"], k: int) -> tuple[Float[Tensor, "batch k"], Int[Tensor, "batch k"]]:
        """The k largest scores of every example and their classes: O(D d), without a D × batch matrix.

        Raises ``ValueError`` for k outside 1 … D, and as ``forward``.
        """
        self._check_hidden("H", H)
        whole_number("k", k, 1)
        if k > self.D:
            raise ValueError(f"k must be at most D = {self.D}, got {k}")
        hidden = H.detach().double()
        by_U = (hidden @ self.U.T).to(self.V.dtype)
        best = torch.empty(len(H), 0, dtype=self.V.dtype, device=self.V.device)
        classes = torch.empty(len(H), 0, dtype=torch.long, device=self.V.device)
        for start in range(0, self.D, _ROWS):
            scores = by_U @ self.V[start : start + _ROWS].T
            values, where = scores.topk(min(k, scores.shape[1]), dim=1)
            best, order = torch.cat([best, values], dim=1).sort(dim=1, descending=True, stable=True)
            classes = torch.cat([classes, where + start], dim=1).gather(1, order)[:, :k]
            best = best[:, :k]
        # A constant per example changes no order: it is added at the end, in float64.
        return best.double() + (hidden @ self.omega)[:, None], classes

    def extra_repr(self) -> str:
        return f"D={self.D}, d={self.d}, eta={self.eta}, stabilize_every={self.stabilize_every}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "FactoredOutputLayer":
        # ``.to(device)`` moves everything; ``.float()`` must not reach what has to be float64.
        super()._apply(fn, recurse)
        for name in _SMALL:
            setattr(self, name, getattr(self, name).double())
        self._pending = None
        return self

    @torch.no_grad()
    def _coordinates(self, H: Tensor, idx: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden, chosen = H.detach().double(), idx.long()
        rows = self.V[chosen].double()
        by_Q, by_U = hidden @ self.Q, hidden @ self.U.T
        scores = (rows * by_U.reshape(len(H), *(1,) * (idx.ndim - 1), self.d)).sum(dim=-1)
        scores += (hidden @ self.omega).reshape(-1, *(1,) * (idx.ndim - 1))
        self._pending = (hidden, chosen, rows, by_Q, by_U)
        return scores, (by_Q * hidden).sum(dim=1), hidden @ self.class_sum

    def _step_factors(
        self, hidden: Tensor, scaled: Tensor, by_U: Tensor, gA: Tensor, flat: Tensor, keep: float
    ) -> None:
        """Step of the middle factor, of its inverse, and of the targets' rows of V."""
        rate = self.eta / keep
        new_U = torch.addmm(self.U, by_U.T, scaled, alpha=-rate)
        # Woodbury: a system of the batch's size in the place of one of order d. (new U)^-T H = U^-T H small^-1.
        small = torch.eye(len(hidden), dtype=torch.float64, device=hidden.device).addmm_(scaled, hidden.T, alpha=-rate)
        directions, _ = torch.linalg.solve_ex(small.T, hidden @ self.U_inverse_T.T)
        new_inverse_T = torch.addmm(self.U_inverse_T, directions.T, scaled, alpha=rate)
        if keep != 1:
            new_U *= keep
            new_inverse_T /= keep
            directions /= keep
        condition = float(new_U.norm() * new_inverse_T.norm()) / self.d
        if not condition < _LOST:
            if not self.stabilize_every and not condition < float("inf"):
                raise RuntimeError("U has become singular: 2 eta gq ||h||^2 is 1; use stabilize_every >= 1")
            if self.stabilize_every:
                self._explicit_rows(new_U, self.omega)
                self._scatter(flat, gA, hidden)
                self._restart()
                self.repairs += 1
                return
        self._scatter(flat, gA, directions)
        self.U.copy_(new_U)
        self.U_inverse_T.copy_(new_inverse_T)
        if self.stabilize_every and condition > _REPAIR:
            self.stabilize()

    def _scatter(self, flat: Tensor, gA: Tensor, directions: Tensor) -> None:
        change = (gA[:, :, None] * directions[:, None, :]).reshape(len(flat), -1)
        self.V.index_add_(0, flat, change.to(self.V.dtype), alpha=-self.eta)

    def _add_to_rows(self, matrix: Tensor) -> None:
        """``V <- V + V matrix``."""
        for start in range(0, self.D, _ROWS):
            rows = self.V[start : start + _ROWS]
            rows += (rows.double() @ matrix).to(rows.dtype)

    def _explicit_rows(self, U: Tensor, omega: Tensor) -> None:
        for start in range(0, self.D, _ROWS):
            rows = self.V[start : start + _ROWS]
            rows.copy_(rows.double() @ U + omega)

    def _restart(self) -> None:
        """Everything of order d for ``W = V``."""
        self.U.copy_(torch.eye(self.d, dtype=torch.float64))
        self.U_inverse_T.copy_(self.U)
        self.omega.zero_()
        self.Q.zero_()
        self.class_sum.zero_()
        for start in range(0, self.D, _ROWS):
            rows = self.V[start : start + _ROWS].double()
            self.Q.addmm_(rows.T, rows)
            self.class_sum += rows.sum(dim=0)

    def _check_rates(self) -> None:
        positive("eta", self.eta)
        at_least("weight_decay", self.weight_decay, 0.0)
        if self.eta * self.weight_decay >= 1:
            raise ValueError(f"weight_decay must be below 1/eta = {1 / self.eta:g}, got {self.weight_decay}")

    def _check_hidden(self, name: str, H: Tensor) -> None:
        floating(name, H, 2)
        if H.shape[1] != self.d:
            raise ValueError(f"{name} must have d = {self.d} columns, got shape {tuple(H.shape)}")
        _check_finite(name, H)


def factored_spherical_loss(
    h: Float[Tensor, "batch d"],
    target: Int[Tensor, " batch"],
    loss_fn: CoordinateLoss,
    layer: FactoredOutputLayer,
    reduction: Reduction = "mean",
) -> Float[Tensor, ""]:
    """The loss of the layer's scores; its ``backward`` gives the gradient in ``h`` **and takes the layer's step**.

    ``loss_fn(target_scores, squared_norms, sums, D)`` returns one value per example, such as
    ``z_loss_of_coordinates``. The step is that of the loss times whatever gradient reaches it (a factor, an
    accumulation over parts). One ``backward`` per call, before the next call with the same layer; without gradients
    (``torch.no_grad``, or an ``h`` that needs none) nothing is updated.

    Raises ``ValueError`` as ``FactoredOutputLayer.forward``, for a loss that is not one value per example, or a
    reduction other than ``"mean"`` and ``"sum"``; ``backward`` raises ``RuntimeError`` if it comes twice or too late.

    >>> from neural.classification.z_loss import z_loss_of_coordinates
    >>> layer = FactoredOutputLayer(D=100, d=4, eta=0.1)
    >>> h = torch.randn(8, 4, requires_grad=True)
    >>> factored_spherical_loss(h, torch.arange(8), z_loss_of_coordinates, layer).backward()
    >>> layer.steps, h.grad.shape
    (1, torch.Size([8, 4]))
    """
    one_of("reduction", reduction, ("mean", "sum"))
    layer._check_hidden("h", h)
    class_indices("target", target, len(h), layer.D)
    return _Factored.apply(h, target, loss_fn, layer, reduction)


class _Factored(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, h: Tensor, target: Tensor, loss_fn: CoordinateLoss, layer: FactoredOutputLayer, reduction: Reduction
    ) -> Tensor:
        oc, q, s = (part.requires_grad_() for part in layer._coordinates(h, target))
        with torch.enable_grad():
            values = loss_fn(oc, q, s, layer.D)
            if values.shape != (len(h),):
                raise ValueError(f"loss_fn must return one value per example, ({len(h)},), got {tuple(values.shape)}")
            loss = reduce(values, reduction)
            gradients = torch.autograd.grad(loss, (oc, q, s), allow_unused=True, materialize_grads=True)
        ctx.layer, ctx.pending = layer, layer._pending
        ctx.save_for_backward(*gradients)
        return loss.detach().to(h.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_loss: Tensor) -> tuple[Tensor, None, None, None, None]:
        if ctx.layer._pending is not ctx.pending:
            raise RuntimeError(
                "backward must come once, and before the layer's next forward: its weights have moved on"
            )
        by_hidden = ctx.layer.backward_update(*(by_loss * part for part in ctx.saved_tensors))
        return by_hidden.to(by_loss.dtype), None, None, None, None


def _gradient_gram(
    scaled: Tensor, half: Tensor, gA: Tensor, gs: Tensor, sum_gA: Tensor, flat: Tensor, D: int
) -> Tensor:
    """``G^T G`` (m × m) from matrices that know nothing of D.

    For ``G = 2 O diag(gq) + R``, ``R = Y + 1 gs^T`` it is ``scaled half^T``, its transpose and ``R^T R``, with
    ``scaled = 2 diag(gq) H^T`` and ``half = diag(gq) H^T Q + (W^T R)^T``. Only equal targets meet in ``Y^T Y``.
    """
    part = torch.addr(scaled @ half.T, sum_gA + 0.5 * D * gs, gs)
    m, values = len(gA), gA.reshape(-1)
    same = ((flat[:, None] == flat) * values).mul_(values[:, None])
    return same.reshape(m, -1, m, gA.shape[1]).sum(dim=(1, 3)).add_(part).add_(part.T)


def _check_finite(name: str, value: Tensor) -> None:
    # A finite sum has finite terms: the full look, several passes, is for sums that are not.
    if value.device.type == "cpu" and not math.isfinite(float(value.detach().sum(dtype=torch.float64))):
        finite_contents(name, value)
