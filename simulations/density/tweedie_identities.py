"""What can be checked without training on images: Tweedie's identities, the AR-DAE optimum, Stein's estimate."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import digamma, loggamma
from torch import nn

from neural.density.image_noise import ResidualDenoiser, add_noise, photograph
from neural.density.noise2score import ScoreCNN, sure_gaussian
from theory.density import noise2score as theory

__all__ = ["Identities", "ScoreFit", "Stein", "simulate_identities", "simulate_score_fit", "simulate_stein"]

# Identities -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identities:
    """Random priors with this many atoms, and the levels of each noise."""

    priors: int = 200
    atoms: int = 40
    gaussian: tuple[float, ...] = (0.1, 0.5)
    poisson: tuple[float, ...] = (0.05, 1.0)
    gamma: tuple[float, ...] = (4.0, 20.0)
    instances: int = 20_000


def simulate_identities(settings: Identities, seed: int, device: str) -> pd.DataFrame:
    """Errors of Tweedie's formulas against posterior means by summation over the prior, and worst ratios of bounds.

    A quadrature rule for any prior is a prior with atoms, for which the formulas hold exactly. The score is the
    derivative of the log-density along the imaginary axis, which subtracts nothing.
    """
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for noise, levels in (("gaussian", settings.gaussian), ("poisson", settings.poisson), ("gamma", settings.gamma)):
        for level in levels:
            rows += [{"check": noise, "level": level, **row} for row in _errors(noise, level, settings, rng)]
    z = np.array([0.0, 1.0, 2.0, 5.0, 10.0])
    off = 1 - (z + 0.5) / np.exp(digamma(z + 1))
    rows += [{"check": "half", "level": count, "error": error} for count, error in zip(z, off, strict=True)]
    for bound in theory.BOUNDS:
        report = bound.check(settings.instances, seed=seed % 2**32)
        rows.append(
            {
                "check": bound.name, "error": report.worst_ratio, "instances": report.instances,
                "witness": str({k: np.round(v, 4).tolist() for k, v in report.witness.items()}),
            }
        )  # fmt: skip
    return pd.DataFrame(rows).fillna({"witness": "", "instances": 0})


def _errors(noise: str, level: float, settings: Identities, rng: np.random.Generator):
    for _ in range(settings.priors):
        # Two lognormal lumps, sampled: far from any conjugate prior.
        atoms = np.exp(np.where(rng.random(settings.atoms) < 0.4, -1.2, 0.2) + 0.3 * rng.normal(size=settings.atoms))
        x = rng.choice(atoms)
        if noise == "gaussian":
            y = np.atleast_1d(x + level * rng.normal())
        else:
            y = np.atleast_1d(float(rng.poisson(x / level)) if noise == "poisson" else x * rng.gamma(level) / level)

        def log_terms(v, noise=noise, atoms=atoms):
            if noise == "gaussian":
                return -0.5 * ((v - atoms) / level) ** 2
            if noise == "poisson":
                return v * np.log(atoms / level) - atoms / level - loggamma(v + 1)
            return -level * np.log(atoms) + (level - 1) * np.log(v) - level * v / atoms

        joint = log_terms(y + 1e-30j)
        top = joint.real.max()
        weights = np.exp(joint - top)
        score = np.atleast_1d(np.imag(np.log(weights.sum())) / 1e-30)
        shares = weights.real / weights.real.sum()
        arithmetic, geometric, harmonic = shares @ atoms, np.exp(shares @ np.log(atoms)), 1 / (shares @ (1 / atoms))
        if noise == "gaussian":
            found, mean = theory.tweedie_gaussian(y, score, level)[0], arithmetic
        elif noise == "poisson":
            found, mean = theory.tweedie_poisson(level * y, score, level, form="digamma")[0], geometric
        else:
            found, mean = theory.tweedie_gamma(y, score, level)[0], harmonic
        yield {
            "error": abs(found / mean - 1), "gap_low": geometric / harmonic - 1, "gap_high": arithmetic / geometric - 1,
            "wrong": abs(found / arithmetic - 1) if noise != "gaussian" else abs(found / geometric - 1),
        }  # fmt: skip


# AR-DAE optimum ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScoreFit:
    """A mixture of Gaussians, the level of the denoising auto-encoder, and a score that is linear in features."""

    means: tuple[float, ...] = (-1.2, 1.0)
    stds: tuple[float, ...] = (0.5, 0.4)
    weights: tuple[float, ...] = (0.4, 0.6)
    sa: float = 0.3
    features: int = 24
    samples: int = 1_000_000


def simulate_score_fit(settings: ScoreFit, seed: int, device: str) -> pd.DataFrame:
    """Least squares on ``|sa R(y + sa u) + u|²``: relative L2 error to blurred and plain score, and the loss."""
    rng = np.random.default_rng(seed)
    means, stds, weights = (np.array(v) for v in (settings.means, settings.stds, settings.weights))
    centres = np.linspace(means.min() - 4 * stds.max(), means.max() + 4 * stds.max(), settings.features)
    width = 1.3 * (centres[1] - centres[0])

    def features(v):
        bumps = np.exp(-0.5 * ((v[:, None] - centres) / width) ** 2)
        return np.concatenate([bumps, v[:, None], np.ones((len(v), 1))], axis=1)

    count = settings.features + 2
    gram, moment = np.zeros((count, count)), np.zeros(count)
    squares, first = 0.0, 0.0
    per_chunk = 50_000
    chunks = []
    for start in range(0, settings.samples, per_chunk):
        n = min(per_chunk, settings.samples - start)
        which = rng.choice(len(means), n, p=weights)
        u = rng.standard_normal(n)
        v = means[which] + stds[which] * rng.standard_normal(n) + settings.sa * u
        phi = features(v)
        gram += phi.T @ phi
        moment += phi.T @ u
        chunks.append((v, u))
    theta = -np.linalg.lstsq(gram, moment, rcond=1e-12)[0] / settings.sa
    for v, u in chunks:
        loss = (settings.sa * (features(v) @ theta) + u) ** 2
        first += loss.sum()
        squares += (loss**2).sum()
    mean = first / settings.samples
    standard_error = np.sqrt((squares / settings.samples - mean**2) / settings.samples)
    grid = np.linspace(centres[0], centres[-1], 2001)
    blurred = theory.gaussian_gaussian(grid, settings.sa, means, stds, weights)
    plain = theory.gaussian_gaussian(grid, 1e-9, means, stds, weights)
    density = np.exp(blurred.log_density)
    fitted = features(grid) @ theta

    def distance(score):
        return float(np.sqrt((density * (fitted - score) ** 2).sum() / (density * score**2).sum()))

    minimum = theory.ar_dae_minimum(settings.sa, means, stds, weights)
    return pd.DataFrame(
        [
            {"score": "blurred", "error": distance(blurred.score), "z": abs(mean - minimum) / standard_error},
            {"score": "plain", "error": distance(plain.score), "z": abs(mean - 1) / standard_error},
        ]
    )


# Stein's estimate -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stein:
    """A photograph's centre, the noise, and how many noisy versions of it."""

    image: str = "camera"
    side: int = 64
    sigma: float = 25 / 255
    draws: int = 160
    probes: int = 1
    width: int = 8


