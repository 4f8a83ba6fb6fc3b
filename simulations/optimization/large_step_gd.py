"""Gradient descent on the logistic loss separates data with any step size, because it is a perceptron; it is slow.

*limit* holds theta_t/gamma against the batch perceptron's path while gamma times the perceptron's least margin grows,
on random problems without ties; beside it a perceptron with another weight at margin 0, which is not the limit.
*bounds* runs gradient descent (LR+GD), its normalised form (NLR+GD) and both perceptrons on hundreds of random
separable problems and step sizes from 0.1 to a million, and counts how much of the proven number of iterations they
need; beside it LR+GD against the bound of NLR+GD, which has no factor n. *hard* has two kinds of samples, n − 1 easy
ones and a hard one, at random angles. *digits* splits images of two digits into random halves: how loss and
iterations change with the step size, and which method is faster on one half, each with the step size that was best on
the other. *sweep* goes from 0.01 to 10⁸ on real and constructed data, also with one sample repeated under the
opposite label, which nothing separates. *imbalance* draws random problems like the hard one, step sizes chosen on
other problems. *ties* runs lattice data, where margins are exactly 0, in floats and in rational arithmetic. *real*
asks of every data set in reach whether it is separable (linear programming, confirmed exactly) and by what margin
(two solvers), and runs every method on it.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

from simulations import Claim, Experiment, Paper, Verdict, statistics
from simulations.controls import columns_exchanged, exchange
from theory.optimization import large_step_gd as theory
from theory.optimization.perceptron import rational_batch_perceptron
from theory.optimization.separable_data import (
    imbalanced_problems,
    margin_qp,
    radius,
    random_problems,
    separability,
    signed_data,
)
from theory.optimization.separation import separate

PAPER = Paper(
    title="From Logistic Regression to the Perceptron Algorithm: Exploring Gradient Descent with Large Step Sizes",
    authors="Alexander Tyurin",
    venue="AAAI 2025",
    arxiv="2412.08424",
)
DEVIATIONS = [
    "Constants and proofs are derived here. With the largest weighted margin b_n <= log n in place of the constant "
    "W(1/e) per sample, the bound of LR+GD is 2n times that of NLR+GD: its term in 1/gamma grows like n log n, not n².",
    "The paths agree in the limit also where margins are exactly 0 (the weight 1/2 is the right one), but iteration "
    "counts do not: LR+GD may stop, for every gamma, where the perceptron's least margin is 0. In floats that "
    "difference vanishes again once the tiny margin is lost to rounding.",
    "“Larger steps are faster” and “normalised is faster” are statements about worst cases: with a few dozen samples, "
    "and on some pairs of digits, LR+GD needs fewer iterations (C6b, C6c). Step sizes are chosen for both.",
    "The paper trains on two classes of CIFAR-10, Fashion-MNIST and EuroSAT; here it is scikit-learn's own data. "
    "breast_cancer is separable too, but with R²/mu² of 2·10⁸ no method here gets there.",
]

LR, NLR, BATCH, NORMALISED = "LR+GD", "NLR+GD", "batch perceptron", "normalised batch perceptron"


# limit ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limit:
    """Random problems, and the values of gamma times the least margin at which paths are compared."""

    problems: int = 6
    samples: int = 40
    dim: int = 10
    ratio: float = 30.0
    exponents: tuple[float, ...] = (4.0, 8.0, 12.0, 16.0, 20.0, 24.0, 26.0)


def simulate_limit(settings: Limit, seed: int, device: str) -> pd.DataFrame:
    """Largest distance of theta_t/gamma to the batch perceptron and to one with tie = 1, up to separation."""
    rng = np.random.default_rng(seed)
    rows = []
    while len(rows) < settings.problems * len(settings.exponents):
        Z = random_problems(rng, 1, settings.samples, settings.dim, settings.ratio)[0]
        perceptron = theory.batch_perceptron(Z, record="path")
        T = int(perceptron.iterations)
        # One step is the same for every gamma.
        if T < 3:
            continue
        delta = theory.limit_deviation(Z, 1.0, T).delta
        gammas = np.array(settings.exponents) / delta
        found = np.asarray(theory.limit_deviation(Z, gammas, T).deviation)
        wrong = _first_steps(Z, T, 1.0) / len(Z)
        right = _first_steps(Z, T, 0.5) / len(Z)
        R = float(radius(Z))
        for exponent, gamma, deviation in zip(settings.exponents, gammas, found, strict=True):
            rows.append(
                {
                    "problem": len(rows) // len(settings.exponents), "iterations": T, "delta": delta,
                    "exponent": exponent, "gamma": gamma, "deviation": deviation,
                    "bound": min(theory.limit_deviation_bound(R, delta, gamma, T), 1e9),
                    # Not above the true distance, by the triangle inequality.
                    "wrong_deviation": max(float(np.linalg.norm(wrong - right, axis=1).max()) - deviation, 0.0),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _first_steps(Z: np.ndarray, T: int, tie: float) -> np.ndarray:
    path = separate(
        Z, lambda m: (m < 0) + tie * (m == 0), scale=1.0, factor=1.0, max_iter=T, record="path", stop=False
    ).path
    assert path is not None
    return path


# bounds -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bounds:
    """Samples, dimensions and R/mu (at most about) of random problems, how many of each, and step sizes."""

    samples: tuple[int, ...] = (2, 3, 8, 5, 10, 20, 40, 30)
    dims: tuple[int, ...] = (2, 2, 2, 3, 3, 5, 10, 3)
    ratios: tuple[float, ...] = (20.0, 40.0, 50.0, 20.0, 10.0, 20.0, 20.0, 50.0)
    problems: int = 8
    gammas: tuple[float, ...] = (0.1, 1.0, 10.0, 1e3, 1e6)
    max_iter: int = 2_000_000


def simulate_bounds(settings: Bounds, seed: int, device: str) -> pd.DataFrame:
    """Per size, method and step size: the largest share of its bound that a run needs, with the run that does."""
    rng = np.random.default_rng(seed)
    gammas = np.array(settings.gammas)
    rows = []
    for n, dim, ratio in zip(settings.samples, settings.dims, settings.ratios, strict=True):
        Z = random_problems(rng, settings.problems, n, dim, ratio)
        shape = [(float(radius(each)), theory.margin(each)[0]) for each in Z]
        options = {"max_iter": settings.max_iter, "record": "nothing"}
        runs = {
            LR: (gammas, np.asarray(theory.lr_gd(Z[:, None], gammas, **options).iterations)),
            NLR: (gammas, np.asarray(theory.normalized_lr_gd(Z[:, None], gammas, **options).iterations)),
            BATCH: ([np.inf], np.asarray(theory.batch_perceptron(Z, False, 0.5, **options).iterations)[:, None]),
            NORMALISED: ([np.inf], np.asarray(theory.batch_perceptron(Z, True, 0.5, **options).iterations)[:, None]),
        }
        for method, (steps, iterations) in runs.items():
            for k, gamma in enumerate(steps):
                rows.append(_bounds_row(method, n, dim, float(gamma), shape, iterations[:, k]))
    return pd.DataFrame(rows)


def _bounds_row(
    method: str, n: int, dim: int, gamma: float, shape: list[tuple[float, float]], T: np.ndarray
) -> dict[str, object]:
    ratios = np.array([t / _bound(method, n, R, mu, gamma) for t, (R, mu) in zip(T, shape, strict=True)])
    sharper = np.array([t / _sharper(method, n, R, mu, gamma) for t, (R, mu) in zip(T, shape, strict=True)])
    without_n = np.array([t / theory.bound_normalized(n, R, mu, gamma) for t, (R, mu) in zip(T, shape, strict=True)])
    worst = int(ratios.argmax())
    R, mu = shape[worst]
    return {
        "method": method, "samples": n, "dim": dim, "gamma": gamma, "problems": len(T), "iterations": int(T[worst]),
        "ratio": ratios[worst], "sharper_ratio": float(sharper.max()), "ratio_without_n": float(without_n.max()),
        "hardness": max((R / mu) ** 2 for R, mu in shape),
        "witness": f"n={n} dim={dim} R²/mu²={(R / mu) ** 2:.3g} gamma={gamma:g} T={T[worst]}",
    }  # fmt: skip


def _bound(method: str, n: int, R: float, mu: float, gamma: float) -> float:
    if method == LR:
        return theory.bound_lr_gd(n, R, mu, gamma)
    if method == NLR:
        return theory.bound_normalized(n, R, mu, gamma)
    return theory.bound_batch_perceptron(n, R, mu, method == NORMALISED)


def _sharper(method: str, n: int, R: float, mu: float, gamma: float) -> float:
    return theory.sharper_bound_lr_gd(n, R, mu, gamma) if method == LR else _bound(method, n, R, mu, gamma)


# hard -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hard:
    """Numbers of samples, and ranges from which one angle each is drawn."""

    samples: tuple[int, ...] = (10, 30, 100, 300, 1000, 3000, 10_000)
    angles: tuple[tuple[float, float], ...] = ((0.5, 1.2),)
    gamma: float = 1e12
    normalised_gamma: float = 1e4
    small_gamma: float = 1.0
    small_gamma_samples: int = 100


def simulate_hard(settings: Hard, seed: int, device: str) -> pd.DataFrame:
    """Iterations of each method on the hard instance, and the formula's."""
    rng = np.random.default_rng(seed)
    rows = []
    for low, high in settings.angles:
        phi = float(rng.uniform(low, high))
        mu = float(np.sin(phi / 2))
        for n in settings.samples:
            Z = theory.hard_instance(n, phi)
            options = {"max_iter": 10**6, "record": "nothing"}
            counts = {
                BATCH: theory.batch_perceptron(Z, False, 0.5, **options).iterations,
                LR: theory.lr_gd(Z, settings.gamma, **options).iterations,
                NLR: theory.normalized_lr_gd(Z, settings.normalised_gamma, **options).iterations,
            }
            if n <= settings.small_gamma_samples:
                counts["LR+GD, gamma = 1"] = theory.lr_gd(Z, settings.small_gamma, **options).iterations
            rows += [
                {
                    "phi": phi, "samples": n, "method": method, "iterations": int(T),
                    "formula": theory.hard_instance_iterations(n, phi),
                    "n_free_formula": theory.hard_instance_iterations(settings.samples[0], phi),
                    "hardness": mu**-2.0,
                }
                for method, T in counts.items()
            ]  # fmt: skip
    return pd.DataFrame(rows)


