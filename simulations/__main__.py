"""``python -m simulations``: list papers, run their experiments, read their verdicts, record full results."""

from __future__ import annotations

import json
import os
import subprocess
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from simulations import discovery, judging, store
from simulations.engine import Failure, settings_of
from simulations.progress import Reporter
from simulations.report import show_failures, show_ledger, show_stop
from simulations.runs import simulate_and_judge
from simulations.settings import parse_assignments

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
out, log = Console(), Console(stderr=True)


class PresetName(StrEnum):
    quick = "quick"
    full = "full"
    tiny = "tiny"


class TextFormat(StrEnum):
    table = "table"
    json = "json"


class ListFormat(StrEnum):
    table = "table"
    json = "json"
    markdown = "markdown"


class BackendName(StrEnum):
    loky = "loky"
    dask = "dask"


Addresses = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ADDRESS]...", help="Papers such as contrastive/dcl; all if none is named."),
]
Preset = Annotated[PresetName, typer.Option(help="Size of the experiments.")]
Folder = Annotated[Path | None, typer.Option("--results", help="Folder that keeps results (default: build/results).")]


@app.command("list")
def list_papers(format: Annotated[ListFormat, typer.Option(help="How to print.")] = ListFormat.table) -> None:
    """List the papers, without importing them."""
    papers = [{"address": address, **discovery.describe(address)} for address in discovery.addresses()]
    if format is ListFormat.json:
        print(json.dumps(papers, indent=1, ensure_ascii=False))
    elif format is ListFormat.markdown:
        print(markdown_table(papers))
    else:
        table = Table("address", "title", "venue", "arXiv")
        for paper in papers:
            table.add_row(paper["address"], paper["title"], paper["venue"], paper["arxiv"])
        out.print(table)


@app.command("run")
def run_papers(
    wanted: Addresses = None,
    preset: Preset = PresetName.quick,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="experiment.setting=value; may be repeated.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Number of replicates instead of the experiments' own.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Replicates at once.")] = os.cpu_count() or 1,
    backend: Annotated[BackendName, typer.Option(help="loky on one machine, dask on a cluster.")] = BackendName.loky,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler (default: a local cluster).")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")] = "cpu",
    recompute: Annotated[bool, typer.Option(help="Compute also what is already there.")] = False,
    results: Folder = None,
) -> None:
    """Compute what is missing and print the verdicts."""
    folder = results or store.build_folder() / "results"
    reporter, rows, failures = Reporter(log), [], []
    try:
        addresses = discovery.resolve(wanted or [])
        changes = parse_assignments(assignments or [])
    except ValueError as error:
        raise _usage(error) from error
    for address in addresses:
        log.print(f"[bold]{address}")
        try:
            paper = discovery.load(address)
        except Exception:  # one paper that cannot be imported does not stop the others
            failures.append(Failure(address, traceback.format_exc()))
            continue
        try:
            settings_of(paper, preset.value, changes)
        except ValueError as error:
            raise _usage(error) from error
        try:
            (_, judged), failed = simulate_and_judge(
                paper,
                folder,
                preset.value,
                changes,
                jobs=jobs,
                replicates=seeds,
                device=device,
                backend=backend.value,
                scheduler=scheduler,
                recompute=recompute,
                on_plan=reporter.planned,
                on_done=reporter.finished,
            )
        except KeyboardInterrupt:
            reporter.close()
            log.print(f"Interrupted. Finished replicates are kept in {folder}; the same command computes the rest.")
            raise typer.Exit(130) from None
        except store.CannotKeep as error:
            reporter.close()
            show_stop(log, error)
            raise typer.Exit(1) from error
        except Exception:
            failures.append(Failure(address, traceback.format_exc()))
            continue
        finally:
            reporter.close()
        rows += judged
        failures += failed
    show_ledger(out, judging.ledger(row.as_json() for row in rows))
    failures += [Failure(f"{row.address} judge of {row.claim.id}", row.error) for row in rows if row.error]
    show_failures(log, failures)
    raise typer.Exit(1 if failures else 0)


