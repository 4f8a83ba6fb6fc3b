"""Finished replicates on disk: a CSV table, named arrays as npz, and a JSON record of where they come from.

    <folder>/<address>/<experiment>/<variant>/0003.csv, 0003.npz, 0003.json

A replicate is finished once its JSON record is there: the record is written last, atomically, and
holds the checksums of the other two and of itself, so that a crash at any moment leaves either a finished
replicate or none, and damage is noticed. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simulations.contract import Experiment, Preset, Replicate
from simulations.digest import combined
from simulations.discovery import ROOT
from simulations.settings import as_json, fingerprint

__all__ = [
    "CannotKeep",
    "Damaged",
    "Key",
    "Stored",
    "build_folder",
    "read",
    "read_record",
    "reason_to_compute",
    "recorded_folder",
    "sweep",
    "variant",
    "write",
]


class Damaged(ValueError):
    """A stored replicate does not have the content that its record promises."""


class CannotKeep(OSError):
    """The folder of results cannot be written to: the disk is full, or the folder is not ours."""

    def __init__(self, folder: Path, error: OSError) -> None:
        super().__init__(
            error.errno,
            f"results cannot be kept in {folder} ({error.strerror}). Finished replicates are intact; once there is "
            "space, or with another folder, the same command computes the rest",
        )

    def __str__(self) -> str:
        return str(self.strerror)


@dataclass(frozen=True)
class Key:
    """Where a replicate lives."""

    address: str
    experiment: str
    variant: str
    replicate: int

    def path(self, folder: Path, suffix: str) -> Path:
        return folder / self.address / self.experiment / self.variant / f"{self.replicate:04d}{suffix}"


@dataclass(frozen=True)
class Stored:
    """A replicate read back, with its record."""

    table: pd.DataFrame
    arrays: dict[str, np.ndarray]
    record: dict[str, Any]


def build_folder() -> Path:
    """Where generated things go: ``build/`` of the checkout, or of the working directory if installed."""
    return (ROOT if (ROOT / "pyproject.toml").is_file() else Path.cwd()) / "build"


def recorded_folder() -> Path:
    """The results of ``full`` presets that are kept with the source."""
    return ROOT / "simulations" / "recorded"


def variant(experiment: Experiment, preset: Preset, settings: Any) -> str:
    """Folder name for these settings: the preset's, marked by a fingerprint if they were overridden."""
    name = experiment.variant(preset)
    return name if settings == experiment.settings(preset) else f"{name}-{fingerprint(settings)}"


def write(folder: Path, key: Key, result: Replicate, record: Mapping[str, Any]) -> None:
    """Keep a finished replicate.

    Raises ``ValueError`` for a table that is empty or not tidy and ``CannotKeep`` where nothing can be written.
    """
    table = result.table
    if len(table) == 0 or "replicate" in table.columns or not isinstance(table.index, pd.RangeIndex):
        raise ValueError(f"simulate must return rows, a plain index and no 'replicate' column, got {table!r}")
    contents = {".csv": _as_csv(table)}
    if result.arrays:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **{k: np.asarray(v) for k, v in result.arrays.items()})
        contents[".npz"] = buffer.getvalue()
    full_record = {
        **record,
        "columns": {str(name): _kind(column) for name, column in table.items()},
        "checksums": {suffix: _checksum(content) for suffix, content in contents.items()},
    }
    full_record = json.loads(json.dumps(full_record, allow_nan=False))
    text = json.dumps({**full_record, "checksum": _checksum_of_record(full_record)}, indent=1) + "\n"
    try:
        key.path(folder, ".json").parent.mkdir(parents=True, exist_ok=True)
        for suffix, content in contents.items():
            write_atomically(key.path(folder, suffix), content)
        write_atomically(key.path(folder, ".json"), text.encode())
    except OSError as error:
        raise CannotKeep(folder, error) from error


def sweep(folder: Path) -> None:
    """Remove what processes of this machine that no longer live were writing when they were killed."""
    for partial in folder.rglob(".*.part"):
        host, _, process = partial.name.removesuffix(".part").rpartition(".")
        if host.endswith(f".{_host()}") and process.isdecimal() and not _is_alive(int(process)):
            partial.unlink(missing_ok=True)


