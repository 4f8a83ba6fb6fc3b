"""Pretraining a factor model: exact risks over (m, n), exponents, the informative condition, its failures, and digits.

All that estimators of a Gaussian model see are second moments. They are drawn by Bartlett's decomposition, exactly and
for all draws of a replicate at once, so that no sample is; excess risks are exact. Functions ``simulate_...(settings,
seed, device)`` return one replicate as a table.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

from simulations import Replicate
from theory.learning import factor_model as factor
from theory.learning import gaussian_distances as distances
from theory.learning import informative_condition as condition

__all__ = [
    "Advantage",
    "Condition",
    "Digits",
    "Failure",
    "Rates",
    "on_features",
    "random_unit",
    "simulate_advantage",
    "simulate_condition",
    "simulate_digits",
    "simulate_failure",
    "simulate_rates",
]

_FOLDS = 5


@dataclass(frozen=True)
class _Labelled:
    """Second moments of folds of labelled data, for independent draws: [folds, draws, d + 1, d + 1], y last."""

    folds: np.ndarray

    @property
    def xx(self) -> np.ndarray:
        return self.folds.mean(axis=0)[:, :-1, :-1]

    @property
    def xy(self) -> np.ndarray:
        return self.folds.mean(axis=0)[:, :-1, -1]


def _joint_moments(B: np.ndarray, beta: np.ndarray, noise: float) -> np.ndarray:
    """Covariance of (x, y)."""
    cross = B @ beta
    top = np.concatenate([B @ B.T + np.eye(len(B)), cross[:, None]], axis=1)
    return np.concatenate([top, np.append(cross, beta @ beta + noise**2)[None]])


def _label(B: np.ndarray, beta: np.ndarray, noise: float, n: int, draws: int, rng: np.random.Generator) -> _Labelled:
    """n labelled samples in five equal folds, ``draws`` times."""
    moments = factor.sample_second_moments(_joint_moments(B, beta, noise), n // _FOLDS, _FOLDS * draws, rng)
    return _Labelled(moments.reshape(_FOLDS, draws, *moments.shape[1:]))


def on_features(features: np.ndarray, xx: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Coefficients on x of least squares on ``features^T x``; all arguments may be stacks."""
    projected = np.swapaxes(features, -1, -2)
    weights = np.linalg.pinv(projected @ xx @ features, hermitian=True) @ (projected @ xy[..., None])
    return (features @ weights)[..., 0]


