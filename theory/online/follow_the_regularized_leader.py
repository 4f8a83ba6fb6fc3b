"""Follow the regularised leader over the simplex: entropy and the log-barrier, and how low losses may go.

For losses c_1, …, c_T the learner plays

    p_t = argmin_p  eta <p, c_1 + … + c_{t−1}> + Psi(p),
    entropy      Psi = sum p ln p       p = softmax(−x)                             x = eta (c_1 + … + c_{t−1})
    log-barrier  Psi = sum ln(1/p_a)    p_a = 1/(x_a + lambda),  sum p = 1.

**Any losses (refined log-barrier lemma).** For ``y = (1 − 1/T) e_a + 1/(A T)`` and all real c_t, bounded or not,

    sum_t <p_t − y, c_t>  <=  (A − 1) ln T / eta + (eta/2) sum_t sum_a p_{t,a} c_{t,a}².

Proof. The regret is at most ``(Psi(y) − Psi(p_1))/eta`` plus, for each t, the largest value over q of
``<p_t − q, c_t> − D(q, p_t)/eta``; the first is ``((A−1) ln T − ln(A − (A−1)/T))/eta``. The second is a sum over
coordinates of ``(1 − u) w − (u − 1 − ln u)``, divided by eta, with u = q/p in (0, 1/p] and w = p eta c.
For w >= 0 its maximum is ``w − ln(1 + w) <= w²/2``. For w < 0 it is not above 0 unless u > 1, and there
``u − 1 − ln u >= (u − 1)²/(2u)`` leaves ``(u − 1)|w| − (u − 1)²/(2u) <= u w²/2 <= w²/(2p)``. Both are at most
``p (eta c)²/2``. The constant 1/2 is the best: at p = 1 and w -> 0 nothing is lost.

**Entropy is different**: ``ln A/eta + eta sum p c²`` holds where ``eta c >= −1``, and fails without it, by any factor
(``entropy_counterexample``): a single loss of −19 on an arm that entropy all but dropped.

Source: Dai, Luo, Wei and Zimmert (2023), *Refined Regret for Adversarial MDPs with Linear Function Approximation*, for
the lemma without a lower bound on the losses; the constants 1/2 (they can be 2 with a cruder last step) and A − 1 and
the proofs are derived here.
"""

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from theory.certificates import Certificate, certify_nonnegative, certify_weighted_derivative
from theory.fuzz import Bound
from theory.validation import finite_array, one_of, positive, same_shape, whole_number

__all__ = [
    "certified_steps",
    "comparator_regret",
    "entropy_bound",
    "entropy_counterexample",
    "ftrl_entropy",
    "ftrl_log_barrier",
    "ftrl_plays",
    "log_barrier_bound",
]

Table = Float[np.ndarray, "*batch rounds actions"]


def ftrl_log_barrier(x: Float[np.ndarray, "*batch actions"]) -> Float[np.ndarray, "*batch actions"]:
    """``argmin_p <p, x> + sum ln(1/p_a)`` over the simplex: ``p_a = 1/(x_a − min x + lambda)``, lambda in [1, A].

    ``1/sum_a 1/(x_a + lambda) − 1`` is concave and increasing in lambda, so Newton's method from lambda = 1 rises to
    its zero, at once where all x are equal or one is far below the others. Raises ``ValueError`` for ``x`` that is
    empty or not finite.

    >>> ftrl_log_barrier(np.array([0.0, 0.0, 1e9])).round(6).tolist()
    [0.5, 0.5, 0.0]
    """
    x = _vectors("x", x)
    return log_barrier_plays(x)[0]


def ftrl_entropy(x: Float[np.ndarray, "*batch actions"]) -> Float[np.ndarray, "*batch actions"]:
    """``argmin_p <p, x> + sum p ln p`` over the simplex: ``softmax(−x)``. Raises ``ValueError`` as the log-barrier.

    >>> ftrl_entropy(np.array([0.0, np.log(3.0)])).round(6).tolist()
    [0.75, 0.25]
    """
    return entropy_plays(_vectors("x", x))


