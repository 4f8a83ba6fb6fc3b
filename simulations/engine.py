"""Runs the replicates that are missing, in parallel, and keeps each one as soon as it is finished.

Workers receive (address, experiment, settings, seed), import the module and call ``simulate``; the
parent writes what they return. Experiments with a *cost* claim run alone, after the others, one at
a time in this process, because they time things. One paper that fails does not stop the rest.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import joblib
import numpy as np
import threadpoolctl
from joblib.externals.loky import ProcessPoolExecutor

from simulations import store
from simulations.contract import Experiment, Preset, Replicate
from simulations.digest import combined, source_digests
from simulations.discovery import ROOT, LoadedPaper, load
from simulations.settings import as_json, from_json, override

__all__ = ["Backend", "Failure", "Plan", "Task", "compute", "plan", "replicate_seed", "settings_of"]

Backend = Literal["loky", "dask"]
ROOT_SEED = 2026
_PACKAGES = ("lemmata", "numpy", "scipy", "pandas", "scikit-learn", "torch")


@dataclass(frozen=True)
class Task:
    """One replicate to compute, and why."""

    key: store.Key
    settings: dict[str, Any]
    seed: int
    sources: Mapping[str, str]
    cost: bool
    reason: str


@dataclass(frozen=True)
class Failure:
    """A replicate, or a whole paper, that could not be computed."""

    where: str
    trace: str


@dataclass
class Plan:
    """What has to be computed, and what stood in the way of finding out."""

    tasks: list[Task] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def reasons(self) -> list[str]:
        """One line per experiment that has something to compute."""
        lines: dict[tuple[str, str], int] = {}
        for task in self.tasks:
            where = f"{task.key.address} {task.key.experiment} ({task.key.variant})"
            lines[where, task.reason] = lines.get((where, task.reason), 0) + 1
        return [f"{where}: {n} replicate{'s' * (n > 1)}, {reason}" for (where, reason), n in lines.items()]


def replicate_seed(replicate: int, root: int = ROOT_SEED) -> int:
    """Seed of the k-th replicate: the same however many are asked for, below 2³²."""
    return int(np.random.SeedSequence(root, spawn_key=(replicate,)).generate_state(1)[0])


def settings_of(paper: LoadedPaper, preset: Preset, changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Settings of every experiment, with overrides; raises ``ValueError`` naming an unknown experiment or setting."""
    unknown = set(changes) - set(paper.experiments)
    if unknown:
        raise ValueError(f"{paper.address} has no experiment {sorted(unknown)}, known are {list(paper.experiments)}")
    return {
        name: override(experiment.settings(preset), changes.get(name, {}))
        for name, experiment in paper.experiments.items()
    }


def plan(
    paper: LoadedPaper,
    folder: Path,
    preset: Preset,
    changes: Mapping[str, Mapping[str, Any]],
    replicates: int | None = None,
    recompute: bool = False,
) -> list[Task]:
    """The replicates of a paper that are not on disk for these settings, seeds and source."""
    tasks = []
    timed = {claim.experiment for claim in paper.claims if claim.kind == "cost"}
    for name, settings in settings_of(paper, preset, changes).items():
        experiment = paper.experiments[name]
        sources = sources_of(experiment)
        for k in range(replicates or experiment.replicates):
            key = store.Key(paper.address, name, store.variant(experiment, preset, settings), k)
            seed = replicate_seed(k)
            try:
                record = store.read_record(folder, key)
            except store.Damaged as damage:
                reason: str | None = f"stored result is damaged: {damage}"
            else:
                reason = (
                    "not computed yet" if record is None else store.reason_to_compute(record, settings, seed, sources)
                )
            if recompute:
                reason = "asked to recompute"
            if reason:
                tasks.append(Task(key, as_json(settings), seed, sources, name in timed, reason))
    return tasks


def sources_of(experiment: Experiment) -> dict[str, str]:
    """Digests of what ``simulate`` and the settings reach."""
    function, settings = experiment.simulate, type(experiment.quick)
    digests = source_digests(ROOT, function.__module__, [function.__name__])
    return digests | source_digests(ROOT, settings.__module__, [settings.__name__])


def compute(
    tasks: list[Task],
    folder: Path,
    *,
    jobs: int,
    device: str = "cpu",
    backend: Backend = "loky",
    scheduler: str | None = None,
    on_done: Callable[[Task, float], None] = lambda task, seconds: None,
) -> list[Failure]:
    """Run tasks and keep their results under ``folder``; what fails is returned, not raised.

    ``jobs`` replicates run at once (one on CUDA). ``KeyboardInterrupt`` leaves finished ones kept. Only
    ``store.CannotKeep`` is raised: to go on computing what cannot be kept helps nobody.
    """
    failures = []
    for address in {task.key.address for task in tasks}:
        store.sweep(folder / address)
    for task, outcome in _outcomes(tasks, 1 if device.startswith("cuda") else jobs, device, backend, scheduler):
        if isinstance(outcome, str):
            failures.append(
                Failure(f"{task.key.address} {task.key.experiment} replicate {task.key.replicate}", outcome)
            )
            continue
        result, seconds = outcome
        try:
            store.write(folder, task.key, result, _record(task, device, seconds))
        except ValueError:
            failures.append(
                Failure(
                    f"{task.key.address} {task.key.experiment} replicate {task.key.replicate}", traceback.format_exc()
                )
            )
        on_done(task, seconds)
    return failures


