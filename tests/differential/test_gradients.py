"""Programs that compute gradients: training steps go on as eager PyTorch's, call after call, on every host."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.c_host import Host
from torch import nn

import unmoor
from unmoor.errors import Unsupported

CLOSE = dict(rtol=1e-4, atol=1e-5)


def training(optimiser, loss=F.cross_entropy, make=None):
    """A module, its optimiser and a training step, the same for each call."""
    torch.manual_seed(0)
    net = make() if make else nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3))
    kept = optimiser(net.parameters())

    def step(x, y):
        kept.zero_grad()
        value = loss(net(x), y)
        value.backward()
        kept.step()
        return value.detach()

    return net, kept, step


def batch(rows, classes=3):
    generator = torch.Generator().manual_seed(rows)
    return torch.randn(rows, 3, generator=generator), torch.randint(classes, (rows,), generator=generator)


OPTIMISERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1),
    "SGD with decay": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.1, maximize=True),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.05),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.05),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.05),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05),
    "Adadelta": lambda p: torch.optim.Adadelta(p),
    "Adamax": lambda p: torch.optim.Adamax(p),
}
SIZES = (6, 6, 5, 9, 6, 2, 7, 6, 12, 6)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_ten_steps_are_eagers_traced_loaded_and_from_c(name):
    _, _, step = training(OPTIMISERS[name])
    eager_net, eager_optimiser, eager = training(OPTIMISERS[name])
    traced = unmoor.trace(step, *batch(6))
    data = traced.to_bytes()
    loaded, host = unmoor.load(data, trust=True), Host(data)
    for rows in SIZES:
        x, y = batch(rows)
        want = float(eager(x, y))
        got = [traced(x, y), loaded(x, y), host.run(x.numpy(), y.numpy())[0]]
        np.testing.assert_allclose([float(g) for g in got], want, **CLOSE)
        in_c = {name: host.state(k) for k, name in enumerate(host.state_names())}
        for where in (traced.state(), loaded.state(), in_c):
            for key, parameter in eager_net.named_parameters():
                np.testing.assert_allclose(where[f"net.{key}"], parameter.detach().numpy(), **CLOSE)
    if name == "Adam":
        average = eager_optimiser.state[eager_net[0].weight]["exp_avg"]
        np.testing.assert_allclose(traced.state()["Adam.exp_avg.net.0.weight"], average.numpy(), **CLOSE)
    traced.reset_state()
    torch.testing.assert_close(traced(*batch(6)), training(OPTIMISERS[name])[2](*batch(6)))


@pytest.mark.parametrize("name", [n for n in OPTIMISERS if n not in ("SGD", "Adam")])
def test_optimisers_go_on_as_eager(name):
    _, _, step = training(OPTIMISERS[name])
    net, _, eager = training(OPTIMISERS[name])
    traced = unmoor.trace(step, *batch(6))
    for rows in SIZES[:5]:
        torch.testing.assert_close(traced(*batch(rows)), eager(*batch(rows)), **CLOSE)
    for key, parameter in net.named_parameters():
        np.testing.assert_allclose(traced.state()[f"net.{key}"], parameter.detach().numpy(), **CLOSE)


def test_a_trace_leaves_parameters_optimiser_gradients_and_random_numbers_as_they_were():
    net, optimiser, step = training(OPTIMISERS["Adam"])
    net[0].bias.grad = torch.ones(4)
    before, random = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    unmoor.trace(step, *batch(6))
    assert all(torch.equal(a, b) for a, b in zip(before.values(), net.state_dict().values(), strict=True))
    assert not optimiser.state and optimiser.param_groups[0]["lr"] == 0.05
    assert net[0].weight.grad is None and torch.equal(net[0].bias.grad, torch.ones(4))
    assert torch.equal(random, torch.get_rng_state())
    step(*batch(6))  # eager training goes on
    assert optimiser.state[net[0].weight]["step"] == 1
    kept = copy.deepcopy(optimiser.state_dict())
    unmoor.trace(step, *batch(6))
    torch.testing.assert_close(optimiser.state_dict()["state"], kept["state"])


def with_momentum(parameters):
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


def test_momentum_is_made_by_the_first_step_which_goes_before_the_trace():
    _, _, step = training(with_momentum)
    with pytest.raises(Unsupported, match=r"the first step of SGD makes momentum_buffer.*Run one step before"):
        unmoor.trace(step, *batch(6))
    _, _, eager = training(with_momentum)
    step(*batch(6))
    eager(*batch(6))
    traced = unmoor.trace(step, *batch(6))
    for rows in SIZES:
        torch.testing.assert_close(traced(*batch(rows)), eager(*batch(rows)), **CLOSE)


def test_gradients_add_up_where_nothing_clears_them():
    def make():
        net, _, _ = training(OPTIMISERS["SGD"])

        def step(x, y):
            F.cross_entropy(net(x), y).backward()
            return net[0].weight.grad.clone()

        return step

    eager, traced = make(), unmoor.trace(make(), *batch(6))
    for rows in SIZES[:4]:
        torch.testing.assert_close(traced(*batch(rows)), eager(*batch(rows)), **CLOSE)


def test_gradients_that_are_cleared_after_the_step_or_set_to_zero():
    def make(to_none, first):
        net, optimiser, _ = training(OPTIMISERS["SGD"])

        def step(x, y):
            if first:
                optimiser.zero_grad(set_to_none=to_none)
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimiser.step()
            if not first:
                optimiser.zero_grad(set_to_none=to_none)
            return loss.detach()

        return step

    for way in ((True, False), (False, True), (False, False)):
        eager, traced = make(*way), unmoor.trace(make(*way), *batch(6))
        for rows in SIZES[:4]:
            torch.testing.assert_close(traced(*batch(rows)), eager(*batch(rows)), **CLOSE)


def test_clipping_by_hand_written_descent_with_detach_and_data():
    def make():
        torch.manual_seed(0)
        w, b = torch.randn(3, 3, requires_grad=True), torch.zeros(3, requires_grad=True)

        def step(x, y):
            loss = F.cross_entropy(x @ w + b, y) + 0.1 * (w.detach() * w).sum()
            gw, gb = torch.autograd.grad(loss, [w, b])
            with torch.no_grad():
                w.sub_(0.1 * gw / gw.norm().clamp(min=1.0))
            b.data -= 0.1 * gb
            return loss.detach(), gw

        return step

    eager, traced = make(), unmoor.trace(make(), *batch(6))
    for rows in SIZES[:4]:
        torch.testing.assert_close(traced(*batch(rows)), eager(*batch(rows)), **CLOSE)


def test_clipped_gradients():
    def make():
        net, optimiser, _ = training(OPTIMISERS["Adam"])

        def step(x, y):
            optimiser.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            optimiser.step()
            return loss.detach(), norm

        return step

    eager, traced = make(), unmoor.trace(make(), *batch(6))
    for rows in SIZES[:4]:
        torch.testing.assert_close(traced(*batch(rows)), eager(*batch(rows)), **CLOSE)


def test_gradients_by_inputs_and_gradients_of_gradients():
    def by_input(x):
        x = x.detach().requires_grad_()
        return torch.autograd.grad((x**3).sum(), x)[0]

    def penalty(x):
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(torch.tanh(x).square().sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(slope.norm(dim=1).sum(), x)
        return slope.detach(), second

    def given(x):
        (slope,) = torch.autograd.grad(x.sin(), x, grad_outputs=torch.ones_like(x) * 2)
        return slope

    for program, needs in ((by_input, False), (penalty, False), (given, True)):
        traced = unmoor.trace(program, torch.randn(2, 3, requires_grad=needs))
        for shape in ((2, 3), (5, 4)):
            x = torch.randn(shape)
            torch.testing.assert_close(traced(x), program(x.clone().requires_grad_(needs)), **CLOSE)


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 3


def test_what_no_gradient_is_known_of_is_refused_with_the_line():
    w = torch.ones(3, requires_grad=True)

    def own(x):
        return torch.autograd.grad(Doubled.apply(x * w).sum(), w)[0]

    def branch(x):
        made = torch.cond(x.sum() > 0, lambda v: v * w, lambda v: v - w, (x,))
        return torch.autograd.grad(made.sum(), w)[0]

    def hooked(x):
        y = x * w
        y.register_hook(lambda g: g * 2)
        return torch.autograd.grad(y.sum(), w)[0]

    def unknown(x):
        return torch.autograd.grad(torch.linalg.det(torch.outer(x, w)), w)[0]

    for program, what in (
        (own, "function of the program's own"),
        (branch, "gradients through torch.cond"),
        (hooked, "hook on a gradient"),
        (unknown, r"the gradient of prim::lu \(.*test_gradients.py:\d+\) is not supported"),
    ):
        with pytest.raises(Unsupported, match=what) as refused:
            unmoor.trace(program, torch.rand(3))
        assert "test_gradients.py:" in str(refused.value)


def test_schedules_and_counts_in_python_are_refused():
    net, optimiser, _ = training(OPTIMISERS["SGD"])
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 1)

    class Trainer:
        calls = 0

        def step(self, x, y):
            self.calls += 1
            loss = F.cross_entropy(net(x), y) / self.calls
            (gradient,) = torch.autograd.grad(loss, [net[0].weight])
            return gradient

    def scheduled(x, y):
        optimiser.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimiser.step()
        schedule.step()
        return loss.detach()

    with pytest.raises(Unsupported, match=r"param_groups\[0\]\['lr'\] of SGD.*lr=torch.tensor"):
        unmoor.trace(scheduled, *batch(6))
    with pytest.raises(Unsupported, match="call of what was traced"):
        unmoor.trace(Trainer().step, *batch(6))


def test_a_rate_in_a_tensor_may_change():
    def make():
        rate = torch.tensor(0.1)
        _, _, step = training(lambda p: torch.optim.SGD(p, lr=rate))

        def decayed(x, y):
            loss = step(x, y)
            rate.mul_(0.5)
            return loss

        return decayed

    eager, traced = make(), unmoor.trace(make(), *batch(6))
    for rows in SIZES[:4]:
        torch.testing.assert_close(traced(*batch(rows)), eager(*batch(rows)), **CLOSE)


def test_leaves_that_are_equal_are_two_and_constants_keep_their_gradients():
    a, b = (torch.ones(3, requires_grad=True) for _ in range(2))

    def program(x):
        c, d = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
        return torch.autograd.grad((x * a + 2 * b * a + (c + 3 * d) * x).sum(), [a, b, c, d])

    traced = unmoor.trace(program, torch.rand(3))
    x = torch.rand(3)
    torch.testing.assert_close(traced(x), program(x))
