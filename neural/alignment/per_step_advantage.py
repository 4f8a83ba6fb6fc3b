"""Per-step credit for wrong answers: which step spoilt them, and two losses that use it.

    q = mc_step_q(sampler, prompts, wrong, step_ends, verifier, n_rollouts=16)      # neural.alignment.rollouts
    adv = step_advantages(q, v0)                       # A_i = Q_i − Q_{i−1}, Q_0 = v0, the value of the prompt
    pit = first_pit(q, adv)                            # the step that lost most
    mask = prefix_mask(step_ends, pit, T)              # its tokens and all before
    loss = per_step_dpo_loss(pol_w, pol_l, ref_w, ref_l, mask_w, mask, beta=0.1)
    loss = advantage_weighted_nll(token_logps, step_ids, adv, beta=0.3)             # or: advantage-weighted likelihood

A per-step pair is a right solution and a wrong one *cut after its pit*: what follows the pit is not to blame. Losses
take log-probabilities of tokens, (batch, targets), which ``neural.tiny_lm.logprobs`` computes from the logits of any
model. Half precision is computed in float32.

The first step with the lowest Q is the pit in the paper. Where a policy may still recover by luck, Q of a wrong answer
reaches 0 at its last step only, and the per-step loss silently becomes the ordinary one. So the default is the largest
drop, which is the same step wherever Q is 0 from the first error on and that error costs most.

Source: Setlur, Garg, Geng, Garg, Smith and Kumar (2024), *RL on Incorrect Synthetic Data Scales the Efficiency of LLM
Math Reasoning by Eight-Fold*. Exact values and what the losses converge to: ``theory.alignment.per_step_advantage``.
"""

import warnings
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neural.validation import (
    Reduction,
    finite_contents,
    floating,
    in_range,
    indices,
    positive,
    reduce,
    target_logps,
    target_weights,
    whole_number,
)

__all__ = [
    "advantage_weighted_nll",
    "first_pit",
    "per_step_dpo_loss",
    "preference_pairs",
    "prefix_mask",
    "step_advantages",
]

Tokens = Float[Tensor, "batch targets"]
Mask = Float[Tensor, "batch targets"] | Bool[Tensor, "batch targets"]
Steps = Float[Tensor, "batch steps"]
Rule = Literal["argmin_adv", "first_argmin_q"] | tuple[Literal["threshold"], float]


def step_advantages(q: Steps, v0: Float[Tensor, " batch"]) -> Steps:
    """``A_1 = Q_1 − v0, A_i = Q_i − Q_{i−1}``: what each step did to the chance of success; the sum is Q_L − v0.

    Raises ``ValueError`` for shapes or dtypes that do not fit, and on CPU for chances outside [0, 1].

    >>> step_advantages(torch.tensor([[0.5, 0.0, 0.0]]), torch.tensor([0.75]))
    tensor([[-0.2500, -0.5000,  0.0000]])
    """
    _chances("q", q, 2)
    _chances("v0", v0, 1)
    if len(v0) != len(q):
        raise ValueError(f"v0 must have shape ({len(q)},), as q {tuple(q.shape)}, got {tuple(v0.shape)}")
    return torch.diff(q, dim=1, prepend=v0.to(q)[:, None])


def first_pit(q: Steps, adv: Steps, rule: Rule = "argmin_adv") -> Int[Tensor, " batch"]:
    """Number of the step that spoilt each wrong answer, the first of equals.

    Args:
        q: values after each step.
        adv: their advantages.
        rule: ``argmin_adv``, the largest drop; ``first_argmin_q``, the first step with the lowest value, as in the
            paper; ``("threshold", tau)``, the first with a value of at most tau (the lowest one where there is none).

    Raises ``ValueError`` for shapes or dtypes that do not fit, another rule, tau outside [0, 1], and on CPU for q
    outside [0, 1] and advantages that are not finite.

    >>> q = torch.tensor([[0.6, 0.1, 0.0]])
    >>> adv = step_advantages(q, torch.tensor([0.6]))
    >>> [first_pit(q, adv, rule).item() for rule in ("argmin_adv", "first_argmin_q", ("threshold", 0.1))]
    [1, 2, 1]
    """
    _chances("q", q, 2)
    floating("adv", adv, 2)
    finite_contents("adv", adv)
    if adv.shape != q.shape:
        raise ValueError(f"adv must have shape {tuple(q.shape)}, as q, got {tuple(adv.shape)}")
    if rule == "argmin_adv":
        return _first_minimum(adv)
    if rule == "first_argmin_q":
        return _first_minimum(q)
    if isinstance(rule, tuple) and len(rule) == 2 and rule[0] == "threshold":
        in_range("rule", rule[1], 0, 1)
        low = q <= rule[1]
        return torch.where(low.any(1), low.int().argmax(1), _first_minimum(q))
    raise ValueError(f"rule must be 'argmin_adv', 'first_argmin_q' or ('threshold', tau), got {rule!r}")


