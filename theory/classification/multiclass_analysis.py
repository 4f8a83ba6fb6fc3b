"""Analysis of a multiclass loss on score vectors: is it calibrated, and what does a wrong decision cost?

For a loss l(s, y) of scores s in R^n, C(p, s) = sum_y p_y l(s, y) and C*(p) = inf_s C(p, s), the calibration function

    delta(beta) = inf { C(p, s) − C*(p) :  label j attains max s (any tie-break),  max p − p_j >= beta }

is the least surrogate regret that a 0-1 regret of beta costs. A loss with delta > 0 on (0, 1] is calibrated, uniformly
in p; the lower convex envelope of delta bounds risks. ``raw`` below is the infimum at max p − p_j equal to beta.

    analysis = analyse_multiclass_loss(comp_sum_form(np.log1p), 3)
    analysis.calibrated, analysis.raw, analysis.witness(0.4)
    analyse_multiclass_loss(sum_form(lambda z: np.maximum(0, 1 - z)), 3).counterexample

How: for every beta, p runs over max p on a grid and the remaining mass on some labels equally or greedily. For all p
together a table of scores gives starts for C* and for the wrong decisions, which are refined by a pattern search in all
directions {−1, 0, 1}^m (the diagonal ones slide along ties) with a Newton step of the quadratic through the same
points. Then max p is refined. It is a search: delta may be smaller than ``raw``, never larger (up to rounding), and
``status`` is *numerical*. A counterexample needs no search to be believed; ``prove`` makes it exact where the loss is
piecewise linear with known pieces.

Source: Tewari and Bartlett (2007), *On the Consistency of Multiclass Classification Methods*, for calibration; the
uniform version with its bound, and the method, are derived here.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from theory.classification.calibration_curve import (
    Counterexample,
    inverse_of_envelope,
    local_exponent,
    lower_convex_envelope,
    rising_zeros,
    running_minimum,
)
from theory.classification.line_refinement import refined_minima, window
from theory.validation import finite_array, in_range, one_of, probabilities, whole_number

__all__ = ["MulticlassAnalysis", "analyse_multiclass_loss"]

Curve = Float[np.ndarray, " points"]
Vector = Float[np.ndarray, " classes"]

DEFAULT_BETAS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
_REACH = 40.0  # of the table of scores
_LIMIT = 1e6  # no score beyond
_HUGE = 1e300
_NODES = 13  # of max p, per beta
_CANDIDATES = 4  # p per beta that are examined exactly
_SEEDS = 4  # starts from the table, where it counts
_ROUNDS = 100
_FEWER_ROUNDS = 40  # while max p is refined: what that finds is searched again
_ROUGH = 1e-5  # last step of the pattern search, relative
_FINEST = 1e-11
_EXHAUSTIVE = 5  # labels up to which the table and the directions are complete
_PERMUTATIONS = 60


@dataclass(frozen=True)
class MulticlassAnalysis:
    """What `analyse_multiclass_loss` found; ``raw``, ``envelope``, ``monotone`` on ``beta``, which starts with 0.

    ``status`` is *numerical* (calibrated, by search), *counterexample*, *unbounded below*, or *proved* (after
    ``prove``). ``distributions`` and ``scores`` attain ``raw``, one row per beta.
    """

    beta: Curve
    raw: Curve
    envelope: Curve
    monotone: Curve
    status: str
    counterexample: Counterexample | None
    notes: tuple[str, ...]
    local_exponent: float
    classes: int
    bound: float
    distributions: Float[np.ndarray, "points classes"]
    scores: Float[np.ndarray, "points classes"]
    proof: Any = None
    loss: Callable[..., Any] = dataclasses.field(repr=False, compare=False, default=np.asarray)
    symmetric: bool = True

    @property
    def calibrated(self) -> bool | None:
        """True, False, or None where the loss is unbounded below."""
        return {"numerical": True, "proved": True, "counterexample": False}.get(self.status)

    def inverse(self, t: Float[np.ndarray, "..."] | float) -> Any:
        """The largest 0-1 excess that a surrogate excess of ``t`` allows, by the envelope on ``beta``; 1 above it.

        Between the nodes the envelope is a chord, which lies above the exact one: take more ``betas`` for more digits.
        Raises ``ValueError`` for negative t, or if there is no transform.
        """
        if self.status == "unbounded below":
            raise ValueError("t has no inverse: the loss is unbounded below and has no transform")
        if not (self.envelope > 0).any():
            return np.ones_like(finite_array("t", t))[()]
        try:
            return inverse_of_envelope(t, self.beta, self.envelope, self.raw)
        except ValueError as error:
            raise ValueError(str(error).replace("value", "t", 1)) from None

    def witness(self, beta: float) -> tuple[Vector, Vector]:
        """``(p, scores)`` that attain ``raw`` at beta, searched afresh for a beta that is not on the grid.

        Raises ``ValueError`` for beta outside [0, 1].
        """
        beta = in_range("beta", beta, 0.0, 1.0)
        known = np.flatnonzero(self.beta == beta)
        if known.size:
            return self.distributions[known[0]].copy(), self.scores[known[0]].copy()
        found = _searched(self.loss, self.classes, self.bound, np.array([beta]), self.symmetric)
        return found.p[0], found.scores[0]

    def regret(self, p: Vector, scores: Vector) -> float:
        """``C(p, scores) − C*(p)``. Raises ``ValueError`` for p that is no distribution over the labels."""
        law, s = probabilities("p", p, 1), finite_array("scores", scores, 1)
        if len(law) != self.classes or len(s) != self.classes:
            raise ValueError(f"p and scores must have {self.classes} entries, got {len(law)} and {len(s)}")
        search = _ScoreSearch(self.loss, self.classes, self.bound)
        return float(law @ search.losses(s[None])[0] - search.minimum(law))

    def compare(self, closed_form: Callable[[np.ndarray], Any]) -> float:
        """The largest distance of ``raw`` from a closed form of delta on ``beta``."""
        return float(np.abs(self.raw - np.asarray(closed_form(self.beta))).max())

    def prove(self) -> "MulticlassAnalysis":
        """This analysis with its counterexample made exact: rational p and scores, and the certificate that the scores
        minimise C(p, .). Needs a form of a convex piecewise linear sympy expression.

        Raises ``ValueError`` if the loss is another one, or if there is no counterexample.
        """
        from theory.classification.calibration_proofs import prove_counterexample

        if self.counterexample is None:
            raise ValueError("there must be a counterexample to prove: the analysis has none")
        terms = getattr(self.loss, "exact_terms", lambda _: None)(self.classes)
        if terms is None:
            raise ValueError("loss must be a form of a convex piecewise linear sympy expression for an exact proof")
        proof = prove_counterexample(terms, self.counterexample.p, self.counterexample.scores)
        if proof is None:
            return dataclasses.replace(self, notes=(*self.notes, "no exact version of the counterexample was found"))
        exact = Counterexample(
            tuple(float(x) for x in proof.p), tuple(float(x) for x in proof.scores), 0.0, "exact, see proof"
        )
        return dataclasses.replace(self, proof=proof, counterexample=exact)

    def sentence(self) -> str:
        """The answer in one sentence."""
        domain = f", {self.classes} labels" + ("" if np.isinf(self.bound) else f", scores in ±{self.bound:g}")
        if self.status == "unbounded below":
            return f"unbounded below{domain}: the loss has no transform"
        if self.counterexample is not None:
            p = ", ".join(f"{x:.4g}" for x in self.counterexample.p)
            s = ", ".join(f"{x:.4g}" for x in self.counterexample.scores)
            regret = max(self.counterexample.regret, 0.0)
            return f"not calibrated{domain}: at p = ({p}) the scores ({s}) have regret {regret:.1g} and a wrong argmax"
        return (
            f"calibrated{domain}, delta ~ beta^{self.local_exponent:.3g}, delta(1) = {self.raw[-1]:.6g}; {self.status}"
        )


def analyse_multiclass_loss(
    loss: Callable[..., Any],
    classes: int,
    *,
    bound: float = float("inf"),
    betas: tuple[float, ...] | Float[np.ndarray, " points"] = DEFAULT_BETAS,
    constraint: str | None = None,
    symmetric: bool | str = "check",
) -> MulticlassAnalysis:
    """Calibration function, witnesses and counterexample of a loss of score vectors.

    ``loss`` maps scores (..., classes) to the losses of every label, (..., classes). ``bound`` limits every |score|.
    ``constraint="sum-zero"`` centres the scores first. A permutation-equivariant loss (``symmetric="check"`` tests it
    on random scores) needs one order of the labels only; for others all orders are searched, or 60 at random above
    five labels. Above five labels the starts are scores of two or three levels: then a note says so.

    Raises ``ValueError`` for a loss of the wrong shape, not real, or NaN at scores within ±30; for fewer than two
    classes, ``bound`` not above 0, betas not increasing in (0, 1], or a bound together with the constraint: it would
    bound the raw scores, not the centred ones.

    >>> hinge = lambda z: np.maximum(0, 1 - z)
    >>> from theory.classification.multiclass_forms import sum_form
    >>> analyse_multiclass_loss(sum_form(hinge), 3, betas=(0.1, 0.4)).calibrated
    False
    """
    if not callable(loss):
        raise ValueError(f"loss must be a callable, got {loss!r:.60}")
    n = whole_number("classes", classes, 2)
    limit = _checked_bound(bound)
    grid = finite_array("betas", np.asarray(betas), 1)
    if grid.min() <= 0 or grid.max() > 1 or (np.diff(grid) <= 0).any():
        raise ValueError(f"betas must increase in (0, 1], got {grid!r:.60}")
    if not isinstance(symmetric, bool | np.bool_):
        one_of("symmetric", symmetric, ("check",))
    notes: list[str] = []
    chosen = loss
    if constraint is not None:
        one_of("constraint", constraint, ("sum-zero",))
        if np.isfinite(limit):
            raise ValueError("bound must be infinite with the constraint sum-zero: it would bound the scores before "
                             "they are centred, while the loss sees the centred ones")  # fmt: skip
        chosen = _Centred(loss)
    _check_loss(chosen, n, limit)
    equivariant = _is_equivariant(chosen, n, limit) if symmetric == "check" else bool(symmetric)
    if not equivariant:
        notes.append("the loss is not the same for all labels: every order of the labels was searched")
    if n > _EXHAUSTIVE:
        notes.append("a search from scores of two and three levels, not exhaustive: delta may be smaller")
    found = _searched(chosen, n, limit, grid, equivariant)
    beta, raw = np.concatenate([[0.0], grid]), np.concatenate([[0.0], found.raw])
    p, scores = np.vstack([found.p[:1], found.p]), np.vstack([found.scores[:1], found.scores])
    # At beta = 0 every decision is right, and costs nothing.
    p[0], scores[0] = 1 / n, 0.0
    if found.unbounded:
        nothing = np.full_like(raw, np.nan)
        notes.append("the conditional risk falls without end as the scores grow")
        return MulticlassAnalysis(
            beta, nothing, nothing, nothing, "unbounded below", None, tuple(notes), float("nan"), n, limit, p, scores,
            None, chosen, equivariant,
        )  # fmt: skip
    if np.isinf(limit) and np.abs(scores - scores.max(axis=1, keepdims=True)).max() > 30:
        notes.append("the infimum is approached at infinity for some p")
    counterexample = None
    failing = np.flatnonzero(rising_zeros(raw, beta, found.scale))
    if failing.size:
        worst = failing[len(failing) // 2]
        counterexample = Counterexample(tuple(p[worst].tolist()), tuple(scores[worst].tolist()), float(raw[worst]))
    exponent = local_exponent(beta, raw) if len(beta) > 2 else float("nan")
    return MulticlassAnalysis(
        beta, raw, lower_convex_envelope(beta, raw), running_minimum(raw),
        "counterexample" if counterexample else "numerical", counterexample, tuple(notes), exponent, n, limit, p,
        scores, None, chosen, equivariant,
    )  # fmt: skip


@dataclass(frozen=True)
class _Centred:
    """A loss of the scores minus their mean."""

    loss: Callable[..., Any]

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        return self.loss(scores - scores.mean(axis=-1, keepdims=True))

    def exact_terms(self, classes: int) -> Any:
        terms = getattr(self.loss, "exact_terms", lambda _: None)(classes)
        # Centring changes nothing in a form that is centred, or that sees differences only.
        shifted = terms is not None and all(sum(a) == 0 for label in terms for term in label for a, _ in term)
        return terms if shifted else None


@dataclass(frozen=True)
class _Relabelled:
    """The loss with its labels in another order."""

    loss: Callable[..., Any]
    order: tuple[int, ...]

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        moved = np.empty_like(scores)
        moved[..., list(self.order)] = scores
        return np.asarray(self.loss(moved))[..., list(self.order)]

    def restored(self, values: np.ndarray) -> np.ndarray:
        back = np.empty_like(values)
        back[..., list(self.order)] = values
        return back


@dataclass(frozen=True)
class _Found:
    raw: np.ndarray
    p: np.ndarray
    scores: np.ndarray
    scale: float
    unbounded: bool


@dataclass(frozen=True)
class _Regrets:
    """Per p the least regret of a wrong decision, C*, and the coordinates of both minima."""

    regret: np.ndarray
    smallest: np.ndarray
    free: np.ndarray
    wrong: np.ndarray


def _searched(loss: Callable[..., Any], n: int, bound: float, betas: np.ndarray, symmetric: bool) -> _Found:
    if symmetric:
        return _least_regrets(_ScoreSearch(loss, n, bound), betas)
    best: _Found | None = None
    for order in _orders(n):
        relabelled = _Relabelled(loss, order)
        found = _least_regrets(_ScoreSearch(relabelled, n, bound), betas)
        p, scores = relabelled.restored(found.p), relabelled.restored(found.scores)
        if best is None:
            best = dataclasses.replace(found, p=p, scores=scores)
            continue
        better = found.raw < best.raw
        best = _Found(
            np.where(better, found.raw, best.raw), np.where(better[:, None], p, best.p),
            np.where(better[:, None], scores, best.scores), best.scale, best.unbounded or found.unbounded,
        )  # fmt: skip
    assert best is not None
    return best


def _orders(n: int) -> Iterator[tuple[int, ...]]:
    if n <= _EXHAUSTIVE:
        yield from itertools.permutations(range(n))
        return
    rng = np.random.default_rng(0)
    for _ in range(_PERMUTATIONS):
        yield tuple(int(k) for k in rng.permutation(n))


def _least_regrets(search: "_ScoreSearch", betas: np.ndarray) -> _Found:
    """The least regret per beta over all p of the family, refined in max p. Label 0 is best, label 1 predicted."""
    n = search.n
    owner, top, shape, p = _family(betas, n)
    rough = search.regrets(p, finest=_ROUGH)
    # Exact minima for the p that may be best, and for the ends of the range, where it often is.
    order = np.lexsort((rough.regret, owner))
    rank = np.arange(len(order)) - np.searchsorted(owner[order], owner[order])
    ends = [np.isclose(top, end[owner], rtol=0, atol=1e-12) for end in _top_range(betas, n)]
    chosen = np.union1d(order[rank < _CANDIDATES], np.flatnonzero(ends[0] | ends[1]))
    exact = search.regrets(p[chosen], starts=(rough.free[chosen], rough.wrong[chosen]))
    unbounded = bool(exact.smallest.min() < -1e3 * search.scale and np.abs(exact.free).max() >= _LIMIT / 10)
    regret_of, free_of, wrong_of = exact.regret.copy(), exact.free.copy(), exact.wrong.copy()
    while True:
        order = np.lexsort((regret_of, owner[chosen]))
        first = order[np.unique(owner[chosen][order], return_index=True)[1]]
        # A C* that is too high makes the regret too small, and its p the winner: winners are searched from more starts.
        again = search.regrets(p[chosen[first]], starts=(free_of[first], wrong_of[first]), seeds=_SEEDS)
        risen = again.regret > regret_of[first] + 1e-9 * search.scale
        regret_of[first], free_of[first], wrong_of[first] = again.regret, again.free, again.wrong
        if not risen.any():
            break
    best = chosen[first]
    raw, place, form = regret_of[first].copy(), top[best].copy(), shape[best]
    free, wrong = free_of[first], wrong_of[first]
    open_ = np.flatnonzero(raw > 1e-12 * search.scale)
    if n > 2 and open_.size and not unbounded:

        def regret(rows: np.ndarray, trial: np.ndarray) -> np.ndarray:
            index = np.repeat(open_[rows], trial.shape[1])
            laws = _laws(betas[index], trial.ravel(), form[index], n)
            found = search.regrets(laws, starts=(free[index], wrong[index]), rounds=_FEWER_ROUNDS)
            outside = (laws[:, 2:] > trial.ravel()[:, None] + 1e-12).any(axis=1)
            return np.where(outside, np.inf, found.regret).reshape(trial.shape)

        nodes, values = _around(betas[open_], place[open_], raw[open_], regret, n)
        raw[open_], place[open_] = refined_minima(regret, nodes, values, 1e-12 * search.scale, rounds=12)
    # The refinement may have followed a C* that is too high as well.
    moved = np.flatnonzero(place != top[best])
    laws, least, x = p[best].copy(), regret_of[first], wrong.copy()
    if moved.size:
        refined = _laws(betas[moved], place[moved], form[moved], n)
        again = search.regrets(refined, starts=(free[moved], wrong[moved]), seeds=_SEEDS)
        better = again.regret < least[moved]
        index = moved[better]
        laws[index], least[index], x[index] = refined[better], again.regret[better], again.wrong[better]
    return _Found(least, laws, search.scores(x, np.ones(len(x), dtype=bool)), search.scale, unbounded)


def _around(
    betas: np.ndarray, place: np.ndarray, raw: np.ndarray, regret: Callable[..., np.ndarray], n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Five nodes of max p around the best node of the family, close to the ends of its range as well."""
    low, high = _top_range(betas, n)
    width = ((high - low) / (_NODES - 1))[:, None]
    offsets = np.array([-1.0, -0.5, -1e-3, 1e-3, 0.5, 1.0])
    trial = np.clip(place[:, None] + width * offsets, low[:, None], high[:, None])
    values = regret(np.arange(len(place)), trial)
    return window(np.concatenate([place[:, None], trial], axis=1), np.concatenate([raw[:, None], values], axis=1))