# digits -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Digits:
    """Pairs of digits, and step sizes, the same for both methods."""

    pairs: tuple[tuple[int, int], ...] = ((3, 8), (1, 7), (4, 9))
    gammas: tuple[float, ...] = (0.1, 10**-0.5, 1.0, 10**0.5, 10.0, 10**1.5, 1e2, 10**2.5, 1e3)
    max_iter: int = 100_000


def simulate_digits(settings: Digits, seed: int, device: str) -> pd.DataFrame:
    """Iterations, mean and largest loss per pair, half of the images, method and step size."""
    rng = np.random.default_rng(seed)
    gammas = np.array(settings.gammas)
    rows = []
    for first, second in settings.pairs:
        Z = _digit_pair(first, second)
        # Each half has half of each class.
        order = np.concatenate([rng.permutation(np.flatnonzero(Z[:, -1] == sign)) for sign in (1, -1)])
        for half in range(2):
            part = Z[order[half::2]]
            for method, run in ((LR, theory.lr_gd), (NLR, theory.normalized_lr_gd)):
                result = run(part, gammas, settings.max_iter)
                assert result.losses is not None
                iterations = np.asarray(result.iterations)
                for k, gamma in enumerate(settings.gammas):
                    losses = result.losses[k, : iterations[k] + 1]
                    rows.append(
                        {
                            "pair": f"{first} {second}", "half": half, "method": method, "gamma": gamma,
                            "samples": len(part), "iterations": int(iterations[k]), "mean_loss": losses.mean(),
                            "max_loss": losses.max(),
                        }
                    )  # fmt: skip
    return pd.DataFrame(rows)


