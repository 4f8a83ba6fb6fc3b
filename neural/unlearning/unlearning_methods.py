"""Approximate unlearning of a classifier: eleven methods behind one call, and the metrics that compare them.

    unlearned = unlearn("SalUn", model, forget=(X_f, y_f), retain=(X_r, y_r), epochs=5, learning_rate=1e-3)
    retrained = unlearn("retrain", model, forget, retain, epochs=30, learning_rate=2e-3)
    average_gap(*(unlearning_metrics(each, forget, retain, test) for each in (unlearned, retrained)))

    retrain          from scratch on the retained data: exact unlearning, which the others approximate
    FT               cross-entropy on the retained data
    l1-sparse        FT + alpha ||theta||_1, alpha falling linearly to 0 over the epochs
    GA               minus cross-entropy on the forgotten data
    RL               cross-entropy with random labels on the forgotten and true ones on the retained data
    SCRUB            T² KL(teacher || student) on the forgotten data is raised, then gamma cross-entropy + alpha KL on
                     the retained data lowered
    boundary-shrink  cross-entropy on the forgotten data, labelled with the other class that a sign step favours
    boundary-expand  cross-entropy on the forgotten data with a class of their own, which is then taken away
    EU-k, CF-k       the last k layers trained on the retained data: anew (EU) or from where they are (CF)
    SalUn            RL on those parameters whose gradient of the forgotten data's loss is large

A model may be a plain module, with data (samples, …) and (samples,), or an ensemble that maps (models, samples, …) to
logits (models, samples, classes), with parameters that all begin with the axis of models and data (models, samples, …)
and (models, samples): its models are unlearned in lockstep, each as it would be alone given the order of batches.

One more needs the weights from before training: ``unroll(model, untrained(model, seed), forget, strength)``.

Sources: Fan, Liu, Hero and Liu (2024), *Challenging Forgets*, for the selection of baselines and the metrics; Warnecke
et al. (2023) and Golatkar et al. (2020) for FT and RL; Jia et al. (2023) for l1-sparse; Thudi et al. (2022) for GA;
Kurmanji et al. (2023) for SCRUB; Chen et al. (2023) for the two boundary methods; Goel et al. (2022) for EU-k and CF-k;
Fan et al. (2024), *SalUn*; Thudi, Deza, Chandrasekaran and Papernot (2022), *Unrolling SGD*. All but the last are
trained with Adam here.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from neural.validation import (
    at_least,
    class_indices,
    finite_contents,
    floating,
    in_range,
    indices,
    one_of,
    positive,
    whole_number,
)

__all__ = [
    "METHODS",
    "Data",
    "Method",
    "average_gap",
    "svc_mia",
    "unlearn",
    "unlearning_metrics",
    "unroll",
    "untrained",
]

Method = Literal[
    "retrain", "FT", "l1-sparse", "GA", "RL", "SCRUB", "boundary-shrink", "boundary-expand", "EU-k", "CF-k", "SalUn"
]
METHODS: tuple[Method, ...] = get_args(Method)
Data = tuple[Float[Tensor, "..."], Int[Tensor, "..."]]

_SCRUB_DECAY = (3, 5, 9)


def unlearn(
    method: Method,
    model: nn.Module,
    forget: Data,
    retain: Data,
    *,
    epochs: int = 5,
    learning_rate: float = 1e-3,
    batch_size: int = 64,
    seed: int = 0,
    l1: float = 1e-3,
    temperature: float = 4.0,
    gamma: float = 0.99,
    alpha: float = 1e-3,
    ascent_epochs: int = 2,
    perturbation: float = 0.1,
    layers: int = 1,
    saliency: float = 0.5,
) -> nn.Module:
    """A copy of ``model`` that has unlearned ``forget`` by ``method``; the model itself stays as it is.

    An epoch is a pass over the data that the method uses (forgotten ones for GA and the boundary methods).

    Args:
        forget: inputs and class indices to forget.
        retain: those to keep.
        learning_rate: of Adam; SCRUB divides it by 10 after 3, 5 and 9 epochs.
        seed: order of batches, random labels, new weights.
        l1: alpha of l1-sparse at the start.
        temperature: T of SCRUB.
        gamma: SCRUB's weight of cross-entropy on the retained data.
        alpha: SCRUB's weight of KL(teacher || student) there.
        ascent_epochs: SCRUB's first epochs, which begin with a pass over the forgotten data.
        perturbation: step of each input coordinate by which boundary-shrink looks for the nearest class.
        layers: k of EU-k and CF-k. Layers are submodules with parameters of their own, in order of registration.
        saliency: share of parameters that SalUn leaves as they are.

    Raises ``ValueError`` for an unknown method, numbers out of range, data that are empty or do not fit the model, and
    layers that cannot be made anew (no ``reset_parameters``) where the method needs that.

    >>> model = nn.Linear(2, 2)
    >>> data = torch.randn(4, 2), torch.tensor([0, 1, 0, 1])
    >>> unlearn("FT", model, data, data, epochs=1) is model
    False
    """
    one_of("method", method, METHODS)
    for name, number in (("epochs", epochs), ("batch_size", batch_size), ("layers", layers)):
        whole_number(name, number, 1)
    positive("learning_rate", learning_rate)
    positive("temperature", temperature)
    for name, value in (("l1", l1), ("gamma", gamma), ("alpha", alpha), ("perturbation", perturbation)):
        at_least(name, value, 0)
    whole_number("seed", seed, 0)
    whole_number("ascent_epochs", ascent_epochs, 0)
    in_range("saliency", saliency, 0, 1)
    classes = _classes(model, forget, "forget")
    if _classes(model, retain, "retain") != classes or forget[1].ndim != retain[1].ndim:
        raise ValueError("forget and retain must be of one kind, got other axes or numbers of classes")
    layers_found = _layers(model)
    if layers > len(layers_found):
        raise ValueError(f"layers must be at most the model's {len(layers_found)}, got {layers}")
    run = _Run(
        model=copy.deepcopy(model).train(), teacher=copy.deepcopy(model).eval().requires_grad_(False),
        forget=forget, retain=retain, classes=classes, epochs=epochs, learning_rate=learning_rate,
        batch_size=batch_size, seed=seed, generator=torch.Generator().manual_seed(seed), l1=l1,
        temperature=temperature, gamma=gamma, alpha=alpha, ascent_epochs=ascent_epochs, perturbation=perturbation,
        layers=layers, saliency=saliency,
    )  # fmt: skip
    trainable = [p.requires_grad for p in run.model.parameters()]
    _RUNS[method](run)
    for parameter, before in zip(run.model.parameters(), trainable, strict=True):
        parameter.requires_grad_(before).grad = None
    return run.model.train(model.training)


def unroll(model: nn.Module, start: nn.Module, forget: Data, strength: float) -> nn.Module:
    """A copy of ``model``, to whose weights ``strength`` mean gradients of the forgotten data *at the start* are added.

    To first order in the learning rate, m epochs of gradient descent with rate eta and batches of b from weights w_0
    end in ``w_0 − eta sum ∇l(w_0; x)``, each point m/b times. Adding ``eta m |F|/b`` mean gradients at w_0 takes the
    forgotten points' share out, in one step. Other optimisers have no such number, and ``strength`` has to be chosen.

    Args:
        start: the model before training, of the same parameters.
        strength: at least 0.

    Raises ``ValueError`` for data that are empty or do not fit the model, another start, or a negative strength.

    >>> model, start = nn.Linear(2, 2), nn.Linear(2, 2)
    >>> unlearned = unroll(model, start, (torch.randn(3, 2), torch.tensor([0, 1, 1])), strength=0.5)
    >>> bool((unlearned.weight != model.weight).any())
    True
    """
    at_least("strength", strength, 0)
    _classes(model, forget, "forget")
    if not isinstance(start, nn.Module) or [p.shape for p in start.parameters()] != [
        p.shape for p in model.parameters()
    ]:
        raise ValueError(f"start must be a module with the parameters of model, got {type(start).__name__}")
    at_start = copy.deepcopy(start).eval().requires_grad_(True)
    gradients = torch.autograd.grad(_cross_entropy(at_start(forget[0]), forget[1]), list(at_start.parameters()))
    unlearned = copy.deepcopy(model)
    with torch.no_grad():
        for parameter, gradient in zip(unlearned.parameters(), gradients, strict=True):
            parameter.add_(gradient, alpha=float(strength))
    return unlearned


def untrained(model: nn.Module, seed: int = 0) -> nn.Module:
    """A copy with all layers made anew, in evaluation mode: where ``retrain`` with this seed starts.

    Raises ``ValueError`` for a negative seed, and layers that cannot be made anew (no ``reset_parameters``).

    >>> model = nn.Linear(2, 2)
    >>> bool((untrained(model).weight != model.weight).all())
    True
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a module, got {type(model).__name__}")
    whole_number("seed", seed, 0)
    fresh = copy.deepcopy(model).eval()
    _make_anew(_layers(fresh), seed)
    return fresh


