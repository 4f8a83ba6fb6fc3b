"""From online regression to contextual bandits, by inverse-gap weighting and with neural networks.

*identities* enumerates all perturbation signs and compares with the ridge they amount to, to second order for the KL
loss. *weightings* searches random predictions and truths for violations of the three inequalities behind the regret
bounds; a bound with K/gamma must be violated there. *regression* descends online on random ReLU features, with the
perturbed objective and with hardly any ridge, and takes the regret to the best fixed parameters in hindsight. *oracle*
plays both weightings with a well-specified ridge regression. *complexity* evaluates what the regret bounds of NeuralUCB
and NeuralTS grow with, for random signs and for losses that the kernel likes. *classes* turns bundled sets of real
data into bandits (the full preset also a quadratic set) and plays all methods with all their settings in lockstep, one
batched network; the setting of each replicate is the one that is best on average over the other replicates. Rivals have
as many settings as the paper's methods. Beside them run shuffled labels, classes in order, and three strengths of
perturbation.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from simulations import Claim, Experiment, Paper, Verdict, statistics
from simulations.controls import columns_exchanged, exchange, shifted
from simulations.online.class_bandits import (
    EPSILON,
    FAST,
    KL_GREEDY,
    LINEAR,
    PLAIN,
    RIVALS,
    SHUFFLED,
    SORTED,
    SQUARE,
    UCB,
    UNIFORM,
    ClassBandits,
    simulate_classes,
    tuned,
)
from theory.fuzz import bound_ratio
from theory.online import neural_bandit as theory
from theory.online.online_regression import best_in_ball, online_gradient_descent

PAPER = Paper(
    title="Contextual Bandits with Online Neural Regression",
    authors="Rohan Deb, Yikun Ban, Shiliang Zuo, Jingrui He, Arindam Banerjee",
    venue="ICLR 2024",
    arxiv="2312.07145",
)
DEVIATIONS = [
    "The customary constant 2K/gamma of the square weighting can be 2(K − 1)/gamma, which is sharp.",
    "The perturbation of a prediction is the same for all arms: the square weighting feels it only through training, "
    "and where predictions are clipped.",
    "The ridge is that of the expectation over signs. S copies penalise S directions only, each p/S times as much; "
    "with fewer copies than parameters the averaged loss gains no strong convexity.",
    "Networks have one hidden layer, start at output 0 (mirrored units) and take one step per round; official code of "
    "NeuralUCB retrains on the whole history.",
    "In quick runs digits are averaged to 4 x 4 pixels and rounds are few; the paper's six sets are larger.",
    "LinUCB, which solves its ridge regression in every round, is a rival that the paper does not have.",
    "The paper's rivals use the square loss, NeuFastCB the KL loss: epsilon-greedy with the KL loss is added, which "
    "separates what the loss gains from what the exploration gains.",
]


# identities -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Identities:
    """Random targets, outputs and displacements with up to ``largest`` parameters."""

    instances: int = 20
    largest: int = 12
    copies: tuple[int, int] = (8, 60)


def simulate_identities(settings: Identities, seed: int, device: str) -> pd.DataFrame:
    """Enumerated expectations against closed forms: errors, gradients by differences, order of the KL remainder."""
    rng, rows = np.random.default_rng(seed), []
    for _ in range(settings.instances):
        p, m = int(rng.integers(1, settings.largest + 1)), int(rng.integers(1, 65))
        y, f, c = float(rng.random()), float(rng.normal()), float(10.0 ** rng.uniform(-2, 0))
        d, toward = rng.normal(size=p), rng.normal(size=p)

        def mean(at: np.ndarray, loss: str = "square", c: float = c, y: float = y, f: float = f, m: int = m) -> float:
            return theory.perturbed_loss_mean(y, f, at, c, m, loss)

        # A square is differentiated exactly by a central difference of any size.
        slope = (mean(d + toward) - mean(d - toward)) / 2
        sigma = 1 / (1 + np.exp(-f))
        second = [
            mean(d, "kl", c=s) - (np.logaddexp(0, f) - y * f) - sigma * (1 - sigma) * s**2 / np.sqrt(m) * (d @ d) / 2
            for s in (0.1, 0.05)
        ]
        closed = theory.perturbed_square_loss(y, f, d, c, m)
        rows.append(
            {
                "parameters": p, "error": abs(mean(d) - closed),
                "gradient_error": abs(slope - c**2 / np.sqrt(m) * d @ toward), **_copies(rng, settings.copies),
                "half_ridge": abs(mean(d) - closed + c**2 / (4 * np.sqrt(m)) * (d @ d)),
                "kl_order": np.log2(abs(second[0]) / abs(second[1])),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _copies(rng: np.random.Generator, sizes: tuple[int, int]) -> dict[str, float]:
    """Least and largest curvature of ``mean_s <d, e_s>²``, which over all signs is 1 in every direction."""
    copies, p = sizes
    few, many = (np.sort(np.linalg.eigvalsh(e.T @ e / len(e))) for e in (
        rng.choice([-1.0, 1.0], (copies, p)), rng.choice([-1.0, 1.0], (20 * p, p))
    ))  # fmt: skip
    return {"few_least": few[0], "few_largest": few[-1] * copies / p, "many_least": many[0]}


# weightings -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Weightings:
    """Random instances for every number of arms."""

    arms: tuple[int, ...] = (2, 3, 5, 8)
    instances: int = 20_000


def simulate_weightings(settings: Weightings, seed: int, device: str) -> pd.DataFrame:
    """Worst ratios of the inequalities, and how near an explicit truth comes to the sharp constant."""
    rng, rows = np.random.default_rng(seed), []
    for arms in settings.arms:
        count = settings.instances
        y = rng.random((count, arms)) * 10.0 ** rng.uniform(-2, 0, (count, 1))
        f = np.clip(y + rng.normal(size=y.shape) * 10.0 ** rng.uniform(-3, 0, (count, 1)), 0, 1)
        gamma = 10.0 ** rng.uniform(-1, 3, count)
        square = theory.igw_bound(y, f, gamma)
        fast = theory.igw_bound(y, f, np.maximum(gamma, 2 * arms), "fast")
        # Large gamma and gaps come nearest to equality; gaps below 0.3 keep the worst truth within [0, 1].
        sharp_gamma = np.full(count, 1e3)
        apart = np.concatenate([np.full((count, 1), 0.3), 0.4 + 0.15 * rng.random((count, arms - 1))], 1)
        value, worst = theory.square_igw_supremum(apart, sharp_gamma)
        probs = theory.inverse_gap_weighting(apart, sharp_gamma)
        found = (probs * worst).sum(1) - worst.min(1) - sharp_gamma / 4 * (probs * (apart - worst) ** 2).sum(1)
        p, q = rng.random(count) ** 4, rng.random(count) ** 4
        ratios = {
            "I1": bound_ratio(square.regret, square.bound),
            "I2": bound_ratio(fast.regret, fast.bound),
            "I3": bound_ratio(theory.triangular_discrimination(p, q), 2 * theory.bernoulli_kl(p, q)),
            "I1 with 2K": bound_ratio(square.regret, square.bound + 2 / gamma),
            "I1 with K": found / (arms / sharp_gamma),
            "supremum": found / (2 * (arms - 1) / sharp_gamma),
        }
        rows += [
            {"inequality": name, "arms": arms, "worst_ratio": float(r.max()), "instances": count,
             "error": float(np.abs(found - value).max() * 1e3) if name == "supremum" else 0.0}
            for name, r in ratios.items()
        ]  # fmt: skip
    return pd.DataFrame(rows)


# regression -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Regression:
    """Random ReLU features of unit vectors; targets linear in the features, with noise."""

    rounds: tuple[int, ...] = (125, 250, 500, 1000, 2000, 4000)
    features: int = 400
    dim: int = 10
    noise: float = 0.1
    radius: float = 4.0
    strengths: tuple[float, ...] = (0.1, 0.03)
    weak: float = 1e-4


def simulate_regression(settings: Regression, seed: int, device: str) -> pd.DataFrame:
    """Regret to the best fixed parameters in hindsight, and its bound: steps 1/(mu t); 1/(2 sqrt t) for little mu."""
    rng, longest = np.random.default_rng(seed), max(settings.rounds)
    x = rng.normal(size=(longest, settings.dim))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    phi = np.maximum(x @ rng.normal(size=(settings.dim, settings.features)), 0) * np.sqrt(2 / settings.features)
    truth = rng.normal(size=settings.features)
    y = 3 * phi @ truth / np.linalg.norm(truth) + settings.noise * rng.normal(size=longest)
    t = np.arange(1, longest + 1)
    plans = [("strong", mu, np.minimum(1, 1 / (mu * t))) for mu in settings.strengths]
    plans.append(("weak", settings.weak, 0.5 / np.sqrt(t)))
    rows = []
    for growth, mu, steps in plans:
        run = online_gradient_descent(phi, y, mu, settings.radius, steps)
        for rounds in settings.rounds:
            best = best_in_ball(phi[:rounds], y[:rounds], mu, settings.radius).loss
            rows.append(
                {"growth": growth, "strength": mu, "rounds": rounds, "regret": run.losses[:rounds].sum() - best,
                 "bound": run.regret_bound[rounds - 1]}
            )  # fmt: skip
    return pd.DataFrame(rows)


# oracle -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Oracle:
    """Linear losses of Dirichlet contexts with Bernoulli feedback; every horizon is a bandit of its own."""

    rounds: tuple[int, ...] = (250, 500, 1000, 2000, 4000)
    arms: int = 4
    dim: int = 5


def simulate_oracle(settings: Oracle, seed: int, device: str) -> pd.DataFrame:
    """Expected regret of both weightings with ridge regression, and of arms drawn uniformly.

    All horizons and weightings play in lockstep. With "fast", one arm of every round has no loss: L* = 0.
    """
    rng, longest, lanes = np.random.default_rng(seed), max(settings.rounds), len(settings.rounds)
    arms, dim = settings.arms, settings.dim
    contexts = rng.dirichlet(np.full(dim, 0.3), (longest, arms))
    truth = rng.random(dim)
    favoured = contexts.copy()
    favoured[np.arange(longest), rng.integers(arms, size=longest)] = np.eye(dim)[0]
    draws, noise = rng.random((2, longest))
    horizons = np.array(settings.rounds, float)
    gammas = 2 * np.sqrt(arms * horizons / np.log(horizons)), np.full(lanes, 10.0 * arms)
    # One oracle per weighting and horizon; a horizon's regret is read off when its time has come.
    inverse, moment = np.tile(np.eye(dim), (2, lanes, 1, 1)), np.zeros((2, lanes, dim))
    regret, uniform = np.zeros((longest, 2, lanes)), np.zeros((longest, 2))
    x_all = np.stack([contexts, favoured], 1)
    f_all = np.stack([contexts @ truth, favoured @ (truth * (np.arange(dim) > 0))], 1)
    excess = f_all - f_all.min(2, keepdims=True)
    for t in range(longest):
        x, f = x_all[t], f_all[t]
        estimate = (inverse @ moment[..., None])[..., 0]
        predicted = np.clip(estimate @ x.transpose(0, 2, 1), 0, 1)
        p = np.stack(
            [theory.inverse_gap_weighting(*each) for each in zip(predicted, gammas, ("square", "fast"), strict=True)]
        )
        regret[t], uniform[t] = (p @ excess[t, :, :, None])[..., 0], excess[t].mean(1)
        arm = (p.cumsum(2) < draws[t]).sum(2).clip(max=arms - 1)
        pulled = np.take_along_axis(x, arm[..., None], 1)
        loss = noise[t] < np.take_along_axis(f, arm, 1)
        direction = (inverse @ pulled[..., None])[..., 0]
        scale = 1 + (direction * pulled).sum(2)
        inverse -= direction[..., :, None] * direction[..., None, :] / scale[..., None, None]
        moment += pulled * loss[..., None]
    regret, uniform = regret.cumsum(0), uniform.cumsum(0)
    return pd.DataFrame(
        [
            {"method": method, "rounds": rounds, "regret": values[rounds - 1]}
            for k, kind in enumerate(("square", "fast"))
            for lane, rounds in enumerate(settings.rounds)
            for method, values in ((kind, regret[:, k, lane]), (f"uniform, {kind}", uniform[:, k]))
        ]
    )


# complexity -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Complexity:
    """Unit contexts, random signs, and losses in the kernel's space."""

    rounds: int = 200
    dim: int = 10
    signs: int = 200