def _digit_pair(first: int, second: int) -> np.ndarray:
    pixels, labels = (np.asarray(part) for part in load_digits(return_X_y=True))
    chosen = np.isin(labels, (first, second))
    return signed_data(pixels[chosen] / 16, np.where(labels[chosen] == first, 1, -1))


# sweep ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sweep:
    """Step sizes, the pair of digits, and how long unseparable data are given."""

    gammas: tuple[float, ...] = (0.01, 0.1, 1.0, 1e2, 1e4, 1e6, 1e8)
    pair: tuple[int, int] = (1, 7)
    max_iter: int = 1_000_000
    unseparable_iter: int = 1000


def simulate_sweep(settings: Sweep, seed: int, device: str) -> pd.DataFrame:
    """Iterations of LR+GD for every step size, over both of its bounds; and with one label contradicted."""
    rng = np.random.default_rng(seed)
    digits = _digit_pair(*settings.pair)
    flowers, species = (np.asarray(part) for part in load_iris(return_X_y=True))
    data = {
        "digits": digits[rng.permutation(len(digits))[: 2 * len(digits) // 3]],
        "iris": signed_data(flowers, np.where(species == 0, 1, -1))[rng.permutation(150)[:100]],
        "hard": theory.hard_instance(50, float(rng.uniform(0.5, 1.2))),
        "random": random_problems(rng, 1, 40, 5, 10.0)[0],
    }
    rows = []
    for name, clean in data.items():
        mu, _ = theory.margin(clean)
        R = float(radius(clean))
        contradicted = np.concatenate([clean, -clean[:1]])
        for labels, Z, max_iter in (
            ("clean", clean, settings.max_iter), ("contradicted", contradicted, settings.unseparable_iter),
        ):  # fmt: skip
            with _unfinished():
                result = theory.lr_gd(Z, np.array(settings.gammas), max_iter, record="nothing")
            for gamma, T, solved in zip(
                settings.gammas, np.ravel(result.iterations), np.ravel(result.solved), strict=True
            ):
                rows.append(
                    {
                        "data": name, "labels": labels, "samples": len(Z), "gamma": gamma, "iterations": int(T),
                        "solved": bool(solved), "ratio": T / theory.bound_lr_gd(len(Z), R, mu, gamma),
                        "sharper_ratio": T / theory.sharper_bound_lr_gd(len(Z), R, mu, gamma),
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


@contextmanager
def _unfinished() -> Iterator[None]:
    """Runs may stop before they separate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


# imbalance --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Imbalance:
    """Numbers of samples, random problems of each (half of them to choose the step size), and step sizes."""

    samples: tuple[int, ...] = (10, 100, 400)
    problems: int = 20
    dim: int = 5
    gammas: tuple[float, ...] = (3.0, 10.0, 30.0, 1e2, 1e3, 1e6)
    max_iter: int = 600


def simulate_imbalance(settings: Imbalance, seed: int, device: str) -> pd.DataFrame:
    """Median iterations on half of the problems per n, method and step size; the best one on the other half is marked.

    Runs that are not through after ``max_iter`` count with that number.
    """
    rng = np.random.default_rng(seed)
    gammas = np.array(settings.gammas)
    rows = []
    for n in settings.samples:
        Z = imbalanced_problems(rng, settings.problems, n, settings.dim)
        for method, run in ((LR, theory.lr_gd), (NLR, theory.normalized_lr_gd)):
            with _unfinished():
                result = run(Z[:, None], gammas, settings.max_iter, record="nothing")
            iterations = np.asarray(result.iterations)
            held_out, judged = np.log(iterations[::2]).mean(axis=0), iterations[1::2]
            rows += [
                {
                    "samples": n, "method": method, "gamma": gamma, "held_out": float(np.exp(held_out[k])),
                    "chosen": bool(k == held_out.argmin()), "iterations": float(np.median(judged[:, k])),
                    "unfinished": int((~np.asarray(result.solved)[:, k]).sum()),
                }
                for k, gamma in enumerate(settings.gammas)
            ]  # fmt: skip
    return pd.DataFrame(rows)


# ties -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ties:
    """Random lattice problems (entries from −size to size), and values of gamma·delta, the first that is enough."""

    problems: int = 30
    samples: int = 5
    size: int = 2
    exponents: tuple[float, ...] = (10.0, 20.0, 40.0, 80.0, 160.0)
    example_gammas: tuple[float, ...] = (1.0, 10.0, 50.0, 100.0)


def simulate_ties(settings: Ties, seed: int, device: str) -> pd.DataFrame:
    """Floats against rationals, with the right and another weight at margin 0; when LR+GD stops; the example."""
    rng = np.random.default_rng(seed)
    example = np.array([[1.0, 0.0], [-1.0, 1.0]])
    counts = np.asarray(theory.lr_gd(example, np.array(settings.example_gammas), 100).iterations)
    rows = [
        _ties_row("example", example, int(T), gamma) for T, gamma in zip(counts, settings.example_gammas, strict=True)
    ]
    while len(rows) < settings.problems + len(counts):
        shape = (int(rng.integers(2, settings.samples + 1)), int(rng.integers(2, 4)))
        Z = rng.integers(-settings.size, settings.size + 1, shape).astype(float)
        if not separability(Z).separable:
            continue
        T = int(theory.batch_perceptron(Z).iterations)
        gammas = np.array(settings.exponents) / min(theory.limit_deviation(Z, 1.0, T).delta, 1.0)
        gamma = next((g for g in gammas if _separation_of_paths(Z, g, T) <= _CLOSE), gammas[-1])
        rows.append(_ties_row("lattice", Z, int(theory.lr_gd(Z, gamma, 100 * T).iterations), gamma))
    return pd.DataFrame(rows)


_CLOSE = 0.1


def _separation_of_paths(Z: np.ndarray, gamma: float, T: int) -> float:
    """Distance of the paths over delta/R: below 1 no margin but those of 0 can change its sign."""
    limit = theory.limit_deviation(Z, gamma, T)
    return float(limit.deviation) * float(radius(Z)) / min(limit.delta, 1.0)


def _ties_row(data: str, Z: np.ndarray, T: int, gamma: float) -> dict[str, object]:
    exact = rational_batch_perceptron([[int(x) for x in row] for row in Z])
    margins = [min(sum(int(a) * b for a, b in zip(row, theta, strict=True)) for row in Z) for theta in exact]
    path = np.array([[float(x) for x in theta] for theta in exact])
    ours, other = (theory.batch_perceptron(Z, False, tie, record="path").path for tie in (0.5, 1.0))
    assert ours is not None
    assert other is not None
    return {
        "data": data, "samples": len(Z), "dim": Z.shape[1], "gamma": gamma, "iterations": T,
        "perceptron_iterations": len(exact) - 1, "ties": theory.limit_deviation(Z, gamma, len(exact) - 1).ties,
        "first_without_errors": next(t for t, m in enumerate(margins) if t > 0 and m >= 0),
        "path_error": _path_error(ours, path), "path_error_other_tie": _path_error(other, path),
        "distance": _separation_of_paths(Z, gamma, len(exact) - 1),
    }  # fmt: skip


def _path_error(path: np.ndarray, exact: np.ndarray) -> float:
    """Largest difference of any entry; one per missing step."""
    common = min(len(path), len(exact))
    return float(np.abs(path[:common] - exact[:common]).max()) + abs(len(path) - len(exact))


# real -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Real:
    """Pairs of digits beside iris, wine and breast_cancer (one class against the rest, standardised)."""

    pairs: tuple[tuple[int, int], ...] = ((3, 8), (1, 7), (4, 9), (0, 1), (1, 8), (5, 9))
    gammas: tuple[float, ...] = (1.0, 1e2, 1e4, 1e6)
    max_iter: int = 3000
    tables: bool = True


def simulate_real(settings: Real, seed: int, device: str) -> pd.DataFrame:
    """Separability, margin and its solvers' disagreement, and iterations of every method; nothing is random."""
    rows = []
    for name, Z in _real_data(settings):
        found = separability(Z)
        n, R = len(Z), float(radius(Z))
        shared = {"data": name, "samples": n, "dim": Z.shape[1], "separable": found.separable, "exact": found.exact}
        if not found.separable:
            rows.append({**shared, "method": "none", "gamma": 1.0, "solved": False})
            continue
        (mu, _), (mu_qp, _) = theory.margin(Z), margin_qp(Z)
        options = {"max_iter": settings.max_iter, "record": "nothing"}
        steps = np.array(settings.gammas)
        with _unfinished():
            runs = {
                LR: theory.lr_gd(Z, steps, **options),
                NLR: theory.normalized_lr_gd(Z, steps, **options),
                BATCH: theory.batch_perceptron(Z, False, 0.5, **options),
                NORMALISED: theory.batch_perceptron(Z, True, 0.5, **options),
            }
        for method, run in runs.items():
            gammas = settings.gammas if method in (LR, NLR) else (np.inf,)
            for gamma, T, solved in zip(gammas, np.ravel(run.iterations), np.ravel(run.solved), strict=True):
                rows.append(
                    {
                        **shared, "hardness": (R / mu) ** 2, "margin": mu, "solver_error": abs(mu_qp / mu - 1),
                        # The margin of the first half of the samples is not that of all.
                        "half_error": abs(theory.margin(Z[::2])[0] / mu - 1), "method": method, "gamma": gamma,
                        "iterations": int(T), "solved": bool(solved), "ratio": T / _bound(method, n, R, mu, gamma),
                        "ratio_without_n": T / theory.bound_normalized(n, R, mu, gamma),
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def _real_data(settings: Real) -> Iterator[tuple[str, np.ndarray]]:
    for first, second in settings.pairs:
        yield f"digits {first} {second}", _digit_pair(first, second)
    if settings.tables:
        for name, load in (("iris", load_iris), ("wine", load_wine), ("breast_cancer", load_breast_cancer)):
            features, labels = (np.asarray(part) for part in load(return_X_y=True))
            features = (features - features.mean(axis=0)) / features.std(axis=0)
            classes = labels.max() + 1
            for label in range(classes if classes > 2 else 1):
                yield f"{name}, class {label}", signed_data(features, np.where(labels == label, 1, -1))


EXPERIMENTS = [
    Experiment("limit", simulate_limit, quick=Limit(), full=Limit(problems=40), tiny=Limit(problems=1)),
    Experiment(
        "bounds", simulate_bounds, quick=Bounds(), full=Bounds(problems=40),
        tiny=Bounds(samples=(1, 5), dims=(2, 3), ratios=(5.0, 5.0), problems=2),
    ),
    Experiment(
        "hard", simulate_hard, quick=Hard(),
        full=Hard((*Hard().samples, 30_000), ((0.5, 0.85), (0.85, 1.2)), small_gamma_samples=1000),
        tiny=Hard(samples=(10, 100, 300), small_gamma_samples=10),
    ),
    Experiment(
        "digits", simulate_digits, quick=Digits(),
        full=Digits(pairs=tuple((a, b) for a in range(10) for b in range(a + 1, 10))),
        tiny=Digits(pairs=((3, 8),), gammas=(1.0, 10.0, 100.0)), replicates=8,
    ),
    Experiment(
        "sweep", simulate_sweep, quick=Sweep(),
        full=Sweep(tuple(10.0**k for k in range(-2, 9)), pair=(3, 8), unseparable_iter=20_000),
        tiny=Sweep(gammas=(1.0, 1e4), unseparable_iter=50),
    ),
    Experiment(
        "imbalance", simulate_imbalance, quick=Imbalance(),
        full=Imbalance(samples=(10, 30, 100, 300, 1000, 3000), problems=40, max_iter=5000),
        tiny=Imbalance(samples=(10, 100), problems=4, gammas=(10.0, 100.0), max_iter=300),
    ),
    Experiment("ties", simulate_ties, quick=Ties(), full=Ties(problems=1000), tiny=Ties(problems=4)),
    Experiment(
        "real", simulate_real, quick=Real(),
        full=Real(pairs=tuple((a, b) for a in range(10) for b in range(a + 1, 10)), max_iter=20_000),
        tiny=Real(pairs=((1, 7),), gammas=(1e2,), max_iter=100, tables=False), replicates=1,
    ),
]  # fmt: skip


# judges -----------------------------------------------------------------------------------------


def _judge_limit(table: pd.DataFrame) -> Verdict:
    by_problem = table.sort_values("exponent").groupby(["replicate", "problem"])["deviation"]
    growth = float((by_problem.shift(-1) / table.sort_values("exponent")["deviation"]).max())
    late = table[table["exponent"] > 25]
    fitted = table[table["exponent"].between(12, 24)]
    slopes = [
        float(np.mean([_slope(rows["exponent"], rows["deviation"]) for _, rows in part.groupby("problem")]))
        for _, part in fitted.groupby("replicate")
    ]
    return statistics.all_of(
        [
            statistics.at_most(
                late["deviation"].max(), "largest deviation where gamma·delta > 25", threshold=1e-8, instances=len(late)
            ),
            statistics.at_most(growth, "largest factor from one gamma to the next larger", threshold=1.0),
            statistics.within(slopes, "slope of log deviation on gamma·delta", low=-1.1, high=-0.9),
            statistics.at_most(
                (table["deviation"] / (table["bound"] + 1e-13)).max(), "largest deviation over its bound", threshold=1.0
            ),
        ]
    )


def _slope(x: pd.Series, y: pd.Series) -> float:
    """Least-squares slope of log y on x."""
    return float(np.polyfit(x.to_numpy(dtype=float), np.log(y.to_numpy(dtype=float)), 1)[0])


def _limit_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "problem": 0, "exponent": e, "deviation": (1 + k) * np.exp(-e), "bound": 10 * np.exp(-e),
             "wrong_deviation": 0.5}
            for k in range(5) for e in (4.0, 12.0, 16.0, 20.0, 24.0, 26.0)
        ]
    )  # fmt: skip


def _judge_bounds(column: str) -> Callable[[pd.DataFrame], Verdict]:
    def judge(table: pd.DataFrame) -> Verdict:
        worst = table.iloc[int(table[column].to_numpy().argmax())]
        first = table[table["method"] == BATCH]
        return statistics.bound(
            float(worst[column]), f"iterations over their bound, worst in {worst['method']}",
            instances=int(first["problems"].sum()), required=300, witness=str(worst["witness"]),
        )  # fmt: skip

    return judge


def _bounds_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "method": method, "problems": 64, "ratio": 0.4, "sharper_ratio": 0.5,
             "ratio_without_n": 3.0, "witness": "n=3"}
            for k in range(5) for method in (LR, NLR, BATCH)
        ]
    )  # fmt: skip


