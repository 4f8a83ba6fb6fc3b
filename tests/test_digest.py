"""What counts as the source of a simulation."""

from pathlib import Path

import pytest

from simulations.digest import combined, source_digests

FILES = {
    "theory/__init__.py": "",
    "theory/sub/__init__.py": "",
    "theory/sub/maths.py": '"""Doc."""\nimport numpy as np\n\nSCALE = 2\n\ndef helper(x):\n    """Doc."""\n    return np.sin(x) * SCALE\n\n'
    "def used(x):\n    return helper(x)\n\ndef unused(x):\n    return x\n",
    "theory/sub/late.py": "def lazily(x):\n    return x\n\ndef other(x):\n    return x\n",
    "theory/sub/registers.py": "TABLE = {}\nTABLE['x'] = 1\nfor k in range(3):\n    TABLE[k] = k\n\ndef look(k):\n    return TABLE[k]\n",
    "simulations/statistics.py": "def rule(x):\n    return x\n",
    "simulations/sub/paper.py": (
        "from simulations import statistics\nfrom theory.sub import maths\nfrom theory.sub.registers import look as see\n\n"
        "class Settings:\n    steps = 3\n\ndef simulate(settings: Settings, seed, device):\n"
        "    from theory.sub.late import lazily\n    return step(lazily(maths.used(settings.steps)))\n\n"
        "def step(x):\n    return see(x) + statistics.rule(x)\n\ndef judge(table):\n    return table\n\nPAPER = 'title'\n"
    ),
}  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def _digests(tree: Path) -> dict[str, str]:
    return source_digests(tree, "simulations.sub.paper", ["simulate"])


def test_everything_that_simulate_reaches_counts_and_nothing_else(tree):
    names = {name for name in _digests(tree) if "statement" not in name}
    assert names - {"theory.sub.registers:k"} == {
        "simulations.sub.paper:Settings", "simulations.sub.paper:simulate", "simulations.sub.paper:step",
        "simulations.sub.paper:maths", "simulations.sub.paper:see", "simulations.sub.paper:statistics",
        "theory.sub.late:lazily", "theory.sub.maths:SCALE", "theory.sub.maths:helper", "theory.sub.maths:used",
        "theory.sub.maths:np", "theory.sub.registers:TABLE", "theory.sub.registers:look",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("theory/sub/maths.py", "SCALE = 2", "SCALE = 3"),
        ("theory/sub/maths.py", "np.sin", "np.cos"),
        ("theory/sub/maths.py", "import numpy as np", "import scipy as np"),
        ("theory/sub/late.py", "lazily(x):\n    return x", "lazily(x):\n    return -x"),
        ("theory/sub/registers.py", "range(3)", "range(4)"),
        ("theory/sub/registers.py", "TABLE['x'] = 1", "TABLE['x'] = 2"),
        ("theory/sub/__init__.py", "", "print('imported')\n"),
        ("simulations/sub/paper.py", "steps = 3", "steps = 4"),
        ("simulations/sub/paper.py", "look as see", "unlook as see"),
        ("simulations/sub/paper.py", "see(x) +", "see(x) -"),
    ],
)
def test_a_change_of_what_is_reached_changes_the_digest(tree, path, old, new):
    before = combined(_digests(tree))
    text = (tree / path).read_text()
    (tree / path).write_text(text.replace(old, new, 1) if old else new)
    assert combined(_digests(tree)) != before


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("theory/sub/maths.py", '"""Doc."""', '"""Other words."""'),
        ("theory/sub/maths.py", "SCALE = 2", "SCALE  =  2  # two"),
        ("theory/sub/maths.py", "unused(x):\n    return x", "unused(x):\n    return -x"),
        ("theory/sub/late.py", "other(x):\n    return x", "other(x):\n    return -x"),
        ("simulations/statistics.py", "return x", "return -x"),
        ("simulations/sub/paper.py", "return table", "return -table"),
        ("simulations/sub/paper.py", "'title'", "'another title'"),
    ],
)
def test_words_engine_judges_and_bystanders_do_not(tree, path, old, new):
    before = combined(_digests(tree))
    text = (tree / path).read_text()
    assert old in text
    (tree / path).write_text(text.replace(old, new, 1))
    assert combined(_digests(tree)) == before


def test_a_module_used_as_a_whole_counts_as_a_whole(tree):
    (tree / "simulations/sub/paper.py").write_text(
        "from theory.sub import late\n\ndef simulate(a, b, c):\n    return vars(late)\n"
    )
    assert {"theory.sub.late:lazily", "theory.sub.late:other"} <= set(_digests(tree))


def test_a_name_that_is_not_there_is_refused(tree):
    with pytest.raises(ValueError, match="'nothing' is not defined"):
        source_digests(tree, "simulations.sub.paper", ["nothing"])
