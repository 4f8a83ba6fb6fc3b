"""The engine as a user meets it: what is computed, what is reused and why, and what happens when things go wrong."""

import json
import time

import numpy as np
import pandas as pd
import pytest

from simulations.engine import replicate_seed


def _tables(house):
    return {path.name: path.read_text() for path in sorted((house.results / "main" / "quick").glob("*.csv"))}


def test_results_are_the_same_for_any_number_of_workers_and_kept_with_their_provenance(house):
    first = house.run("run", "toys/toy", "--jobs", "1")
    assert first.returncode == 0, first.stderr
    alone = _tables(house)
    assert len(alone) == 3
    second = house.run("run", "toys/toy", "--jobs", "2", "--recompute")
    assert second.returncode == 0, second.stderr
    assert "asked to recompute" in second.stderr
    assert _tables(house) == alone
    record = json.loads((house.results / "main" / "quick" / "0001.json").read_text())
    assert record["seed"] == replicate_seed(1)
    assert record["settings"] == {"mean": 1.0, "sizes": [1, 2], "name": "a"}
    assert record["versions"]["numpy"] == np.__version__
    assert "theory.toy_maths:doubled" in record["sources"]
    assert "theory.toy_maths:unused" not in record["sources"]
    processes = [pd.read_csv(path)["process"][0] for path in sorted((house.results / "timing" / "quick").glob("*.csv"))]
    assert len(set(processes)) == 1  # cost experiments run in one process


def test_finished_replicates_are_reused_and_more_can_be_asked_for(house):
    assert house.run("run", "--jobs", "1").returncode == 0
    again = house.run("run", "--jobs", "1")
    assert "replicate" not in again.stderr
    more = house.run("run", "--jobs", "1", "--seeds", "4")
    assert "main (quick): 1 replicate, not computed yet" in more.stderr


@pytest.mark.parametrize(
    ("path", "old", "new", "reason"),
    [
        ("theory/toy_maths.py", "return 2 * x", "return 2 * x + 0", "source changed: theory.toy_maths:doubled"),
        ("simulations/toys/toy.py", "0.01 * rng", "0.02 * rng", "source changed: simulations.toys.toy:simulate"),
        (
            "simulations/toys/toy.py",
            "quick=Toy(), full",
            "quick=Toy(mean=3.0), full",
            "settings changed: mean 1.0 → 3.0",
        ),
    ],
)
def test_a_change_that_matters_recomputes_and_says_why(house, path, old, new, reason):
    house.run("run", "--jobs", "1")
    house.edit(path, old, new)
    changed = house.run("run", "--jobs", "1")
    assert reason in changed.stderr
    assert "3 replicates" in changed.stderr


def test_docstrings_comments_judges_and_engine_do_not_recompute(house):
    house.run("run", "--jobs", "1")
    house.edit("theory/toy_maths.py", '"""Maths."""', '"""More maths."""  # indeed')
    house.edit("theory/toy_maths.py", "return x", "return x + 1")
    house.edit("simulations/toys/toy.py", "above=1.0", "above=3.0")
    house.edit("simulations/statistics.py", "CONFIDENCE = 0.95", "CONFIDENCE = 0.96")
    again = house.run("run", "--jobs", "1")
    assert "replicate" not in again.stderr
    assert "C1    refuted" in again.stdout


def test_a_damaged_result_is_noticed_named_and_recomputed(house):
    house.run("run", "--jobs", "1")
    good = _tables(house)
    (house.results / "main" / "quick" / "0001.csv").write_text("size,value\n1,2\n")
    (house.results / "main" / "quick" / "0002.npz").unlink()
    (house.results / "main" / "quick" / "0000.json").write_text("{")
    again = house.run("run", "--jobs", "1")
    assert again.returncode == 0
    assert "0001.csv has changed since it was written" in again.stderr
    assert "0002.npz is missing" in again.stderr
    assert "0000.json is not a record" in again.stderr
    assert _tables(house) == good


def test_changed_settings_live_beside_the_preset(house):
    house.run("run", "--jobs", "1")
    changed = house.run("run", "--jobs", "1", "--set", "main.mean=0", "--set", "main.sizes=(1,2,3)")
    assert changed.returncode == 0, changed.stderr
    assert "C1    refuted" in changed.stdout
    assert "not computed" not in house.run("claims").stdout
    assert len(_tables(house)) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "toys/tyo"), "did you mean toys/toy?"),
        (("run", "toy"), "did you mean toys/toy?"),
        (("run", "--set", "main.maen=2"), "did you mean mean"),
        (("run", "--set", "mian.mean=2"), "no experiment ['mian'], known are ['main', 'timing']"),
        (("run", "--set", "main.sizes=2"), "setting 'sizes' must be tuple"),
        (("run", "--set", "main.mean"), "experiment.name=value"),
        (("claims", "toys/tyo"), "did you mean toys/toy?"),
        (("record", "toys/tyo"), "did you mean toys/toy?"),
    ],
)
def test_a_mistake_on_the_command_line_names_what_is_nearest_and_exits_2(house, arguments, message):
    answer = house.run(*arguments)
    assert answer.returncode == 2
    assert message in answer.stderr