@app.command("claims")
def show_claims(
    wanted: Addresses = None,
    preset: Preset = PresetName.quick,
    format: Annotated[TextFormat, typer.Option(help="How to print.")] = TextFormat.table,
    results: Folder = None,
) -> None:
    """Print every claim with the verdict of what is computed so far; computes nothing."""
    folder = results or store.build_folder() / "results"
    rows, failures = [], []
    try:
        addresses = discovery.resolve(wanted or [])
    except ValueError as error:
        raise _usage(error) from error
    for address in addresses:
        try:
            paper = discovery.load(address)
            rows += judging.judge(paper, preset.value, judging.evidence(paper, folder, preset.value))
        except Exception:
            failures.append(Failure(address, traceback.format_exc()))
    table = judging.ledger(row.as_json() for row in rows)
    if format is TextFormat.json:
        print(json.dumps(table, indent=1, ensure_ascii=False))
    else:
        show_ledger(out, table)
    failures += [Failure(f"{row.address} judge of {row.claim.id}", row.error) for row in rows if row.error]
    show_failures(log, failures)
    raise typer.Exit(1 if failures else 0)


@app.command("record")
def record_results(
    address: Annotated[str, typer.Argument(help="Paper whose full results are complete.")], results: Folder = None
) -> None:
    """Keep the full results of a paper with the source, marked with the present commit."""
    folder = results or store.build_folder() / "results"
    try:
        paper = discovery.load(discovery.resolve([address])[0])
    except ValueError as error:
        raise _usage(error) from error
    recorded = 0
    commit = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=discovery.ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    for name, each in judging.evidence(paper, folder, "full").items():
        experiment = paper.experiments[name]
        if experiment.full is None or each.origin != "computed":
            continue
        for k in range(each.replicates):
            key = store.Key(address, name, "full", k)
            stored = store.read(folder, key)
            assert stored is not None  # evidence has just read it
            store.write(
                store.recorded_folder(),
                key,
                store.Replicate(stored.table, stored.arrays),
                {**stored.record, "commit": commit},
            )
            recorded += 1
    if not recorded:
        log.print(
            f"{address} has no finished full results in {folder}; "
            f"compute them with: python -m simulations run {address} --preset full"
        )
        raise typer.Exit(1)
    log.print(f"recorded {recorded} replicates of {address} at commit {commit}")


@app.command("readme")
def update_readme(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 if the table is stale.")] = False,
) -> None:
    """Rewrite the README's table of papers from the simulations."""
    path = discovery.ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    papers = [{"address": address, **discovery.describe(address)} for address in discovery.addresses()]
    before, start, rest = text.partition("<!-- papers -->\n")
    _, end, after = rest.partition("\n<!-- /papers -->")
    fresh = f"{before}{start}{markdown_table(papers)}{end}{after}"
    if fresh == text:
        return
    if check:
        log.print("README.md: the table of papers is stale; run: make readme")
        raise typer.Exit(1)
    path.write_text(fresh, encoding="utf-8")


def markdown_table(papers: list[dict[str, str]]) -> str:
    """The README's table: one line per paper, with links to its rooms."""
    lines = ["| address | paper | rooms |", "| --- | --- | --- |"]
    for paper in papers:
        address = paper["address"]
        link = f"[{paper['title']}](https://arxiv.org/abs/{paper['arxiv']})" if paper["arxiv"] else paper["title"]
        rooms = [
            f"[{room}]({path})"
            for room, path in (
                ("theory", f"theory/{address}.py"),
                ("neural", f"neural/{address}.py"),
                ("simulation", f"simulations/{address}.py"),
                ("figures", f"paper_figures/{address}.py"),
                ("notebook", f"notebooks/{address}.ipynb"),
            )
            if (discovery.ROOT / path).is_file()
        ]
        lines.append(f"| `{address}` | {link} ({paper['venue']}) | {', '.join(rooms)} |")
    return "\n".join(lines)


def _usage(error: Exception) -> typer.Exit:
    log.print(str(error), style="red", highlight=False, markup=False)
    return typer.Exit(2)


if __name__ == "__main__":
    app()
