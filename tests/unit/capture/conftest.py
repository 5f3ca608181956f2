"""What the capture tests share: record a call, replay its graph with the reference, compare with eager PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from unmoor.capture import flatten_call, rebuild, record
from unmoor.errors import NotTraced
from unmoor.ir.recording import Recording
from unmoor.reference import run_graph


class Replay:
    """A recording that is called like the function it was made from."""

    def __init__(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.fn = fn
        self.recording: Recording = record(fn, args, kwargs)

    @property
    def ops(self) -> list[str]:
        return [node.op for node in self.recording.graph.nodes]

    @property
    def guards(self) -> list[str]:
        """The first line of what each guard says."""
        return [str(node.args[2]).split("\n")[0] for node in self.recording.graph.nodes if node.op.endswith("guard")]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        structure, tensors = flatten_call(args, kwargs)
        assert structure == self.recording.arguments
        outputs = run_graph(self.recording.graph, [t.detach().numpy() for t in tensors])
        wrapped = [torch.from_numpy(np.array(o)) if isinstance(o, np.ndarray) else o for o in outputs]
        return rebuild(self.recording.result, wrapped)

    def agrees(self, *args: Any, **kwargs: Any) -> None:
        """The replay gives what eager PyTorch gives: structure, dtypes, shapes, values."""
        with torch.no_grad():
            want, got = self.fn(*args, **kwargs), self(*args, **kwargs)
        want_structure, want_tensors = flatten_call((want,), {})
        got_structure, got_tensors = flatten_call((got,), {})
        assert want_structure == got_structure
        for w, g in zip(want_tensors, got_tensors, strict=True):
            torch.testing.assert_close(g, w, rtol=1e-5, atol=1e-6)

    def refuses(self, *args: Any, match: str | None = None) -> None:
        with pytest.raises(NotTraced, match=match):
            self(*args)


@pytest.fixture
def replay() -> type[Replay]:
    return Replay
