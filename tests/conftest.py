"""Shapes and types of theory and neural are checked in every test, by jaxtyping and beartype.

The hook rewrites modules as they are imported, so it has to be in place before the first test module is.
Where beartype is not installed (a bare GPU machine), tests run without it, and benchmarks always do.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import jaxtyping
import pytest

# The first example also imports and compiles; how long it takes says nothing on a busy machine.
# Where a change is judged (CI), examples are a function of the test alone; everywhere else they are new every time.
hypothesis.settings.register_profile("house", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("house")

if importlib.util.find_spec("beartype") and "--benchmark-only" not in sys.argv:
    import beartype  # noqa: F401

    jaxtyping.install_import_hook(
        ["theory", "neural"], "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
    )


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Turn the type checker off, so that a function's own ValueError is what is tested."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """Every device there is."""
    if request.param == "cuda":
        torch = pytest.importorskip("torch")
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")
    return request.param


TOY = '''
"""A toy paper whose measurement is a seeded random number."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from simulations import Claim, Experiment, Paper, Replicate, statistics
from theory.toy_maths import doubled

PAPER = Paper(title="Toys", authors="A. Uthor", venue="Nowhere 2000", arxiv="0000.00000")
DEVIATIONS = ["None that matters."]


@dataclass(frozen=True)
class Toy:
    mean: float = 1.0
    sizes: tuple[int, ...] = (1, 2)
    name: str = "a"


def simulate(settings, seed, device):
    rng = np.random.default_rng(seed)
    values = doubled(settings.mean + 0.01 * rng.standard_normal(len(settings.sizes)))
    table = pd.DataFrame({"size": settings.sizes, "value": values, "name": settings.name, "even": [s % 2 == 0 for s in settings.sizes]})
    return Replicate(table, {"values": values})


def simulate_time(settings, seed, device):
    """How long, and in which process."""
    return pd.DataFrame({"seconds": [time.perf_counter()], "process": [os.getpid()]})


def judge(table):
    return statistics.trend(table.groupby("replicate")["value"].mean(), "mean value", above=1.0)


def example():
    return pd.DataFrame({"replicate": [0, 1, 2], "value": [2.0, 2.1, 2.2]})


EXPERIMENTS = [
    Experiment("main", simulate, quick=Toy(), full=Toy(mean=2.0), replicates=3),
    Experiment("timing", simulate_time, quick=Toy(), replicates=2),
]
CLAIMS = [
    Claim("C1", "main", "trend", "Eq. 1", "The mean is above 1.", judge, example, lambda t: t.assign(value=-t["value"]), "2"),
    Claim(
        "C2", "timing", "cost", "Eq. 2", "It runs.", lambda t: statistics.at_least(t["seconds"].min(), "seconds", threshold=0.0),
        lambda: pd.DataFrame({"seconds": [1.0]}), lambda t: t.assign(seconds=-1.0),
    ),
]
'''
TOY_FIGURE = '''
"""Figure of the toy."""
from matplotlib.figure import Figure
from paper_figures.style import intervals, panels

CAPTION = "A toy."

def draw(results):
    figure, (ax,) = panels(1)
    intervals(ax, results.tables["main"], "size", "value", label="toy")
    ax.set(xlabel="size", ylabel="value", title="The mean is above 1")
    return {"toy": figure}
'''
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class House:
    """A copy of the engine with a toy paper, on which commands are run as a user would."""

    root: Path

    @property
    def paper(self) -> Path:
        return self.root / "simulations" / "toys" / "toy.py"

    @property
    def results(self) -> Path:
        return self.root / "build" / "results" / "toys" / "toy"

    def run(self, *arguments: str, module: str = "simulations") -> subprocess.CompletedProcess[str]:
        """``python -m module arguments``, with its output as text."""
        return subprocess.run(
            [sys.executable, "-m", module, *arguments], cwd=self.root, capture_output=True, text=True, check=False,
            env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace one text in a file."""
        text = (self.root / path).read_text()
        assert old in text
        (self.root / path).write_text(text.replace(old, new))


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A checkout with the real engine and one toy paper."""
    for room in ("simulations", "paper_figures"):
        (tmp_path / room / "toys").mkdir(parents=True)
        for path in (ROOT / room).iterdir():
            if path.is_file():
                shutil.copy(path, tmp_path / room)
        (tmp_path / room / "toys" / "__init__.py").write_text("")
    (tmp_path / "theory").mkdir()
    (tmp_path / "theory" / "__init__.py").write_text("")
    (tmp_path / "theory" / "toy_maths.py").write_text(
        '"""Maths."""\n\n\ndef doubled(x):\n    return 2 * x\n\n\ndef unused(x):\n    return x\n'
    )
    (tmp_path / "pyproject.toml").write_text("")
    made = House(tmp_path)
    made.paper.write_text(TOY)
    (tmp_path / "paper_figures" / "toys" / "toy.py").write_text(TOY_FIGURE)
    return made
