"""Code generation: kernels become machine code for a target. The only importer of llvmlite."""

from unmoor.codegen.generate import assembly, generate, host_target, llvm_ir

__all__ = ["assembly", "generate", "host_target", "llvm_ir"]