def _judge_without_n(table: pd.DataFrame) -> Verdict:
    rows = table[table["method"].isin([LR, BATCH])]
    worst = rows.groupby("replicate")["ratio_without_n"].max()
    return statistics.trend(worst, "most iterations of LR+GD over the bound of NLR+GD", above=1.0)


def _judge_formula(table: pd.DataFrame) -> Verdict:
    rows = table[table["method"].isin([BATCH, LR])]
    return statistics.identity(
        rows["iterations"] - rows["formula"], "iterations less the formula, batch perceptron and LR+GD", tolerance=0.0
    )


def _judge_growth(table: pd.DataFrame) -> Verdict:
    rows = table[table["samples"] >= 100]
    slopes = {
        m: statistics.log_log_slopes(rows[rows["method"] == m], "samples", "iterations") for m in (BATCH, LR, NLR)
    }
    return statistics.all_of(
        [
            statistics.within(slopes[LR], "log–log slope of iterations on n, LR+GD", low=0.98, high=1.02),
            statistics.within(slopes[BATCH], "the same for the batch perceptron", low=0.98, high=1.02),
            statistics.trend(slopes[NLR], "the same for NLR+GD", below=0.1),
        ]
    )


def _hard_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "phi": 0.5 + 0.1 * k, "samples": n, "method": method, "formula": n // 2,
             "iterations": n // 2 if method != NLR else 4 + k, "n_free_formula": 5}
            for k in range(5) for n in (10, 100, 1000, 10_000) for method in (BATCH, LR, NLR)
        ]
    )  # fmt: skip


