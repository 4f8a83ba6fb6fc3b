"""Worst-case forget sets: the m training points that a classifier still fits after it has unlearned them.

    found = select_forget_set(model, X, y, m=120, inner_steps=57, inner_lr=5e-4, outer_steps=8, outer_lr=5.0)
    found.indices, found.w                                  # the set, and a score of every point

Bi-level: weights w in S = {0 ≤ w ≤ 1, sum w = m}, 1 for points to forget,

    upper   min over w    sum_i w_i l_i(theta(w)) + gamma ||w||²
    lower   theta(w):     steps theta ← theta − b sign(sum_i [(1 − w_i) − lambda w_i] grad l_i(theta)) from the model

The sign's derivative is 0 almost everywhere, so that d theta/d w = 0: the gradient of the upper level is the direct
one, ``l_i(theta(w)) + 2 gamma w_i``, and needs one forward pass. Each of the ``outer_steps`` runs the lower level anew
from the model and steps ``w ← Proj_S(w − a g)``. The batches come in the same order each time, so that theta is a
function of w alone. ``direction="easiest"`` ascends on the losses instead. ``groups`` (classes, for example) tie w
within each.

Source: Fan, Liu, Hero and Liu (2024), *Challenging Forgets: Unveiling the Worst-Case Forget Sets in Machine
Unlearning*; lambda = 0 as in the authors' published code. Exhaustive search on small cases:
``theory.unlearning.worst_case_forget``.
"""

import copy
import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from neural.validation import (
    at_least,
    class_indices,
    finite_contents,
    floating,
    in_range,
    one_of,
    positive,
    whole_number,
)

__all__ = [
    "ForgetSelection",
    "SignSGD",
    "example_scores",
    "project_capped_simplex",
    "select_forget_set",
    "sign_unlearn",
]

Vector = Float[Tensor, " samples"]
Inputs = Float[Tensor, "samples ..."]
Labels = Int[Tensor, " samples"]

_CHUNK = 8192


class ForgetSelection(NamedTuple):
    """``indices`` of the chosen points in rising order, ``w`` of all points, the upper level's value at every step."""

    indices: Int[Tensor, " chosen"]
    w: Vector
    history: Float[Tensor, " steps"]


