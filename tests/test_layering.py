"""Imports point down: the contracts of pyproject.toml hold, and only the runtime touches the extension module."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "unmoor"


def imported(path: Path) -> set[str]:
    """The modules that a file imports anywhere, in functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize(
    ("module", "owner"), [("torch", "capture"), ("llvmlite", "codegen"), ("unmoor.runtime._native", "runtime")]
)
def test_one_package_imports_it(module: str, owner: str) -> None:
    importers = {
        path.relative_to(SOURCE).parts[0]
        for path in SOURCE.rglob("*.py")
        if any(name == module or name.startswith(f"{module}.") for name in imported(path))
    }
    assert importers == {owner}


def test_loading_imports_neither_torch_nor_llvmlite_nor_the_compiler() -> None:
    program = (
        "import sys, unmoor; unmoor.load; "
        "bad = [m for m in sys.modules if m.startswith(('torch', 'llvmlite', 'unmoor.compiler'))]; "
        "print(*bad); sys.exit(bool(bad))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
