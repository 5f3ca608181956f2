"""State, seeds and modes on both command lines: what one call leaves the next one takes; seeds give equal numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.c_host import Host, um

import unmoor
from unmoor.cli.main import main


class Counting(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(2, 3))
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, x):
        self.seen += x
        self.calls += 1
        return self.seen * self.calls


class Noisy(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop = torch.nn.Dropout(0.5)

    def forward(self, x):
        return self.drop(x) + torch.rand(x.shape[0])


ONES = "[[1,1,1],[1,1,1]]"
TRUST = ("--trust", "yes")


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a command line in a folder: exit code and errors."""
    monkeypatch.chdir(tmp_path)

    def on(host, *words):
        if host == "um":
            code, _, errors = um(tmp_path, *words)
        else:
            code, errors = main(list(words)), capsys.readouterr().err
        return code, errors

    return on


@pytest.mark.parametrize("second", ["um", "unmoor"])
@pytest.mark.parametrize("first", ["um", "unmoor"])
def test_what_one_call_leaves_the_next_one_takes_on_any_host(first, second, run, tmp_path) -> None:
    unmoor.save(unmoor.trace(Counting().eval(), torch.ones(2, 3)), tmp_path / "f.unmoor")
    eager, x = Counting().eval(), torch.ones(2, 3)
    call = ("run", *TRUST, "f.unmoor", ONES)
    eager(x)
    assert run(first, *call, "--state-out", "s.npz", "-o", "y.npy") == (0, "")
    with np.load(tmp_path / "s.npz") as left:
        assert set(left) == {"seen", "calls"} and left["calls"] == 1 and left["calls"].dtype == np.int64
        np.testing.assert_array_equal(left["seen"], eager.seen)
    for _ in range(2):
        want = eager(x)
        assert run(second, *call, "--state", "s.npz", "--state-out", "s.npz", "-o", "y.npy") == (0, "")
        np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), want)


def test_equal_states_are_equal_files(run, tmp_path) -> None:
    unmoor.save(unmoor.trace(Counting().eval(), torch.ones(2, 3)), tmp_path / "f.unmoor")
    for name in ("a.npz", "b.npz"):
        assert run("um", "run", *TRUST, "f.unmoor", ONES, "--state-out", name) == (0, "")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_seed_gives_the_same_numbers_on_every_host_and_thread_count(run, tmp_path) -> None:
    traced = unmoor.trace(Noisy(), torch.ones(9000), modes=("eval", "train"))
    unmoor.save(traced, tmp_path / "f.unmoor")
    x = np.ones(9000, np.float32)
    np.save(tmp_path / "x.npy", x)
    model = unmoor.load(tmp_path / "f.unmoor", trust=True, threads=2).train()
    model.seed(7)
    want = model(x)
    assert set(np.unique(want >= 2)) == {False, True}  # some are dropped, and doubled where they are not
    for host in ("um", "unmoor"):
        for threads in ("1", "2"):
            words = (
                "run",
                *TRUST,
                "f.unmoor",
                "x.npy",
                "--method",
                "forward.train",
                "--seed",
                "7",
                "--threads",
                threads,
            )
            assert run(host, *words, "-o", "y.npy") == (0, "")
            np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), want)
        assert run(host, "run", *TRUST, "f.unmoor", "x.npy", "--method", "forward.train", "-o", "y.npy") == (0, "")
        unseeded = np.load(tmp_path / "y.npy")
        assert (unseeded != want).any()
        assert run(host, "run", *TRUST, "f.unmoor", "x.npy", "--method", "forward.eval", "-o", "y.npy") == (0, "")
        assert (np.load(tmp_path / "y.npy") < 2).all()  # nothing is dropped
    traced.train().seed(7)
    np.testing.assert_array_equal(traced(torch.from_numpy(x)), want)
    host = Host((tmp_path / "f.unmoor").read_bytes(), threads=2)
    host.seed(7)
    np.testing.assert_array_equal(host.run(x, method="forward.train")[0], want)
    host.close()


@pytest.mark.parametrize("host", ["um", "unmoor"])
def test_state_and_seeds_that_do_not_fit_are_refused_with_what_there_is(host, run, tmp_path) -> None:
    unmoor.save(unmoor.trace(Counting().eval(), torch.ones(2, 3)), tmp_path / "f.unmoor")
    unmoor.save(unmoor.trace(lambda x: x + 1, torch.ones(2)), tmp_path / "plain.unmoor")
    np.savez(tmp_path / "other.npz", other=np.zeros(3, np.float32))
    np.savez(tmp_path / "shape.npz", seen=np.zeros(3, np.float32))
    np.savez(tmp_path / "fortran.npz", seen=np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)))
    call, plain = ("run", *TRUST, "f.unmoor", ONES), ("run", *TRUST, "plain.unmoor", "1,1")
    for words, told in (
        ((*call, "--state", "other.npz"), "the model has no state other"),
        ((*call, "--state", "shape.npz"), "seen"),
        ((*call, "--state", "none.npz"), "none.npz"),
        ((*call, "--seed", "1"), "nothing to seed"),
        ((*plain, "--state", "other.npz"), "it keeps no state" if host == "unmoor" else "the model keeps no state"),
    ):
        code, errors = run(host, *words)
        assert code == 1 and told in errors and errors.startswith(f"{host} run: " if host == "unmoor" else "um: ")
    code, errors = run(host, *plain, "--state-out", "s.npz")
    assert code and "--state-out: the model keeps no state" in errors and not (tmp_path / "s.npz").exists()
    assert run(host, *call, "--state", "fortran.npz", "-o", "y.npy") == (0, "")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), np.arange(6).reshape(2, 3) + 1)


def test_a_mode_that_is_not_there_is_told_with_those_that_are(run, tmp_path) -> None:
    unmoor.save(unmoor.trace(Noisy(), torch.ones(3), modes=("eval", "train")), tmp_path / "f.unmoor")
    code, errors = run("um", "run", *TRUST, "f.unmoor", "1,1,1", "--method", "forward")
    assert (code, errors) == (1, 'um: the file has no method "forward"; it has forward.eval, forward.train\n')
