"""A small start makes over-parameterised robust recovery behave as if the rank were known, whatever the outliers are.

All instances are random: a positive semi-definite matrix of rank 3 with eigenvalues 1, Gaussian measurements, part of
them replaced by noise. *scale* compares the mean sub-gradient with the formula for phi, and with two wrong ones.
*sign_rip* measures deviations over the number of measurements at random matrices, and, as an ensemble that must fail,
for sampled entries in place of Gaussian measurements; *uniform* searches for the worst matrix. *outliers* sets the l1
loss, at fixed settings, against least squares at its best iterate of its best step size (an oracle's choice, in its
favour), with the rank known or not, both from the same start. *initialization* ties the error to alpha; *speed*
compares small and large starts without noise; *samples* looks for the number of measurements from which every replicate
succeeds, the same measurements for every rank, against a large start; *dense* puts noise on all measurements, where the
truth is no minimiser; *magnitude* makes outliers a million times larger; *conditioning* stretches steps and decay in
proportion to kappa.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from simulations import Claim, Experiment, Paper, Replicate, Verdict, statistics
from simulations.controls import columns_exchanged, exchange
from theory.optimization.matrix_measurements import Problem, make_robust_recovery_problem
from theory.optimization.robust_matrix_recovery import SubGMResult, gd_l2, random_start, spectral_start, subgm
from theory.optimization.sign_rip import Noise, sign_rip_deviation, sign_rip_scale, sign_rip_search

PAPER = Paper(
    title="Global Convergence of Sub-gradient Method for Robust Matrix Recovery: Small Initialization, Noisy "
    "Measurements, and Over-parameterization",
    authors="Jianhao Ma, Salar Fattahi",
    venue="JMLR 2023",
    arxiv="2202.08788",
)
DEVIATIONS = [
    "Measurement matrices are symmetrised: only their symmetric part meets U U', and deviations in the k-norm can only "
    "shrink. The factor 2 of the sub-gradient 2 D U is part of the step.",
    "The paper's constants are not needed to run it. Steps are geometric, 0.4 rho^t over the spectral norm of D; rho "
    "must let the start be left, sum log(1 + 0.4 rho^t) > log(1/alpha), which at eta0 = 0.5 and alpha = 1e-6 fails "
    "just above rho = 0.967, and in practice, because the step is small by then, at 0.97.",
    "Sign-RIP is a statement on all matrices of rank k. Its constant is bounded from below by a search besides being "
    "sampled at random.",
]


# scale ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """How many measurements of how large a matrix."""

    d: int = 8
    samples: int = 400_000


_NOISES: dict[str, tuple[float, Noise, float]] = {
    "no noise": (0.0, "none", 1.0),
    "Gaussian outliers": (0.3, "gaussian", 5.0),
    "dense Gaussian": (1.0, "gaussian", 3.0),
    "Cauchy outliers": (0.5, "cauchy", 1.0),
}


def simulate_scale(settings: Scale, seed: int, device: str) -> pd.DataFrame:
    """Differences of the mean sub-gradient from phi X/|X|, in units of ``1/sqrt(samples)``; not symmetrised."""
    rng = np.random.default_rng(seed)
    d, N = settings.d, settings.samples
    X = _low_rank(rng, d, 2)
    sums = {name: np.zeros(d * d) for name in _NOISES}
    for start in range(0, N, 50_000):
        A = rng.standard_normal((min(50_000, N - start), d * d))
        measured = A @ X.ravel()
        for name, (p, noise, scale) in _NOISES.items():
            s = _noise(rng, len(A), p, noise, scale)
            sums[name] += np.sign(measured - s) @ A
    rows = []
    for name, (p, noise, scale) in _NOISES.items():
        D = sums[name] / N
        along = float(D @ X.ravel())
        phi = sign_rip_scale(1.0, p, noise, scale)
        wrong = sign_rip_scale(1.0, p, noise, scale * np.sqrt(2)), np.sqrt(2 / np.pi)
        rows.append(
            {
                "noise": name, "samples": N, "phi": phi, "measured": along,
                "difference": abs(along - phi) * np.sqrt(N),
                "wrong_difference": min(abs(along - each) for each in wrong) * np.sqrt(N),
                "residual": float(np.linalg.norm(D - phi * X.ravel())) * np.sqrt(N) / d,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _noise(rng: np.random.Generator, count: int, p: float, law: Noise, scale: float) -> np.ndarray:
    if law == "none":
        return np.zeros(count)
    draws = rng.standard_cauchy(count) if law == "cauchy" else rng.standard_normal(count)
    return np.where(rng.random(count) < p, scale * draws, 0.0)


def _low_rank(rng: np.random.Generator, d: int, k: int) -> np.ndarray:
    """A symmetric matrix of rank k and norm 1, eigenvalues of both signs."""
    V = np.linalg.qr(rng.standard_normal((d, k)))[0]
    eigenvalues = rng.standard_normal(k)
    return (V * (eigenvalues / np.linalg.norm(eigenvalues))) @ V.T


# sign_rip ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SignRIP:
    """Numbers of measurements, and fractions with outliers of standard deviation 10; matrices of rank k and norm 1."""

    d: int = 15
    k: int = 2
    measurements: tuple[int, ...] = (500, 1000, 2000, 4000, 8000, 16_000)
    fractions: tuple[float, ...] = (0.0, 0.5)


def simulate_sign_rip(settings: SignRIP, seed: int, device: str) -> pd.DataFrame:
    """Deviation at a random matrix, per ensemble, fraction of outliers and number of measurements."""
    rng = np.random.default_rng(seed)
    d, k = settings.d, settings.k
    rows = []
    for m in settings.measurements:
        X = _low_rank(rng, d, k)
        entries = np.zeros((m, d * d))
        entries[np.arange(m), rng.integers(0, d * d, m)] = d
        for ensemble, A in (("Gaussian", rng.standard_normal((m, d * d))), ("entries", entries)):
            for p in settings.fractions:
                law: Noise = "gaussian" if p else "none"
                deviation = sign_rip_deviation(A, _noise(rng, m, p, law, 10.0), X, k, p, law, 10.0)
                rows.append({"ensemble": ensemble, "p": p, "m": m, "deviation": deviation})
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Uniform:
    """As ``SignRIP``, with the effort of the search."""

    d: int = 15
    k: int = 2
    measurements: tuple[int, ...] = (500, 1000, 2000, 4000)
    fractions: tuple[float, ...] = (0.0, 0.5)
    restarts: int = 4
    steps: int = 24


def simulate_uniform(settings: Uniform, seed: int, device: str) -> pd.DataFrame:
    """The worst deviation that a search over matrices finds, and the mean over the random ones it starts from."""
    rng = np.random.default_rng(seed)
    rows = []
    for m in settings.measurements:
        A = rng.standard_normal((m, settings.d**2))
        for p in settings.fractions:
            law: Noise = "gaussian" if p else "none"
            found = sign_rip_search(
                A, _noise(rng, m, p, law, 10.0), settings.k, p, law, 10.0,
                restarts=settings.restarts, steps=settings.steps, seed=seed,
            )  # fmt: skip
            rows.append({"p": p, "m": m, "searched": found.deviation, "random": found.random})
    return pd.DataFrame(rows)


# outliers ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outliers:
    """Base problem: m = measurements_per · d · r; least squares has a grid of steps, the l1 loss one setting."""

    d: int = 15
    ranks: tuple[int, ...] = (3,)
    measurements_per: int = 30
    fractions: tuple[float, ...] = (0.1, 0.3)
    alpha: float = 1e-6
    steps: int = 900
    rho: float = 0.985
    l2_steps: tuple[float, ...] = (0.025, 0.1, 0.4, 0.8, 1.2)
    l2_guesses: tuple[str, ...] = ("full",)
    dtype: str = "float64"


def simulate_outliers(settings: Outliers, seed: int, device: str) -> Replicate:
    """Last and best error per fraction of outliers, method, rank guessed and step size; paths at full rank."""
    rows, paths = [], {}
    d = settings.d
    for r in settings.ranks:
        for p in settings.fractions:
            problem = make_robust_recovery_problem(d, r, settings.measurements_per * d * r, p=p, seed=seed)
            A, y = problem.A.astype(settings.dtype), problem.y
            for guess, rank in (("exact", r), ("full", d)):
                start = spectral_start(A, y, rank, alpha=settings.alpha)
                runs: dict[tuple[str, float], SubGMResult] = {
                    ("l1", 0.4): subgm(
                        A, y, rank, steps=settings.steps, rho=settings.rho, init=start, X_true=problem.X
                    ),
                    **{
                        ("l2", eta): gd_l2(A, y, rank, steps=settings.steps, eta0=eta, init=start, X_true=problem.X)
                        for eta in settings.l2_steps
                        if guess in settings.l2_guesses
                    },
                }
                for (method, eta), found in runs.items():
                    assert found.error is not None
                    rows.append(
                        {
                            "r": r, "p": p, "guess": guess, "method": method, "eta": eta,
                            "final": float(found.error[-1]), "best": float(found.error.min()),
                        }
                    )  # fmt: skip
                    if guess == "full" and r == settings.ranks[0]:
                        paths[f"{method} p={p:g} eta={eta:g}"] = np.minimum(found.error, 1e9).astype(np.float32)
    return Replicate(pd.DataFrame(rows), paths)


# initialization ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Initialization:
    """Sizes of the start, on the base problem."""

    d: int = 15
    r: int = 3
    measurements_per: int = 20
    fractions: tuple[float, ...] = (0.1, 0.3)
    alphas: tuple[float, ...] = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
    exact_alphas: tuple[float, ...] = (1e-1, 1e-3, 1e-5)
    steps: int = 700
    rho: float = 0.98


def simulate_initialization(settings: Initialization, seed: int, device: str) -> pd.DataFrame:
    """The least error over all steps, per fraction of outliers, rank guessed and alpha."""
    rows = []
    d, r = settings.d, settings.r
    for p in settings.fractions:
        problem = make_robust_recovery_problem(d, r, settings.measurements_per * d * r, p=p, seed=seed)
        for guess, rank, alphas in (("exact", r, settings.exact_alphas), ("full", d, settings.alphas)):
            for alpha in alphas:
                error = _recovered(problem, rank, alpha, settings.steps, settings.rho)
                rows.append({"p": p, "guess": guess, "alpha": alpha, "floor": error.min(), "final": error[-1]})
    return pd.DataFrame(rows)


def _recovered(problem: Problem, rank: int, alpha: float, steps: int, rho: float) -> np.ndarray:
    error = subgm(problem.A, problem.y, rank, alpha=alpha, steps=steps, rho=rho, X_true=problem.X).error
    assert error is not None
    return error


# speed ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Speed:
    """No noise, polyak steps."""

    d: int = 15
    r: int = 3
    measurements_per: int = 20
    alpha: float = 1e-6
    eta0: float = 0.25
    steps: int = 600
    target: float = 1e-7


def simulate_speed(settings: Speed, seed: int, device: str) -> Replicate:
    """Steps to the target, fit of a line to log e over t, and slope of log e over log t, per start and rank."""
    d, r = settings.d, settings.r
    problem = make_robust_recovery_problem(d, r, settings.measurements_per * d * r, corruption="none", seed=seed)
    rows, paths = [], {}
    for start, guess, rank in (
        ("small", "full", d),
        ("small", "exact", r),
        ("large", "full", d),
        ("large", "exact", r),
    ):
        init = random_start(d, rank, alpha=1.0, seed=seed) if start == "large" else "spectral"
        error = subgm(
            problem.A, problem.y, rank, alpha=settings.alpha, eta0=settings.eta0, steps=settings.steps,
            schedule="polyak", init=init, X_true=problem.X,
        ).error  # fmt: skip
        assert error is not None
        # A path that reached zero exactly has ended early.
        error = np.concatenate([error, np.full(settings.steps - len(error), error[-1])])
        t = np.arange(1, len(error) + 1)
        reached = bool((error <= settings.target).any())
        window = (error <= 0.1) & (error >= settings.target)
        late = t >= settings.steps // 12
        rows.append(
            {
                "start": start, "guess": guess, "reached": reached,
                "steps_to_target": int(t[error <= settings.target][0]) if reached else settings.steps + 1,
                "r_squared": _r_squared(t[window], np.log(error[window])),
                "power": float(np.polyfit(np.log(t[late]), np.log(np.maximum(error[late], 1e-16)), 1)[0]),
                "final": float(error[-1]),
            }
        )  # fmt: skip
        paths[f"{start} {guess}"] = error.astype(np.float32)
    return Replicate(pd.DataFrame(rows), paths)


def _r_squared(x: np.ndarray, y: np.ndarray) -> float:
    """Of the least-squares line; 0 where there are too few points to speak of one."""
    return float(np.corrcoef(x, y)[0, 1] ** 2) if len(x) >= 5 and np.ptp(y) > 0 else 0.0


# samples ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Samples:
    """Numbers of measurements and ranks guessed; success is an error below ``target`` at any step."""

    d: int = 20
    r: int = 3
    p: float = 0.1
    measurements: tuple[int, ...] = (90, 120, 180, 240, 300, 400)
    ranks: tuple[int, ...] = (3, 10, 20)
    alpha: float = 1e-6
    steps: int = 900
    rho: float = 0.985
    target: float = 1e-2


def simulate_samples(settings: Samples, seed: int, device: str) -> pd.DataFrame:
    """Whether the error gets below the target, per number of measurements and rank, and from a large start."""
    d = settings.d
    rows = []
    for m in settings.measurements:
        problem = make_robust_recovery_problem(d, settings.r, m, p=settings.p, seed=seed)
        largest = random_start(d, settings.ranks[-1], alpha=1.0, seed=seed)
        conditions: list[tuple[str, int, Literal["spectral"] | np.ndarray]]
        conditions = [("small", rank, "spectral") for rank in settings.ranks]
        conditions.append(("large", settings.ranks[-1], largest))
        for start, rank, init in conditions:
            found = subgm(
                problem.A, problem.y, rank, alpha=settings.alpha, steps=settings.steps, rho=settings.rho, init=init,
                callback=lambda t, U, X=problem.X: bool(np.linalg.norm(U @ U.T - X) < settings.target),
            )  # fmt: skip
            error = float(np.linalg.norm(found.U @ found.U.T - problem.X))
            rows.append(
                {
                    "m": m, "rank": rank, "start": start, "steps": found.steps_used, "error": error,
                    "success": error < settings.target,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


# dense ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dense:
    """Gaussian noise on every measurement, rank guessed as d."""

    d: int = 15
    r: int = 3
    nu: float = 1.0
    measurements: tuple[int, ...] = (450, 1350, 4050)
    alpha: float = 1e-3
    steps: int = 600
    rho: float = 0.985


def simulate_dense(settings: Dense, seed: int, device: str) -> Replicate:
    """Loss at the end and at the truth, least and last error; the paths for each number of measurements."""
    rows, paths = [], {}
    for m in settings.measurements:
        problem = make_robust_recovery_problem(
            settings.d, settings.r, m, corruption="gaussian", scale=settings.nu, seed=seed
        )
        found = subgm(
            problem.A, problem.y, settings.d, alpha=settings.alpha, steps=settings.steps, rho=settings.rho,
            X_true=problem.X,
        )  # fmt: skip
        assert found.error is not None
        rows.append(
            {
                "m": m, "loss": float(found.loss[-1]), "loss_of_truth": float(np.abs(problem.s).mean()),
                "best": float(found.error.min()), "final": float(found.error[-1]),
            }
        )  # fmt: skip
        paths |= {f"loss {m}": found.loss.astype(np.float32), f"error {m}": found.error.astype(np.float32)}
    return Replicate(pd.DataFrame(rows), paths)


# magnitude --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Magnitude:
    """The same outliers, multiplied."""

    d: int = 15
    r: int = 3
    measurements_per: int = 30
    p: float = 0.1
    factors: tuple[float, ...] = (1.0, 10.0, 1e3, 1e6)
    alpha: float = 1e-6
    steps: int = 900
    rho: float = 0.985


def simulate_magnitude(settings: Magnitude, seed: int, device: str) -> pd.DataFrame:
    """Last error per factor."""
    d, r = settings.d, settings.r
    rows = []
    for factor in settings.factors:
        problem = make_robust_recovery_problem(
            d, r, settings.measurements_per * d * r, p=settings.p, scale=10.0 * factor, seed=seed
        )
        error = _recovered(problem, d, settings.alpha, settings.steps, settings.rho)
        rows.append({"factor": factor, "final": float(error[-1])})
    return pd.DataFrame(rows)


# conditioning -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Conditioning:
    """Condition numbers; ``stretched`` runs have kappa times as many steps and rho^(1/kappa)."""

    d: int = 15
    r: int = 3
    measurements_per: int = 30
    p: float = 0.1
    kappas: tuple[float, ...] = (5.0,)
    alpha: float = 1e-6
    steps: int = 600
    rho: float = 0.98


def simulate_conditioning(settings: Conditioning, seed: int, device: str) -> pd.DataFrame:
    """Last error per kappa, with steps in proportion to kappa and without."""
    d, r = settings.d, settings.r
    rows = []
    for kappa in settings.kappas:
        problem = make_robust_recovery_problem(
            d, r, settings.measurements_per * d * r, p=settings.p, kappa=kappa, seed=seed
        )
        for steps, factor in (("stretched", kappa), ("fixed", 1.0)):
            error = _recovered(problem, d, settings.alpha, round(settings.steps * factor), settings.rho ** (1 / factor))
            rows.append({"kappa": kappa, "steps": steps, "final": float(error[-1])})
    return pd.DataFrame(rows)


# judging ----------------------------------------------------------------------------------------


def _judge_scale(table: pd.DataFrame) -> Verdict:
    noisy = table[table["noise"] != "no noise"]
    return statistics.all_of(
        [
            statistics.identity(table["difference"], "√N |<D, X>/|X| − phi|", tolerance=5.0),
            statistics.at_most(
                table["residual"].max(), "√N |D − phi X/|X|| / d", threshold=1.3, instances=len(table)
            ),
            statistics.at_least(
                noisy["wrong_difference"].min(), "√N |<D, X>/|X| − phi| for exp(−s²/|X|²), or for phi without p",
                threshold=5.0,
            ),
        ]
    )  # fmt: skip


def _scale_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "noise": noise, "difference": 1.0, "residual": 1.0,
             "wrong_difference": 1.0 if noise == "no noise" else 20.0}
            for k in range(5) for noise in _NOISES
        ]
    )  # fmt: skip


def _judge_sign_rip(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(list(_sign_rip_parts(table)))


def _sign_rip_parts(table: pd.DataFrame) -> Iterator[Verdict]:
    gaussian, entries = (table[table["ensemble"] == name] for name in ("Gaussian", "entries"))
    for p, rows in gaussian.groupby("p"):
        slopes = statistics.log_log_slopes(rows, "m", "deviation")
        yield statistics.within(slopes, f"log–log slope of the deviation on m, p = {p:g}", low=-0.6, high=-0.4)
    ratios = _ratio_of_outliers(gaussian, "deviation")
    largest = 1 / (1 - gaussian["p"].max())
    yield statistics.within(ratios, "deviation with outliers over that without", low=1.0, high=largest)
    slopes = statistics.log_log_slopes(entries, "m", "deviation")
    yield statistics.trend(slopes, "the slope for sampled entries", above=-0.4)


def _ratio_of_outliers(table: pd.DataFrame, column: str) -> np.ndarray:
    """Geometric mean over m, replicate by replicate, of the largest p over p = 0."""
    logs = table.assign(log=np.log(table[column]))
    return np.exp(statistics.paired(logs, "log", "p", table["p"].max(), 0.0))


def _sign_rip_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "ensemble": ensemble, "p": p, "m": m,
             "deviation": (1 + p + 0.01 * (k % 3)) * m ** (-0.5 if ensemble == "Gaussian" else 0.01 * (k % 3))}
            for k in range(5) for ensemble in ("Gaussian", "entries") for p in (0.0, 0.5) for m in (500, 2000, 8000)
        ]
    )  # fmt: skip


def _judge_uniform(table: pd.DataFrame) -> Verdict:
    parts = []
    for p, rows in table.groupby("p"):
        slopes = statistics.log_log_slopes(rows, "m", "searched")
        parts.append(
            statistics.within(slopes, f"log–log slope of the searched deviation on m, p = {p:g}", low=-0.6, high=-0.4)
        )
        gain = (rows["searched"] / rows["random"]).groupby(rows["replicate"]).mean()
        parts.append(statistics.trend(gain, f"searched over random deviation, p = {p:g}", above=1.1))
    return statistics.all_of(parts)


def _uniform_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "p": p, "m": m, "random": (1 + p) * m**-0.5, "searched": (1.4 + p + 0.01 * k) * m**-0.5}
            for k in range(5) for p in (0.0, 0.5) for m in (500, 2000)
        ]
    )  # fmt: skip


def _judge_outliers(table: pd.DataFrame) -> Verdict:
    parts = []
    for (r, p), rows in _groups(table[table["guess"] == "full"], "r", "p"):
        l1, l2 = (rows[rows["method"] == method] for method in ("l1", "l2"))
        last = l1.groupby("replicate")["final"].max()
        least = best_over_steps(l2).groupby("replicate")["best"].mean()
        parts += [
            statistics.at_most(
                last.max(), f"last error of the l1 loss, p = {p:g}, r = {r}, worst replicate", threshold=1e-4,
                instances=len(last),
            ),
            statistics.trend(least, f"best error of least squares, p = {p:g}, r = {r}", above=0.3),
        ]  # fmt: skip
    return statistics.all_of(parts)


def best_over_steps(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``outliers`` at the step size with the least mean best error, per r, p, rank guessed and method."""
    keys = ["r", "p", "guess", "method"]
    means = table.groupby([*keys, "eta"])["best"].mean()
    chosen = means.loc[means.groupby(keys).idxmin()].index.to_frame(index=False)
    return table.merge(chosen, on=[*keys, "eta"])