def _tuned_ridge(labelled: _Labelled, penalties: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ridge at the penalty with the least mean loss over held-out folds, draw by draw: coefficients, penalties."""
    total = labelled.folds.sum(axis=0)
    losses = np.zeros((len(penalties), total.shape[0]))
    for fold in labelled.folds:
        train = (total - fold) / (_FOLDS - 1)
        for k, a in enumerate(_ridge_path(train[:, :-1, :-1], train[:, :-1, -1], penalties)):
            quadratic = np.einsum("ri,rij,rj->r", a, fold[:, :-1, :-1], a)
            losses[k] += quadratic - 2 * np.sum(a * fold[:, :-1, -1], axis=1)
    chosen = losses.argmin(axis=0)
    paths = np.stack(list(_ridge_path(labelled.xx, labelled.xy, penalties)))
    return paths[chosen, np.arange(paths.shape[1])], penalties[chosen]


def _ridge_path(xx: np.ndarray, xy: np.ndarray, penalties: np.ndarray) -> Iterator[np.ndarray]:
    values, vectors = np.linalg.eigh(xx)
    rotated = (np.swapaxes(vectors, -1, -2) @ xy[..., None])[..., 0]
    for penalty in penalties:
        # Without a penalty and with directions never seen: least norm.
        shrunk = values + penalty
        weights = np.where(shrunk > 1e-10, rotated / np.maximum(shrunk, 1e-10), 0.0)
        yield (vectors @ weights[..., None])[..., 0]


def random_unit(r: int, rng: np.random.Generator) -> np.ndarray:
    direction = rng.standard_normal(r)
    return direction / np.linalg.norm(direction)


@dataclass(frozen=True)
class Advantage:
    """Unlabelled by labelled sizes, in units of d; ridge is tuned where n is at most ``ridge_up_to`` d."""

    d: int = 50
    singular_values: tuple[float, ...] = (2.0, 1.5, 1.0)
    noise: float = 0.5
    unlabelled: tuple[int, ...] = (2, 4, 10, 20, 40, 100, 400)
    labelled: tuple[int, ...] = (2, 4, 8, 16, 40, 100)
    draws: int = 10
    penalties: tuple[float, ...] = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
    ridge_up_to: int = 16


def simulate_advantage(settings: Advantage, seed: int, device: str) -> pd.DataFrame:
    """Mean excess risks over draws, per m, n and method, with the share of draws in which pretraining is better."""
    rng = np.random.default_rng(seed)
    B = factor.random_loadings(settings.d, np.array(settings.singular_values), rng)
    beta, draws = random_unit(B.shape[1], rng), settings.draws
    sigma, (d, r) = B @ B.T + np.eye(len(B)), B.shape
    variance = float(factor.conditional_variance(B, beta, settings.noise))
    pretrained = {
        m * d: factor.factor_loadings(factor.sample_second_moments(sigma, m * d, draws, rng), r)
        for m in settings.unlabelled
    }
    rows = []
    for n in (n * d for n in settings.labelled):
        labelled = _label(B, beta, settings.noise, n, draws, rng)
        xx, xy = labelled.xx, labelled.xy
        alone = factor.factor_excess_risk(np.linalg.solve(xx, xy[..., None])[..., 0], B, beta)
        oracle = factor.factor_excess_risk(on_features(B, xx, xy), B, beta)
        ridge, penalty = np.full(draws, np.nan), np.full(draws, np.nan)
        if n <= settings.ridge_up_to * d:
            a, penalty = _tuned_ridge(labelled, np.array(settings.penalties))
            ridge = factor.factor_excess_risk(a, B, beta)
        for m, loadings in pretrained.items():
            excess = factor.factor_excess_risk(on_features(loadings, xx, xy), B, beta)
            population = np.mean(_population_excess(loadings, B, beta))
            rows.append(
                {
                    "d": d, "m": m, "n": n, "pretrain": np.mean(excess), "supervised": np.mean(alone),
                    "oracle": np.mean(oracle), "ridge": np.mean(ridge), "penalty": np.median(penalty),
                    "population": population,
                    "wins": np.mean(excess < alone), "wins_ridge": np.mean(excess < ridge),
                    "pretrain_theory": population + factor.least_squares_excess(variance, r, n),
                    "first_order": factor.factor_excess_prediction(B, beta, settings.noise, m, n),
                    "oracle_theory": factor.least_squares_excess(variance, r, n),
                    "supervised_theory": factor.least_squares_excess(variance, d, n),
                    "guarantee_m": np.sqrt(d * r / m), "guarantee_n": np.sqrt(r / n),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _population_excess(loadings: np.ndarray, B: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Excess of the best predictor in the fitted features: n infinite."""
    best = on_features(loadings, B @ B.T + np.eye(len(B)), B @ beta)
    return np.asarray(factor.factor_excess_risk(best, B, beta))


@dataclass(frozen=True)
class Rates:
    """Sweeps of m (n infinite), of d at ``m_for_d`` (n infinite), and of n at the largest m."""

    d: int = 50
    singular_values: tuple[float, ...] = (2.0, 1.5, 1.0)
    noise: float = 0.5
    unlabelled: tuple[int, ...] = (500, 1000, 2000, 4000, 8000, 16_000)
    dimensions: tuple[int, ...] = (20, 40, 80, 160)
    m_for_d: int = 8000
    labelled: tuple[int, ...] = (50, 100, 200, 400, 800)
    draws: int = 5


def simulate_rates(settings: Rates, seed: int, device: str) -> pd.DataFrame:
    """Mean excess over draws per sweep and value, beside the first order in 1/m, or the exact term in n."""
    rng = np.random.default_rng(seed)
    beta, draws = random_unit(len(settings.singular_values), rng), settings.draws
    sweeps = [("m", m, settings.d, m) for m in settings.unlabelled]
    sweeps += [("d", d, d, settings.m_for_d) for d in settings.dimensions]
    rows = []
    for sweep, value, d, m in sweeps:
        B = factor.random_loadings(d, np.array(settings.singular_values), rng)
        moments = factor.sample_second_moments(B @ B.T + np.eye(d), m, draws, rng)
        loadings = factor.factor_loadings(moments, B.shape[1])
        excess = _population_excess(loadings, B, beta).mean()
        predicted = factor.factor_excess_prediction(B, beta, settings.noise, m, np.inf)
        rows.append({"sweep": sweep, "value": value, "excess": excess, "predicted": predicted})
    m = max(settings.unlabelled)
    B = factor.random_loadings(settings.d, np.array(settings.singular_values), rng)
    loadings = factor.factor_loadings(factor.sample_second_moments(B @ B.T + np.eye(len(B)), m, draws, rng), B.shape[1])
    # Labels are cheap to draw: four sets for each pretrained model.
    loadings = np.repeat(loadings, 4, axis=0)
    population = _population_excess(loadings, B, beta)
    variance = float(factor.conditional_variance(B, beta, settings.noise))
    for n in settings.labelled:
        labelled = _label(B, beta, settings.noise, n, len(loadings), rng)
        excess = factor.factor_excess_risk(on_features(loadings, labelled.xx, labelled.xy), B, beta)
        predicted = factor.least_squares_excess(variance + float(population.mean()), B.shape[1], n)
        rows.append({"sweep": "n", "value": n, "excess": np.mean(excess - population), "predicted": predicted})
    return pd.DataFrame(rows)


# condition --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Condition:
    """Random pairs of loadings, how faint they get, and Monte Carlo sizes of total variation and of pairs (x, x')."""

    pairs: int = 1000
    d: int = 8
    r: int = 2
    smallest: float = 1.0
    largest: float = 2.0
    scales: tuple[float, ...] = (1.0, 0.5, 0.2, 0.1, 0.05)
    tv_pairs: int = 100
    tv_draws: int = 4000
    contrastive_d: int = 20
    contrastive_pairs: int = 20


def simulate_condition(settings: Condition, seed: int, device: str) -> Replicate:
    """Per part: the largest and median ratio of joint to marginal distance over pairs; as arrays, all ratios."""
    rng = np.random.default_rng(seed)
    sampler = condition.pair_sampler(settings.d, settings.r, settings.smallest, settings.largest)
    sample = sampler(rng, settings.pairs)
    B, B_hat = (condition.loadings_of(*(sample[name + hat] for name in ("U", "s", "V"))) for hat in ("", "_hat"))
    aligned = B_hat @ condition.procrustes_rotation(B, B_hat)
    ratios = {"hellinger": np.asarray(condition.informative_ratio(B, B_hat))}
    rows = [
        _ratio_row("hellinger", 1.0, ratios["hellinger"])
        | {"bound": condition.informative_ratio_bound(settings.smallest, settings.largest, settings.r)}
    ]
    few = slice(settings.tv_pairs)
    joint, marginal = (
        np.asarray(distances.gaussian_total_variation(f(B[few]), f(aligned[few]), rng, settings.tv_draws))
        for f in (condition.joint_covariance, _marginal_covariance)
    )
    ratios["total variation"] = joint / marginal
    rows.append(_ratio_row("total variation", 1.0, ratios["total variation"]))
    turned = B @ np.linalg.qr(rng.standard_normal((settings.pairs, settings.r, settings.r)))[0]
    hellinger = np.sqrt(
        np.asarray(distances.gaussian_hellinger2(_marginal_covariance(B), _marginal_covariance(turned)))
    )
    apart = np.sqrt(np.asarray(condition.joint_hellinger2(B, turned)))
    rows.append({"part": "no rotation", "scale": 1.0, "pairs": settings.pairs, "marginal": hellinger.max(),
                 "joint": np.median(apart)})  # fmt: skip
    for scale in settings.scales:
        faint = scale * np.linalg.qr(rng.standard_normal((settings.pairs, settings.d, settings.r)))[0]
        off = scale * 10.0 ** rng.uniform(-2, 0, (settings.pairs, 1, 1)) * rng.standard_normal(faint.shape)
        ratio = np.asarray(condition.informative_ratio(faint, faint + off))
        local = np.max(condition.local_informative_ratio(faint))
        rows.append(_ratio_row("fading", scale, ratio) | {"local": local})
    ratios["contrastive"] = _contrastive_ratios(settings, rng)
    rows.append(_ratio_row("contrastive", 1.0, ratios["contrastive"]))
    return Replicate(pd.DataFrame(rows), ratios)


def _ratio_row(part: str, scale: float, ratio: np.ndarray) -> dict[str, object]:
    return {
        "part": part, "scale": scale, "pairs": len(ratio), "max_ratio": float(ratio.max()),
        "median_ratio": float(np.median(ratio)),
    }  # fmt: skip


def _marginal_covariance(B: np.ndarray) -> np.ndarray:
    return B @ np.swapaxes(B, -1, -2) + np.eye(B.shape[-2])


def _contrastive_ratios(settings: Condition, rng: np.random.Generator) -> np.ndarray:
    """Ratios for projections W and W + noise, the marginal distance by Monte Carlo over (x, x')."""
    x, x_prime = rng.standard_normal((2, settings.tv_draws, settings.contrastive_d))
    ratios = []
    for _ in range(settings.contrastive_pairs):
        W = np.linalg.qr(rng.standard_normal((settings.contrastive_d, settings.r)))[0].T
        other = W + 10.0 ** rng.uniform(-2, 0) * rng.standard_normal(W.shape)
        aligned = (other.T @ condition.procrustes_rotation(W.T, other.T)).T
        marginal = condition.contrastive_hellinger2(W, aligned, x, x_prime)
        ratios.append(np.sqrt(np.asarray(condition.joint_hellinger2(W.T, aligned.T)) / marginal))
    return np.array(ratios)


# failure ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Failure:
    """Sizes for the class that cannot absorb rotations, and scales of the direction that x hardly shows."""

    d: int = 50
    singular_values: tuple[float, ...] = (2.0, 1.5, 1.0)
    noise: float = 0.5
    unlabelled: tuple[int, ...] = (500, 2000, 8000, 32_000)
    labelled: int = 2000
    scales: tuple[float, ...] = (1.0, 0.5, 0.3, 0.2)
    m_faint: int = 20_000
    n_faint: int = 5000
    draws: int = 10


def simulate_failure(settings: Failure, seed: int, device: str) -> pd.DataFrame:
    """Mean excess over draws of pretraining and least squares, per case and value, with kappa or its two distances."""
    rng = np.random.default_rng(seed)
    draws, singular = settings.draws, np.array(settings.singular_values)
    rows = []
    # y = z_1 + noise; the class is {b z_1}, and B is known only up to a rotation of z.
    B = factor.random_loadings(settings.d, singular, rng)
    beta = np.eye(len(singular))[0]
    limit = factor.factor_loadings(_marginal_covariance(B), B.shape[1])
    apart = {
        "marginal": float(np.sqrt(distances.gaussian_hellinger2(_marginal_covariance(B), _marginal_covariance(limit)))),
        "joint": float(np.sqrt(condition.joint_hellinger2(B, limit))),
    }
    labelled = _label(B, beta, settings.noise, settings.labelled, draws, rng)
    alone = np.mean(_supervised_excess(labelled, B, beta))
    for m in settings.unlabelled:
        loadings = factor.factor_loadings(
            factor.sample_second_moments(_marginal_covariance(B), m, draws, rng), B.shape[1]
        )
        latents = loadings @ np.linalg.inv(np.eye(B.shape[1]) + np.swapaxes(loadings, 1, 2) @ loadings)
        for method, features in (("one coordinate", latents[..., :1]), ("all coordinates", latents)):
            excess = factor.factor_excess_risk(on_features(features, labelled.xx, labelled.xy), B, beta)
            rows.append({"case": "rotation", "value": m, "method": method, "excess": np.mean(excess), **apart})
        rows.append({"case": "rotation", "value": m, "method": "supervised", "excess": alone, **apart})
    beta = np.eye(len(singular))[-1]
    for scale in settings.scales:
        values = np.append(singular[:-1], scale)
        B = np.linalg.qr(rng.standard_normal((settings.d, len(values))))[0] * values
        labelled = _label(B, beta, settings.noise, settings.n_faint, draws, rng)
        moments = factor.sample_second_moments(_marginal_covariance(B), settings.m_faint, draws, rng)
        a = on_features(factor.factor_loadings(moments, B.shape[1]), labelled.xx, labelled.xy)
        kappa = condition.local_informative_ratio(B)
        for method, excess in (
            ("all coordinates", factor.factor_excess_risk(a, B, beta)),
            ("supervised", _supervised_excess(labelled, B, beta)),
        ):
            rows.append(
                {"case": "faint", "value": scale, "method": method, "excess": np.mean(excess), "kappa": float(kappa)}
            )
    return pd.DataFrame(rows)


def _supervised_excess(labelled: _Labelled, B: np.ndarray, beta: np.ndarray) -> np.ndarray:
    a = np.linalg.solve(labelled.xx, labelled.xy[..., None])[..., 0]
    return np.asarray(factor.factor_excess_risk(a, B, beta))


# digits ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Digits:
    """Labelled sizes, rank of the factor model, and equally many ridge penalties for every method."""

    labelled: tuple[int, ...] = (20, 50, 100, 200)
    rank: int = 16
    penalties: tuple[float, ...] = (1e-6, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


def simulate_digits(settings: Digits, seed: int, device: str) -> pd.DataFrame:
    """Held-out and test error per n, method and penalty: squared loss on one-hot labels, the largest output wins."""
    rng = np.random.default_rng(seed)
    images, digit = load_digits(return_X_y=True)
    pixels, y = np.asarray(images) / 16, np.asarray(digit)
    # The test part is the same in every replicate, so that no setting is chosen on what others are tested on.
    test, rest = np.split(np.random.default_rng(2023).permutation(len(y)), [len(y) // 3])
    held_out, pool = np.split(rng.permutation(rest), [len(rest) // 4])
    centred = pixels - pixels[pool].mean(axis=0)
    moments = centred[pool].T @ centred[pool] / len(pool)
    scaled = centred / np.sqrt(float(factor.estimated_noise_variance(moments, settings.rank)))
    B = factor.fit_factor_model(scaled[pool], settings.rank)
    random = np.linalg.qr(rng.standard_normal((pixels.shape[1], settings.rank)))[0]
    representations = {
        "pretrain": factor.posterior_mean_features(scaled, B),
        "supervised": scaled / scaled[pool].std(),
        "random features": scaled @ random / scaled[pool].std(),
    }
    rows = []
    for n in settings.labelled:
        train = pool[rng.permutation(len(pool))[:n]]
        for method, features in representations.items():
            for penalty, outputs in _one_hot_ridge(features, train, y, settings.penalties):
                wrong = outputs.argmax(axis=1) != y
                rows.append(
                    {"n": n, "method": method, "penalty": penalty, "held_out": wrong[held_out].mean(),
                     "error": wrong[test].mean()}
                )  # fmt: skip
    return pd.DataFrame(rows)


def _one_hot_ridge(features: np.ndarray, train: np.ndarray, y: np.ndarray, penalties: tuple[float, ...]):
    """Outputs for all rows per penalty; the intercept is free."""
    centre, targets = features[train].mean(axis=0), np.eye(10)[y[train]]
    left, values, right = np.linalg.svd(features[train] - centre, full_matrices=False)
    projected = left.T @ (targets - targets.mean(axis=0))
    for penalty in penalties:
        weights = right.T @ ((values / (values**2 + len(train) * penalty))[:, None] * projected)
        yield penalty, (features - centre) @ weights + targets.mean(axis=0)
