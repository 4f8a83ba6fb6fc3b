"""Pretraining Gaussian mixtures and contrastive pairs: against tuned baselines, exponents, and pairs that say nothing.

Functions ``simulate_...(settings, seed, device)`` return one replicate as a table. Excess errors in the mixture are
means over test points of the exact conditional excess, exact for two clusters; all others are exact.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from simulations.learning.factor_pretraining import on_features, random_unit
from theory.learning import contrastive_pairs as pairs
from theory.learning import factor_model as factor
from theory.learning import spherical_mixture as mixtures
from theory.learning.pretraining_advantage import SphericalMixture

__all__ = [
    "Contrastive",
    "Mixture",
    "MixtureRates",
    "simulate_contrastive",
    "simulate_mixture",
    "simulate_mixture_rates",
]


@dataclass(frozen=True)
class Mixture:
    """K clusters at distance ``norm`` from 0; seven settings for either baseline."""

    d: int = 20
    K: int = 8
    norm: float = 4.0
    flip: float = 0.1
    m: int = 4000
    labelled: tuple[int, ...] = (40, 80, 160, 320)
    draws: int = 2
    test: int = 3000
    held_out: int = 1000
    restarts: int = 10
    penalties: tuple[float, ...] = (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0)
    neighbours: tuple[int, ...] = (1, 3, 5, 9, 15, 23, 35)
    voted: tuple[int, ...] = (48, 64, 96, 128)
    votes: int = 800


def simulate_mixture(settings: Mixture, seed: int, device: str) -> pd.DataFrame:
    """Excess error, and error on held-out labels, per n, method and setting; votes over many labelled sets as well."""
    rng = np.random.default_rng(seed)
    world = _Clusters(settings, rng)
    model = SphericalMixture(settings.K, settings.restarts, seed % 2**32)
    centres = model.pretrain(world.draw(settings.m)[0])
    test, (held_out, held_out_y) = world.draw(settings.test)[0], world.draw(settings.held_out)
    rows = []
    for n in settings.labelled:
        for number in range(settings.draws):
            X, y = world.draw_both_labels(n)
            fit = model.head(centres, X, y)
            answers = [("pretrain", 0.0, fit.predict(test), fit.predict(held_out))]
            for C in settings.penalties:
                logistic = LogisticRegression(C=C, max_iter=1000).fit(X, y)
                answers.append(("logistic", C, logistic.predict(test), logistic.predict(held_out)))
            votes = (_nearest_votes(X, y, settings.neighbours, points) for points in (test, held_out))
            answers += [("kNN", float(k), *each) for k, *each in zip(settings.neighbours, *votes, strict=True)]
            for method, setting, on_test, on_held_out in answers:
                rows.append(
                    {"n": n, "draw": number, "method": method, "setting": setting,
                     "excess": world.excess(on_test, test), "held_out": np.mean(on_held_out != held_out_y)}
                )  # fmt: skip
    found = mixtures.assign_clusters(test, centres)
    # What it costs to label a cluster 0 or 1: excess errors of all votes are sums of these.
    share = np.bincount(found, minlength=settings.K) / len(test)
    cost = np.array([[world.share_of_excess(label, test, found == k) for label in (0, 1)] for k in range(settings.K)])
    price = np.abs(cost[:, 1] - cost[:, 0])
    for n in settings.voted:
        X, y = world.draw(n * settings.votes)
        clusters = mixtures.assign_clusters(X, centres).reshape(settings.votes, n)
        votes = [
            mixtures.cluster_vote(c, v, settings.K) for c, v in zip(clusters, y.reshape(clusters.shape), strict=True)
        ]
        excess = np.where(np.array(votes) == 1, cost[:, 1], cost[:, 0]).sum(axis=1)
        # Within a cluster, labels are wrong by flips and by strays: its price is its share times 1 − 2 flip_k.
        expected = cost.min(axis=1).sum() + sum(
            p * mixtures.vote_error(n, w, 0.5 * (1 - p / w)) for p, w in zip(price, share, strict=True) if w > 0
        )
        rows.append({"n": n, "draw": 0, "method": "votes", "setting": 0.0, "excess": excess.mean(), "theory": expected})
    return pd.DataFrame(rows)


class _Clusters:
    """Centres in random directions, a random half of them labelled 1, and labels that are flipped at random."""

    def __init__(self, settings: Mixture, rng: np.random.Generator) -> None:
        directions = rng.standard_normal((settings.K, settings.d))
        self.means = settings.norm * directions / np.linalg.norm(directions, axis=1, keepdims=True)
        self.labels = rng.permutation(np.arange(settings.K) % 2)
        self.flip, self.rng = settings.flip, rng

    def draw(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        X, z = mixtures.sample_spherical_mixture(self.means, n, self.rng)
        return X, np.where(self.rng.random(n) < self.flip, 1 - self.labels[z], self.labels[z])

    def draw_both_labels(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        while True:
            X, y = self.draw(n)
            if len(np.unique(y)) == 2:
                return X, y

    def excess(self, predicted: np.ndarray, X: np.ndarray) -> float:
        return mixtures.mixture_excess_error(predicted, X, self.means, self.labels, self.flip)

    def share_of_excess(self, label: int, X: np.ndarray, part: np.ndarray) -> float:
        """What the samples of a part contribute to the mean excess if all of them get this label."""
        return part.mean() * self.excess(np.full(part.sum(), label), X[part]) if part.any() else 0.0


def _nearest_votes(X: np.ndarray, y: np.ndarray, neighbours: tuple[int, ...], points: np.ndarray) -> np.ndarray:
    """Majorities of the k nearest labelled points, for each odd k: [neighbours, points]."""
    distance = (X**2).sum(axis=1) - 2 * points @ X.T
    most = min(max(neighbours), len(X))
    nearest = np.argpartition(distance, most - 1, axis=1)[:, :most]
    order = np.take_along_axis(distance, nearest, axis=1).argsort(axis=1)
    ones = y[np.take_along_axis(nearest, order, axis=1)].cumsum(axis=1)
    return np.stack([(2 * ones[:, min(k, most) - 1] > min(k, most)).astype(np.int64) for k in neighbours])


@dataclass(frozen=True)
class MixtureRates:
    """Two clusters ``separation`` apart, so that risks are exact."""

    d: int = 20
    separation: float = 4.0
    flip: float = 0.1
    unlabelled: tuple[int, ...] = (500, 1000, 2000, 4000, 8000, 16_000)
    restarts: int = 2
    draws: int = 2


def simulate_mixture_rates(settings: MixtureRates, seed: int, device: str) -> pd.DataFrame:
    """Mean exact excess error of the boundary between fitted centres, n infinite, per m."""
    rng = np.random.default_rng(seed)
    direction = random_unit(settings.d, rng)
    means = settings.separation / 2 * np.stack([-direction, direction])
    rows = []
    for m in settings.unlabelled:
        excess = []
        for _ in range(settings.draws):
            X, _ = mixtures.sample_spherical_mixture(means, m, rng)
            fitted = mixtures.fit_gmm_spherical(X, 2, settings.restarts, rng).means
            excess.append(mixtures.two_component_excess(fitted, means, settings.flip))
        rows.append({"m": m, "excess": np.mean(excess)})
    return pd.DataFrame(rows)


# contrastive ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contrastive:
    """Pairs and labels; least squares on x against least squares on the learned projection."""

    d: int = 20
    r: int = 2
    noise: float = 0.3
    unlabelled: tuple[int, ...] = (2000, 4000, 8000, 16_000, 32_000)
    labelled: tuple[int, ...] = (30, 60, 120, 200, 400)
    draws: int = 20


def simulate_contrastive(settings: Contrastive, seed: int, device: str) -> pd.DataFrame:
    """Mean excess over labelled draws, and that of the best head (n infinite), per m, n and method."""
    rng = np.random.default_rng(seed)
    W = np.linalg.qr(rng.standard_normal((settings.d, settings.r)))[0].T
    beta = random_unit(settings.r, rng)
    target = W.T @ beta
    top = np.concatenate([np.eye(settings.d), target[:, None]], axis=1)
    joint = np.concatenate([top, np.append(target, beta @ beta + settings.noise**2)[None]])
    moments = {n: factor.sample_second_moments(joint, n, settings.draws, rng) for n in settings.labelled}
    alone = {
        n: np.mean(pairs.contrastive_excess_risk(np.linalg.solve(M[:, :-1, :-1], M[:, :-1, -1:])[..., 0], W, beta))
        for n, M in moments.items()
    }
    rows = []
    for m in settings.unlabelled:
        X, Xp, s = pairs.sample_contrastive_pairs(W, m, rng)
        for method, side in (("pretrain", s), ("shuffled pairs", rng.permutation(s))):
            projection = pairs.fit_contrastive_pairs(X, Xp, side, settings.r).T
            best = on_features(projection, np.eye(settings.d), target)
            population = float(pairs.contrastive_excess_risk(best, W, beta))
            for n, M in moments.items():
                a = on_features(projection, M[:, :-1, :-1], M[:, :-1, -1])
                excess = np.mean(pairs.contrastive_excess_risk(a, W, beta))
                rows.append({"m": m, "n": n, "method": method, "excess": excess, "population": population})
        rows += [{"m": m, "n": n, "method": "supervised", "excess": alone[n], "population": 0.0} for n in moments]
    return pd.DataFrame(rows)