def simulate_complexity(settings: Complexity, seed: int, device: str) -> pd.DataFrame:
    """``tr H^{-1}``, and ``h^T H^{-1} h`` of random signs and of losses linear in the context, all over T."""
    rng, T = np.random.default_rng(seed), settings.rounds
    x = rng.normal(size=(T, settings.dim))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    H = theory.relu_ntk(x)
    trace = theory.ucb_complexity(H, np.eye(T)).sum()
    signs = theory.ucb_complexity(H, rng.choice([-1.0, 1.0], (T, settings.signs)))
    linear = x @ rng.normal(size=(settings.dim, settings.signs))
    # As long as the vectors of signs.
    linear *= np.sqrt(T) / np.linalg.norm(linear, axis=0)
    likes = theory.ucb_complexity(H, linear)
    return pd.DataFrame(
        [{"rounds": T, "trace": trace / T, "random_signs": signs.max() / T, "linear": likes.max() / T}]
    )  # fmt: skip


EXPERIMENTS = [
    Experiment("identities", simulate_identities, quick=Identities(), tiny=Identities(2, 4)),
    Experiment(
        "weightings", simulate_weightings, quick=Weightings(), full=Weightings((2, 3, 5, 8, 20), 200_000),
        tiny=Weightings((2, 3), 20),
    ),
    Experiment(
        "regression", simulate_regression, quick=Regression(),
        full=Regression(rounds=(125, 250, 500, 1000, 2000, 4000, 8000, 16000)),
        tiny=Regression(rounds=(20, 40), features=10), replicates=8,
    ),
    Experiment(
        "oracle", simulate_oracle, quick=Oracle(), full=Oracle((500, 1000, 2000, 4000, 8000, 16000, 32000)),
        tiny=Oracle((20, 40)), replicates=6,
    ),
    Experiment("complexity", simulate_complexity, quick=Complexity(), tiny=Complexity(20, 5, 4)),
    Experiment(
        "classes", simulate_classes, quick=ClassBandits(),
        full=ClassBandits(
            ("wine", "breast_cancer", "iris", "digits8", "quad5"), (1500, 2000, 1500, 8000, 8000), width=64
        ),
        tiny=ClassBandits(("iris", "quad5"), (6, 4), width=4),
    ),
]  # fmt: skip


