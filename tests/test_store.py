"""What is written is what is read, to the last bit, and damage does not pass."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulations import store
from simulations.contract import Replicate

KEY = store.Key("subject/paper", "experiment", "quick", 3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    floats=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=8),
    text=st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=8),
    whole=st.integers(-(2**60), 2**60),
)
def test_a_table_comes_back_exactly(tmp_path, floats, text, whole):
    table = pd.DataFrame({"f": floats, "t": text, "i": whole, "b": [k % 2 == 0 for k in range(len(floats))]})
    store.write(tmp_path, KEY, Replicate(table, {"a": np.array(floats)}), {})
    stored = store.read(tmp_path, KEY)
    assert stored is not None
    np.testing.assert_array_equal(stored.table["f"], table["f"])
    assert stored.table["t"].tolist() == table["t"].tolist()
    assert stored.table["i"].tolist() == table["i"].tolist()
    assert stored.table["b"].dtype == bool
    assert stored.table["b"].tolist() == table["b"].tolist()
    np.testing.assert_array_equal(stored.arrays["a"], np.array(floats))


def test_float32_comes_back_as_the_float64_of_equal_value(tmp_path):
    store.write(tmp_path, KEY, Replicate(pd.DataFrame({"f": np.float32([0.1])})), {})
    assert store.read(tmp_path, KEY).table["f"][0] == float(np.float32(0.1))


def test_text_that_looks_like_a_number_or_nothing_stays_text(tmp_path):
    table = pd.DataFrame({"t": ["8", "NA", "", "nan", "1e3"]})
    store.write(tmp_path, KEY, Replicate(table), {})
    assert store.read(tmp_path, KEY).table["t"].tolist() == table["t"].tolist()


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".json"])
@pytest.mark.parametrize("damage", ["truncate", "remove", "change"])
def test_damage_is_noticed(tmp_path, suffix, damage):
    store.write(tmp_path, KEY, Replicate(pd.DataFrame({"f": [1.0]}), {"a": np.ones(3)}), {})
    path = KEY.path(tmp_path, suffix)
    if damage == "remove":
        path.unlink()
    else:
        content = path.read_bytes()
        path.write_bytes(content[:-3] if damage == "truncate" else b"x" + content[1:])
    if (suffix, damage) == (".json", "remove"):
        assert store.read(tmp_path, KEY) is None
    else:
        with pytest.raises(store.Damaged, match="0003"):
            store.read(tmp_path, KEY)


def test_writing_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    store.write(tmp_path, KEY, Replicate(pd.DataFrame({"f": [1.0]})), {})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.write(tmp_path, KEY, Replicate(pd.DataFrame({"f": [2.0]})), {})
    assert store.read(tmp_path, KEY).table["f"][0] == 1.0
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"f": []}),
        pd.DataFrame({"replicate": [1]}),
        pd.DataFrame({"f": [1.0]}, index=[5]),
        pd.DataFrame({"f": [[1, 2]]}),
    ],
)
def test_a_table_that_is_not_tidy_is_refused(tmp_path, table):
    with pytest.raises(ValueError, match="must"):
        store.write(tmp_path, KEY, Replicate(table), {})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(data=st.data())
def test_any_changed_byte_and_any_lost_end_is_noticed(tmp_path, data):
    table = pd.DataFrame({"f": [0.1, 2.5], "t": ["a", "b"], "i": [1, 2]})
    store.write(tmp_path, KEY, Replicate(table, {"a": np.arange(3.0)}), {"seed": 7, "settings": {"steps": 50}})
    path = KEY.path(tmp_path, data.draw(st.sampled_from([".csv", ".npz", ".json"])))
    content = path.read_bytes()
    position = data.draw(st.integers(0, len(content) - 1))
    changed = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[position]))
    damaged = data.draw(
        st.sampled_from([content[:position], content[:position] + bytes([changed]) + content[position + 1 :]])
    )
    path.write_bytes(damaged)
    if path.suffix == ".json" and _says_the_same(damaged, content):
        pd.testing.assert_frame_equal(store.read(tmp_path, KEY).table, table)
    else:
        with pytest.raises(store.Damaged, match=path.name):
            store.read(tmp_path, KEY)


def _says_the_same(damaged, content):
    """White space between the words of a record carries nothing."""
    try:
        return json.loads(damaged) == json.loads(content)
    except ValueError:
        return False


def test_what_a_dead_process_was_writing_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "quick").mkdir()
    mine = tmp_path / "quick" / f".0001.csv.{store._host()}.{os.getpid()}.part"
    orphan = tmp_path / "quick" / f".0001.csv.{store._host()}.{dead.pid}.part"
    elsewhere = tmp_path / "quick" / f".0001.csv.another-machine.{dead.pid}.part"
    for path in (mine, orphan, elsewhere):
        path.write_text("half")
    store.sweep(tmp_path)
    assert sorted((tmp_path / "quick").iterdir()) == sorted([mine, elsewhere])