def _outliers_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "r": 3, "p": p, "guess": guess, "method": method, "eta": eta,
             "final": 1e-6 if method == "l1" else 1.0, "best": 1e-6 if method == "l1" else 0.6 + eta + 0.01 * k}
            for k in range(5) for p in (0.1, 0.3) for guess in ("exact", "full")
            for method, eta in (("l1", 0.4), ("l2", 0.1), ("l2", 0.2))
        ]
    )  # fmt: skip


def _judge_initialization(table: pd.DataFrame) -> Verdict:
    parts = []
    for p, rows in table.groupby("p"):
        exact = rows[rows["guess"] == "exact"]
        parts += [
            statistics.trend(slopes, f"log–log slope of the floor on alpha, rank d, p = {p:g}", above=0.6)
            if (slopes := alpha_slopes(rows)) is not None
            else Verdict("inconclusive", 0.0, 0.6, 0.0, 0.0, f"fewer than three floors to fit, p = {p:g}"),
            statistics.within(
                statistics.log_log_slopes(exact, "alpha", "floor"), f"the same for the true rank, p = {p:g}",
                low=-0.1, high=0.1,
            ),
        ]  # fmt: skip
    return statistics.all_of(parts)


def alpha_slopes(rows: pd.DataFrame) -> np.ndarray | None:
    """Slopes per replicate over the floors of full rank that are above five times the least floor of the true rank.

    None if a replicate has fewer than three of them.
    """
    schedule = rows[rows["guess"] == "exact"].groupby("replicate")["floor"].min()
    full = rows[rows["guess"] == "full"]
    kept = full[full["floor"] > 5 * full["replicate"].map(schedule)]
    counts = kept.groupby("replicate").size().reindex(schedule.index, fill_value=0)
    return statistics.log_log_slopes(kept, "alpha", "floor") if counts.min() >= 3 else None


