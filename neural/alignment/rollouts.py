"""Monte-Carlo values of prefixes: complete each many times, and count what the verifier accepts.

    q = mc_step_q(sampler, prompts, responses, step_ends, verifier, n_rollouts=16)        # (batch, steps)

``sampler(prefixes, n_new)`` continues a batch of prefixes of one length by ``n_new`` tokens; ``verifier(prompts,
responses)`` says which responses are right. With ``step_ends = torch.arange(1, S + 1)`` every token has its value; a
step end of 0 is the prompt itself. All prefixes of one length, with all their rollouts, are one batch of the sampler.

Source: Setlur, Garg, Geng, Garg, Smith and Kumar (2024), *RL on Incorrect Synthetic Data Scales the Efficiency of LLM
Math Reasoning by Eight-Fold*, for values of steps by rollouts of a best-of-K policy; the estimator of best-of-K without
bias as in Chen et al. (2021), *Evaluating Large Language Models Trained on Code*.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from neural.validation import indices, whole_number

__all__ = ["mc_step_q"]


@torch.no_grad()
def mc_step_q(
    sampler: Callable[[Tensor, int], Tensor],
    prompts: Int[Tensor, "batch prompt"],
    responses: Int[Tensor, "batch response"],
    step_ends: Int[Tensor, " steps"] | Int[Tensor, "batch steps"],
    verifier: Callable[[Tensor, Tensor], Tensor],
    n_rollouts: int,
    best_of: int = 1,
    max_batch: int = 65536,
) -> Float[Tensor, "batch steps"]:
    """``[b, i]``: the chance that the response up to ``step_ends[i]``, completed by the sampler, is right.

    Args:
        sampler: ``(prefixes, n_new) -> continuations``, for instance ``neural.tiny_lm.sampling.sample`` of a model.
        prompts: of one length.
        responses: of one length.
        step_ends: for each step the number of response tokens up to its end, common or each response's own; rising.
        verifier: ``(prompts, responses) -> bool (batch,)``.
        n_rollouts: completions of each prefix.
        best_of: with k above 1 the chance that one of k completions is right, ``1 − C(n − c, k)/C(n, k)`` for c of n
            right ones: without bias, unlike ``1 − (1 − c/n)^k``.
        max_batch: most rows that the sampler gets at once.

    Whole responses need no rollout: they are right or wrong. Raises ``ValueError`` for ids that are not whole numbers
    or do not fit, step ends that do not rise within 0 … response length (on CPU), fewer rollouts than ``best_of``, or
    continuations and judgements of another shape.

    >>> coin = lambda prefixes, n_new: torch.ones(len(prefixes), n_new, dtype=torch.long)
    >>> right = lambda prompts, responses: responses.sum(1) >= 2
    >>> response = torch.tensor([[0, 1, 0]])
    >>> mc_step_q(coin, torch.tensor([[7]]), response, torch.tensor([1, 2, 3]), right, n_rollouts=4)
    tensor([[1., 1., 0.]])
    """
    ends = _check(sampler, prompts, responses, step_ends, verifier)
    whole_number("best_of", best_of, 1)
    whole_number("n_rollouts", n_rollouts, 1)
    whole_number("max_batch", max_batch, 1)
    if n_rollouts < best_of:
        raise ValueError(f"n_rollouts must be at least best_of = {best_of}, got {n_rollouts}")
    length = responses.shape[1]
    q = torch.empty(ends.shape, dtype=torch.float32, device=responses.device)
    for end in torch.unique(ends).tolist():
        rows, columns = (ends == end).nonzero(as_tuple=True)
        if end == length:
            q[rows, columns] = _judged(verifier, prompts[rows], responses[rows]).float()
            continue
        kept = responses[rows, :end].repeat_interleave(n_rollouts, 0)
        given = prompts[rows].repeat_interleave(n_rollouts, 0)
        verdicts = []
        for some, prefix in zip(given.split(max_batch), kept.split(max_batch), strict=True):
            new = sampler(torch.cat([some, prefix], dim=1), length - end)
            if not isinstance(new, Tensor) or new.shape != (len(some), length - end):
                got = tuple(new.shape) if isinstance(new, Tensor) else type(new).__name__
                raise ValueError(f"sampler must return shape {(len(some), length - end)}, got {got}")
            verdicts.append(_judged(verifier, some, torch.cat([prefix, new.to(prefix)], dim=1)))
        right = torch.cat(verdicts).view(len(rows), n_rollouts).sum(1)
        q[rows, columns] = _pass_at_k(right, n_rollouts, best_of)
    return q


def _pass_at_k(right: Tensor, n: int, k: int) -> Tensor:
    """1 − C(n − c, k)/C(n, k) as a product of k factors, 0 once fewer than k failures are left."""
    failures = n - right.double()
    missed = torch.ones_like(failures)
    for drawn in range(k):
        missed = missed * ((failures - drawn).clamp_min(0) / (n - drawn))
    return (1 - missed).float()


def _judged(verifier: Callable[[Tensor, Tensor], Tensor], prompts: Tensor, responses: Tensor) -> Tensor:
    verdict = verifier(prompts, responses)
    if not isinstance(verdict, Tensor) or verdict.dtype != torch.bool or verdict.shape != (len(prompts),):
        got = f"{verdict.dtype} of {tuple(verdict.shape)}" if isinstance(verdict, Tensor) else type(verdict).__name__
        raise ValueError(f"verifier must return bool of shape ({len(prompts)},), got {got}")
    return verdict


def _check(sampler: object, prompts: Tensor, responses: Tensor, step_ends: Tensor, verifier: object) -> Tensor:
    for name, function in (("sampler", sampler), ("verifier", verifier)):
        if not callable(function):
            raise ValueError(f"{name} must be a function, got {type(function).__name__}")
    for name, ids in (("prompts", prompts), ("responses", responses)):
        indices(name, ids)
        if ids.ndim != 2 or ids.numel() == 0 or len(ids) != len(prompts):
            raise ValueError(
                f"{name} must have shape (batch ≥ 1, tokens ≥ 1), with one batch for prompts and responses, got "
                f"{tuple(ids.shape)}"
            )
        if ids.device.type == "cpu" and int(ids.min()) < 0:
            raise ValueError(f"{name} must be at least 0, got {int(ids.min())}")
    indices("step_ends", step_ends)
    shapes = (step_ends.ndim == 1, step_ends.ndim == 2 and len(step_ends) == len(responses))
    if not any(shapes) or step_ends.numel() == 0:
        raise ValueError(
            f"step_ends must have shape (steps ≥ 1,) or ({len(responses)}, steps), got {tuple(step_ends.shape)}"
        )
    ends = step_ends.long().to(responses.device).expand(len(responses), step_ends.shape[-1])
    if ends.device.type == "cpu":
        if bool((ends.diff(dim=1) <= 0).any()):
            raise ValueError(f"step_ends must rise along every row, got {step_ends.tolist()!r:.60}")
        if int(ends.min()) < 0 or int(ends.max()) > responses.shape[1]:
            raise ValueError(
                f"step_ends must lie in 0 … {responses.shape[1]}, the length of responses, got {int(ends.min())} … "
                f"{int(ends.max())}"
            )
    return ends