def test_one_paper_that_fails_does_not_stop_the_others(house):
    (house.paper.parent / "broken.py").write_text(house.paper.read_text().replace("import numpy", "import nonsense"))
    failing = house.paper.read_text().replace(
        "rng = np.random", "raise RuntimeError('no luck') if seed else None\n    rng = np.random"
    )
    (house.paper.parent / "failing.py").write_text(failing)
    answer = house.run("run", "--jobs", "2")
    assert answer.returncode == 1
    assert "toys/broken failed" in answer.stderr
    assert "No module named 'nonsense'" in answer.stderr
    assert "toys/failing main replicate 0 failed" in answer.stderr
    assert "RuntimeError: no luck" in answer.stderr
    assert "C1    supported" in answer.stdout
    claims = json.loads(house.run("claims", "toys/failing", "--format", "json").stdout)
    assert [row["verdict"] for row in claims] == [None, "supported"]


def test_the_json_of_claims_has_every_field_before_and_after(house):
    fields = {
        "address", "claim", "experiment", "kind", "statement", "source", "preset", "verdict", "measured", "threshold",
        "low", "high", "control_verdict",
    }  # fmt: skip
    before = json.loads(house.run("claims", "--format", "json").stdout)
    house.run("run", "--jobs", "1")
    after = json.loads(house.run("claims", "--format", "json").stdout)
    for rows in (before, after):
        assert [row["claim"] for row in rows] == ["C1", "C2"]
        assert all(fields <= set(row) for row in rows)
    assert [row["verdict"] for row in before] == [None, None]
    assert [row["verdict"] for row in after] == ["supported", "supported"]
    assert {row["control_verdict"] for row in before + after} == {"refuted"}
    assert after[0]["low"] < after[0]["measured"] < after[0]["high"]


def test_full_results_are_recorded_with_their_commit_and_used_when_the_source_has_moved_on(house):
    import subprocess

    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *command], cwd=house.root, check=True)
    assert house.run("record", "toys/toy").returncode == 1
    assert house.run("run", "--preset", "full", "--jobs", "1", "--results", "elsewhere").returncode == 0
    assert house.run("record", "toys/toy", "--results", "elsewhere").returncode == 0
    house.edit("theory/toy_maths.py", "return 2 * x", "return 3 * x")
    rows = json.loads(house.run("claims", "--preset", "full", "--format", "json").stdout)
    assert rows[0]["verdict"] == "supported"
    assert rows[0]["origin"].startswith("recorded at commit")
    assert rows[0]["origin"].endswith("the source has changed since")
    again = house.run("run", "--preset", "full", "--jobs", "1")
    assert "main" not in again.stderr


def test_a_local_dask_cluster_gives_the_same_tables(house):
    pytest.importorskip("distributed")
    assert house.run("run", "--jobs", "1").returncode == 0
    alone = _tables(house)
    answer = house.run("run", "--jobs", "2", "--backend", "dask", "--recompute")
    assert answer.returncode == 0, answer.stderr
    assert _tables(house) == alone


def test_the_gallery_shows_figures_claims_and_verdicts_and_needs_no_network(house):
    answer = house.run(module="paper_figures")
    assert answer.returncode == 0, answer.stderr
    page = (house.root / "build" / "gallery" / "index.html").read_text()
    for text in (
        "toys/toy/toy.png",
        "The mean is above 1.",
        "supported",
        "None that matters.",
        "python -m paper_figures toys/toy",
    ):
        assert text in page
    assert 'src="http' not in page
    assert '<link rel="stylesheet' not in page
    assert (house.root / "build" / "gallery" / "toys" / "toy" / "toy.png").stat().st_size > 5000
    ledger = json.loads((house.root / "build" / "gallery" / "ledger.json").read_text())
    assert [row["verdict"] for row in ledger] == ["supported", "supported"]
    assert ledger[0]["survives_multiple_testing"] is True
    start = time.monotonic()
    assert house.run("toys/toy", module="paper_figures").returncode == 0
    assert time.monotonic() - start < 30


def test_the_k_th_seed_does_not_depend_on_how_many_are_asked_for():
    seeds = [replicate_seed(k) for k in range(50)]
    assert len(set(seeds)) == 50
    assert seeds[3] == np.random.SeedSequence(2026, spawn_key=(3,)).generate_state(1)[0]
    assert max(seeds) < 2**32


def test_figures_say_so_when_the_source_changes_under_them(house):
    house.edit(
        "simulations/toys/toy.py",
        "    rng = np.random",
        "    path = Path('theory/toy_maths.py')\n    path.write_text(path.read_text().replace('2 * x', '3 * x'))\n    rng = np.random",
    )
    answer = house.run("--jobs", "1", module="paper_figures")
    assert answer.returncode == 1
    assert "the source of main changed while it was computed" in answer.stderr.replace("\n", " ")
