"""``python -m paper_figures``: figures, verdicts and the gallery, computing what is missing."""

from __future__ import annotations

import importlib
import os
import time
import traceback
from pathlib import Path
from typing import Annotated

import typer
from matplotlib import pyplot
from rich.console import Console

from paper_figures.gallery import add_paper, relative, write_page
from paper_figures.style import house_style
from simulations import discovery, judging, store
from simulations.__main__ import Addresses, Folder, Preset, PresetName
from simulations.engine import Failure
from simulations.progress import Reporter
from simulations.report import show_failures, show_ledger, show_stop
from simulations.runs import simulate_and_judge

app = typer.Typer(help=__doc__, add_completion=False, pretty_exceptions_enable=False)
out, log = Console(), Console(stderr=True)


@app.command()
def draw_papers(
    wanted: Addresses = None,
    preset: Preset = PresetName.quick,
    jobs: Annotated[int, typer.Option(min=1, help="Replicates at once.")] = os.cpu_count() or 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")] = "cpu",
    results: Folder = None,
    gallery: Annotated[Path | None, typer.Option(help="Folder of the gallery (default: build/gallery).")] = None,
) -> None:
    """Draw every paper, or those named, and rewrite the gallery after each."""
    folder = results or store.build_folder() / "results"
    place = gallery or store.build_folder() / "gallery"
    reporter, rows, failures = Reporter(log), [], []
    try:
        addresses = discovery.resolve(wanted or [])
    except discovery.UnknownAddress as error:
        log.print(str(error), style="red", highlight=False, markup=False)
        raise typer.Exit(2) from error
    for number, address in enumerate(addresses, start=1):
        log.print(f"[bold]{address}[/] ({number} of {len(addresses)})", highlight=False)
        start = time.monotonic()
        try:
            paper = discovery.load(address)
            (found, judged), failed = simulate_and_judge(
                paper, folder, preset.value, {}, jobs=jobs, device=device,
                on_plan=reporter.planned, on_done=reporter.finished,
            )  # fmt: skip
            rows += judged
            failures += failed
            missing = [name for name in paper.experiments if name not in found]
            if missing and not failed:
                changed = f"the source of {', '.join(missing)} changed while it was computed; run the command again"
                failures.append(Failure(address, changed))
            if not missing:
                module = importlib.import_module(f"paper_figures.{address.replace('/', '.')}")
                with house_style():
                    figures = module.draw(judging.results(found, judged))
                    pictures = add_paper(
                        place, paper, figures, module.CAPTION, [*judged, *_recorded_full(paper, preset.value)]
                    )
                    pyplot.close("all")
                for picture in pictures:
                    log.print(f"  {relative(picture)}", highlight=False)
        except KeyboardInterrupt:
            log.print("Interrupted. Finished replicates are kept; the same command goes on from here.")
            raise typer.Exit(130) from None
        except store.CannotKeep as error:
            reporter.close()
            show_stop(log, error)
            raise typer.Exit(1) from error
        except Exception:  # a paper that cannot be drawn does not stop the others
            failures.append(Failure(address, traceback.format_exc()))
        finally:
            reporter.close()
        try:
            page = write_page(place)
        except OSError as error:
            show_stop(log, store.CannotKeep(place, error))
            raise typer.Exit(1) from error
        log.print(f"  {time.monotonic() - start:.0f} s; {relative(page)} is up to date", highlight=False)
    show_ledger(out, judging.ledger(row.as_json() for row in rows))
    failures += [Failure(f"{row.address} judge of {row.claim.id}", row.error) for row in rows if row.error]
    show_failures(log, failures)
    if addresses:
        out.print(f"\nGallery: {(place / 'index.html').resolve().as_uri()}", soft_wrap=True, highlight=False)
    raise typer.Exit(1 if failures else 0)


def _recorded_full(paper: discovery.LoadedPaper, preset: str) -> list[judging.LedgerRow]:
    """Verdicts of full results that are already there, to stand beside the quick ones."""
    if preset == "full":
        return []
    found = judging.evidence(paper, store.build_folder() / "results", "full")
    own = {name: e for name, e in found.items() if paper.experiments[name].full is not None}
    return [row for row in judging.judge(paper, "full", own) if row.verdict is not None]


if __name__ == "__main__":
    app()