def _top_range(betas: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.maximum(betas, (1 + betas) / n), (1 + betas) / 2


def _family(betas: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(index of beta, max p, shape, p): nodes of max p times the ways to spread the rest.

    Shape 0 fills label after label up to max p, shape g > 0 gives g labels the same.
    """
    low, high = _top_range(betas, n)
    u = np.linspace(0.0, 1.0, _NODES if n > 2 else 1)
    shapes = np.arange(0 if n > 3 else 1, max(n - 1, 2))
    owner, top, shape = (
        a.ravel()
        for a in np.broadcast_arrays(
            np.arange(len(betas))[:, None, None],
            high[:, None, None] + u[None, :, None] * (low - high)[:, None, None],
            shapes[None, None, :],
        )
    )
    p = _laws(betas[owner], top, shape, n)
    kept = (p[:, 2:] <= top[:, None] + 1e-12).all(axis=1)
    # Where nothing is left to spread, all shapes agree.
    kept &= (shape == shapes[-1]) | (1 + betas[owner] - 2 * top > 1e-12)
    return owner[kept], top[kept], shape[kept], p[kept]


def _laws(betas: np.ndarray, top: np.ndarray, shape: np.ndarray, n: int) -> np.ndarray:
    rest = np.maximum(1 + betas - 2 * top, 0.0)[:, None]
    index = np.arange(n - 2)
    equal = np.where(index < shape[:, None], rest / np.maximum(shape, 1)[:, None], 0.0)
    greedy = np.clip(rest - index * top[:, None], 0.0, top[:, None])
    others = np.where(shape[:, None] == 0, greedy, equal)
    return np.concatenate([top[:, None], np.maximum(top - betas, 0.0)[:, None], others], axis=1)


class _ScoreSearch:
    """Minima of C(p, .) over all scores, or over those at which label 1 attains the maximum, for many p together.

    The search runs in coordinates x. All scores: s = x, with s_0 = 0 left out where the loss does not change under a
    shift. Label 1 at the top: s_1 = x_0 (or 0), s_k = s_1 − |x_k|: folding keeps the constraint, and a Newton step at
    an active one decouples by symmetry.
    """

    def __init__(self, loss: Callable[..., Any], n: int, bound: float):
        self.loss, self.n, self.bound = loss, n, bound
        self.shift_free = bool(np.isinf(bound)) and self._ignores_shifts()
        self.size = n - 1 if self.shift_free else n
        self.directions = _directions(n, self.shift_free)
        pairs = _pairs(self.size)
        quadratic = [self.directions[:, i] * self.directions[:, j] * (0.5 if i == j else 1.0) for i, j in pairs]
        self.model = np.linalg.pinv(np.column_stack([self.directions, *quadratic])).T
        place = {pair: self.size + k for k, pair in enumerate(pairs)}
        self.square = np.array([place[min(i, j), max(i, j)] for i in range(self.size) for j in range(self.size)])
        unit = np.vstack([np.zeros(n), np.eye(n), -np.eye(n)]) * min(1.0, bound)
        values = self.losses(unit)
        spread = float(values.max() - values.min())
        self.scale = spread if 0 < spread < _HUGE else 1.0
        self.tables = {wrong: self._table(wrong) for wrong in (False, True)}

    def losses(self, scores: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            values = np.asarray(self.loss(scores), dtype=np.float64)
        # An infinite loss of a label with probability 0 costs nothing; NaN far out is an overflow.
        return np.clip(np.where(np.isnan(values), _HUGE, values), -_HUGE, _HUGE)

    def scores(self, x: np.ndarray, wrong: np.ndarray) -> np.ndarray:
        """Scores of the coordinates ``(rows, ..., size)``; ``wrong`` says per row which problem they belong to."""
        s = np.concatenate([np.zeros((*x.shape[:-1], 1)), x], axis=-1) if self.shift_free else x.copy()
        if wrong.any():
            folded = s[wrong]
            top = np.clip(folded[..., :1], -self.bound, self.bound)
            others = top - np.abs(folded[..., 1:])
            folded[..., 0], folded[..., 1], folded[..., 2:] = others[..., 0], top[..., 0], others[..., 1:]
            s[wrong] = folded
        return s if np.isinf(self.bound) else np.clip(s, -self.bound, self.bound)

    def minimum(self, p: np.ndarray) -> float:
        """C* at one p."""
        return float(self.regrets(p[None], seeds=_SEEDS).smallest[0])

    def regrets(
        self,
        p: np.ndarray,
        *,
        starts: tuple[np.ndarray, np.ndarray] | None = None,
        seeds: int = 0,
        finest: float = _FINEST,
        rounds: int = _ROUNDS,
    ) -> "_Regrets":
        """The least regret of predicting label 1 at every p, from ``starts`` (for C* and the wrong decision) and the
        ``seeds`` best scores of the table; without starts from one seed at least. ``finest`` is the last step.
        """
        count = len(p)
        rows, x, step, wrong = [], [], [], []
        for side in (False, True):
            if starts is not None:
                rows.append(np.arange(count))
                x.append(starts[int(side)])
                step.append(np.full(count, 1e-2))
            if seeds or starts is None:
                index, place, spacing = self._starts(p, side, max(seeds, 1))
                rows.append(index)
                x.append(place)
                step.append(spacing)
            wrong.append(np.full(sum(map(len, rows)) - sum(map(len, wrong)), side))
        row, side = np.concatenate(rows), np.concatenate(wrong)
        f, place = self._polished(p[row], np.concatenate(x), np.concatenate(step), side, finest, rounds)
        free, free_x = _best_per_row(row[~side], f[~side], place[~side])
        worst, wrong_x = _best_per_row(row[side], f[side], place[side])
        smallest = np.minimum(free, worst)
        return _Regrets(worst - smallest, smallest, free_x, wrong_x)

    def _ignores_shifts(self) -> bool:
        rng = np.random.default_rng(1)
        s = rng.normal(size=(6, self.n))
        before, after = self.losses(s), self.losses(s + rng.normal(size=(6, 1)))
        return bool(np.allclose(before, after, rtol=1e-9, atol=1e-11))

    def _table(self, wrong: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Coordinates, losses and the local spacing of the starts."""
        reach = min(_REACH, self.bound) if not (wrong and np.isfinite(self.bound)) else 2 * self.bound
        count = {1: 101, 2: 41, 3: 21, 4: 11, 5: 7}.get(self.size, 5)
        if np.isfinite(self.bound):
            signed = np.linspace(-self.bound, self.bound, count)
            drops = np.linspace(0.0, reach, count)
        else:
            signed = np.sinh(np.linspace(-1, 1, count) * np.arcsinh(reach))
            drops = np.sinh(np.linspace(0, 1, count) * np.arcsinh(reach))
        axes = [signed] * self.size
        if wrong:
            axes = [drops] * self.size if self.shift_free else [signed] + [drops] * (self.size - 1)
        if self.size <= 5:
            x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, self.size)
        else:
            x = _levels([a[:: max(1, len(a) // 9)] for a in axes])
        spacing = np.sqrt(1 + (x**2).min(axis=1)) * np.arcsinh(reach) / count
        return x, self.losses(self.scores(x, np.full(len(x), wrong))), spacing

    def _starts(self, p: np.ndarray, wrong: bool, seeds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, table, spacing = self.tables[wrong]
        chunk = max(1, int(4e6 // len(table)))
        chosen = []
        for start in range(0, len(p), chunk):
            risk = p[start : start + chunk] @ table.T
            if seeds == 1:
                chosen.append(risk.argmin(axis=1)[:, None])
            else:
                chosen.append(np.argpartition(risk, seeds, axis=1)[:, :seeds])
        nodes = np.concatenate(chosen).ravel()
        return np.repeat(np.arange(len(p)), seeds), x[nodes], spacing[nodes]

    def _polished(
        self, p: np.ndarray, x: np.ndarray, step: np.ndarray, wrong: np.ndarray, finest: float, rounds: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pattern search with Newton steps; rows leave as they converge."""
        f = (p * self.losses(self.scores(x, wrong))).sum(axis=1)
        everything, place = (p, wrong), x.copy()
        active = np.arange(len(x))
        for _ in range(rounds):
            around = x[:, None, :] + step[:, None, None] * self.directions
            risk = (self.losses(self.scores(around, wrong)) @ p[:, :, None])[..., 0]
            change = risk - f[:, None]
            best = change.argmin(axis=1)
            rows = np.arange(len(x))
            lowest, target = change[rows, best], around[rows, best]
            move = self._newton(change, step)
            trial = x + move
            there = (p * self.losses(self.scores(trial, wrong))).sum(axis=1) - f
            inside = there < np.minimum(lowest, 0.0)
            gain = np.where(inside, there, lowest)
            target = np.where(inside[:, None], trial, target)
            size = self.scale + np.abs(f)
            improved, on_pattern = gain < -5e-16 * size, lowest < -5e-16 * size
            flat = np.abs(change).max(axis=1) <= 4e-15 * size
            # Where only the Newton step helps, the pattern shrinks with it, so that the next quadratic is closer.
            closer = np.minimum(np.maximum(0.05 * step, 2 * np.abs(move).max(axis=1)), 1.6 * step)
            shrunk = np.where(improved, closer, np.where(step > 1e-3, 0.3, 0.1) * step)
            # A Newton step as long as it may be says that the minimum is far.
            near = inside & (np.abs(move).max(axis=1) < 4 * step)
            step = np.where(on_pattern, np.where(near, 1.0, 1.6) * step, shrunk)
            x = np.where(improved[:, None], np.clip(target, -_LIMIT, _LIMIT), x)
            f = f + np.where(improved, gain, 0.0)
            reach = np.abs(x).max(axis=1)
            done = (step < finest * (1 + reach)) | (flat & (step < 1e-3 * (1 + reach))) | (reach >= _LIMIT)
            # A plateau as wide as the distance from the origin has nothing to offer either.
            done |= flat & (step > 1 + reach)
            if done.any():
                place[active[done]] = x[done]
                keep = np.flatnonzero(~done)
                active, p, x, f, step, wrong = active[keep], p[keep], x[keep], f[keep], step[keep], wrong[keep]
                if active.size == 0:
                    break
        place[active] = x
        # Summed changes would carry their rounding along.
        return (everything[0] * self.losses(self.scores(place, everything[1]))).sum(axis=1), place

    def _newton(self, change: np.ndarray, step: np.ndarray) -> np.ndarray:
        """The minimum of the quadratic through the pattern, at most five steps away."""
        m = self.size
        fitted = np.where(np.abs(change) < _HUGE / 10, change, 0.0) @ self.model
        hessian = fitted[:, self.square].reshape(-1, m, m)
        ridge = 1e-12 * np.abs(fitted).max(axis=1) + 1e-300
        try:
            solved = np.linalg.solve(hessian + ridge[:, None, None] * np.eye(m), fitted[:, :m, None])
        except np.linalg.LinAlgError:
            return np.zeros((len(change), m))
        move = -np.where(np.isfinite(solved), solved, 0.0)[..., 0]
        longest = np.abs(move).max(axis=1)
        return (step * np.minimum(1.0, 5.0 / np.maximum(longest, 1e-300)))[:, None] * move


def _best_per_row(row: np.ndarray, f: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.lexsort((f, row))
    first = order[np.unique(row[order], return_index=True)[1]]
    return f[first], place[first]


def _pairs(size: int) -> list[tuple[int, int]]:
    return list(itertools.combinations_with_replacement(range(size), 2))


def _directions(n: int, shift_free: bool) -> np.ndarray:
    """{−1, 0, 1}^n without 0, modulo shifts if the loss ignores them: along any tie or kink of score differences."""
    if n <= _EXHAUSTIVE:
        every = np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=n)))
    else:
        rng = np.random.default_rng(2)
        groups = (rng.random((60, n)) < 0.5).astype(float)
        every = np.concatenate([np.eye(n), -np.eye(n), groups, -groups])
    if shift_free:
        every = np.unique(every[:, 1:] - every[:, :1], axis=0)
    return every[np.abs(every).sum(axis=1) > 0]


def _levels(axes: list[np.ndarray]) -> np.ndarray:
    """Points whose coordinates take two or three values: ahead, in the middle, behind."""
    size = len(axes)
    starts = [np.array([axis[len(axis) // 2] for axis in axes])]
    for low, middle, high in itertools.product(range(len(axes[-1])), repeat=3):
        for first in range(size + 1):
            for second in range(first, size + 1):
                index = [low] * first + [middle] * (second - first) + [high] * (size - second)
                starts.append(np.array([axis[min(i, len(axis) - 1)] for axis, i in zip(axes, index, strict=True)]))
    return np.unique(np.array(starts), axis=0)


def _is_equivariant(loss: Callable[..., Any], n: int, bound: float) -> bool:
    rng = np.random.default_rng(3)
    s = rng.uniform(-1, 1, (8, n)) * min(2.0, bound)
    values = np.asarray(loss(s))
    orders = [rng.permutation(n) for _ in range(6)] + [np.roll(np.arange(n), 1)]
    return all(np.allclose(loss(s[:, order]), values[:, order], rtol=1e-9, atol=1e-11) for order in orders)


def _check_loss(loss: Callable[..., Any], n: int, bound: float) -> None:
    rng = np.random.default_rng(4)
    s = np.concatenate([np.zeros((1, n)), rng.uniform(-1, 1, (20, n)) * min(30.0, bound)])
    with np.errstate(all="ignore"):
        values = np.asarray(loss(s))
    if values.shape != s.shape:
        raise ValueError(f"loss must return one value per label, shape {s.shape}, got {values.shape}")
    if values.dtype.kind not in "fiub":
        raise ValueError(f"loss must return real numbers, got {values.dtype}")
    if np.isnan(values).any():
        raise ValueError(
            f"loss must not be NaN at finite scores, but is at {s[np.isnan(values).any(axis=1)][0].tolist()}"
        )


def _checked_bound(bound: float) -> float:
    if isinstance(bound, bool) or not isinstance(bound, int | float | np.number) or not bound > 0:
        raise ValueError(f"bound must be a number above 0 (infinity allowed), got {bound!r:.60}")
    return float(bound)