def simulate_stein(settings: Stein, seed: int, device: str) -> pd.DataFrame:
    """Standard errors between the mean of Stein's estimate and the mean squared error, with and without divergence."""
    rng = torch.Generator(device).manual_seed(seed)
    whole = photograph(settings.image).to(device)
    top, left = ((side - settings.side) // 2 for side in whole.shape[2:])
    clean = whole[..., top : top + settings.side, left : left + settings.side].expand(settings.draws, -1, -1, -1)
    network = ScoreCNN(1, settings.width, 3, generator=torch.Generator().manual_seed(seed)).to(device)
    rows = []
    for name, denoiser in (("blur", _blur()), ("network", nn.Sequential(_blur(), ResidualDenoiser(network)))):
        model = denoiser.to(device)
        noisy = add_noise(clean, "gaussian", settings.sigma, rng)
        with torch.no_grad():
            estimate = sure_gaussian(noisy, model, settings.sigma, settings.probes, generator=rng)
            found = model(noisy)
            true = (found - clean).square().mean((1, 2, 3))
            without = (found - noisy).square().mean((1, 2, 3)) - settings.sigma**2
        for kind, values in (("with divergence", estimate), ("without", without)):
            off = (values - true).double()
            z = float(off.mean().abs() / (off.std() / len(off) ** 0.5))
            rows.append(
                {"denoiser": name, "kind": kind, "z": z, "mse": float(true.mean()), "sure": float(values.mean())}
            )
    return pd.DataFrame(rows)


def _blur() -> nn.Module:
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)