# claims -----------------------------------------------------------------------------------------


def _judge_identity(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.identity(table["error"], "largest error of the square loss plus ridge", tolerance=1e-12),
            statistics.identity(table["gradient_error"], "largest error of its gradient", tolerance=1e-11),
            statistics.at_least(table["half_ridge"].median(), "median error with half of the ridge", threshold=1e-6),
        ]
    )


def _identities_example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"replicate": k, "parameters": 3, "error": 1e-15, "gradient_error": 1e-15, "half_ridge": 0.1,
             "kl_order": 4.0, "few_least": 0.0, "few_largest": 1.2, "many_least": 0.6}
            for k in range(5)
        ]
    )  # fmt: skip


def _worst(table: pd.DataFrame, name: str, required: int, arms: int = 2) -> Verdict:
    rows = table[(table["inequality"] == name) & (table["arms"] >= arms)]
    if rows.empty:
        raise ValueError(f"no rows of {name} in the table")
    worst = rows.sort_values("worst_ratio").iloc[-1]
    return statistics.bound(
        float(worst["worst_ratio"]), f"largest ratio of the two sides of {name}",
        instances=int(rows["instances"].sum()), required=required, witness=f"K = {worst['arms']}",
    )  # fmt: skip


def _judge_inequalities(table: pd.DataFrame) -> Verdict:
    return statistics.all_of([_worst(table, name, 100_000) for name in ("I1", "I2", "I3")])


