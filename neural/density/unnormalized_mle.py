"""Maximum likelihood of unnormalised models by compositional optimisation (MECO), with NCE and eNCE as losses.

Of a model p0(x; theta) with ``Z = E_q w``, ``w = p0/q``, minimise ``−E_data log p0 + log E_q w``. The gradient of the
logarithm is a ratio of expectations, and a ratio of two means over a small batch is biased. MECO tracks E_q w with a
moving average u over steps and puts u in the denominator: one loop, no sampler, no classifier.

    tracker = LogPartitionTracker(gamma=0.1)
    loss = meco_loss(log_p0(x), log_p0(z) - log_q(z), tracker)      # x a batch of data, z of noise
    loss.backward(); optimiser.step()
    tracker.log_partition                                           # the estimate of log Z, for free

With ``h = log p0 − c − log q``, c a learnt number in the place of log Z, the alternatives are

    nce_loss(h(x), h(z))     E_data softplus(−(h − log nu)) + nu E_noise softplus(h − log nu)
    ence_loss(h(x), h(z))    (E_data exp(−h/2) + E_noise exp(h/2)) / 2,    to be followed by normalized_gradient_step

All take a leading axis of models and then return one loss per model. ``fit_unnormalized`` trains tilts of the noise.

Source: Jiang, Qin, Wu, Chen, Yang and Zhang (2023), *Learning Unnormalized Statistical Models via Compositional
Optimization*; NCE: Gutmann and Hyvärinen (2010); eNCE: Liu, Rosenfeld, Ravikumar and Risteski (2021). Exact Gaussian
landscapes: ``theory.density.unnormalized_mle``.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from neural.density.energy_networks import EnergyEnsemble, EnsembleAdam, GaussianNoise
from neural.validation import finite_contents, floating, in_range, one_of, positive, whole_number

__all__ = [
    "LogPartitionTracker",
    "Method",
    "TiltFit",
    "clipped_fraction",
    "ence_loss",
    "fit_unnormalized",
    "meco_loss",
    "nce_loss",
    "normalized_gradient_step",
    "ood_auroc",
]

Method = Literal["meco", "storm", "plug-in", "nce", "ence"]
Mode = Literal["ema", "storm"]


class LogPartitionTracker(nn.Module):
    """A running estimate u of ``E_q w``, kept as its logarithm; saved with ``state_dict``.

        ema      u_t = (1 − gamma) u_{t−1} + gamma mean w(z_t; theta_t)
        storm    u_t = mean w(z_t; theta_t) + (1 − gamma) (u_{t−1} − mean w(z_t; theta_{t−1}))

    *storm* needs the weights of the present noise at the previous parameters too; where it would fall below
    ``gamma mean w``, what ema gives without a past, it is set to that. gamma = 1 forgets everything: the plug-in ratio.

    Args:
        gamma: weight of the present batch, in (0, 1]; one number, or one per model. Steps should be small beside
            it: an average that lags behind the parameters is wrong by a factor.
        mode: ``"ema"`` or ``"storm"``.
        shape: shape of u: () for one model, (models,) for several.

    Raises ``ValueError`` for a gamma outside (0, 1], an unknown mode, or a shape that is not one of whole numbers.

    >>> tracker = LogPartitionTracker(0.5)
    >>> [round(tracker.update(torch.tensor([w]).log()).exp().item(), 4) for w in (1.0, 3.0)]
    [1.0, 2.0]
    """

    log_partition: Tensor

    def __init__(
        self, gamma: float | Float[Tensor, " models"] = 0.1, mode: Mode = "ema", shape: Sequence[int] = ()
    ) -> None:
        super().__init__()
        one_of("mode", mode, get_args(Mode))
        for length in shape:
            whole_number("shape", length, 1)
        self.gamma = gamma
        self.mode: Mode = mode
        self.register_buffer("log_partition", torch.full(tuple(shape), math.nan, dtype=torch.float64))

    @property
    def gamma(self) -> float | Tensor:
        return self._gamma

    @gamma.setter
    def gamma(self, value: float | Tensor) -> None:
        """A schedule sets it between steps."""
        _check_gamma(value)
        self._gamma = value

    def update(
        self, log_w: Float[Tensor, "*models noise"], log_w_previous: Float[Tensor, "*models noise"] | None = None
    ) -> Float[Tensor, "*models"]:
        """Take a batch of ``log w`` into the average and return the new ``log u``.

        The first batch is u itself. Weights may be 0 (``−inf``), but not all. Raises ``ValueError`` for shapes that do
        not fit, a missing ``log_w_previous`` in mode storm, and (on CPU) a batch whose mean weight is 0 or not finite.
        """
        return self._updated("log_w", log_w, log_w_previous)

    @torch.no_grad()
    def _updated(self, name: str, log_w: Tensor, log_w_previous: Tensor | None) -> Tensor:
        batch = self._log_mean(name, log_w)
        fresh = torch.isnan(self.log_partition)
        gamma = torch.as_tensor(self.gamma, dtype=torch.float64, device=batch.device)
        if self.mode == "ema":
            moved = torch.logaddexp(torch.log1p(-gamma) + self.log_partition, gamma.log() + batch)
        else:
            if log_w_previous is None:
                raise ValueError("log_w_previous must be given in mode 'storm', got None")
            before = self._log_mean("log_w_previous", log_w_previous) + torch.log1p(-gamma)
            if log_w_previous.shape != log_w.shape:
                shapes = tuple(log_w_previous.shape), tuple(log_w.shape)
                raise ValueError(f"log_w_previous must have the shape of {name}, got {shapes[0]} for {shapes[1]}")
            sum_ = torch.logaddexp(batch, torch.log1p(-gamma) + self.log_partition)
            # sum − before in logarithms; NaN where it is negative or 0, which the floor replaces
            moved = sum_ + torch.log1p(-(before - sum_).exp())
            floor = gamma.log() + batch
            moved = torch.where(moved > floor, moved, floor)
        self.log_partition = torch.where(fresh, batch, moved)
        return self.log_partition.to(log_w.dtype)

    def _log_mean(self, name: str, log_w: Tensor) -> Tensor:
        floating(name, log_w)
        if log_w.shape[:-1] != self.log_partition.shape or log_w.ndim == 0:
            raise ValueError(f"{name} must have shape {(*self.log_partition.shape, 'noise')}, got {tuple(log_w.shape)}")
        mean = torch.logsumexp(log_w.detach().double(), -1) - math.log(log_w.shape[-1])
        finite_contents(f"{name} (the log of its mean weight)", mean)
        return mean

    def extra_repr(self) -> str:
        return f"gamma={self.gamma}, mode={self.mode!r}"


def meco_loss(
    log_p0_data: Float[Tensor, "*models data"],
    log_w_noise: Float[Tensor, "*models noise"],
    tracker: LogPartitionTracker,
    *,
    log_w_previous: Float[Tensor, "*models noise"] | None = None,
    max_exponent: float = 20.0,
) -> Float[Tensor, "*models"]:
    """``−mean log p0 + log u`` with the gradient ``−mean ∇log p0 + mean(w ∇log w) / u``; updates the tracker.

    Args:
        log_p0_data: unnormalised log-density of the data (a term without parameters may be left out).
        log_w_noise: ``log p0 − log q`` of a batch of noise.
        tracker: keeps u; with gamma = 1 the gradient is that of ``−mean log p0 + log mean w``.
        log_w_previous: the same noise under the previous parameters, for a tracker in mode storm.
        max_exponent: beyond it, ``exp(log w − log u)`` goes on linearly: one weight cannot throw the parameters away,
            and still pulls.

    The value is an estimate of the negative log-likelihood with the tracked normaliser. Raises ``ValueError`` for
    shapes that do not fit, ``max_exponent`` not above 0, (on CPU) log p0 that is not finite, and as
    ``LogPartitionTracker.update``.

    >>> x, z = torch.zeros(3), torch.log(torch.tensor([1.0, 3.0]))
    >>> round(meco_loss(x, z, LogPartitionTracker()).exp().item(), 4)
    2.0
    """
    floating("log_p0_data", log_p0_data)
    positive("max_exponent", max_exponent)
    if log_p0_data.ndim == 0 or log_p0_data.shape[:-1] != tracker.log_partition.shape:
        raise ValueError(
            f"log_p0_data must have shape {(*tracker.log_partition.shape, 'data')}, got {tuple(log_p0_data.shape)}"
        )
    finite_contents("log_p0_data", log_p0_data)
    log_u = tracker._updated("log_w_noise", log_w_noise, log_w_previous)
    ratio = _exp(log_w_noise - log_u[..., None], max_exponent).mean(-1)
    # ratio − ratio: no value, but its gradient
    return -log_p0_data.mean(-1) + (ratio - ratio.detach()) + log_u


def nce_loss(
    h_data: Float[Tensor, "*models data"], h_noise: Float[Tensor, "*models noise"], nu: float = 1.0
) -> Float[Tensor, "*models"]:
    """Noise-contrastive estimation: logistic loss of telling data from nu times as much noise.

    ``h = log p0 − c − log q``. Per data point: ``mean softplus(log nu − h_data) + nu mean softplus(h_noise − log nu)``.
    With nu = 1 twice ``binary_cross_entropy_with_logits`` over both together. Raises ``ValueError`` for nu not above 0,
    leading axes that differ, or (on CPU) values that are not finite.

    >>> nce_loss(torch.zeros(4), torch.zeros(4))
    tensor(1.3863)
    """
    _check_logits(h_data, h_noise)
    positive("nu", nu)
    level = math.log(nu)
    # softplus(x) = −logsigmoid(−x): F.softplus drops the exponential above 20
    return -F.logsigmoid(h_data - level).mean(-1) - nu * F.logsigmoid(level - h_noise).mean(-1)


def ence_loss(
    h_data: Float[Tensor, "*models data"], h_noise: Float[Tensor, "*models noise"], *, max_exponent: float = 10.0
) -> Float[Tensor, "*models"]:
    """``(mean exp(−h_data/2) + mean exp(h_noise/2)) / 2``, each exponential linear beyond ``max_exponent``.

    ``clipped_fraction`` says how often that was. At the optimum the loss is the Bhattacharyya coefficient of data and
    noise. Errors as in ``nce_loss``, and for ``max_exponent`` not above 0.

    >>> ence_loss(torch.zeros(4), torch.zeros(4))
    tensor(1.)
    """
    _check_logits(h_data, h_noise)
    positive("max_exponent", max_exponent)
    return (_exp(-h_data / 2, max_exponent).mean(-1) + _exp(h_noise / 2, max_exponent).mean(-1)) / 2


def clipped_fraction(
    h_data: Float[Tensor, "*models data"], h_noise: Float[Tensor, "*models noise"], *, max_exponent: float = 10.0
) -> Float[Tensor, "*models"]:
    """Share of points whose exponential in ``ence_loss`` is the linear continuation. Errors as there."""
    _check_logits(h_data, h_noise)
    positive("max_exponent", max_exponent)
    return torch.cat([-h_data / 2 > max_exponent, h_noise / 2 > max_exponent], dim=-1).to(h_data.dtype).mean(-1)


@torch.no_grad()
def normalized_gradient_step(params: Iterable[Tensor], lr: float, *, per_model: bool = False) -> None:
    """``theta ← theta − lr g/|g|`` with the gradients in ``.grad``, |g| over all parameters together.

    ``per_model`` takes one norm per entry of the first axis. A gradient of 0 moves nothing. Raises ``ValueError`` for
    lr not above 0, no parameters, or a parameter without gradient.

    >>> theta = torch.tensor([3.0, 4.0], requires_grad=True)
    >>> (theta.square().sum() / 2).backward()
    >>> normalized_gradient_step([theta], 0.5)
    >>> theta.tolist()
    [2.700000047683716, 3.5999999046325684]
    """
    positive("lr", lr)
    moved = list(params)
    gradients = [p.grad for p in moved if p.grad is not None]
    if not moved or len(gradients) < len(moved):
        raise ValueError(f"params must be parameters with gradients, got {len(gradients)} gradients of {len(moved)}")
    flat = [g.reshape(len(g), -1) if per_model else g.reshape(1, -1) for g in gradients]
    norms = torch.cat(flat, dim=1).norm(dim=1)
    factors = torch.where(norms > 0, lr / norms, 0.0)
    for parameter, gradient in zip(moved, gradients, strict=True):
        parameter.sub_(gradient * (factors.reshape(-1, *(1,) * (gradient.ndim - 1)) if per_model else factors[0]))


@dataclass(frozen=True)
class TiltFit:
    """What ``fit_unnormalized`` returns: each model's estimate of ``log E_q e^f`` in the course of its training.

    For MECO, storm and plug-in the tracked one, for NCE and eNCE the learnt c.
    """

    log_partition: Float[Tensor, " models"]
    losses: Float[Tensor, "steps models"]


def fit_unnormalized(
    model: EnergyEnsemble,
    data: Float[Tensor, "samples dim"],
    noise: GaussianNoise,
    method: Method | Sequence[Method] = "meco",
    *,
    steps: int,
    batch_size: int = 128,
    learning_rate: float | Float[Tensor, " models"] = 3e-3,
    gamma: float | Float[Tensor, " models"] = 0.1,
    generator: torch.Generator,
) -> TiltFit:
    """Train tilts ``p0 = q e^f`` of the noise on data, all models in lockstep on the same batches.

    Args:
        model: the networks f.
        data: points to learn from; batches are drawn with replacement.
        noise: the law q, or one scale per model; a fresh batch every step.
        method: one for all models, or one per model. Plug-in is MECO with gamma = 1.
        steps, batch_size, learning_rate: Adam with rates that fall linearly to 0, one rate or one per model; gradients
            of eNCE are normalised first, those of the others clipped at norm 10.
        gamma: of the tracker, one number or one per model; those of methods without a tracker are not used.
        generator: source of all randomness.

    Raises ``ValueError`` for data of another shape or (on CPU) not finite, an unknown method or another number of
    methods than of models, numbers out of their range.
    """
    floating("data", data, 2)
    finite_contents("data", data)
    if data.shape[1] != model.inputs:
        raise ValueError(f"data must have shape (samples, {model.inputs}), got {tuple(data.shape)}")
    methods = [method] * model.models if isinstance(method, str) else list(method)
    for each in methods:
        one_of("method", each, get_args(Method))
    if len(methods) != model.models:
        raise ValueError(f"method must be one word or one per model ({model.models}), got {len(methods)}")
    whole_number("steps", steps, 1)
    whole_number("batch_size", batch_size, 1)
    _check_gamma(gamma)
    if isinstance(gamma, Tensor) and len(gamma) != model.models:
        raise ValueError(f"gamma must be one number or one per model ({model.models}), got {len(gamma)}")
    device = data.device
    objectives = _LockstepLosses(methods, gamma, device)
    unit = torch.tensor([m == "ence" for m in methods], device=device)
    levels = [objectives.c] if {"nce", "ence"} & set(methods) else []
    optimiser = EnsembleAdam([*model.parameters(), *levels], learning_rate, unit=unit)
    losses = torch.empty(steps, model.models, device=device)
    previous: list[Tensor] = []
    for step in range(steps):
        rows = torch.randint(len(data), (batch_size,), generator=generator, device=device)
        x, z = data[rows], noise.sample(batch_size, generator)
        # Where all models see the same points, what is computed before their first layer is computed once.
        f = model(torch.cat([x.expand(*z.shape[:-2], *x.shape), z], dim=-2))
        old = _previous_energies(model, previous, z) if "storm" in methods and step else None
        loss = objectives(f[:, :batch_size], f[:, batch_size:], old)
        if "storm" in methods:
            previous = [p.detach().clone() for p in model.parameters()]
        losses[step] = loss.detach()
        optimiser.step(loss.sum(), 1 - step / steps)
    return TiltFit(objectives.log_partition(), losses)


def ood_auroc(score_in: Float[Tensor, " inside"], score_out: Float[Tensor, " outside"]) -> float:
    """Chance that a point of the distribution scores above one from outside, ties counting a half.

    The area under the curve of true against false alarms, from ranks. Raises ``ValueError`` for scores that are not
    vectors of floats, or NaN or infinite.

    >>> ood_auroc(torch.tensor([3.0, 2.0]), torch.tensor([1.0, 2.0]))
    0.875
    """
    for name, scores in (("score_in", score_in), ("score_out", score_out)):
        floating(name, scores, 1)
        finite_contents(name, scores)
    ordered = score_out.sort().values
    below = torch.searchsorted(ordered, score_in.contiguous(), right=False)
    not_above = torch.searchsorted(ordered, score_in.contiguous(), right=True)
    return float((below + not_above).double().mean() / (2 * len(score_out)))


class _LockstepLosses:
    """The losses of models of several methods, a call per kind; plug-in is MECO's moving average with gamma 1."""

    def __init__(self, methods: Sequence[str], gamma: float | Tensor, device: torch.device) -> None:
        gammas = [gamma] * len(methods) if isinstance(gamma, float | int) else gamma.tolist()
        self.c = nn.Parameter(torch.zeros(len(methods), 1, device=device))
        self.groups: dict[str, slice | list[int]] = {}
        self.trackers: dict[str, LogPartitionTracker] = {}
        kinds = ["ema" if method in ("meco", "plug-in") else method for method in methods]
        order: list[int] = []
        for kind in dict.fromkeys(kinds):
            rows = [i for i, each in enumerate(kinds) if each == kind]
            order += rows
            # Neighbours are a view, which costs nothing.
            together = rows[-1] - rows[0] + 1 == len(rows)
            self.groups[kind] = slice(rows[0], rows[-1] + 1) if together else rows
            if kind in ("ema", "storm"):
                own = torch.tensor([1.0 if methods[i] == "plug-in" else gammas[i] for i in rows], device=device)
                self.trackers[kind] = LogPartitionTracker(own, kind, (len(rows),)).to(device)
        self.places = slice(None) if order == sorted(order) else torch.tensor(order, device=device).argsort()

    def __call__(self, f_data: Tensor, f_noise: Tensor, previous: Tensor | None) -> Tensor:
        losses = []
        for kind, rows in self.groups.items():
            data, noise = f_data[rows], f_noise[rows]
            if kind in self.trackers:
                # Before the first step the previous parameters are the present ones.
                old = None if kind != "storm" else noise.detach() if previous is None else previous[rows]
                losses.append(meco_loss(data, noise, self.trackers[kind], log_w_previous=old))
            else:
                contrast = nce_loss if kind == "nce" else ence_loss
                losses.append(contrast(data - self.c[rows], noise - self.c[rows]))
        return torch.cat(losses)[self.places]

    def log_partition(self) -> Tensor:
        learnt = self.c.detach().squeeze(1).double()
        parts = [self.trackers[k].log_partition if k in self.trackers else learnt[r] for k, r in self.groups.items()]
        return torch.cat(parts)[self.places]