def ftrl_plays(c: Table, eta: float | Float[np.ndarray, "..."], regularizer: str) -> Table:
    """What the learner plays in each round against the losses ``c``: p_1, …, p_T along the axis before the last.

    ``regularizer`` is "entropy" or "log_barrier"; ``eta`` is a number or an array that fits the leading axes of ``c``.
    Raises ``ValueError`` for losses that are not finite, an eta not above 0 or an unknown regulariser.

    >>> ftrl_plays(np.array([[0.0, 1.0], [0.0, 0.0]]), 1.0, "entropy").round(3).tolist()
    [[0.5, 0.5], [0.731, 0.269]]
    """
    c, eta = _sequence(c, eta)
    one_of("regularizer", regularizer, ("entropy", "log_barrier"))
    before = np.concatenate([np.zeros_like(c[..., :1, :]), np.cumsum(c, axis=-2)[..., :-1, :]], axis=-2)
    x = eta[..., None, None] * before
    return ftrl_entropy(x) if regularizer == "entropy" else ftrl_log_barrier(x)


def comparator_regret(p: Table, c: Table) -> Float[np.ndarray, "*batch"]:
    """``max_a sum_t <p_t − y_a, c_t>`` with the comparators ``y_a = (1 − 1/T) e_a + 1/(A T)``.

    Raises ``ValueError`` for plays or losses that are not finite or whose shapes differ.

    >>> float(comparator_regret(np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([[0.0, 1.0], [0.0, 1.0]])))
    0.5
    """
    p, c = _tables(p, c)
    T, A = c.shape[-2:]
    total = c.sum(axis=-2)
    against = (1 - 1 / T) * total + total.sum(axis=-1, keepdims=True) / (A * T)
    return np.asarray((p * c).sum(axis=(-2, -1)) - against.min(axis=-1))


def log_barrier_bound(
    p: Table, c: Table, eta: float | Float[np.ndarray, "..."], *, stability: float = 0.5
) -> Float[np.ndarray, "*batch"]:
    """``(A − 1) ln T/eta + stability · eta sum_t sum_a p c²``: holds for all losses with ``stability >= 1/2``.

    Raises ``ValueError`` for plays or losses that are not finite or whose shapes differ, or an eta or a stability not
    above 0.

    >>> p, c = np.full((3, 2), 0.5), np.full((3, 2), -1.0)
    >>> round(float(log_barrier_bound(p, c, 0.1)), 4)
    11.1361
    """
    p, c = _tables(p, c)
    c, eta = _sequence(c, eta)
    T, A = c.shape[-2:]
    positive("stability", stability)
    return np.asarray((A - 1) * math.log(T) / eta + stability * eta * (p * c**2).sum(axis=(-2, -1)))


def entropy_bound(p: Table, c: Table, eta: float | Float[np.ndarray, "..."]) -> Float[np.ndarray, "*batch"]:
    """``ln A/eta + eta sum_t sum_a p c²``: holds where ``eta c >= −1``. Raises ``ValueError`` as the log-barrier's.

    >>> p, c = np.full((3, 2), 0.5), np.full((3, 2), -1.0)
    >>> round(float(entropy_bound(p, c, 0.1)), 4)
    7.2315
    """
    p, c = _tables(p, c)
    c, eta = _sequence(c, eta)
    return np.asarray(math.log(c.shape[-1]) / eta + eta * (p * c**2).sum(axis=(-2, -1)))