def _rank_correlations(table: pd.DataFrame, column: str) -> np.ndarray:
    """Spearman's correlation of gamma with a column: the mean over pairs and halves, per replicate."""
    rows = table[table["method"] == LR]
    return np.array(
        [
            np.mean([_spearman(part["gamma"], part[column]) for _, part in each.groupby(["pair", "half"])])
            for _, each in rows.groupby("replicate", sort=True)
        ]
    )


def _spearman(x: pd.Series, y: pd.Series) -> float:
    """Rank correlation; a constant goes with nothing."""
    return float(spearmanr(x, y)[0]) if y.nunique() > 1 else 0.0  # type: ignore[arg-type]


def _judge_loss(pairs: tuple[str, ...] | None) -> Callable[[pd.DataFrame], Verdict]:
    def judge(table: pd.DataFrame) -> Verdict:
        rows = table if pairs is None else table[table["pair"].isin(pairs)]
        return statistics.all_of(
            [
                statistics.trend(_rank_correlations(rows, "mean_loss"), "Spearman of gamma and mean loss", above=0.9),
                statistics.trend(_rank_correlations(rows, "max_loss"), "of gamma and largest loss", above=0.9),
                statistics.trend(_rank_correlations(rows, "iterations"), "of gamma and iterations", below=-0.5),
            ]
        )

    return judge


