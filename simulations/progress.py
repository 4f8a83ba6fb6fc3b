"""Progress on the terminal: what is computed and why, how far it is, how much time is left."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from simulations.engine import Plan, Task

__all__ = ["Reporter"]

_SECONDS_BETWEEN_LINES = 15.0


class Reporter:
    """Reports one paper at a time; on a terminal with a bar, in a log with a line now and then."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar: Progress | None = None
        self._total = self._done = 0
        self._started = self._spoken = 0.0

    def planned(self, tasks: list[Task]) -> None:
        """Say what will be computed and why."""
        for line in Plan(tasks).reasons():
            self.console.print(f"  {line}", highlight=False, markup=False)
        self._total, self._done = len(tasks), 0
        self._started = self._spoken = time.monotonic()
        if tasks and self.console.is_terminal:
            self._bar = Progress(
                TextColumn("  {task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            self._bar.add_task("replicates", total=len(tasks))
            self._bar.start()

    def finished(self, task: Task, seconds: float) -> None:
        """Count one finished replicate."""
        self._done += 1
        now = time.monotonic()
        if self._bar:
            self._bar.advance(self._bar.task_ids[0])
        elif now - self._spoken > _SECONDS_BETWEEN_LINES:
            self._spoken = now
            left = (now - self._started) / self._done * (self._total - self._done)
            self.console.print(f"  {self._done} of {self._total} replicates, about {left:.0f} s left", highlight=False)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar:
            self._bar.stop()
            self._bar = None
