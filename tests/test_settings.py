"""Settings survive JSON, and overrides are checked against the defaults."""

from dataclasses import dataclass

import pytest

from simulations import settings


@dataclass(frozen=True)
class Example:
    steps: int = 3
    rate: float = 0.5
    sizes: tuple[int, ...] = (1, 2)
    rates: tuple[float, ...] = (0.1,)
    name: str = "a"
    flag: bool = False
    limit: float | None = None


def test_json_and_back():
    example = Example(steps=7, sizes=(4,), limit=2.0)
    assert settings.from_json(Example(), settings.as_json(example)) == example


def test_overrides_convert_what_is_meant_and_refuse_the_rest():
    changed = settings.override(Example(), {"rate": 1, "sizes": [3], "rates": (1, 2), "limit": 0.1})
    assert changed == Example(rate=1.0, sizes=(3,), rates=(1.0, 2.0), limit=0.1)
    assert isinstance(changed.rates[0], float)
    for name, value in (("steps", 0.5), ("steps", True), ("flag", 1), ("sizes", 3), ("sizes", (0.5,)), ("name", 3)):
        with pytest.raises(ValueError, match=name):
            settings.override(Example(), {name: value})
    with pytest.raises(ValueError, match="did you mean rate"):
        settings.override(Example(), {"rat": 1})


def test_assignments_are_parsed_as_python_or_as_text():
    parsed = settings.parse_assignments(["a.steps=5", "a.sizes=(1, 2)", "b.name=word", "b.flag=True"])
    assert parsed == {"a": {"steps": 5, "sizes": (1, 2)}, "b": {"name": "word", "flag": True}}
    for wrong in ("steps=5", "a.steps", "a.=5"):
        with pytest.raises(ValueError, match=r"experiment\.name=value"):
            settings.parse_assignments([wrong])


def test_fingerprint_depends_on_values_alone():
    assert settings.fingerprint(Example()) == settings.fingerprint(Example(sizes=(1, 2)))
    assert settings.fingerprint(Example()) != settings.fingerprint(Example(steps=4))