def _digits_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "pair": pair, "half": half, "method": method, "gamma": gamma,
             "mean_loss": gamma * (1 + 0.01 * k), "max_loss": 2 * gamma,
             "iterations": (50 if method == NLR else 80 + k) * (1 + 10 / gamma)}
            for k in range(8) for pair in ("3 8", "1 7") for half in (0, 1) for method in (LR, NLR)
            for gamma in (0.1, 1.0, 10.0, 100.0)
        ]
    )  # fmt: skip


def tuned_log_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Log of LR+GD's over NLR+GD's iterations on each half, step sizes chosen on the other half of the same images."""
    keys = ["replicate", "pair", "half", "method"]
    best = table.loc[table.groupby(keys)["iterations"].idxmin(), [*keys, "gamma"]]
    crossed = best.assign(half=1 - best["half"])
    judged = table.merge(crossed, on=[*keys, "gamma"]).set_index(keys)["iterations"].unstack("method")
    return pd.Series(np.log(judged[LR] / judged[NLR]), name="log_ratio").reset_index()


def _judge_real_ratio(table: pd.DataFrame) -> Verdict:
    ratios = tuned_log_ratios(table).groupby("replicate")["log_ratio"].mean()
    return statistics.trend(ratios, "log of LR+GD's over NLR+GD's iterations, each with its own step size", above=0.0)


def _judge_sweep(table: pd.DataFrame) -> Verdict:
    clean, contradicted = table[table["labels"] == "clean"], table[table["labels"] == "contradicted"]
    worst = clean.iloc[int(clean["ratio"].to_numpy().argmax())]
    return statistics.all_of(
        [
            statistics.at_least(
                float(clean["solved"].mean()), "share of separable runs that separate", threshold=1.0,
                instances=len(clean),
            ),
            statistics.bound(
                float(worst["ratio"]), "iterations over the bound", instances=len(clean), required=20,
                witness=f"{worst['data']}, gamma={worst['gamma']:g}",
            ),
            statistics.at_most(
                float(contradicted["solved"].mean()), "share that separate with a contradicted label", threshold=0.0,
                instances=len(contradicted),
            ),
        ]
    )  # fmt: skip


def _sweep_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "data": "digits", "labels": labels, "gamma": 10.0**e, "solved": labels == "clean",
             "ratio": 0.1}
            for k in range(5) for labels in ("clean", "contradicted") for e in range(-2, 9)
        ]
    )  # fmt: skip


def _imbalance_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Log of LR+GD's over NLR+GD's median iterations at the chosen step sizes: rows are replicates, columns n."""
    chosen = table[table["chosen"]].set_index(["replicate", "samples", "method"])["iterations"].unstack("method")
    ratios = pd.Series(np.log(chosen[LR] / chosen[NLR]))
    return ratios.unstack("samples")