def unlearning_metrics(model: nn.Module, forget: Data, retain: Data, test: Data, seed: int = 0) -> dict[str, float]:
    """UA = 100 − accuracy on forgotten data, MIA (``svc_mia``), accuracies RA (retain) and TA (test), in percent.

    For a plain module. Raises ``ValueError`` for data that are empty or do not fit it.
    """
    accuracy = {}
    for name, data in (("forget", forget), ("retain", retain), ("test", test)):
        _plain(model, data, name)
        accuracy[name] = 100 * float((_logits(model, data[0]).argmax(-1) == data[1]).double().mean())
    return {
        "UA": 100 - accuracy["forget"], "MIA": svc_mia(model, forget, retain, test, seed),
        "RA": accuracy["retain"], "TA": accuracy["test"],
    }  # fmt: skip


def average_gap(metrics: Mapping[str, float], retrained: Mapping[str, float]) -> float:
    """Mean distance from retraining over UA, MIA, RA and TA, in points. Raises ``ValueError`` if one is missing.

    >>> average_gap({"UA": 4.0, "MIA": 0, "RA": 100, "TA": 96}, {"UA": 0.0, "MIA": 0, "RA": 100, "TA": 98})
    1.5
    """
    names = ("UA", "MIA", "RA", "TA")
    for argument, given in (("metrics", metrics), ("retrained", retrained)):
        if not isinstance(given, Mapping) or any(name not in given for name in names):
            raise ValueError(f"{argument} must hold {', '.join(names)}, got {given!r}")
    return float(np.mean([abs(metrics[name] - retrained[name]) for name in names]))


