"""Time series for contrastive experiments: generators, views, bad pairs with known ground truth, and encoders.

``carriers`` are waves in six classes (frequency and whether the amplitude is modulated), ``heartbeats`` trains of
beats whose form is the class. ``SeriesViews`` turns a batch into randomly changed copies. ``inject_bad_pairs`` spoils
known instances of any series:

    noisy     the instance itself is mostly noise, which both of its views share
    faulty    the second view has nothing of the instance

    pairs = inject_bad_pairs(series, noisy=0.3, faulty=0.1, generator=generator)
    first, second = pairs.views(index, SeriesViews(), generator)

All randomness goes through explicit generators.

Source: Lan, Yan, Hong and Feng (2024), *Towards Enhancing Time Series Contrastive Learning: A Dynamic Bad Pair Mining
Approach*, for the two kinds of bad pairs and for scaling, jitter and permuted segments as augmentations.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from neural.ensemble import EnsembleBatchNorm, EnsembleLinear
from neural.validation import (
    at_least,
    class_indices,
    finite_contents,
    floating,
    in_range,
    indices,
    one_of,
    whole_number,
)

__all__ = [
    "PairedSeries",
    "SeriesEncoderEnsemble",
    "SeriesViews",
    "carriers",
    "heartbeats",
    "inject_bad_pairs",
    "jitter",
    "permute_segments",
    "scale_channels",
    "shift_circularly",
]

Series = Float[Tensor, "samples channels length"]
Fault = Literal["noise", "mismatch"]

_CYCLES = (3.0, 5.0, 8.0)
# Centre (share of a beat), width and height of the waves P, Q, R, S and T; classes change the last two columns' signs.
_WAVES = torch.tensor(
    [[0.18, 0.030, 0.2], [0.36, 0.012, -0.2], [0.40, 0.015, 1.0], [0.44, 0.014, -0.3], [0.68, 0.050, 0.35]]
)


def carriers(
    samples: int, *, length: int = 64, noise: float = 0.3, generator: torch.Generator
) -> tuple[Float[Tensor, "samples 1 length"], Int[Tensor, " samples"]]:
    """Waves of 3, 5 or 8 cycles with random phase, steady or modulated twice in amplitude, and white noise.

    Returns series and their classes 0 … 5. Raises ``ValueError`` for numbers out of range.

    >>> series, labels = carriers(10, generator=torch.Generator().manual_seed(0))
    >>> tuple(series.shape), int(labels.max()) < 6
    ((10, 1, 64), True)
    """
    whole_number("samples", samples, 1)
    whole_number("length", length, 2)
    at_least("noise", noise, 0)
    device = generator.device
    labels = torch.randint(2 * len(_CYCLES), (samples,), generator=generator, device=device)
    phase, envelope_phase = 2 * torch.pi * torch.rand(2, samples, 1, generator=generator, device=device)
    turns = 2 * torch.pi * torch.arange(length, device=device) / length
    cycles = torch.tensor(_CYCLES, device=device)[labels % len(_CYCLES)][:, None]
    modulated = (labels >= len(_CYCLES))[:, None]
    envelope = torch.where(modulated, 1 + 0.8 * torch.cos(2 * turns + envelope_phase), 1.0)
    waves = envelope * torch.sin(cycles * turns + phase)
    series = waves + noise * torch.randn(samples, length, generator=generator, device=device)
    return series[:, None], labels


def heartbeats(
    samples: int, *, length: int = 256, noise: float = 0.1, generator: torch.Generator
) -> tuple[Float[Tensor, "samples 2 length"], Int[Tensor, " samples"]]:
    """Two leads of four beats made of five Gaussian waves each, with baseline wander and white noise, in six classes.

    Classes: normal, no P wave, wide complex, inverted T, deep Q with raised T, and irregular intervals. Rate, start,
    height of the waves and mixing into leads vary between instances. Raises ``ValueError`` for numbers out of range.
    """
    whole_number("samples", samples, 1)
    whole_number("length", length, 2)
    at_least("noise", noise, 0)
    device = generator.device

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, device=device)

    labels = torch.randint(6, (samples,), generator=generator, device=device)
    centre, width, height = (column.expand(samples, -1).clone() for column in _WAVES.to(device).T)
    height = height * (1 + 0.15 * normal(samples, 5))
    height[:, 0] *= labels != 1
    width[:, 1:4] *= torch.where(labels == 2, 2.5, 1.0)[:, None]
    height[:, 4] *= torch.where(labels == 3, -1.0, 1.0)
    height[:, 1] *= torch.where(labels == 4, 3.0, 1.0)
    height[:, 4] *= torch.where(labels == 4, 1.6, 1.0)
    # Intervals add up to the beats' starts; atrial fibrillation's are irregular.
    spread = torch.where(labels == 5, 0.25, 0.03)[:, None]
    intervals = (1 + spread * normal(samples, 7)).clamp_min(0.4)
    starts = intervals.cumsum(1) - 2 - torch.rand(samples, 1, generator=generator, device=device)
    rate = 4 * (1 + 0.1 * normal(samples, 1))
    beats = rate * torch.arange(length, device=device) / length
    since = beats[:, None, :] - starts[:, :, None]
    offsets = (since[:, :, None, :] - centre[:, None, :, None]) / width[:, None, :, None]
    waves = (height[:, None, :, None] * torch.exp(-0.5 * offsets.square())).sum(1)
    mixing = 1 + 0.2 * normal(samples, 2, 5)
    mixing[:, 1, 2:4] *= 0.5
    wander = 0.15 * torch.sin(
        beats[:, None] * 0.7 + 6.3 * torch.rand(samples, 2, 1, generator=generator, device=device)
    )
    return mixing @ waves + wander + noise * normal(samples, 2, length), labels


def scale_channels(series: Series, deviation: float, generator: torch.Generator) -> Series:
    """Every channel of every series times its own factor from N(1, deviation²).

    Raises ``ValueError`` for series that are not floating-point (samples, channels, length) or (on CPU) not finite,
    and a negative ``deviation``.
    """
    _check_series(series)
    at_least("deviation", deviation, 0)
    factors = torch.randn(*series.shape[:2], 1, generator=generator, device=series.device, dtype=series.dtype)
    return series * (1 + deviation * factors)


def jitter(series: Series, deviation: float, generator: torch.Generator) -> Series:
    """White noise of this standard deviation added. Errors as in ``scale_channels``."""
    _check_series(series)
    at_least("deviation", deviation, 0)
    noise = torch.randn(series.shape, generator=generator, device=series.device, dtype=series.dtype)
    return series + deviation * noise


def shift_circularly(series: Series, largest: float, generator: torch.Generator) -> Series:
    """Rotated in time by up to a share ``largest`` of its length, to either side.

    Raises ``ValueError`` for series as in ``scale_channels`` and a share outside [0, 1].
    """
    _check_series(series)
    in_range("largest", largest, 0, 1)
    length = series.shape[-1]
    share = 2 * torch.rand(len(series), 1, generator=generator, device=series.device) - 1
    steps = (share * largest * length).round().long()
    places = (torch.arange(length, device=series.device) - steps) % length
    return series.gather(2, places[:, None].expand_as(series))


def permute_segments(series: Series, most: int, generator: torch.Generator) -> Series:
    """Cut at random times into 1 … ``most`` segments, which are joined in random order; channels stay together.

    Raises ``ValueError`` for series as in ``scale_channels`` and ``most`` below 1 or above the length.
    """
    _check_series(series)
    samples, _, length = series.shape
    whole_number("most", most, 1)
    if most > length:
        raise ValueError(f"most must be at most the length {length}, got {most}")
    device = series.device
    count = torch.randint(1, most + 1, (samples, 1), generator=generator, device=device)
    # The first of a random order of the inner times are the cuts: distinct, so that no segment is empty.
    order = torch.rand(samples, length - 1, generator=generator, device=device).argsort(1)
    cuts = torch.zeros(samples, length, dtype=torch.long, device=device)
    cuts[:, 1:].scatter_(1, order, (torch.arange(length - 1, device=device) < count - 1).long())
    segment = cuts.cumsum(1)
    keys = torch.rand(samples, most, generator=generator, device=device).gather(1, segment)
    places = keys.argsort(dim=1, stable=True)
    return series.gather(2, places[:, None].expand_as(series))


@dataclass(frozen=True)
class SeriesViews:
    """A random copy of each series: scaled, shifted, cut and permuted, jittered, in this order.

    ``segments = 1`` leaves the order of time as it is. Raises ``ValueError`` for numbers out of range.
    """

    scale: float = 0.2
    jitter: float = 0.2
    shift: float = 1.0
    segments: int = 1

    def __post_init__(self) -> None:
        at_least("scale", self.scale, 0)
        at_least("jitter", self.jitter, 0)
        in_range("shift", self.shift, 0, 1)
        whole_number("segments", self.segments, 1)

    def __call__(self, series: Series, generator: torch.Generator) -> Series:
        changed = scale_channels(series, self.scale, generator)
        if self.shift > 0:
            changed = shift_circularly(changed, self.shift, generator)
        if self.segments > 1:
            changed = permute_segments(changed, self.segments, generator)
        return jitter(changed, self.jitter, generator)


@dataclass(frozen=True)
class PairedSeries:
    """Series of which some give bad pairs, and the truth about which; ``fault`` is what a faulty second view shows."""

    series: Series
    noisy: Bool[Tensor, " samples"]
    faulty: Bool[Tensor, " samples"]
    fault: Fault = "noise"

    @property
    def clean(self) -> Bool[Tensor, " samples"]:
        """Instances that are neither noisy nor faulty."""
        return ~(self.noisy | self.faulty)

    def views(
        self, index: Int[Tensor, " batch"], make: SeriesViews, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Two views of these instances; a faulty second one is white noise, or a view of some other instance.

        Raises ``ValueError`` for an ``index`` that is not whole numbers or (on CPU) out of range.
        """
        indices("index", index)
        if index.ndim != 1 or len(index) == 0:
            raise ValueError(f"index must be a non-empty vector, got shape {tuple(index.shape)}")
        class_indices("index", index, len(index), len(self.series))
        chosen = self.series[index]
        first, second = make(chosen, generator), make(chosen, generator)
        if self.fault == "noise":
            wrong = torch.randn(chosen.shape, generator=generator, device=chosen.device, dtype=chosen.dtype)
        else:
            away = torch.randint(1, len(self.series), index.shape, generator=generator, device=chosen.device)
            wrong = make(self.series[(index + away) % len(self.series)], generator)
        return first, torch.where(self.faulty[index][:, None, None], wrong, second)


def inject_bad_pairs(
    series: Series,
    noisy: float = 0.0,
    faulty: float = 0.0,
    *,
    signal: float = 0.3,
    noise: float = 1.5,
    fault: Fault = "noise",
    generator: torch.Generator,
) -> PairedSeries:
    """Make a share of instances noisy, ``signal · x + noise · N(0, 1)`` once and for all, and another share faulty.

    Shares are met exactly up to rounding, and no instance is both. Raises ``ValueError`` for series that are not
    floating-point (samples, channels, length) or (on CPU) not finite, fewer than two, shares outside [0, 1] or with a
    sum above 1, negative ``signal`` or ``noise``, or an unknown word.

    >>> pairs = inject_bad_pairs(torch.zeros(10, 1, 8), noisy=0.3, faulty=0.1, generator=torch.Generator())
    >>> int(pairs.noisy.sum()), int(pairs.faulty.sum()), int(pairs.clean.sum())
    (3, 1, 6)
    """
    _check_series(series)
    if len(series) < 2:
        raise ValueError(f"series must be at least 2, got {len(series)}")
    in_range("noisy", noisy, 0, 1)
    in_range("faulty", faulty, 0, 1 - noisy)
    at_least("signal", signal, 0)
    at_least("noise", noise, 0)
    one_of("fault", fault, ("noise", "mismatch"))
    samples = len(series)
    counts = round(noisy * samples), round(faulty * samples)
    rank = torch.empty(samples, dtype=torch.long, device=series.device)
    rank[torch.randperm(samples, generator=generator, device=series.device)] = torch.arange(
        samples, device=series.device
    )
    is_noisy, is_faulty = rank < counts[0], (rank >= counts[0]) & (rank < sum(counts))
    shared = torch.randn(series.shape, generator=generator, device=series.device, dtype=series.dtype)
    spoilt = torch.where(is_noisy[:, None, None], signal * series + noise * shared, series)
    return PairedSeries(spoilt, is_noisy, is_faulty, fault)


