"""Arguments and results: nested structures, names, frozen arguments, and the world as it was before."""

from __future__ import annotations

import collections
import copy
import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from unmoor.capture import flatten_call, is_module, needs_grad, rebuild, record
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.recording import Froze
from unmoor.ir.signature import Leaf, Mapping, Sequence
from unmoor.ir.structure import parse_structure, print_structure
from unmoor.runtime.structures import flatten as flatten_again
from unmoor.runtime.structures import rebuild as loaded


@dataclass
class Batch:
    ids: torch.Tensor
    scale: float = 1.0


Pair = collections.namedtuple("Pair", "left right")


def test_structures_round_trip():
    a, b, c = torch.ones(1), torch.ones(2), np.ones(3)
    value = (Batch(a, 2.0), [Pair(b, None), {"k": (c, "s", True)}])
    structure, tensors = flatten_call(value, {"x": a})
    assert [id(t) for t in tensors] == [id(a), id(b), id(c), id(a)]
    args, kwargs = rebuild(structure, tensors)
    assert kwargs == {"x": a} and args[0] == value[0] and args[1][0] == Pair(b, None) and type(args[1][0]) is Pair
    assert args[1][1]["k"][1:] == ("s", True)
    assert structure.items[0].items[0] == Mapping(("ids", "scale"), (Leaf(0), 2.0), f"{__name__}.Batch")


def test_a_class_that_is_not_known_becomes_a_dict():
    assert rebuild(Mapping(("a",), (Leaf(0),), "elsewhere.Thing"), [1]) == {"a": 1}
    assert rebuild(Sequence("list", (Leaf(1), None)), [1, 2]) == [2, None]


def test_inputs_have_the_users_names(replay):
    def f(x, batch, *rest, flag=True, **more):
        out = x + batch.ids * batch.scale
        for r in rest:
            out = out + r["t"]
        return Pair(out, [more["y"], flag])

    args = (torch.ones(2), Batch(torch.ones(2), 3.0), {"t": torch.ones(2)}, {"t": torch.ones(2)})
    r = replay(f, *args, y=torch.zeros(1))
    assert [v.name for v in r.recording.graph.inputs] == ["x", "batch.ids", "rest.0.t", "rest.1.t", "y"]
    assert [e.name for e in r.recording.example] == ["x", "batch.ids", "rest.0.t", "rest.1.t", "y"]
    assert r.recording.parameters == ("x", "batch")
    frozen = [a.text for a in r.recording.assumptions if a.froze is Froze.ARGUMENT]
    assert frozen == ["the argument batch.scale is 3.0 in every call"]
    r.agrees(*args, y=torch.randn(1))


def test_one_tensor_as_two_arguments_is_two_inputs(replay):
    x = torch.ones(2)
    r = replay(lambda a, b: a - b * 2 + x, x, x)
    assert [c.origin for c in r.recording.graph.constants] == ["tensor x"]
    r.agrees(torch.randn(2), torch.randn(2))


def test_results_may_be_inputs_constants_and_numbers(replay):
    w = torch.arange(3.0)

    def f(x):
        return {"x": x, "w": w, "n": x.shape[0] + 1, "k": [None, "a", 2]}

    replay(f, torch.ones(2)).agrees(torch.ones(5))


def test_max_along_a_dim_keeps_its_names(replay):
    def f(x):
        m = x.max(-1)
        return m, m.values + 1, m.indices

    r = replay(f, torch.randn(3, 4))
    r.agrees(torch.randn(2, 5))
    assert type(r(torch.randn(2, 5))[0]) is torch.return_types.max


def test_arguments_that_no_file_can_keep_are_refused():
    with pytest.raises(Unsupported, match=r"the arguments\[0\]\[1\] holds a builtins.object"):
        record(lambda x, o: x, (torch.ones(1), object()))
    with pytest.raises(Unsupported, match="complex64"):
        record(lambda x: x, (torch.ones(1, dtype=torch.complex64),))
    with pytest.raises(Unsupported, match="NumPy array"):
        record(lambda x: x, (np.ones(1),))
    with pytest.raises(Unsupported, match="keys that are neither strings nor integers"):
        record(lambda x: x, ({1.5: torch.ones(1)},))
    with pytest.raises(Unsupported, match="holds itself"):
        record(lambda x: x, (Looped(),))
    with pytest.raises(Unsupported, match=r"the result.cache holds a .*generator.*use_cache=False"):
        record(lambda x: {"cache": (i for i in range(3)), "x": x}, (torch.ones(1),))


class Looped:
    def __init__(self) -> None:
        self.me = self


class Cache:
    """An object of parts: layers, of which each is one, too."""

    def __init__(self, *layers: torch.Tensor) -> None:
        self.layers = [Layer(t) for t in layers]
        self.kinds = {k: Layer for k in range(len(layers))}


class Layer:
    def __init__(self, keys: torch.Tensor) -> None:
        self.keys, self.dtype, self.device, self.count = keys, keys.dtype, keys.device, 1