def _judge_constant(table: pd.DataFrame) -> Verdict:
    """The supremum is attained, comes within 3 % of 2 (K − 1)/gamma, and leaves K/gamma behind from three arms on."""
    attained = table[table["inequality"] == "supremum"]
    above = table[(table["inequality"] == "I1 with K") & (table["arms"] > 2)]
    return statistics.all_of(
        [
            _worst(table, "supremum", 100_000),
            statistics.identity(attained["error"], "error of the supremum, in units of 1/gamma", tolerance=1e-9),
            statistics.at_least(attained["worst_ratio"].min(), "supremum over 2 (K − 1)/gamma", threshold=0.97),
            statistics.at_least(above["worst_ratio"].min(), "supremum over K/gamma, K > 2", threshold=1.0),
        ]
    )


def _weightings_example() -> pd.DataFrame:
    ratios = {"I1": 0.99, "I2": 0.4, "I3": 0.56, "I1 with 2K": 0.8, "I1 with K": 1.3, "supremum": 0.99}
    return pd.DataFrame(
        [
            {"replicate": k, "inequality": name, "arms": arms, "worst_ratio": ratio, "instances": 20_000,
             "error": 1e-12}
            for k in range(5) for arms in (2, 3) for name, ratio in ratios.items()
        ]
    )  # fmt: skip