def select_forget_set(
    model: nn.Module,
    X: Inputs,
    y: Labels,
    m: int,
    inner_steps: int,
    inner_lr: float,
    outer_steps: int,
    outer_lr: float,
    gamma: float = 1e-4,
    direction: Literal["worst", "easiest"] = "worst",
    groups: Labels | None = None,
    init: Literal["uniform", "random"] = "uniform",
    seed: int = 0,
    *,
    batch_size: int | None = None,
    forget_weight: float = 0.0,
) -> ForgetSelection:
    """Alternate sign unlearning and projected gradient steps on w; the m largest w are the set.

    Args:
        model: maps X to logits (samples, classes); it stays as it is.
        m: points to choose, 1 … N − 1.
        inner_steps: sign steps of size ``inner_lr``, each on a batch of ``batch_size`` (default: all points).
        outer_lr: a, the step of w along losses in nats. A small one never leaves the start.
        gamma: weight of ||w||².
        direction: ``worst`` (still fitted after unlearning) or ``easiest``.
        groups: an index per point (0 … N − 1); w is tied within a group, and whole groups are chosen, in falling order
            of w up to the size nearest to m. A warning tells when that is not m.
        init: w = m/N for all, or m random ones.
        forget_weight: lambda; 0 fine-tunes on what is retained, above 0 ascends on what is forgotten as well.

    Points of equal w are taken in order of their losses. Raises ``ValueError`` for arguments that do not fit, and for
    losses that are not finite at any step.

    >>> model = nn.Linear(1, 2, bias=False)
    >>> model.weight = nn.Parameter(torch.tensor([[0.0], [1.0]]))
    >>> X, y = torch.tensor([[3.0], [2.0], [-2.0], [0.1]]), torch.tensor([1, 1, 0, 0])
    >>> select_forget_set(model, X, y, 2, inner_steps=2, inner_lr=0.1, outer_steps=3, outer_lr=5.0).indices
    tensor([0, 1])
    """
    losses = _data_losses(model, X, y)
    N = len(losses)
    whole_number("m", m, 1)
    if m >= N:
        raise ValueError(f"m must be below the {N} points, got {m}")
    whole_number("inner_steps", inner_steps, 1)
    positive("inner_lr", inner_lr)
    whole_number("outer_steps", outer_steps, 1)
    positive("outer_lr", outer_lr)
    at_least("gamma", gamma, 0)
    one_of("direction", direction, ("worst", "easiest"))
    one_of("init", init, ("uniform", "random"))
    members = _members(groups, N)
    w = _start(init, m, losses, seed)
    sign, history = (1.0 if direction == "worst" else -1.0), []
    for step in range(outer_steps):
        fitted = sign_unlearn(
            model, X, y, w, inner_steps, inner_lr, batch_size=batch_size, forget_weight=forget_weight, seed=seed
        )
        losses = _losses(fitted, X, y)
        total = float(losses.sum())
        if not math.isfinite(total):
            raise ValueError(f"inner_lr must keep all losses finite, got losses that sum to {total} in step {step}")
        history.append((w * losses).sum() + gamma * w.square().sum())
        target = w - outer_lr * (sign * losses + 2 * gamma * w)
        if members is not None:
            target = (_group_means(target, members))[members]
        w = project_capped_simplex(target, m, "sort")
    chosen = _top(w, sign * losses, m) if members is None else _top_groups(w, sign * losses, m, members)
    return ForgetSelection(chosen, w, torch.stack(history))


def sign_unlearn(
    model: nn.Module,
    X: Inputs,
    y: Labels,
    w: Vector,
    steps: int,
    lr: float,
    *,
    batch_size: int | None = None,
    forget_weight: float = 0.0,
    seed: int = 0,
) -> nn.Module:
    """The lower level: a copy of the model after ``steps`` sign steps on the losses weighted by (1 − w) − lambda w.

    Raises ``ValueError`` for arguments that do not fit, or w outside [0, 1].
    """
    _check_data(X, y)
    floating("w", w, 1)
    if w.shape != y.shape:
        raise ValueError(f"w must have shape {tuple(y.shape)}, got {tuple(w.shape)}")
    finite_contents("w", w)
    if w.device.type == "cpu" and not (float(w.min()) >= 0 and float(w.max()) <= 1):
        raise ValueError(f"w must lie in [0, 1], got {float(w.min()):g} … {float(w.max()):g}")
    whole_number("steps", steps, 1)
    positive("lr", lr)
    at_least("forget_weight", forget_weight, 0)
    whole_number("seed", seed, 0)
    if batch_size is not None:
        whole_number("batch_size", batch_size, 1)
    if y.device.type == "cpu":
        class_indices("y", y, len(y), _classes(model, X))
    fitted = copy.deepcopy(model).train()
    coefficients = 1 - w - forget_weight * w
    optimizer = SignSGD(fitted.parameters(), lr)
    whole = batch_size is None or batch_size >= len(X)
    order = _orders(len(X), 1 if batch_size is None else batch_size, seed, X.device)
    for _ in range(steps):
        rows = slice(None) if whole else next(order)
        losses = F.cross_entropy(fitted(X[rows]), y[rows], reduction="none")
        optimizer.zero_grad()
        (coefficients[rows] * losses).sum().backward()
        optimizer.step()
    return fitted.train(model.training)


