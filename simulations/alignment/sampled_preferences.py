"""Pairs of one's own sampled answers, in tables: whole wrong answers, or cut at the critical step.

One replicate and size: a table is fitted to N teacher problems, samples answers to fresh ones, and each wrong answer is
paired with a right one to the same problem. All arms share the pairs and, but for the last, both answers:

    standard         the whole wrong answer
    per step         cut after its largest drop of value, by rollouts
    pit only         that step alone
    random step      cut after a random step, the negative condition
    per step, teacher's right answers
                     cut as per step, against the teacher's solution instead of one's own right answer

Each arm has the same grid of beta, chosen by mean over splits of validation problems. All are trained together, every
entry of the table with its own logits, by full-batch Adam from the fitted table.
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
from neural.tiny_lm.ensemble import EnsembleAdamW
from simulations.alignment.chain_learning import KAPPA, teacher_counts
from theory.alignment.chain_mdp import (
    ChainMDP,
    ChainProblems,
    TabularChainPolicy,
    exact_values,
    fit_sft,
    step_values,
)

__all__ = ["TABLE_ARMS", "TEACHERS", "SampledPreferences", "simulate_sampled_preferences"]

TEACHERS = "per step, teacher's right answers"
TABLE_ARMS = ("standard", "per step", "pit only", "random step", TEACHERS)


@dataclass(frozen=True)
class SampledPreferences:
    """Teacher problems, fresh ones for each and answers to these; rollouts per prefix; training; problems to judge."""

    base: int = 7
    n_ops: int = 3
    sizes: tuple[int, ...] = (36, 54, 81)
    fresh: int = 4
    answers: int = 8
    rollouts: int = 16
    betas: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 10.0, 30.0, 100.0)
    steps: int = 50
    lr: float = 0.05
    splits: int = 3
    validation: int = 300
    test: int = 1200


def simulate_sampled_preferences(settings: SampledPreferences, seed: int, device: str) -> pd.DataFrame:
    """A row per size, arm and beta: both measures, and whether validation by each measure chose this beta."""
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed % 2**63)
    world = ChainMDP(settings.base, settings.n_ops)
    judged = world.problems(settings.splits * settings.validation + settings.test, rng)
    stream = world.problems(max(settings.sizes), rng)
    members = [(arm, beta) for arm in TABLE_ARMS for beta in settings.betas]
    rows = []
    for size in settings.sizes:
        sft = fit_sft(teacher_counts(world, stream[:size]), KAPPA)
        fresh = world.problems(settings.fresh * size, rng)
        answers = sft.sample(fresh, settings.answers, rng)
        chosen = preference_pairs(torch.from_numpy(world.verify(fresh, answers)), generator).numpy()
        problems = fresh[chosen[:, 0]]
        right, wrong = answers[chosen[:, 0], chosen[:, 1]], answers[chosen[:, 0], chosen[:, 2]]
        masks = _masks(settings, _rolled_out(sft, problems, wrong, settings.rollouts, rng), generator)
        wanted = {arm: world.results(problems) if arm == TEACHERS else right for arm in TABLE_ARMS}
        trained = _trained(sft, problems, wanted, wrong, masks, settings, device)
        found = [_judged(policy, world, judged, settings) for policy in trained]
        rows.append(
            {"size": size, "arm": "sft", "beta": 0.0, "pairs": len(problems), **_judged(sft, world, judged, settings),
             "chosen_for_accuracy": True, "chosen_for_success": True}
        )  # fmt: skip
        for (arm, beta), row in zip(members, found, strict=True):
            peers = [other for (name, _), other in zip(members, found, strict=True) if name == arm]
            best = {
                f"chosen_for_{name}": row is max(peers, key=lambda r, name=name: r[f"validation_{name}"])
                for name in ("accuracy", "success")
            }
            rows.append({"size": size, "arm": arm, "beta": beta, "pairs": len(problems), **row, **best})
    return pd.DataFrame(rows)


def _rolled_out(
    sft: TabularChainPolicy, problems: ChainProblems, wrong: np.ndarray, rollouts: int, rng: np.random.Generator
) -> Tensor:
    """Values of the problem and after each step by rollouts, whose successes are binomial; the last one is known."""
    exact = step_values(exact_values(sft, problems), problems, wrong)
    estimate = rng.binomial(rollouts, exact) / rollouts
    estimate[:, -1] = 0.0
    return torch.from_numpy(estimate)


def _masks(settings: SampledPreferences, q: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """Which steps of each wrong answer are blamed."""
    pit = first_pit(q[:, 1:], step_advantages(q[:, 1:], q[:, 0]))
    steps = torch.arange(1, settings.n_ops + 1)
    cut = prefix_mask(steps, pit, settings.n_ops)
    random = torch.randint(settings.n_ops, pit.shape, generator=generator)
    return {
        "standard": torch.ones_like(cut), "per step": cut, "pit only": steps - 1 == pit[:, None],
        "random step": prefix_mask(steps, random, settings.n_ops), TEACHERS: cut,
    }  # fmt: skip


def _trained(
    sft: TabularChainPolicy,
    problems: ChainProblems,
    wanted: dict[str, np.ndarray],
    wrong: np.ndarray,
    masks: dict[str, Tensor],
    settings: SampledPreferences,
    device: str,
) -> list[TabularChainPolicy]:
    """A table for each arm and beta, in this order."""
    arms, betas, pairs = len(TABLE_ARMS), len(settings.betas), len(problems)
    entries_w = torch.stack([_entries(problems, wanted[arm], settings.base) for arm in TABLE_ARMS]).to(device)
    entries_l = _entries(problems, wrong, settings.base).to(device)
    entries_w, entries_l = (
        entries_w.repeat_interleave(betas, 0).flatten(1),
        entries_l.flatten().expand(arms * betas, -1),
    )
    # beta multiplies the sum over a mask, so as a mask's value it lets one call serve all members.
    beta = torch.tensor(settings.betas, dtype=torch.float32).repeat(arms).view(-1, 1, 1)
    blamed = torch.stack([masks[arm] for arm in TABLE_ARMS]).repeat_interleave(betas, 0)
    mask_w = (beta * torch.ones_like(blamed)).flatten(0, 1).to(device)
    mask_l = (beta * blamed).flatten(0, 1).to(device)
    start = torch.from_numpy(sft.logits).float().to(device)
    logits = torch.nn.Parameter(start.expand(arms * betas, *start.shape).clone())
    optimizer = EnsembleAdamW([logits], torch.full((arms * betas,), settings.lr, device=device), weight_decay=0.0)

    def of_steps(entries: Tensor) -> Tensor:
        logps = torch.log_softmax(logits, dim=-1).flatten(1)
        return logps.gather(1, entries).view(-1, settings.n_ops)

    with torch.no_grad():
        ref_w, ref_l = of_steps(entries_w), of_steps(entries_l)
    for _ in range(settings.steps):
        loss = per_step_dpo_loss(
            of_steps(entries_w), of_steps(entries_l), ref_w, ref_l, mask_w, mask_l, beta=1.0, reduction="sum"
        )
        optimizer.step(loss / pairs)
    return [TabularChainPolicy(each) for each in logits.detach().double().cpu().numpy()]


def _entries(problems: ChainProblems, results: np.ndarray, base: int) -> Tensor:
    """Places of the steps in a flattened table (op, value before, digit, result)."""
    before = np.concatenate([problems.digits[:, :1], results[:, :-1]], axis=1)
    return torch.from_numpy(((problems.operations * base + before) * base + problems.digits[:, 1:]) * base + results)


def _judged(
    policy: TabularChainPolicy, world: ChainMDP, problems: ChainProblems, settings: SampledPreferences
) -> dict[str, float]:
    """Both measures over the last problems, and their means over splits of those before."""
    each = {"accuracy": world.verify(problems, policy.greedy(problems)), "success": policy.success(problems)}
    tried = settings.splits * settings.validation
    row = {name: float(values[tried:].mean()) for name, values in each.items()}
    for name, values in each.items():
        row[f"validation_{name}"] = float(values[:tried].reshape(settings.splits, -1).mean(axis=1).mean())
    return row
