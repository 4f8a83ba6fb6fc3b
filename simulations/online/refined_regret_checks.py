"""What refined regret rests on, without learning: estimators and bonuses by enumeration, the lemma, covariances.

*identities* enumerates all trajectories of a layer, so that means are exact, and compares both sides of the dilated
bonus's telescoping; *lemma* fuzzes the regret bounds of the log-barrier and of entropy; *covariance* compares the
inverse of a sample covariance with matrix geometric resampling from as many samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from simulations import Replicate
from theory.fuzz import bound_ratio
from theory.online import dilated_bonus as bonuses
from theory.online import follow_the_regularized_leader as ftrl
from theory.online import inverse_covariance as covariances
from theory.online import value_estimates as estimates

__all__ = [
    "Covariance",
    "Identities",
    "Lemma",
    "simulate_covariance",
    "simulate_identities",
    "simulate_lemma",
]


# identities -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identities:
    """Instances, pairs of state and action, features, regularisation, layers that are left."""

    instances: int = 40
    pairs: int = 30
    dim: int = 5
    gamma: float = 0.01
    horizon: int = 3


def simulate_identities(settings: Identities, seed: int, device: str) -> Replicate:
    """A row per instance: both estimators over all pairs that may be visited, and a random dilated bonus.

    The estimators are also taken with half of what makes the magnitude-reduced one unbiased, the bonus without
    dilation: both must fail.
    """
    rng = np.random.default_rng(seed)
    rows, arrays = [], {}
    bonus = bonuses.random_bonuses(rng, settings.instances, settings.horizon)
    telescoped, at_start = _both_sides(bonus, 1 + 1 / settings.horizon)
    _, undilated = _both_sides(bonus, 1.0)
    collected = bonuses.bonus_value(bonus["P"], bonus["pi"], bonus["b"])
    for i in range(settings.instances):
        phi = rng.normal(size=(settings.pairs, settings.dim))
        phi /= np.maximum(np.linalg.norm(phi, axis=1, keepdims=True), 1.0)
        w = rng.dirichlet(np.full(settings.pairs, 0.1))
        # The loss may depend on what is visited in any way.
        tail = settings.horizon * np.round(rng.random(settings.pairs), int(rng.integers(0, 3)))
        Sd = estimates.regularized_inverse(phi, w, settings.gamma)
        raw = np.stack([estimates.linear_q_estimate(phi, Sd, v, t) for v, t in zip(phi, tail, strict=True)])
        reduced = np.stack(
            [
                estimates.magnitude_reduced_estimate(phi, Sd, v, t, w, settings.horizon)
                for v, t in zip(phi, tail, strict=True)
            ]
        )
        m = settings.horizon * estimates.reduction_mean(phi, Sd, w)
        norms = np.sqrt(np.einsum("id,de,ie->i", phi, Sd, phi))
        limit = settings.horizon * norms
        visited = w > 0
        rows.append(
            {
                "instance": i,
                "mean_error": np.abs(w @ reduced - w @ raw).max(),
                "mean_error_half": np.abs(w @ (reduced - m / 2) - w @ raw).max(),
                "below_m": (m - reduced[visited]).max(),
                "m_ratio": (-m / limit).max(),
                "second_moment_ratio": (w @ reduced**2 / limit**2).max(),
                "raw_lowest": raw[visited].min() * np.sqrt(settings.gamma) / settings.horizon,
                "reduced_lowest": reduced[visited].min() * np.sqrt(settings.gamma) / settings.horizon,
                "telescoping_error": abs(telescoped[i] - at_start[i]) / at_start[i],
                "telescoping_error_undilated": abs(telescoped[i] - undilated[i]) / at_start[i],
                "bonus_ratio": at_start[i] / (3 * collected[i]),
            }
        )
        if i == 0:
            arrays = {"raw": raw, "reduced": reduced, "occupancy": w}
    return Replicate(pd.DataFrame(rows), arrays)


def _both_sides(bonus: dict[str, np.ndarray], factor: float) -> tuple[np.ndarray, np.ndarray]:
    """The telescoping sum, and ``factor`` times <pi, B>(s_0) with B looked ahead by ``factor``."""
    P, pi, b = bonus["P"], bonus["pi"], bonus["b"]
    telescoped = bonuses.telescoped_bonus(P, pi, b, bonus["comparator"])
    ahead = b[:, -1]
    for h in range(b.shape[1] - 2, -1, -1):
        ahead = b[:, h] + factor * np.einsum("nsat,nt->nsa", P[:, h], (pi[:, h + 1] * ahead).sum(axis=-1))
    return telescoped, factor * (pi[:, 0] * ahead).sum(axis=-1)[:, 0]


# lemma ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lemma:
    """Arms, lengths per number of arms, sequences of each length, the longest."""

    arms: tuple[int, ...] = (2, 3, 4, 5)
    lengths: int = 5
    sequences: int = 25
    rounds: int = 60


def simulate_lemma(settings: Lemma, seed: int, device: str) -> pd.DataFrame:
    """The largest share of its bound that regret takes, per numbers of arms and rounds, with the sequence's numbers.

    ``log_barrier`` is held against A ln T/eta + 2 eta sum p c², ``log_barrier_sharp`` against (A−1) ln T/eta +
    (eta/2) sum p c², ``entropy`` and, where eta c >= −1, ``entropy_valid`` against ln A/eta + eta sum p c².
    """
    rng = np.random.default_rng(seed)
    rows = []
    for arms in settings.arms:
        for _ in range(settings.lengths):
            rounds = int(rng.integers(2, settings.rounds + 1))
            c, eta = ftrl.random_sequences(rng, settings.sequences, rounds, arms)
            valid, valid_eta = ftrl.random_sequences(rng, settings.sequences, rounds, arms, lowest=-1.0)
            rows.append({"arms": arms, "rounds": rounds, "sequences": settings.sequences, **_ratios(c, eta)})
            p = ftrl.ftrl_plays(valid, valid_eta, "entropy")
            within = bound_ratio(ftrl.comparator_regret(p, valid), ftrl.entropy_bound(p, valid, valid_eta))
            rows[-1]["entropy_valid"] = within.max()
            rows[-1]["entropy_valid_witness"] = f"A={arms} T={rounds} eta={valid_eta[within.argmax()]:.3g}"
    explicit = ftrl.entropy_counterexample()[None]
    rows.append({"arms": 2, "rounds": explicit.shape[1], "sequences": 1, **_ratios(explicit, np.ones(1))})
    rows[-1] |= {"entropy_valid": 0.0, "entropy_valid_witness": "not valid"}
    return pd.DataFrame(rows).assign(explicit=lambda t: t["rounds"] > settings.rounds)


def _ratios(c: np.ndarray, eta: np.ndarray) -> dict[str, float | str]:
    arms, rounds = c.shape[-1], c.shape[-2]
    p = ftrl.ftrl_plays(c, eta, "log_barrier")
    regret = ftrl.comparator_regret(p, c)
    with_two = ftrl.log_barrier_bound(p, c, eta, stability=2.0) + np.log(rounds) / eta
    q = ftrl.ftrl_plays(c, eta, "entropy")
    entropy = bound_ratio(ftrl.comparator_regret(q, c), ftrl.entropy_bound(q, c, eta))
    found: dict[str, float | str] = {"entropy": entropy.max()}
    for name, bound in (("log_barrier", with_two), ("log_barrier_sharp", ftrl.log_barrier_bound(p, c, eta))):
        ratio = bound_ratio(regret, bound)
        worst = int(ratio.argmax())
        found[name] = ratio[worst]
        found[f"{name}_witness"] = f"A={arms} T={rounds} eta={eta[worst]:.3g} least loss {c[worst].min():.3g}"
    return found


# covariance -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Covariance:
    """Regularisations, pairs and features, accuracy and repeats of MGR, and what its mean is checked with."""

    gammas: tuple[float, ...] = (0.1, 0.03, 0.01)
    pairs: int = 9
    dim: int = 3
    accuracy: float = 0.1
    repeats: int = 16
    mean_length: int = 20
    mean_batches: int = 40
    mean_repeats: int = 20


def simulate_covariance(settings: Covariance, seed: int, device: str) -> pd.DataFrame:
    """Errors of both estimates from the same number of samples, and of the direct one from 4 d/gamma, per gamma.

    ``mean_z`` is the largest distance of MGR's average from its mean, in standard errors; ``mean_z_inverse`` that from
    the inverse, which short series do not reach.
    """
    rng = np.random.default_rng(seed)
    phi = rng.dirichlet(np.full(settings.dim, 0.15), settings.pairs)
    w = rng.dirichlet(np.ones(settings.pairs))
    Sigma = (w[:, None] * phi).T @ phi

    def sampler(count: int) -> np.ndarray:
        return phi[rng.choice(settings.pairs, count, p=w)]

    rows = []
    for gamma in settings.gammas:
        N, few = covariances.resampling_length(gamma, settings.accuracy), round(4 * settings.dim / gamma)
        found = {
            "MGR": (N * settings.repeats, covariances.matrix_geometric_resampling(sampler, gamma, N, settings.repeats)),
            "direct": (
                N * settings.repeats,
                covariances.regularized_inverse_covariance(sampler(N * settings.repeats), gamma),
            ),
            "direct, few samples": (few, covariances.regularized_inverse_covariance(sampler(few), gamma)),
        }
        average = [
            covariances.matrix_geometric_resampling(sampler, gamma, settings.mean_length, settings.mean_repeats)
            for _ in range(settings.mean_batches)
        ]
        mean, spread = np.mean(average, axis=0), np.std(average, axis=0, ddof=1) / np.sqrt(settings.mean_batches)
        expected = covariances.resampling_mean(Sigma, gamma, settings.mean_length)
        inverse = np.linalg.inv(gamma * np.eye(settings.dim) + Sigma)
        z, z_inverse = (float((np.abs(mean - each) / spread).max()) for each in (expected, inverse))
        rows += [
            {
                "gamma": gamma, "method": method, "samples": samples,
                "error": float(covariances.multiplicative_error(estimate, Sigma, gamma)),
                "mean_z": z, "mean_z_inverse": z_inverse,
            }
            for method, (samples, estimate) in found.items()
        ]  # fmt: skip
    return pd.DataFrame(rows)