def _previous_energies(model: EnergyEnsemble, previous: Sequence[Tensor], z: Tensor) -> Tensor:
    names = [name for name, _ in model.named_parameters()]
    with torch.no_grad():
        return torch.func.functional_call(model, dict(zip(names, previous, strict=True)), (z,))


def _exp(exponent: Tensor, limit: float) -> Tensor:
    """``exp`` that goes on linearly beyond ``limit``."""
    return exponent.clamp(max=limit).exp() * (1 + F.relu(exponent - limit))


def _check_gamma(gamma: float | Tensor) -> None:
    if isinstance(gamma, Tensor):
        floating("gamma", gamma, 1)
        ends = gamma if gamma.device.type == "cpu" else gamma[:0]
        low, high = (float(ends.min()), float(ends.max())) if len(ends) else (1.0, 1.0)
    else:
        in_range("gamma", gamma, 0, 1)
        low = high = float(gamma)
    if not 0 < low <= high <= 1:
        raise ValueError(f"gamma must lie in (0, 1], got {gamma!r}")


def _check_logits(h_data: Tensor, h_noise: Tensor) -> None:
    for name, h in (("h_data", h_data), ("h_noise", h_noise)):
        floating(name, h)
        if h.ndim == 0:
            raise ValueError(f"{name} must have an axis of points, got a single number")
        finite_contents(name, h)
    if h_data.shape[:-1] != h_noise.shape[:-1]:
        raise ValueError(
            f"h_noise must have the leading axes of h_data, got {tuple(h_noise.shape)}, {tuple(h_data.shape)}"
        )
