"""nn.TransformerEncoder with a padding mask: what its fast path over nested tensors gives, said with dense ones.

Without gradients, and where each row's padding stands at its end, eager PyTorch leaves padded places out and fills them
with zeros, ahead of the last norm. With gradients, or other padding, it computes them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def dense_encoders() -> Iterator[None]:
    """Torch's fast paths are off, and encoders called on this thread give what theirs would."""
    fast = torch.backends.mha.get_fastpath_enabled()
    original, thread = nn.TransformerEncoder.forward, threading.get_ident()

    def forward(
        self: nn.TransformerEncoder,
        src: torch.Tensor,
        mask: torch.Tensor | None = None,
        src_key_padding_mask: torch.Tensor | None = None,
        is_causal: bool | None = None,
    ) -> torch.Tensor:
        if (
            fast
            and threading.get_ident() == thread
            and src_key_padding_mask is not None
            and mask is None
            and not is_causal
            and _is_nested(self, src)
        ):
            kept = src_key_padding_mask.logical_not()
            if not getattr(self, "mask_check", True) or bool((kept[:, 1:] <= kept[:, :-1]).all()):
                return _dense(self, src, kept.logical_not())
        return original(self, src, mask, src_key_padding_mask, is_causal)

    torch.backends.mha.set_fastpath_enabled(False)
    nn.TransformerEncoder.forward = forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.TransformerEncoder.forward = original  # type: ignore[method-assign]
        torch.backends.mha.set_fastpath_enabled(fast)


def _is_nested(encoder: Any, src: torch.Tensor) -> bool:
    """Whether eager PyTorch would take nested tensors."""
    if not getattr(encoder, "use_nested_tensor", False) or encoder.layers[0].training or src.dim() != 3:
        return False
    first = encoder.layers[0]
    learnt = any(p.requires_grad for p in (src, *first.parameters()))
    return not torch.is_autocast_enabled() and not (torch.is_grad_enabled() and learnt)


def _dense(encoder: Any, src: torch.Tensor, padded: torch.Tensor) -> torch.Tensor:
    output = src
    for layer in encoder.layers:
        output = layer(output, src_mask=None, is_causal=False, src_key_padding_mask=padded)
    output = output.masked_fill(padded.unsqueeze(-1), 0.0)
    return output if encoder.norm is None else encoder.norm(output)
