"""Which papers there are, found by reading source files, and a paper's module by its address.

A module is a paper if it assigns ``PAPER`` at top level. Listing imports nothing, so that one paper
whose dependencies are missing does not hide the others.
"""

from __future__ import annotations

import ast
import difflib
import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from simulations.contract import Claim, Experiment, Paper

__all__ = ["ROOT", "LoadedPaper", "UnknownAddress", "addresses", "describe", "load", "resolve"]

ROOT = Path(__file__).resolve().parent.parent


class UnknownAddress(ValueError):
    """No paper has this address; the message names the nearest ones."""


@dataclass(frozen=True)
class LoadedPaper:
    """A simulation module with its parts checked."""

    address: str
    module: ModuleType
    paper: Paper
    story: str
    deviations: tuple[str, ...]
    experiments: dict[str, Experiment]
    claims: tuple[Claim, ...]


def addresses() -> list[str]:
    """All addresses ``subject/paper``, sorted."""
    return sorted(
        path.relative_to(ROOT / "simulations").with_suffix("").as_posix()
        for path in (ROOT / "simulations").glob("*/*.py")
        if _paper_call(path) is not None
    )


def resolve(wanted: list[str]) -> list[str]:
    """The addresses asked for, or all; raises ``UnknownAddress`` with the nearest valid ones."""
    known = addresses()
    for address in wanted:
        if address not in known:
            by_name = {each.split("/")[-1]: each for each in known}
            near = difflib.get_close_matches(address, known, n=3, cutoff=0.5)
            near += [by_name[n] for n in difflib.get_close_matches(address.split("/")[-1], by_name, n=3, cutoff=0.5)]
            near = list(dict.fromkeys(near))
            hint = f"did you mean {' or '.join(near)}?" if near else "see 'python -m simulations list'"
            raise UnknownAddress(f"no paper has the address {address!r}: {hint}")
    return list(dict.fromkeys(wanted)) or known


def describe(address: str) -> dict[str, str]:
    """Title, authors, venue and arXiv number of a paper, read without importing it."""
    call = _paper_call(ROOT / "simulations" / f"{address}.py")
    if call is None:
        raise UnknownAddress(f"no paper has the address {address!r}")
    literals = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg}
    return {key: literals.get(key) or "" for key in ("title", "authors", "venue", "arxiv")}


def load(address: str) -> LoadedPaper:
    """Import one paper and check that its claims name its experiments.

    Raises ``ValueError`` for a claim of an unknown experiment or an identifier used twice.
    """
    module = importlib.import_module("simulations." + address.replace("/", "."))
    experiments = {each.name: each for each in module.EXPERIMENTS}
    claims = tuple(module.CLAIMS)
    if len(experiments) < len(module.EXPERIMENTS) or len({c.id for c in claims}) < len(claims):
        raise ValueError(f"{address}: experiment names and claim ids must be unique")
    for claim in claims:
        if claim.experiment not in experiments:
            raise ValueError(
                f"{address}: claim {claim.id} names experiment {claim.experiment!r}, known are {list(experiments)}"
            )
    return LoadedPaper(
        address=address,
        module=module,
        paper=module.PAPER,
        story=(module.__doc__ or "").strip(),
        deviations=tuple(getattr(module, "DEVIATIONS", ())),
        experiments=experiments,
        claims=claims,
    )


def _paper_call(path: Path) -> ast.Call | None:
    """The call that ``PAPER`` is assigned, if the module assigns it."""
    if not path.is_file():
        return None
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
            continue
        if any(isinstance(target, ast.Name) and target.id == "PAPER" for target in node.targets):
            return node.value
    return None
