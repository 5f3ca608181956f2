"""Whether a text that the program makes is only shown to people: printed, logged, or told where an error is raised.

A text cannot be followed. Where it decides nothing, the number in it may be any other; elsewhere, as in
`len(str(n))` or a key of a dict, the number is what it was.
"""

from __future__ import annotations

import ast
import linecache
import re
from functools import lru_cache
from types import FrameType

from unmoor.capture.source import asking_frame, current, instructions, user_frame

# names of what takes texts for people, in snake case
_SHOWS = re.compile(
    r"(^|_)(print|pprint|log|debug|info|warn|warning|error|critical|exception|write|check|verify|assert|record|message|msg)"
    r"($|_)"
)
_MAKES_TEXT = ("str", "repr", "format", "join", "map", "list", "tuple", "ascii")
_PARTS = (
    ast.JoinedStr,
    ast.FormattedValue,
    ast.BinOp,
    ast.Tuple,
    ast.List,
    ast.Starred,
    ast.GeneratorExp,
    ast.ListComp,
)
_DEEPEST = 3  # names that a text may be given on its way


def only_shown() -> bool:
    """Whether the text that is asked for now goes only to people, in one of the frames up to the user's own."""
    frame, last = asking_frame(), user_frame()
    while frame is not None:
        if _shows(frame):
            return True
        if frame is last:
            return False
        frame = frame.f_back
    return False


def _shows(frame: FrameType) -> bool:
    at = current(frame)
    position = instructions(frame.f_code)[at].positions if at >= 0 else None
    tree = _parsed(frame.f_code.co_filename)
    if tree is None or position is None or position.lineno is None or position.end_lineno is None:
        return False
    begin = (position.lineno, position.col_offset or 0)
    end = (position.end_lineno, position.end_col_offset or 0)
    path = _around(tree, begin, end)
    return bool(path) and _goes_to_people(path, 0)


@lru_cache(maxsize=32)
def _parsed(filename: str) -> ast.Module | None:
    try:
        return ast.parse("".join(linecache.getlines(filename)))
    except (SyntaxError, ValueError, RecursionError):
        return None


def _around(tree: ast.AST, begin: tuple[int, int], end: tuple[int, int]) -> list[ast.AST]:
    """The nodes around a span of the source, the innermost last."""
    path = [tree]
    while True:
        inner = next((c for c in ast.iter_child_nodes(path[-1]) if _holds(c, begin, end)), None)
        if inner is None:
            return path
        path.append(inner)


def _holds(node: ast.AST, begin: tuple[int, int], end: tuple[int, int]) -> bool:
    if not hasattr(node, "lineno"):
        return (
            any(_holds(c, begin, end) for c in ast.iter_child_nodes(node))
            if isinstance(node, ast.comprehension)
            else False
        )
    assert isinstance(node, (ast.stmt, ast.expr, ast.excepthandler, ast.keyword, ast.arg))
    if node.end_lineno is None or node.end_col_offset is None:
        return False
    return (node.lineno, node.col_offset) <= begin and end <= (node.end_lineno, node.end_col_offset)


def _goes_to_people(path: list[ast.AST], depth: int) -> bool:
    """Whether the last node of a path, a text or what makes one, is only shown."""
    for k in range(len(path) - 1, 0, -1):
        node, around = path[k], path[k - 1]
        if isinstance(node, ast.Call) and _SHOWS.search(_name(node.func)):
            return True
        if isinstance(around, (ast.Raise, ast.Expr)):
            return True
        if isinstance(around, ast.Assert):
            return node is around.msg
        if isinstance(around, ast.keyword):
            return bool(_SHOWS.search(around.arg or ""))
        if isinstance(around, ast.Assign) and len(around.targets) == 1 and isinstance(around.targets[0], ast.Name):
            return depth < _DEEPEST and _name_goes_to_people(path[: k - 1], around.targets[0].id, depth)
        if isinstance(around, ast.Call):
            raised = k > 1 and isinstance(path[k - 2], ast.Raise)
            if not raised and not _SHOWS.search(_name(around.func)) and _name(around.func) not in _MAKES_TEXT:
                return False
        elif not isinstance(around, (*_PARTS, ast.Attribute, ast.comprehension)):
            return False
    return False


def _name(function: ast.expr) -> str:
    name = (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _name_goes_to_people(path: list[ast.AST], name: str, depth: int) -> bool:
    """Whether whatever reads a local variable only shows it."""
    scope = next((n for n in reversed(path) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))), None)
    if scope is None:
        return False
    for node in ast.walk(scope):
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load):
            assert node.end_lineno is not None and node.end_col_offset is not None
            around = _around(scope, (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset))
            if not _goes_to_people(around, depth + 1):
                return False
    return True