def svc_mia(model: nn.Module, forget: Data, retain: Data, test: Data, seed: int = 0) -> float:
    """MIA-efficacy in percent: the share of forgotten points that an attacker takes for points never trained on.

    The attacker is a support vector classifier (C = 3, Gaussian kernel, gamma = 1/number of features) of the
    probability that the model gives to the true class. It learns from equally many retained and test points, drawn by
    ``seed``, never from forgotten ones. Raises ``ValueError`` for data that are empty or do not fit.
    """
    from sklearn.svm import SVC

    whole_number("seed", seed, 0)
    confidence = {}
    for name, data in (("forget", forget), ("retain", retain), ("test", test)):
        _plain(model, data, name)
        found = _logits(model, data[0]).double().softmax(-1).gather(-1, data[1][:, None])
        confidence[name] = found.cpu().numpy()
    count = min(len(confidence["retain"]), len(confidence["test"]))
    rng = np.random.default_rng(seed)
    members, others = (rng.permutation(confidence[name])[:count] for name in ("retain", "test"))
    attacker = SVC(C=3.0, kernel="rbf", gamma="auto", shrinking=False)
    attacker.fit(np.concatenate([members, others]), np.repeat([1, 0], count))
    return 100 * float((attacker.predict(confidence["forget"]) == 0).mean())


@dataclass
class _Run:
    """One call of ``unlearn``: the copy to be changed, the original, data and numbers."""

    model: nn.Module
    teacher: nn.Module
    forget: Data
    retain: Data
    classes: int
    epochs: int
    learning_rate: float
    batch_size: int
    seed: int
    generator: torch.Generator
    l1: float
    temperature: float
    gamma: float
    alpha: float
    ascent_epochs: int
    perturbation: float
    layers: int
    saliency: float

    def optimizer(self, parameters: list[nn.Parameter] | None = None) -> torch.optim.Adam:
        chosen = list(self.model.parameters()) if parameters is None else parameters
        return torch.optim.Adam(chosen, self.learning_rate, fused=True)

    def batches(self, data: Data) -> Iterator[Data]:
        """One pass in random order; the models of an ensemble take points of the same positions."""
        x, y = data
        axis = y.ndim - 1
        order = torch.randperm(y.shape[-1], generator=self.generator).to(y.device)
        for rows in order.split(self.batch_size):
            yield x.index_select(axis, rows), y.index_select(axis, rows)

    def random_labels(self) -> Tensor:
        """Uniform over classes; the models of an ensemble share them."""
        y = self.forget[1]
        return torch.randint(self.classes, y.shape[-1:], generator=self.generator).to(y.device).expand_as(y)


