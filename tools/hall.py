"""Runs the hall of silent traces on torch.jit.trace, torch.export, the ONNX exporter and Unmoor: docs/hall.md.

python tools/hall.py            # all of them; needs torch, onnx, onnxscript and onnxruntime
"""

from __future__ import annotations

import importlib.metadata
import logging
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "hall")]
from exhibits import EXHIBITS  # noqa: E402
from verdict import REFUSED, RIGHT, WRONG, verdict  # noqa: E402

import unmoor  # noqa: E402

MARKS = {RIGHT: "right", REFUSED: "refused", WRONG: "**silently wrong**"}


def by_unmoor(fn: Any, examples: list[Any]) -> Any:
    traced = unmoor.trace(fn, *examples[0])
    for example in examples[1:]:
        traced.add_example(*example)
    return traced


def by_jit(fn: Any, examples: list[Any]) -> Any:
    return torch.jit.trace(fn, examples[0])


class Wrapped(torch.nn.Module):
    """A function as a module, for those who take nothing else."""

    def __init__(self, fn: Any) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, *args: Any) -> Any:
        return self.fn(*args)


def _exported(fn: Any, examples: list[Any]) -> Any:
    module = fn if isinstance(fn, torch.nn.Module) else Wrapped(fn)
    dynamic = torch.utils._pytree.tree_map(
        lambda v: {k: torch.export.Dim.AUTO for k in range(v.dim())} if isinstance(v, torch.Tensor) else None,
        examples[0],
    )
    if not isinstance(fn, torch.nn.Module):
        dynamic = (dynamic,)
    return torch.export.export(module, examples[0], dynamic_shapes=dynamic)


def by_export(fn: Any, examples: list[Any]) -> Any:
    return _exported(fn, examples).module()


def by_onnx(fn: Any, examples: list[Any]) -> Any:
    import onnxruntime

    program = torch.onnx.export(_exported(fn, examples), dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())

    def run(*args: Any) -> Any:
        tensors = [v for v in torch.utils._pytree.tree_leaves(args) if isinstance(v, torch.Tensor)]
        names = [i.name for i in session.get_inputs()]
        given = dict(zip(names, (t.numpy() for t in tensors), strict=True))
        results = [torch.from_numpy(o) for o in session.run(None, given)]
        return results[0] if len(results) == 1 else tuple(results)

    return run


TRACERS = {"torch.jit.trace": by_jit, "torch.export": by_export, "ONNX exporter": by_onnx, "Unmoor": by_unmoor}


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    table: list[list[str]] = []
    counts = {name: Counter() for name in TRACERS}
    for exhibit in EXHIBITS:
        row = []
        for name, trace in TRACERS.items():
            outcome, why = verdict(exhibit, trace)
            counts[name][outcome] += 1
            row.append(MARKS[outcome])
            print(f"{exhibit.name:28} {name:16} {outcome:15} {why[:120]}", flush=True)
        table.append([f"`{exhibit.name}`", exhibit.kind, exhibit.thread, *row])
    (ROOT / "docs" / "hall.md").write_text(_document(table, counts))


def _document(table: list[list[str]], counts: dict[str, Counter[str]]) -> str:
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("torch", "onnx", "onnxscript", "onnxruntime"))
    lines = [
        "# The hall of silent traces",
        "",
        f"{len(table)} small programs, each of a kind that users reported a tracer to get wrong without a word; the",
        "thread is where that kind was reported, the programs are ours (`tests/hall/exhibits.py`). Each is traced on",
        "its first call (branches: on the examples that the exhibit names, where the tracer takes several), and then",
        "every call is compared with eager PyTorch: results, changed arguments, state from call to call, and errors.",
        "*Refused* means that the tracer, or a call, raised an error; one that is right at some calls and refused",
        "at others counts as refused. Sizes are dynamic in torch.export and the ONNX exporter (`Dim.AUTO`).",
        "",
        f"Made by `python tools/hall.py` with {versions}.",
        "",
        "| | " + " | ".join(counts) + " |",
        "|---|" + "---|" * len(counts),
    ]
    for outcome in (RIGHT, REFUSED, WRONG):
        lines.append(f"| {outcome} | " + " | ".join(str(c[outcome]) for c in counts.values()) + " |")
    lines += ["", "| Program | Kind | Reported in | " + " | ".join(counts) + " |", "|" + "---|" * (3 + len(counts))]
    lines += ["| " + " | ".join(row) + " |" for row in table]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
