"""Builds the native runtime and the extension module, and puts both into src/unmoor for work on a checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "develop"


def main() -> None:
    runtime = ROOT / "src/unmoor/runtime"
    configure = ["cmake", "-S", str(ROOT / "bindings"), "-B", str(BUILD), "-DCMAKE_BUILD_TYPE=Release"]
    configure += [f"-DPython_EXECUTABLE={sys.executable}", f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={runtime}"]
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", str(BUILD), "--parallel", "2", "--target", "_native"], check=True)


if __name__ == "__main__":
    main()