class SignSGD(torch.optim.Optimizer):
    """``theta ← theta − lr sign(grad)``: no momentum, no decay. Where the gradient is 0, nothing moves.

    Raises ``ValueError`` for no parameters or lr not above 0.

    >>> theta = nn.Parameter(torch.tensor([1.0, 1.0, 1.0]))
    >>> (theta * torch.tensor([5.0, -0.1, 0.0])).sum().backward()
    >>> SignSGD([theta], lr=0.5).step()
    >>> theta.data
    tensor([0.5000, 1.5000, 1.0000])
    """

    def __init__(self, params: Iterable[Any], lr: float) -> None:
        positive("lr", lr)
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step along the signs of the gradients; ``closure`` computes them anew first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            for parameter in moved:
                parameter.add_(parameter.grad.sign(), alpha=-group["lr"])
        return loss


def project_capped_simplex(
    v: Vector, m: float, method: Literal["bisection", "sort"] = "bisection", tol: float = 1e-9
) -> Vector:
    """The point of {0 ≤ w ≤ 1, sum w = m} nearest to v: ``clip(v − mu, 0, 1)``, computed in float64, in v's dtype.

    ``tol`` is the width of the bracket of mu at which bisection stops; ``sort`` walks along the breakpoints v_i and
    v_i − 1 and needs none. No gradient. Raises ``ValueError`` for v that is not a vector of floats (finite on CPU), m
    outside [0, N], an unknown method or tol not above 0.

    >>> project_capped_simplex(torch.tensor([3.0, 0.5, 0.5, -2.0]), m=2.0)
    tensor([1.0000, 0.5000, 0.5000, 0.0000])
    """
    floating("v", v, 1)
    finite_contents("v", v)
    in_range("m", m, 0, len(v))
    one_of("method", method, ("bisection", "sort"))
    positive("tol", tol)
    exact = v.detach().double()
    mu = _bisect(exact, m, tol) if method == "bisection" else _walk(exact, m)
    return (exact - mu).clamp(0, 1).to(v.dtype)


def example_scores(model: nn.Module, X: Inputs, y: Labels, score: Literal["loss", "el2n", "grad-norm"]) -> Vector:
    """Simple scores of difficulty under a model as it is: cross-entropy, ||p − onehot(y)||, ||grad_theta l_i||.

    Raises ``ValueError`` for data that do not fit or an unknown score.
    """
    one_of("score", score, ("loss", "el2n", "grad-norm"))
    losses = _data_losses(model, X, y)
    if score == "loss":
        return losses
    if score == "el2n":
        with torch.no_grad():
            p = _logits(model, X).softmax(1)
        return (p - F.one_hot(y, p.shape[1])).norm(dim=1)
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    buffers = dict(model.named_buffers())

    def loss(parameters: dict[str, Tensor], x: Tensor, label: Tensor) -> Tensor:
        logits = torch.func.functional_call(model, (parameters, buffers), (x[None],))
        return F.cross_entropy(logits, label[None])

    per_example = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
    norms = []
    for x, labels in zip(X.split(256), y.split(256), strict=True):
        gradients = per_example(parameters, x, labels)
        norms.append(torch.stack([g.flatten(1).square().sum(1) for g in gradients.values()]).sum(0).sqrt())
    return torch.cat(norms)


def _check_data(X: Tensor, y: Tensor) -> None:
    floating("X", X)
    if X.ndim < 2:
        raise ValueError(f"X must have an axis of samples and at least one more, got shape {tuple(X.shape)}")
    finite_contents("X", X)
    class_indices("y", y, len(X))


def _classes(model: nn.Module, X: Tensor) -> int:
    return _logits(model, X[:2]).shape[1]


@torch.no_grad()
def _logits(model: nn.Module, X: Tensor) -> Tensor:
    training = model.training
    model.eval()
    logits = torch.cat([model(x) for x in X.split(_CHUNK)])
    model.train(training)
    if logits.ndim != 2 or len(logits) != len(X):
        raise ValueError(f"model must map X to logits ({len(X)}, classes), got shape {tuple(logits.shape)}")
    return logits