_Outcome = tuple[Replicate, float] | str


def _outcomes(
    tasks: list[Task], jobs: int, device: str, backend: Backend, scheduler: str | None
) -> Iterator[tuple[Task, _Outcome]]:
    shared, alone = [t for t in tasks if not t.cost], [t for t in tasks if t.cost]
    if jobs == 1 and backend == "loky":
        shared, alone = [], shared + alone
    waiting = dict(enumerate(shared))
    if shared:
        try:
            with _torn_down_quietly(), _parallel(backend, scheduler, jobs) as parallel:
                calls = (joblib.delayed(_numbered)(number, *_call(task, device)) for number, task in enumerate(shared))
                for number, outcome in cast("Iterable[tuple[int, _Outcome]]", parallel(calls)):
                    yield waiting.pop(number), outcome
        except Exception:  # a worker that died takes the pool with it, not the run
            yield from _one_by_one(list(waiting.values()), device)
    for task in alone:
        yield task, execute(*_call(task, device))


@contextlib.contextmanager
def _parallel(backend: Backend, scheduler: str | None, jobs: int) -> Iterator[joblib.Parallel]:
    if backend == "loky":
        yield joblib.Parallel(
            n_jobs=jobs, backend="loky", return_as="generator_unordered", pre_dispatch="all",
            initializer=_serve, initargs=(os.getpid(),),
        )  # fmt: skip
        return
    from distributed import Client, LocalCluster

    with contextlib.ExitStack() as stack:
        address = scheduler
        if address is None:
            address = stack.enter_context(
                LocalCluster(n_workers=jobs, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0")
            )
        stack.enter_context(Client(address))
        with joblib.parallel_config(backend="dask"):
            yield joblib.Parallel(n_jobs=-1, return_as="generator_unordered")


@contextlib.contextmanager
def _torn_down_quietly() -> Iterator[None]:
    """Keep to itself what loky's own thread raises while a pool is torn down because the run was interrupted.

    That thread may still look for work that has just been withdrawn.
    """
    raised: list[threading.ExceptHookArgs] = []
    original = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if arguments.thread is not None and arguments.thread.name.startswith("ExecutorManagerThread"):
            raised.append(arguments)
        else:
            original(arguments)

    threading.excepthook = hook
    try:
        yield
    except (KeyboardInterrupt, GeneratorExit):
        raised.clear()
        raise
    finally:
        threading.excepthook = original
        for arguments in raised:
            original(arguments)


def _one_by_one(tasks: list[Task], device: str) -> Iterator[tuple[Task, _Outcome]]:
    """What a broken pool left undone, in one process at a time: there was too little memory for more, or one crashes.

    A replicate whose process dies again is the one to blame; the rest go on in the next process.
    """
    pool: Any = None
    try:
        for task in tasks:
            if pool is None:
                pool = ProcessPoolExecutor(max_workers=1, initializer=_serve, initargs=(os.getpid(),))
            outcome: _Outcome
            try:
                outcome = pool.submit(execute, *_call(task, device)).result()
            except Exception:
                outcome = f"the process of this replicate died, when it was alone too\n{traceback.format_exc()}"
                pool = None
            yield task, outcome
    finally:
        if pool is not None:
            pool.shutdown(kill_workers=True)


def _serve(parent: int) -> None:
    """What a worker does first: leave Ctrl-C to the process that it works for, and not outlive that.

    A process killed outright cannot tell its workers.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    if sys.platform != "win32":
        threading.Thread(target=watch, daemon=True).start()


def _call(task: Task, device: str) -> tuple[str, str, Preset, dict[str, Any], int, str]:
    preset = cast(Preset, task.key.variant.split("-")[0])
    return task.key.address, task.key.experiment, preset, task.settings, task.seed, device


def _numbered(number: int, *call: Any) -> tuple[int, _Outcome]:
    return number, execute(*call)


def execute(
    address: str, experiment: str, preset: Preset, settings: dict[str, Any], seed: int, device: str
) -> _Outcome:
    """One replicate with its seconds, on one thread; the traceback as text if it fails."""
    try:
        found = load(address).experiments[experiment]
        with single_thread():
            start = time.perf_counter()
            result = found.simulate(from_json(found.settings(preset), settings), seed, device)
            seconds = time.perf_counter() - start
        return (result if isinstance(result, Replicate) else Replicate(result)), seconds
    except Exception:
        return traceback.format_exc()


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """Limit BLAS, OpenMP and (if loaded) torch to one thread.

    Replicates then do not compete, and results do not depend on the number of cores.
    """
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else None
    with threadpoolctl.threadpool_limits(limits=1):
        if torch:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if torch and threads:
                torch.set_num_threads(threads)


def _record(task: Task, device: str, seconds: float) -> dict[str, Any]:
    return {
        "address": task.key.address,
        "experiment": task.key.experiment,
        "variant": task.key.variant,
        "replicate": task.key.replicate,
        "settings": task.settings,
        "seed": task.seed,
        "digest": combined(dict(task.sources)),
        "sources": dict(task.sources),
        "device": _device_name(device),
        "seconds": round(seconds, 3),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **_versions()},
    }


def _device_name(device: str) -> str:
    torch = sys.modules.get("torch")
    if torch is not None and device.startswith("cuda"):
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return device


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