def _cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Mean over the batch, sum over models."""
    losses = F.cross_entropy(logits.flatten(0, -2), y.flatten(), reduction="sum")
    return losses / y.shape[-1]


def _kl(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    """T² KL(teacher || student) at temperature T: mean over the batch, sum over models."""
    p, q = (F.log_softmax(logits / temperature, -1) for logits in (teacher, student))
    return temperature**2 * F.kl_div(q, p, reduction="sum", log_target=True) / teacher.shape[-2]


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _fit(run: _Run, data: Data, sign: float = 1.0, parameters: list[nn.Parameter] | None = None) -> None:
    optimizer = run.optimizer(parameters)
    for _ in range(run.epochs):
        for x, y in run.batches(data):
            _step(optimizer, sign * _cross_entropy(run.model(x), y))


def _retrain(run: _Run) -> None:
    _make_anew(_layers(run.model), run.seed)
    _fit(run, run.retain)


def _fine_tune(run: _Run) -> None:
    _fit(run, run.retain)


def _ascend(run: _Run) -> None:
    _fit(run, run.forget, sign=-1.0)


def _sparse(run: _Run) -> None:
    optimizer = run.optimizer()
    for epoch in range(run.epochs):
        strength = run.l1 * (1 - epoch / run.epochs)
        for x, y in run.batches(run.retain):
            size = torch.stack([p.abs().sum() for p in run.model.parameters()]).sum()
            _step(optimizer, _cross_entropy(run.model(x), y) + strength * size)


def _random_labels(run: _Run, masks: list[Tensor] | None = None) -> None:
    optimizer, axis = run.optimizer(), run.forget[1].ndim - 1
    x = torch.cat([run.forget[0], run.retain[0]], axis)
    for _ in range(run.epochs):
        labels = torch.cat([run.random_labels(), run.retain[1]], axis)
        for inputs, y in run.batches((x, labels)):
            optimizer.zero_grad()
            _cross_entropy(run.model(inputs), y).backward()
            for parameter, mask in zip(run.model.parameters(), masks or [], strict=False):
                if parameter.grad is not None:
                    parameter.grad.mul_(mask)
            optimizer.step()


def _salient(run: _Run) -> None:
    run.model.eval()
    _cross_entropy(run.model(run.forget[0]), run.forget[1]).backward()
    run.model.train()
    models = run.forget[1].shape[0] if run.forget[1].ndim == 2 else 1
    sizes = [_absolute_gradient(p).reshape(models, -1) for p in run.model.parameters()]
    everything = torch.cat(sizes, 1)
    kept = int(run.saliency * everything.shape[1])
    limit = everything.kthvalue(kept, 1, keepdim=True).values if kept else everything.new_full((models, 1), -1.0)
    masks = [(s > limit).reshape(p.shape) for s, p in zip(sizes, run.model.parameters(), strict=True)]
    _random_labels(run, masks)


def _absolute_gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.abs()


def _scrub(run: _Run) -> None:
    optimizer = run.optimizer()
    for epoch in range(run.epochs):
        for group in optimizer.param_groups:
            group["lr"] = run.learning_rate * 0.1 ** sum(epoch >= end for end in _SCRUB_DECAY)
        if epoch < run.ascent_epochs:
            for x, _ in run.batches(run.forget):
                _step(optimizer, -_kl(run.teacher(x), run.model(x), run.temperature))
        for x, y in run.batches(run.retain):
            logits = run.model(x)
            near = _kl(run.teacher(x), logits, run.temperature)
            _step(optimizer, run.gamma * _cross_entropy(logits, y) + run.alpha * near)


def _shrink(run: _Run) -> None:
    x, y = run.forget
    moved = x.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(_cross_entropy(run.teacher(moved), y), moved)
    with torch.no_grad():
        logits = run.teacher(x + run.perturbation * gradient.sign())
        nearest = logits.scatter(-1, y[..., None], -torch.inf).argmax(-1)
    _fit(run, (x, nearest))


def _expand(run: _Run) -> None:
    """The forgotten points' own class is one more affine output of the last layer, dropped afterwards."""
    seen: list[Tensor] = []
    handle = _layers(run.model)[-1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x, y = run.forget
    lead = y.shape[:-1]
    with torch.no_grad():
        run.model(x.narrow(y.ndim - 1, 0, 1))
    features = seen.pop()
    limit = features.shape[-1] ** -0.5
    draws = torch.empty(features.shape[-1], 1, dtype=x.dtype).uniform_(-limit, limit, generator=run.generator)
    weight = nn.Parameter(draws.to(x.device).expand(*lead, -1, -1).clone())
    bias = nn.Parameter(torch.zeros(*lead, 1, 1, dtype=x.dtype, device=x.device))
    optimizer = run.optimizer([*run.model.parameters(), weight, bias])
    for _ in range(run.epochs):
        for inputs, labels in run.batches(run.forget):
            logits = run.model(inputs)
            extended = torch.cat([logits, seen.pop() @ weight + bias], -1)
            _step(optimizer, _cross_entropy(extended, torch.full_like(labels, run.classes)))
    handle.remove()


def _last_layers(run: _Run, anew: bool) -> None:
    found = _layers(run.model)
    chosen = found[-run.layers :]
    run.model.requires_grad_(False).eval()
    for layer in chosen:
        layer.train().requires_grad_(True)
    if anew:
        _make_anew(chosen, run.seed)
    _fit(run, run.retain, parameters=[p for layer in chosen for p in layer.parameters()])


def _layers(model: nn.Module) -> list[nn.Module]:
    """Submodules with parameters of their own, in order of registration."""
    return [each for each in model.modules() if next(each.parameters(recurse=False), None) is not None]


def _make_anew(layers: list[nn.Module], seed: int) -> None:
    device = next(layers[0].parameters(), torch.empty(0)).device if layers else torch.device("cpu")
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for layer in layers:
            reset = getattr(layer, "reset_parameters", None)
            if not callable(reset):
                raise ValueError(f"model must have layers with reset_parameters, got {type(layer).__name__}")
            reset()


_RUNS: dict[str, Callable[[_Run], None]] = {
    "retrain": _retrain,
    "FT": _fine_tune,
    "l1-sparse": _sparse,
    "GA": _ascend,
    "RL": _random_labels,
    "SCRUB": _scrub,
    "boundary-shrink": _shrink,
    "boundary-expand": _expand,
    "EU-k": lambda run: _last_layers(run, anew=True),
    "CF-k": lambda run: _last_layers(run, anew=False),
    "SalUn": _salient,
}


def _classes(model: nn.Module, data: Data, name: str) -> int:
    """Number of classes, once data are known to fit the model."""
    if not isinstance(data, tuple) or len(data) != 2:
        raise ValueError(f"{name} must be a pair of inputs and class indices, got {type(data).__name__}")
    x, y = data
    floating(name, x)
    finite_contents(name, x)
    indices(name, y)
    if y.ndim not in (1, 2) or y.numel() == 0 or x.shape[: y.ndim] != y.shape or x.ndim == y.ndim:
        raise ValueError(f"{name} must hold as many inputs as labels, got shapes {tuple(x.shape)} and {tuple(y.shape)}")
    logits = _logits(model, x.narrow(y.ndim - 1, 0, 1))
    if logits.ndim != y.ndim + 1:
        raise ValueError(f"model must map {name} to logits with {y.ndim + 1} axes, got shape {tuple(logits.shape)}")
    class_indices(name, y.flatten(), y.numel(), logits.shape[-1])
    return logits.shape[-1]


def _plain(model: nn.Module, data: Data, name: str) -> None:
    _classes(model, data, name)
    if data[1].ndim != 1:
        raise ValueError(f"{name} must be the data of one model, got labels of shape {tuple(data[1].shape)}")


@torch.no_grad()
def _logits(model: nn.Module, x: Tensor) -> Tensor:
    training = model.training
    logits = model.eval()(x)
    model.train(training)
    return logits
