"""Every way to call a public function wrongly, generated from one call that is right.

``tests/valid_calls/<room>/<subject>/<module>.py`` holds, for each public name of that module,

    CALLS = {"name": {argument: value}, "Class": {…constructor…}, "Class.method": {…}}
    ACCEPTED = {("name", "argument", "mutation"): "why this is a legitimate call"}
    TRUSTED = {"name": "why nobody can call it wrongly"}
    INSTANCES = {"Class": function that makes one}, for methods of classes whose constructor is not in CALLS

and ``mutations`` spoils one argument at a time, by the kind of its value.
"""

import ast
import dataclasses
import importlib
import importlib.util
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

__all__ = ["Case", "accepted", "cases", "mutations", "public_names", "without_calls"]

ROOT = Path(__file__).resolve().parent.parent
_VALID = ROOT / "tests" / "valid_calls"
_LABELS = {"y", "target", "targets", "labels"}


@dataclasses.dataclass(frozen=True)
class Case:
    """One public callable with arguments that are right."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"

    @property
    def calls(self) -> ModuleType:
        return _valid_calls(self.module)

    def arguments(self) -> dict[str, Any]:
        return _copied(self.calls.CALLS[self.name])

    def function(self) -> Callable[..., Any]:
        """The callable itself; a method is bound to a new instance."""
        owner = importlib.import_module(self.module)
        name, _, method = self.name.partition(".")
        if not method:
            return getattr(owner, name)
        makers = getattr(self.calls, "INSTANCES", {})
        made = makers[name]() if name in makers else getattr(owner, name)(**_copied(self.calls.CALLS[name]))
        return getattr(made, method)

    def parameter(self, argument: str) -> str:
        """The annotation of an argument as text."""
        name, _, method = self.name.partition(".")
        owner = getattr(importlib.import_module(self.module), name)
        parameters = inspect.signature(getattr(owner, method) if method else owner).parameters
        assert argument in parameters, f"{self} has no argument {argument!r}"
        return str(parameters[argument].annotation)


def cases() -> list[Case]:
    """Every call that is written down."""
    return [Case(module, name) for module in _modules() for name in getattr(_valid_calls(module), "CALLS", {})]


def accepted(case: Case) -> dict[tuple[str, str], str]:
    """The (argument, mutation) pairs that this callable takes, and why."""
    entries = getattr(case.calls, "ACCEPTED", {})
    return {(argument, mutation): why for (name, argument, mutation), why in entries.items() if name == case.name}


def without_calls() -> list[str]:
    """Public names that have neither a valid call nor a reason to need none."""
    missing = []
    for module in _modules():
        calls = _valid_calls(module)
        known = {*getattr(calls, "CALLS", {}), *getattr(calls, "TRUSTED", {})}
        missing += [
            f"{module}.{name}"
            for name in public_names(module)
            if name not in known and name.split(".")[0] not in getattr(calls, "TRUSTED", {})
        ]
    return missing


def public_names(module: str) -> list[str]:
    """Functions, classes with a constructor that can refuse, and methods with arguments, defined in this module."""
    found = importlib.import_module(module)
    names = []
    for name in found.__all__:
        each = getattr(found, name)
        if getattr(each, "__module__", None) != module:
            continue
        if inspect.isclass(each):
            if not _is_passive(each):
                names.append(name)
            names += [
                f"{name}.{method}" for method, function in vars(each).items()
                if not method.startswith("_") and method != "extra_repr" and inspect.isfunction(function)
                and len(inspect.signature(function).parameters) > 1
            ]  # fmt: skip
        elif inspect.isfunction(each) and inspect.signature(each).parameters:
            names.append(name)
    return names


def _is_passive(each: type) -> bool:
    """A record that takes what it is given, and has no method to which that could be wrong."""
    is_record = dataclasses.is_dataclass(each) or (issubclass(each, tuple) and hasattr(each, "_fields"))
    return (is_record and not hasattr(each, "__post_init__")) or inspect.isabstract(each)


def mutations(case: Case) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(argument, mutation, arguments with that one spoilt), for every argument of a valid call."""
    arguments = case.arguments()
    lengths = [
        len(value) for value in arguments.values() if isinstance(value, np.ndarray | torch.Tensor) and value.ndim
    ]
    for argument, value in arguments.items():
        annotation = case.parameter(argument)
        any_shape = bool(re.search(r"\.\.\.|\*|'_'", annotation))
        for mutation, spoilt in _spoilt(argument, value, any_shape, lengths.count(_length(value)) > 1):
            yield argument, mutation, {**case.arguments(), argument: spoilt}


