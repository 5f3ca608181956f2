"""What calls change, from C: inputs, states and outputs are eager PyTorch's after every call; modes and seeds too."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tests.c_host import WRONG_ARGUMENT, WRONG_INPUT, Host, Refused
from torch import nn

import unmoor


class Counter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("last", torch.zeros(4))

    def forward(self, x):
        self.calls += 1
        self.last.copy_(x.sum(0))
        return x * self.calls + self.last


class Cache(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(8, 4))
        self.register_buffer("used", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        self.rows.index_copy_(0, (self.used % 8).view(1), x.mean(0, keepdim=True))
        self.used.add_(1)
        return self.rows.sum(0) + x


def batch_norm() -> nn.Module:
    return nn.Sequential(nn.BatchNorm1d(4, momentum=0.25)).train()


def saved(program, *arguments, **options) -> bytes:
    with torch.no_grad():
        return unmoor.trace(program, *copy.deepcopy(arguments), **options).to_bytes()


@pytest.mark.filterwarnings("ignore::unmoor.TrainingModeWarning")
@pytest.mark.parametrize("make", [Counter, Cache, batch_norm])
def test_state_in_c_is_eagers_after_every_call_is_read_set_and_reset(make) -> None:
    torch.manual_seed(0)
    eager = make()
    host = Host(saved(make(), torch.randn(3, 4)))
    names = host.state_names()
    first = {name: host.state(k) for k, name in enumerate(names)}
    assert set(names) == set(dict(eager.named_buffers()))

    def same() -> None:
        buffers = dict(eager.named_buffers())
        for k, name in enumerate(names):
            np.testing.assert_allclose(host.state(k), buffers[name].numpy(), rtol=1e-5, atol=1e-6)

    def call(rows: int) -> None:
        x = torch.randn(rows, 4)
        with torch.no_grad():
            want = eager(x.clone())
        np.testing.assert_allclose(host.run(x.numpy())[0], want.numpy(), rtol=1e-5, atol=1e-5)
        same()

    for rows in (3, 5, 3, 2, 7, 3):
        call(rows)
    with pytest.raises(Refused) as refused:
        host.run(np.ones((3, 5), np.float32))
    assert refused.value.status == WRONG_INPUT
    same()  # a call that fails changes nothing
    for k, name in enumerate(names):
        value = np.full_like(first[name], 3)
        host.set_state(k, value)
        dict(eager.named_buffers())[name].copy_(torch.from_numpy(value))
    for rows in (3, 4):
        call(rows)
    host.reset_state()
    for k, name in enumerate(names):
        np.testing.assert_array_equal(host.state(k), first[name])
    with pytest.raises(Refused) as refused:
        host.set_state(0, np.zeros((9, 9), np.float32))
    assert refused.value.status in (WRONG_ARGUMENT, WRONG_INPUT)
    assert names[0] in refused.value.message
    host.close()


def writes(x, y):
    x[0] += y[1]
    x.mul_(2)
    return x.sum(), y + 1


def writes_a_view(x, y):
    row = x[1]
    row.fill_(5)
    return x, row + y[0]


def hands_back(x, y):
    return x, x.view(-1), y[0]


def hands_back_what_it_wrote(x, y):
    x.add_(y)
    return x, x[0]


@pytest.mark.parametrize("program", [writes, writes_a_view, hands_back, hands_back_what_it_wrote])
def test_inputs_that_a_call_changes_or_gives_back_are_eagers_in_c(program) -> None:
    torch.manual_seed(1)
    host = Host(saved(program, torch.randn(2, 3), torch.randn(2, 3)))
    for shape in ((2, 3), (4, 3), (2, 3)):
        x, y = torch.randn(shape), torch.randn(shape)
        ours = [x.clone().numpy(), y.clone().numpy()]
        want = program(x, y)
        got = host.run(*ours, outputs=len(want))
        for a, b in zip([*got, *ours], [*want, x, y], strict=True):
            np.testing.assert_allclose(a, b.numpy(), rtol=1e-6, atol=1e-6)
    host.close()


def test_the_same_tensor_given_twice() -> None:
    torch.manual_seed(2)
    host = Host(saved(lambda x, y: x * y + x, torch.randn(3), torch.randn(3)))
    x = np.arange(3, dtype=np.float32)
    assert host.run(x, x)[0].tolist() == [0, 2, 6]
    host.close()
    host = Host(saved(hands_back_what_it_wrote, torch.randn(2, 3), torch.randn(2, 3)))
    x = np.ones((2, 3), np.float32)
    with pytest.raises(Refused) as refused:
        host.run(x, x, outputs=2)
    assert refused.value.status in (WRONG_ARGUMENT, WRONG_INPUT) and "overlap" in refused.value.message
    assert (x == 1).all()
    host.close()


def test_modes_and_seeds_give_the_same_numbers_on_every_host_and_thread_count() -> None:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(64, 64), nn.Dropout(0.5), nn.BatchNorm1d(64)).eval()
    x = torch.randn(512, 64)
    with torch.no_grad():
        traced = unmoor.trace(net, x, modes=("eval", "train"))
    data = traced.to_bytes()
    hosts = [Host(data), Host(data, threads=2)]
    models = [traced, unmoor.load(data, trust=True), unmoor.load(data, trust=True, threads=2)]
    with torch.no_grad():
        for mode, seed in (("train", 7), ("eval", None), ("train", None), ("train", 7), ("train", 8)):
            results = []
            for model in models:
                if seed is not None:
                    model.seed(seed)
                results.append(np.asarray((model.train() if mode == "train" else model.eval())(x)))
            for host in hosts:
                if seed is not None:
                    host.seed(seed)
                results.append(host.run(x.numpy(), method=f"forward.{mode}")[0])
            for result in results[1:]:
                np.testing.assert_array_equal(result, results[0])
    names = hosts[0].state_names()
    for k, name in enumerate(names):
        for host in hosts:
            np.testing.assert_array_equal(host.state(k), models[0].state()[name])
    for host in hosts:
        host.close()
