"""What the README shows works."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from simulations import discovery

README = (discovery.ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def _block(word: str) -> str:
    (found,) = [block for block in BLOCKS if word in block]
    return found


def test_the_training_snippet_backpropagates():
    torch = pytest.importorskip("torch")
    encoder, projector = torch.nn.Linear(8, 6), torch.nn.Linear(6, 4)
    view1, view2 = torch.randn(2, 16, 8)
    exec(_block("dcl_loss("), {"encoder": encoder, "projector": projector, "view1": view1, "view2": view2})
    assert torch.isfinite(encoder.weight.grad).all()


def test_the_reweighting_snippet_backpropagates():
    torch = pytest.importorskip("torch")
    model, ids = torch.nn.Embedding(7, 7), torch.arange(12).reshape(3, 4) % 7
    exec(_block("ReweightedLoss("), {"model": model, "ids": ids, "labels": ids})
    assert torch.isfinite(model.weight.grad).all()


def test_the_theorem_snippet_prints_what_its_comments_say(capsys):
    exec(_block("TesterLearner("), {})
    first, second = capsys.readouterr().out.splitlines()
    accepted, excess = first.split()
    assert accepted == "True"
    assert float(excess) == pytest.approx(0.123, abs=1e-3)
    ceiling, attempts = second.split()
    assert float(ceiling) == pytest.approx(0.652, abs=5e-4)
    assert int(attempts) == 2


def test_the_bound_snippet_finds_pinsker_tight():
    names: dict = {}
    exec(_block("check_bound("), names)
    assert names["report"].holds
    assert names["report"].worst_ratio > 0.999


def test_the_proving_snippet_proves():
    pytest.importorskip("flint")
    names: dict = {}
    exec(_block("certify_nonnegative("), names)
    assert names["certificate"].proved is True


def test_the_analyser_snippet_prints_what_is_printed_below_it(capsys):
    pytest.importorskip("flint")
    block = _block("analyse_margin_loss(")
    shown = README.split(block)[1].split("```")[2].strip().splitlines()
    exec(block, {})
    printed = capsys.readouterr().out.strip().splitlines()
    assert len(shown) == len(printed) == 2
    assert [re.sub(r"[\d.]{7,}", "…", line) for line in printed] == [re.sub(r"[\d.]{7,}", "…", line) for line in shown]


def test_the_redrawing_snippet_names_what_exists():
    from paper_figures.contrastive import dcl

    block = _block("draw(results)")
    compile(block, "README.md", "exec")
    assert '"samples_to_target"' in block
    assert '"samples_to_target": _samples_to_target' in Path(dcl.__file__).read_text(encoding="utf-8")
    paper = discovery.load("contrastive/dcl")
    assert hasattr(paper.experiments["free_embeddings"].quick, "temperature")
    assert "C5a" in {claim.id for claim in paper.claims}


def test_the_table_of_papers_is_up_to_date():
    subprocess.run([sys.executable, "-m", "simulations", "readme", "--check"], cwd=discovery.ROOT, check=True)
