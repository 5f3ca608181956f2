"""Writes every derived file: `python tools/generate.py` writes them, `--check` fails where one is stale."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from tools.derive import builtins, bytecode, cpp, format_tables, modules, ops  # noqa: E402


def derived() -> dict[Path, str]:
    """The wanted content of each derived file."""
    generated = ROOT / "native/src/generated"
    architecture = ROOT / "docs/architecture.md"
    format_document = ROOT / "docs/format.md"
    return {
        generated / "layout.inc": cpp.layout_include(),
        generated / "codes.inc": cpp.codes_include(),
        ROOT / "docs/bytecode.md": bytecode.document(),
        ROOT / "docs/builtins.md": builtins.document(),
        ROOT / "docs/ops.md": ops.document(),
        architecture: modules.fill(architecture.read_text("utf-8"), ROOT / "src/unmoor"),
        format_document: format_tables.fill(format_document.read_text("utf-8")),
    }


def stale() -> list[Path]:
    """The derived files that differ from what their tables say."""
    return [p for p, text in derived().items() if not p.is_file() or p.read_text("utf-8") != text]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is stale")
    check = parser.parse_args().check
    differing = stale()
    for path in differing:
        print(f"{'stale' if check else 'wrote'}: {path.relative_to(ROOT)}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(derived()[path], "utf-8")
    return 1 if check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
