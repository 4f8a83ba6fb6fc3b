"""Wrong programs that look like right ones: mutants of small functions, run safely in this process.

A program's syntax tree is spoilt at random places by mutation operators: a comparison, an arithmetic or a logical
operator exchanged, a constant off by one, a condition negated, a branch dropped, a statement deleted, min for max. A
model of error rate m spoils every place independently with probability m; how many tests the result passes in a row,
visible ones first, says whether it would be accepted by them and whether it is correct.

    program = MutableProgram(SMALL_PROGRAMS[0])
    program.passed(program.draw(rng, rate=0.05))         # tests passed before the first failure

Nothing foreign runs: trees come from ``small_programs``, whose nodes, names and attributes are checked against a short
list; there are no imports, no files and no builtins but a dozen pure ones. Loops count steps, arithmetic and sequences
have a largest size, so that every candidate ends, the same way each time.

"Correct" means: passes the complete suite. A mutant that is equivalent, or that the complete suite cannot tell from the
original, counts as correct.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulations.learning.small_programs import SmallProgram

__all__ = ["MutableProgram", "Mutation", "StepsExhausted"]

Mutation = tuple[tuple[int, int], ...]
"""The places that are spoilt and how: pairs (site, alternative) in rising order; empty is the original."""

_LARGEST_NUMBER = 10**9
_LONGEST_SEQUENCE = 10_000
_BUILTINS = (abs, chr, int, len, max, min, ord, range, reversed, sorted, tuple)
_ATTRIBUTES = frozenset({"isalnum", "lower"})
_NODES = (
    ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Assign, ast.AugAssign, ast.Return, ast.If, ast.For,
    ast.While, ast.Expr, ast.Compare, ast.BinOp, ast.BoolOp, ast.UnaryOp, ast.IfExp, ast.Call, ast.Name, ast.Constant,
    ast.Tuple, ast.Dict, ast.Subscript, ast.Slice, ast.Starred, ast.Attribute, ast.expr_context, ast.operator,
    ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip
_OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//", ast.Mod: "%"}
_COMPUTE: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
}  # fmt: skip
_OTHER_OPERATORS = {"+": ("-",), "-": ("+",), "*": ("+", "//"), "//": ("%", "*"), "%": ("//",)}
_OTHER_COMPARISONS: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq, ast.LtE, ast.GtE), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip


class StepsExhausted(Exception):
    """A candidate ran for too long, or made something too large."""


class MutableProgram:
    """A small program with its tests, and the places at which it can be spoilt.

    ``visible``, ``edges`` and ``tests`` are numbers of tests: the visible ones come first, the hidden edge cases next.
    Raises ``ValueError`` for a program that uses anything outside the safe part of the language.
    """

    def __init__(self, program: SmallProgram) -> None:
        self.name = program.name
        hidden = program.hidden()
        self.inputs = (*program.visible, *hidden)
        self.visible, self.edges, self.tests = len(program.visible), len(program.edges), len(self.inputs)
        self.expected = tuple(program.function(*arguments) for arguments in self.inputs)
        tree = ast.parse(textwrap.dedent(inspect.getsource(program.function)))
        _check(tree)
        self._tree = ast.fix_missing_locations(_Metered().visit(tree))
        self._sites = [edits for node in ast.walk(self._tree) if (edits := list(_alternatives(node)))]
        self._meter = _Meter()
        self._known: dict[Mutation, int] = {}
        self._steps = _LONGEST_SEQUENCE
        longest = max(self._steps_of_original(arguments) for arguments in self.inputs)
        self._steps = 10 * longest + 50

    @property
    def sites(self) -> int:
        """Places at which a mutation operator applies."""
        return len(self._sites)

    def single_mutations(self) -> Iterator[Mutation]:
        """Every program that differs from the original in one place."""
        for site, edits in enumerate(self._sites):
            for alternative in range(len(edits)):
                yield ((site, alternative),)

    def draw(self, rng: np.random.Generator, rate: float) -> Mutation:
        """Spoil each place with probability ``rate``, in a way chosen uniformly."""
        spoilt = np.flatnonzero(rng.random(self.sites) < rate)
        ways = rng.random(len(spoilt))
        return tuple((int(site), int(way * len(self._sites[site]))) for site, way in zip(spoilt, ways, strict=True))

    def passed(self, mutation: Mutation) -> int:
        """How many tests, in their order, the spoilt program passes before it fails one."""
        if mutation not in self._known:
            self._known[mutation] = self._run(mutation)
        return self._known[mutation]

    def source(self, mutation: Mutation) -> str:
        """The spoilt program as text, with the counting of steps and the checked arithmetic in sight."""
        with _Applied([self._sites[site][alternative] for site, alternative in mutation]):
            return ast.unparse(ast.fix_missing_locations(self._tree))

    def _run(self, mutation: Mutation) -> int:
        function = self._compiled(mutation)
        for number, (arguments, expected) in enumerate(zip(self.inputs, self.expected, strict=True)):
            self._meter.left = self._steps
            try:
                answer = function(*arguments)
            except Exception:
                return number
            if not _same(answer, expected):
                return number
        return self.tests

    def _compiled(self, mutation: Mutation) -> Callable[..., Any]:
        with _Applied([self._sites[site][alternative] for site, alternative in mutation]):
            code = compile(self._tree, f"<mutant of {self.name}>", "exec")
        namespace = self._meter.namespace()
        exec(code, namespace)
        return namespace[self.name]

    def _steps_of_original(self, arguments: tuple) -> int:
        self._meter.left = self._steps
        self._compiled(())(*arguments)
        return self._steps - self._meter.left


class _Meter:
    """What a candidate can reach: pure builtins, a count of steps, arithmetic with a largest result."""

    def __init__(self) -> None:
        self.left = 0

    def tick(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise StepsExhausted

    def namespace(self) -> dict[str, Any]:
        names: dict[str, Any] = {each.__name__: each for each in _BUILTINS}
        return {"__builtins__": {**names, "range": _bounded_range}, "_tick": self.tick, "_binary": _binary}


def _binary(operator: str, a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int):
        result = _COMPUTE[operator](a, b)
        if abs(result) > _LARGEST_NUMBER:
            raise StepsExhausted
        return result
    if operator != "+" or not (isinstance(a, str | tuple) and isinstance(b, str | tuple)):
        raise TypeError(f"{operator} does not take these")
    if len(a) + len(b) > _LONGEST_SEQUENCE:
        raise StepsExhausted
    return _COMPUTE[operator](a, b)


def _bounded_range(*arguments: int) -> range:
    made = range(*arguments)
    if len(made) > _LONGEST_SEQUENCE:
        raise StepsExhausted
    return made


def _same(answer: Any, expected: Any) -> bool:
    """Equal in value and in kind: 1 is not True, and a list is not a tuple."""
    if type(answer) is not type(expected):
        return False
    if isinstance(expected, tuple):
        return len(answer) == len(expected) and all(map(_same, answer, expected))
    return bool(answer == expected)


def _check(tree: ast.Module) -> None:
    known = {each.__name__ for each in _BUILTINS}
    assigned = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    assigned |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    for node in ast.walk(tree):
        if not isinstance(node, _NODES):
            raise ValueError(f"a program must not use {type(node).__name__}")
        if isinstance(node, ast.Name) and node.id not in known | assigned:
            raise ValueError(f"a program must not use the name {node.id!r}")
        if isinstance(node, ast.Attribute) and node.attr not in _ATTRIBUTES:
            raise ValueError(f"a program must not use the attribute {node.attr!r}")
        if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) not in _OPERATORS:
            raise ValueError(f"a program must not use the operator {type(node.op).__name__}")


class _Metered(ast.NodeTransformer):
    """Loops and calls count a step; arithmetic goes through ``_binary``; docstrings and annotations are not there."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._counted(node)

    def visit_For(self, node: ast.For) -> ast.AST:
        return self._counted(node)

    def visit_While(self, node: ast.While) -> ast.AST:
        return self._counted(node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        return _checked_operation(node.op, node.left, node.right)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.target, ast.Name):
            raise ValueError("a program must only update plain names in place")
        before = ast.Name(node.target.id, ast.Load())
        return ast.Assign([node.target], _checked_operation(node.op, before, node.value))

    def _counted(self, node: Any) -> ast.AST:
        self.generic_visit(node)
        node.body.insert(0, ast.Expr(ast.Call(ast.Name("_tick", ast.Load()), [], [])))
        return node


