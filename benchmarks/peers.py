"""Contenders: each prepares a module for given inputs, and returns what to call and how to read its results."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import unmoor

Prepared = tuple[Callable[[], Any], Callable[[Any], list[np.ndarray]]]  # the call, and what it gave as arrays
Inputs = Sequence[torch.Tensor]


def _tensors(result: Any) -> list[np.ndarray]:
    several = result if isinstance(result, tuple | list) else (result,)
    return [t.detach().numpy() if isinstance(t, torch.Tensor) else np.asarray(t) for t in several]


def ours(module: torch.nn.Module, inputs: Inputs, scratch: Path, threads: int) -> Prepared:
    """Traced, saved, loaded with trust, called with torch tensors."""
    path = scratch / "model.unmoor"
    model = unmoor.load(path, trust=_saved(module, inputs, path), threads=threads)
    return (lambda: model(*inputs)), _tensors


def ours_numpy(module: torch.nn.Module, inputs: Inputs, scratch: Path, threads: int) -> Prepared:
    """The same with NumPy arrays."""
    path = scratch / "model.unmoor"
    model = unmoor.load(path, trust=_saved(module, inputs, path), threads=threads)
    arrays = [i.numpy() for i in inputs]
    return (lambda: model(*arrays)), _tensors


def _saved(module: torch.nn.Module, inputs: Inputs, path: Path) -> str:
    """Writes the file, without the checks of a save: `compare` checks each contender's results."""
    return unmoor.save(unmoor.trace(module, *inputs), path, check=False)


def eager(module: torch.nn.Module, inputs: Inputs, scratch: Path, threads: int) -> Prepared:
    return (lambda: module(*inputs)), _tensors


def torchscript(module: torch.nn.Module, inputs: Inputs, scratch: Path, threads: int) -> Prepared:
    """Traced, frozen and optimised for inference, which is what the process itself can run, not what a file holds."""
    optimised = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(module, tuple(inputs))))
    for _ in range(3):  # profiling and specialising runs
        optimised(*inputs)
    return (lambda: optimised(*inputs)), _tensors


def compiled(module: torch.nn.Module, inputs: Inputs, scratch: Path, threads: int) -> Prepared:
    """torch.compile, Inductor's defaults."""
    function = torch.compile(module, dynamic=False)
    return (lambda: function(*inputs)), _tensors


def _onnx(module: torch.nn.Module, inputs: Inputs, scratch: Path) -> Path:
    path = scratch / "model.onnx"
    if not path.exists():
        torch.onnx.export(module, tuple(inputs), str(path), dynamo=True, external_data=False, verbose=False)
    return path


