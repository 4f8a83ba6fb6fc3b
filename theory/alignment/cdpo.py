"""Critical tokens: which token of a wrong answer left no way back, exactly, and how a contrast of two models sees it.

    log s(y) = (1 + β) log P_p(y) − β log P_n(y) − log Z,      Z = Σ_v P_p(v)^(1 + β) P_n(v)^(−β)

P_p imitates right answers, P_n wrong ones; a small s_t marks token t. Here are the identities of this contrast, the
loss that it weights, and what it estimates: the chance of success after every prefix of an answer, without sampling.

* ``log Z = β D_{1 + β}(P_p ‖ P_n)``, a Rényi divergence: at least β KL(P_p ‖ P_n), 0 only for equal models, and then
  s = P_p, which is *not* constant: without a contrast one only finds unlikely tokens.
* Two normal laws of one variance contrast to a third, its mean moved on by β times their distance.
* ``V(y_<t) = p(y_t) V(y_≤t) + Σ_{v ≠ y_t} p(v) V(y_<t v)``, so that all prefixes of an answer together cost as much as
  the tree of the prompt; what is pruned from it is known, and bounds the error.
* With the token forbidden instead of written the chance is ``(V(y_<t) − p V(y_≤t)) / (1 − p)``.

    found = prefix_success(next_probs, prompts, responses, verify, prune=1e-6)
    found.lower, found.upper                     # (batch, tokens + 1): before the first token, after each
    critical_token(found.lower[0, 1:], none=no_success_level(64))

Source: Lin, Liang, Xu, Liu, Wang, Luo, Shi, Li, Yang and Tu (2025), *Critical tokens matter: token-level contrastive
estimation enhances LLM's reasoning capability*, for critical tokens, the contrast and the loss; pass@k as in Chen et
al. (2021), *Evaluating large language models trained on code*. What holds exactly is derived here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import comb
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from theory.alignment.chain_mdp import ChainProblems, TabularChainPolicy, exact_values, step_values
from theory.fuzz import Bound
from theory.validation import (
    at_least,
    finite_array,
    in_range,
    one_of,
    positive,
    probabilities,
    same_shape,
    whole_number,
)

__all__ = [
    "BOUNDS",
    "PrefixSuccess",
    "cdpo_loss",
    "chain_prefix_success",
    "contrast",
    "contrast_log_normaliser",
    "critical_token",
    "gaussian_contrast_mean",
    "no_success_level",
    "pass_at_k",
    "prefix_success",
    "success_without_token",
]

Laws = Float[np.ndarray, "*batch vocabulary"]
NextProbs = Callable[[np.ndarray], np.ndarray]


def contrast(pos: Laws, neg: Laws, beta: float = 1.0) -> Laws:
    """``pos^(1 + beta) neg^(−beta) / Z``, the contrast of two laws along the last axis.

    Raises ``ValueError`` for what is no distribution, other shapes, beta below 0, or a token that only ``pos`` allows.

    >>> contrast(np.array([0.5, 0.5]), np.array([0.2, 0.8])).round(6).tolist()
    [0.8, 0.2]
    """
    logs, normaliser = _log_contrast(pos, neg, beta)
    return np.exp(logs - normaliser[..., None])


def contrast_log_normaliser(pos: Laws, neg: Laws, beta: float = 1.0) -> Float[np.ndarray, "*batch"]:
    """``log Z = beta D_{1 + beta}(pos ‖ neg)``: at least 0, and 0 for equal laws. Raises as ``contrast``.

    >>> round(float(contrast_log_normaliser(np.array([0.5, 0.5]), np.array([0.2, 0.8]))), 6)
    0.446287
    """
    return np.asarray(_log_contrast(pos, neg, beta)[1])


def gaussian_contrast_mean(mu_pos: float, mu_neg: float, beta: float = 1.0) -> float:
    """Mean of the contrast of N(mu_pos, σ²) and N(mu_neg, σ²), which is N(mu_pos + beta (mu_pos − mu_neg), σ²).

    Raises ``ValueError`` for means that are not finite or beta below 0.

    >>> gaussian_contrast_mean(1.0, 0.5, beta=2.0)
    2.0
    """
    means = finite_array("mu_pos", mu_pos, 0), finite_array("mu_neg", mu_neg, 0)
    return float(means[0] + at_least("beta", beta, 0) * (means[0] - means[1]))


def pass_at_k(n: int, c: int, k: int) -> float:
    """``1 − C(n − c, k) / C(n, k)``: the chance that k of n samples, drawn without repetition, hit one of the c right.

    Raises ``ValueError`` for what is not whole numbers with 0 ≤ c ≤ n and 1 ≤ k ≤ n.

    >>> pass_at_k(4, 1, 2)
    0.5
    """
    whole_number("n", n, 1)
    if whole_number("c", c, 0) > n:
        raise ValueError(f"c must be at most n = {n}, got {c}")
    if whole_number("k", k, 1) > n:
        raise ValueError(f"k must be at most n = {n} (use min(k, n)), got {k}")
    total = comb(n, k)
    return (total - comb(n - c, k)) / total


def cdpo_loss(
    ratio_w: Float[np.ndarray, "batch targets"],
    ratio_l: Float[np.ndarray, "batch others"],
    scores_l: Float[np.ndarray, "batch others"],
    gamma: float = 0.1,
    form: Literal["sequence", "token"] = "sequence",
    scores_w: Float[np.ndarray, "batch targets"] | None = None,
    label_smoothing: float = 0.0,
) -> Float[np.ndarray, " batch"]:
    """The loss of every pair from the log-ratios of its tokens, all of which count.

    ``sequence``, as in the paper: ``−log σ(γ Σ_t r⁺_t − γ Σ_t (1 − s_t) r⁻_t)``. ``token``, as in the authors' code:
    the mean over positions of ``−log σ(γ (r⁺_t − (1 − s_t) r⁻_t))``. With ``scores_w`` these multiply r⁺. Label
    smoothing ε mixes in ε times the loss of the pair turned round. Raises ``ValueError`` for shapes that do not fit,
    scores outside [0, 1], gamma not above 0, or label smoothing outside [0, 0.5].

    >>> cdpo_loss(np.array([[1.0]]), np.array([[2.0, 4.0]]), np.array([[0.0, 1.0]]), gamma=1.0).round(6).tolist()
    [1.313262]
    """
    wanted, unwanted = finite_array("ratio_w", ratio_w, 2), finite_array("ratio_l", ratio_l, 2)
    scores = _scores("scores_l", scores_l, 2)
    same_shape(("ratio_l", "scores_l"), (unwanted, scores))
    if len(wanted) != len(unwanted):
        raise ValueError(f"ratio_w and ratio_l must have as many rows, got {len(wanted)} and {len(unwanted)}")
    if scores_w is not None:
        factors = _scores("scores_w", scores_w, 2)
        same_shape(("ratio_w", "scores_w"), (wanted, factors))
        wanted = factors * wanted
    positive("gamma", gamma)
    in_range("label_smoothing", label_smoothing, 0.0, 0.5)
    unwanted = (1 - scores) * unwanted
    if one_of("form", form, ("sequence", "token")) == "sequence":
        margin = gamma * (wanted.sum(1) - unwanted.sum(1))
        return _smoothed(margin, label_smoothing)
    same_shape(("ratio_w", "ratio_l"), (wanted, unwanted))
    return np.asarray(_smoothed(gamma * (wanted - unwanted), label_smoothing).mean(1))


def critical_token(scores: Float[np.ndarray, " tokens"], later_threshold: float = 0.05, none: float = 0.0) -> int:
    """The first token whose score is at most ``none`` and after which all scores are below ``later_threshold``, or −1.

    ``scores[t]`` is the chance of success after token t. Raises ``ValueError`` for scores or thresholds outside [0, 1].

    >>> critical_token(np.array([0.4, 0.0, 0.3, 0.0, 0.03])), critical_token(np.array([0.4, 0.5]))
    (3, -1)
    """
    found = _scores("scores", scores, 1)
    in_range("later_threshold", later_threshold, 0.0, 1.0)
    in_range("none", none, 0.0, 1.0)
    for t, score in enumerate(found):
        if score <= none and all(later < later_threshold for later in found[t + 1 :]):
            return t
    return -1


def no_success_level(n_rollouts: int) -> float:
    """``1 − 2^(−1/n)``: up to this chance n rollouts more likely see no success than one.

    Exact chances are seldom 0; this is what "no rollout succeeded" means for them. Raises ``ValueError`` for n below 1.

    >>> no_success_level(1), round(no_success_level(64), 4)
    (0.5, 0.0108)
    """
    return float(-np.expm1(-np.log(2) / whole_number("n_rollouts", n_rollouts, 1)))


def success_without_token(
    before: Float[np.ndarray, "*batch"], after: Float[np.ndarray, "*batch"], prob: Float[np.ndarray, "*batch"]
) -> Float[np.ndarray, "*batch"]:
    """``(before − prob · after) / (1 − prob)``: the chance of success from a prefix with its next token forbidden.

    ``before`` and ``after`` are the chances without and with the token of probability ``prob``. Raises ``ValueError``
    for chances outside [0, 1], other shapes, prob of 1, or three numbers that cannot belong together.

    >>> success_without_token(np.array([0.5]), np.array([0.0]), np.array([0.5])).tolist()
    [1.0]
    """
    chances = [_scores(name, v) for name, v in (("before", before), ("after", after), ("prob", prob))]
    same_shape(("before", "after", "prob"), chances)
    if (chances[2] >= 1).any():
        raise ValueError("prob must be below 1: a token that is certain cannot be forbidden")
    rest = (chances[0] - chances[2] * chances[1]) / (1 - chances[2])
    if rest.min() < -1e-6 or rest.max() > 1 + 1e-6:
        raise ValueError(
            f"before must be a mean that includes prob · after, the rest would be {rest.min()} … {rest.max()}"
        )
    return np.clip(rest, 0.0, 1.0)


def chain_prefix_success(
    policy: TabularChainPolicy, problems: ChainProblems, results: Int[np.ndarray, "problems *samples steps"]
) -> Float[np.ndarray, "problems *samples prefixes"]:
    """Chances of success before and after every token ``op d r … # r <eos>``, of which only the r of steps is random.

    The tabular policy copies operation, digit and answer without error, so that these change nothing. The last axis
    has 3 L + 4 entries. Raises ``ValueError`` for problems and results that do not fit the policy.

    >>> problem = ChainProblems(np.array([[1, 1]]), np.array([[0]]))
    >>> chain_prefix_success(TabularChainPolicy(np.zeros((2, 2, 2, 2))), problem, np.array([[1]])).tolist()
    [[0.5, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0]]
    """
    if not isinstance(policy, TabularChainPolicy):
        raise ValueError(f"policy must be a TabularChainPolicy, got {type(policy).__name__}")
    along = step_values(exact_values(policy, problems), problems, results)
    return np.concatenate([np.repeat(along[..., :-1], 3, axis=-1), np.repeat(along[..., -1:], 4, axis=-1)], axis=-1)


@dataclass(frozen=True)
class PrefixSuccess:
    """Bounds of the chance of success, ``(batch, tokens + 1)``: column t is after t tokens of the response.

    ``upper − lower`` is the probability that was pruned. ``probs`` are those of the response's tokens, ``nodes`` the
    prefixes that were asked for.
    """

    lower: Float[np.ndarray, "batch prefixes"]
    upper: Float[np.ndarray, "batch prefixes"]
    probs: Float[np.ndarray, "batch tokens"]
    nodes: int


def prefix_success(
    next_probs: NextProbs,
    prompts: Int[np.ndarray, "batch prompt"],
    responses: Int[np.ndarray, "batch tokens"],
    verify: Callable[[np.ndarray, np.ndarray], np.ndarray],
    prune: float = 1e-9,
    max_rows: int = 8192,
) -> PrefixSuccess:
    """Exact chances of success after every prefix of the responses, by enumeration of all continuations.

    Args:
        next_probs: laws of the next token, ``(rows, length) -> (rows, vocabulary)``, of any model.
        prompts: of one length.
        responses: of one length, which all continuations have.
        verify: ``(prompts, responses) -> bool``.
        prune: continuations less likely than this, from the prefix where they leave the response, are left out.
        max_rows: most prefixes that ``next_probs`` gets at once.

    Raises ``ValueError`` for ids that are not whole numbers of at least 0 or do not fit, prune outside [0, 1], laws
    that are no distributions (up to 1e-5), or judgements of another shape.

    >>> fair = lambda prefixes: np.full((len(prefixes), 2), 0.5)
    >>> two = lambda prompts, responses: responses.sum(1) == 2
    >>> prefix_success(fair, np.array([[0]]), np.array([[1, 0, 0]]), two).lower.tolist()
    [[0.375, 0.5, 0.5, 0.0]]
    """
    for name, function in (("next_probs", next_probs), ("verify", verify)):
        if not callable(function):
            raise ValueError(f"{name} must be a function, got {type(function).__name__}")
    for name, ids in (("prompts", prompts), ("responses", responses)):
        if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "iu" or ids.ndim != 2 or ids.size == 0:
            raise ValueError(f"{name} must be whole numbers of shape (batch ≥ 1, tokens ≥ 1), got {ids!r:.60}")
        if ids.min() < 0 or len(ids) != len(prompts):
            raise ValueError(f"{name} must be at least 0, with as many rows as prompts, got {ids.min()}, {ids.shape}")
    in_range("prune", prune, 0.0, 1.0)
    whole_number("max_rows", max_rows, 1)
    batch, length = responses.shape
    path, off, lost = np.empty((batch, length)), np.zeros((batch, length)), np.zeros((batch, length))
    # The frontier: its texts, the rows and positions where they left the response, their chances from there on.
    texts, rows, left, weights = responses[:0, :0], np.empty(0, int), np.empty(0, int), np.empty(0)
    nodes = 0
    for depth in range(length):
        texts = np.concatenate([responses[:, :depth], texts])
        rows, left = np.concatenate([np.arange(batch), rows]), np.concatenate([np.full(batch, depth), left])
        weights = np.concatenate([np.ones(batch), weights])
        laws = _asked(next_probs, np.concatenate([prompts[rows], texts], axis=1), max_rows)
        nodes += len(texts)
        if responses[:, depth].max() >= laws.shape[1]:
            raise ValueError(f"responses must be below the {laws.shape[1]} tokens of next_probs, got {responses.max()}")
        chances = weights[:, None] * laws
        path[:, depth] = laws[np.arange(batch), responses[:, depth]]
        chances[np.arange(batch), responses[:, depth]] = 0.0
        np.add.at(lost, (rows, left), np.where(chances < prune, chances, 0.0).sum(axis=1))
        parents, tokens = np.nonzero((chances >= prune) & (chances > 0))
        texts = np.concatenate([texts[parents], tokens[:, None].astype(texts.dtype)], axis=1)
        rows, left, weights = rows[parents], left[parents], chances[parents, tokens]
    if len(texts):
        np.add.at(off, (rows, left), np.where(_judged(verify, prompts[rows], texts), weights, 0.0))
    lower, upper = np.empty((batch, length + 1)), np.empty((batch, length + 1))
    lower[:, -1] = upper[:, -1] = _judged(verify, prompts, responses)
    for t in reversed(range(length)):
        lower[:, t] = path[:, t] * lower[:, t + 1] + off[:, t]
        upper[:, t] = path[:, t] * upper[:, t + 1] + off[:, t] + lost[:, t]
    return PrefixSuccess(lower.clip(0, 1), upper.clip(0, 1), path, nodes)


def _asked(next_probs: NextProbs, prefixes: np.ndarray, max_rows: int) -> np.ndarray:
    laws = []
    for start in range(0, len(prefixes), max_rows):
        some = prefixes[start : start + max_rows]
        found = finite_array("next_probs", next_probs(some), 2)
        if len(found) != len(some) or found.min() < 0 or not np.allclose(found.sum(axis=1), 1.0, rtol=0, atol=1e-5):
            raise ValueError(f"next_probs must return {len(some)} distributions, got shape {found.shape}")
        laws.append(found / found.sum(axis=1, keepdims=True))
    return np.concatenate(laws)


def _judged(verify: Callable[[np.ndarray, np.ndarray], np.ndarray], prompts: np.ndarray, texts: np.ndarray):
    verdict = np.asarray(verify(prompts, texts))
    if verdict.dtype != bool or verdict.shape != (len(texts),):
        raise ValueError(f"verify must return bool of shape ({len(texts)},), got {verdict.dtype} of {verdict.shape}")
    return verdict


def _log_contrast(pos: np.ndarray, neg: np.ndarray, beta: float) -> tuple[np.ndarray, np.ndarray]:
    right, wrong = probabilities("pos", pos), probabilities("neg", neg)
    same_shape(("pos", "neg"), (right, wrong))
    at_least("beta", beta, 0.0)
    if ((right > 0) & (wrong == 0)).any() and beta > 0:
        raise ValueError("neg must be above 0 wherever pos is: the contrast would be infinite")
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(right > 0, (1 + beta) * np.log(right) - (beta * np.log(wrong) if beta else 0.0), -np.inf)
    return logs, np.asarray(np.logaddexp.reduce(logs, axis=-1))


def _smoothed(margin: np.ndarray, label_smoothing: float) -> np.ndarray:
    turned = label_smoothing * np.logaddexp(0, margin)
    return np.asarray((1 - label_smoothing) * np.logaddexp(0, -margin) + turned)


def _scores(name: str, value: object, dimensions: int | None = None) -> np.ndarray:
    array = finite_array(name, value, dimensions)
    if array.min() < 0 or array.max() > 1:
        raise ValueError(f"{name} must lie in [0, 1], got {array.min()} … {array.max()}")
    return array


def _instances(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Pairs of laws on six tokens, near and far from each other."""
    logits = rng.normal(size=(count, 6)) * 10.0 ** rng.uniform(-1, 0.7, size=(count, 1))
    moved = logits + rng.normal(size=(count, 6)) * 10.0 ** rng.uniform(-3, 0.7, size=(count, 1))
    return {"pos": logits, "neg": moved, "beta": 10.0 ** rng.uniform(-2, 1, size=count)}


def _log_laws(logits: np.ndarray) -> np.ndarray:
    return logits - np.logaddexp.reduce(logits, axis=1)[:, None]


def _divergence(pos: np.ndarray, neg: np.ndarray, beta: np.ndarray) -> np.ndarray:
    p, n = _log_laws(pos), _log_laws(neg)
    return 1 + beta * (np.exp(p) * (p - n)).sum(axis=1)


def _log_normaliser(pos: np.ndarray, neg: np.ndarray, beta: np.ndarray) -> np.ndarray:
    p, n = _log_laws(pos), _log_laws(neg)
    return 1 + np.logaddexp.reduce((1 + beta)[:, None] * p - beta[:, None] * n, axis=1)


BOUNDS = [
    Bound(
        "the contrast's log-normaliser is at least beta KL(pos ‖ neg), both plus 1", "derived here, by Jensen",
        _divergence, _log_normaliser, _instances,
    ),
]  # fmt: skip
