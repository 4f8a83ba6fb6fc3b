"""Valid calls of neural.contrastive.speakers."""

import torch

from neural.contrastive.japanese_vowels import japanese_vowels
from neural.contrastive.speakers import synthetic_speakers, vowel_utterances

_VOWELS = japanese_vowels()
_CROP = {"chosen": torch.tensor([0, 3, 1]), "kind": "long", "generator": torch.Generator()}

CALLS = {
    "synthetic_speakers": {
        "speakers": 3, "utterances": 2, "session": 0.5, "generator": torch.Generator(), "features": 5, "channel": 0.5,
        "background": 0.1,
    },
    "SyntheticSpeakers.of": {"first": 1, "last": 3},
    "SyntheticSpeakers.crop": _CROP,
    "vowel_utterances": {"vowels": _VOWELS, "chosen": _VOWELS.train, "points": 4, "channel": 0.3, "noise": 0.1},
    "VowelUtterances.crop": _CROP,
    "cluster_purity": {"clusters": torch.tensor([0, 1, 1]), "speakers": torch.tensor([0, 1, 0])},
}  # fmt: skip
INSTANCES = {
    "SyntheticSpeakers": lambda: synthetic_speakers(3, 2, 0.5, generator=torch.Generator()),
    "VowelUtterances": lambda: vowel_utterances(_VOWELS, _VOWELS.train),
}
ACCEPTED = {
    ("SyntheticSpeakers.of", "first", "zero"): "from the first speaker on",
    ("cluster_purity", "clusters", "huge"): "any whole number names a cluster",
    ("cluster_purity", "speakers", "huge"): "any whole number names a speaker",
}
