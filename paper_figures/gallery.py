"""The gallery: one static page with every paper's figures, claims and verdicts.

Each paper leaves its figures and a small JSON description in its folder; the page is made from
whatever descriptions are there, so it can be rewritten after every paper.

    <folder>/index.html, ledger.json
    <folder>/<subject>/<paper>/<figure>.png, <figure>.pdf, paper.json
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from simulations.discovery import ROOT, LoadedPaper
from simulations.judging import LedgerRow, chance_line, ledger
from simulations.report import number
from simulations.store import write_atomically

__all__ = ["add_paper", "write_page"]


def add_paper(
    folder: Path, paper: LoadedPaper, figures: dict[str, Figure], caption: str, rows: list[LedgerRow]
) -> list[Path]:
    """Save a paper's figures as PNG and PDF beside its description; returns the PNG files."""
    place = folder / paper.address
    place.mkdir(parents=True, exist_ok=True)
    pictures = [place / f"{name}.png" for name in figures]
    for picture, figure in zip(pictures, figures.values(), strict=True):
        write_atomically(picture, _drawn(figure, "png"))
        write_atomically(picture.with_suffix(".pdf"), _drawn(figure, "pdf"))
    description = {
        "address": paper.address,
        "subject": paper.address.split("/")[0],
        "title": paper.paper.title,
        "authors": paper.paper.authors,
        "venue": paper.paper.venue,
        "arxiv": paper.paper.arxiv,
        "story": paper.story.split("\n\n"),
        "figures": [
            {"name": name.replace("_", " "), "png": f"{paper.address}/{name}.png", "pdf": f"{paper.address}/{name}.pdf"}
            for name in figures
        ],
        "caption": caption,
        "deviations": list(paper.deviations),
        "imports": import_lines(paper.address),
        "redraw": f"python -m paper_figures {paper.address}",
        "claims": [row.as_json() for row in rows],
    }
    text = json.dumps(description, indent=1, ensure_ascii=False) + "\n"
    write_atomically(place / "paper.json", text.encode())
    for old in [*place.glob("*.png"), *place.glob("*.pdf")]:
        if old.with_suffix(".png") not in pictures:
            old.unlink()
    return pictures


def write_page(folder: Path) -> Path:
    """Write ``index.html`` and ``ledger.json`` from every paper's description in the folder."""
    papers = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/*/paper.json"))]
    claims = ledger(claim for paper in papers for claim in paper["claims"])
    for paper in papers:
        paper["claims"] = [claim for claim in claims if claim["address"] == paper["address"]]
        paper["counts"] = {
            outcome: sum(_quick(claim) and claim["verdict"] == outcome for claim in paper["claims"])
            for outcome in ("supported", "refuted", "inconclusive")
        }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["number"] = number
    environment.filters["marked"] = _marked
    page = environment.get_template("gallery.html.j2").render(
        papers=papers, subjects=sorted({p["subject"] for p in papers}), chance=chance_line(claims)
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "ledger.json", json.dumps(claims, indent=1, ensure_ascii=False).encode())
    write_atomically(folder / "index.html", page.encode())
    return folder / "index.html"


def _drawn(figure: Figure, format: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=format, metadata={"CreationDate": None} if format == "pdf" else None)
    return buffer.getvalue()


def import_lines(address: str) -> list[str]:
    """How to import what the paper offers, read from ``__all__`` of its theory and neural modules."""
    lines = []
    for room in ("neural", "theory"):
        path = ROOT / room / f"{address}.py"
        names = _public_names(path) if path.is_file() else []
        if names:
            lines.append(f"from {room}.{address.replace('/', '.')} import {', '.join(names)}")
    return lines


def _public_names(path: Path) -> list[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return ast.literal_eval(node.value)
    return []


def _quick(claim: dict[str, Any]) -> bool:
    return claim["preset"] == "quick"


def _marked(text: str) -> Markup:
    """Prose of a docstring with its ``code`` and *emphasis* as HTML."""
    escaped = str(escape(text))
    escaped = re.sub(r"``(.+?)``", r"<code>\1</code>", escaped)
    return Markup(re.sub(r"(?<!\w)\*(\w[^*]*?)\*(?!\w)", r"<em>\1</em>", escaped))


def relative(path: Path) -> str:
    """A path as the person at this terminal would type it."""
    return os.path.relpath(path)
