"""The cache of trained models never changes a result."""

from dataclasses import dataclass

import pytest
import torch

from simulations import trained as module

pytest.importorskip("safetensors")
CALLS: list[int] = []


@dataclass(frozen=True)
class Setting:
    size: int = 3


def fit(settings: Setting, seed: int, device: str) -> dict[str, torch.Tensor]:
    CALLS.append(seed)
    return {"w": torch.randn(settings.size, 2, generator=torch.Generator().manual_seed(seed)).T}


@pytest.fixture
def cached(monkeypatch, tmp_path):
    CALLS.clear()
    monkeypatch.setattr(module, "source_digests", lambda root, name, names: {"fit": "1"})
    return lambda settings=Setting(), seed=0: module.trained(fit, settings, seed, "cpu", folder=tmp_path)


def test_a_model_is_trained_once_per_settings_and_seed(cached):
    first, second = cached(), cached()
    assert torch.equal(first["w"], second["w"])
    cached(seed=1)
    cached(Setting(4))
    assert CALLS == [0, 1, 0]


def test_deleting_or_damaging_the_cache_gives_the_same_model(cached, tmp_path):
    first = cached()
    for damage in (lambda p: p.unlink(), lambda p: p.write_bytes(p.read_bytes()[:-3]), lambda p: p.write_bytes(b"x")):
        for path in tmp_path.rglob("*.safetensors"):
            damage(path)
        assert torch.equal(cached()["w"], first["w"])
    assert len(CALLS) == 4


def test_a_changed_training_function_is_trained_anew(cached, monkeypatch):
    cached()
    monkeypatch.setattr(module, "source_digests", lambda root, name, names: {"fit": "2"})
    cached()
    assert CALLS == [0, 0]
