"""A search for laws on which learners of halfspaces, their promises or their certificates fail.

A law is a Gaussian sample of some mass and clusters in the plane, each with noise of its own; labels are known by their
conditional means, so that nothing is random but the search: bounds and excess errors are those of the law itself. The
search draws laws, then moves the worst by ever smaller steps, for each of several aims.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from theory.learning import halfspace_data as data
from theory.learning.halfspace_certificates import disagreement_certificate, stationary_angle_bound
from theory.learning.localized_moments import StronglyLogConcave
from theory.learning.tester_learner import localized_sgd, predict_halfspace

__all__ = ["Search", "excess_error", "simulate_search"]


@dataclass(frozen=True)
class Search:
    """Random laws, then steps, for either aim; size of laws; largest rates of noise; widths of descent; eps.

    Certificates are attacked at the first of the rates, plain descent at all of them.
    """

    random: tuple[int, int] = (15, 60)
    steps: tuple[int, int] = (15, 40)
    gaussian_points: int = 250
    clusters: int = 5
    points_per_cluster: int = 10
    etas: tuple[float, ...] = (0.1, 0.45)
    sigmas: tuple[float, ...] = (0.8, 0.4, 0.2, 0.1, 0.05)
    descent_steps: int = 30
    eps: float = 0.25


def simulate_search(settings: Search, seed: int, device: str) -> pd.DataFrame:
    """The worst law found for every aim and largest rate of noise, and how many were tried and accepted on the way.

    Aims: true excess error over a certified bound below 1; excess error of the direction that descent ends with.
    """
    rows = []
    for eta in settings.etas:
        rng = np.random.default_rng([seed, int(100 * eta)])
        points = (
            data.gaussian(settings.gaussian_points, 2, rng),
            data.gaussian(settings.clusters * settings.points_per_cluster, 2, rng),
        )
        aims = ("certificate", "plain descent") if eta == settings.etas[0] else ("plain descent",)
        for aim in aims:
            rows.append({"eta": eta, "aim": aim} | _worst(settings, aim, eta, points, rng))
    return pd.DataFrame(rows)


def _worst(
    settings: Search, aim: str, eta: float, points: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
) -> dict:
    column, which = {"certificate": ("ratio", 0), "plain descent": ("plain_excess", 1)}[aim]
    worst, at, accepted = -1.0, _random_law(settings, rng), 0
    for step in range(settings.random[which] + settings.steps[which]):
        further = step - settings.random[which]
        law = _random_law(settings, rng) if further < 0 else at.moved(rng, 0.5 * 0.93**further)
        problem = _Problem.of(law, settings, eta, *points)
        found = problem.plain() if aim == "plain descent" else problem.certified()
        accepted += int(found.get("accepted", False))
        if found[column] > worst:
            worst, at = found[column], law
    problem = _Problem.of(at, settings, eta, *points)
    tried = settings.random[which] + settings.steps[which]
    return {"laws": tried, "laws_accepted": accepted} | problem.plain() | problem.certified() | problem.logistic()


def excess_error(
    w: np.ndarray, X: np.ndarray, w_star: np.ndarray, rates: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """``err(w) − err(w*)``, expected over Massart labels that are flipped at these rates."""
    differs = predict_halfspace(w, X) != predict_halfspace(w_star, X)
    return float(np.average((1 - 2 * rates) * differs, weights=weights))


@dataclass(frozen=True)
class _Law:
    gaussian_mass: float
    gaussian_noise: float
    shares: np.ndarray
    centres: np.ndarray
    spreads: np.ndarray
    noise: np.ndarray
    angle: float

    def moved(self, rng: np.random.Generator, size: float) -> "_Law":
        """Every number a little, and now and then one cluster to another place with other noise."""
        centres, noise = self.centres + size * rng.standard_normal(self.centres.shape), self.noise.copy()
        if rng.random() < 0.3:
            cluster = int(rng.integers(len(noise)))
            noise[cluster], centres[cluster] = rng.choice([0.0, 1.0]), 2 * rng.standard_normal(2)
        shares = self.shares * np.exp(size * rng.standard_normal(len(self.shares)))
        return _Law(
            float(np.clip(self.gaussian_mass + 0.3 * size * rng.standard_normal(), 0, 1)),
            float(rng.choice([0.0, 1.0])) if rng.random() < 0.1 else self.gaussian_noise,
            shares / shares.sum(),
            centres,
            self.spreads * np.exp(size * rng.standard_normal(len(self.spreads))),
            noise,
            self.angle + 0.1 * size * rng.standard_normal(),
        )


def _random_law(settings: Search, rng: np.random.Generator) -> _Law:
    count = settings.clusters
    return _Law(
        # Clusters alone, a Gaussian with a few points aside, and everything between.
        float(rng.choice([0.0, rng.random(), 1 - 0.3 * rng.random()])),
        float(rng.choice([0.0, 1.0])),
        rng.dirichlet(np.ones(count)),
        2 * rng.standard_normal((count, 2)),
        10.0 ** rng.uniform(-2, 0, count),
        rng.choice([0.0, 1.0], count),
        float(rng.uniform(0, 2 * np.pi)),
    )


@dataclass(frozen=True)
class _Problem:
    """A law's points, weights and rates of noise, and the directions that descent on it passes."""

    settings: Search
    eta: float
    X: np.ndarray
    weights: np.ndarray
    rates: np.ndarray
    w_star: np.ndarray
    path: np.ndarray

    @staticmethod
    def of(law: _Law, settings: Search, eta: float, base: np.ndarray, offsets: np.ndarray) -> "_Problem":
        each = settings.points_per_cluster
        aside = np.repeat(law.centres, each, axis=0) + np.repeat(law.spreads, each)[:, None] * offsets
        of_base = np.full(len(base), law.gaussian_mass / len(base))
        weights = np.concatenate([of_base, np.repeat((1 - law.gaussian_mass) * law.shares / each, each)])
        weights /= weights.sum()
        rates = eta * np.concatenate([np.full(len(base), law.gaussian_noise), np.repeat(law.noise, each)])
        X, w_star = np.concatenate([base, aside]), np.array([np.cos(law.angle), np.sin(law.angle)])
        means = (1 - 2 * rates) * predict_halfspace(w_star, X)
        path = localized_sgd(X, means, settings.sigmas, steps=settings.descent_steps, weights=weights)
        return _Problem(settings, eta, X, weights, rates, w_star, path)

    @property
    def means(self) -> np.ndarray:
        return (1 - 2 * self.rates) * predict_halfspace(self.w_star, self.X)

    def excess(self, w: np.ndarray) -> float:
        return excess_error(w, self.X, self.w_star, self.rates, self.weights)

    def plain(self) -> dict:
        """The last direction, and what a Gaussian would promise for it."""
        w = self.path[-1]
        excess = min(self.excess(w), self.excess(-w))
        return {
            "plain_excess": excess,
            "promise": StronglyLogConcave().promised_excess(self.settings.sigmas[-1], self.eta, 0.0),
        }

    def certified(self) -> dict:
        """The smallest bound, its truth, and the largest ratio of truth to a bound below 1."""
        true, bounds = [], []
        for w, sigma in zip(self.path, self.settings.sigmas, strict=True):
            w = w if self.excess(w) <= self.excess(-w) else -w
            angle = stationary_angle_bound(w, self.X, self.means, sigma, self.eta, weights=self.weights).angle
            bound = disagreement_certificate(w, self.X, angle, weights=self.weights)
            # As in the tester-learner: if −w were the right one, w would err at least this much.
            error = float(self.weights @ self.rates) + self.excess(w)
            undecided = error >= 1 - self.weights @ (self.X @ w == 0) - self.eta - bound
            true.append(self.excess(w))
            bounds.append(1.0 if undecided else bound)
        best = int(np.argmin(bounds))
        return {
            "accepted": bounds[best] <= self.settings.eps,
            "bound": bounds[best],
            "true_excess": true[best],
            "ratio": max((t / b for t, b in zip(true, bounds, strict=True) if 0 < b < 1), default=0.0),
        }

    def logistic(self) -> dict:
        """Excess error of logistic regression through the origin on the law itself: every point with both labels."""
        labels = np.repeat([1, -1], len(self.X))
        both = np.concatenate([self.weights * (1 + self.means) / 2, self.weights * (1 - self.means) / 2])
        kept = both > 0
        if len(set(labels[kept])) < 2:
            return {"logistic_excess": 0.0}
        model = LogisticRegression(C=1e4, fit_intercept=False)
        model.fit(np.tile(self.X, (2, 1))[kept], labels[kept], len(self.X) * both[kept])
        return {"logistic_excess": self.excess(model.coef_[0])}
