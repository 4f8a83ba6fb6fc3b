"""Shapes and types of theory and neural are checked in every test, by jaxtyping and beartype.

The hook rewrites modules as they are imported, so it has to be in place before the first test module is.
Where beartype is not installed (a bare GPU machine), tests run without it.
"""

import importlib.util
from collections.abc import Iterator

import jaxtyping
import pytest

if importlib.util.find_spec("beartype"):
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