def _slopes(table: pd.DataFrame, by: str, value: object) -> np.ndarray:
    rows = table[table[by] == value]
    if rows.empty:
        raise ValueError(f"no rows with {by} = {value!r} in the table")
    return statistics.log_log_slopes(rows, "rounds", "regret")


def _judge_logarithm(table: pd.DataFrame) -> Verdict:
    parts = []
    for mu in sorted(table.loc[table["growth"] == "strong", "strength"].unique()):
        rows = table[(table["growth"] == "strong") & (table["strength"] == mu)]
        fits = [np.corrcoef(np.log(each["rounds"]), each["regret"])[0, 1] ** 2 for _, each in rows.groupby("replicate")]
        parts += [
            statistics.trend(_slopes(rows, "strength", mu), f"slope of log regret on log T, mu = {mu:g}", below=0.35),
            statistics.trend(fits, f"R² of regret on log T, mu = {mu:g}", above=0.98),
        ]
    return statistics.all_of(parts)


def _judge_contrast(table: pd.DataFrame) -> Verdict:
    return statistics.trend(_slopes(table, "growth", "weak"), "slope of log regret on log T, mu = 1e-4", above=0.45)


def _judge_regret_bound(table: pd.DataFrame) -> Verdict:
    ratios = table["regret"] / table["bound"]
    worst = table.assign(ratio=ratios).sort_values("ratio").iloc[-1]
    return statistics.bound(
        float(ratios.max()), "largest ratio of regret to its bound", instances=len(table), required=60,
        witness=f"{worst['growth']} growth, T = {worst['rounds']}",
    )  # fmt: skip


def _regression_example() -> pd.DataFrame:
    horizons = (125, 250, 500, 1000, 2000, 4000)
    plans = {("strong", 0.1): lambda t: 3 + np.log(t), ("weak", 1e-4): lambda t: t**0.6}
    return pd.DataFrame(
        [
            {"replicate": k, "growth": growth, "strength": mu, "rounds": t, "regret": (1 + 0.01 * k) * law(t),
             "bound": 2 * law(t)}
            for k in range(5) for (growth, mu), law in plans.items() for t in horizons
        ]
    )  # fmt: skip


def _judge_square_rate(table: pd.DataFrame) -> Verdict:
    slopes = _slopes(table, "method", "square")
    uniform = _slopes(table, "method", "uniform, square")
    return statistics.all_of(
        [
            statistics.trend(slopes, "slope of log regret on log T, square weighting", below=0.75),
            statistics.at_most(float(slopes.mean()), "its mean", threshold=0.70),
            statistics.trend(uniform, "the same of uniform arms", above=0.95),
        ]
    )


def _judge_fast_rate(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.trend(
                _slopes(table, "method", "fast"), "slope of log regret on log T, fast weighting, L* = 0", below=0.35
            ),
            statistics.trend(_slopes(table, "method", "uniform, fast"), "the same of uniform arms", above=0.95),
        ]
    )


def _oracle_example() -> pd.DataFrame:
    laws = {"square": 0.55, "fast": 0.05, "uniform, square": 1.0, "uniform, fast": 1.0}
    return pd.DataFrame(
        [
            {"replicate": k, "method": method, "rounds": t, "regret": t ** (slope + 0.002 * k)}
            for k in range(8) for method, slope in laws.items() for t in (500, 1000, 2000, 4000, 8000)
        ]
    )  # fmt: skip


def _judge_complexity(table: pd.DataFrame) -> Verdict:
    return statistics.all_of(
        [
            statistics.at_least(table["trace"].min(), "least tr H⁻¹ / T", threshold=1.0, instances=len(table)),
            statistics.at_least(table["random_signs"].min(), "least maximum of hᵀH⁻¹h / T over signs", threshold=1.0),
            statistics.at_most(table["linear"].max(), "the same for losses linear in the context", threshold=0.5),
        ]
    )


def _complexity_example() -> pd.DataFrame:
    return pd.DataFrame(
        [{"replicate": k, "rounds": 200, "trace": 2.0, "random_signs": 2.5, "linear": 0.05} for k in range(5)]
    )


