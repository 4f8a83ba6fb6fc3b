"""A fingerprint of the source code that a simulation rests on.

A finished replicate may be reused as long as the code that made it is the same. *The code that made
it* is what ``simulate`` reaches by name: definitions in its own module and in the project modules
that these import, imports inside functions included. Docstrings, comments and layout do not count,
nor do the modules of the engine (those directly inside ``simulations``), the judges, the claims and the figures,
because ``simulate`` does not reach them.

The walk errs on the side of recomputing: statements that run at import (a call, a loop, an ``if``)
count for every module that is touched, a module used other than by attribute counts whole, and a
name that cannot be resolved makes its module count whole.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from pathlib import Path

__all__ = ["combined", "source_digests"]

_PACKAGES = ("theory", "neural", "simulations")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def source_digests(root: Path, module: str, names: Iterable[str]) -> dict[str, str]:
    """Digest of every definition that ``names`` of ``module`` reach, as ``{"module:name": digest}``.

    ``root`` is the folder that holds the packages. Raises ``ValueError`` if a name is not defined
    at top level of the module.
    """
    reached: dict[str, str] = {}
    pending = [(module, name) for name in names]
    start = _parse(root, module)
    if start is None:
        raise ValueError(f"module must be a project module below {root}, got {module!r}")
    for _, name in pending:
        if name not in start.definitions:
            raise ValueError(f"{name!r} is not defined at top level of {module}")
    touched: set[str] = set()
    while pending:
        where, name = pending.pop()
        parsed = _parse(root, where)
        if parsed is None or _is_engine(where):
            continue
        for package in accumulate(where.split("."), "{}.{}".format):
            imported = _parse(root, package)
            if imported is None or package in touched or _is_engine(package):
                continue
            touched.add(package)
            for number, node in enumerate(imported.effects):
                reached[f"{package}:<statement {number}>"] = _hash(_canonical(node))
                pending.extend(_references(root, imported, node))
        if name == "*" or (name not in parsed.definitions and name not in parsed.imports):
            # Unresolvable by name: the whole module counts.
            pending.extend((where, each) for each in parsed.definitions if f"{where}:{each}" not in reached)
            if name == "*":
                pending.extend(target for bound in parsed.imports.values() for target in _resolve(root, bound, ()))
            continue
        key = f"{where}:{name}"
        if key in reached:
            continue
        if name in parsed.imports:
            source, attribute = parsed.imports[name]
            reached[key] = _hash(f"{source}.{attribute}")
            if attribute is not None and _file(root, f"{source}.{attribute}") is None:
                pending.extend(_resolve(root, (source, attribute), ()))
            continue
        nodes = parsed.definitions[name]
        reached[key] = _hash("".join(map(_canonical, nodes)))
        for node in nodes:
            pending.extend(_references(root, parsed, node))
    return dict(sorted(reached.items()))


def combined(digests: dict[str, str]) -> str:
    """One digest for a whole map of digests."""
    return _hash(repr(sorted(digests.items())))


@dataclass(frozen=True)
class _Module:
    name: str
    is_package: bool
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    effects: list[ast.stmt] = field(default_factory=list)


def _is_engine(module: str) -> bool:
    return module == "simulations" or (module.startswith("simulations.") and module.count(".") == 1)


def _file(root: Path, module: str) -> Path | None:
    if module.split(".")[0] not in _PACKAGES:
        return None
    base = root.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _parse(root: Path, module: str) -> _Module | None:
    path = _file(root, module)
    return None if path is None else _parse_file(path, module, path.stat().st_mtime_ns)


@cache
def _parse_file(path: Path, module: str, _modified: int) -> _Module:
    parsed = _Module(module, path.name == "__init__.py")
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for index, node in enumerate(body):
        if isinstance(node, _DEFINITIONS):
            parsed.definitions.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for bound, target in _bindings(parsed, node):
                parsed.imports[bound] = target
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]
            plain = all(isinstance(t, ast.Name | ast.Tuple | ast.List) for t in targets)
            if plain:
                for name in names:
                    parsed.definitions.setdefault(name, []).append(node)
            else:
                parsed.effects.append(node)
        elif not (index == 0 and _is_docstring(node)) and not _is_type_checking(node):
            parsed.effects.append(node)
            for each in ast.walk(node):
                if isinstance(each, ast.Import | ast.ImportFrom):
                    for bound, target in _bindings(parsed, each):
                        parsed.imports.setdefault(bound, target)
                elif isinstance(each, _DEFINITIONS):
                    parsed.definitions.setdefault(each.name, []).append(node)
                elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
                    parsed.definitions.setdefault(each.id, []).append(node)
    return parsed


def _bindings(module: _Module, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """Each name that an import statement binds, with (module, attribute or None for the module itself)."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield (
                (alias.asname, (alias.name, None))
                if alias.asname
                else (alias.name.split(".")[0], (alias.name.split(".")[0], None))
            )
        return
    source = node.module or ""
    if node.level:
        package = module.name.split(".") if module.is_package else module.name.split(".")[:-1]
        source = ".".join([*package[: len(package) - node.level + 1], *([source] if source else [])])
    for alias in node.names:
        yield alias.asname or alias.name, (source, alias.name)


def _references(root: Path, module: _Module, node: ast.AST) -> list[tuple[str, str]]:
    """Project definitions, as (module, name), that the code below ``node`` names."""
    local: dict[str, tuple[str, str | None]] = {}
    for each in ast.walk(node):
        if isinstance(each, ast.Import | ast.ImportFrom):
            local.update(_bindings(module, each))
    found: list[tuple[str, str]] = []
    for bound in local.values():
        if bound[1] is not None:
            found.extend(_resolve(root, bound, ()))
    for head, *rest in _dotted_names(node):
        if head in local:
            found.extend(_resolve(root, local[head], tuple(rest)))
        elif head in module.imports:
            found.append((module.name, head))
            found.extend(_resolve(root, module.imports[head], tuple(rest)))
        elif head in module.definitions:
            found.append((module.name, head))
    return found


def _resolve(root: Path, bound: tuple[str, str | None], rest: tuple[str, ...]) -> list[tuple[str, str]]:
    source, attribute = bound
    for part in (*((attribute,) if attribute else ()), *rest):
        if _file(root, f"{source}.{part}") is None:
            return [(source, part)] if _file(root, source) else []
        source = f"{source}.{part}"
    # The name stands for a module: what is used of it is not known.
    return [(source, "*")] if _file(root, source) else []


def _dotted_names(node: ast.AST) -> set[tuple[str, ...]]:
    names: set[tuple[str, ...]] = set()

    def visit(each: ast.AST) -> None:
        parts: list[str] = []
        inner = each
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            names.add((inner.id, *reversed(parts)))
            return
        for child in ast.iter_child_nodes(inner):
            visit(child)

    visit(node)
    return names


def _canonical(node: ast.AST) -> str:
    """The tree as text, free of positions, docstrings and whatever is empty (so that Python versions agree)."""
    fields = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, _DEFINITIONS) and value and _is_docstring(value[0]):
            value = value[1:]
        constant = isinstance(node, ast.Constant) and name == "value"
        if not constant and (value in (None, [], ()) or name in ("type_comment", "kind")):
            continue
        fields.append(f"{name}={_text(value)}")
    return f"{type(node).__name__}({', '.join(fields)})"


def _text(value: object) -> str:
    if isinstance(value, ast.AST):
        return _canonical(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return repr(value)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