def _initialization_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "p": p, "guess": guess, "alpha": alpha,
             "floor": (1e-7 if guess == "exact" else alpha**0.9) * (1 + 0.01 * k)}
            for k in range(5) for p in (0.1, 0.3) for guess in ("exact", "full") for alpha in (1e-1, 1e-2, 1e-3, 1e-4)
        ]
    )  # fmt: skip


def _judge_speed(table: pd.DataFrame) -> Verdict:
    small, large = (
        table[(table["start"] == start) & (table["guess"] == "full")].set_index("replicate")
        for start in ("small", "large")
    )
    known = table[(table["start"] == "large") & (table["guess"] == "exact")].set_index("replicate")
    return statistics.all_of(
        [
            statistics.at_most(small["steps_to_target"].max(), "steps to 1e-7, small start, rank d", threshold=200),
            statistics.trend(small["r_squared"], "R² of log e on t between 1e-1 and 1e-7", above=0.98),
            statistics.within(large["power"], "log–log slope of e on t, large start, rank d", low=-1.3, high=-0.6),
            statistics.trend(large["final"], "its last error", above=1e-3),
            statistics.at_most(known["steps_to_target"].max(), "steps to 1e-7, large start, true rank", threshold=200),
        ]
    )


def _speed_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "start": start, "guess": guess,
             "steps_to_target": 601 if (start, guess) == ("large", "full") else 150,
             "r_squared": 0.95 if (start, guess) == ("large", "full") else 0.998,
             "power": -0.9 if (start, guess) == ("large", "full") else -8.0,
             "final": 0.015 if (start, guess) == ("large", "full") else 1e-9}
            for k in range(5) for start in ("small", "large") for guess in ("exact", "full")
        ]
    )  # fmt: skip


