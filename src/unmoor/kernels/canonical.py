"""Loop pass: renames sizes to n0, n1, ... in order of use, so that equal kernels of different layers are equal."""

from __future__ import annotations

from dataclasses import replace

from unmoor.ir.dim import Dim, sym
from unmoor.ir.kernel import Buffer, Kernel, Loop, Panels
from unmoor.ir.walk import extents_of, indices_of, loop_vars, rewrite_dims_of


def canonical(kernel: Kernel) -> tuple[Kernel, tuple[str, ...]]:
    """The renamed kernel, and the signature's symbol behind each of its ints, in order."""
    found: dict[str, None] = {}
    nest = (kernel.body,)
    loops = set(loop_vars(nest))
    for d in [*(b.numel for b in kernel.buffers), *extents_of(nest), *indices_of(nest)]:
        for name in sorted(d.symbols):
            if name not in loops:
                found[name] = None
    symbols = tuple(found)
    renamed = {name: sym(f"n{k}") for k, name in enumerate(symbols)}

    def rename(d: Dim) -> Dim:
        return d.substitute(renamed)

    buffers = tuple(_rename_buffer(b, renamed) for b in kernel.buffers)
    body = rewrite_dims_of(kernel.body, rename)
    assert isinstance(body, Loop)
    return Kernel(kernel.name, buffers, tuple(f"n{k}" for k in range(len(symbols))), body), symbols


def _rename_buffer(buffer: Buffer, renamed: dict[str, Dim]) -> Buffer:
    p = buffer.panels
    panels = p and Panels(p.batch.substitute(renamed), p.k.substitute(renamed), p.n.substitute(renamed))
    return replace(buffer, numel=buffer.numel.substitute(renamed), panels=panels)