def _checked_operation(operator: ast.operator, left: ast.expr, right: ast.expr) -> ast.Call:
    return ast.Call(ast.Name("_binary", ast.Load()), [ast.Constant(_OPERATORS[type(operator)]), left, right], [])


@dataclass(frozen=True)
class _Edit:
    """Another value for a field of a node, or for one entry of a list that is one."""

    node: Any
    field: str
    value: Any
    index: int | None = None

    def exchange(self, value: Any) -> Any:
        """Put ``value`` there and return what was."""
        if self.index is None:
            before = getattr(self.node, self.field)
            setattr(self.node, self.field, value)
        else:
            entries = getattr(self.node, self.field)
            before, entries[self.index] = entries[self.index], value
        return before


class _Applied:
    """Edits of a tree that are undone at the end, in reverse."""

    def __init__(self, edits: list[_Edit]) -> None:
        self._edits = edits
        self._before: list[Any] = []

    def __enter__(self) -> None:
        self._before = [edit.exchange(edit.value) for edit in self._edits]

    def __exit__(self, *_: object) -> None:
        for edit, before in zip(reversed(self._edits), reversed(self._before), strict=True):
            edit.exchange(before)


def _alternatives(node: ast.AST) -> Iterator[_Edit]:
    """Every way in which this node can be spoilt. Wrappers keep the node inside, so that edits of its parts remain."""
    if isinstance(node, ast.Compare):
        for other in _OTHER_COMPARISONS[type(node.ops[0])]:
            yield _Edit(node, "ops", other(), 0)
    elif isinstance(node, ast.BoolOp):
        yield _Edit(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield _Edit(node, "value", not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield _Edit(node, "value", node.value + 1)
        yield _Edit(node, "value", node.value - 1)
    elif isinstance(node, ast.Constant) and node.value in _OTHER_OPERATORS:
        for other in _OTHER_OPERATORS[str(node.value)]:
            yield _Edit(node, "value", other)
    elif isinstance(node, ast.Name) and node.id in ("min", "max"):
        yield _Edit(node, "id", "max" if node.id == "min" else "min")
    elif isinstance(node, ast.IfExp):
        yield _Edit(node, "test", _located(ast.UnaryOp(ast.Not(), node.test)))
    elif isinstance(node, ast.If):
        yield _Edit(node, "test", _located(ast.UnaryOp(ast.Not(), node.test)))
        yield _Edit(node, "body", [_located(ast.Pass())])
        if node.orelse:
            yield _Edit(node, "orelse", [])
    for field in ("body", "orelse"):
        statements = getattr(node, field, None)
        if isinstance(statements, list):
            for index, statement in enumerate(statements):
                if isinstance(statement, ast.Assign | ast.Return):
                    yield _Edit(node, field, _located(ast.Pass()), index)


def _located(node: Any) -> Any:
    """Position in the source, which compiling needs and nobody looks at."""
    node.lineno = node.end_lineno = 1
    node.col_offset = node.end_col_offset = 0
    return node
