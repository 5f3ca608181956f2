"""Lowers one fusion group to a kernel call: chooses the nest by the group's kind, then runs the loop passes."""

from __future__ import annotations

from unmoor.ir.call import KernelCall
from unmoor.ir.dim import Dim, const, product, sym
from unmoor.ir.graph import Node, Value, tensor_type
from unmoor.ir.kernel import Buffer, Kernel
from unmoor.ir.op import Kind
from unmoor.kernels.attention import lower_attention
from unmoor.kernels.canonical import canonical
from unmoor.kernels.collapse_loops import collapse_loops
from unmoor.kernels.contract import PACKED, ContractLowering, lower_pack, panels_of
from unmoor.kernels.grain import grain_of
from unmoor.kernels.join import lower_join
from unmoor.kernels.map_row import RowLowering
from unmoor.kernels.roles import with_roles
from unmoor.kernels.scan import ScanLowering
from unmoor.kernels.scatter import lower_scatter
from unmoor.ops import TABLE


def lower(node: Node) -> KernelCall:
    """The kernel call of a `fusion::` node. Kernels of equal groups are equal, whatever their values' names."""
    kind = node.op.removeprefix("fusion::")
    flops = _flops(node.blocks[0].nodes)
    meaning: dict[str, Dim] = {}
    if kind == "contract":
        node, meaning = with_roles(node)
    buffers, names = _buffers(node, kind)
    local: tuple[Buffer, ...] = ()
    if kind == "contract":
        body = ContractLowering(node, names).lower()
    elif kind == "attention":
        body, local = lower_attention(node, names)
    elif kind == "pack":
        body = lower_pack(node, names)
    elif kind == "join":
        body = lower_join(node, names)
    elif kind == "scatter":
        body = lower_scatter(node, names)
    elif kind == "scan":
        scan = ScanLowering(node, names)
        body = scan.lower()
        local = tuple(scan.locals)
    else:
        lowering = RowLowering(node, names)
        body = lowering.lower()
        local = tuple(lowering.locals)
    kernel = collapse_loops(Kernel(_name(node, kind), (*buffers, *local), (), body))
    renamed, symbols = canonical(kernel)
    operands = (*node.inputs, *node.outputs, *(None for _ in local))
    sizes = tuple(b.storage.substitute(meaning) for b in kernel.buffers)
    ints = tuple(meaning.get(s) or sym(s) for s in symbols)
    extent = kernel.body.extent.substitute(meaning)
    return KernelCall(renamed, operands, sizes, ints, extent, flops, grain_of(kernel, meaning), node.source)


def _buffers(node: Node, kind: str) -> tuple[tuple[Buffer, ...], dict[Value, str]]:
    """Buffers for a group's inputs (x0, x1, ...) and outputs (y0, ...), and the block's names for them."""
    block = node.blocks[0]
    packed = {n.inputs[1] for n in block.nodes if n.op in PACKED}
    packed |= {n.inputs[0] for n in block.nodes if n.op == "prim::unpack"}
    names: dict[Value, str] = {}
    buffers: list[Buffer] = []
    roles = [("x", "in", list(block.params)), ("y", "out", [r for r in block.results if isinstance(r, Value)])]
    for letter, role, values in roles:
        for k, value in enumerate(values):
            type_ = tensor_type(value)
            panels = panels_of(value) if value in packed or (kind == "pack" and role == "out") else None
            names[value] = f"{letter}{k}"
            buffers.append(Buffer(f"{letter}{k}", type_.dtype, type_.numel, role, panels))
    return tuple(buffers), names


def _name(node: Node, kind: str) -> str:
    """A name that says what the kernel does: the group's ops in order, without repeats."""
    ops = [n.op.split("::")[1] for n in node.blocks[0].nodes if TABLE[n.op].kind not in (Kind.VIEW, Kind.CREATE)]
    words = list(dict.fromkeys(o.removesuffix("_panels") for o in ops))[:6]
    return "_".join([kind, *words]) if words != [kind] else kind


def _flops(nodes: tuple[Node, ...]) -> Dim:
    """One operation per element of every elementwise op and reduction, two per product of a contraction."""
    total = const(0)
    for node in nodes:
        kind = TABLE[node.op].kind
        if kind is Kind.MAP:
            total = total + tensor_type(node.output).numel
        elif kind is Kind.REDUCE:
            total = total + tensor_type(node.inputs[0]).numel
        elif kind is Kind.CONTRACT:
            total = total + product(tensor_type(node.output).shape) * tensor_type(node.inputs[1]).shape[-2] * 2
    return total
