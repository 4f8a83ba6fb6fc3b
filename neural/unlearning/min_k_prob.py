"""Min-K% probability: was a text part of the training data?

A text that a model has not seen holds a few tokens that it finds very unlikely; one that it has seen does not. So the
score of a text is the mean log-probability of its least likely tokens,

    Min-K%(x) = (1/E) Σ_{i among the E smallest} log p(x_i | x_<i),      E = max(1, ⌊k·N⌋)

    log_probs = token_logps(model(ids), ids)                 # (batch, targets)
    scores = min_k_prob(log_probs, mask, k=0.2)              # (batch,): larger for members
    detector = MembershipDetector(k=0.2).fit_threshold(scores, is_member)
    detector.predict(new_scores)

**In every score here larger means member.** Min-K% is minus the conditional value at risk of −log p at level k: it is
concave, positively homogeneous, does not depend on the order of tokens, and grows with k from the least log-probability
to the mean (the perplexity score). All scores take log-probabilities as tensors or arrays, never models.

Sources: Shi, Ajith, Xia, Huang, Liu, Blevins, Chen and Zettlemoyer (2024), *Detecting pretraining data from large
language models*; for Min-K%++ Zhang, Sun, Yeats, Ouyang, Kuo, Zhang, Yang and Li (2024); for zlib and lower case
Carlini et al. (2021), *Extracting training data from large language models*; for neighbours Mattern et al. (2023).
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neural.tiny_lm.logprobs import token_logps as log_probabilities
from neural.validation import finite_contents, floating, in_range, one_of

__all__ = [
    "MembershipDetector",
    "MembershipReport",
    "lowercase_score",
    "membership_report",
    "min_k_plus_plus",
    "min_k_prob",
    "neighbour_score",
    "perplexity_score",
    "reference_score",
    "zlib_score",
]

LogProbs = Float[Tensor, "batch targets"] | Float[np.ndarray, "batch targets"]
Mask = Bool[Tensor, "batch targets"] | Bool[np.ndarray, "batch targets"]
Numbers = Float[Tensor, " batch"] | Float[np.ndarray, " batch"]


def min_k_prob(token_logps: LogProbs, mask: Mask | None = None, k: float = 0.2) -> Float[Tensor, " batch"]:
    """Mean of the ⌊k·N⌋ (at least one) least log-probabilities of each row, N its number of masked targets.

    k = 1 gives the mean, k → 0 the minimum. Raises ``ValueError`` for k outside (0, 1], a NaN or a positive
    log-probability, a mask that does not fit, or a row without a target.

    >>> min_k_prob(torch.tensor([[-1.0, -5.0, -2.0, -3.0]]), k=0.5)
    tensor([-4.])
    """
    values, kept = _checked("token_logps", token_logps, mask)
    return _least(values, kept, k)


def min_k_plus_plus(
    logits: Float[Tensor, "batch tokens vocabulary"],
    input_ids: Int[Tensor, "batch tokens"],
    mask: Mask | None = None,
    k: float = 0.2,
) -> Float[Tensor, " batch"]:
    """Min-K% of log-probabilities standardised by what they are in the mean over the model's own next token.

    ``z = (log p(x_i) − μ_i) / σ_i`` with ``μ_i = Σ_v p(v) log p(v)`` and ``σ_i² = Σ_v p(v) log² p(v) − μ_i²``, at least
    1e-6. Raises ``ValueError`` as ``min_k_prob`` and as ``token_logps`` of ``neural.tiny_lm.logprobs``, or for a NaN.
    """
    log_probs = log_probabilities(logits, input_ids)
    finite_contents("logits", logits)
    values, kept = _checked("logits", log_probs, mask)
    all_logs = torch.log_softmax(logits[:, :-1], dim=-1, dtype=values.dtype)
    probabilities = all_logs.exp()
    mean = (probabilities * all_logs).sum(-1)
    # Around the mean, not as a difference of moments: that loses what is left of σ² where p is nearly certain.
    variance = (probabilities * (all_logs - mean[..., None]).square()).sum(-1)
    return _least((values - mean) / variance.clamp_min(1e-6).sqrt(), kept, k)


def perplexity_score(token_logps: LogProbs, mask: Mask | None = None) -> Float[Tensor, " batch"]:
    """Mean log-probability of each row, minus the logarithm of its perplexity. Raises as ``min_k_prob``.

    >>> perplexity_score(torch.tensor([[-1.0, -5.0, -2.0, -4.0]]))
    tensor([-3.])
    """
    values, kept = _checked("token_logps", token_logps, mask)
    return values.mean(1) if kept is None else values.masked_fill(~kept, 0).sum(1) / kept.sum(1)


def zlib_score(nll: Numbers, texts: Sequence[str]) -> Float[Tensor, " batch"]:
    """Minus the mean negative log-likelihood of each text over the bytes of its zlib compression.

    Raises ``ValueError`` for a negative or NaN ``nll`` or another number of texts.
    """
    values = _losses("nll", nll)
    if isinstance(texts, str) or len(texts) != len(values) or any(not isinstance(text, str) for text in texts):
        raise ValueError(f"texts must be {len(values)} strings, one per entry of nll, got {texts!r:.60}")
    sizes = [len(zlib.compress(text.encode())) for text in texts]
    return -values / torch.tensor(sizes, dtype=values.dtype, device=values.device)


def lowercase_score(nll: Numbers, nll_lower: Numbers) -> Float[Tensor, " batch"]:
    """Negative log-likelihood of the text in lower case over that of the text: a member loses by the change.

    Raises ``ValueError`` for entries that are negative or NaN, shapes that differ, or a text of likelihood 1.
    """
    values, lower = _losses("nll", nll), _losses("nll_lower", nll_lower, nll)
    if values.device.type == "cpu" and not bool((values > 0).all()):
        raise ValueError("nll must be above 0, got a text of likelihood 1")
    return lower / values


def reference_score(lp: Numbers, lp_ref: Numbers) -> Float[Tensor, " batch"]:
    """Mean log-probability minus that under a reference model. Raises ``ValueError`` for positive or NaN entries."""
    return _means("lp", lp) - _means("lp_ref", lp_ref, lp)


def neighbour_score(
    lp: Numbers, lp_neighbours: Float[Tensor, "batch neighbours"] | Float[np.ndarray, "batch neighbours"]
) -> Float[Tensor, " batch"]:
    """Mean log-probability minus its mean over slightly changed versions of the text, which the caller makes.

    Raises ``ValueError`` for positive or NaN entries, another number of rows, or no neighbours.
    """
    values = _means("lp", lp)
    others = _tensor("lp_neighbours", lp_neighbours)
    floating("lp_neighbours", others, 2)
    if len(others) != len(values) or others.shape[1] == 0:
        raise ValueError(f"lp_neighbours must have shape ({len(values)}, neighbours ≥ 1), got {tuple(others.shape)}")
    _not_positive("lp_neighbours", others)
    return values - others.mean(1)


@dataclass(frozen=True)
class MembershipReport:
    """Area under the ROC curve, best balanced accuracy, and share of members found at a false alarm rate below 5 %."""

    auc: float
    balanced_accuracy: float
    tpr_at_5_percent: float


def membership_report(
    member_scores: Float[Tensor, " members"] | Float[np.ndarray, " members"],
    nonmember_scores: Float[Tensor, " others"] | Float[np.ndarray, " others"],
) -> MembershipReport:
    """How well a threshold on the score separates members from others.

    Raises ``ValueError`` for an empty side or a NaN.

    >>> membership_report(torch.tensor([3.0, 1.0]), torch.tensor([2.0, 0.0]))
    MembershipReport(auc=0.75, balanced_accuracy=0.75, tpr_at_5_percent=0.5)
    """
    members, others = _scores("member_scores", member_scores), _scores("nonmember_scores", nonmember_scores)
    found, alarms = _rates(members, others)
    area = float(torch.trapezoid(found, alarms))
    return MembershipReport(area, float(((found + 1 - alarms) / 2).max()), float(found[alarms < 0.05].max()))


class MembershipDetector:
    """A score and the threshold above which a text is called a member.

    ``score`` is "min_k" or "perplexity" for ``scores``; any other score can be given to ``fit_threshold`` and
    ``predict`` directly. Raises ``ValueError`` for another name or k outside (0, 1].

    >>> detector = MembershipDetector(k=0.5)
    >>> scores = detector.scores(torch.tensor([[-1.0, -2.0], [-4.0, -1.0], [-0.5, -0.1]]))
    >>> detector.fit_threshold(scores, torch.tensor([True, False, True])).predict(torch.tensor([-1.0, -3.5]))
    tensor([ True, False])
    """

    def __init__(self, score: Literal["min_k", "perplexity"] = "min_k", k: float = 0.2) -> None:
        one_of("score", score, ("min_k", "perplexity"))
        _share(k)
        self.score, self.k = score, k
        self.threshold: float | None = None

    def scores(self, token_logps: LogProbs, mask: Mask | None = None) -> Float[Tensor, " batch"]:
        """The chosen score of each row. Raises ``ValueError`` as ``min_k_prob``."""
        if self.score == "perplexity":
            return perplexity_score(token_logps, mask)
        return min_k_prob(token_logps, mask, self.k)

    def fit_threshold(
        self, scores: Numbers, labels: Bool[Tensor, " batch"] | Bool[np.ndarray, " batch"]
    ) -> "MembershipDetector":
        """The threshold of the best balanced accuracy, half-way between the scores on its two sides.

        Raises ``ValueError`` for a NaN, labels that are not bool or of another length, or only one kind of them.
        """
        values = _scores("scores", scores)
        known = _tensor("labels", labels)
        if known.dtype != torch.bool or known.shape != values.shape or bool(known.all()) or not bool(known.any()):
            raise ValueError(
                f"labels must be {len(values)} booleans of both kinds, as scores, got {known.dtype} {known!r:.60}"
            )
        found, alarms = _rates(values[known], values[~known])
        levels = values.unique().flip(0)
        best = int((found - alarms).argmax())
        # found[i] is the share above or at levels[i − 1]; nothing is at or above +∞.
        if best == 0:
            self.threshold = math.inf
        elif best == len(levels):
            self.threshold = -math.inf
        else:
            self.threshold = float((levels[best - 1] + levels[best]) / 2)
        return self

    def predict(self, scores: Numbers) -> Bool[Tensor, " batch"]:
        """True for the members. Raises ``ValueError`` for a NaN, ``RuntimeError`` before a threshold was fitted."""
        values = _scores("scores", scores)
        if self.threshold is None:
            raise RuntimeError("fit_threshold has to be called before predict")
        return values > self.threshold


def _least(values: Tensor, kept: Tensor | None, k: float) -> Tensor:
    _share(k)
    # Of the two selections that torch has, the one of the largest is more than twice as fast.
    losses = -values
    if kept is None:
        # 0.29 · 100 is 28.999…; a rounding error must not cost a token.
        most = max(1, math.floor(values.shape[1] * k + 1e-9))
        return -losses.topk(most, dim=1, sorted=False).values.mean(1)
    wanted = (kept.sum(1).double() * k + 1e-9).floor().clamp_min(1)
    ordered = losses.masked_fill(~kept, -torch.inf).topk(int(wanted.max()), dim=1).values
    among = torch.arange(ordered.shape[1], device=values.device) < wanted[:, None]
    return -ordered.masked_fill(~among, 0).sum(1) / wanted.to(values.dtype)


def _share(k: float) -> None:
    in_range("k", k, 0, 1)
    if k == 0:
        raise ValueError("k must be above 0, got 0")


def _tensor(name: str, value: object) -> Tensor:
    if not isinstance(value, Tensor | np.ndarray):
        raise ValueError(f"{name} must be a tensor or an array, got {type(value).__name__}")
    return torch.as_tensor(value)


def _checked(name: str, log_probs: LogProbs, mask: Mask | None) -> tuple[Tensor, Tensor | None]:
    values = _tensor(name, log_probs)
    floating(name, values, 2)
    if values.dtype in (torch.float16, torch.bfloat16):
        values = values.float()
    kept = None if mask is None else _tensor("mask", mask)
    if kept is not None and (kept.dtype != torch.bool or kept.shape != values.shape):
        raise ValueError(f"mask must be bool of shape {tuple(values.shape)}, got {kept.dtype} {tuple(kept.shape)}")
    if values.device.type == "cpu":
        if kept is not None and not bool(kept.any(1).all()):
            raise ValueError(f"mask must have a target in every row, row {int((~kept.any(1)).nonzero()[0])} has none")
        told = values if kept is None else values.masked_fill(~kept, 0)
        # A NaN makes the largest NaN, which is not at most 0 either.
        if not bool(told.max() <= 0):
            row = int((told.isnan() | (told > 0)).any(1).nonzero()[0])
            raise ValueError(f"{name} must hold log-probabilities, at most 0 and not NaN; row {row} does not")
    return values, kept


def _losses(name: str, values: Numbers, like: Numbers | None = None) -> Tensor:
    return -_means(name, -_tensor(name, values), like)


def _means(name: str, values: Numbers | Tensor, like: Numbers | None = None) -> Tensor:
    found = _tensor(name, values)
    floating(name, found, 1)
    if like is not None and len(found) != len(like):
        raise ValueError(f"{name} must have one entry per text, {len(like)}, got {tuple(found.shape)}")
    _not_positive(name, found)
    return found


def _not_positive(name: str, values: Tensor) -> None:
    if values.device.type == "cpu" and bool((values.isnan() | (values > 0) | values.isinf()).any()):
        raise ValueError(f"{name} must be finite and have the sign of a log-likelihood, got {values}")


def _scores(name: str, values: Numbers) -> Tensor:
    found = _tensor(name, values)
    floating(name, found, 1)
    if found.device.type == "cpu" and bool(found.isnan().any()):
        raise ValueError(f"{name} must not hold NaN, got {found!r:.60}")
    return found


def _rates(members: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of members and of others at or above each different score, from the highest, after a first (0, 0)."""
    levels = torch.cat([members, others]).unique().flip(0)
    return tuple(
        torch.cat([levels.new_zeros(1), (side[:, None] >= levels).to(levels.dtype).mean(0)])
        for side in (members, others)
    )  # type: ignore[return-value]