def _judge_samples(table: pd.DataFrame) -> Verdict:
    grid = sorted(table["m"].unique())
    # The place in the grid of the first m with which every replicate succeeds; past its end if there is none.
    place: dict[tuple[str, int], int] = {
        (str(start), int(rank)): next(
            (i for i, m in enumerate(grid) if rows.loc[rows["m"] == m, "success"].all()), len(grid)
        )
        for (start, rank), rows in _groups(table, "start", "rank")
    }
    small = {rank: found for (start, rank), found in place.items() if start == "small"}
    largest = max(rank for _, rank in place)
    sizes = ", ".join(f"{grid[i] if i < len(grid) else 'none'} for rank {rank}" for rank, i in sorted(small.items()))
    verdict = statistics.all_of(
        [
            statistics.at_most(
                max(small.values()) - min(small.values()), f"steps of the grid between first successes ({sizes})",
                threshold=1, instances=len(table),
            ),
            statistics.at_least(
                place["large", largest] - small[largest], "how much later with a large start, largest rank",
                threshold=2,
            ),
        ]
    )  # fmt: skip
    return replace(verdict, outcome="inconclusive") if min(small.values()) == len(grid) else verdict


def _samples_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "m": m, "start": start, "rank": rank, "success": start == "small" and m >= 240}
            for k in range(5) for m in (120, 180, 240, 300)
            for start, rank in (("small", 3), ("small", 10), ("small", 20), ("large", 20))
        ]
    )  # fmt: skip


