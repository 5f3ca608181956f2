"""What tracing costs: recording one forward of a model against the same forward in eager PyTorch."""

from __future__ import annotations

import argparse
import gc
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
import transformers

from unmoor import capture

ROUNDS = 5


def tokens() -> torch.Tensor:
    return torch.randint(0, 1000, (1, 128))


def bert() -> tuple[torch.nn.Module, tuple[Any, ...]]:
    return transformers.BertModel(transformers.BertConfig()), (tokens(),)


def gpt2() -> tuple[torch.nn.Module, tuple[Any, ...]]:
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(use_cache=False)), (tokens(),)


def llama() -> tuple[torch.nn.Module, tuple[Any, ...]]:
    config = transformers.LlamaConfig(
        hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=12, vocab_size=2000,
        use_cache=False,
    )  # fmt: skip
    return transformers.LlamaModel(config), (tokens(),)


def resnet50() -> tuple[torch.nn.Module, tuple[Any, ...]]:
    return transformers.ResNetModel(transformers.ResNetConfig()), (torch.randn(1, 3, 224, 224),)


MODELS = {f.__name__: f for f in (bert, gpt2, llama, resnet50)}


def seconds(call: Callable[..., object], *arguments: object) -> float:
    """How long a call takes, once the memory of those before it is given back."""
    gc.collect()
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=list(MODELS), help=f"of {', '.join(MODELS)}")
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for name in parser.parse_args().models:
        torch.manual_seed(0)
        model, inputs = MODELS[name]()
        model.eval()
        with torch.no_grad():
            seconds(model, *inputs)
            first = seconds(capture.record, model, inputs)
            pairs = [(seconds(model, *inputs), seconds(capture.record, model, inputs)) for _ in range(ROUNDS)]
        eager, record = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratio = statistics.median(r / e for e, r in pairs)
        print(
            f"{name}: eager {eager * 1e3:.0f} ms, recording {record * 1e3:.0f} ms, {ratio:.2f} times as long; "
            f"the first recording {first * 1e3:.0f} ms",
            flush=True,
        )


if __name__ == "__main__":
    main()
