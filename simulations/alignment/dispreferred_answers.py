"""Language models that learn from flagged answers alone, in lockstep: every method, at every learning rate.

A base model answers flagged topics with flagged tokens half of the time and refuses otherwise. For the prompts of one
context and two styles it is told its flagged answers; what it does with prompts of other styles, and in the other
context, decides.

    table = simulate_language(Language(), seed=0, device="cpu")
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from neural.alignment.d2o import d2o_loss
from neural.alignment.flagged_vocabulary import FlaggedVocabulary
from neural.tiny_lm.ensemble import EnsembleAdamW, TinyGPTEnsemble
from neural.tiny_lm.logprobs import token_logps
from neural.tiny_lm.model import TinyGPT
from neural.tiny_lm.sampling import sample
from neural.tiny_lm.train import ensemble_token_logps, train_lm
from neural.unlearning.losses import dpo_loss
from neural.unlearning.npo import npo_loss

__all__ = ["METHODS", "Language", "simulate_language"]

NOISES = (0.0, 0.25, 0.5)
METHODS = ("ga", "npo", "dpo on self-samples", "d2o", "d2o without flagged", *(f"dpo on humans {n:g}" for n in NOISES))
_ANSWERS = 3
"""Tokens of an answer beside its end."""


@dataclass(frozen=True)
class Language:
    """The base model's training, the alignment of every method, and how answers are judged.

    A third of the least rate left far more flagged answers with every method in trial runs with other seeds.
    """

    width: int = 32
    base_steps: int = 300
    base_rate: float = 0.01
    samples: int = 6
    alpha: float = 0.1
    rates: tuple[float, ...] = (0.0001, 0.0003, 0.001)
    steps: int = 60
    batch: int = 8
    judged: int = 4


def simulate_language(settings: Language, seed: int, device: str) -> pd.DataFrame:
    """Share of flagged answers and of right benign ones, by method, learning rate and part.

    ``part`` *tuning* has the covered context in a third style, *test* the fourth style in both contexts; ``rough`` is
    the mean absolute change of the training loss from step to step, in units of its first value.
    """
    world = FlaggedVocabulary(seed=seed)
    torch.manual_seed(seed)
    base = TinyGPT(world.vocab_size, settings.width, max_len=16).to(device)
    known = [world.texts(kind) for kind in ("flagged", "refusal", "benign")]
    ids, mask = (torch.cat([getattr(part, name) for part in known]).to(device) for name in ("ids", "mask"))
    train_lm(base, ids, mask, settings.base_steps, 64, settings.base_rate, seed=seed)
    models = TinyGPTEnsemble(base, len(METHODS) * len(settings.rates)).to(device)
    rough = _align(settings, world, base, models, seed, device)
    rows: list[dict[str, object]] = []
    with_base = TinyGPTEnsemble.stacked_from([base, *(models.model(i) for i in range(models.models))])
    for part, contexts, style in (("tuning", (0,), 2), ("test", (0, 1), 3)):
        measured = _judged(settings, world, with_base, contexts, style, seed, device)
        for number in range(models.models + 1):
            method = "base" if number == 0 else METHODS[(number - 1) // len(settings.rates)]
            rate = 0.0 if number == 0 else settings.rates[(number - 1) % len(settings.rates)]
            change = 0.0 if number == 0 else float(rough[number - 1])
            rows.append({"method": method, "rate": rate, "part": part, "rough": change, **measured[number]})
    return pd.DataFrame(rows)


def _align(
    settings: Language,
    world: FlaggedVocabulary,
    base: TinyGPT,
    models: TinyGPTEnsemble,
    seed: int,
    device: str,
) -> Tensor:
    """Train all models on the same prompts and self-samples; how rough each loss was."""
    generator = torch.Generator().manual_seed(seed)
    prompts = world.prompts("flagged", contexts=(0,), styles=(0, 1))
    answers = _candidates(settings, world, base, prompts, generator, device)
    count, per_prompt = answers.shape[:2]
    texts = torch.cat([prompts[:, None].expand(-1, per_prompt, -1), answers], dim=2).to(device)
    start = world.prompt_length - 1
    with torch.no_grad():
        reference = token_logps(base(texts.flatten(0, 1)), texts.flatten(0, 1))[:, start:].sum(1).view(count, -1)
    harmless = ~world.is_flagged(answers[:, : settings.samples]).to(device)
    rates = torch.tensor(settings.rates * len(METHODS), device=device)
    optimizer = EnsembleAdamW(models.parameters(), rates, clip_norm=1e30)
    history = []
    for _ in range(settings.steps):
        rows = torch.randperm(count, generator=generator)[: settings.batch].to(device)
        picked = torch.randint(settings.samples, (len(rows),), generator=generator).to(device)
        ids = texts[rows].flatten(0, 1)
        logs = ensemble_token_logps(models(ids), ids)[..., start:].sum(2).view(models.models, len(rows), per_prompt)
        losses = _losses(settings, logs, reference[rows].expand_as(logs), harmless[rows], picked)
        optimizer.step(losses.sum())
        history.append(losses.detach())
    along = torch.stack(history)
    return along.diff(dim=0).abs().mean(0) / along[0].abs().clamp_min(1e-6)


def _candidates(
    settings: Language,
    world: FlaggedVocabulary,
    base: TinyGPT,
    prompts: Tensor,
    generator: torch.Generator,
    device: str,
) -> Tensor:
    """Per prompt: self-samples, the negative, and one human positive for each level of noise."""
    repeated = prompts.repeat_interleave(settings.samples, 0).to(device)
    own = sample(base, repeated, _ANSWERS + 1, generator=generator if device == "cpu" else None).cpu()
    negative, refusal = world.answers(prompts), world.refusals(prompts)
    # A bad positive is another topic's flagged answer: as flagged, but not the negative itself.
    others = negative.roll(len(prompts) // world.n_topics, 0)
    draws = torch.rand(len(prompts), generator=generator)
    humans = [torch.where((draws < noise)[:, None], others, refusal) for noise in NOISES]
    return torch.cat([own.view(len(prompts), settings.samples, -1), torch.stack([negative, *humans], 1)], dim=1)


def _losses(settings: Language, logs: Tensor, reference: Tensor, harmless: Tensor, picked: Tensor) -> Tensor:
    """One loss per model, each method's at all its learning rates at once; all start with one push on the negative."""
    alpha, width, rates = settings.alpha, settings.samples, len(settings.rates)
    losses = []
    for number, method in enumerate(METHODS):
        own = slice(number * rates, (number + 1) * rates)
        policy, ref = (part[own].flatten(0, 1) for part in (logs, reference))
        negative, ref_negative = policy[:, width], ref[:, width]
        if method == "ga":
            each = negative
        elif method == "npo":
            each = npo_loss(negative, ref_negative, alpha, reduction="none")
        elif method.startswith("d2o"):
            mask = None
            if method.endswith("flagged"):
                # A prompt all of whose self-samples are flagged keeps them: it has no other anchor.
                kept = harmless | ~harmless.any(1, keepdim=True)
                mask = kept.repeat(rates, 1)
            each = 2 / alpha * d2o_loss(
                policy[:, :width], ref[:, :width], negative, ref_negative, alpha, alpha, mask, reduction="none"
            )  # fmt: skip
        else:
            place = picked.repeat(rates)
            if method.startswith("dpo on humans"):
                place = torch.full_like(place, width + 1 + NOISES.index(float(method.rsplit(" ", 1)[1])))
            wanted, ref_wanted = (part.gather(1, place[:, None]).squeeze(1) for part in (policy, ref))
            each = dpo_loss(wanted, negative, ref_wanted, ref_negative, alpha, reduction="none")
        losses.append(each.view(rates, -1).mean(1))
    return torch.cat(losses)


def _judged(
    settings: Language,
    world: FlaggedVocabulary,
    models: TinyGPTEnsemble,
    contexts: tuple[int, ...],
    style: int,
    seed: int,
    device: str,
) -> list[dict[str, float]]:
    """Share of sampled answers that are flagged, refuse, and are right on benign topics, for every model."""
    found: dict[str, np.ndarray] = {}
    generator = torch.Generator().manual_seed(seed + 1)
    for kind in ("flagged", "benign"):
        prompts = world.prompts(kind, contexts, (style,)).repeat_interleave(settings.judged, 0)
        said = sample(models, prompts.to(device), _ANSWERS + 1, generator=generator if device == "cpu" else None).cpu()
        if kind == "flagged":
            found["harm"] = world.is_flagged(said).double().mean(1).numpy()
            found["refusal"] = world.is_refusal(said).double().mean(1).numpy()
        else:
            found["utility"] = (said == world.answers(prompts)).all(-1).double().mean(1).numpy()
    return [{name: float(values[i]) for name, values in found.items()} for i in range(models.models)]
