"""The documents are true: their programs run, their links lead somewhere, and the tour shows what happens today."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import unmoor

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "src/unmoor/native"
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def snippets(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / name).read_text("utf-8"), re.DOTALL | re.MULTILINE)


def run(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PATH": f"{NATIVE / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(source: str, folder: Path) -> str:
    """The C program, compiled with warnings as errors."""
    (folder / "program.c").write_text(source)
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{NATIVE / 'include'}", f"-L{NATIVE / 'lib'}"]
    run(["cc", "program.c", "-o", "program", *flags, "-lunmoor", f"-Wl,-rpath,{NATIVE / 'lib'}"], folder)
    return str(folder / "program")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", document.read_text("utf-8")):
        assert (document.parent / target).exists(), target


def test_the_readme(tmp_path: Path) -> None:
    first, *examples = snippets("README.md", "python")
    for program in (first, *examples):
        (tmp_path / "program.py").write_text(program)
        run([sys.executable, "program.py"], tmp_path)
    (tmp_path / "first.py").write_text(first + "\nprint(digest)\n")
    digest = run([sys.executable, "first.py"], tmp_path).split()[-1]
    (command,) = [line for s in snippets("README.md", "sh") for line in s.splitlines() if line.startswith("um ")]
    assert "[" in run(["sh", "-c", command.partition("#")[0].replace("sha256:9f...", digest)], tmp_path)
    for source in snippets("README.md", "c"):
        assert run([build(source, tmp_path), "net.unmoor", digest], tmp_path)


def test_the_refusal_that_the_readme_shows(tmp_path: Path) -> None:
    (shown,) = re.findall(r"^(?:unmoor\.errors\.)?NotTraced: (\S+ .*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    file, line = re.match(r"(\S+?):(\d+) ", shown).groups()
    condition = re.search(r"`(.*?)`", shown).group(1)
    padding = "\n" * (int(line) - 2)
    (tmp_path / file).write_text(f"{padding}def f(x):\n    if {condition}:\n        return x + 1\n    return x - 1\n")
    program = f"import torch, unmoor, {file[:-3]} as m\nt = unmoor.trace(m.f, torch.ones(2))\nt(-torch.ones(2))\n"
    (tmp_path / "run.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert shown in done.stderr


def test_the_way_from_torchscript(tmp_path: Path) -> None:
    (program,) = snippets("docs/torchscript.md", "python")
    (shown,) = snippets("docs/torchscript.md", "text")
    (tmp_path / "program.py").write_text(program)
    *refusal, digest = run([sys.executable, "program.py"], tmp_path).strip().split("\n")
    assert shown.splitlines() == [*refusal, "sha256:9f..."]
    (command,) = snippets("docs/torchscript.md", "sh")
    assert run(["sh", "-c", command.replace("sha256:9f...", digest)], tmp_path)
    (source,) = snippets("README.md", "c")
    assert run([build(source, tmp_path), "gate.unmoor", digest], tmp_path)


def test_the_c_api_program(tmp_path: Path) -> None:
    net = torch.nn.Linear(3, 1)
    digest = unmoor.save(unmoor.trace(net, torch.ones(2, 3)), tmp_path / "net.unmoor")
    (source,) = snippets("docs/c-api.md", "c")
    out = run([build(source, tmp_path), "net.unmoor", digest], tmp_path)
    with torch.no_grad():
        want = net(torch.tensor([[1.0, 1, 1], [0, 0, 0]]))[:, 0]
    torch.testing.assert_close(torch.tensor(list(map(float, out.split()))), want, atol=1e-5, rtol=1e-4)


def test_the_c_api_page_names_everything_in_the_header() -> None:
    header = (ROOT / "native/include/unmoor.h").read_text()
    page = (ROOT / "docs/c-api.md").read_text()
    names = set(re.findall(r"\b(um_\w+|UM_[A-Z]\w+)\b", header)) - {"UM_API"}
    internal = {"UM_VERSION_MAJOR", "UM_VERSION_MINOR", "UM_ERROR_LENGTH", "um_trust", "um_weights_in", "um_dtype"}
    assert sorted(n for n in names - internal if not re.search(rf"\b{n}\b", page)) == []


def test_the_tour_is_fresh() -> None:
    program = "import sys; sys.path.insert(0, '.'); from tools.tour import document; print(document(), end='')"
    made = run([sys.executable, "-c", program], ROOT)
    without_assembly = re.compile(r"```asm\n.*?```", re.DOTALL)  # LLVM's choice of registers is not ours to promise
    kept = (ROOT / "docs/tour.md").read_text("utf-8")
    assert without_assembly.sub("", made) == without_assembly.sub("", kept), "run `python tools/tour.py`"
    assert "vfm" in without_assembly.search(made)[0]


def test_programs_have_the_commands_that_the_documents_name() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        for target in re.findall(r"^make ([a-z]+)", document.read_text("utf-8"), re.MULTILINE):
            assert target in targets, (document, target)