def prefix_mask(
    step_ends: Int[Tensor, " steps"] | Int[Tensor, "batch steps"], pit: Int[Tensor, " batch"], T: int
) -> Bool[Tensor, "batch targets"]:
    """True for the targets of the steps up to the pit, the pit included: the first ``step_ends[pit]`` of T.

    ``step_ends`` counts targets. Where these include the prompt, add its length − 1 to step ends of the response, and
    take the mask *and* that of the response. Raises ``ValueError`` for what is not whole numbers of such shapes, T
    below 1, and on CPU for step ends that do not rise within 1 … T or a pit beyond the last step.

    >>> prefix_mask(torch.tensor([2, 4]), torch.tensor([0, 1]), T=5).int().tolist()
    [[1, 1, 0, 0, 0], [1, 1, 1, 1, 0]]
    """
    whole_number("T", T, 1)
    indices("pit", pit)
    if pit.ndim != 1 or len(pit) == 0:
        raise ValueError(f"pit must have shape (batch ≥ 1,), got {tuple(pit.shape)}")
    indices("step_ends", step_ends)
    if step_ends.numel() == 0 or not (step_ends.ndim == 1 or (step_ends.ndim == 2 and len(step_ends) == len(pit))):
        raise ValueError(f"step_ends must have shape (steps ≥ 1,) or ({len(pit)}, steps), got {tuple(step_ends.shape)}")
    ends = step_ends.long().expand(len(pit), step_ends.shape[-1])
    if ends.device.type == "cpu":
        if bool((ends.diff(dim=1) <= 0).any()) or int(ends.min()) < 1 or int(ends.max()) > T:
            raise ValueError(f"step_ends must rise within 1 … T = {T}, got {step_ends.tolist()!r:.60}")
        if int(pit.min()) < 0 or int(pit.max()) >= ends.shape[1]:
            raise ValueError(f"pit must be in 0 … {ends.shape[1] - 1}, got {int(pit.min())} … {int(pit.max())}")
    last = ends.gather(1, pit.long()[:, None])
    return torch.arange(T, device=ends.device) < last


def per_step_dpo_loss(
    pol_w_tok: Float[Tensor, "batch targets"],
    pol_l_tok: Float[Tensor, "batch others"],
    ref_w_tok: Float[Tensor, "batch targets"],
    ref_l_tok: Float[Tensor, "batch others"],
    mask_w: Float[Tensor, "batch targets"] | Bool[Tensor, "batch targets"],
    mask_l_prefix: Float[Tensor, "batch others"] | Bool[Tensor, "batch others"],
    beta: float,
    reduction: Reduction = "mean",
) -> Float[Tensor, ""] | Float[Tensor, " batch"]:
    """``−log sigma(beta [sum_w log(pol/ref) − sum_{l, up to its pit} log(pol/ref)])``, no gradient for the reference.

    Args:
        pol_w_tok, pol_l_tok: log-probabilities of the tokens of right and wrong answers under the policy.
        ref_w_tok, ref_l_tok: under the reference.
        mask_w: targets of the right answer.
        mask_l_prefix: of the wrong one, up to its pit; with those of all its targets this is ordinary DPO.
        beta: above 0.
        reduction: over pairs.

    Raises ``ValueError`` for a missing reference, shapes or dtypes that do not fit, beta not above 0, and on CPU for
    rows without targets and for log-probabilities that are not finite or above 0 where the mask is not 0.

    >>> w, l = torch.tensor([[-1.0]]), torch.tensor([[-2.0, -2.0]])
    >>> chosen, pit = torch.tensor([[True]]), torch.tensor([[True, False]])
    >>> round(per_step_dpo_loss(w, l, w, l + 0.5, chosen, pit, beta=1.0).item(), 4)
    0.4741
    """
    positive("beta", beta)
    wanted = _log_ratio("pol_w_tok", pol_w_tok, "ref_w_tok", ref_w_tok, "mask_w", mask_w)
    unwanted = _log_ratio("pol_l_tok", pol_l_tok, "ref_l_tok", ref_l_tok, "mask_l_prefix", mask_l_prefix)
    if len(wanted) != len(unwanted):
        raise ValueError(f"pol_l_tok must have {len(wanted)} rows, as pol_w_tok, got {len(unwanted)}")
    return reduce(-F.logsigmoid(beta * (wanted - unwanted)), reduction)


