"""Stochastic descent on the mean of a Gaussian: many runs in lockstep on common random numbers.

Model ``p0 = exp(m x − x²/2)``, data N(R, 1), noise N(0, s²). States have shape (arms, runs, 1); runs of the same number
see the same standard normals in every arm: differences between arms are paired.

    MECO, plug-in    m ← m + eta (mean x − mean(w z)/u),    u tracked by neural.density.LogPartitionTracker
    NCE              (theta, c) by the gradient of the logistic loss

``descend`` fits the mean itself, with rates ``eta/(1 + 5 t/T)``. ``follow`` records what remains along the way, on the
convex objective and on one that is not convex, ``m(phi) = phi + 1.5 sin(2 phi)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neural.density.unnormalized_mle import LogPartitionTracker

__all__ = ["Arm", "Schedule", "descend", "follow"]

_RADIUS = 10.0
_BEND, _TURNS = 1.5, 2.0


@dataclass(frozen=True)
class Arm:
    """One condition: method ("meco", "plug-in" or "nce"), mean of the data, scale of the noise, step size, gamma."""

    method: str
    R: float
    s: float
    rate: float
    gamma: float = 0.1


def descend(
    arms: Sequence[Arm], *, batch_size: int, steps: int, runs: int, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Final theta of every (arm, run), and the mean negative log-likelihood there of 1000 fresh points less their own.

    The second is what a user could tune on: it needs no knowledge of R. Arms of NCE come last.
    """
    device = generator.device
    R, s, rate = (_column([getattr(a, name) for a in arms], device) for name in ("R", "s", "rate"))
    contrastive = [a.method == "nce" for a in arms]
    if contrastive != sorted(contrastive):
        raise ValueError(f"arms must have those of nce last, got {[a.method for a in arms]}")
    count = len(arms) - sum(contrastive)
    gammas = [1.0 if a.method == "plug-in" else a.gamma for a in arms[:count]]
    tracker = LogPartitionTracker(_each_run(gammas, runs, device), shape=(count * runs,)).to(device)
    theta = torch.zeros(len(arms), runs, 1, dtype=torch.float64, device=device)
    c = torch.full_like(theta[count:], math.log(2 * math.pi) / 2)
    for step in range(steps):
        x, z = _normals(runs, batch_size, generator)
        decayed = rate / (1 + 5 * step / steps)
        mean = R[:count] + x.mean(-1, keepdim=True)
        direction = _tracked_direction(theta[:count], mean, s[:count] * z, s[:count], tracker)
        if len(c):
            by_theta, by_c = _contrastive_direction(theta[count:], c, R[count:] + x, s[count:] * z, s[count:])
            direction, c = torch.cat([direction, by_theta]), c + decayed[count:] * by_c
        theta = (theta + decayed * direction).clamp(-_RADIUS, _RADIUS)
    held = torch.randn(runs, 1000, generator=generator, dtype=torch.float64, device=device)
    # −log p(R + e) = (e + R − theta)²/2 + const: less that of the truth
    excess = ((held + R - theta).square() - held.square()).mean(-1) / 2
    return theta.squeeze(-1).cpu().numpy(), excess.cpu().numpy()


@dataclass(frozen=True)
class Schedule:
    """Step sizes and gammas at step t of a run of T steps."""

    name: str
    decreasing: bool
    plug_in: bool

    def at(self, t: int, horizon: int) -> tuple[float, float]:
        """``decreasing``: eta = 1.5/(t + 30); else 0.5/√T throughout. gamma = 10 eta, at most 1."""
        eta = 1.5 / (t + 30) if self.decreasing else 0.5 / math.sqrt(horizon)
        return eta, 1.0 if self.plug_in else min(1.0, 10 * eta)