def _exchanged_where(table: pd.DataFrame, rows: pd.Series) -> pd.DataFrame:
    """Small and large starts exchanged in some rows."""
    return pd.concat([table[~rows], exchange(table[rows], "start", "small", "large")])


def _groups(table: pd.DataFrame, *columns: str) -> Iterator[tuple[Any, pd.DataFrame]]:
    yield from table.groupby(list(columns))


def _judge_dense(table: pd.DataFrame) -> Verdict:
    below = [
        statistics.trend(
            rows.groupby("replicate").apply(lambda g: float((g["loss_of_truth"] - g["loss"]).mean())).to_numpy(),
            f"loss of the truth less the last loss, m = {m}", above=0.0,
        )
        for m, rows in table.groupby("m")
    ]  # fmt: skip
    drift = (table["final"] / table["best"]).groupby(table["replicate"]).max()
    slopes = statistics.log_log_slopes(table, "m", "best")
    return statistics.all_of(
        [
            *below,
            statistics.within(slopes, "log–log slope of the least error on m", low=-0.65, high=-0.25),
            statistics.trend(drift, "last error over the least, worst m", below=2.0),
        ]
    )


def _dense_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "m": m, "loss": 0.8 - 3 * m**-0.5, "loss_of_truth": 0.8 + 0.001 * k,
             "best": (8 + k / 10) * m**-0.45, "final": 9 * m**-0.45}
            for k in range(5) for m in (600, 1800, 5400)
        ]
    )  # fmt: skip


