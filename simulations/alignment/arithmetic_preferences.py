"""A tiny language model that learns from its own wrong answers: pairs by whole answers, or cut at the critical step.

One replicate: a transformer learns chain arithmetic from a teacher, samples answers to fresh problems, and is trained
on pairs of right and wrong answers: *standard* (whole answers), *per step* (the wrong one cut after its largest drop of
value, by rollouts), and, as the negative condition, *random step* (cut after a random step). Each has the same grid of
beta and all are trained in lockstep from the same weights on the same pairs in the same order; beta is chosen by mean
accuracy over splits of validation problems. Beside that, for some wrong answers the chance of success after each step
is computed exactly, by enumeration of all well-formed continuations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from neural.alignment.per_step_advantage import (
    first_pit,
    per_step_dpo_loss,
    preference_pairs,
    prefix_mask,
    step_advantages,
)
from neural.alignment.rollouts import mc_step_q
from neural.tiny_lm.chain_arithmetic import ChainArithmetic
from neural.tiny_lm.ensemble import EnsembleAdamW, TinyGPTEnsemble
from neural.tiny_lm.logprobs import token_logps
from neural.tiny_lm.model import TinyGPT
from neural.tiny_lm.sampling import sample
from neural.tiny_lm.train import ensemble_token_logps, train_lm

__all__ = ["ARMS", "Language", "exact_step_q", "simulate_language"]

ARMS = ("standard", "per step", "random step")


@dataclass(frozen=True)
class Language:
    """Teacher problems, fresh ones and answers to each; rollouts per prefix; preference training; test problems."""

    base: int = 5
    n_ops: int = 3
    teacher: int = 192
    d_model: int = 32
    n_layers: int = 1
    sft_steps: int = 200
    batch_size: int = 32
    sft_lr: float = 5e-3
    fresh: int = 128
    answers: int = 8
    pairs: int = 240
    rollouts: int = 8
    betas: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0)
    steps: int = 30
    pair_batch: int = 16
    lr: float = 1e-3
    splits: int = 3
    validation: int = 150
    test: int = 600
    exact: int = 40
    exact_rollouts: int = 64


def simulate_language(settings: Language, seed: int, device: str) -> pd.DataFrame:
    """Rows of two kinds: ``accuracy`` of arms, and ``rollouts`` against exact values and pits."""
    world = ChainArithmetic(settings.base, settings.n_ops)
    generator = torch.Generator().manual_seed(seed % 2**63)
    on_device = torch.Generator(device).manual_seed(seed % 2**63 + 1)
    model = _taught(world, settings, generator, device)
    prompts = world.problems(settings.fresh, generator).to(device)
    many = prompts.repeat_interleave(settings.answers, 0)
    answers = _answers(model, world, many, 1.0, on_device)
    correct = world.verify(many, answers).view(settings.fresh, settings.answers)
    chosen = preference_pairs(correct.cpu(), generator)
    chosen = chosen[torch.randperm(len(chosen), generator=generator)[: settings.pairs]].to(device)
    answers = answers.view(settings.fresh, settings.answers, -1)
    problems, right = prompts[chosen[:, 0]], answers[chosen[:, 0], chosen[:, 1]]
    wrong = answers[chosen[:, 0], chosen[:, 2]]
    q = _rolled_out(model, world, problems, wrong, settings.rollouts, on_device)
    adv = step_advantages(q[:, 1:], q[:, 0])
    pits = {
        "standard": torch.full((len(wrong),), world.n_ops, device=device),
        "per step": first_pit(q[:, 1:], adv),
        "random step": torch.randint(world.n_ops, (len(wrong),), generator=generator).to(device),
    }
    rows = _trained_on_pairs(model, world, settings, (problems, right, wrong), pits, generator, device)
    return pd.DataFrame(rows + _against_exact(model, world, settings, problems, wrong, q, on_device))


def exact_step_q(model: TinyGPT, world: ChainArithmetic, prompts: Tensor, responses: Tensor) -> tuple[Tensor, Tensor]:
    """Chances of success before the first and after each step, ``(batch, n_ops + 1)``, and of well-formed answers.

    Sums over all well-formed continuations, base^remaining of them; the chance of success through malformed ones, which
    is left out, is at most one less the second answer.
    """
    digits, kinds = world.parts(prompts)
    truth = world.solve(prompts)[:, -2]
    batch, steps, base = len(prompts), world.n_ops, world.base
    values, formed = [], []
    for done in range(steps + 1):
        left = steps - done
        options = torch.cartesian_prod(*[torch.arange(base)] * left).view(-1, left) if left else torch.zeros(1, 0)
        options = options.long().to(prompts.device)
        count = len(options)
        written = responses[:, None, : 3 * done].expand(batch, count, -1)
        parts = [written]
        for j in range(left):
            both = torch.stack([world.plus + kinds[:, done + j], digits[:, done + j + 1]], dim=1)
            parts += [both[:, None].expand(batch, count, 2), options[None, :, j, None].expand(batch, count, 1)]
        ends = torch.stack([torch.full_like(truth, world.answer), truth, torch.full_like(truth, world.eos)], dim=1)
        ids = torch.cat([*parts, ends[:, None].expand(batch, count, 3)], dim=2).flatten(0, 1)
        ids = torch.cat([prompts.repeat_interleave(count, 0), ids], dim=1)
        with torch.no_grad():
            logits = model(ids)
        logps = token_logps(logits, ids)[:, world.prompt_length + 3 * done - 1 :]
        answers = torch.log_softmax(logits[:, -3], dim=-1)[:, :base].logsumexp(1)
        values.append(logps.sum(1).exp().view(batch, count).sum(1))
        formed.append((logps[:, :-2].sum(1) + answers).exp().view(batch, count).sum(1))
    return torch.stack(values, dim=1), torch.stack(formed, dim=1)


def _taught(world: ChainArithmetic, settings: Language, generator: torch.Generator, device: str) -> TinyGPT:
    prompts = world.problems(settings.teacher, generator)
    ids, mask = world.texts(prompts, world.solve(prompts))
    own = int(torch.randint(2**31, (1,), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(own)
        model = TinyGPT(world.vocab_size, settings.d_model, settings.n_layers, max_len=ids.shape[1]).to(device)
    train_lm(model, ids.to(device), mask.to(device), settings.sft_steps, settings.batch_size, settings.sft_lr, seed=own)
    return model


def _answers(
    model: TinyGPT, world: ChainArithmetic, prompts: Tensor, temperature: float, generator: torch.Generator | None
) -> Tensor:
    return sample(model, prompts, world.solution_length, temperature, generator)


def _rolled_out(
    model: TinyGPT,
    world: ChainArithmetic,
    prompts: Tensor,
    responses: Tensor,
    rollouts: int,
    generator: torch.Generator,
) -> Tensor:
    """Monte-Carlo values of the problem and after each step, (batch, n_ops + 1)."""
    ends = 3 * torch.arange(world.n_ops + 1)
    return mc_step_q(
        lambda prefixes, n_new: sample(model, prefixes, n_new, generator=generator),
        prompts, responses, ends, world.verify, rollouts,
    )  # fmt: skip


def _trained_on_pairs(
    model: TinyGPT,
    world: ChainArithmetic,
    settings: Language,
    texts: tuple[Tensor, Tensor, Tensor],
    pits: dict[str, Tensor],
    generator: torch.Generator,
    device: str,
) -> list[dict]:
    problems, right, wrong = texts
    ids_w, mask_w = world.texts(problems, right)
    ids_l, mask_l = world.texts(problems, wrong)
    # One end for each step, and one for the whole answer, which standard pairs use.
    ends = world.prompt_length - 1 + torch.tensor([*(3 * (i + 1) for i in range(world.n_ops)), world.solution_length])
    masks = {arm: mask_l & prefix_mask(ends.to(device), pits[arm], mask_l.shape[1]) for arm in ARMS}
    with torch.no_grad():
        ref_w, ref_l = token_logps(model(ids_w), ids_w), token_logps(model(ids_l), ids_l)
    members = [(arm, beta) for arm in ARMS for beta in settings.betas]
    together = TinyGPTEnsemble(model, len(members))
    optimizer = EnsembleAdamW(
        together.parameters(), torch.full((len(members),), settings.lr, device=device), weight_decay=0.0
    )
    order = torch.empty(0, dtype=torch.long)
    for _ in range(settings.steps):
        if len(order) < settings.pair_batch:
            order = torch.cat([order, torch.randperm(len(problems), generator=generator)])
        rows, order = order[: settings.pair_batch].to(device), order[settings.pair_batch :]
        ids = torch.cat([ids_w[rows], ids_l[rows]])
        logps = ensemble_token_logps(together(ids), ids)
        logps_w, logps_l = logps[:, : len(rows)], logps[:, len(rows) :]
        losses = [
            per_step_dpo_loss(logps_w[k], logps_l[k], ref_w[rows], ref_l[rows], mask_w[rows], masks[arm][rows], beta)
            for k, (arm, beta) in enumerate(members)
        ]
        optimizer.step(torch.stack(losses).sum())
    judged = world.problems(settings.splits * settings.validation + settings.test, generator).to(device)
    rows = []
    for k, (arm, beta) in enumerate([("sft", 0.0), *members]):
        tuned = model if k == 0 else together.model(k - 1)
        good = world.verify(judged, _answers(tuned, world, judged, 0.0, None)).float().cpu().numpy()
        split = good[: settings.splits * settings.validation].reshape(settings.splits, -1).mean(axis=1)
        rows.append(
            {"kind": "accuracy", "arm": arm, "beta": beta, "validation": float(split.mean()),
             "accuracy": float(good[settings.splits * settings.validation :].mean()), "pairs": len(problems)}
        )  # fmt: skip
    best = {arm: max((r for r in rows if r["arm"] == arm), key=lambda r: r["validation"])["beta"] for arm in ARMS}
    return [{**row, "chosen": row["beta"] == best.get(row["arm"], 0.0)} for row in rows]


def _against_exact(
    model: TinyGPT,
    world: ChainArithmetic,
    settings: Language,
    prompts: Tensor,
    wrong: Tensor,
    q: Tensor,
    generator: torch.Generator,
) -> list[dict]:
    """Rollouts, the few that chose the pits and many new ones, against enumeration."""
    prompts, wrong, few = prompts[: settings.exact], wrong[: settings.exact], q[: settings.exact]
    exact, formed = (each.double().cpu().numpy() for each in exact_step_q(model, world, prompts, wrong))
    # The last value is known: a wrong answer was written.
    exact[:, -1] = 0.0
    pit = _largest_drop(exact)
    local = world.first_wrong_step(prompts, wrong).cpu().numpy()
    many = _rolled_out(model, world, prompts, wrong, settings.exact_rollouts, generator)
    rows = []
    for rollouts, found in ((settings.rollouts, few), (settings.exact_rollouts, many)):
        estimate = found.double().cpu().numpy()
        chosen = _largest_drop(estimate)
        rows.append(
            {"kind": "rollouts", "arm": "sft", "chosen": False, "rollouts": rollouts,
             "error": float(np.sqrt(((estimate - exact) ** 2).mean())),
             "deviation": _outside(estimate[:, :-1], exact[:, :-1], formed[:, :-1], rollouts),
             "wrong_by": _outside(estimate[:, :-1], exact[:, :0:-1], formed[:, :0:-1], rollouts),
             "malformed": float(1 - formed[:, :-1].mean()), "agreement": float((chosen == pit).mean()),
             "random_agreement": float((pit[:, None] == np.arange(world.n_ops)).mean()),
             "lost": _lost(exact, chosen) / _lost(exact, pit), "first_wrong": float((pit == local).mean())}
        )  # fmt: skip
    return rows


def _largest_drop(values: np.ndarray) -> np.ndarray:
    return np.diff(values, axis=1).argmin(axis=1)


def _outside(estimate: np.ndarray, exact: np.ndarray, formed: np.ndarray, rollouts: int) -> float:
    """Root mean square of standard errors by which estimates leave what is possible.

    From the exact value, all malformed answers being wrong, to all of them being right.
    """
    nearest = np.clip(estimate, exact, np.minimum(exact + 1 - formed, 1.0))
    spread = np.sqrt(nearest * (1 - nearest) / rollouts + 0.25 / rollouts**2)
    return float(np.sqrt((((estimate - nearest) / spread) ** 2).mean()))


def _lost(values: np.ndarray, pit: np.ndarray) -> float:
    """Mean exact drop of value at the given steps, above 0."""
    return float(-np.diff(values, axis=1)[np.arange(len(pit)), pit].mean())