def _ort_session(module: torch.nn.Module, inputs: Inputs, scratch: Path, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(str(_onnx(module, inputs, scratch)), options, ["CPUExecutionProvider"])


def onnxruntime(module: torch.nn.Module, inputs: Inputs, scratch: Path, threads: int) -> Prepared:
    session = _ort_session(module, inputs, scratch, threads)
    feed = {i.name: t.numpy() for i, t in zip(session.get_inputs(), inputs, strict=True)}
    return (lambda: session.run(None, feed)), _tensors


def onnxruntime_bound(module: torch.nn.Module, inputs: Inputs, scratch: Path, threads: int) -> Prepared:
    """Inputs and output bound once: nothing is copied or allocated in a call."""
    from onnxruntime import OrtValue

    session = _ort_session(module, inputs, scratch, threads)
    binding = session.io_binding()
    for i, t in zip(session.get_inputs(), inputs, strict=True):
        binding.bind_ortvalue_input(i.name, OrtValue.ortvalue_from_numpy(t.numpy()))
    feed = {i.name: t.numpy() for i, t in zip(session.get_inputs(), inputs, strict=True)}
    outputs = [OrtValue.ortvalue_from_numpy(array) for array in session.run(None, feed)]
    for o, value in zip(session.get_outputs(), outputs, strict=True):
        binding.bind_ortvalue_output(o.name, value)
    return (lambda: session.run_with_iobinding(binding)), lambda _: [value.numpy() for value in outputs]


def openvino(module: torch.nn.Module, inputs: Inputs, scratch: Path, threads: int) -> Prepared:
    import openvino as ov

    model = ov.convert_model(module, example_input=tuple(inputs))
    for port, tensor in zip(model.inputs, inputs, strict=True):
        port.get_node().set_partial_shape(ov.PartialShape(list(tensor.shape)))
    model.validate_nodes_and_infer_types()
    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    request = ov.Core().compile_model(model, "CPU", settings | {"PERFORMANCE_HINT": "LATENCY"}).create_infer_request()
    arrays = [t.numpy() for t in inputs]
    return (lambda: request.infer(arrays, share_inputs=True, share_outputs=True)), lambda r: list(r.to_tuple())


def executorch(module: torch.nn.Module, inputs: Inputs, scratch: Path, threads: int) -> Prepared:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.extension.pybindings import portable_lib

    if hasattr(portable_lib, "_unsafe_reset_threadpool"):
        portable_lib._unsafe_reset_threadpool(threads)
    exported = torch.export.export(module, tuple(inputs))
    program = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
    (scratch / "model.pte").write_bytes(program.buffer)
    loaded = portable_lib._load_for_executorch(str(scratch / "model.pte"))
    listed = list(inputs)
    return (lambda: loaded.forward(listed)), _tensors


def iree(module: torch.nn.Module, inputs: Inputs, scratch: Path, threads: int) -> Prepared:
    import iree.runtime as rt

    tools, code = Path(sys.executable).parent, scratch / "model.vmfb"
    imported = scratch / "model.mlir"
    onnx = _onnx(module, inputs, scratch)
    subprocess.run([tools / "iree-import-onnx", onnx, "-o", imported], check=True, capture_output=True)
    flags = ["--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu"]
    flags += ["--iree-llvmcpu-target-cpu=host", "--iree-opt-level=O3", "--iree-opt-data-tiling"]
    subprocess.run([tools / "iree-compile", imported, "-o", code, *flags], check=True, capture_output=True)
    config = rt.Config("local-sync" if threads == 1 else "local-task")
    loaded = rt.load_vm_module(rt.VmModule.mmap(config.vm_instance, str(code)), config)
    entry = next(n for n in loaded.vm_module.function_names if not n.startswith("__") and "$async" not in n)
    function = getattr(loaded, entry)
    arrays = [rt.asdevicearray(config.device, t.numpy()) for t in inputs]
    return (lambda: function(*arrays)), _tensors


def tvm(module: torch.nn.Module, inputs: Inputs, scratch: Path, threads: int) -> Prepared:
    """Relax with its default pipeline for LLVM, not tuned."""
    os.environ["TVM_NUM_THREADS"] = str(threads)
    import tvm as tvm_module
    from llvmlite.binding import get_host_cpu_name
    from tvm import relax
    from tvm.relax.frontend.torch import from_exported_program

    imported = from_exported_program(torch.export.export(module, tuple(inputs)))
    imported, parameters = relax.frontend.detach_params(imported)
    target = tvm_module.target.Target({"kind": "llvm", "mcpu": get_host_cpu_name(), "num-cores": threads})
    machine = relax.VirtualMachine(tvm_module.compile(imported, target), tvm_module.cpu())
    arrays = [tvm_module.runtime.tensor(t.numpy()) for t in inputs]
    arrays += [tvm_module.runtime.tensor(p.numpy()) for p in parameters.get("main", [])]
    function = machine["main"]
    return (lambda: function(*arrays)), lambda r: [r[0].numpy()]


CONTENDERS: dict[str, Callable[[torch.nn.Module, Inputs, Path, int], Prepared]] = {
    "unmoor": ours,
    "unmoor numpy": ours_numpy,
    "eager": eager,
    "torchscript": torchscript,
    "torch.compile": compiled,
    "onnxruntime": onnxruntime,
    "onnxruntime bound": onnxruntime_bound,
    "openvino": openvino,
    "executorch": executorch,
    "iree": iree,
    "tvm": tvm,
}
