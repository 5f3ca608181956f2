"""Generates machine code for kernels: LLVM text, LLVM's code generator, and the code taken out of its object file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from unmoor.codegen.builder import PTR, Builder, Module
from unmoor.codegen.elf import extract
from unmoor.codegen.frame import Frame, lane_count
from unmoor.codegen.nest import Nest
from unmoor.errors import MissingDependency
from unmoor.ir.kernel import Kernel
from unmoor.ir.object_code import ObjectCode
from unmoor.ir.target import ALL, X86_64_V4, Target

FEATURES = {"x86-64-v3": ("avx2", "fma", "bmi2"), "x86-64-v4": ("avx512f", "avx512bw", "avx512dq", "avx512vl")}


def llvm_ir(kernels: Sequence[Kernel], target: Target) -> str:
    """The LLVM IR of kernels, as text."""
    module = Module(avx512=target.cpu == X86_64_V4.cpu)
    for kernel in kernels:
        _function(module, kernel, target)
    return module.text()


def _function(module: Module, kernel: Kernel, target: Target) -> None:
    params = [("ptr noalias readonly", "buffers"), ("ptr noalias readonly", "ints"), ("i64", "begin"), ("i64", "end")]
    b = Builder(module, kernel.name, params)
    table, ints, begin, end = b.params
    buffers = {x.name: b.load(b.offset(table, PTR, k), PTR) for k, x in enumerate(kernel.buffers)}
    sizes = {name: b.load(b.offset(ints, "i64", k), "i64") for k, name in enumerate(kernel.ints)}
    frame = Frame(b, kernel, buffers, sizes)
    Nest(frame, lane_count(kernel, target.vector_bytes)).outermost(kernel.body, begin, end)
    b.ret()
    b.finish()


def generate(kernels: Sequence[Kernel], target: Target) -> ObjectCode:
    """The machine code of kernels with distinct names. MissingDependency where llvmlite is not installed."""
    blob, entries = extract(_machine(target).emit_object(_optimised(llvm_ir(kernels, target), target)))
    return ObjectCode(target, blob, {k.name: entries[k.name] for k in kernels})


def assembly(kernels: Sequence[Kernel], target: Target) -> str:
    """The assembly of kernels, for people; the second and further ones of a name bear a number."""
    names = [k.name for k in kernels]
    apart = [replace(k, name=f"{k.name}_{n}") if k.name in names[:n] else k for n, k in enumerate(kernels)]
    return str(_machine(target).emit_assembly(_optimised(llvm_ir(apart, target), target)))


def host_target() -> Target | None:
    """The best target that this processor supports; None where it supports none."""
    features = _llvm().get_host_cpu_features()
    fitting = [t for t in ALL if all(features.get(f) for f in FEATURES[t.name])]
    return max(fitting, key=lambda t: t.rank, default=None)


@cache
def _llvm() -> Any:
    try:
        import llvmlite.binding as llvm
    except ImportError as error:
        raise MissingDependency("llvmlite makes the machine code: pip install 'unmoor[compile]'") from error
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm


@cache
def _machine(target: Target) -> Any:
    made = _llvm().Target.from_triple(target.triple)
    features = "-prefer-256-bit" if target.cpu == X86_64_V4.cpu else ""
    return made.create_target_machine(cpu=target.cpu, features=features, opt=2, reloc="pic", codemodel="small")


def _optimised(text: str, target: Target) -> Any:
    """The parsed module after LLVM's clean-up passes; loops are neither vectorised nor unrolled again."""
    llvm = _llvm()
    module = llvm.parse_assembly(f'target triple = "{target.triple}"\n' + text)
    options = llvm.create_pipeline_tuning_options(speed_level=1)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = options.loop_interleaving = False
    builder = llvm.create_pass_builder(_machine(target), options)
    builder.getModulePassManager().run(module, builder)
    return module
