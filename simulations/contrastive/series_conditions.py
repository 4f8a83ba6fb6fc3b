"""Series with bad pairs: what they are, how views are made of them, and their split for training and probes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from neural.contrastive.japanese_vowels import japanese_vowels, resampled
from neural.contrastive.time_series import SeriesViews, carriers, heartbeats

__all__ = ["CONDITIONS", "VIEWS", "Condition", "SplitSeries", "split_series"]

Fault = Literal["noise", "mismatch"]


@dataclass(frozen=True)
class Condition:
    """Which series, how they are changed, and how many pairs of which kind are bad. Tuned ones use all rates.

    ``data`` is carriers, vowels or heartbeats, ``views`` a key of ``VIEWS``.
    """

    data: str
    views: str
    noisy: float
    faulty: float
    fault: Fault
    tuned: bool


_MORE: tuple[tuple[str, str, str, Fault], ...] = (
    ("heartbeats", "heartbeats", "shifted", "noise"),
    ("speakers", "vowels", "gentle", "mismatch"),
)
CONDITIONS = {
    "waves, noisy": Condition("carriers", "shifted", 0.3, 0.0, "noise", False),
    "waves, both": Condition("carriers", "shifted", 0.3, 0.1, "noise", True),
    "speakers, noisy": Condition("vowels", "permuted", 0.3, 0.0, "noise", False),
    "speakers, both": Condition("vowels", "gentle", 0.3, 0.1, "mismatch", True),
    **{
        f"{name}, share {share:g}": Condition(data, views, 0.75 * share, 0.25 * share, fault, True)
        for name, data, views, fault in _MORE
        for share in (0.0, 0.2, 0.4, 0.6)
    },
}

VIEWS = {
    "shifted": SeriesViews(scale=0.2, jitter=0.2, shift=1.0),
    "gentle": SeriesViews(scale=0.2, jitter=0.2, shift=0.0),
    "permuted": SeriesViews(scale=0.2, jitter=0.2, shift=0.0, segments=8),
}


@dataclass(frozen=True)
class SplitSeries:
    """Clean series to train on, with classes; others to choose a learning rate on, and to test on."""

    train: torch.Tensor
    train_labels: torch.Tensor
    valid: torch.Tensor
    valid_labels: torch.Tensor
    test: torch.Tensor
    test_labels: torch.Tensor


def split_series(
    condition: Condition, samples: int, held_out: int, length: int, generator: torch.Generator
) -> SplitSeries:
    """The series of a condition before any is spoilt; utterances are standardised by those to train on.

    Held-out utterances are those of other occasions, in two random halves.
    """
    if condition.data != "vowels":
        make: Callable = {"carriers": carriers, "heartbeats": heartbeats}[condition.data]
        series, labels = make(samples + 2 * held_out, generator=generator)
        sizes = [samples, held_out, held_out]
        return SplitSeries(
            *(part for pair in zip(series.split(sizes), labels.split(sizes), strict=True) for part in pair)
        )
    vowels = japanese_vowels().to(str(generator.device))
    series = resampled(vowels.series, vowels.lengths, length)
    known = series[vowels.train]
    series = (series - known.mean((0, 2), keepdim=True)) / known.std((0, 2), keepdim=True)
    unseen = (~vowels.train).nonzero()[:, 0]
    order = torch.randperm(len(unseen), generator=generator, device=generator.device)
    parts = (vowels.train.nonzero()[:, 0], *unseen[order].chunk(2))
    return SplitSeries(*(part for index in parts for part in (series[index], vowels.speakers[index])))
