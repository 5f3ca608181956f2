"""Compiles one scalar function as a loop over arrays and runs it."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest

from unmoor.codegen.builder import MEMORY, Builder, Module, const
from unmoor.codegen.math import expand
from unmoor.dtypes import DType, bool_
from unmoor.ir.scalar import FUNCTIONS

CPU = {1: "x86-64-v3", 8: "x86-64-v3", 16: "x86-64-v4"}
LANES = tuple(CPU)


@cache
def _initialise() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


def kernel_text(fn: str, dtype: DType, lanes: int, operands: Sequence[DType], result: DType) -> str:
    """void k(operand pointers..., result pointer, i64 n): n is a multiple of the lanes."""
    module = Module(avx512=CPU[lanes].endswith("v4"))
    names = [f"a{i}" for i in range(len(operands))]
    b = Builder(module, "k", [*(("ptr noalias", n) for n in names), ("ptr noalias", "out"), ("i64", "n")])
    *sources, out, count = b.params
    loop, end, entry = b.new_label("loop"), b.new_label("end"), b.label
    b.br(loop)
    b.start(loop)
    i = b.phi("i64", (const("i64", 0), entry))
    args = [b.load_elements(b.offset(p, MEMORY[d], i), d, lanes) for p, d in zip(sources, operands, strict=True)]
    b.store_elements(expand(b, fn, dtype, args), b.offset(out, MEMORY[result], i), result)
    following = b.add(i, lanes)
    b.add_incoming(i, following, b.label)
    b.cond_br(b.icmp("slt", following, count), loop, end)
    b.start(end)
    b.ret()
    b.finish()
    return module.text()


def undefined_symbols(elf: bytes) -> list[str]:
    """Names that an ELF64 object leaves to others."""
    (table,) = struct.unpack_from("<Q", elf, 0x28)
    size, count = struct.unpack_from("<HH", elf, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", elf, table + i * size) for i in range(count)]
    names: list[str] = []
    for section in sections:
        if section[1] != 2:  # SHT_SYMTAB
            continue
        strings = sections[section[6]][4]
        for at in range(section[4], section[4] + section[5], 24):
            name, _, _, where = struct.unpack_from("<IBBH", elf, at)
            text = elf[strings + name : elf.index(b"\0", strings + name)].decode()
            if where == 0 and text:
                names.append(text)
    return names


@dataclass
class Compiled:
    """A function on arrays, with its object code."""

    elf: bytes
    engine: Any
    call: Any
    result: DType

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        n = len(arrays[0])
        padded = [np.concatenate([x, np.repeat(x[-1:], -n % 16)]) for x in arrays]
        out = np.empty(len(padded[0]), self.result.numpy)
        self.call(*(x.ctypes.data for x in padded), out.ctypes.data, len(out))
        return out[:n]


@cache
def compiled(fn: str, dtype: DType, lanes: int, source: DType | None = None) -> Compiled:
    """`fn` of operands of `dtype`; for a cast, from `source` to `dtype`."""
    _initialise()
    row = FUNCTIONS[fn]
    operands = [source or dtype] * row.arity
    if fn == "select":
        operands[0] = bool_
    result = bool_ if row.result == "bool" else dtype
    module = llvm.parse_assembly(kernel_text(fn, dtype, lanes, operands, result))
    module.verify()
    triple = llvm.Target.from_triple("x86_64-unknown-linux-gnu")
    machine = triple.create_target_machine(cpu=CPU[lanes], opt=2, reloc="pic", codemodel="small")
    elf = machine.emit_object(module)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    signature = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (row.arity + 1), ctypes.c_int64)
    return Compiled(elf, engine, signature(engine.get_function_address("k")), result)


@pytest.fixture
def compile_function() -> Any:
    return compiled


@pytest.fixture
def undefined() -> Any:
    return undefined_symbols


@pytest.fixture(params=LANES, ids=lambda n: f"lanes{n}")
def lanes(request: pytest.FixtureRequest) -> int:
    """1, 8 (x86-64-v3) or 16 (x86-64-v4, where this machine runs it)."""
    _initialise()
    if request.param == 16 and not llvm.get_host_cpu_features().get("avx512vl"):
        pytest.skip("this processor has no AVX-512")
    count: int = request.param
    return count
