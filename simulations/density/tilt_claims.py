"""Claims about networks as tilts of noise: densities in the plane, and images from outside the training distribution.

Tables are those of ``simulate_planar`` and ``simulate_outliers`` in ``tilted_energies``: every judge first keeps, per
method, the setting with the best held-out likelihood.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from simulations import Claim, Verdict, statistics
from simulations.controls import exchange
from simulations.density.tilted_energies import chosen

__all__ = ["TILT_CLAIMS", "methods_exchanged"]


def methods_exchanged(first: str, second: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """The control of a comparison of methods: each gets the other's name."""
    return lambda table: exchange(table, "method", first, second)


def _judge_densities(table: pd.DataFrame) -> Verdict:
    """At least two of the three: the second smallest p-value decides."""
    best = chosen(table, ("density", "method"))
    verdicts = [
        statistics.trend(
            statistics.paired(rows, "nll", "method", "meco", "nce"), f"test NLL of MECO less NCE's, {name}", below=0.0
        )
        for name, rows in best.groupby("density")
        if name in ("rings", "checkerboard", "eight Gaussians")
    ]
    return sorted(verdicts, key=lambda v: v.p_value if v.p_value is not None else 1.0)[1]


def _judge_distance_from_entropy(table: pd.DataFrame) -> Verdict:
    best = chosen(table, ("density", "method"))
    return statistics.all_of(
        [
            statistics.trend(
                rows.assign(excess=rows["nll"] - rows["entropy"]).query("method == 'meco'")
                .groupby("replicate")["excess"].mean(),
                f"test NLL of MECO less the entropy, {name}", below=0.5,
            )
            for name, rows in best.groupby("density")
        ]
    )  # fmt: skip


def _judge_normaliser(table: pd.DataFrame) -> Verdict:
    best = chosen(table[table["method"].isin(["meco", "plug-in"])], ("density", "method"))
    return statistics.all_of(
        [
            statistics.trend(
                statistics.paired(rows, "log_z_error", "method", "meco", "plug-in"),
                f"error of log Z, MECO less plug-in, {name}", below=0.0,
            )
            for name, rows in best.groupby("density")
        ]
    )  # fmt: skip


def _planar_example() -> pd.DataFrame:
    values = {"meco": (2.8, 0.03), "plug-in": (2.81, 0.2), "nce": (3.0, 0.05), "ence": (3.0, 0.05)}
    return pd.DataFrame(
        [
            {"replicate": k, "density": name, "method": method, "rate": rate, "gamma": 0.1, "scale": 1.5,
             "nll": nll + 0.01 * k * (method == "nce"),
             "held_out": nll + rate, "entropy": 2.7, "log_z_error": error * (1 + 0.01 * k)}
            for k in range(5) for name in ("rings", "checkerboard", "eight Gaussians")
            for method, (nll, error) in values.items() for rate in (0.01, 0.04)
        ]
    )  # fmt: skip


def _detection(table: pd.DataFrame, outside: str = "other digits") -> pd.DataFrame:
    return chosen(table[table["outside"] == outside], ("method",))


def _auroc(table: pd.DataFrame, method: str, outside: str = "other digits") -> pd.Series:
    rows = _detection(table, outside)
    return rows[rows["method"] == method].groupby("replicate")["auroc"].mean()


def _judge_detection(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [statistics.trend(_auroc(table, m), f"AUROC of {m} on other digits", above=0.75) for m in ("meco", "nce")]
    )


def _judge_difference(first: str, second: str, above: float) -> Callable[[pd.DataFrame], Verdict]:
    def judge(table: pd.DataFrame) -> Verdict:
        difference = statistics.paired(_detection(table), "auroc", "method", first, second)
        return statistics.trend(difference, f"AUROC of {first} less that of {second}, other digits", above=above)

    return judge


def _judge_no_alarm(table: pd.DataFrame) -> Verdict:
    return statistics.within(
        _auroc(table, "meco", "same digits"), "AUROC of MECO on more of the same digits", low=0.45, high=0.55
    )


def _outliers_example() -> pd.DataFrame:
    values = {"meco": 0.93, "nce": 0.9, "kernel density": 0.88, "Gaussian": 0.6}
    return pd.DataFrame(
        [
            {"replicate": k, "method": method, "rate": rate, "gamma": 0.1, "scale": 1.0, "held_out": 1 + rate,
             "outside": outside,
             "auroc": (0.5 if outside == "same digits" else value) + 0.001 * k * (method == "meco")}
            for k in range(5) for method, value in values.items() for rate in (0.01, 0.03)
            for outside in ("other digits", "same digits")
        ]
    )  # fmt: skip


def _detection_lost(table: pd.DataFrame) -> pd.DataFrame:
    """Outliers scored as if they were more of the same, and the same as if they were outliers."""
    return table.assign(auroc=(table["auroc"] - 0.45).where(table["outside"] != "same digits", table["auroc"] + 0.4))


def _digits_worse(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(auroc=table["auroc"] - 0.2 * (table["method"] == "meco"))


TILT_CLAIMS = [
    Claim("C7", "planar", "trend", "densities in the plane",
          "MECO has a lower test NLL than NCE on at least two of rings, checkerboard and eight Gaussians, both tuned.",
          _judge_densities, _planar_example, methods_exchanged("meco", "nce")),
    Claim("C7b", "planar", "trend", "densities in the plane",
          "MECO learns all of them: its test NLL is within 0.5 of the entropy.",
          _judge_distance_from_entropy, _planar_example, lambda t: t.assign(entropy=t["entropy"] - 1)),
    Claim("C7c", "planar", "trend", "bias of the plug-in ratio",
          "The tracked normaliser is nearer to log Z than the plug-in's, on every density.",
          _judge_normaliser, _planar_example, methods_exchanged("meco", "plug-in")),
    Claim("C8", "outliers", "trend", "out-of-distribution detection",
          "Trained on digits 0–4, the densities of MECO and of NCE tell other digits: AUROC above 0.75.",
          _judge_detection, _outliers_example, _detection_lost),
    Claim("C8b", "outliers", "trend", "out-of-distribution detection",
          "MECO is at most 0.05 behind NCE there, both tuned.",
          _judge_difference("meco", "nce", -0.05), _outliers_example, _digits_worse),
    Claim("C8c", "outliers", "trend", "out-of-distribution detection",
          "MECO is ahead of NCE there, both tuned.",
          _judge_difference("meco", "nce", 0.0), _outliers_example, methods_exchanged("meco", "nce")),
    Claim("C8d", "outliers", "trend", "a classical density as peer; not in the paper",
          "MECO is ahead of a kernel density with a tuned bandwidth.",
          _judge_difference("meco", "kernel density", 0.0), _outliers_example,
          methods_exchanged("meco", "kernel density")),
    Claim("C8e", "outliers", "trend", "what the networks add; not in the paper",
          "MECO is ahead of the Gaussian that whitening supposes.",
          _judge_difference("meco", "Gaussian", 0.0), _outliers_example, methods_exchanged("meco", "Gaussian")),
    Claim("C8f", "outliers", "trend", "negative condition",
          "Of more images of digits 0–4 it says nothing: AUROC within 0.45 and 0.55.",
          _judge_no_alarm, _outliers_example, _detection_lost),
]  # fmt: skip
