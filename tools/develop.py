"""Builds the native runtime and the extension module into src/unmoor, as the wheel has them, for work on a checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "develop"


def main() -> None:
    configure = ["cmake", "-S", str(ROOT), "-B", str(BUILD), "-DSKBUILD=ON", "-DCMAKE_BUILD_TYPE=Release"]
    steps = (
        [*configure, f"-DPython_EXECUTABLE={sys.executable}", f"-DCMAKE_INSTALL_PREFIX={ROOT / 'src'}"],
        ["cmake", "--build", str(BUILD), "--parallel", "2"],
        ["cmake", "--install", str(BUILD), "--strip"],
    )
    for step in steps:
        subprocess.run(step, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