def _judge_imbalance(table: pd.DataFrame) -> Verdict:
    ratios = _imbalance_ratios(table)
    sizes = np.log(ratios.columns.to_numpy(dtype=float))
    slopes = [np.polyfit(sizes, row, 1)[0] for row in ratios.to_numpy()]
    return statistics.all_of(
        [
            *(
                statistics.trend(ratios[n], f"log ratio of median iterations, LR+GD to NLR+GD, n = {n}", above=0.0)
                for n in ratios.columns if float(n) >= 100
            ),
            statistics.trend(slopes, "log–log slope of that ratio on n", above=0.0),
        ]
    )  # fmt: skip


def _judge_few_samples(table: pd.DataFrame) -> Verdict:
    ratios = _imbalance_ratios(table)
    n = ratios.columns.min()
    return statistics.trend(ratios[n], f"log ratio of median iterations, LR+GD to NLR+GD, n = {n}", above=0.0)


def _imbalance_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "samples": n, "method": method, "gamma": 10.0, "chosen": True,
             "iterations": n / 2 + 20 if method == LR else 10.0 + k}
            for k in range(5) for n in (10, 100, 1000) for method in (LR, NLR)
        ]
    )  # fmt: skip


def _judge_ties(table: pd.DataFrame) -> Verdict:
    example, lattice = (table[table["data"] == name] for name in ("example", "lattice"))
    outside = (table["iterations"] < table["first_without_errors"]) | (
        table["iterations"] > table["perceptron_iterations"]
    )
    counts = np.concatenate([example["iterations"] - 2, example["perceptron_iterations"] - 4])
    return statistics.all_of(
        [
            statistics.identity(
                table["path_error"], "batch perceptron in floats less in rational arithmetic", tolerance=0.0
            ),
            statistics.identity(counts, "iterations in the example less 2 (LR+GD) and 4 (perceptron)", tolerance=0.0),
            statistics.identity(outside, "LR+GD stops too early, or after the perceptron", tolerance=0.0),
            statistics.at_most(
                float(lattice["distance"].max()), "distance of the paths over delta/R, lattice data", threshold=_CLOSE,
                instances=len(lattice),
            ),
        ]
    )  # fmt: skip


def _ties_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "data": data, "iterations": 2, "perceptron_iterations": 4, "first_without_errors": 1,
             "path_error": 0.0, "path_error_other_tie": 0.5, "distance": 1e-8}
            for k in range(5) for data in ("example", "lattice")
        ]
    )  # fmt: skip


def _judge_real_margins(table: pd.DataFrame) -> Verdict:
    rows = table[table["separable"]]
    return statistics.all_of(
        [
            statistics.identity(
                rows["solver_error"], "margin by least squares over that by a convex solver, less 1", tolerance=1e-6
            ),
            statistics.at_least(
                float(table["exact"].mean()), "share of linear programmes confirmed in rational arithmetic",
                threshold=1.0, instances=table["data"].nunique(),
            ),
        ]
    )  # fmt: skip


def _judge_real_bounds(table: pd.DataFrame) -> Verdict:
    rows = table[table["separable"]]
    worst = rows.iloc[int(np.nanargmax(rows["ratio"].to_numpy(dtype=float)))]
    return statistics.bound(
        float(worst["ratio"]), f"iterations over their bound on real data, worst in {worst['method']}",
        instances=len(rows), required=50,
        witness=f"{worst['data']}, gamma={worst['gamma']:g}, T={worst['iterations']:g}",
    )  # fmt: skip


def _real_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": 0, "data": f"set {k}", "separable": True, "exact": True, "solver_error": 1e-9,
             "half_error": 0.5, "method": LR, "gamma": 1.0, "iterations": 10, "ratio": 0.1, "solved": True}
            for k in range(60)
        ]
    )  # fmt: skip


