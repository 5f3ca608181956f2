"""docs/add-an-op.md is true: its lines, in one file, make an op that passes its tests and traces."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import torch, unmoor
x = torch.linspace(-2, 2, 9)
f = lambda x: torch.ops.aten.threshold_backward(x, x + 1, 0.7) + 1
torch.testing.assert_close(unmoor.trace(f, x)(x), f(x))
"""


def test_a_pointwise_op_is_at_most_15_lines_of_one_file(tmp_path: Path) -> None:
    document = (ROOT / "docs/add-an-op.md").read_text()
    (entry,) = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    assert len(entry.splitlines()) <= 15
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    family = tmp_path / "src/unmoor/ops/transcendental.py"
    text = family.read_text()
    assert text.endswith("]\n")
    family.write_text(text[: -len("]\n")] + entry + "]\n")

    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src")}
    options = [
        "-o",
        "pythonpath=tests",
        "-p",
        "no:cacheprovider",
        "-k",
        "threshold_backward",
        "--rootdir",
        str(ROOT),
    ]
    tests = [sys.executable, "-m", "pytest", "tests/differential/test_ops.py", *options]
    done = subprocess.run(tests, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "passed" in done.stdout, done.stdout + done.stderr
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
