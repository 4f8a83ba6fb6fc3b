"""What mean losses tell of bad pairs whose truth is known, and what the features are worth."""

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from neural.contrastive.bad_pair_mining import PairMemory, gaussian_pair_weights, mine_bad_pairs
from neural.contrastive.evaluate import linear_probe_accuracy
from neural.contrastive.time_series import PairedSeries
from simulations.contrastive.series_conditions import SplitSeries
from simulations.contrastive.series_training import TrainedEncoders

__all__ = ["detection", "levels", "probes"]


def probes(trained: TrainedEncoders, data: SplitSeries, generator: torch.Generator) -> list[dict[str, float]]:
    """Accuracy of a linear probe fitted on clean training series, on both held-out sets, and with shuffled labels."""
    with torch.no_grad():
        train_on, valid, test = (trained.models(each)[0] for each in (data.train, data.valid, data.test))
    shuffled = data.train_labels[torch.randperm(len(data.train_labels), generator=generator, device=generator.device)]
    return [
        {
            "accuracy_valid": linear_probe_accuracy(a, data.train_labels, b, data.valid_labels),
            "accuracy": linear_probe_accuracy(a, data.train_labels, c, data.test_labels),
            "accuracy_shuffled": linear_probe_accuracy(a, shuffled, c, data.test_labels),
        }
        for a, b, c in zip(train_on, valid, test, strict=True)
    ]


def detection(
    trained: TrainedEncoders, model: int, pairs: PairedSeries, generator: torch.Generator
) -> dict[str, float]:
    """How well mean losses tell bad pairs from clean ones, and what thresholds make of it; NaN without such pairs."""
    m = trained.memory.behaviour()[model].cpu()
    untrained = trained.untrained.cpu().double()
    clean, noisy, faulty = (each.cpu() for each in (pairs.clean, pairs.noisy, pairs.faulty))
    order = torch.randperm(len(m), generator=generator, device=generator.device).cpu()
    result = {}
    for name, kind, sign in (("noisy", noisy, -1.0), ("faulty", faulty, 1.0)):
        result[f"auroc_{name}"] = _auroc(kind, clean, sign * m)
        result[f"auroc_{name}_shuffled"] = _auroc(kind[order], clean[order], sign * m)
        result[f"auroc_{name}_untrained"] = _auroc(kind, clean, sign * untrained)
    for rule, betas, robust in (
        ("mean", (1.5, 1.5), False), ("mean_wide", (2.0, 3.0), False), ("robust", (2.0, 3.0), True),
    ):  # fmt: skip
        flags = mine_bad_pairs(m, *betas, robust=robust)
        for name, found, kind in (("noisy", flags.noisy, noisy), ("faulty", flags.faulty, faulty)):
            result[f"recall_{name}_{rule}"] = _share(found, kind)
            result[f"precision_{name}_{rule}"] = _share(kind, found) if kind.any() else np.nan
    ramped = PairMemory(len(m), ramp=True, epochs=len(trained.history))
    for losses in trained.history[:-1, model].cpu():
        index = (~losses.isnan()).nonzero()[:, 0]
        ramped.update(index, losses[index])
    flags = mine_bad_pairs(ramped.behaviour(), 1.5, 1.5)
    last = trained.history[-1, model].cpu().double()
    seen = ~last.isnan() & faulty
    if not seen.any():
        return {**result, "ramp_weight": np.nan}
    weights = gaussian_pair_weights(last[seen], flags.faulty[seen], flags.mu, flags.sigma)
    return {**result, "ramp_weight": float(weights.mean())}


def _auroc(kind: torch.Tensor, clean: torch.Tensor, score: torch.Tensor) -> float:
    either = (kind | clean) & ~score.isnan()
    if not kind[either].any():
        return np.nan
    return float(roc_auc_score(kind[either].numpy(), score[either].numpy()))


def _share(found: torch.Tensor, among: torch.Tensor) -> float:
    """Share of ``among`` that is ``found``; 0 if there is none, so that a rule that flags nothing is not exact."""
    return float((found & among).sum() / among.sum().clamp_min(1))


def levels(trained: TrainedEncoders, model: int, pairs: PairedSeries, last: int) -> dict[str, float]:
    """Mean unweighted loss of each kind over the last epochs."""
    losses = trained.history[-last:, model].nanmean(0)
    kinds = (("clean", pairs.clean), ("noisy", pairs.noisy), ("faulty", pairs.faulty))
    return {f"loss_{name}": float(losses[kind].nanmean()) if kind.any() else np.nan for name, kind in kinds}