def _judge_magnitude(table: pd.DataFrame) -> Verdict:
    logs = table.assign(log=np.log10(table["final"]))
    return statistics.all_of(
        [
            statistics.within(
                statistics.paired(logs, "log", "factor", factor, 1.0),
                f"log10 of the last error with outliers {factor:g} times as large over that with 1", low=-np.log10(5),
                high=np.log10(5),
            )
            for factor in sorted(table["factor"].unique())
            if factor > 1
        ]
    )  # fmt: skip


def _magnitude_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "factor": factor, "final": 1e-6 * (1 + 0.1 * k + 0.1 * (factor > 10))}
            for k in range(5) for factor in (1.0, 10.0, 1e3, 1e6)
        ]
    )  # fmt: skip


def _judge_conditioning(table: pd.DataFrame) -> Verdict:
    logs = table.assign(log=np.log10(table["final"]))
    return statistics.all_of(
        [
            statistics.trend(
                statistics.paired(rows, "log", "steps", "stretched", "fixed"),
                f"log10 of the last error with stretched steps over that without, kappa = {kappa:g}", below=-2.0,
            )
            for kappa, rows in logs.groupby("kappa")
        ]
    )  # fmt: skip


def _conditioning_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "kappa": 5.0, "steps": steps, "final": last * (1 + 0.1 * k * (steps == "fixed"))}
            for k in range(5) for steps, last in (("stretched", 1e-6), ("fixed", 0.5))
        ]
    )  # fmt: skip


