"""Measurements for cost claims: time by alternation, memory as the peak of a fresh process.

Shared machines drift, so two sides are timed in turn, A B A B …, and compared pair by pair.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from simulations.discovery import ROOT

__all__ = ["alternating_seconds", "peak_bytes"]


def alternating_seconds(sides: Mapping[str, Callable[[], object]], *, rounds: int, warmup: int = 1) -> pd.DataFrame:
    """Seconds of each side in each round, the sides taking turns: columns ``round, side, seconds``."""
    for _ in range(warmup):
        for call in sides.values():
            call()
    rows = []
    for number in range(rounds):
        for name, call in sides.items():
            start = time.perf_counter()
            call()
            rows.append({"round": number, "side": name, "seconds": time.perf_counter() - start})
    return pd.DataFrame(rows)


def peak_bytes(module: str, function: str, arguments: Mapping[str, Any], device: str = "cpu") -> int:
    """Memory that one call adds at its peak.

    On CPU the growth of a fresh process's resident peak, on CUDA the growth of the allocator's.

    ``module.function(**arguments)`` returns a callable that has everything it needs in place; only
    calling that is measured. ``arguments`` are JSON data.
    """
    request = json.dumps([module, function, dict(arguments), device])
    finished = subprocess.run(
        [sys.executable, "-m", "simulations.costs", request], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if finished.returncode:
        raise RuntimeError(f"measuring {module}.{function} failed:\n{finished.stderr}")
    return int(finished.stdout.strip().splitlines()[-1])


def _growth(module: str, function: str, arguments: Mapping[str, Any], device: str) -> int:
    call = getattr(importlib.import_module(module), function)(**arguments)
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.max_memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    # The peak so far is that of importing; it must not hide the call's.
    _reset_peak()
    before = _resident_peak()
    call()
    return _resident_peak() - before


def _resident_peak() -> int:
    status = Path("/proc/self/status")
    if status.is_file():
        # getrusage would report the parent's peak where that was higher: it survives fork and exec.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _reset_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    from simulations.engine import single_thread

    with single_thread():
        print(_growth(*json.loads(sys.argv[1])))
