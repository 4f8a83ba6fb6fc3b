"""What models know of fictional authors, all models of an ensemble at once.

    authors = FictionalAuthors()
    scores = fact_scores(ensemble, authors.eval_sets(0.1), authors.eos)      # one FactScores per model
    scores[0].truth["forget"], scores[0].utility, forget_quality(scores[0].truth["forget"], scores[1].truth["forget"])

Probabilities are ``exp`` of mean token log-probabilities; ROUGE-L and exact values are of greedy answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from neural.tiny_lm.ensemble import TinyGPTEnsemble
from neural.tiny_lm.fictional_authors import EncodedTexts, FactSet
from neural.tiny_lm.logprobs import sequence_logps, token_logps
from neural.tiny_lm.sampling import sample, until
from simulations.unlearning.metrics import known_share, model_utility, rouge_l_recall, truth_ratio

__all__ = ["FactScores", "fact_scores", "greedy_answers", "mean_logps"]


@dataclass(frozen=True)
class FactScores:
    """One model's scores by set: ``truth`` the truth ratios per fact, the others means over facts and styles.

    ``exact`` is the share of greedy answers with the true value in its place, ``shaped`` that of answers which are
    right but for the value: what is left of language when knowledge is gone.
    """

    truth: dict[str, np.ndarray]
    probability: dict[str, float]
    rouge: dict[str, float]
    exact: dict[str, float]
    shaped: dict[str, float]

    @property
    def utility(self) -> float:
        """Harmonic mean over retained and world facts of probability, ROUGE-L and known share."""
        return model_utility(
            {
                name: (self.probability[name], self.rouge[name], known_share(self.truth[name]))
                for name in ("retain", "world")
            }
        )


def fact_scores(model: nn.Module, sets: dict[str, FactSet], end: int) -> list[FactScores]:
    """Scores of a model, or of every model of a ``TinyGPTEnsemble``; ``end`` is the id that ends an answer."""
    truth: list[dict[str, np.ndarray]] = []
    parts: list[dict[str, dict[str, float]]] = []
    for name, facts in sets.items():
        trained = mean_logps(model, facts.trained)
        right, wrong = mean_logps(model, facts.paraphrased), mean_logps(model, facts.perturbed)
        answers = greedy_answers(model, facts)
        reference = facts.trained.ids[..., facts.questions.shape[-1] :]
        if not truth:
            truth = [{} for _ in trained]
            parts = [{part: {} for part in ("probability", "rouge", "exact", "shaped")} for _ in trained]
        for number in range(len(trained)):
            truth[number][name] = truth_ratio(right[number].cpu().numpy(), wrong[number].cpu().numpy())
            measured = {
                "probability": float(trained[number].exp().mean()),
                **_answered(answers[number], reference, facts, end),
            }
            for part, value in measured.items():
                parts[number][part][name] = value
    return [FactScores(ratios, **means) for ratios, means in zip(truth, parts, strict=True)]


@torch.no_grad()
def mean_logps(model: nn.Module, texts: EncodedTexts) -> Tensor:
    """Mean log-probability of the targets of every text, of shape (models, …)."""
    flat = texts.flat()
    found = model(flat.ids)
    logits = found if isinstance(found, Tensor) else found.logits
    if logits.ndim == 3:
        logits = logits[None]
    means = [sequence_logps(token_logps(one, flat.ids), flat.mask, average=True) for one in logits]
    return torch.stack(means).view(-1, *texts.ids.shape[:-1])


def greedy_answers(model: nn.Module, facts: FactSet) -> Tensor:
    """Likeliest continuations of the trained questions, of shape (models, facts, 2, tokens)."""
    prompts = facts.questions.flatten(0, 1)
    answers = sample(model, prompts, facts.trained.ids.shape[-1] - prompts.shape[-1], temperature=0.0)
    return answers.view(-1 if isinstance(model, TinyGPTEnsemble) else 1, *facts.questions.shape[:2], answers.shape[-1])


def _answered(answers: Tensor, reference: Tensor, facts: FactSet, end: int) -> dict[str, float]:
    made = torch.where(until(answers, end), answers, -1)
    wanted = torch.where(until(reference, end), reference, -1)
    value = facts.values.to(answers.device)[:, None, None]
    place = wanted == value
    recall = rouge_l_recall(made.flatten(0, 1).cpu().numpy(), wanted.flatten(0, 1).cpu().numpy())
    return {
        "rouge": float(recall.mean()),
        "exact": float((place & (made == value)).any(-1).float().mean()),
        "shaped": float(((made == wanted) | place).all(-1).float().mean()),
    }
