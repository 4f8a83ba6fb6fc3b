"""Valid calls of neural.alignment.attack_evaluation."""

import torch

from neural.alignment.attack_evaluation import (
    AttackEvaluation,
    CallableJudge,
    Label,
    RegexJudge,
    TemplateResult,
    TokenSetJudge,
    attack_success_rate,
)


def build(question):
    """A prompt of two tokens."""
    return [0, question]


def parrot(prompts, new, generator):
    """The question, again and again."""
    return prompts[:, -1:].expand(-1, new)


JUDGE = TokenSetJudge([6])
LABELS = (Label.SAFE, Label.UNSAFE, Label.UNDECIDED)
RESULT = TemplateResult((LABELS, LABELS), attack_success_rate(LABELS))
CALLS = {
    "AttackEvaluation": {
        "prompt_builders": {"plain": build}, "questions": [5, 6], "sampler": parrot, "judge": JUDGE, "n_samples": 2,
        "max_new_tokens": 3, "seed": 0, "end_id": 1, "special_ids": torch.tensor([2, 3]),
    },
    "AttackEvaluation.run": {"sampler": parrot},
    "CallableJudge": {"function": JUDGE, "retries": 2},
    "RegexJudge": {"unsafe": "flagged", "safe": "refuse"},
    "TemplateResult.less": {"other": RESULT},
    "TokenSetJudge": {"flagged_ids": torch.tensor([6, 7])},
    "attack_success_rate": {"labels": LABELS},
    "cohen_kappa": {"first": LABELS, "second": LABELS},
    "majority": {"labels": LABELS},
    "wilson_interval": {"successes": 3, "trials": 10, "confidence": 0.95},
}  # fmt: skip
ACCEPTED = {
    ("AttackEvaluation", "seed", "zero"): "a seed",
    ("AttackEvaluation", "end_id", "zero"): "the first token",
    ("AttackEvaluation", "special_ids", "empty"): "nothing is hidden from the judge",
    ("AttackEvaluation", "special_ids", "huge"): "the vocabulary is not known here",
    ("CallableJudge", "retries", "zero"): "asked once",
    ("RegexJudge", "unsafe", "unknown"): "a pattern of its own",
    ("RegexJudge", "safe", "unknown"): "a pattern of its own",
    ("TokenSetJudge", "flagged_ids", "huge"): "the vocabulary is not known here",
    ("wilson_interval", "successes", "zero"): "none of them",
}
TRUSTED = {
    "Judge": "an interface",
    "Label": "an enumeration",
    "AttackRate": "a result",
    "PairedDifference": "a result",
    "TemplateResult": "a result",
}
INSTANCES = {
    "AttackEvaluation": lambda: AttackEvaluation({"plain": build}, [5, 6], parrot, JUDGE, 2, 3),
    "CallableJudge": lambda: CallableJudge(JUDGE),
    "RegexJudge": lambda: RegexJudge("flagged"),
    "TemplateResult": lambda: RESULT,
    "TokenSetJudge": lambda: TokenSetJudge([6]),
}