def _spoilt(argument: str, value: Any, any_shape: bool, has_partner: bool) -> Iterator[tuple[str, Any]]:
    if isinstance(value, np.ndarray | torch.Tensor):
        yield from _spoilt_array(argument, value, any_shape, has_partner)
    elif isinstance(value, bool):
        return
    elif isinstance(value, float):
        yield from {"nan": float("nan"), "infinite": float("inf"), "negative": -1.0, "text": "text"}.items()
    elif isinstance(value, int):
        yield from {"negative": -1, "zero": 0, "fractional": value + 0.5, "text": "text"}.items()
    elif isinstance(value, str) and argument != "device":  # torch knows which devices there are
        yield "unknown", "no such word"


def _spoilt_array(argument: str, value: Any, any_shape: bool, has_partner: bool) -> Iterator[tuple[str, Any]]:
    library: Any = torch if isinstance(value, torch.Tensor) else np
    yield "text", "text"
    if not _size(value):
        return
    yield "empty", value[:0] if value.ndim else library.zeros((0,))
    if not any_shape:
        yield "extra dimension", value[None]
    if _kind(value) == "float":
        for name, number in (("nan", float("nan")), ("infinite", float("inf"))):
            yield name, _with_first(value, number)
        yield "complex", value * 1j
    elif _kind(value) == "int":
        yield "fractional", value + 0.5
        yield "negative", _with_first(value, -1)
        yield "huge", _with_first(value, 10**6)
        if has_partner:
            yield "one longer", library.concatenate([value, value[:1]])
        if argument in _LABELS:
            yield "one class", value * 0


def _size(value: Any) -> int:
    return value.numel() if isinstance(value, torch.Tensor) else value.size


def _kind(value: Any) -> str:
    text = str(value.dtype)
    return next((kind for kind in ("float", "int") if kind in text), "other")


def _with_first(value: Any, number: float) -> Any:
    spoilt = value.clone().detach() if isinstance(value, torch.Tensor) else value.copy()
    spoilt.reshape(-1)[0] = number
    return spoilt


def _length(value: Any) -> int:
    return len(value) if isinstance(value, np.ndarray | torch.Tensor) and value.ndim else -1


def _copied(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that a call may change without changing the next call's."""
    return {name: value() if isinstance(value, Fresh) else _copy(value) for name, value in arguments.items()}


def _copy(value: Any) -> Any:
    if isinstance(value, torch.Generator):
        return torch.Generator().manual_seed(0)
    return deepcopy(value) if isinstance(value, np.ndarray | np.random.Generator | torch.nn.Module) else value


class Fresh:
    """An argument that is made anew for every call."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make

    def __call__(self) -> Any:
        return self.make()


@cache
def _modules() -> tuple[str, ...]:
    """Modules of theory and neural that say what is public."""
    return tuple(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for room in ("theory", "neural")
        for path in sorted((ROOT / room).rglob("*.py"))
        if any(_assigns_all(node) for node in ast.parse(path.read_text(encoding="utf-8")).body)
    )


def _assigns_all(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)


@cache
def _valid_calls(module: str) -> ModuleType | None:
    path = _VALID.joinpath(*module.split(".")).with_suffix(".py")
    if not path.is_file():
        return None
    spec = importlib.util.spec_from_file_location(f"valid_calls_{module.replace('.', '_')}", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded
