"""Settings as data: to and from JSON, and overrides such as ``sweep.steps=50`` checked against the defaults."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["as_json", "fingerprint", "from_json", "override", "parse_assignments"]


def as_json(settings: Any) -> dict[str, Any]:
    """Settings as plain JSON data (tuples become lists)."""
    return json.loads(json.dumps(dataclasses.asdict(settings), allow_nan=False))


def from_json(template: Any, data: Mapping[str, Any]) -> Any:
    """The inverse of ``as_json``; ``template`` is an instance of the settings class."""
    return override(template, data)


def fingerprint(settings: Any) -> str:
    """A short name for these values."""
    return hashlib.sha256(json.dumps(as_json(settings), sort_keys=True).encode()).hexdigest()[:8]


def override(settings: Any, changes: Mapping[str, Any]) -> Any:
    """A copy with some fields changed.

    Raises ``ValueError`` naming the field if it does not exist or the value is not of the kind of
    the present one. A float field takes an integer; a tuple field takes any sequence.
    """
    fields = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    converted = {}
    for name, value in changes.items():
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=3, cutoff=0.4) or list(fields)
            raise ValueError(f"{type(settings).__name__} has no setting {name!r}; did you mean {' or '.join(near)}?")
        converted[name] = _convert(name, value, fields[name])
    return dataclasses.replace(settings, **converted)


def parse_assignments(assignments: list[str]) -> dict[str, dict[str, Any]]:
    """``["sweep.steps=50"]`` as ``{"sweep": {"steps": 50}}``; raises ``ValueError`` if one has another form."""
    parsed: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        target, equals, text = assignment.partition("=")
        experiment, dot, name = target.strip().partition(".")
        if not (equals and dot and name):
            raise ValueError(f"a setting is written experiment.name=value, got {assignment!r}")
        try:
            value = ast.literal_eval(text.strip())
        except (SyntaxError, ValueError):
            value = text.strip()
        parsed.setdefault(experiment, {})[name] = value
    return parsed


def _convert(name: str, value: Any, present: Any) -> Any:
    if isinstance(present, tuple) and isinstance(value, list | tuple):
        return tuple(_convert(name, each, present[0]) for each in value) if present else tuple(value)
    if isinstance(present, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if present is None or value is None or type(value) is type(present):
        return tuple(value) if isinstance(value, list) else value
    raise ValueError(f"setting {name!r} must be {type(present).__name__} like {present!r}, got {value!r}")