class SeriesEncoderEnsemble(nn.Module):
    """Convolutional encoders of series with batch normalisation and a projector, in lockstep, all starting equal.

    One strided convolution per entry of ``widths``, each followed by ``blocks`` residual pairs of convolutions;
    features are means over time. ``forward`` returns (features, projections); the loss acts on projections, evaluation
    on features. Raises ``ValueError`` for numbers below 1 (``blocks``: below 0) and an even ``kernel``; ``forward`` for
    series of other shapes or (on CPU) not finite.
    """

    def __init__(
        self,
        models: int,
        channels: int,
        *,
        generator: torch.Generator,
        widths: tuple[int, ...] = (16, 32),
        kernel: int = 9,
        stride: int = 2,
        blocks: int = 0,
        head: tuple[int, int] = (64, 32),
    ) -> None:
        super().__init__()
        for name, number in (("models", models), ("channels", channels), ("kernel", kernel), ("stride", stride)):
            whole_number(name, number, 1)
        for name, numbers in (("widths", widths), ("head", head)):
            for number in numbers:
                whole_number(name, number, 1)
        whole_number("blocks", blocks, 0)
        if kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, got {kernel}")
        self.models, self.channels = models, channels
        stages: list[nn.Module] = []
        inputs = channels
        for width in widths:
            stages.append(_Convolution(models, inputs, width, kernel, stride, generator, shared_input=not stages))
            stages.append(nn.ReLU())
            stages += [_Residual(models, width, kernel, generator) for _ in range(blocks)]
            inputs = width
        self.encoder = nn.Sequential(*stages)
        self.projector = nn.Sequential(
            EnsembleLinear(models, inputs, head[0], generator),
            EnsembleBatchNorm(models, head[0], generator.device),
            nn.ReLU(),
            EnsembleLinear(models, head[0], head[1], generator),
        )

    def forward(
        self, series: Float[Tensor, "batch channels length"]
    ) -> tuple[Float[Tensor, "models batch features"], Float[Tensor, "models batch dim"]]:
        _check_series(series)
        if series.shape[1] != self.channels:
            raise ValueError(f"series must have {self.channels} channels, got shape {tuple(series.shape)}")
        features = self.encoder(series).mean(-1).unflatten(1, (self.models, -1)).transpose(0, 1)
        return features, self.projector(features)