def read(folder: Path, key: Key) -> Stored | None:
    """The stored replicate, or None if there is none; raises ``Damaged`` if it is not what was written."""
    found = _read_bytes(folder, key)
    if found is None:
        return None
    record, contents = found
    arrays: dict[str, np.ndarray] = {}
    if ".npz" in contents:
        with np.load(io.BytesIO(contents[".npz"]), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    return Stored(_from_csv(contents[".csv"], record["columns"]), arrays, record)


def read_record(folder: Path, key: Key) -> dict[str, Any] | None:
    """The record alone, after checking the files it speaks of; raises ``Damaged`` like ``read``."""
    found = _read_bytes(folder, key)
    return None if found is None else found[0]


def _read_bytes(folder: Path, key: Key) -> tuple[dict[str, Any], dict[str, bytes]] | None:
    path = key.path(folder, ".json")
    try:
        record = json.loads(path.read_bytes())
        intact = record.pop("checksum") == _checksum_of_record(record)
        contents = {suffix: key.path(folder, suffix).read_bytes() for suffix in record["checksums"]} if intact else {}
    except FileNotFoundError as error:
        if Path(error.filename) == path:
            return None
        raise Damaged(f"{Path(error.filename).name} is missing") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{path.name} is not a record ({error})") from error
    if not intact:
        raise Damaged(f"{path.name} has changed since it was written")
    for suffix, content in contents.items():
        if _checksum(content) != record["checksums"][suffix]:
            raise Damaged(f"{key.path(folder, suffix).name} has changed since it was written")
    return record, contents


def reason_to_compute(record: Mapping[str, Any], settings: Any, seed: int, sources: Mapping[str, str]) -> str | None:
    """Why a stored replicate cannot stand for these settings, seed and source; None if it can."""
    stored, wanted = record["settings"], as_json(settings)
    if stored != wanted:
        names = sorted({*stored, *wanted})
        changed = [
            f"{n} {stored.get(n, 'absent')} → {wanted.get(n, 'absent')}"
            for n in names
            if stored.get(n) != wanted.get(n)
        ]
        return f"settings changed: {', '.join(changed)}"
    if record["seed"] != seed:
        return f"seed changed: {record['seed']} → {seed}"
    if record["digest"] != combined(dict(sources)):
        before = record["sources"]
        changed = sorted(name for name in {*before, *sources} if before.get(name) != sources.get(name))
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        return f"source changed: {', '.join(changed[:3])}{more}"
    return None


def write_atomically(path: Path, content: bytes) -> None:
    """Put a file in place whole or not at all, also when power fails or the disk is full."""
    partial = path.with_name(f".{path.name}.{_host()}.{os.getpid()}.part")
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _checksum_of_record(record: Mapping[str, Any]) -> str:
    return _checksum(json.dumps(record, sort_keys=True).encode())


def _host() -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in platform.node()) or "host"


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it lives, and is somebody else's
        return True
    return True


def _kind(column: pd.Series) -> str:
    for kind in ("bool", "integer", "floating"):
        if pd.api.types.infer_dtype(column) == {"bool": "boolean"}.get(kind, kind):
            return kind
    if pd.api.types.is_numeric_dtype(column):
        return "floating"
    if all(isinstance(value, str) for value in column):
        return "text"
    raise ValueError(f"column {column.name!r} must hold numbers, booleans or text only, got {column.dtype}")


def _as_csv(table: pd.DataFrame) -> bytes:
    # float32 prints fewer digits than reading it back as float64 needs.
    floats = {str(name): np.float64 for name, column in table.items() if _kind(column) == "floating"}
    return table.astype(floats).to_csv(index=False, lineterminator="\n").encode()


def _from_csv(content: bytes, columns: Mapping[str, str]) -> pd.DataFrame:
    """The table with its own types; numbers are parsed by Python, which reads back exactly what was written."""
    text = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    parsers: dict[str, Callable[[str], Any]] = {
        "bool": lambda word: word == "True",
        "integer": int,
        "floating": lambda word: float(word) if word else np.nan,
        "text": str,
    }
    return pd.DataFrame({name: [parsers[kind](word) for word in text[name]] for name, kind in columns.items()})