def _gap(table: pd.DataFrame, data: str, first: str, second: str) -> Verdict:
    """Tuned loss per round of the first method less that of the second."""
    rows = table[table["data"] == data]
    return statistics.trend(
        statistics.paired(rows, "rate", "method", first, second),
        f"{data}: {first} less {second}, loss per round",
        below=0.0,
    )


def _best_of(table: pd.DataFrame, data: str, methods: tuple[str, ...]) -> str:
    rows = table[(table["data"] == data) & table["method"].isin(methods)]
    return str(rows.groupby("method")["rate"].mean().idxmin())


def _on_most(verdicts: list[Verdict], required: int) -> Verdict:
    """The claim for at least ``required`` of several sets: decided by the set that comes last among the needed."""
    by_support = sorted(verdicts, key=lambda v: v.p_value if v.p_value is not None else 1.0)
    decisive = by_support[min(required, len(by_support)) - 1]
    counts = ", ".join(f"{v.compared.split(':')[0]} {v.measured:+.4f} {v.outcome}" for v in verdicts)
    return Verdict(
        decisive.outcome, decisive.measured, decisive.threshold, decisive.low, decisive.high,
        f"{decisive.compared} (the {required}th of {len(verdicts)} sets: {counts})", decisive.p_value,
    )  # fmt: skip


def _most(count: int) -> int:
    return count - count // 4


def _judge_fast(table: pd.DataFrame) -> Verdict:
    chosen = tuned(table)
    sets = list(chosen["data"].unique())
    return _on_most([_gap(chosen, d, FAST, _best_of(chosen, d, RIVALS)) for d in sets], _most(len(sets)))


def _judge_either(table: pd.DataFrame) -> Verdict:
    chosen = tuned(table)
    return statistics.all_of(
        [
            _gap(chosen, d, _best_of(chosen, d, (FAST, SQUARE)), _best_of(chosen, d, RIVALS))
            for d in chosen["data"].unique()
        ]
    )


def _judge_pair(first: str, second: str):
    def judge(table: pd.DataFrame) -> Verdict:
        chosen = tuned(table)
        sets = list(chosen["data"].unique())
        return _on_most([_gap(chosen, d, first, second) for d in sets], _most(len(sets)))

    return judge


def _judge_ablation(table: pd.DataFrame) -> Verdict:
    """Loss with a perturbation over that without, less 1, averaged over sets: harm below 10 %."""
    parts = []
    for method in (SQUARE, FAST):
        rows = table[table["method"] == f"{method}, ablation"]
        for c_p in sorted(set(rows["c_p"]) - {0.0}):
            losses = rows.pivot_table(index=["replicate", "data"], columns="c_p", values="loss")
            harm = (losses[c_p] / losses[0.0] - 1).groupby("replicate").mean()
            parts.append(statistics.trend(harm, f"{method}: loss gained by c_p = {c_p:g}, as a share", below=0.1))
    return statistics.all_of(parts)


def _judge_reduction(table: pd.DataFrame) -> Verdict:
    rows = table[table["gamma"].notna()]
    ratios = rows["expected_regret"] / rows["allowed"]
    worst = rows.assign(ratio=ratios).sort_values("ratio").iloc[-1]
    return statistics.bound(
        float(ratios.max()), "largest ratio of a run's regret to what its regression errors allow", instances=len(rows),
        required=200, witness=f"{worst['method']} on {worst['data']}, gamma = {worst['gamma']:.0f}",
    )  # fmt: skip


def _judge_contexts(table: pd.DataFrame) -> Verdict:
    """NeuFastCB loses less with labels than with shuffled ones, with which it does not beat the best single arm."""
    shuffled = table[(table["order"] == SHUFFLED) & (table["method"] == FAST)]
    chosen = tuned(table)
    plain = chosen[chosen["method"] == FAST]
    parts = []
    for data in table["data"].unique():
        with_labels, without = (
            rows[rows["data"] == data].groupby("replicate").mean(numeric_only=True) for rows in (plain, shuffled)
        )
        parts += [
            statistics.trend(
                with_labels["rate"] - without["rate"],
                f"{data}: loss per round less that with shuffled labels",
                below=0.0,
            ),
            statistics.trend(
                without["rate"] - without["constant"],
                f"{data}, shuffled: loss per round less the best arm's",
                above=0.0,
            ),
        ]
    return statistics.all_of(parts)