class _Convolution(nn.Module):
    """Convolution along time and batch normalisation, as one grouped call.

    Activations have shape (batch, models · channels, length); the first layer's input is one for all models.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self, models: int, inputs: int, outputs: int, kernel: int, stride: int, generator: torch.Generator,
        shared_input: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.stride, self.groups = stride, 1 if shared_input else models
        limit, device = (inputs * kernel) ** -0.5, generator.device
        start = torch.empty(outputs, inputs, kernel, device=device).uniform_(-limit, limit, generator=generator)
        # No bias: normalisation takes it away.
        self.weight = nn.Parameter(start.repeat(models, 1, 1, 1))
        self.scale = nn.Parameter(torch.ones(models, outputs, device=device))
        self.shift = nn.Parameter(torch.zeros(models, outputs, device=device))
        self.register_buffer("running_mean", torch.zeros(models, outputs, device=device))
        self.register_buffer("running_var", torch.ones(models, outputs, device=device))

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight.shape[-1]
        made = F.conv1d(x, self.weight.flatten(0, 1), stride=self.stride, padding=kernel // 2, groups=self.groups)
        statistics = self.running_mean.flatten(), self.running_var.flatten()
        return F.batch_norm(made, *statistics, self.scale.flatten(), self.shift.flatten(), self.training)


class _Residual(nn.Module):
    """``relu(x + convolution(relu(convolution(x))))``."""

    def __init__(self, models: int, width: int, kernel: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first, self.second = (_Convolution(models, width, width, kernel, 1, generator) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


def _check_series(series: Tensor) -> None:
    floating("series", series, 3)
    finite_contents("series", series)
