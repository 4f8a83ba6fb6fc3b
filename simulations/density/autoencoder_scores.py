"""Networks that learn a score by denoising or contraction, held against the true score and used to sample from.

Within a replicate all arms of a loss are trained in lockstep on the same batches. The plain auto-encoders have no
displacement built in; one is contracted as a whole, the others in the encoder alone, at several strengths.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import cdist
from scipy.special import softmax
from sklearn.datasets import load_digits
from torch import Tensor, nn

from neural.density.regularized_autoencoder import (
    AutoencoderEnsemble,
    DisplacementEnsemble,
    ScoreFromAutoencoder,
    approximate_mh,
    contractive_reconstruction_loss,
    dae_loss,
    fit_reconstruction,
    jacobian_penalty,
    log_density_difference,
    reconstruction_chain,
)
from simulations import Replicate
from simulations.density.known_scores import KNOWN_SCORES
from theory.density import score_sampling
from theory.density.isotropic_mixture import IsotropicMixture

__all__ = ["Digits", "Learned", "simulate_digits", "simulate_learned"]


@dataclass(frozen=True)
class Learned:
    """Densities, sigmas, the trainer's effort, the control's strengths, and the chains (at the smallest sigma)."""

    densities: tuple[str, ...] = ("three modes",)
    sigmas: tuple[float, ...] = (0.1, 0.2)
    samples: int = 5000
    evaluation: int = 2000
    width: int = 64
    batch: int = 256
    steps: int = 500
    rate: float = 1e-2
    plain_sigma: float = 0.2
    plain_steps: int = 200
    encoder_strengths: tuple[float, ...] = (1e-3, 1e-2, 1e-1)
    bandwidths: tuple[float, ...] = (0.03, 0.05, 0.08, 0.1, 0.12, 0.15, 0.18, 0.27)
    triangles: int = 100
    chains: int = 300
    mh_step: float = 0.3
    checkpoints: tuple[int, ...] = (1, 3, 10, 30, 100, 400)


def simulate_learned(settings: Learned, seed: int, device: str) -> Replicate:
    """A row per density, arm, sigma and quantity; the field of the denoiser and last states of the chains."""
    rows, arrays = [], {}
    for density in settings.densities:
        truth = KNOWN_SCORES[density]
        rng = np.random.default_rng(seed)
        data, test, fresh, held_out = (
            truth.sample(n, rng)
            for n in (settings.samples, settings.evaluation, settings.evaluation, settings.evaluation)
        )
        x = torch.as_tensor(data, dtype=torch.float32, device=device)
        networks = _trained(settings, x, seed)
        found = [*_accuracy(settings, truth, networks, test), *_kernel(settings, truth, data, held_out, test)]
        found += _plain(settings, truth, x, test, seed)
        sampled, states = _sampling(settings, truth, networks, fresh, held_out, seed)
        rows += [{"density": density, **row} for row in found + sampled]
        axis = np.linspace(-2, 2, 21)
        grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        arrays[f"{density}, field"] = _score(networks["denoising"], grid, 0).astype(np.float32)
        arrays[f"{density}, data"] = data[: settings.chains].astype(np.float32)
        arrays |= {f"{density}, {name}": state.astype(np.float32) for name, state in states.items()}
    return Replicate(pd.DataFrame(rows), arrays)


def _trained(settings: Learned, x: Tensor, seed: int) -> dict[str, ScoreFromAutoencoder]:
    """Per loss an ensemble with one model per sigma; both losses start equal and see the same batches."""
    sigmas, found = torch.tensor(settings.sigmas, device=x.device), {}
    for name in ("denoising", "contractive"):
        generator = torch.Generator(x.device).manual_seed(seed)
        model = DisplacementEnsemble(len(sigmas), x.shape[1], sigmas, generator, settings.width)

        def denoising(batch: Tensor, rng: torch.Generator, m: nn.Module = model) -> Tensor:
            return _mirrored_dae_loss(m, batch, sigmas, rng)

        def contractive(batch: Tensor, rng: torch.Generator, m: nn.Module = model) -> Tensor:
            return contractive_reconstruction_loss(m, batch, sigmas)

        loss = denoising if name == "denoising" else contractive
        _fit(model, x, loss, settings, settings.steps, len(sigmas), generator)
        found[name] = ScoreFromAutoencoder(model, sigmas)
    return found


def _mirrored_dae_loss(model: nn.Module, batch: Tensor, sigma: float | Tensor, rng: torch.Generator) -> Tensor:
    """The loss of half of the batch, each point with e and −e: what is odd in the noise cancels from the gradient."""
    half = batch[:, : batch.shape[1] // 2]
    noise = torch.randn(half.shape, generator=rng, device=half.device)
    return dae_loss(model, torch.cat([half, half], 1), sigma, torch.cat([noise, -noise], 1))


def _fit(
    model: nn.Module, x: Tensor, loss: Callable[[Tensor, torch.Generator], Tensor], settings: Learned, steps: int,
    models: int, generator: torch.Generator,
) -> None:  # fmt: skip
    fit_reconstruction(
        model, x, loss, steps, generator, models=models, batch_size=settings.batch, learning_rate=settings.rate
    )


@torch.no_grad()
def _score(network: ScoreFromAutoencoder, points: np.ndarray, k: int) -> np.ndarray:
    models = network.sigma.shape[0]
    x = torch.as_tensor(points, dtype=torch.float32, device=network.sigma.device).expand(models, -1, -1)
    return network(x)[k].double().cpu().numpy()


def _compared(found: np.ndarray, exact: np.ndarray) -> dict[str, float]:
    cosines = (found * exact).sum(1) / (np.linalg.norm(found, axis=1) * np.linalg.norm(exact, axis=1))
    error = np.sqrt(np.square(found - exact).sum() / np.square(exact).sum())
    return {"cosine": float(cosines.mean()), "relative error": float(error)}


def _rows(arm: str, sigma: float, values: dict[str, float]) -> list[dict[str, Any]]:
    return [{"arm": arm, "sigma": sigma, "quantity": name, "value": value} for name, value in values.items()]


def _accuracy(
    settings: Learned, truth: IsotropicMixture, networks: dict[str, ScoreFromAutoencoder], test: np.ndarray
) -> list[dict[str, Any]]:
    """Cosine, relative error, and what of a log-density difference depends on the path, per network."""
    rows, exact = [], truth.score(test)
    corners = test[: 3 * settings.triangles].reshape(-1, 3, 2)
    for name, network in networks.items():
        sides = torch.stack([_side(network, corners[:, k], corners[:, k - 1]) for k in range(3)], dim=-1)
        dependence = (sides.sum(-1).abs().mean(-1) / sides.abs().mean((-2, -1))).tolist()
        for k, sigma in enumerate(settings.sigmas):
            values = _compared(_score(network, test, k), exact) | {"path dependence": dependence[k]}
            rows += _rows(name, sigma, values)
    return rows


def _side(network: ScoreFromAutoencoder, start: np.ndarray, end: np.ndarray) -> Tensor:
    sigma = network.sigma
    x0, x1 = (
        torch.as_tensor(each, dtype=torch.float32, device=sigma.device).expand(len(sigma), -1, -1)
        for each in (start, end)
    )
    # So many points that what is left is the field's, not the rule's.
    return log_density_difference(network.model, x0, x1, sigma, n_points=50)


def _kernel(
    settings: Learned, truth: IsotropicMixture, data: np.ndarray, held_out: np.ndarray, test: np.ndarray
) -> list[dict[str, Any]]:
    """The gradient of a kernel density estimate with the bandwidth that is the likeliest for held-out data."""
    squared = cdist(held_out[: len(held_out) // 2], data, "sqeuclidean")

    nearest = squared.min(1, keepdims=True)
    farther = squared - nearest

    def log_likelihood(bandwidth: float) -> float:
        logs = np.log(np.exp(farther / (-2 * bandwidth**2)).sum(1)) - nearest[:, 0] / (2 * bandwidth**2)
        return float(logs.mean() - data.shape[1] * np.log(bandwidth))

    bandwidth = max(settings.bandwidths, key=log_likelihood)
    shares = softmax(-0.5 * cdist(test, data, "sqeuclidean") / bandwidth**2, axis=1)
    return _rows("kernel density", bandwidth, _compared((shares @ data - test) / bandwidth**2, truth.score(test)))


def _plain(settings: Learned, truth: IsotropicMixture, x: Tensor, test: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """Plain auto-encoders: contracted as a whole, or in the encoder alone, at the strength with the best cosine."""
    sigma, rows, exact = settings.plain_sigma, [], truth.score(test)
    strengths = torch.tensor(settings.encoder_strengths, device=x.device)
    for arm, models in (("plain, whole", 1), ("plain, encoder alone", len(strengths))):
        generator = torch.Generator(x.device).manual_seed(seed)
        model = AutoencoderEnsemble(models, x.shape[1], generator, settings.width)

        def whole(batch: Tensor, rng: torch.Generator, m: AutoencoderEnsemble = model) -> Tensor:
            return contractive_reconstruction_loss(m, batch, sigma)

        def encoder(batch: Tensor, rng: torch.Generator, m: AutoencoderEnsemble = model) -> Tensor:
            penalty = jacobian_penalty(m.encode, batch, "hutchinson", generator=rng)
            return (m(batch) - batch).square().sum(-1).mean(-1) + strengths * penalty

        _fit(model, x, whole if models == 1 else encoder, settings, settings.plain_steps, models, generator)
        network = ScoreFromAutoencoder(model, torch.full((models,), sigma, device=x.device))
        values = [_compared(_score(network, test, k), exact) for k in range(models)]
        best = max(range(models), key=lambda k: values[k]["cosine"])
        rows += _rows(arm, sigma, values[best] | {"strength": sigma**2 if models == 1 else float(strengths[best])})
    return rows


def _sampling(
    settings: Learned, truth: IsotropicMixture, networks: dict[str, ScoreFromAutoencoder], fresh: np.ndarray,
    held_out: np.ndarray, seed: int,
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:  # fmt: skip
    """Energy distance to fresh data of chains from uniform starts.

    Chains without accept and reject stop where they are nearest to held-out data, the best of the checkpoints.
    """
    rng = np.random.default_rng(seed + 1)
    starts, sigma, steps = rng.uniform(-2, 2, (settings.chains, 2)), settings.sigmas[0], max(settings.checkpoints)
    states = {"uniform": starts, "data": truth.sample(settings.chains, rng)}
    rows: list[dict[str, Any]] = []
    for name, network in networks.items():
        device = network.sigma.device
        generator = torch.Generator(device).manual_seed(seed + 2)
        # The model of the smallest sigma alone: the ensemble's others would take as long.
        x0 = torch.as_tensor(starts, dtype=torch.float32, device=device)[None]
        first = _only_first(network, settings)
        found, acceptance = approximate_mh(first, x0, sigma, settings.mh_step, steps, generator)
        states[f"MH, {name}"] = found[0].double().cpu().numpy()
        rows += _rows(f"MH, {name}", sigma, {"acceptance": float(acceptance)})
        if name == "denoising":
            for arm, corruption in (
                ("iterated", 0.0), ("corrupted by sigma", sigma), ("corrupted by sqrt(2) sigma", 2**0.5 * sigma)
            ):  # fmt: skip
                passed, state, choices = 0, x0, []
                for checkpoint in settings.checkpoints:
                    state = reconstruction_chain(first, state, corruption, checkpoint - passed, generator)
                    passed = checkpoint
                    choices.append(state[0].double().cpu().numpy())
                distances = [_energy_distance(each, held_out) for each in choices]
                best = int(np.argmin(distances))
                states[arm] = choices[best]
                rows += _rows(arm, sigma, {"checkpoint": float(settings.checkpoints[best])})
    states["MH, true score"] = score_sampling.approximate_mh(
        lambda x: x + sigma**2 * truth.score(x), starts, sigma, settings.mh_step, steps, rng
    )[0]
    for arm, state in states.items():
        rows += _rows(arm, sigma, {"energy distance": _energy_distance(state, fresh)})
    return rows, states


def _only_first(network: ScoreFromAutoencoder, settings: Learned) -> nn.Module:
    model = network.model
    generator = torch.Generator(network.sigma.device)
    first = DisplacementEnsemble(1, 2, settings.sigmas[0], generator, settings.width)
    first.load_state_dict({name: value[:1] for name, value in model.state_dict().items()})
    return first


def _energy_distance(x: np.ndarray, y: np.ndarray) -> float:
    """``2 E|X − Y| − E|X − X'| − E|Y − Y'|`` between two empirical laws: zero only if they are equal."""
    return float(2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean())


# digits -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Digits:
    """Noise on digits with pixels in [0, 1], the network, and bandwidths of the kernel estimate it is held against."""

    sigma: float = 0.2
    width: int = 128
    batch: int = 128
    steps: int = 300
    rates: tuple[float, ...] = (1e-2, 3e-2, 1e-1)
    bandwidths: tuple[float, ...] = (0.02, 0.1, 0.25)
    held_out: int = 350
    chains: int = 12
    mh_step: float = 0.03
    mh_steps: int = 200


def simulate_digits(settings: Digits, seed: int, device: str) -> Replicate:
    """Error of denoising unseen digits, by the network and by the best denoiser of a kernel density estimate.

    For one noise the excess of the error over the optimum is sigma^4 times the squared error of the blurred score,
    so that scores can be compared though none is known. Both have as many settings, chosen on validation digits.
    """
    rng = np.random.default_rng(seed)
    pixels = np.asarray(load_digits(return_X_y=True)[0])[rng.permutation(1797)] / 16
    size, sigma = settings.held_out, settings.sigma
    validation, test, train = pixels[:size], pixels[size : 2 * size], pixels[2 * size :]
    noise = rng.standard_normal((2, size, 64))
    x = torch.as_tensor(train, dtype=torch.float32, device=device)
    models = {}
    for rate in settings.rates:
        generator = torch.Generator(device).manual_seed(seed)
        model = DisplacementEnsemble(1, 64, sigma, generator, settings.width)
        fit_reconstruction(
            model, x, lambda batch, g, m=model: _mirrored_dae_loss(m, batch, sigma, g), settings.steps, generator,
            batch_size=settings.batch, learning_rate=rate,
        )  # fmt: skip
        models[rate] = model

    def network(noisy: np.ndarray, rate: float) -> np.ndarray:
        with torch.no_grad():
            found = models[rate](torch.as_tensor(noisy, dtype=torch.float32, device=device)[None])[0]
        return found.double().cpu().numpy()

    def kernel(noisy: np.ndarray, bandwidth: float) -> np.ndarray:
        total = bandwidth**2 + sigma**2
        shares = softmax(-0.5 * cdist(noisy, train, "sqeuclidean") / total, axis=1)
        return noisy + sigma**2 * (shares @ train - noisy) / total

    rows = []
    best_rate = settings.rates[0]
    for arm, denoise, choices in (
        ("network", network, settings.rates),
        ("kernel density", kernel, settings.bandwidths),
    ):
        errors = [np.square(denoise(validation + sigma * noise[0], c) - validation).sum(1).mean() for c in choices]
        chosen = choices[int(np.argmin(errors))]
        best_rate = chosen if arm == "network" else best_rate
        error = np.square(denoise(test + sigma * noise[1], chosen) - test).sum(1).mean()
        rows.append({"arm": arm, "chosen": chosen, "validation": float(min(errors)), "error": float(error)})
    rows.append({"arm": "none", "chosen": 0.0, "validation": np.nan, "error": 64 * sigma**2})
    starts = test[: settings.chains] + sigma * noise[1, : settings.chains]
    x0 = torch.as_tensor(starts, dtype=torch.float32, device=device)[None]
    generator = torch.Generator(device).manual_seed(seed + 1)
    states, _ = approximate_mh(models[best_rate], x0, sigma, settings.mh_step, settings.mh_steps, generator)
    images = {
        "noisy": starts, "reconstructed": network(starts, best_rate), "chains": states[0].double().cpu().numpy(),
    }  # fmt: skip
    return Replicate(pd.DataFrame(rows), {name: value.astype(np.float32) for name, value in images.items()})
