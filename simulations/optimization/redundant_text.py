"""A tiny transformer on English text of which most is redundant, trained with every weighting in lockstep.

Sequences are windows of the language reference that Python brings along; ``redundant`` of them are cut from a few
passages that repeat without end. All settings of a replicate start from the same weights and see the same batches.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from neural.optimization.loss_reweighting import Strategy, loss_weights
from neural.tiny_lm.ensemble import EnsembleAdamW, TinyGPTEnsemble
from neural.tiny_lm.model import TinyGPT
from neural.tiny_lm.tokenizer import CharTokenizer, documentation_text
from simulations import Replicate

__all__ = ["NO_BURNIN", "SHUFFLED", "Language", "simulate_language"]

SHUFFLED = "linupper, shuffled"
NO_BURNIN = "linupper, no burn-in"
_STRATEGIES: dict[str, Strategy] = {
    "uniform": "uniform", "linupper": "linupper", "quadratic": "quadratic", "extremes": "extremes", "upper": "upper",
    SHUFFLED: "linupper", NO_BURNIN: "linupper",
}  # fmt: skip


@dataclass(frozen=True)
class Language:
    """Tiny transformers on a mixture of varied text and ``passages`` that repeat with ``period``.

    Every reweighting has ``temperatures`` times ``learning_rates`` settings, equal weights as many learning rates over
    the same range. For the first ``burnin`` of the steps all weights are equal.
    """

    strategies: tuple[str, ...] = ("linupper", "extremes", SHUFFLED)
    temperatures: tuple[float, ...] = (0.03, 0.2, 1.0)
    learning_rates: tuple[float, ...] = (0.001, 0.008, 0.064)
    widths: tuple[int, ...] = (24,)
    layers: int = 1
    heads: int = 2
    vocabulary: int = 32
    length: int = 12
    batch: int = 32
    steps: int = 100
    redundant: float = 0.8
    passages: int = 4
    period: int = 24
    held_out: int = 128
    evaluations: int = 5
    burnin: float = 0.05


def simulate_language(settings: Language, seed: int, device: str) -> Replicate:
    """Loss on held-out and test text of every setting, in nats per character; the course of the test loss as array."""
    text = documentation_text()
    ids = CharTokenizer.of_text(text, settings.vocabulary).encode(text)
    tables, courses = [], {}
    for width in settings.widths:
        table, course = _train_language_models(settings, width, ids, seed, device)
        tables.append(table)
        courses[f"test_{width}"] = course
    return Replicate(pd.concat(tables, ignore_index=True), courses)


def _train_language_models(
    settings: Language, width: int, ids: torch.Tensor, seed: int, device: str
) -> tuple[pd.DataFrame, np.ndarray]:
    generator = torch.Generator().manual_seed(seed % 2**63)
    varied, held, test = _windows(ids, settings, generator)
    passages = _repeated(varied, settings, generator)
    runs = _language_runs(settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        model = TinyGPT(settings.vocabulary, width, settings.layers, settings.heads, settings.length)
    together = TinyGPTEnsemble(model, len(runs)).to(device)
    rates = torch.tensor([rate for _, _, rate in runs], device=device)
    optimizer = EnsembleAdamW(together.parameters(), rates)
    held, test = held.to(device), test.to(device)
    burnin = round(settings.burnin * settings.steps)
    marks = {round(m * settings.steps / settings.evaluations) for m in range(1, settings.evaluations + 1)}
    course, shares = [_evaluated(together, test)], torch.zeros(len(runs))
    for step in range(settings.steps):
        repeated = torch.rand(settings.batch, generator=generator) < settings.redundant
        chosen = varied[torch.randint(len(varied), (settings.batch,), generator=generator)]
        copies = passages[torch.randint(len(passages), (settings.batch,), generator=generator)]
        batch = torch.where(repeated[:, None], copies, chosen)
        order = torch.randperm(settings.batch, generator=generator).to(device)
        losses = _sequence_losses(together, batch.to(device))
        weights = torch.stack(
            [_weights(each, run, step < burnin, order) for each, run in zip(losses, runs, strict=True)]
        )
        optimizer.step((weights * losses).sum(), _schedule(step, settings.steps))
        shares += (weights * (~repeated).to(device)).sum(1).cpu() / settings.steps
        if step + 1 in marks:
            course.append(_evaluated(together, test))
    final_held, final = _evaluated(together, held), course[-1]
    table = pd.DataFrame(
        [
            {
                "width": width, "strategy": strategy, "r": r, "learning_rate": rate, "held_out": float(final_held[k]),
                "test": float(final[k]), "half_way": float(course[len(course) // 2][k]),
                "varied_share": float(shares[k]),
            }
            for k, (strategy, r, rate) in enumerate(runs)
        ]
    )  # fmt: skip
    return table, np.stack(course, axis=1)


def _language_runs(settings: Language) -> list[tuple[str, float, float]]:
    """(strategy, r, learning rate): as many settings for every strategy."""
    count = len(settings.temperatures) * len(settings.learning_rates)
    finer = np.geomspace(settings.learning_rates[0], settings.learning_rates[-1], count)
    runs = [("uniform", 1.0, float(rate)) for rate in finer]
    return runs + [
        (s, r, rate) for s in settings.strategies for r in settings.temperatures for rate in settings.learning_rates
    ]


def _windows(
    ids: torch.Tensor, settings: Language, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Windows of four fifths of the blocks of running text for training, and held-out and test ones of the rest."""
    blocks = ids[: len(ids) // 480 * 480].reshape(-1, 480)
    blocks = blocks[torch.randperm(len(blocks), generator=generator)]
    aside = len(blocks) // 10
    train = blocks[2 * aside :].unfold(1, settings.length, 1).reshape(-1, settings.length)
    rest = []
    for part in (blocks[:aside], blocks[aside : 2 * aside]):
        windows = part.unfold(1, settings.length, settings.length).reshape(-1, settings.length)
        rest.append(windows[torch.randperm(len(windows), generator=generator)[: settings.held_out]])
    return train, rest[0], rest[1]


def _repeated(varied: torch.Tensor, settings: Language, generator: torch.Generator) -> torch.Tensor:
    """All windows of the passages' endless repetitions: ``passages`` times ``period`` of them."""
    rows = []
    for start in torch.randint(len(varied) - settings.period, (settings.passages,), generator=generator).tolist():
        # Neighbouring windows start one character apart, within a block.
        passage = torch.cat([varied[start], varied[start + settings.period - settings.length]])[: settings.period]
        endless = passage.repeat(2 + settings.length // settings.period)
        rows += [endless[phase : phase + settings.length] for phase in range(settings.period)]
    return torch.stack(rows)


def _sequence_losses(together: TinyGPTEnsemble, ids: torch.Tensor) -> torch.Tensor:
    """(models, batch): mean cross-entropy of every sequence."""
    logits = together(ids)[:, :, :-1]
    targets = ids[:, 1:].expand(logits.shape[:-1])
    losses = F.cross_entropy(logits.flatten(0, 2), targets.reshape(-1), reduction="none")
    return losses.view(targets.shape).mean(dim=2)


def _weights(
    losses: torch.Tensor, run: tuple[str, float, float], burning_in: bool, order: torch.Tensor
) -> torch.Tensor:
    name, r, _ = run
    if burning_in and name != NO_BURNIN:
        return loss_weights(losses, "uniform")
    weights = loss_weights(losses, _STRATEGIES[name], r)
    return weights[order] if name == SHUFFLED else weights


@torch.no_grad()
def _evaluated(together: TinyGPTEnsemble, windows: torch.Tensor) -> np.ndarray:
    parts = [_sequence_losses(together, part).sum(1) for part in windows.split(128)]
    return (torch.stack(parts).sum(0) / len(windows)).cpu().numpy()


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up over a twentieth of the steps, then a cosine to a tenth."""
    warm = max(1, steps // 20)
    return min(1.0, (step + 1) / warm) * (0.55 + 0.45 * float(np.cos(np.pi * step / steps)))