CLAIMS = [
    Claim(
        "C1", "limit", "limit", "reduction to the batch perceptron; rate derived here",
        "Divided by gamma, the path of LR+GD tends to the batch perceptron's: the distance falls with gamma, like "
        "exp(−gamma·delta), and is below 1e-8 where gamma·delta > 25.",
        _judge_limit, _limit_example, columns_exchanged("deviation", "wrong_deviation"),
    ),
    Claim(
        "C2", "bounds", "bound", "iteration complexities; constants derived here",
        "From 0, LR+GD separates within 2nR²/mu² + 8W(1/e)n²/(gamma mu²) iterations, NLR+GD within R²/mu² + "
        "2b_n/(gamma mu²), and the batch perceptrons within 2nR²/mu² and R²/mu².",
        _judge_bounds("ratio"), _bounds_example, columns_exchanged("ratio", "ratio_without_n"),
    ),
    Claim(
        "C2b", "bounds", "bound", "sharper form, derived here",
        "2n times the bound of NLR+GD is enough for LR+GD.",
        _judge_bounds("sharper_ratio"), _bounds_example, columns_exchanged("sharper_ratio", "ratio_without_n"),
    ),
    Claim(
        "C2c", "bounds", "trend", "what must fail: a bound of LR+GD without the factor n",
        "LR+GD and the batch perceptron need more iterations than the bound of NLR+GD allows on some of the problems.",
        _judge_without_n, _bounds_example, columns_exchanged("ratio_without_n", "ratio"),
    ),
    Claim(
        "C3", "hard", "identity", "suboptimality of LR+GD; instance derived here",
        "On n − 1 samples (1, 0) and one at (−cos phi, sin phi) the batch perceptron and LR+GD with a large step need "
        "exactly 2 + ⌊((n−1) cos phi − 1)/2⌋ iterations.",
        _judge_formula, _hard_example, lambda t: t.assign(formula=t["n_free_formula"]),
    ),
    Claim(
        "C3b", "hard", "rate", "suboptimality of LR+GD against NLR+GD",
        "There iterations grow like n for both, and not at all for NLR+GD, at the same R²/mu².",
        _judge_growth, _hard_example, lambda t: exchange(t, "method", LR, NLR),
        "complexity with and without the factor n",
    ),
    Claim(
        "C4", "digits", "trend", "loss is an unreliable measure of progress; digits 3 and 8",
        "From gamma = 0.1 to 1000 iterations fall (rank correlation below −0.5) while mean and largest loss rise "
        "(above 0.9).",
        _judge_loss(("3 8",)), _digits_example, columns_exchanged("iterations", "mean_loss"),
        "faster with larger steps on CIFAR-10, Fashion-MNIST and EuroSAT pairs",
    ),
    Claim(
        "C4b", "digits", "trend", "the same for other pairs of classes", "C4 on the mean over all pairs of digits.",
        _judge_loss(None), _digits_example, columns_exchanged("iterations", "mean_loss"),
        "faster with larger steps on CIFAR-10, Fashion-MNIST and EuroSAT pairs",
    ),
    Claim(
        "C5", "sweep", "bound", "convergence with arbitrarily large steps",
        "LR+GD separates with every step size from 0.01 to 10⁸, within its bound; with one label contradicted, never.",
        _judge_sweep, _sweep_example, lambda t: exchange(t, "labels", "clean", "contradicted"),
    ),
    Claim(
        "C6", "imbalance", "trend", "NLR+GD against LR+GD, one hard sample among n − 1 easy ones",
        "With step sizes chosen on other problems NLR+GD needs fewer iterations in the median for n >= 100, and the "
        "ratio grows with n.",
        _judge_imbalance, _imbalance_example, lambda t: exchange(t, "method", LR, NLR),
    ),
    Claim(
        "C6b", "imbalance", "trend", "a naive reading of it: NLR+GD is always faster",
        "The same holds for few samples, n = 10.",
        _judge_few_samples, _imbalance_example, lambda t: exchange(t, "method", LR, NLR),
    ),
    Claim(
        "C6c", "digits", "trend", "experiments: NLR+GD is faster on pairs of image classes",
        "On halves of pairs of digits NLR+GD needs fewer iterations than LR+GD, each with the step size that was best "
        "on the other half.",
        _judge_real_ratio, _digits_example, lambda t: exchange(t, "method", LR, NLR),
        "NLR+GD better than LR+GD on CIFAR-10, Fashion-MNIST and EuroSAT pairs",
    ),
    Claim(
        "C7", "ties", "identity", "margins of exactly 0; derived here",
        "On lattice data floats follow the rational batch perceptron exactly; LR+GD stops between the perceptron's "
        "first step without a negative margin and its last: on (1, 0), (−1, 1) after 2, the perceptron after 4.",
        _judge_ties, _ties_example, columns_exchanged("path_error", "path_error_other_tie"),
    ),
    Claim(
        "C8", "real", "identity", "margins of real data, two solvers; separability confirmed exactly",
        "Least squares and the hard-margin quadratic programme agree on every margin, and rational arithmetic confirms "
        "which data are separable.",
        _judge_real_margins, _real_example, columns_exchanged("solver_error", "half_error"),
    ),
    Claim(
        "C8b", "real", "bound", "iteration complexities on real data",
        "On real separable data every method keeps within its bound.",
        _judge_real_bounds, _real_example, lambda t: t.assign(ratio=2 / t["ratio"]),
    ),
]  # fmt: skip