def _judge_adversary(table: pd.DataFrame) -> Verdict:
    rows = table[table["order"] == SORTED]
    parts = []
    for data in rows["data"].unique():
        rates = rows[rows["data"] == data].pivot(index="replicate", columns="method", values="rate")
        parts += [
            statistics.trend(
                rates[m] / rates[UNIFORM], f"{data}, sorted: loss of {m} over that of uniform arms", below=0.5
            )
            for m in (SQUARE, FAST)
        ]
    return statistics.all_of(parts)


def _classes_example() -> pd.DataFrame:
    rate = {
        SQUARE: 0.11,
        FAST: 0.06,
        UCB: 0.1,
        "NeuralTS": 0.1,
        EPSILON: 0.12,
        KL_GREEDY: 0.08,
        LINEAR: 0.15,
        UNIFORM: 0.7,
    }
    rows = []
    for k in range(5):
        for data in ("wine", "breast_cancer", "digits4", "quad5"):
            for m, (method, value) in enumerate(rate.items()):
                noise = 0.001 * ((2 * k + m) % 3)
                gamma = 100.0 if method in (SQUARE, FAST) else np.nan
                shared = {"replicate": k, "data": data, "rounds": 500, "c_p": 0.0, "gamma": gamma, "constant": 0.5,
                          "expected_regret": 30.0, "allowed": 60.0, "squared_error": 1.0}  # fmt: skip
                cases = [(PLAIN, method, s, value + 0.05 * s + noise, 0.0) for s in range(2)]
                if method in (SQUARE, FAST):
                    cases += [(PLAIN, f"{method}, ablation", s, value + noise, c) for s, c in enumerate((0.0, 0.01))]
                    cases += [(SHUFFLED, method, 0, 0.55 + noise, 0.0)]
                if method in (SQUARE, FAST, UNIFORM):
                    cases += [(SORTED, method, 0, value + noise, 0.0)]
                rows += [
                    {**shared, "order": order, "method": name, "setting": s, "rate": r, "loss": 500 * r, "c_p": c}
                    for order, name, s, r, c in cases
                ]
    return pd.DataFrame(rows)