EXPERIMENTS = [
    Experiment("scale", simulate_scale, quick=Scale(), full=Scale(d=20), tiny=Scale(d=3, samples=5000)),
    Experiment(
        "sign_rip", simulate_sign_rip, quick=SignRIP(),
        full=SignRIP(d=50, measurements=(2000, 4000, 8000, 16_000, 32_000)),
        tiny=SignRIP(d=4, measurements=(100, 200)), replicates=10,
    ),
    Experiment(
        "uniform", simulate_uniform, quick=Uniform(),
        full=Uniform(d=30, measurements=(1000, 2000, 4000, 8000, 16_000), restarts=16, steps=100),
        tiny=Uniform(d=4, measurements=(100, 200), restarts=2, steps=2),
    ),
    Experiment(
        "outliers", simulate_outliers, quick=Outliers(),
        full=Outliers(d=50, ranks=(1, 3, 5), fractions=(0.1, 0.3, 0.5), l2_guesses=("exact", "full"), dtype="float32"),
        tiny=Outliers(d=4, ranks=(1,), steps=20, l2_steps=(0.1, 0.2)),
    ),
    Experiment(
        "initialization", simulate_initialization, quick=Initialization(),
        full=Initialization(d=30, fractions=(0.1, 0.3, 0.5), steps=900, rho=0.985),
        tiny=Initialization(d=4, r=1, alphas=(1e-1, 1e-2), exact_alphas=(1e-1, 1e-2), steps=20),
    ),
    Experiment("speed", simulate_speed, quick=Speed(), full=Speed(d=50), tiny=Speed(d=4, r=1, steps=60)),
    Experiment(
        "samples", simulate_samples, quick=Samples(),
        full=Samples(
            d=50, measurements=(300, 450, 600, 750, 900, 1200, 1500), ranks=(3, 10, 25, 50), steps=900, rho=0.985
        ),
        tiny=Samples(d=4, r=1, measurements=(20, 40, 80), ranks=(1, 4), steps=20),
    ),
    Experiment(
        "dense", simulate_dense, quick=Dense(), full=Dense(d=40, measurements=(2400, 7200, 21_600), steps=900),
        tiny=Dense(d=4, r=1, measurements=(40, 80), steps=20),
    ),
    Experiment(
        "magnitude", simulate_magnitude, quick=Magnitude(), full=Magnitude(d=50, p=0.3),
        tiny=Magnitude(d=4, r=1, steps=20), replicates=10,
    ),
    Experiment(
        "conditioning", simulate_conditioning, quick=Conditioning(),
        full=Conditioning(d=30, kappas=(10.0, 100.0)),
        tiny=Conditioning(d=4, r=2, steps=10),
    ),
]  # fmt: skip
CLAIMS = [
    Claim(
        "C1", "scale", "identity", "expected sub-gradient; derived here for any law of the noise",
        "The mean sub-gradient is phi X/|X| with phi = √(2/π) (1 − p + p E exp(−s²/(2|X|²))), up to sampling; with "
        "another exponent, or without p, it is not.",
        _judge_scale, _scale_example, columns_exchanged("difference", "wrong_difference"),
    ),
    Claim(
        "C2", "sign_rip", "rate", "Sign-RIP of Gaussian measurements, exponent of m",
        "The deviation at a random matrix decays like m^(−1/2), with half of the measurements corrupted too, then at "
        "most 1/(1 − p) times as large; for sampled entries it does not decay.",
        _judge_sign_rip, _sign_rip_example, lambda t: exchange(t, "ensemble", "Gaussian", "entries"),
    ),
    Claim(
        "C2b", "uniform", "rate", "Sign-RIP holds uniformly; searched for here",
        "The largest deviation that a search finds decays like m^(−1/2) as well, and is larger than at random "
        "matrices.",
        _judge_uniform, _uniform_example, columns_exchanged("random", "searched"),
    ),
    Claim(
        "C3", "outliers", "trend", "robustness to outliers, over-parameterised",
        "With 10 % and 30 % outliers and the rank guessed as d the l1 loss ends below 1e-4; least squares stays above "
        "0.3 at its best iterate of its best step size.",
        _judge_outliers, _outliers_example, lambda t: exchange(t, "method", "l1", "l2"),
    ),
    Claim(
        "C4", "initialization", "rate", "final error against the scale of the start",
        "With the rank guessed as d the least error grows like a power of alpha, of exponent above 0.6; with the true "
        "rank it does not depend on alpha.",
        _judge_initialization, _initialization_example, lambda t: exchange(t, "guess", "exact", "full"),
        "d alpha^c, c up to 1 as the deviation goes to 0",
    ),
    Claim(
        "C5", "speed", "rate", "linear rate from a small start, noiseless",
        "From a small start with rank d the error falls linearly, below 1e-7 within 200 steps; from a large one it "
        "falls like 1/t, unless the rank is the true one.",
        _judge_speed, _speed_example,
        lambda t: _exchanged_where(t, t["guess"] == "full"),
    ),
    Claim(
        "C6", "samples", "trend", "sample complexity independent of the rank guessed",
        "The number of measurements from which all replicates succeed is the same for every rank guessed, up to one "
        "step of the grid; with a large start it is larger for rank d.",
        _judge_samples, _samples_example, lambda t: _exchanged_where(t, t["rank"] == t["rank"].max()),
    ),
    Claim(
        "C7", "dense", "rate", "the truth need not be a global minimiser",
        "With Gaussian noise everywhere the last loss is below that of the truth, yet the least error decays with m, "
        "slope −0.65 to −0.25, and the last error is at most twice the least.",
        _judge_dense, _dense_example, columns_exchanged("loss", "loss_of_truth"),
    ),
    Claim(
        "C8", "magnitude", "trend", "arbitrarily large outliers",
        "Outliers 10, 1000 or a million times larger change the last error by less than a factor of 5, on (geometric) "
        "average.",
        _judge_magnitude, _magnitude_example, lambda t: t.assign(final=t["final"] * t["factor"]),
    ),
    Claim(
        "C9", "conditioning", "trend", "number of steps in proportion to kappa",
        "Stretching steps and decay by kappa makes the last error at least 100 times smaller than without, kappa = 5.",
        _judge_conditioning, _conditioning_example, lambda t: exchange(t, "steps", "stretched", "fixed"),
        "T = O(kappa/eta0 log(1/alpha))",
    ),
]  # fmt: skip
