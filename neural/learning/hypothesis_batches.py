"""Thousands of random networks evaluated at once: one batched product per layer, on CPU and CUDA alike.

A hypothesis is a network with random hidden layers (uniform in ±1/sqrt(inputs), as ``nn.Linear`` starts) and a linear
readout. Two ways to draw the readout:

* ``"prior"``: at random too. Whether the network fits the training set is then left to chance.
* ``"interpolate"``: from its exact posterior given that the network passes through the training set. With features
  Phi (a constant among them) of mean squared norm 1 on the training set, readout v ~ N(0, 1), and v0 a draw from it,

      f_test = Phi_test v0 + Phi_test Phi_trainᵀ (Phi_train Phi_trainᵀ + noise 1)⁻¹ (y − Phi_train v0 − noise½ n):

  a draw from the prior, moved onto the data by one solve. Networks whose features cannot fit are flagged.

The hidden layers keep their prior: they are not reweighted by how probable they make the labels, as the posterior of
all weights would be. For given hidden layers the test error is a weighted sum of noncentral chi-squares, whose weights
and offsets ``readout_error_laws`` returns for every network.

    architecture = Architecture("mlp", width=32, depth=2)
    errors = hypothesis_errors(x, y, x_test, y_test, architecture, 5_000, generator=generator)
    errors.test[errors.fits]

Source: Boopathy, Yue, Hwang, Iyer and Fiete (2024), "Towards Exact Computation of Inductive Bias", for hypotheses that
are conditioned on fitting; drawing the readout given the data is Matheron's rule.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from neural.validation import finite_contents, floating, one_of, positive, whole_number

__all__ = [
    "Architecture",
    "HypothesisErrors",
    "HypothesisKind",
    "hypothesis_errors",
    "random_features",
    "readout_error_laws",
]

HypothesisKind = Literal["linear", "mlp", "conv", "attention", "forest"]
Activation = Literal["relu", "tanh"]
_KINDS = ("linear", "mlp", "conv", "attention", "forest")
_ACTIVATIONS = ("relu", "tanh")
_KERNEL = 3
_ONE = torch.ones(1, 1, 1)


@dataclass(frozen=True)
class Architecture:
    """The shape of a random network.

    ``linear``: the inputs themselves. ``mlp``: ``depth`` layers of ``width``. ``conv``: ``width`` channels of 3 × 3 on
    square images, pooled 2 × 2. ``attention``: one head of dimension ``width`` whose tokens are the rows of the image,
    without masks. ``forest``: ``width`` oblivious trees, each with ``depth`` splits at random coordinates and
    thresholds (uniform in ±1), whose features are leaves. Inputs of the image kinds are flattened squares. Raises
    ``ValueError`` for an unknown word or numbers below 1.
    """

    kind: HypothesisKind
    width: int = 32
    depth: int = 1
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        one_of("kind", self.kind, _KINDS)
        whole_number("width", self.width, 1)
        whole_number("depth", self.depth, 1)
        one_of("activation", self.activation, _ACTIVATIONS)
        if self.kind == "forest" and self.depth > 12:
            raise ValueError(f"depth of a forest must be at most 12, got {self.depth}")


@dataclass(frozen=True)
class HypothesisErrors:
    """Mean squared errors of every hypothesis, and which ones fit the training set."""

    train: Float[Tensor, " hypotheses"]
    test: Float[Tensor, " hypotheses"]
    fits: Bool[Tensor, " hypotheses"]


@torch.no_grad()
def hypothesis_errors(
    x_train: Float[Tensor, "train inputs"],
    y_train: Float[Tensor, "train outputs"],
    x_test: Float[Tensor, "test inputs"],
    y_test: Float[Tensor, "test outputs"],
    architecture: Architecture,
    count: int,
    *,
    generator: torch.Generator,
    condition: Literal["interpolate", "prior"] = "interpolate",
    noise: float = 1e-4,
    tolerance: float = 1e-2,
    chunk_size: int = 512,
) -> HypothesisErrors:
    """Training and test error of ``count`` random networks.

    A network ``fits`` if its training error is below ``tolerance``. ``noise`` is the variance, relative to the prior's,
    that keeps the solve stable: an interpolating hypothesis has about that training error. At most ``chunk_size``
    networks are in memory; fewer suit wide ones. Raises ``ValueError`` for shapes or dtypes that do not agree, numbers
    out of range, a generator on another device and (on CPU) values that are not finite.

    >>> generator, x = torch.Generator().manual_seed(0), torch.linspace(-1, 1, 9)[:, None]
    >>> errors = hypothesis_errors(x[::2], x[::2], x[1::2], x[1::2], Architecture("mlp"), 100, generator=generator)
    >>> bool(errors.fits.all()), errors.test.shape
    (True, torch.Size([100]))
    """
    _check_data(x_train, y_train, x_test, y_test, architecture, generator)
    one_of("condition", condition, ("interpolate", "prior"))
    positive("noise", noise)
    positive("tolerance", tolerance)
    whole_number("count", count, 1)
    whole_number("chunk_size", chunk_size, 1)
    x, y, n = torch.cat([x_train, x_test]), torch.cat([y_train, y_test]), len(y_train)
    train, test = [], []
    for start in range(0, count, chunk_size):
        features = random_features(x, architecture, min(chunk_size, count - start), generator)
        scale = _scale(features[:, :n])
        outputs = scale**0.5 * _prior_outputs(features, y.shape[1], generator)
        if condition == "interpolate":
            kernel = scale * torch.baddbmm(_ONE.to(features), features, features[:, :n].mT)
            noisy = torch.randn(outputs[:, :n].shape, generator=generator, device=x.device, dtype=x.dtype)
            gap = y_train - outputs[:, :n] - noise**0.5 * noisy
            outputs = outputs + kernel @ torch.cholesky_solve(gap, _factor(kernel[:, :n], noise))
        squared = (outputs - y).square()
        train.append(squared[:, :n].mean((1, 2)))
        test.append(squared[:, n:].mean((1, 2)))
    train_error = torch.cat(train)
    return HypothesisErrors(train_error, torch.cat(test), train_error < tolerance)


@torch.no_grad()
def readout_error_laws(
    x_train: Float[Tensor, "train inputs"],
    y_train: Float[Tensor, "train outputs"],
    x_test: Float[Tensor, "test inputs"],
    y_test: Float[Tensor, "test outputs"],
    architecture: Architecture,
    count: int,
    *,
    generator: torch.Generator,
    noise: float = 1e-4,
    tolerance: float = 1e-2,
    chunk_size: int = 64,
) -> tuple[Float[Tensor, "hypotheses terms"], Float[Tensor, "hypotheses terms"], Bool[Tensor, " hypotheses"]]:
    """Weights and offsets of the test error's law for every network, over readouts that interpolate; and which fit.

    ``e = sum_i w_i (N_i + b_i)²``, from the eigenvalues of the posterior covariance at the test points; those below
    1e-10 of the largest are lifted to that. A network fits if its posterior mean does, within ``tolerance``. Float64
    inputs are advisable. Raises ``ValueError`` as ``hypothesis_errors``.

    >>> generator, x = torch.Generator().manual_seed(0), torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]
    >>> laws = readout_error_laws(x[::2], x[::2], x[1::2], x[1::2], Architecture("mlp"), 3, generator=generator)
    >>> [tuple(each.shape) for each in laws]
    [(3, 4), (3, 4), (3,)]
    """
    _check_data(x_train, y_train, x_test, y_test, architecture, generator)
    positive("noise", noise)
    positive("tolerance", tolerance)
    whole_number("count", count, 1)
    whole_number("chunk_size", chunk_size, 1)
    x, n = torch.cat([x_train, x_test]), len(y_train)
    weights, offsets, fits = [], [], []
    for start in range(0, count, chunk_size):
        features = random_features(x, architecture, min(chunk_size, count - start), generator)
        kernel = _scale(features[:, :n]) * torch.baddbmm(_ONE.to(features), features, features.mT)
        cross = kernel[:, n:, :n]
        both = torch.cat([y_train.expand(len(kernel), -1, -1), cross.mT], dim=2)
        solved = torch.cholesky_solve(both, _factor(kernel[:, :n, :n], noise))
        alpha, gain = solved[..., : y_train.shape[1]], solved[..., y_train.shape[1] :]
        covariance = kernel[:, n:, n:] - cross @ gain
        eigenvalues, directions = torch.linalg.eigh((covariance + covariance.mT) / 2)
        floor = (1e-10 * eigenvalues[:, -1:]).clamp_min(1e-14)
        eigenvalues = torch.maximum(eigenvalues, floor)
        residual = directions.mT @ (cross @ alpha - y_test)
        weight = (eigenvalues / y_test.numel())[..., None].expand_as(residual)
        weights.append(weight.flatten(1))
        offsets.append((residual / eigenvalues[..., None].sqrt()).flatten(1))
        fits.append((noise * alpha).square().mean((1, 2)) < tolerance)
    return torch.cat(weights), torch.cat(offsets), torch.cat(fits)


def random_features(
    x: Float[Tensor, "samples inputs"], architecture: Architecture, count: int, generator: torch.Generator
) -> Float[Tensor, "networks samples features"]:
    """Last hidden layers of ``count`` random networks at all samples.

    The first layer of all networks is a single product, as they share the inputs; attention and deeper layers are
    batched. The readout, which has a bias, comes after. Raises ``ValueError`` for inputs that are not a floating-point
    (samples, inputs), or not of square images where the kind needs them, a count below 1, and a generator on another
    device.

    >>> x = torch.ones(3, 16)
    >>> random_features(x, Architecture("conv", width=4), 10, torch.Generator().manual_seed(0)).shape
    torch.Size([10, 3, 4])
    """
    _check_inputs(x, architecture, generator)
    whole_number("count", count, 1)
    return _HIDDEN[architecture.kind](x, architecture, count, generator)


# architectures -----------------------------------------------------------------------------------


def _linear(x: Tensor, architecture: Architecture, count: int, generator: torch.Generator) -> Tensor:
    return x.expand(count, -1, -1)


def _mlp(x: Tensor, architecture: Architecture, count: int, generator: torch.Generator) -> Tensor:
    activation = torch.relu_ if architecture.activation == "relu" else torch.tanh_
    width = architecture.width
    bias = _uniform((count * width,), x.shape[1], x, generator)
    first = torch.addmm(bias, x, _uniform((x.shape[1], count * width), x.shape[1], x, generator))
    h = activation(first).reshape(len(x), count, width).transpose(0, 1)
    for _ in range(architecture.depth - 1):
        bias = _uniform((count, 1, width), width, x, generator)
        h = activation(torch.baddbmm(bias, h, _uniform((count, width, width), width, x, generator)))
    return h


def _conv(x: Tensor, architecture: Architecture, count: int, generator: torch.Generator) -> Tensor:
    """Patches are cut once for all networks; a convolution is then one product."""
    activation = torch.relu_ if architecture.activation == "relu" else torch.tanh_
    side, width = _side(x), architecture.width
    patches = F.unfold(x.reshape(len(x), 1, side, side), _KERNEL).mT
    inputs = _KERNEL**2
    weight = _uniform((inputs, count * width), inputs, x, generator)
    bias = _uniform((count * width,), inputs, x, generator)
    h = activation(torch.addmm(bias, patches.reshape(-1, inputs), weight))
    out = side - _KERNEL + 1
    h = h.reshape(len(x), out, out, count, width).permute(0, 3, 4, 1, 2).reshape(len(x), -1, out, out)
    pooled = F.avg_pool2d(h, 2, ceil_mode=True)
    return pooled.reshape(len(x), count, -1).transpose(0, 1)


def _attention(x: Tensor, architecture: Architecture, count: int, generator: torch.Generator) -> Tensor:
    """Samples lie along the last axis: products of matrices as small as these cost more than their sums do."""
    activation = torch.relu_ if architecture.activation == "relu" else torch.tanh_
    side, width = _side(x), architecture.width
    tokens = x.reshape(len(x), side, side).permute(2, 1, 0).reshape(side, -1)
    h = _uniform((3 * count * width, side), side, x, generator) @ tokens
    query, key, value = h.reshape(3, count, width, side, len(x)).unbind()
    scores = x.new_zeros(count, side, side, len(x))
    for c in range(width):
        scores.addcmul_(query[:, c, :, None], key[:, c, None], value=width**-0.5)
    attention = scores.softmax(2)
    attended = x.new_zeros(count, side, width, len(x))
    for token in range(side):
        attended.addcmul_(attention[:, :, None, token], value[:, None, :, token])
    return activation(attended).flatten(1, 2).mT


def _forest(x: Tensor, architecture: Architecture, count: int, generator: torch.Generator) -> Tensor:
    """All splits at once; the outcomes of a tree's splits are the binary digits of its leaf's number."""
    trees, depth = architecture.width, architecture.depth
    splits = count * trees * depth
    chosen = torch.randint(x.shape[1], (splits,), generator=generator, device=x.device)
    threshold = _uniform((splits, 1), 1, x, generator)
    digits = (x.mT.contiguous()[chosen] > threshold).reshape(count, trees, depth, len(x))
    leaf = torch.zeros(count, trees, len(x), dtype=torch.int16, device=x.device)
    for level in range(depth):
        leaf.add_(digits[:, :, level], alpha=2**level)
    leaves = torch.arange(2**depth, dtype=torch.int16, device=x.device)
    return (leaf[:, :, None] == leaves[:, None]).to(x.dtype).flatten(1, 2).mT


_HIDDEN = {"linear": _linear, "mlp": _mlp, "conv": _conv, "attention": _attention, "forest": _forest}


def _uniform(shape: tuple[int, ...], inputs: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform in ±1/sqrt(inputs), on 2^16 equally spaced values.

    Most of the time of small networks goes into drawing weights: 64 random bits are four of them.
    """
    size = 1
    for length in shape:
        size *= length
    bits = torch.empty(-(-size // 4), dtype=torch.int64, device=like.device)
    bits.random_(-(2**63), None, generator=generator)
    limit = inputs**-0.5
    return bits.view(torch.int16)[:size].to(like.dtype).add_(0.5).mul_(limit / 2**15).reshape(shape)


# readouts ----------------------------------------------------------------------------------------


def _scale(features: Tensor) -> Tensor:
    """What makes the mean squared norm of these features and a constant 1, per network."""
    return (1 / (features.square().sum(2).mean(1) + 1))[:, None, None]


def _prior_outputs(features: Tensor, outputs: int, generator: torch.Generator) -> Tensor:
    shape = (features.shape[0], features.shape[2] + 1, outputs)
    readout = torch.randn(shape, generator=generator, device=features.device, dtype=features.dtype)
    if outputs == 1:  # many products with a single column cost more than their sums
        return torch.linalg.vecdot(features, readout[:, :-1].mT)[..., None] + readout[:, -1:]
    return torch.baddbmm(readout[:, -1:], features, readout[:, :-1])


def _factor(kernel: Tensor, noise: float) -> Tensor:
    return torch.linalg.cholesky(kernel + noise * torch.eye(kernel.shape[-1], device=kernel.device, dtype=kernel.dtype))


# checks ------------------------------------------------------------------------------------------


def _side(x: Tensor) -> int:
    return round(x.shape[1] ** 0.5)


def _check_inputs(x: Tensor, architecture: Architecture, generator: torch.Generator, name: str = "x") -> None:
    floating(name, x, 2)
    finite_contents(name, x)
    if not isinstance(architecture, Architecture):
        raise ValueError(f"architecture must be an Architecture, got {architecture!r}")
    if architecture.kind in ("conv", "attention") and (_side(x) ** 2 != x.shape[1] or _side(x) < _KERNEL):
        raise ValueError(f"{name} must hold square images of side 3 and more as rows, got shape {tuple(x.shape)}")
    if not isinstance(generator, torch.Generator) or generator.device.type != x.device.type:
        raise ValueError(f"generator must be a torch.Generator on {x.device}, got {generator!r}")


def _check_data(
    x_train: Tensor,
    y_train: Tensor,
    x_test: Tensor,
    y_test: Tensor,
    architecture: Architecture,
    generator: torch.Generator,
) -> None:
    _check_inputs(x_train, architecture, generator, "x_train")
    for name, value in (("y_train", y_train), ("x_test", x_test), ("y_test", y_test)):
        floating(name, value, 2)
        finite_contents(name, value)
        if value.dtype != x_train.dtype:
            raise ValueError(f"{name} must have the dtype of x_train, {x_train.dtype}, got {value.dtype}")
    if len(y_train) != len(x_train):
        raise ValueError(f"y_train must have {len(x_train)} rows, got {len(y_train)}")
    if x_test.shape[1] != x_train.shape[1]:
        raise ValueError(f"x_test must have {x_train.shape[1]} columns, got {x_test.shape[1]}")
    if y_test.shape != (len(x_test), y_train.shape[1]):
        raise ValueError(f"y_test must have shape {(len(x_test), y_train.shape[1])}, got {tuple(y_test.shape)}")