CLAIMS = [
    Claim(
        "C1a", "identities", "identity", "perturbed prediction with square loss",
        "On average over random signs, perturbing the prediction adds a ridge towards the initialisation to the square "
        "loss, and nothing else.",
        _judge_identity, _identities_example, columns_exchanged("error", "half_ridge"),
    ),
    Claim(
        "C1b", "identities", "limit", "perturbed prediction with KL loss; derived here",
        "To the KL loss it adds that ridge times the curvature, up to terms of fourth order.",
        lambda t: statistics.within(
            t.groupby("replicate")["kl_order"].median(), "order of the remainder in c_p", low=3.9, high=4.1
        ),
        _identities_example, lambda t: t.assign(kl_order=t["kl_order"] - 2),
    ),
    Claim(
        "C1c", "identities", "limit", "ours: S copies in place of the expectation",
        "Fewer copies than parameters leave directions without any penalty and multiply it by p/S in others; twenty "
        "times as many as parameters come near the expectation.",
        lambda t: statistics.all_of(
            [
                statistics.identity(t["few_least"], "least curvature with 8 copies, 60 parameters", tolerance=1e-9),
                statistics.at_least(t["few_largest"].min(), "largest curvature over p/S", threshold=1.0),
                statistics.at_least(t["many_least"].min(), "least curvature with 20 p copies", threshold=0.5),
            ]
        ),
        _identities_example, columns_exchanged("few_least", "many_least"),
    ),
    Claim(
        "C2a", "weightings", "bound", "lemmas on inverse-gap weighting",
        "Both weightings turn squared, or relative squared, errors of any predictions into regret, and relative "
        "squared errors are at most twice KL.",
        _judge_inequalities, _weightings_example, lambda t: t.assign(worst_ratio=2.6 * t["worst_ratio"]),
    ),
    Claim(
        "C2b", "weightings", "bound", "sharpened here",
        "The constant of the square weighting is 2(K − 1): attained in the limit, while K fails from three arms on.",
        _judge_constant, _weightings_example, lambda t: t.assign(worst_ratio=0.7 * t["worst_ratio"]),
    ),
    Claim(
        "C3a", "regression", "rate", "regret of perturbed online regression, in the linearised network",
        "With the ridge that perturbations bring, the regret of online regression grows like log T.",
        _judge_logarithm, _regression_example, lambda t: exchange(t, "growth", "strong", "weak"),
    ),
    Claim(
        "C3b", "regression", "rate", "contrast: regret without strong growth",
        "With hardly any ridge and steps 1/(2 sqrt t) the same regression's regret grows like a power near sqrt T.",
        _judge_contrast, _regression_example, lambda t: exchange(t, "growth", "strong", "weak"),
    ),
    Claim(
        "C3c", "regression", "bound", "regret bound of online gradient descent",
        "The regret stays below its bound from step sizes and gradients.",
        _judge_regret_bound, _regression_example, columns_exchanged("regret", "bound"),
    ),
    Claim(
        "C4a", "oracle", "rate", "regret of the square weighting",
        "With regression regret log T the square weighting's regret grows slower than T^0.75, near sqrt T.",
        _judge_square_rate, _oracle_example, lambda t: exchange(t, "method", "square", "uniform, square"),
    ),
    Claim(
        "C4b", "oracle", "rate", "first-order regret of the fast weighting",
        "Where the best policy has no loss, the fast weighting's regret hardly grows.",
        _judge_fast_rate, _oracle_example, lambda t: exchange(t, "method", "fast", "uniform, fast"),
    ),
    Claim(
        "C5a", "classes", "trend", "experiments",
        "NeuFastCB loses less than the best of NeuralUCB, NeuralTS and epsilon-greedy on three of four sets.",
        _judge_fast, _classes_example, lambda t: exchange(t, "method", FAST, UCB),
        paper_value="lowest cumulative regret on six OpenML sets",
    ),
    Claim(
        "C5b", "classes", "trend", "experiments",
        "The better of NeuFastCB and NeuSquareCB loses less than the best of the three on every set.",
        _judge_either, _classes_example, lambda t: exchange(t, "method", FAST, UCB),
    ),
    Claim(
        "C5c", "classes", "trend", "ours: what the exploration gains",
        "NeuFastCB loses less than epsilon-greedy with the same KL loss on three of four sets.",
        _judge_pair(FAST, KL_GREEDY), _classes_example, lambda t: exchange(t, "method", FAST, KL_GREEDY),
    ),
    Claim(
        "C5d", "classes", "trend", "ours: what the loss gains",
        "Epsilon-greedy loses less with the KL than with the square loss on three of four sets.",
        _judge_pair(KL_GREEDY, EPSILON), _classes_example, lambda t: exchange(t, "method", EPSILON, KL_GREEDY),
    ),
    Claim(
        "C5e", "classes", "trend", "ours: what the network gains",
        "NeuFastCB loses less than LinUCB with weights per arm on three of four sets.",
        _judge_pair(FAST, LINEAR), _classes_example, lambda t: exchange(t, "method", FAST, LINEAR),
    ),
    Claim(
        "C5f", "classes", "trend", "negative condition",
        "What NeuFastCB gains it gains from contexts: with shuffled labels it does not beat the best single arm.",
        _judge_contexts, _classes_example, lambda t: exchange(t, "order", PLAIN, SHUFFLED),
    ),
    Claim(
        "C6", "classes", "trend", "ablation of the perturbation; margin ours",
        "Perturbations of strength 0.01 and 0.1 do no harm: the loss grows by less than a tenth.",
        _judge_ablation, _classes_example, lambda t: t.assign(loss=t["loss"] * (1 + (t["c_p"] > 0))),
    ),
    Claim(
        "C7", "complexity", "bound", "remark on the bounds of NeuralUCB and NeuralTS",
        "An adversary makes their regret bounds at least T: hᵀH⁻¹h >= T for some signs, as tr H⁻¹ >= T.",
        _judge_complexity, _complexity_example, columns_exchanged("random_signs", "linear"),
    ),
    Claim(
        "C8", "classes", "bound", "reduction of bandits to regression",
        "In every run of a network the regret stays below what its own regression errors allow.",
        _judge_reduction, _classes_example, columns_exchanged("expected_regret", "allowed"),
    ),
    Claim(
        "C9", "classes", "trend", "contexts chosen by an adversary; our order",
        "With one class after the other both algorithms lose less than half of what uniform arms lose.",
        _judge_adversary, _classes_example, shifted("rate", "method", (SQUARE, FAST), 1.0),
    ),
]  # fmt: skip
