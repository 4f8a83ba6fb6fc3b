"""Test errors of many networks that are trained to fit one training set, for measuring their inductive bias.

Each network starts from weights of its own, sees the training set in an order of its own, and stops when its mean
squared training error falls below a tolerance. Its test error is one draw from "the architecture, trained until it
fits": what gradient descent finds, not the prior conditioned on fitting (for that see
``neural.learning.hypothesis_batches``). All networks train in lockstep (``neural.ensemble``).

    networks = sample_trained_mlps(x, y, x_test, y_test, networks=64, generator=generator)
    networks.test[networks.fits]

Source: Boopathy, Yue, Hwang, Iyer and Fiete (2024), "Towards Exact Computation of Inductive Bias".
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from neural.ensemble import EnsembleLinear
from neural.validation import finite_contents, floating, one_of, positive, whole_number

__all__ = ["TrainedNetworks", "sample_trained_mlps"]

_CHECK_EVERY = 10


@dataclass(frozen=True)
class TrainedNetworks:
    """Mean squared errors of every network when it stopped, after how many ``steps``, and which ones fit."""

    train: Float[Tensor, " networks"]
    test: Float[Tensor, " networks"]
    fits: Bool[Tensor, " networks"]
    steps: Int[Tensor, " networks"]


def sample_trained_mlps(
    x_train: Float[Tensor, "train inputs"],
    y_train: Float[Tensor, "train outputs"],
    x_test: Float[Tensor, "test inputs"],
    y_test: Float[Tensor, "test outputs"],
    *,
    generator: torch.Generator,
    networks: int = 32,
    width: int = 64,
    depth: int = 2,
    activation: Literal["relu", "tanh"] = "relu",
    learning_rate: float = 3e-3,
    steps: int = 500,
    batch_size: int | None = None,
    tolerance: float = 1e-3,
) -> TrainedNetworks:
    """Errors of ``networks`` perceptrons with ``depth`` hidden layers, trained by Adam on the squared error.

    Batches are drawn anew for every network and step (the whole training set if ``batch_size`` is not given). A network
    that fits within ``tolerance`` keeps the weights it has then; one that does not within ``steps`` keeps the last.
    Raises ``ValueError`` for shapes or dtypes that do not agree, numbers out of range, a generator on another device
    and (on CPU) values that are not finite.

    >>> generator, x = torch.Generator().manual_seed(0), torch.linspace(-1, 1, 9)[:, None]
    >>> found = sample_trained_mlps(x[::2], x[::2], x[1::2], x[1::2], generator=generator, networks=4, width=16)
    >>> bool(found.fits.all()), bool((found.test < 0.1).all())
    (True, True)
    """
    _check_data(x_train, y_train, x_test, y_test, generator)
    one_of("activation", activation, ("relu", "tanh"))
    positive("learning_rate", learning_rate)
    positive("tolerance", tolerance)
    whole_number("steps", steps, 1)
    if batch_size is not None:
        whole_number("batch_size", batch_size, 1)
    model = _Perceptrons(networks, x_train.shape[1], width, depth, y_train.shape[1], activation, generator)
    model.to(x_train.dtype)
    parameters = list(model.parameters())
    optimiser = torch.optim.Adam(parameters, learning_rate)
    kept = [p.detach().clone() for p in parameters]
    stopped = torch.zeros(networks, dtype=torch.bool, device=x_train.device)
    needed = torch.full((networks,), steps, device=x_train.device)
    inputs, targets = (each.expand(networks, -1, -1) for each in (x_train, y_train))
    for step in range(steps):
        if step % _CHECK_EVERY == 0 and step:
            fits = _errors(model, x_train, y_train) < tolerance
            _keep(kept, parameters, fits & ~stopped)
            needed = torch.where(fits & ~stopped, step, needed)
            stopped |= fits
            if bool(stopped.all()):
                break
        x, y = (inputs, targets) if batch_size is None else _batches(inputs, targets, batch_size, generator)
        optimiser.zero_grad()
        (model(x) - y).square().mean((1, 2)).sum().backward()
        optimiser.step()
    _keep(kept, parameters, ~stopped)
    with torch.no_grad():
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.copy_(value)
    train = _errors(model, x_train, y_train)
    return TrainedNetworks(train, _errors(model, x_test, y_test), train < tolerance, needed)


class _Perceptrons(nn.Module):
    """Perceptrons that share nothing: ``EnsembleLinear`` layers whose starts are drawn anew for each."""

    def __init__(
        self,
        networks: int,
        inputs: int,
        width: int,
        depth: int,
        outputs: int,
        activation: Literal["relu", "tanh"],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        for name, number in (("networks", networks), ("width", width), ("depth", depth)):
            whole_number(name, number, 1)
        sizes = [inputs, *[width] * depth, outputs]
        self.layers = nn.ModuleList(EnsembleLinear(networks, a, b, generator) for a, b in pairwise(sizes))
        self.activation = torch.relu if activation == "relu" else torch.tanh
        with torch.no_grad():
            for layer, size in zip(self.layers, sizes, strict=False):
                for parameter in layer.parameters():
                    parameter.uniform_(-(size**-0.5), size**-0.5, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


@torch.no_grad()
def _errors(model: _Perceptrons, x: Tensor, y: Tensor) -> Tensor:
    networks = next(model.parameters()).shape[0]
    return (model(x.expand(networks, -1, -1)) - y).square().mean((1, 2))


@torch.no_grad()
def _keep(kept: list[Tensor], parameters: list[nn.Parameter], chosen: Tensor) -> None:
    for store, parameter in zip(kept, parameters, strict=True):
        store.copy_(torch.where(chosen[:, None, None], parameter, store))


def _batches(inputs: Tensor, targets: Tensor, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    networks, samples, _ = inputs.shape
    order = torch.rand(networks, samples, generator=generator, device=inputs.device).argsort(1)[:, :size, None]
    return inputs.take_along_dim(order, 1), targets.take_along_dim(order, 1)


def _check_data(x_train: Tensor, y_train: Tensor, x_test: Tensor, y_test: Tensor, generator: torch.Generator) -> None:
    for name, value in (("x_train", x_train), ("y_train", y_train), ("x_test", x_test), ("y_test", y_test)):
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
    if not isinstance(generator, torch.Generator) or generator.device.type != x_train.device.type:
        raise ValueError(f"generator must be a torch.Generator on {x_train.device}, got {generator!r}")
