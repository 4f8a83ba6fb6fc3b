"""What is written is what is read, to the last bit, and damage does not pass."""

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
