"""The command line: what it prints, its exit codes, and errors on one screen without tracebacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import unmoor
from unmoor.cli.main import main

W = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def scores(x, bias):
    return {"score": torch.relu(x @ W.T + bias), "total": x.sum()}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    traced = unmoor.trace(scores, torch.ones(2, 3), torch.ones(2))
    path = tmp_path_factory.mktemp("cli") / "scores.unmoor"
    return str(path), unmoor.save(traced, path)


def test_info_names_signatures_targets_and_digest(saved, capsys) -> None:
    assert main(["info", saved[0]]) == 0
    out = capsys.readouterr().out
    for expected in (saved[1], "x86-64-v3, x86-64-v4", "(x: f32[s0, 3], bias: f32[2])", "not trusted"):
        assert expected in out


def test_run_takes_numbers_and_files_and_writes_files(saved, tmp_path: Path, capsys) -> None:
    path, digest = saved
    np.save(tmp_path / "x.npy", np.ones((1, 3), np.float32))
    for trust in ("no", "yes", digest):
        assert main(["run", path, str(tmp_path / "x.npy"), "--trust", trust, "0.5,1"]) == 0
        out = capsys.readouterr().out
        assert "output.score: f32[1, 2] = [[6.5, 16]]" in out and "output.total: f32[] = 3" in out
    assert main(["run", path, "bias=0.5,1", "x=[[1,1,1]]", "-o", str(tmp_path / "y.npz")]) == 0
    written = np.load(tmp_path / "y.npz")
    np.testing.assert_array_equal(written["output.score"], [[6.5, 16]])
    np.savez(tmp_path / "both.npz", bias=np.zeros(2, np.float32), x=np.ones((1, 3), np.float32))
    assert main(["run", path, str(tmp_path / "both.npz")]) == 0
    assert "[[6, 15]]" in capsys.readouterr().out


def test_graph_shows_every_level(saved, capsys) -> None:
    for words, expected in ([], "aten::matmul"), (["--kernels"], "kernel k0_"), (["--bytecode"], "program (x: f32"):
        assert main(["graph", saved[0], *words]) == 0
        assert expected in capsys.readouterr().out


def test_verify_says_what_it_checked(saved, capsys) -> None:
    for words, whose in ([], "made from the file's kernels"), (["--trust", "yes"], "the file's machine code"):
        assert main(["verify", saved[0], *words]) == 0
        out = capsys.readouterr().out
        assert (
            whose in out
            and "WRONG" not in out
            and out.count("ok ") == 6
            and "1 example gives what the file expects" in out
        )


def test_verify_finds_a_kernel_that_computes_something_else(saved, tmp_path: Path, capsys) -> None:
    from dataclasses import replace

    from unmoor import archive
    from unmoor.ir.parser import parse_kernel
    from unmoor.ir.printer import print_kernel

    image = archive.read(saved[0])
    texts = [print_kernel(k).replace("= max(", "= min(") for k in image.kernels]
    assert texts != [print_kernel(k) for k in image.kernels]
    wrong = replace(image, kernels=tuple(map(parse_kernel, texts)), code=())
    (tmp_path / "wrong.unmoor").write_bytes(archive.write(wrong))
    assert main(["verify", str(tmp_path / "wrong.unmoor")]) == 1
    assert "WRONG" in capsys.readouterr().out


def test_words_that_make_no_sense_show_the_usage(capsys) -> None:
    for words in ([], ["fly"], ["run"], ["run", "x", "--fly"]):
        with pytest.raises(SystemExit) as left:
            main(words)
        assert left.value.code == 2 and "usage: unmoor" in capsys.readouterr().err


def test_a_model_shows_what_it_is(saved) -> None:
    shown = repr(unmoor.load(saved[0], trust=True))
    assert saved[1] in shown and "engine  native" in shown and "(x: f32[s0, 3], bias: f32[2])" in shown


def test_bench_measures(saved, capsys) -> None:
    assert main(["bench", saved[0], "[[1,1,1]]", "1,1", "--seconds", "0.01"]) == 0
    assert "median" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["run", "{file}", "1,1,1"], 2, "the method takes 2 tensors (x, bias), 1 given"),
        (["run", "{file}", "[[1,1],[1]]", "1,1"], 2, "the rows of"),
        (["run", "{file}", "hello", "1,1"], 2, "neither a .npy or .npz file nor numbers"),
        (["run", "{file}", "[[1,1]]", "1,1"], 1, "wants 3"),
        (["run", "{file}", "[[1,1,1]]", "1,1", "--trust", "maybe"], 2, "--trust takes"),
        (["run", "{file}", "[[1,1,1]]", "1,1", "--trust", "sha256:" + "0" * 64], 1, "sha256:"),
        (["run", "{file}", "[[1,1,1]]", "1,1", "--method", "train"], 1, "no method train"),
        (["bench", "{file}"], 2, "signatures: (x: f32[s0, 3], bias: f32[2])"),
        (["info", "absent.unmoor"], 1, "absent.unmoor"),
        (["info", __file__], 1, "not an Unmoor file"),
    ],
)
def test_errors_fit_a_screen(saved, capsys, words, code, expected) -> None:
    assert main([w.format(file=saved[0]) for w in words]) == code
    shown = capsys.readouterr()
    assert expected in shown.err and "Traceback" not in shown.err
    assert len(shown.err.splitlines()) <= 24