def entropy_counterexample(rounds: int = 1380, loss: float = 0.01, surprise: float = 19.0) -> Table:
    """Losses of the second of two arms: ``loss`` in each of ``rounds`` rounds, then ``−surprise``; the first has none.

    With eta = 1 and the numbers given the second arm is left with a chance of 1e−6, which makes ``p c²`` tiny, and
    the surprise then beats everything that was lost before. Raises ``ValueError`` for fewer than one round, or losses
    not above 0.

    >>> c = entropy_counterexample()
    >>> p = ftrl_plays(c, 1.0, "entropy")
    >>> round(float(comparator_regret(p, c)), 2), round(float(entropy_bound(p, c, 1.0)), 2)
    (5.89, 0.7)
    """
    rounds = whole_number("rounds", rounds, 1)
    c = np.zeros((rounds + 1, 2))
    c[:-1, 1], c[-1, 1] = positive("loss", loss), -positive("surprise", surprise)
    return c


def certified_steps() -> dict[str, Certificate]:
    """The two scalar inequalities of the proof above, each with a machine-checked proof.

    With ``u = 1/(1 − s)``, ``u − 1 − ln u >= (u − 1)²/(2u)`` reads ``s + (1 − s) ln(1 − s) >= s²/2``; its derivative is
    ``−ln(1 − s) − s``. Shown for s up to 1 − 2⁻¹⁰ and w up to 1024. Needs sympy and python-flint.

    >>> all(certificate.proved for certificate in certified_steps().values())
    True
    """
    import sympy

    s, w = sympy.symbols("s w")
    return {
        "w − ln(1 + w) <= w²/2 for w >= 0": certify_weighted_derivative(
            w**2 / 2 - w + sympy.log(1 + w), w, 0, 1, {w: (0, 1024)}
        ),
        "u − 1 − ln u >= (u − 1)²/(2u) for u >= 1": certify_weighted_derivative(
            s + (1 - s) * sympy.log(1 - s) - s**2 / 2, s, 0, 1, {s: (0, 1 - sympy.Rational(1, 1024))}
        ),
        "its derivative, −ln(1 − s) >= s": certify_weighted_derivative(
            -sympy.log(1 - s) - s, s, 0, 1 - s, {s: (0, 1 - sympy.Rational(1, 1024))}
        ),
        "(u − 1) v − (u − 1)²/(2u) <= u v²/2, times 2u": certify_nonnegative(
            (w * s - (w - 1)) ** 2, (s, w), ((0, 1024), (1, 1024))
        ),
    }


def random_sequences(
    rng: np.random.Generator, count: int, rounds: int, actions: int, lowest: float = -np.inf
) -> tuple[np.ndarray, np.ndarray]:
    """Losses and step sizes: entries up to 10⁴, half of the sequences without a positive entry, eta from 10⁻³ to 10.

    Entries are heavy-tailed within a sequence, many are 0, and ``eta c`` is not below ``lowest``.
    """
    eta = 10.0 ** rng.uniform(-3, 1, count)
    scale = 10.0 ** rng.uniform(-3, 4, (count, 1, 1))
    c = scale * rng.uniform(-1, 1, (count, rounds, actions)) ** rng.choice([1, 3, 9], (count, 1, 1))
    c *= rng.random((count, rounds, actions)) < rng.choice([0.1, 0.5, 1.0], (count, 1, 1))
    # A sudden negative loss after quiet rounds is what breaks entropy.
    quiet = (rng.random((count, 1, 1)) < 0.3) & (np.arange(rounds)[:, None] < rounds - 1)
    c = np.where(quiet, np.abs(c) * 10.0 ** rng.uniform(-4, 0, (count, 1, 1)), c)
    negative = rng.random(count) < 0.5
    c[negative] = -np.abs(c[negative])
    return np.maximum(c, lowest / eta[:, None, None]), eta