def advantage_weighted_nll(
    token_logps: Tokens, step_ids: Int[Tensor, "batch targets"], adv: Steps, beta: float, clip: float = 10.0
) -> Float[Tensor, ""]:
    """``−sum_t w_t log p_t / number of tokens in steps``, ``w = exp(clamp(A/beta, ±clip))`` of the token's step.

    Args:
        token_logps: of right and wrong answers alike.
        step_ids: each token's step, −1 for those that belong to none (prompt, padding): they do not count.
        adv: advantage of every step; a constant.
        beta: above 0; infinite beta would be plain likelihood of all samples.
        clip: limit of ``|A/beta|``.

    Raises ``ValueError`` for shapes or dtypes that do not fit, beta or clip not above 0, and on CPU for steps beyond
    ``adv``, advantages that are not finite, a row without a step, and log-probabilities in steps that are not finite or
    above 0.

    >>> advantage_weighted_nll(torch.tensor([[-1.0, -2.0]]), torch.tensor([[-1, 0]]), torch.zeros(1, 1), beta=1.0)
    tensor(2.)
    """
    positive("beta", beta)
    positive("clip", clip)
    indices("step_ids", step_ids)
    floating("adv", adv, 2)
    finite_contents("adv", adv)
    belongs = step_ids >= 0
    floating("token_logps", token_logps, 2)
    values = target_logps("token_logps", token_logps, target_weights("step_ids", belongs, token_logps))
    if len(adv) != len(values):
        raise ValueError(f"adv must have {len(values)} rows, as token_logps, got {tuple(adv.shape)}")
    if step_ids.device.type == "cpu" and (int(step_ids.min()) < -1 or int(step_ids.max()) >= adv.shape[1]):
        raise ValueError(f"step_ids must be in −1 … {adv.shape[1] - 1}, got {step_ids.min()} … {step_ids.max()}")
    weights = (adv.detach().to(values.dtype) / beta).clamp(-clip, clip).exp()
    each = weights.gather(1, step_ids.clamp_min(0).long()).masked_fill(~belongs, 0.0)
    return -(each * values).sum() / belongs.sum()


def preference_pairs(
    correct: Bool[Tensor, "problems samples"], generator: torch.Generator | None = None
) -> Int[Tensor, "pairs 3"]:
    """Rows (problem, right sample, wrong sample): each wrong sample with a random right one of its problem.

    Problems without a right sample give no pair. Without any pair the answer is empty, with a warning. Raises
    ``ValueError`` for anything but a non-empty bool (problems, samples).

    >>> preference_pairs(torch.tensor([[True, False], [False, False]])).tolist()
    [[0, 0, 1]]
    """
    if not isinstance(correct, Tensor) or correct.dtype != torch.bool or correct.ndim != 2 or correct.numel() == 0:
        got = f"{correct.dtype} of {tuple(correct.shape)}" if isinstance(correct, Tensor) else type(correct).__name__
        raise ValueError(f"correct must be a non-empty bool tensor of shape (problems, samples), got {got}")
    if generator is not None and not isinstance(generator, torch.Generator):
        raise ValueError(f"generator must be a torch.Generator, got {type(generator).__name__}")
    problem, wrong = (~correct & correct.any(1, keepdim=True)).nonzero(as_tuple=True)
    if len(problem) == 0:
        warnings.warn("no problem has both a right and a wrong sample: there are no pairs", stacklevel=2)
        return torch.empty(0, 3, dtype=torch.long, device=correct.device)
    place = generator.device if generator is not None else correct.device
    right = torch.multinomial(correct[problem].float().to(place), 1, generator=generator)[:, 0]
    return torch.stack([problem, right.to(problem), wrong], dim=1)


def _first_minimum(values: Tensor) -> Tensor:
    # argmin may return any of several equal ones; argmax of a mask returns the first by its documentation.
    return (values == values.min(1, keepdim=True).values).int().argmax(1)


def _chances(name: str, values: Tensor, dimensions: int) -> None:
    floating(name, values, dimensions)
    finite_contents(name, values)
    if values.device.type == "cpu" and (float(values.min()) < 0 or float(values.max()) > 1):
        raise ValueError(f"{name} must lie in [0, 1], got {float(values.min())} … {float(values.max())}")


def _log_ratio(name: str, policy: Tensor, ref_name: str, reference: Tensor, mask_name: str, mask: Tensor) -> Tensor:
    """Sum of log(policy/reference) over the mask, row by row."""
    if reference is None:
        raise ValueError(f"{ref_name} must be the reference's log-probabilities, got None")
    floating(name, policy, 2)
    weights = target_weights(mask_name, mask, policy, like_name=name)
    floating(ref_name, reference, 2)
    if policy.shape != reference.shape:
        raise ValueError(f"{ref_name} must have shape {tuple(policy.shape)}, as {name}, got {tuple(reference.shape)}")
    ratio = target_logps(name, policy, weights) - target_logps(ref_name, reference.detach(), weights)
    return (ratio * weights.to(ratio.dtype)).sum(1)
