"""What is finished stays finished: killed runs, Ctrl-C, full disks, workers that die, on one machine and on a cluster."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from simulations import store

REPLICATES = 14


@pytest.fixture
def slow_house(house):
    """Fourteen replicates of a fifth of a second; every other one is large, so that many moments fall into writing it."""
    house.edit(
        "simulations/toys/toy.py",
        "    rng = np.random",
        "    time.sleep(0.2)\n    size = 200_000 if seed % 2 else 100\n    noise = np.random.default_rng(seed).standard_normal(size)\n    rng = np.random",
    )
    house.edit("simulations/toys/toy.py", '{"values": values}', '{"values": values, "noise": noise}')
    house.edit("simulations/toys/toy.py", "replicates=3", f"replicates={REPLICATES}")
    return house


def _start(house, *options):
    """A run in a session of its own, which logs to ``run.log``."""
    with (house.root / "run.log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "simulations", "run", "--jobs", "2", *options],
            cwd=house.root, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True,
            env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip


def _log_of(house, run, seconds=120):
    run.wait(timeout=seconds)
    return (house.root / "run.log").read_text()


def _kept(house, folder=None):
    """The files of every finished replicate of the main experiment, after reading each as the engine does."""
    folder = folder or house.root / "build" / "results"
    kept = {}
    for number in range(REPLICATES):
        key = store.Key("toys/toy", "main", "quick", number)
        if store.read(folder, key) is not None:
            kept[number] = {s: key.path(folder, s).read_bytes() for s in (".csv", ".npz", ".json")}
    return kept


def _tables(house):
    return {path.name: path.read_text() for path in sorted((house.results / "main" / "quick").glob("*.csv"))}


def _until(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def _until_finished(house, replicates):
    _until(lambda: len(list((house.results / "main" / "quick").glob("*.json"))) >= replicates)


def _partial_files(house):
    return list((house.root / "build").rglob(".*.part"))


def _alive_in(session):
    """Processes of a session, zombies left out."""
    alive = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, _, its_session = (process / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                alive.append(int(process.name))
    return alive


@pytest.fixture(scope="module")
def uninterrupted():
    """The tables of a run that nothing happened to, computed once."""
    kept = {}

    def tables(house):
        if not kept:
            assert house.run("run", "--jobs", "1", "--results", str(house.root / "whole")).returncode == 0
            whole = house.root / "whole" / "toys" / "toy" / "main" / "quick"
            kept.update({path.name: path.read_text() for path in sorted(whole.glob("*.csv"))})
        return kept

    return tables


@pytest.mark.parametrize("killed", ["the whole run", "only its first process"])
def test_runs_killed_at_random_moments_lose_nothing_that_was_finished(slow_house, killed, uninterrupted):
    house = slow_house
    rng = np.random.default_rng(len(killed))
    finished = {}
    for _ in range(3):
        run = _start(house)
        _until_finished(house, len(finished) + 1)
        time.sleep(rng.uniform(0, 0.5))
        if killed == "the whole run":
            os.killpg(run.pid, signal.SIGKILL)
        else:
            run.kill()
        run.wait()
        now = _kept(house)  # reading raises Damaged if anything is half written
        assert len(now) > len(finished)
        assert {number: now[number] for number in finished} == finished
        finished = now
    _until(lambda: not _alive_in(run.pid), 60)  # workers do not outlive the run that they work for
    last = house.run("run", "--jobs", "2")
    assert last.returncode == 0, last.stderr
    if missing := REPLICATES - len(finished):
        assert f"main (quick): {missing} replicate" in last.stderr
    assert _tables(house) == uninterrupted(house)
    assert not _partial_files(house)


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(slow_house, uninterrupted):
    house = slow_house
    house.edit("simulations/toys/toy.py", "sleep(0.2)", "sleep(0.8)")  # on a busy machine the keys may be pressed late
    run = _start(house)
    _until_finished(house, 2)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: the whole foreground group
    log = _log_of(house, run)
    assert run.returncode == 130
    assert "Interrupted. Finished replicates are kept" in log
    assert "Traceback" not in log, log
    assert 2 <= len(_kept(house)) < REPLICATES
    assert not _partial_files(house)
    _until(lambda: not _alive_in(run.pid), 30)
    assert house.run("run", "--jobs", "2").returncode == 0
    assert _tables(house) == uninterrupted(house)


def _on_a_full_disk(house, command, folder):
    """Run with results on a file system of one mebibyte, and copy out what is there at the end."""
    mount = (
        f"mount -t tmpfs -o size=1m none {folder} && {command}; code=$?; cp -a {folder}/. {folder}-after; exit $code"
    )
    return subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount],
        cwd=house.root, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip


def _with_small_files_only(house, command, folder):
    """Run where no file may grow beyond 100 KiB: the kernel refuses the rest of it."""
    return subprocess.run(
        ["sh", "-c", f"ulimit -f 200; {command}; code=$?; cp -a {folder} {folder}-after; exit $code"],
        cwd=house.root, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip


@pytest.mark.parametrize("limited", [_on_a_full_disk, _with_small_files_only])
def test_a_full_disk_stops_the_run_and_leaves_finished_replicates_whole(slow_house, limited, uninterrupted):
    house = slow_house
    if limited is _on_a_full_disk and (
        not shutil.which("unshare")
        or subprocess.run(
            ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"],
            capture_output=True,
            check=False,
        ).returncode
    ):
        pytest.skip("no right to mount a file system")
    folder = house.root / "small"
    folder.mkdir()
    answer = limited(house, f"{sys.executable} -m simulations run --jobs 2 --results {folder}", folder)
    assert answer.returncode == 1
    assert f"Stopped: results cannot be kept in {folder}" in answer.stderr
    assert "the same command computes the rest" in answer.stderr
    assert "Traceback" not in answer.stderr
    kept = _kept(house, folder.with_name("small-after"))
    assert len(kept) < REPLICATES
    assert not list(folder.with_name("small-after").rglob(".*.part"))
    results = house.root / "build" / "results"
    shutil.rmtree(results, ignore_errors=True)
    shutil.copytree(folder.with_name("small-after"), results)
    later = house.run("run", "--jobs", "2")
    assert later.returncode == 0, later.stderr
    assert {number: files for number, files in _kept(house).items() if number in kept} == kept
    assert _tables(house) == uninterrupted(house)


def test_a_worker_killed_from_outside_costs_no_replicate(slow_house):
    house = slow_house
    house.edit(
        "simulations/toys/toy.py",
        "    time.sleep(0.2)\n",
        "    time.sleep(0.2)\n    import signal\n    flag = Path('killed')\n    if not flag.exists():\n        flag.touch()\n        os.kill(os.getpid(), signal.SIGKILL)\n",
    )
    answer = house.run("run", "--jobs", "2")
    assert answer.returncode == 0, answer.stderr
    assert len(_kept(house)) == REPLICATES


def test_a_replicate_that_kills_every_process_it_gets_is_the_only_one_lost(slow_house):
    house = slow_house
    fatal = store.Key("toys/toy", "main", "quick", 3)
    house.edit(
        "simulations/toys/toy.py",
        "    time.sleep(0.2)\n",
        "    time.sleep(0.2)\n    from simulations.engine import replicate_seed\n    if seed == replicate_seed(3):\n        os._exit(9)\n",
    )
    answer = house.run("run", "--jobs", "2")
    assert answer.returncode == 1
    assert "toys/toy main replicate 3 failed" in answer.stderr
    assert "died, when it was alone too" in answer.stderr
    assert sorted(_kept(house)) == [n for n in range(REPLICATES) if n != fatal.replicate]


@pytest.fixture
def cluster(slow_house):
    """A scheduler and two workers, each a process of its own, on the loopback interface."""
    pytest.importorskip("distributed")
    file = slow_house.root / "scheduler.json"
    processes = []

    def start(role, *options):
        with (slow_house.root / f"{role}{len(processes)}.log").open("w") as log:
            command = [
                sys.executable,
                "-m",
                f"distributed.cli.dask_{role}",
                "--scheduler-file",
                str(file),
                "--no-dashboard",
            ]
            processes.append(subprocess.Popen([*command, *options], cwd=slow_house.root, stdout=log, stderr=log))
        return processes[-1]

    start("scheduler", "--host", "127.0.0.1", "--port", "0")
    _until(file.exists)
    workers = [start("worker", "--nthreads", "1", "--no-nanny", "--host", "127.0.0.1") for _ in range(2)]
    yield json.loads(file.read_text())["address"], workers
    for process in reversed(processes):
        process.kill()
        process.wait()


def test_a_cluster_gives_the_same_tables_though_a_worker_is_killed_in_the_middle(slow_house, cluster, uninterrupted):
    house = slow_house
    scheduler, workers = cluster
    run = _start(house, "--backend", "dask", "--scheduler", scheduler)
    _until_finished(house, 2)
    workers[0].kill()
    log = _log_of(house, run)
    assert run.returncode == 0, log
    assert "failed" not in log
    assert _tables(house) == uninterrupted(house)