def log_barrier_plays(x: np.ndarray, start: np.ndarray | float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Plays and lambda, unchecked; ``start`` is a guess of lambda, from which Newton's first step leads below it."""
    x = x - x.min(axis=-1, keepdims=True)
    ones = np.ones((x.shape[-1], 1))
    multiplier = np.broadcast_to(start, (*x.shape[:-1], 1))
    for _ in range(_NEWTON_STEPS):
        p = 1 / (x + multiplier)
        total = p @ ones
        excess = total - 1
        multiplier = np.maximum(multiplier + total * excess / ((p * p) @ ones), 1.0)
        if np.abs(excess).max() < _SUM_ERROR:
            break
    else:
        raise ArithmeticError(f"the log-barrier's normaliser did not converge: sums are off by {np.abs(excess).max()}")
    # The last step squared the error: what is left is rounding.
    p = 1 / (x + multiplier)
    return p / (p @ ones), multiplier


def entropy_plays(x: np.ndarray) -> np.ndarray:
    """Plays, unchecked."""
    p = np.exp(x.min(axis=-1, keepdims=True) - x)
    return p / (p @ np.ones((x.shape[-1], 1)))


_NEWTON_STEPS = 60
_SUM_ERROR = 1e-7


def _vectors(name: str, x: np.ndarray) -> np.ndarray:
    array = finite_array(name, x)
    if array.ndim == 0:
        raise ValueError(f"{name} must have shape (..., actions), got a number")
    return array


def _sequence(c: np.ndarray, eta: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    losses, steps = finite_array("c", c), finite_array("eta", eta)
    if losses.ndim < 2:
        raise ValueError(f"c must have shape (..., rounds, actions), got {losses.shape}")
    if steps.min() <= 0 or steps.shape not in ((), losses.shape[:-2]):
        raise ValueError(f"eta must be above 0, a number or of shape {losses.shape[:-2]}, got {eta!r:.60}")
    return losses, steps


def _tables(p: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p, c = finite_array("p", p), finite_array("c", c)
    same_shape(("p", "c"), (p, c))
    if p.ndim < 2:
        raise ValueError(f"p and c must have shape (..., rounds, actions), got {p.shape}")
    return p, c


def _fuzzed(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    c, eta = random_sequences(rng, count, 6, 3)
    return {"c": c, "eta": eta}


def _valid_for_entropy(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    c, eta = random_sequences(rng, count, 6, 3, lowest=-1.0)
    return {"scaled": eta[:, None, None] * c}


def _regret_of(c: np.ndarray, eta: np.ndarray, regularizer: str) -> np.ndarray:
    return comparator_regret(ftrl_plays(c, eta, regularizer), c)


def _coordinates(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    p = 10.0 ** -rng.uniform(0, 6, count)
    return {"p": p, "share": rng.random(count), "w": rng.choice([-1, 1], count) * 10.0 ** rng.uniform(-4, 4, count)}


def _coordinate_gain(p: np.ndarray, share: np.ndarray, w: np.ndarray) -> np.ndarray:
    u = share / p
    return (1 - u) * w - (u - 1 - np.log(u))


def _bounds() -> Iterator[Bound]:
    source = "refined log-barrier lemma; constants derived here"
    yield Bound(
        "regret of the log-barrier under any losses, 6 rounds, 3 arms", source,
        lambda c, eta: _regret_of(c, eta, "log_barrier"),
        lambda c, eta: log_barrier_bound(ftrl_plays(c, eta, "log_barrier"), c, eta), _fuzzed,
        "scalar steps certified",
    )  # fmt: skip
    yield Bound(
        "gain of one coordinate, (1 − u) w − (u − 1 − ln u) <= w²/(2p) for u <= 1/p", source,
        _coordinate_gain, lambda p, share, w: w**2 / (2 * p), _coordinates, "scalar steps certified",
    )  # fmt: skip
    yield Bound(
        "regret of entropy where eta c >= −1, 6 rounds, 3 arms", "exponential weights, e^−x <= 1 − x + x² for x >= −1",
        lambda scaled: comparator_regret(ftrl_plays(scaled, 1.0, "entropy"), scaled),
        lambda scaled: entropy_bound(ftrl_plays(scaled, 1.0, "entropy"), scaled, 1.0), _valid_for_entropy,
    )  # fmt: skip


BOUNDS = list(_bounds())