def test_objects_are_their_parts():
    a, b = torch.ones(1), torch.ones(2)
    structure, tensors = flatten_call((Cache(a, b),), {})
    assert [id(t) for t in tensors] == [id(a), id(b)]
    (again,), _ = rebuild(structure, tensors)
    assert type(again) is Cache and type(again.layers[1]) is Layer and again.layers[1].keys is b
    assert again.kinds == {0: Layer, 1: Layer} and again.layers[0].dtype is torch.float32
    assert parse_structure(print_structure(structure)) == structure
    assert loaded(structure, tuple(tensors))[0][0]["kinds"][1] == {"name": f"{__name__}.Layer"}
    assert flatten_again(structure, (Cache(a, b),), {}, ("cache",)) == [a, b]
    with pytest.raises(SignatureError, match=r"cache.layers\[0\].dtype.name was 'torch.float32'"):
        flatten_again(structure, (Cache(a.double(), b),), {}, ("cache",))


def test_objects_as_arguments_and_results(replay):
    def f(x, cache):
        cache = copy.deepcopy(cache)
        cache.layers[0].keys = torch.cat([cache.layers[0].keys, x])
        return cache, {1: x * 2, 2: cache.layers[0].keys.sum()}

    r = replay(f, torch.ones(2), Cache(torch.ones(3), torch.ones(1)))
    cache, sums = r(torch.ones(4), Cache(torch.ones(5), torch.ones(1)))
    assert type(cache) is Cache and cache.layers[0].keys.shape == (9,) and sums[2] == 9


@pytest.mark.parametrize("change", ["d['y'] = d['x']", "d['x'] = d['x'] + 1", "d['l'].append(d['x'])", "d['n'] = 2"])
def test_a_call_that_changes_what_it_was_given_is_refused(change):
    code = compile(change, "user.py", "exec")
    given = {"x": torch.ones(2), "l": [torch.ones(1)], "n": 1}
    with pytest.raises(Unsupported, match=r"changes the argument d, a dict.*copy.deepcopy\(d\)"):
        record(lambda d: exec(code, {"d": d}) or d["x"], (given,))
    assert list(given) == ["x", "l", "n"] and len(given["l"]) == 1 and given["n"] == 1


class Stateful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(2, 2)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        self.cache = self.l(x)
        random.random()
        np.random.rand()
        torch.manual_seed(1)
        return self.cache * 2


def test_the_world_is_as_it_was():
    m = Stateful()
    x = torch.ones(2, requires_grad=True)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tobytes()
    fast = torch.backends.mha.get_fastpath_enabled()
    recording = record(m, (x,))
    assert (m.calls, hasattr(m, "cache"), x.grad_fn, x.requires_grad) == (0, False, None, True)
    assert torch.equal(torch.get_rng_state(), before[0]) and random.getstate() == before[1]
    assert np.random.get_state()[1].tobytes() == before[2]
    assert torch.backends.mha.get_fastpath_enabled() == fast
    kinds = {a.froze: a.text for a in recording.assumptions}
    assert "attribute ca" in kinds[Froze.STATE] and Froze.RANDOM in kinds
    assert [a.froze for a in recording.assumptions] == sorted(
        (a.froze for a in recording.assumptions), key=list(Froze).index
    )
    m(x).sum().backward()
    assert x.grad is not None


def test_the_world_is_as_it_was_after_an_error():
    m = Stateful()
    m.l.register_forward_hook(lambda *a: (_ for _ in ()).throw(ValueError("user's own")))
    with pytest.raises(ValueError, match="user's own"):
        record(m, (torch.ones(2),))
    assert m.calls == 0
    assert torch.ones(3)[0].item() == 1.0


def test_tied_weights_are_one_constant(replay):
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
            self.b.weight = self.a.weight
            self.register_buffer("shift", torch.ones(3))
            self.plain = torch.ones(3)

        def forward(self, x):
            return self.b(self.a(x)) + self.shift + self.plain

    r = replay(Tied(), torch.ones(3))
    assert [c.origin for c in r.recording.graph.constants] == ["parameter a.weight", "buffer shift", "tensor plain"]
    r.agrees(torch.randn(2, 3))


def test_constants_are_snapshots():
    w = torch.ones(2)
    recording = record(lambda x: x * w, (torch.ones(2),))
    w.zero_()
    (constant,) = recording.graph.constants
    assert constant.data.tolist() == [1.0, 1.0] and not constant.data.flags.writeable
    assert any(a.froze is Froze.OUTSIDE and "tensor w" in a.text for a in recording.assumptions)


def test_small_questions():
    assert is_module(nn.Linear(1, 1)) and not is_module(len)
    x = torch.ones(1, requires_grad=True)
    assert needs_grad([torch.ones(1), x]) and not needs_grad([torch.ones(1), np.ones(1)])
    with torch.no_grad():
        assert not needs_grad([x])