def follow(
    schedules: Sequence[Schedule], horizons: Sequence[int], *, R: float, s: float, batch_size: int, runs: int,
    generator: torch.Generator,
) -> dict[tuple[str, int], float]:  # fmt: skip
    """What remains after T steps, mean over runs, for every schedule and horizon T.

    With decreasing steps, on the convex objective, ``2 (F(theta_T) − F*) = (theta_T − R)²``. With constant ones, on the
    non-convex objective, the squared gradient averaged over the T steps: what a convergence theorem for smooth
    non-convex objectives bounds.
    """
    device = generator.device
    # Decreasing steps do not depend on where one stops: one arm has all horizons.
    arms = [(each, T) for each in schedules for T in ([max(horizons)] if each.decreasing else horizons)]
    bend = _column([0.0 if schedule.decreasing else _BEND for schedule, _ in arms], device)
    pairs = [[schedule.at(step, horizon) for schedule, horizon in arms] for step in range(max(horizons))]
    etas, gammas = torch.tensor(pairs, dtype=torch.float64, device=device).unbind(-1)
    gammas = gammas.repeat_interleave(runs, dim=1)
    tracker = LogPartitionTracker(1.0, shape=(len(arms) * runs,)).to(device)
    phi = torch.zeros(len(arms), runs, 1, dtype=torch.float64, device=device)
    squared, scale = torch.zeros_like(phi), torch.full_like(phi, s)
    found: dict[tuple[str, int], float] = {}
    for step in range(max(horizons)):
        x, z = _normals(runs, batch_size, generator)
        tracker.gamma = gammas[step]
        mean = phi + bend * torch.sin(_TURNS * phi)
        slope = 1 + bend * _TURNS * torch.cos(_TURNS * phi)
        squared += ((mean - R) * slope).square()
        direction = _tracked_direction(mean, R + x.mean(-1, keepdim=True), s * z, scale, tracker)
        phi = (phi + etas[step, :, None, None] * slope * direction).clamp(-_RADIUS, _RADIUS)
        if step + 1 in horizons:
            remains = torch.where(bend == 0, (phi - R).square(), squared / (step + 1)).mean((1, 2))
            for (schedule, horizon), value in zip(arms, remains, strict=True):
                if schedule.decreasing or horizon == step + 1:
                    found[schedule.name, step + 1] = float(value)
    return found


def _column(values: Sequence[float], device: torch.device) -> Tensor:
    """One value per arm, to go with states."""
    return torch.tensor(values, dtype=torch.float64, device=device)[:, None, None]


def _each_run(values: Sequence[float], runs: int, device: torch.device) -> Tensor:
    """One value per arm, once for each of its runs."""
    return torch.tensor(np.repeat(np.asarray(values, dtype=np.float64), runs), device=device)


def _normals(runs: int, batch_size: int, generator: torch.Generator) -> Tensor:
    """Standard normals of data and of noise, for every run."""
    return torch.randn(2, runs, batch_size, generator=generator, dtype=torch.float64, device=generator.device)


def _tracked_direction(theta: Tensor, mean: Tensor, z: Tensor, s: Tensor, tracker: LogPartitionTracker) -> Tensor:
    """``mean x − mean(w z)/u``: minus the gradient of ``meco_loss`` by theta."""
    log_w = _log_ratio(theta, z, s)
    top = log_w.amax(-1, keepdim=True)
    w = (log_w - top).exp()
    # One exponential of every weight serves both: their mean is all that the tracker needs.
    log_u = tracker.update((top + w.mean(-1, keepdim=True).log()).reshape(-1, 1))
    return mean - (top - log_u.reshape(top.shape)).exp() * (w * z).mean(-1, keepdim=True)


def _contrastive_direction(theta: Tensor, c: Tensor, x: Tensor, z: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Minus the gradient of ``nce_loss`` by theta and c."""
    miss = torch.sigmoid(c - _log_ratio(theta, x, s))
    alarm = torch.sigmoid(_log_ratio(theta, z, s) - c)
    by_theta = (miss * x).mean(-1, keepdim=True) - (alarm * z).mean(-1, keepdim=True)
    return by_theta, alarm.mean(-1, keepdim=True) - miss.mean(-1, keepdim=True)


def _log_ratio(theta: Tensor, x: Tensor, s: Tensor) -> Tensor:
    """``log p0(x; theta) − log q(x)``."""
    level = s.log() + math.log(2 * math.pi) / 2
    return torch.addcmul(level, theta + (s**-2 - 1) / 2 * x, x)
