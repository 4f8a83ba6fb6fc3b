"""From a paper's address to its verdicts: simulate what is missing, judge, and hand back tables and verdicts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from simulations import judging, store
from simulations.contract import Preset
from simulations.discovery import LoadedPaper, load, resolve
from simulations.engine import Backend, Failure, Task, compute, plan
from simulations.judging import Results

__all__ = ["run", "simulate_and_judge"]


def run(
    address: str,
    preset: Preset = "quick",
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    replicates: int | None = None,
    jobs: int | None = None,
    device: str = "cpu",
    backend: Backend = "loky",
    scheduler: str | None = None,
    results: str | Path | None = None,
    recompute: bool = False,
) -> Results:
    """Compute the missing replicates of one paper and judge its claims.

    ``settings`` overrides per experiment, ``{"sweep": {"steps": 50}}``; ``replicates`` asks for
    another number than the experiments'; ``results`` is the folder that keeps them (default
    ``build/results``). A ``full`` preset that is recorded with the source is used as it is.

    Raises ``UnknownAddress`` or ``ValueError`` for what does not exist, and ``RuntimeError`` with
    the traceback if a replicate fails.

    >>> run("contrastive/dcl", settings={"digits": {"steps": 50}}).verdicts["C1"].outcome  # doctest: +SKIP
    'supported'
    """
    paper = load(resolve([address])[0])
    folder = Path(results) if results else store.build_folder() / "results"
    outcome, failures = simulate_and_judge(
        paper,
        folder,
        preset,
        settings or {},
        replicates=replicates,
        jobs=jobs or os.cpu_count() or 1,
        device=device,
        backend=backend,
        scheduler=scheduler,
        recompute=recompute,
    )
    if failures:
        raise RuntimeError("\n\n".join(f"{f.where} failed:\n{f.trace}" for f in failures))
    return judging.results(*outcome)


Judged = tuple[dict[str, judging.Evidence], list[judging.LedgerRow]]


def simulate_and_judge(
    paper: LoadedPaper,
    folder: Path,
    preset: Preset,
    changes: Mapping[str, Mapping[str, Any]],
    *,
    jobs: int,
    replicates: int | None = None,
    device: str = "cpu",
    backend: Backend = "loky",
    scheduler: str | None = None,
    recompute: bool = False,
    on_plan: Callable[[list[Task]], None] = lambda tasks: None,
    on_done: Callable[[Task, float], None] = lambda task, seconds: None,
) -> tuple[Judged, list[Failure]]:
    """One paper from plan to verdicts; recorded experiments are not computed again unless asked."""
    kept = {} if recompute else judging.evidence(paper, folder, preset, changes, replicates)
    recorded = {name for name, each in kept.items() if each.origin != "computed"}
    tasks = [t for t in plan(paper, folder, preset, changes, replicates, recompute) if t.key.experiment not in recorded]
    on_plan(tasks)
    failures = compute(tasks, folder, jobs=jobs, device=device, backend=backend, scheduler=scheduler, on_done=on_done)
    found = judging.evidence(paper, folder, preset, changes, replicates)
    return (found, judging.judge(paper, preset, found)), failures
