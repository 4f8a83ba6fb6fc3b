"""Critical tokens in preference optimisation (cDPO): push down what spoilt a wrong answer, spare its innocent tokens.

    log_s = contrastive_estimation(pos(ids).logits, neg(ids).logits, ids)       # two models of right and wrong answers
    loss = cdpo_loss(pol_w_tok, pol_l_tok, ref_w_tok, ref_l_tok, mask_w, mask_l, scores_l=log_s.exp())

    log s_t = (1 + β) log P_p(y_t | y_<t) − β log P_n(y_t | y_<t) − log Z_t
    L = −log σ( γ Σ_t log π(y⁺_t)/π_r(y⁺_t)  −  γ Σ_t (1 − s_t) log π(y⁻_t)/π_r(y⁻_t) )

A small s_t says that wrong answers go on with y_t and right ones do not. Right and wrong answers share most of their
tokens, and DPO pushes the wrong one's down all the same, the right one with it; the weights 1 − s_t do so less. With
s = 0 the loss is DPO's, with s = 1 it only pushes right answers up.

What s_t stands for is measured by rollouts, at a cost: ``rollout_scores`` completes every prefix of an answer many
times, ``find_critical_token`` takes the first token after which no completion is right, ``pass_at_k`` says what the
answer would have been worth without it.

Losses take log-probabilities of tokens, (batch, targets), which ``neural.tiny_lm.logprobs`` computes from the logits of
any model, those of the reference being constants. Half precision is computed in float32.

Sources: Lin, Liang, Xu, Liu, Wang, Luo, Shi, Li, Yang and Tu (2025), *Critical tokens matter: token-level contrastive
estimation enhances LLM's reasoning capability*; ``form="token"`` is the loss of the authors' code. Rafailov, Sharma,
Mitchell, Ermon, Manning and Finn (2023), *Direct preference optimization*; Pang, Yuan, Cho, He, Sukhbaatar and Weston
(2024), *Iterative reasoning preference optimization*, for RPO; Zeng, Liu, Ma, Yang, Zhang and Wang (2024),
*Token-level direct preference optimization*, for TDPO.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neural.alignment.rollouts import mc_step_q
from neural.tiny_lm.logprobs import token_logps
from neural.validation import (
    Reduction,
    at_least,
    finite_contents,
    floating,
    in_range,
    indices,
    one_of,
    positive,
    reduce,
    target_logps,
    target_weights,
    whole_number,
)

__all__ = [
    "cdpo_loss",
    "contrastive_estimation",
    "find_critical_token",
    "pass_at_k",
    "rollout_scores",
    "rpo_loss",
    "tdpo_loss",
    "token_dpo_weights",
    "token_forward_kl",
]

Tokens = Float[Tensor, "batch targets"]
Others = Float[Tensor, "batch others"]
Mask = Float[Tensor, "batch targets"] | Bool[Tensor, "batch targets"]
OtherMask = Float[Tensor, "batch others"] | Bool[Tensor, "batch others"]
Logits = Float[Tensor, "batch tokens vocabulary"]
Loss = Float[Tensor, ""] | Float[Tensor, " batch"]

_ROUNDING = 1e-3
"""How far below 0 a divergence may be by rounding."""


def contrastive_estimation(
    pos_logits: Logits, neg_logits: Logits, input_ids: Int[Tensor, "batch tokens"], beta: float = 1.0
) -> Float[Tensor, "batch targets"]:
    """``log s`` of every target: ``log_softmax((1 + beta) pos_logits − beta neg_logits)`` at ``input_ids[:, 1:]``.

    Logits are not shifted, as for ``token_logps``; the models' own normalisers cancel. With equal models s is their
    probability, not a constant. Raises ``ValueError`` for shapes or dtypes that do not fit, beta below 0, and on CPU
    for logits that are not finite or ids outside the vocabulary.

    >>> pos, neg = torch.tensor([[[0.5, 0.5], [1, 1]]]).log(), torch.tensor([[[0.2, 0.8], [1, 1]]]).log()
    >>> contrastive_estimation(pos, neg, torch.tensor([[0, 1]])).exp()
    tensor([[0.2000]])
    """
    at_least("beta", beta, 0)
    both = []
    for name, logits in (("pos_logits", pos_logits), ("neg_logits", neg_logits)):
        floating(name, logits, 3)
        finite_contents(name, logits)
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        # A constant common to a position's logits cancels; taking it off first saves the digits that it would cost.
        both.append(wide - wide.detach().amax(-1, keepdim=True))
    if pos_logits.shape != neg_logits.shape:
        raise ValueError(f"neg_logits must have shape {tuple(pos_logits.shape)}, got {tuple(neg_logits.shape)}")
    return token_logps((1 + beta) * both[0] - beta * both[1], input_ids)


def token_dpo_weights(
    scores: Tokens, mask: Mask, side: Literal["rejected", "chosen"] = "rejected"
) -> Float[Tensor, "batch targets"]:
    """Factors of the log-ratio of each token: ``1 − s`` of a rejected answer, ``s`` of a chosen one, 0 off the mask.

    An end of text that was appended after scoring gets the score 0, so that it counts in full. Raises ``ValueError``
    for shapes or dtypes that do not fit, another side, and on CPU for scores outside [0, 1], negative masks or a row
    without targets.

    >>> token_dpo_weights(torch.tensor([[0.25, 0.5]]), torch.tensor([[True, False]]))
    tensor([[0.7500, 0.0000]])
    """
    one_of("side", side, ("rejected", "chosen"))
    floating("scores", scores, 2)
    return _weights("scores", scores, "mask", target_weights("mask", mask, scores, like_name="scores"), side)


def cdpo_loss(
    pol_w_tok: Tokens,
    pol_l_tok: Others,
    ref_w_tok: Tokens,
    ref_l_tok: Others,
    mask_w: Mask,
    mask_l: OtherMask,
    scores_l: Others,
    gamma: float = 0.1,
    scores_w: Tokens | None = None,
    form: Literal["sequence", "token"] = "sequence",
    label_smoothing: float = 0.0,
    nll_weight: float = 0.0,
    reduction: Reduction = "mean",
) -> Loss:
    """DPO whose rejected tokens are weighted with ``1 − scores_l``; no gradient flows into references and scores.

    Args:
        pol_w_tok, pol_l_tok: log-probabilities of the tokens of right and wrong answers under the policy.
        ref_w_tok, ref_l_tok: under the reference.
        mask_w, mask_l: targets that count.
        scores_l: s of the wrong answer's tokens, in [0, 1]; 0 throughout is DPO.
        gamma: above 0.
        scores_w: weights of the right answer's tokens, which the paper does not use; 1 by default.
        form: ``sequence``, the paper's; ``token``, of the authors' code: the mean over positions of the loss of each
            position's weighted log-ratios. The two answers are laid side by side there, so that they need one length.
            Positions without a target on either side do not count (each would add log 2, as it does in that code).
        label_smoothing: share in [0, 0.5] of the loss of the pair turned round.
        nll_weight: of the mean negative log-likelihood of the right answer's tokens, added to each pair's loss.
        reduction: over pairs.

    Raises ``ValueError`` for a missing reference, shapes or dtypes that do not fit, numbers out of range, and on CPU
    for rows without targets, scores outside [0, 1], and log-probabilities that are not finite or above 0.

    >>> w, l = torch.tensor([[-1.0]]), torch.tensor([[-2.0, -2.0]])
    >>> masks = torch.tensor([[True]]), torch.tensor([[True, True]])
    >>> round(cdpo_loss(w, l, w - 1, l - 2, *masks, scores_l=torch.tensor([[0.0, 1.0]]), gamma=1.0).item(), 4)
    1.3133
    """
    positive("gamma", gamma)
    one_of("form", form, ("sequence", "token"))
    in_range("label_smoothing", label_smoothing, 0, 0.5)
    at_least("nll_weight", nll_weight, 0)
    one_of("reduction", reduction, ("mean", "sum", "none"))
    wanted, values, mask_w = _log_ratio("pol_w_tok", pol_w_tok, "ref_w_tok", ref_w_tok, "mask_w", mask_w)
    unwanted, _, mask_l = _log_ratio("pol_l_tok", pol_l_tok, "ref_l_tok", ref_l_tok, "mask_l", mask_l)
    if len(wanted) != len(unwanted):
        raise ValueError(f"pol_l_tok must have {len(wanted)} rows, as pol_w_tok, got {len(unwanted)}")
    weights = mask_w if scores_w is None else _weights("scores_w", scores_w, "mask_w", mask_w, "chosen")
    pulls = weights * wanted, _weights("scores_l", scores_l, "mask_l", mask_l, "rejected") * unwanted
    if form == "sequence":
        losses = _preference(gamma * (pulls[0].sum(1) - pulls[1].sum(1)), label_smoothing)
    else:
        if wanted.shape != unwanted.shape:
            raise ValueError(
                f"pol_l_tok must have shape {tuple(wanted.shape)}, as pol_w_tok, for form 'token', got "
                f"{tuple(unwanted.shape)}"
            )
        counts = (mask_w != 0) | (mask_l != 0)
        each = _preference(gamma * (pulls[0] - pulls[1]), label_smoothing).masked_fill(~counts, 0.0)
        losses = each.sum(1) / counts.sum(1)
    if nll_weight:
        losses = losses - nll_weight * (values * mask_w).sum(1) / mask_w.sum(1)
    return reduce(losses, reduction)


def rpo_loss(
    pol_w_tok: Tokens,
    pol_l_tok: Others,
    ref_w_tok: Tokens,
    ref_l_tok: Others,
    mask_w: Mask,
    mask_l: OtherMask,
    gamma: float = 0.1,
    alpha: float = 1.0,
    reduction: Reduction = "mean",
) -> Loss:
    """DPO plus ``alpha`` times the mean negative log-likelihood of the right answer's tokens. Raises as ``cdpo_loss``.

    The mean is over each answer's own tokens; some implementations take it over all tokens of the batch.

    >>> w, mask = torch.tensor([[-1.0, -3.0]]), torch.tensor([[True, True]])
    >>> round(rpo_loss(w, w, w, w, mask, mask).item(), 4)
    2.6931
    """
    at_least("alpha", alpha, 0)
    floating("pol_l_tok", pol_l_tok, 2)
    return cdpo_loss(
        pol_w_tok, pol_l_tok, ref_w_tok, ref_l_tok, mask_w, mask_l, torch.zeros_like(pol_l_tok), gamma,
        nll_weight=alpha, reduction=reduction,
    )  # fmt: skip


def tdpo_loss(
    pol_w_tok: Tokens,
    pol_l_tok: Others,
    ref_w_tok: Tokens,
    ref_l_tok: Others,
    kl_w_tok: Tokens,
    kl_l_tok: Others,
    mask_w: Mask,
    mask_l: OtherMask,
    gamma: float = 0.1,
    alpha: float = 0.5,
    reduction: Reduction = "mean",
) -> Loss:
    """``−log σ(γ [Σ r⁺ − Σ r⁻ − α (Σ kl⁻ − sg Σ kl⁺)])``: DPO beside sequential forward divergences (TDPO₂).

    ``kl_w_tok`` and ``kl_l_tok`` are ``token_forward_kl`` along both answers; sg lets no gradient through. Raises
    ``ValueError`` as ``cdpo_loss``, for alpha below 0, and on CPU for divergences that are not finite or below 0.

    >>> w, mask = torch.tensor([[-1.0]]), torch.tensor([[True]])
    >>> round(tdpo_loss(w, w, w, w, torch.tensor([[0.0]]), torch.tensor([[2.0]]), mask, mask, gamma=1.0).item(), 4)
    1.3133
    """
    positive("gamma", gamma)
    at_least("alpha", alpha, 0)
    one_of("reduction", reduction, ("mean", "sum", "none"))
    wanted, _, mask_w = _log_ratio("pol_w_tok", pol_w_tok, "ref_w_tok", ref_w_tok, "mask_w", mask_w)
    unwanted, _, mask_l = _log_ratio("pol_l_tok", pol_l_tok, "ref_l_tok", ref_l_tok, "mask_l", mask_l)
    if len(wanted) != len(unwanted):
        raise ValueError(f"pol_l_tok must have {len(wanted)} rows, as pol_w_tok, got {len(unwanted)}")
    kept = _divergence("kl_w_tok", kl_w_tok, mask_w).detach(), _divergence("kl_l_tok", kl_l_tok, mask_l)
    margin = (mask_w * wanted).sum(1) - (mask_l * unwanted).sum(1) - alpha * (kept[1] - kept[0])
    return reduce(-F.logsigmoid(gamma * margin), reduction)


def token_forward_kl(logits: Logits, ref_logits: Logits) -> Float[Tensor, "batch targets"]:
    """``KL(reference ‖ model)`` of the law of every target, (batch, tokens − 1); the reference is a constant.

    Raises ``ValueError`` for shapes or dtypes that do not fit, fewer than two tokens, and on CPU for logits that are
    not finite.

    >>> token_forward_kl(torch.tensor([[[0.5, 0.5], [1, 1]]]).log(), torch.tensor([[[0.25, 0.75], [1, 1]]]).log())
    tensor([[0.1308]])
    """
    for name, value in (("logits", logits), ("ref_logits", ref_logits)):
        floating(name, value, 3)
        finite_contents(name, value)
        if value.shape != logits.shape:
            raise ValueError(f"ref_logits must have shape {tuple(logits.shape)}, as logits, got {tuple(value.shape)}")
    if logits.shape[1] < 2:
        raise ValueError(f"logits must have at least 2 tokens, got shape {tuple(logits.shape)}")
    dtype = torch.promote_types(logits.dtype, torch.float32)
    own = torch.log_softmax(logits[:, :-1], dim=-1, dtype=dtype)
    reference = torch.log_softmax(ref_logits[:, :-1].detach(), dim=-1, dtype=dtype)
    return F.kl_div(own, reference, reduction="none", log_target=True).sum(-1)


def rollout_scores(
    sampler: Callable[[Tensor, int], Tensor],
    prefixes: Int[Tensor, "batch tokens"],
    verifier: Callable[[Tensor, Tensor], Tensor],
    n_rollouts: int = 64,
    prompt_length: int = 1,
    max_batch: int = 65536,
) -> Float[Tensor, "batch targets"]:
    """``[b, t]``: the share of ``n_rollouts`` right completions of text b up to its token ``prompt_length + t``.

    Args:
        sampler: ``(prefixes, n_new) -> continuations`` of a batch of prefixes of one length.
        prefixes: texts of one length, prompt and answer, all of whose prefixes beyond the prompt are scored.
        verifier: ``(prompts, answers) -> bool (batch,)``.
        n_rollouts: completions of each prefix; whole answers are only verified.
        prompt_length: tokens of the prompt.
        max_batch: most rows that the sampler gets at once.

    All texts' prefixes of one length, with all their completions, are one batch of the sampler. Raises ``ValueError``
    for ids that are no whole numbers of shape (batch, tokens), a prompt that leaves no answer, and as ``mc_step_q``.

    >>> coin = lambda prefixes, n_new: torch.ones(len(prefixes), n_new, dtype=torch.long)
    >>> right = lambda prompts, answers: answers.sum(1) >= 2
    >>> rollout_scores(coin, torch.tensor([[7, 0, 1, 0]]), right, n_rollouts=4)
    tensor([[1., 1., 0.]])
    """
    indices("prefixes", prefixes)
    whole_number("prompt_length", prompt_length, 1)
    if prefixes.ndim != 2 or prefixes.numel() == 0 or prefixes.shape[1] <= prompt_length:
        raise ValueError(
            f"prefixes must have shape (batch ≥ 1, tokens > prompt_length = {prompt_length}), got "
            f"{tuple(prefixes.shape)}"
        )
    if prefixes.device.type == "cpu" and int(prefixes.min()) < 0:
        raise ValueError(f"prefixes must be at least 0, got {int(prefixes.min())}")
    answers = prefixes[:, prompt_length:]
    ends = torch.arange(1, answers.shape[1] + 1)
    return mc_step_q(
        sampler, prefixes[:, :prompt_length], answers, ends, verifier, n_rollouts, max_batch=max_batch
    )  # fmt: skip


def find_critical_token(
    scores: Float[Tensor, "*batch tokens"], later_threshold: float = 0.05, none: float = 0.0
) -> Int[Tensor, "*batch"]:
    """The first token whose score is at most ``none`` and after which all are below ``later_threshold``, or −1.

    ``scores`` are those after each token; ``none`` above 0 is for exact chances, which are seldom 0. Raises
    ``ValueError`` for what is no floating-point (…, tokens), thresholds outside [0, 1], and on CPU for other scores.

    >>> find_critical_token(torch.tensor([[0.4, 0.0, 0.3, 0.0, 0.03], [0.5, 0.4, 0.3, 0.2, 0.1]]))
    tensor([ 3, -1])
    """
    floating("scores", scores)
    if scores.ndim == 0:
        raise ValueError("scores must have an axis of tokens, got a single number")
    _in_unit_interval("scores", scores)
    in_range("later_threshold", later_threshold, 0, 1)
    in_range("none", none, 0, 1)
    best_from_here = scores.flip(-1).cummax(-1).values.flip(-1)
    later = F.pad(best_from_here[..., 1:], (0, 1), value=-1.0)
    critical = (scores <= none) & (later < later_threshold)
    # argmax of a mask returns the first.
    return torch.where(critical.any(-1), critical.int().argmax(-1), -1)


def pass_at_k(n: int, c: Int[Tensor, "*batch"] | int, k: int) -> Float[Tensor, "*batch"]:
    """``1 − C(n − c, k) / C(n, k)``: the chance that one of k of n samples is right, c of them being so, in float64.

    Raises ``ValueError`` for numbers that are not whole, k outside 1 … n (use ``min(k, n)``), and on CPU for c outside
    0 … n.

    >>> pass_at_k(4, torch.tensor([0, 1, 4]), 2)
    tensor([0.0000, 0.5000, 1.0000], dtype=torch.float64)
    """
    whole_number("n", n, 1)
    whole_number("k", k, 1)
    if k > n:
        raise ValueError(f"k must be at most n = {n} (use min(k, n)), got {k}")
    if isinstance(c, int):
        whole_number("c", c, 0)
    right = torch.as_tensor(c) if isinstance(c, int) else c
    indices("c", right)
    if right.device.type == "cpu" and right.numel() and (int(right.min()) < 0 or int(right.max()) > n):
        raise ValueError(f"c must be in 0 … n = {n}, got {int(right.min())} … {int(right.max())}")
    drawn = torch.arange(k, device=right.device, dtype=torch.float64)
    failures = (n - right.double())[..., None]
    return 1 - ((failures - drawn).clamp_min(0) / (n - drawn)).prod(-1)


def _preference(margin: Tensor, label_smoothing: float) -> Tensor:
    losses = -(1 - label_smoothing) * F.logsigmoid(margin)
    return losses - label_smoothing * F.logsigmoid(-margin) if label_smoothing else losses


def _weights(name: str, scores: Tensor, mask_name: str, mask: Tensor, side: str) -> Tensor:
    floating(name, scores, 2)
    if scores.shape != mask.shape:
        raise ValueError(f"{name} must have shape {tuple(mask.shape)}, as {mask_name}, got {tuple(scores.shape)}")
    kept = scores.detach().to(mask.dtype).masked_fill(mask == 0, 0.0)
    _in_unit_interval(name, kept)
    return mask * (kept if side == "chosen" else 1 - kept)


def _in_unit_interval(name: str, values: Tensor) -> None:
    if values.device.type == "cpu":
        low, high = (float(end) for end in torch.aminmax(values.detach()))
        if not (low >= 0 and high <= 1):
            raise ValueError(f"{name} must lie in [0, 1], got {low} … {high}")


def _log_ratio(
    name: str, policy: Tensor, ref_name: str, reference: Tensor, mask_name: str, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-ratios of the tokens and the policy's log-probabilities, 0 off the mask, and the mask as weights."""
    if reference is None:
        raise ValueError(f"{ref_name} must be the reference's log-probabilities, got None")
    floating(name, policy, 2)
    weights = target_weights(mask_name, mask, policy, like_name=name)
    values = target_logps(name, policy, weights)
    constants = target_logps(ref_name, reference, weights).detach()
    return values - constants, values, weights


def _divergence(name: str, kl: Tensor, mask: Tensor) -> Tensor:
    """Sum over the targets of every row."""
    floating(name, kl, 2)
    if kl.shape != mask.shape:
        raise ValueError(f"{name} must have shape {tuple(mask.shape)}, as its mask, got {tuple(kl.shape)}")
    values = kl.to(mask.dtype).masked_fill(mask == 0, 0.0)
    finite_contents(name, values)
    if values.device.type == "cpu" and float(values.detach().min()) < -_ROUNDING:
        raise ValueError(f"{name} must be at least 0, got {float(values.detach().min())}")
    return (values * mask).sum(1)
