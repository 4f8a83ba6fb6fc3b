"""How far K² blocks stand for N² pairs: bounds of the gap, its growth with the width of clusters, and sampled pairs.

``simulate_bounds`` searches for violations of what the gap obeys, and of a quarter of its constant, which must be
found. ``simulate_gap`` widens clusters around random directions and takes, for every inverse temperature, the gap, its
limit, and the error of as many sampled pairs as there are blocks. The judges read their tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from simulations import Verdict, statistics
from theory.contrastive import pamc as theory
from theory.fuzz import check_bound

__all__ = [
    "QUARTER",
    "SQUARE",
    "Bounds",
    "Gap",
    "bounds_example",
    "gap_example",
    "judge_bound",
    "judge_cosines",
    "judge_jensen",
    "judge_limit",
    "judge_loss_gap",
    "judge_sampling",
    "simulate_bounds",
    "simulate_gap",
]

SQUARE, QUARTER = "the gap is at most (gamma R)²", "the gap is at most (gamma R)²/4"


@dataclass(frozen=True)
class Bounds:
    """How many instances every bound is tried on."""

    instances: int = 27_000
    rounds: int = 10


def simulate_bounds(settings: Bounds, seed: int, device: str) -> pd.DataFrame:
    """Worst ratio of every bound of the gap, and of a quarter of the second one."""
    rows = []
    for bound in theory.BOUNDS:
        report = check_bound(
            bound.lhs, bound.rhs, bound.sampler, settings.instances, rounds=settings.rounds, seed=seed % 2**31
        )
        witness = f"gamma={float(report.witness['gamma']):.3g} z={np.array2string(report.witness['z'], precision=2)}"
        row = {"bound": bound.name, "worst_ratio": report.worst_ratio, "instances": report.instances,
               "witness": " ".join(witness.split())}  # fmt: skip
        rows.append(row)
        if bound.name == SQUARE:
            rows.append({**row, "bound": QUARTER, "worst_ratio": 4 * report.worst_ratio})
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Gap:
    """Clusters of growing width around random centres."""

    widths: tuple[float, ...] = (0.01, 0.05, 0.1, 0.2, 0.4)
    gammas: tuple[float, ...] = (1.0, 5.0)
    small_gammas: tuple[float, ...] = (0.1, 0.03, 0.01)
    nodes: int = 200
    clusters: int = 5
    dim: int = 10
    draws: int = 1000


def simulate_gap(settings: Gap, seed: int, device: str) -> pd.DataFrame:
    """Gap, bounds and the error of sampled pairs, per width (of the noise relative to the centres) and gamma.

    ``sampled_*`` are bias and root mean square error of the log of the mean over K² random pairs; ``loss_gap`` is the
    full loss minus PamC's with sizes.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for width in settings.widths:
        centres = rng.standard_normal((settings.clusters, settings.dim))
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
        labels = rng.integers(0, settings.clusters, settings.nodes)
        noise = rng.standard_normal((settings.nodes, settings.dim)) / np.sqrt(settings.dim)
        z = centres[labels] + width * noise
        u = z / np.linalg.norm(z, axis=1, keepdims=True)
        variance = theory.within_block_variance(z, labels)
        chosen = rng.integers(0, settings.nodes, (2, settings.draws, settings.clusters**2))
        sampled = (u[chosen[0]] * u[chosen[1]]).sum(-1)
        reach = np.eye(settings.nodes) + (labels[:, None] == labels) * (
            rng.random((settings.nodes, settings.nodes)) < 0.05
        )
        for gamma in (*settings.gammas, *settings.small_gammas):
            gap = theory.negative_proxy_gap(z, labels, gamma)
            exact = float(np.log(np.exp(gamma * (u @ u.T)).mean()))
            errors = np.log(np.exp(gamma * sampled).mean(1)) - exact
            full = theory.full_graph_contrastive_loss(z, reach, gamma).mean()
            rows.append(
                {
                    "width": width, "gamma": gamma, "gap": gap,
                    "cosine_gap": theory.negative_proxy_gap(z, labels, gamma, cosine=True),
                    "bound": theory.proxy_bound(z, labels, gamma, 1),
                    "square_bound": theory.proxy_bound(z, labels, gamma, 2),
                    "radius": theory.cluster_radius(z, labels), "half_variance": variance / 2,
                    "limit_error": gap / gamma**2 / (variance / 2) - 1,
                    "loss_gap": full - theory.pamc_loss(z, reach, labels, gamma, "size").mean(),
                    "surrogate_gap": full - theory.pamc_loss(z, reach, labels, gamma, "none").mean(),
                    "sampled_bias": errors.mean(), "sampled_rmse": np.sqrt((errors**2).mean()),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def judge_bound(name: str) -> Callable[[pd.DataFrame], Verdict]:
    """No violation of this bound, and one of a quarter of ``SQUARE``."""

    def judge(table: pd.DataFrame) -> Verdict:
        rows = {row["bound"]: row for row in table.to_dict("records")}
        row = rows[name]
        verdict = statistics.bound(
            row["worst_ratio"], f"worst ratio, {name}", instances=int(row["instances"]), required=40_000,
            witness=row["witness"],
        )  # fmt: skip
        violated = statistics.at_least(
            rows[QUARTER]["worst_ratio"], "worst ratio with a quarter of the constant", threshold=1.0
        )
        return statistics.all_of([verdict, violated])

    return judge


def bounds_example() -> pd.DataFrame:
    """Worst ratios as they are if everything holds."""
    names = ("blocks never exceed all pairs", "the gap is at most 2 gamma R", SQUARE, QUARTER)
    return pd.DataFrame(
        {"replicate": 0, "bound": names, "worst_ratio": [0.0, 0.4, 0.5, 2.0], "instances": 50_000, "witness": "z"}
    )


def judge_limit(table: pd.DataFrame) -> Verdict:
    """The gap over gamma² is near its limit at the smallest gamma, and nears it in proportion to gamma."""
    small = sorted(table["gamma"].unique())[:3]
    worst = table[table["gamma"].isin(small)].assign(error=table["limit_error"].abs()).groupby("gamma")["error"].max()
    return statistics.all_of(
        [
            statistics.at_most(
                worst.loc[small[0]], f"relative error of the limit at gamma = {small[0]:g}", threshold=0.01
            ),
            statistics.at_most(
                worst.loc[small[0]] / worst.loc[small[2]],
                f"that error over the error at gamma = {small[2]:g}", threshold=2 * small[0] / small[2],
            ),
        ]
    )  # fmt: skip


def judge_loss_gap(table: pd.DataFrame) -> Verdict:
    """The losses differ by what the bound allows if sizes count, and by more if they do not."""
    ratios = table["loss_gap"] / table["bound"]
    worst = table.to_dict("records")[int(ratios.to_numpy().argmax())]
    surrogate = table["surrogate_gap"] / table["bound"]
    return statistics.all_of(
        [
            statistics.bound(
                ratios.max(), "full loss minus PamC with sizes, over 2 gamma R", instances=len(table), required=100,
                witness=f"width {worst['width']:g}, gamma {worst['gamma']:g}",
            ),
            statistics.at_least(table["loss_gap"].min(), "least full loss minus PamC with sizes", threshold=-1e-12),
            statistics.at_least(surrogate.median(), "the same ratio for PamC without sizes, median", threshold=1.0),
        ]
    )  # fmt: skip


def gap_example() -> pd.DataFrame:
    """Gaps that grow like gamma², below their bounds, and samples that err by more."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {"replicate": k, "width": w, "gamma": g, "gap": 0.001 * g * g, "cosine_gap": -0.1 * g, "bound": g,
             "limit_error": 0.2 * g, "loss_gap": 0.001 * g, "surrogate_gap": 5.0,
             "sampled_bias": -0.03 * g * g * (1 + 0.1 * rng.random()), "sampled_rmse": 0.2 * g}
            for k in range(5) for w in (0.1, 0.2, 0.3, 0.4) for g in (0.01, 0.03, 0.1, 1.0, 5.0)
        ]
    )  # fmt: skip


def judge_cosines(table: pd.DataFrame) -> Verdict:
    """Of the widest clusters the gap with cosines is below 0."""
    widest = table[table["width"] == table["width"].max()]
    return statistics.all_of(
        [
            statistics.trend(
                rows.groupby("replicate")["cosine_gap"].mean(), f"gap with cosines, gamma = {gamma:g}", below=0.0
            )
            for gamma, rows in widest[widest["gamma"] >= 1].groupby("gamma")
        ]
    )


def judge_jensen(table: pd.DataFrame) -> Verdict:
    """The log of a mean over sampled pairs is below that over all pairs, on average over widths."""
    return statistics.all_of(
        [
            statistics.trend(
                rows.groupby("replicate")["sampled_bias"].mean(), f"bias of sampled pairs, gamma {gamma:g}", below=0.0
            )
            for gamma, rows in table[table["gamma"] >= 1].groupby("gamma")
        ]
    )


def judge_sampling(gamma_index: int, column: str) -> Callable[[pd.DataFrame], Verdict]:
    """The gap is smaller than the error of sampled pairs (its bias downwards, or its RMS) at every width."""

    def judge(table: pd.DataFrame) -> Verdict:
        gamma = sorted(g for g in table["gamma"].unique() if g >= 1)[gamma_index]
        verdicts = []
        for width, rows in table[table["gamma"] == gamma].groupby("width"):
            by_replicate = rows.groupby("replicate")[[column, "gap"]].mean()
            # Averaged over replicates first: the bias is a mean, its size is not.
            sign = -1.0 if column == "sampled_bias" else 1.0
            verdicts.append(
                statistics.trend(
                    sign * by_replicate[column] - by_replicate["gap"],
                    f"error of K² sampled pairs less that of blocks, gamma {gamma:g}, width {width:g}", above=0.0,
                )
            )  # fmt: skip
        return statistics.all_of(verdicts)

    return judge