def _losses(model: nn.Module, X: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(_logits(model, X), y, reduction="none")


def _data_losses(model: nn.Module, X: Tensor, y: Tensor) -> Tensor:
    """Losses of the model as it is, once the data are known to fit it."""
    _check_data(X, y)
    logits = _logits(model, X)
    class_indices("y", y, len(X), logits.shape[1])
    losses = F.cross_entropy(logits, y, reduction="none")
    if not math.isfinite(float(losses.sum())):
        raise ValueError(f"model must have finite losses, got losses that sum to {float(losses.sum())}")
    return losses


def _start(init: str, m: int, losses: Tensor, seed: int) -> Tensor:
    whole_number("seed", seed, 0)
    if init == "uniform":
        return torch.full_like(losses, m / len(losses))
    order = torch.randperm(len(losses), generator=torch.Generator().manual_seed(seed))
    return torch.zeros_like(losses).index_fill(0, order[:m].to(losses.device), 1.0)


def _orders(count: int, size: int, seed: int, device: torch.device):
    """Batches of row numbers, pass after pass; what is left at the end of a pass makes a smaller batch."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from torch.randperm(count, generator=generator).to(device).split(size)


def _members(groups: Tensor | None, count: int) -> Tensor | None:
    if groups is None:
        return None
    class_indices("groups", groups, count, count)
    _, members = torch.unique(groups, return_inverse=True)
    if int(members.max()) < 1:
        raise ValueError("groups must name at least two groups, got one")
    return members


def _group_means(values: Tensor, members: Tensor) -> Tensor:
    sums = torch.zeros(int(members.max()) + 1, dtype=torch.float64, device=values.device)
    sums = sums.index_add(0, members, values.double())
    return (sums / torch.bincount(members)).to(values.dtype)


def _top(w: Tensor, losses: Tensor, m: int) -> Tensor:
    order = torch.argsort(losses, stable=True)
    return order[torch.argsort(w[order], descending=True, stable=True)[:m]].sort().values


def _top_groups(w: Tensor, losses: Tensor, m: int, members: Tensor) -> Tensor:
    order = torch.argsort(_group_means(losses, members), stable=True)
    order = order[torch.argsort(_group_means(w, members)[order], descending=True, stable=True)]
    totals = torch.bincount(members)[order].cumsum(0)[:-1]
    count = int((totals - m).abs().argmin()) + 1
    chosen = torch.isin(members, order[:count]).nonzero().flatten()
    if len(chosen) != m:
        warnings.warn(f"groups in order of w do not add up to m = {m}: {len(chosen)} points chosen", stacklevel=3)
    return chosen


def _bisect(v: Tensor, m: float, tol: float) -> float:
    low, high = float(v.min()) - 1, float(v.max())
    while high - low > tol:
        middle = low + (high - low) / 2
        if not low < middle < high:  # large v: no number between the ends
            break
        if float((v - middle).clamp(0, 1).sum()) > m:
            low = middle
        else:
            high = middle
    above, below = (float((v - end).clamp(0, 1).sum()) for end in (low, high))
    # Without a breakpoint inside, the sum is linear between the ends and this is exact.
    return high if above == below else low + (high - low) * min(max((above - m) / (above - below), 0.0), 1.0)


def _walk(v: Tensor, m: float) -> float:
    breaks, order = torch.cat([v - 1, v]).sort(stable=True)
    active = torch.where(order < len(v), 1, -1).cumsum(0)
    falls = (active[:-1] * breaks.diff()).cumsum(0)
    # falls[k] is N − h at the end of piece k.
    piece = min(int(torch.searchsorted(falls, len(v) - m)), len(falls) - 1)
    left, right = breaks[piece], breaks[piece + 1]
    fractional = (v >= right) & (v - 1 <= left)
    count = int(fractional.sum())
    if count == 0:
        return float(left)
    # With the fractional weights known, sum (v_i − mu) + ones = m has no accumulated rounding.
    mu = (float(v[fractional].sum()) + int((v - 1 > left).sum()) - m) / count
    return min(max(mu, float(left)), float(right))
