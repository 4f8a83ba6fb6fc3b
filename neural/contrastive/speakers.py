"""Utterances of speakers to learn from without labels: synthetic ones, and the nine of the Japanese vowels.

A synthetic utterance is a point ``speaker + session``: speakers are N(0, I) in 24 dimensions, sessions are noise,
strong in a fixed subspace of 8 dimensions and weak elsewhere. A crop of T frames sees that point through noise of
deviation 1/sqrt(T), a fixed nonlinear map, and a channel,

    crop = tanh((speaker + session + e/sqrt(T)) A) + channel · c C,     e, c standard normal,

so that augmentation teaches invariance to channel and length, but no crop of the same utterance to the session.

    world = synthetic_speakers(100, 10, session=0.9, generator=generator)
    x = world.crop(torch.arange(len(world)), "long", generator)

``VowelUtterances`` crops real recordings in the same way. Both give ``"long"``, ``"short"`` and ``"clean"`` crops.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from neural.contrastive.japanese_vowels import JapaneseVowels
from neural.validation import at_least, class_indices, indices, one_of, whole_number

__all__ = ["KINDS", "SyntheticSpeakers", "VowelUtterances", "cluster_purity", "synthetic_speakers", "vowel_utterances"]

KINDS = ("long", "short", "clean")
"""Crops: most of an utterance, little of it, and most of it without augmentation."""

_FACTORS, _SESSION_FACTORS, _CHANNELS = 24, 8, 16
_FRAMES = {"long": 8.0, "short": 2.0, "clean": 8.0}
_SHARES = {"long": (0.6, 0.9), "short": (0.25, 0.45), "clean": (1.0, 1.0)}


@dataclass(frozen=True)
class SyntheticSpeakers:
    """Utterances as ``speaker + session``, and the world they are heard in, the map A and the channels C."""

    factors: Float[Tensor, "utterances factors"]
    speakers: Int[Tensor, " utterances"]
    mixing: Float[Tensor, "factors features"]
    channels: Float[Tensor, "channels features"]
    channel: float

    def __len__(self) -> int:
        return len(self.speakers)

    @property
    def features(self) -> int:
        """Length of a crop."""
        return self.mixing.shape[1]

    def of(self, first: int, last: int) -> "SyntheticSpeakers":
        """The utterances of speakers ``first … last − 1``, renumbered from 0, in the same world."""
        whole_number("first", first, 0)
        whole_number("last", last, first + 1)
        chosen = (self.speakers >= first) & (self.speakers < last)
        if not bool(chosen.any()):
            raise ValueError(f"first and last must enclose speakers, got {first} and {last}")
        return replace(self, factors=self.factors[chosen], speakers=self.speakers[chosen] - first)

    def crop(
        self, chosen: Int[Tensor, "*stack batch"], kind: str, generator: torch.Generator
    ) -> Float[Tensor, "*stack batch features"]:
        """A crop of every chosen utterance. Noise and channels are shared by the stacked problems.

        Raises ``ValueError`` for an unknown kind and for indices of no utterance.
        """
        one_of("kind", kind, KINDS)
        _check_chosen(chosen, len(self))
        batch, device = chosen.shape[-1], self.factors.device
        noise = torch.randn(batch, self.factors.shape[1], generator=generator, device=device)
        heard = torch.tanh((self.factors[chosen] + noise / _FRAMES[kind] ** 0.5) @ self.mixing)
        if kind == "clean":
            return heard
        drawn = torch.randn(batch, len(self.channels), generator=generator, device=device)
        return heard + self.channel * drawn @ self.channels


def synthetic_speakers(
    speakers: int, utterances: int, session: float, *, generator: torch.Generator, features: int = 48,
    channel: float = 0.5, background: float = 0.15,
) -> SyntheticSpeakers:  # fmt: skip
    """``utterances`` of each of ``speakers`` in a world of their own.

    Args:
        session: deviation of the session noise in its subspace; ``background`` is that elsewhere.
        features: length of a crop.
        channel: deviation of the channel's random coefficients.

    Raises ``ValueError`` for fewer than one speaker, utterance or feature, or negative deviations.
    """
    for name, number in (("speakers", speakers), ("utterances", utterances), ("features", features)):
        whole_number(name, number, 1)
    for name, deviation in (("session", session), ("channel", channel), ("background", background)):
        at_least(name, deviation, 0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, device=generator.device)

    mixing, channels = draw(_FACTORS, features) * _FACTORS**-0.5, draw(_CHANNELS, features) * _CHANNELS**-0.5
    subspace = torch.linalg.qr(draw(_FACTORS, _SESSION_FACTORS)).Q
    identities = draw(speakers, _FACTORS).repeat_interleave(utterances, dim=0)
    strong, weak = draw(len(identities), _SESSION_FACTORS), draw(len(identities), _FACTORS)
    outside = weak - weak @ subspace @ subspace.T
    factors = identities + session * strong @ subspace.T + background * outside
    labels = torch.arange(speakers, device=generator.device).repeat_interleave(utterances)
    return SyntheticSpeakers(factors, labels, mixing, channels, channel)


@dataclass(frozen=True)
class VowelUtterances:
    """Standardised series of cepstral coefficients; a crop is a stretch of one, at ``points`` times.

    A channel adds a constant to each coefficient, as a linear filter does to cepstra.
    """

    series: Float[Tensor, "utterances coefficients frames"]
    lengths: Int[Tensor, " utterances"]
    speakers: Int[Tensor, " utterances"]
    points: int
    channel: float
    noise: float

    def __len__(self) -> int:
        return len(self.speakers)

    @property
    def features(self) -> int:
        """Length of a crop."""
        return self.series.shape[1] * self.points

    def crop(
        self, chosen: Int[Tensor, "*stack batch"], kind: str, generator: torch.Generator
    ) -> Float[Tensor, "*stack batch features"]:
        """A crop of every chosen utterance; what is random is shared by the stacked problems.

        Long crops take 60 to 90 % of the frames, short ones 25 to 45 %, clean ones all. Raises ``ValueError`` for an
        unknown kind and for indices of no utterance.
        """
        one_of("kind", kind, KINDS)
        _check_chosen(chosen, len(self))
        batch, device = chosen.shape[-1], self.series.device

        def uniform() -> Tensor:
            return torch.rand(batch, generator=generator, device=device)

        low, high = _SHARES[kind]
        last = (self.lengths[chosen] - 1).to(self.series.dtype)
        span = last * (low + (high - low) * uniform())
        start = (last - span) * uniform()
        steps = torch.linspace(0, 1, self.points, dtype=self.series.dtype, device=device)
        places = start[..., None] + span[..., None] * steps
        before = places.floor().long()
        after = torch.minimum(before + 1, last[..., None].long())
        # Frames in front of coefficients: one index then takes a whole frame.
        frames = self.series.mT
        early, late = frames[chosen[..., None], before], frames[chosen[..., None], after]
        heard = early.lerp(late, (places - before)[..., None])
        if kind != "clean":
            offset = torch.randn(batch, 1, heard.shape[-1], generator=generator, device=device)
            noise = torch.randn(batch, *heard.shape[-2:], generator=generator, device=device)
            heard = heard + self.channel * offset + self.noise * noise
        return heard.flatten(-2)


def vowel_utterances(
    vowels: JapaneseVowels, chosen: Bool[Tensor, " utterances"], *, points: int = 6, channel: float = 0.3,
    noise: float = 0.1,
) -> VowelUtterances:  # fmt: skip
    """The chosen recordings, each coefficient standardised by mean and deviation over the training part.

    Raises ``ValueError`` if none is chosen, for fewer than two points, or negative deviations.
    """
    whole_number("points", points, 2)
    at_least("channel", channel, 0)
    at_least("noise", noise, 0)
    if not isinstance(chosen, Tensor):
        raise ValueError(f"chosen must be a boolean tensor, got {type(chosen).__name__}")
    if chosen.dtype != torch.bool or chosen.shape != vowels.speakers.shape or not bool(chosen.any()):
        raise ValueError(f"chosen must be boolean, one per utterance and some of them, got {tuple(chosen.shape)}")
    spoken = torch.arange(vowels.series.shape[2], device=chosen.device) < vowels.lengths[:, None]
    frames = vowels.series.mT[spoken & vowels.train[:, None]]
    deviation, mean = torch.std_mean(frames, dim=0)
    standardised = (vowels.series - mean[:, None]) / deviation[:, None]
    return VowelUtterances(
        standardised[chosen], vowels.lengths[chosen], vowels.speakers[chosen], points, channel, noise
    )


def cluster_purity(clusters: Int[Tensor, "*stack items"], speakers: Int[Tensor, " items"]) -> Float[Tensor, "*stack"]:
    """Share of items whose speaker is the most frequent one of their cluster. Cluster names do not matter.

    Raises ``ValueError`` for labels that are not whole numbers of at least 0 or not equally many.

    >>> cluster_purity(torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 0, 1])).item()
    0.75
    """
    if not isinstance(clusters, Tensor) or clusters.ndim == 0:
        raise ValueError(f"clusters must be a tensor with an axis of items, got {clusters!r:.40}")
    class_indices("clusters", clusters.flatten(), clusters.numel())
    class_indices("speakers", speakers, len(speakers) if isinstance(speakers, Tensor) else 0)
    if clusters.numel() == 0 or clusters.shape[-1] != len(speakers):
        raise ValueError(
            f"clusters and speakers must be equally many and some, got shapes {tuple(clusters.shape)} and "
            f"{tuple(speakers.shape)}"
        )
    rows = clusters.reshape(-1, clusters.shape[-1])
    names, number = rows.unique(return_inverse=True)
    known, speaker = speakers.unique(return_inverse=True)
    counts = torch.zeros(len(rows), len(names) * len(known), device=rows.device)
    counts.scatter_add_(1, number * len(known) + speaker, torch.ones_like(number, dtype=counts.dtype))
    most = counts.unflatten(1, (len(names), len(known))).amax(2).sum(1)
    return (most / rows.shape[1]).reshape(clusters.shape[:-1])


def _check_chosen(chosen: Tensor, utterances: int) -> None:
    indices("chosen", chosen)
    if chosen.numel() == 0:
        raise ValueError(f"chosen must not be empty, got shape {tuple(chosen.shape)}")
    class_indices("chosen", chosen.flatten(), chosen.numel(), utterances)
