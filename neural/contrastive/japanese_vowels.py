"""Nine real speakers: 640 utterances of the Japanese vowels /ae/ as short series of cepstral coefficients.

The data set lies beside this file with its licence (``japanese_vowels.md``). The training part holds 30 utterances of
each speaker; those of the test part were spoken on other occasions, so that telling speakers apart there needs more
than remembering a recording.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neural.validation import class_indices, finite_contents, floating, whole_number

__all__ = ["JapaneseVowels", "japanese_vowels", "resampled"]


@dataclass(frozen=True)
class JapaneseVowels:
    """Utterances of 12 coefficients in 7 to 29 frames of 6.4 ms, padded with zeros to the longest."""

    series: Float[Tensor, "utterances coefficients frames"]
    lengths: Int[Tensor, " utterances"]
    speakers: Int[Tensor, " utterances"]
    train: Bool[Tensor, " utterances"]

    def to(self, device: str) -> "JapaneseVowels":
        """The same on another device."""
        return JapaneseVowels(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))


def japanese_vowels() -> JapaneseVowels:
    """All 640 utterances; ``train`` marks the 270 of the training part.

    Source: Kudo, Toyama and Shimbo (1999).

    >>> vowels = japanese_vowels()
    >>> tuple(vowels.series.shape), int(vowels.train.sum()), int(vowels.speakers.max())
    ((640, 12, 29), 270, 8)
    """
    with np.load(Path(__file__).with_suffix(".npz"), allow_pickle=False) as stored:
        frames, lengths, speakers, train = (
            torch.from_numpy(stored[name]) for name in ("frames", "lengths", "speakers", "train")
        )
    lengths = lengths.long()
    padded = torch.nn.utils.rnn.pad_sequence(list(frames.split(lengths.tolist())), batch_first=True)
    return JapaneseVowels(padded.mT.contiguous(), lengths, speakers.long(), train)


def resampled(
    series: Float[Tensor, "series channels frames"], lengths: Int[Tensor, " series"], length: int
) -> Float[Tensor, "series channels length"]:
    """Each series, without its padding, at ``length`` equally spaced times from its first to its last frame.

    Linear interpolation; one frame is repeated. Raises ``ValueError`` for series that are not floating-point
    (series, channels, frames) or (on CPU) not finite, lengths of another number or (on CPU) outside 1 … frames, and a
    ``length`` that is not a whole number of at least 2.

    >>> resampled(torch.tensor([[[0.0, 2.0, 4.0, 9.0]]]), torch.tensor([3]), 5)
    tensor([[[0., 1., 2., 3., 4.]]])
    """
    floating("series", series, 3)
    finite_contents("series", series)
    class_indices("lengths", lengths, len(series), series.shape[-1] + 1)
    if lengths.device.type == "cpu" and bool((lengths < 1).any()):
        raise ValueError("lengths must be at least 1, got 0")
    whole_number("length", length, 2)
    places = torch.linspace(0, 1, length, dtype=series.dtype, device=series.device) * (lengths[:, None] - 1)
    before = places.floor().long()
    after = (before + 1).minimum(lengths[:, None] - 1)
    share = (places - before)[:, None]
    wide = (-1, series.shape[1], -1)
    early, late = (series.gather(2, index[:, None].expand(wide)) for index in (before, after))
    return early.lerp(late, share)
