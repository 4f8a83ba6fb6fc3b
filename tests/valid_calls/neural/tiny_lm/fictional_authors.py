"""Valid calls of neural.tiny_lm.fictional_authors."""

import numpy as np

from neural.tiny_lm.fictional_authors import FictionalAuthors

WORLD = FictionalAuthors(n_authors=4, n_values=6)
FACTS = WORLD.facts([0, 1])
CALLS = {
    "FictionalAuthors": {"n_authors": 4, "n_values": 6, "seed": 1, "n_holdout": 2},
    "FictionalAuthors.question": {"fact": 3, "style": 1},
    "FictionalAuthors.answer": {"fact": 3, "style": 1, "value": 2},
    "FictionalAuthors.splits": {"frac": 0.5},
    "FictionalAuthors.training_set": {"without": 0.5},
    "FictionalAuthors.eval_sets": {"frac": 0.5},
    "FictionalAuthors.facts": {"numbers": np.array([0, 2])},
}
TRUSTED = {
    "EncodedTexts": "a result",
    "FactSet": "a result",
    "Splits": "a result",
    "EncodedTexts.flat": "takes nothing",
    "EncodedTexts.to": "a device is torch's to check",
    "FactSet.to": "a device is torch's to check",
    "FictionalAuthors.encode": "texts, which test_fictional_authors.py spoils by word and by length",
    "FictionalAuthors.unknown_answers": "takes what facts returns",
}
ACCEPTED = {
    ("FictionalAuthors", "seed", "zero"): "a seed",
    ("FictionalAuthors", "n_holdout", "zero"): "everybody is trained",
    ("FictionalAuthors.question", "fact", "zero"): "the first",
    ("FictionalAuthors.question", "style", "zero"): "the first",
    ("FictionalAuthors.answer", "fact", "zero"): "the first",
    ("FictionalAuthors.answer", "style", "zero"): "the first",
    ("FictionalAuthors.answer", "value", "zero"): "the first",
}
INSTANCES = {"FictionalAuthors": lambda: FictionalAuthors(n_authors=4, n_values=6)}
