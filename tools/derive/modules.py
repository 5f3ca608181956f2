"""The module lists of docs/architecture.md: each module with the first sentence of its docstring."""

from __future__ import annotations

import ast
import re
from pathlib import Path

MARK = re.compile(r"(<!-- modules: (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def fill(document: str, root: Path) -> str:
    """The document with the list between each pair of marks made anew."""
    return MARK.sub(lambda m: m[1] + _list(root / m[2]) + m[4], document)


def _list(folder: Path) -> str:
    paths = sorted(p for p in folder.rglob("*.py") if p.name != "__init__.py") if folder.is_dir() else [folder]
    rows = ["| Module | Its one job |", "|---|---|"]
    rows += [f"| `{p.relative_to(folder.parent)}` | {_sentence(p)} |" for p in paths]
    return "\n".join(rows) + "\n"


def _sentence(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    assert text, f"{path} has no docstring"
    return text.split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
