"""Valid calls of neural.contrastive.japanese_vowels."""

import torch

CALLS = {
    "japanese_vowels": {},
    "resampled": {"series": torch.ones(2, 3, 5), "lengths": torch.tensor([5, 4]), "length": 7},
}
TRUSTED = {"JapaneseVowels": "a result", "JapaneseVowels.to": "a device is torch's to check"}
