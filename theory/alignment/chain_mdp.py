"""Chains of arithmetic as a decision process: every prefix's chance of success, exactly.

A problem is ``d_0 op_1 d_1 … op_L d_L`` modulo ``base``, worked from left to right. Step i writes a result r_i; a right
one is ``r_{i−1} op_i d_i``, and the answer is right if r_L is. What was written last is all that matters, so a policy
is a table ``pi[op, r, d, r']`` and, for rewards of 0 and 1 on the answer,

    V_L(r) = 1[r = answer],      V_{i−1}(r) = sum_r' pi(r' | op_i, r, d_i) V_i(r'),
    Q_i(r, r') = V_i(r'),        A_i(r, r') = V_i(r') − V_{i−1}(r).

    world = ChainMDP(base=10, n_ops=3)
    problems = world.problems(500, np.random.default_rng(0))
    policy = fit_sft(world.counts(problems, world.results(problems)), kappa=3.0)     # a teacher's steps, smoothed
    values = exact_values(policy, problems)                    # L + 1 tables (problems, base)
    advantages = exact_advantages(policy, problems)            # (problems, L, base, base)
    results = policy.sample(problems, 8, np.random.default_rng(1))                   # (problems, 8, L)
    step_values(values, problems, results)                     # (problems, 8, L + 1): V before, then after each step

Multiplication by 0 forgets what came before and errors may cancel, so an answer can be right for wrong reasons. The
same world in tokens: ``neural.tiny_lm.chain_arithmetic``.

Source: the world is ours; values and advantages of steps as in Setlur, Garg, Geng, Garg, Smith and Kumar (2024), *RL on
Incorrect Synthetic Data Scales the Efficiency of LLM Math Reasoning by Eight-Fold*.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from theory.validation import at_least, finite_array, probabilities, whole_number

__all__ = [
    "ChainMDP",
    "ChainProblems",
    "TabularChainPolicy",
    "exact_advantages",
    "exact_values",
    "expected_counts",
    "fit_sft",
    "step_values",
]

Table = Float[np.ndarray, "2 base base base"]
Transitions = Float[np.ndarray, "problems steps base base"]


@dataclass(frozen=True)
class ChainProblems:
    """Digits d_0 … d_L, ``(problems, L + 1)``, and operations, 0 for + and 1 for *, ``(problems, L)``.

    Raises ``ValueError`` for anything else than whole numbers of such shapes.
    """

    digits: Int[np.ndarray, "problems digits"]
    operations: Int[np.ndarray, "problems steps"]

    def __post_init__(self) -> None:
        _whole("digits", self.digits, 2)
        _whole("operations", self.operations, 2, below=2)
        expected = (self.digits.shape[0], self.digits.shape[1] - 1)
        if self.operations.shape != expected:
            raise ValueError(
                f"operations must have shape {expected}, as digits {self.digits.shape}, got {self.operations.shape}"
            )

    def __len__(self) -> int:
        return len(self.digits)

    def __getitem__(self, rows: slice | Int[np.ndarray, " rows"] | Bool[np.ndarray, " problems"]) -> "ChainProblems":
        return ChainProblems(self.digits[rows], self.operations[rows])


class ChainMDP:
    """Chains of ``n_ops`` additions and multiplications modulo ``base``.

    Raises ``ValueError`` for a base below 2 or a number of operations below 1.

    >>> world = ChainMDP(base=5, n_ops=2)
    >>> problem = ChainProblems(np.array([[3, 4, 2]]), np.array([[0, 1]]))     # 3 + 4 * 2
    >>> world.results(problem).tolist()
    [[2, 4]]
    """

    def __init__(self, base: int, n_ops: int) -> None:
        self.base, self.n_ops = whole_number("base", base, 2), whole_number("n_ops", n_ops, 1)

    def problems(self, n: int, rng: np.random.Generator) -> ChainProblems:
        """``n`` problems of uniform digits and operations. Raises ``ValueError`` for n below 1 or no generator."""
        whole_number("n", n, 1)
        _check_generator(rng)
        return ChainProblems(rng.integers(0, self.base, (n, self.n_ops + 1)), rng.integers(0, 2, (n, self.n_ops)))

    def results(self, problems: ChainProblems) -> Int[np.ndarray, "problems steps"]:
        """The right result of every step: the teacher's solution."""
        self._check(problems)
        value, columns = problems.digits[:, 0], []
        for i in range(self.n_ops):
            value = self._apply(problems.operations[:, i], value, problems.digits[:, i + 1])
            columns.append(value)
        return np.stack(columns, axis=1)

    def verify(
        self, problems: ChainProblems, results: Int[np.ndarray, "problems *samples steps"]
    ) -> Bool[np.ndarray, "problems *samples"]:
        """Whether the last result is the right answer; the others are not looked at.

        Raises ``ValueError`` for results that are no digits or do not fit the problems.
        """
        self._check_results(problems, results)
        answers = self.results(problems)[:, -1]
        return results[..., -1] == answers.reshape(-1, *(1,) * (results.ndim - 2))

    def step_ok(
        self, problems: ChainProblems, results: Int[np.ndarray, "problems *samples steps"]
    ) -> Bool[np.ndarray, "problems *samples steps"]:
        """Whether each result is right *given the one written before it*. Raises ``ValueError`` as ``verify``."""
        operations, before, digits = self._operands(problems, results)
        return results == self._apply(operations, before, digits)

    def first_wrong_step(
        self, problems: ChainProblems, results: Int[np.ndarray, "problems *samples steps"]
    ) -> Int[np.ndarray, "problems *samples"]:
        """Number of the first step that is not ``step_ok``, ``n_ops`` if all are. Raises as ``verify``."""
        return np.cumprod(self.step_ok(problems, results), axis=-1).sum(axis=-1)

    def counts(
        self,
        problems: ChainProblems,
        results: Int[np.ndarray, "problems *samples steps"],
        weights: Float[np.ndarray, "problems *samples steps"] | None = None,
    ) -> Table:
        """How often each table entry (op, r, d, r') is used, each use counted with its weight.

        Raises ``ValueError`` as ``verify``, and for weights that are not finite, negative or of another shape.
        """
        operations, before, digits = self._operands(problems, results)
        used = (((operations * self.base + before) * self.base + digits) * self.base + results).ravel()
        if weights is not None:
            weights = finite_array("weights", weights)
            if weights.shape != results.shape or weights.min() < 0:
                raise ValueError(
                    f"weights must be at least 0, of shape {results.shape}, got {weights.shape}, min {weights.min()}"
                )
        found = np.bincount(used, None if weights is None else weights.ravel(), minlength=2 * self.base**3)
        return found.reshape(2, self.base, self.base, self.base).astype(np.float64)

    def _operands(self, problems: ChainProblems, results: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Operation, value before and digit of every step, in the shape of ``results``."""
        self._check_results(problems, results)
        wide = (len(problems), *(1,) * (results.ndim - 2), self.n_ops)
        first = np.broadcast_to(problems.digits[:, 0].reshape(*wide[:-1], 1), (*results.shape[:-1], 1))
        before = np.concatenate([first, results[..., :-1]], axis=-1)
        return (
            np.broadcast_to(problems.operations.reshape(wide), results.shape),
            before,
            np.broadcast_to(problems.digits[:, 1:].reshape(wide), results.shape),
        )

    def _apply(self, operations: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.where(operations == 1, left * right, left + right) % self.base

    def _check(self, problems: ChainProblems) -> None:
        if not isinstance(problems, ChainProblems):
            raise ValueError(f"problems must be ChainProblems, got {type(problems).__name__}")
        if problems.operations.shape[1] != self.n_ops or problems.digits.max() >= self.base:
            raise ValueError(
                f"problems must have {self.n_ops} operations on digits below {self.base}, got "
                f"{problems.operations.shape[1]} on digits up to {problems.digits.max()}"
            )

    def _check_results(self, problems: ChainProblems, results: np.ndarray) -> None:
        self._check(problems)
        _whole("results", results, None, below=self.base)
        if results.ndim < 2 or len(results) != len(problems) or results.shape[-1] != self.n_ops:
            raise ValueError(f"results must have shape ({len(problems)}, …, {self.n_ops}), got {results.shape}")


@dataclass(frozen=True)
class TabularChainPolicy:
    """A policy by its logits: ``pi[op, r, d, r'] = softmax(logits[op, r, d])``, the chance to write r' after r.

    Raises ``ValueError`` for logits that are NaN, infinite or not of shape (2, base, base, base).

    >>> policy = TabularChainPolicy(np.zeros((2, 5, 5, 5)))
    >>> policy.success(ChainProblems(np.array([[3, 4, 2]]), np.array([[0, 1]]))).round(6).tolist()
    [0.2]
    """

    logits: Table

    def __post_init__(self) -> None:
        logits = finite_array("logits", self.logits, 4)
        if logits.shape != (2, *(logits.shape[1],) * 3) or logits.shape[1] < 2:
            raise ValueError(f"logits must have shape (2, base, base, base), got {logits.shape}")

    @property
    def base(self) -> int:
        """The number of digits."""
        return self.logits.shape[1]

    @property
    def table(self) -> Table:
        """Probabilities."""
        scaled = np.exp(self.logits - self.logits.max(axis=-1, keepdims=True))
        return scaled / scaled.sum(axis=-1, keepdims=True)

    def transitions(self, problems: ChainProblems) -> Transitions:
        """``[x, i, r, r']``: the chance of r' in step i of problem x after r."""
        ChainMDP(self.base, problems.operations.shape[1])._check(problems)
        values = np.arange(self.base)
        return self.table[problems.operations[..., None], values, problems.digits[:, 1:, None]]

    def sample(
        self, problems: ChainProblems, samples: int, rng: np.random.Generator
    ) -> Int[np.ndarray, "problems samples steps"]:
        """Results of ``samples`` independent solutions. Raises ``ValueError`` for samples below 1 or no generator."""
        whole_number("samples", samples, 1)
        _check_generator(rng)
        cumulative = np.cumsum(self.transitions(problems), axis=-1)
        rows = np.arange(len(problems))[:, None]
        value, columns = np.broadcast_to(problems.digits[:, :1], (len(problems), samples)), []
        for i in range(problems.operations.shape[1]):
            ends = cumulative[rows, i, value]
            draws = rng.random((*value.shape, 1)) * ends[..., -1:]
            value = (draws >= ends).sum(axis=-1)
            columns.append(value)
        return np.stack(columns, axis=-1)

    def greedy(self, problems: ChainProblems) -> Int[np.ndarray, "problems steps"]:
        """The likeliest result of every step after the likeliest ones before it; the smallest of equals."""
        best = self.transitions(problems).argmax(axis=-1)
        rows = np.arange(len(problems))
        value, columns = problems.digits[:, 0], []
        for i in range(problems.operations.shape[1]):
            value = best[rows, i, value]
            columns.append(value)
        return np.stack(columns, axis=-1)

    def success(self, problems: ChainProblems) -> Float[np.ndarray, " problems"]:
        """J(x): the chance that a sampled answer is right."""
        return exact_values(self, problems)[0][np.arange(len(problems)), problems.digits[:, 0]]


def fit_sft(counts: Table, kappa: float = 3.0) -> TabularChainPolicy:
    """Supervised fine-tuning in a table: logits ``log(counts + kappa/base)``, unseen entries being uniform.

    Raises ``ValueError`` for counts that are negative, not finite or not (2, base, base, base), kappa not above 0.

    >>> counts = np.zeros((2, 2, 2, 2)); counts[0, 0, 0, 0] = 3.0
    >>> fit_sft(counts, kappa=2.0).table[0, 0, 0].round(6).tolist()
    [0.8, 0.2]
    """
    checked = finite_array("counts", counts, 4)
    if checked.shape != (2, *(checked.shape[1],) * 3) or checked.min() < 0:
        raise ValueError(f"counts must be at least 0, of shape (2, base, base, base), got {checked.shape}")
    if at_least("kappa", kappa, 0) == 0:
        raise ValueError("kappa must be a finite number above 0, got 0")
    return TabularChainPolicy(np.log(checked + kappa / checked.shape[1]))


def exact_values(
    policy: TabularChainPolicy | Transitions, problems: ChainProblems
) -> list[Float[np.ndarray, "problems base"]]:
    """``V_0 … V_L``: after i steps, the chance of a right answer from each value that may have been written.

    ``policy`` is a table shared by all problems and steps, or each problem's and step's own transitions. Raises
    ``ValueError`` for transitions that are no distributions or do not fit the problems.

    >>> problem = ChainProblems(np.array([[1, 1]]), np.array([[0]]))
    >>> exact_values(TabularChainPolicy(np.zeros((2, 2, 2, 2))), problem)[0].tolist()
    [[0.5, 0.5]]
    """
    transitions = _transitions(policy, problems)
    base, steps = transitions.shape[-1], transitions.shape[1]
    answers = ChainMDP(base, steps).results(problems)[:, -1]
    values = [(np.arange(base) == answers[:, None]).astype(np.float64)]
    for i in reversed(range(steps)):
        values.append(np.einsum("xrs,xs->xr", transitions[:, i], values[-1]))
    return values[::-1]


def exact_advantages(policy: TabularChainPolicy | Transitions, problems: ChainProblems) -> Transitions:
    """``[x, i, r, r']``: A_i(r, r') = V_i(r') − V_{i−1}(r), what writing r' after r does to the chance of success.

    Raises ``ValueError`` as ``exact_values``.

    >>> problem = ChainProblems(np.array([[1, 1]]), np.array([[0]]))
    >>> exact_advantages(TabularChainPolicy(np.zeros((2, 2, 2, 2))), problem)[0, 0, 1].tolist()
    [0.5, -0.5]
    """
    values = exact_values(policy, problems)
    return np.stack([after[:, None, :] - before[:, :, None] for before, after in itertools.pairwise(values)], axis=1)


def step_values(
    values: list[Float[np.ndarray, "problems base"]],
    problems: ChainProblems,
    results: Int[np.ndarray, "problems *samples steps"],
) -> Float[np.ndarray, "problems *samples states"]:
    """Values along written solutions, ``L + 1`` of them: of the problem itself, then after each step.

    Their differences are the advantages of the steps, which add up to the reward less the value of the problem. Raises
    ``ValueError`` for values, problems and results that do not fit each other.
    """
    _whole("results", results, None)
    if not isinstance(values, list | tuple) or len(values) != results.shape[-1] + 1:
        raise ValueError(f"values must be a list of {results.shape[-1] + 1} tables, as results {results.shape}")
    base = finite_array("values", values[0], 2).shape[1]
    world = ChainMDP(base, len(values) - 1)
    world._check_results(problems, results)
    lead = results.shape[:-1]
    first = np.broadcast_to(problems.digits[:, :1].reshape(-1, *(1,) * len(lead)), (*lead, 1))
    states = np.concatenate([first, results], axis=-1)
    rows = np.arange(len(problems)).reshape(-1, *(1,) * (len(lead) - 1))
    return np.stack([values[i][rows, states[..., i]] for i in range(len(values))], axis=-1)


def expected_counts(
    policy: TabularChainPolicy | Transitions, problems: ChainProblems, weights: Transitions | None = None
) -> Table:
    """Mean use of every table entry by one sampled solution of each problem, summed over problems.

    ``weights[x, i, r, r']`` multiplies each use: Q keeps the successful solutions alone, exp(A/beta) weights steps by
    their advantage. Raises ``ValueError`` as ``exact_values``, and for weights that are negative, not finite or of
    another shape than the transitions.

    >>> problem = ChainProblems(np.array([[1, 1]]), np.array([[0]]))
    >>> expected_counts(TabularChainPolicy(np.zeros((2, 2, 2, 2))), problem)[0, 1, 1].tolist()
    [0.5, 0.5]
    """
    transitions = _transitions(policy, problems)
    uses = np.empty_like(transitions)
    base = transitions.shape[-1]
    reached = (np.arange(base) == problems.digits[:, :1]).astype(np.float64)
    for i in range(transitions.shape[1]):
        uses[:, i] = reached[:, :, None] * transitions[:, i]
        reached = uses[:, i].sum(axis=1)
    if weights is not None:
        checked = finite_array("weights", weights, 4)
        if checked.shape != uses.shape or checked.min() < 0:
            raise ValueError(f"weights must be at least 0, of shape {uses.shape}, got shape {checked.shape}")
        uses *= checked
    entry = (problems.operations[..., None] * base + np.arange(base)) * base + problems.digits[:, 1:, None]
    return np.stack(
        [np.bincount(entry.ravel(), uses[..., s].ravel(), minlength=2 * base**2) for s in range(base)], axis=-1
    ).reshape(2, base, base, base)


def _transitions(policy: TabularChainPolicy | np.ndarray, problems: ChainProblems) -> np.ndarray:
    if not isinstance(problems, ChainProblems):
        raise ValueError(f"problems must be ChainProblems, got {type(problems).__name__}")
    if isinstance(policy, TabularChainPolicy):
        return policy.transitions(problems)
    given = probabilities("policy", policy, 4)
    base = given.shape[-1]
    if given.shape[:3] != (*problems.operations.shape, base) or problems.digits.max() >= base:
        raise ValueError(
            f"policy must have shape {(*problems.operations.shape, 'base', 'base')} with the base of the problems, "
            f"got {given.shape}"
        )
    return given


def _whole(name: str, value: object, dimensions: int | None, below: int | None = None) -> None:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iu" or value.size == 0:
        got = f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else repr(value)[:60]
        raise ValueError(f"{name} must be a non-empty array of whole numbers, got {got}")
    if dimensions is not None and value.ndim != dimensions:
        raise ValueError(f"{name} must have {dimensions} axes, got shape {value.shape}")
    if value.min() < 0 or (below is not None and value.max() >= below):
        expected = "at least 0" if below is None else f"in 0 … {below - 1}"
        raise ValueError(f"{name} must be {expected}, got {value.min()} … {value.max()}")


def _check_generator(rng: object) -> None:
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng must be a numpy Generator, got {type(rng).__name__}")
