"""The rules of gradients against torch's autograd: recorded, written out, run by the reference interpreter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unmoor.capture import record
from unmoor.compiler import differentiated
from unmoor.reference import run_graph


def ints(*shape, high=3):
    return torch.arange(int(np.prod(shape))).reshape(shape).mul(7) % high


TIES = torch.tensor([[1.0, 2.0, 2.0, 0.0], [0.0, 0.0, -1.0, 0.0], [3.0, 3.0, 3.0, 3.0]])
MASK = ints(3, 4, high=2).bool()

# name: (function, shapes of the inputs); inputs are normal, "+" before the name makes them positive
UNARY = {
    **{
        n: getattr(torch, n)
        for n in [
            "abs",
            "neg",
            "exp",
            "exp2",
            "expm1",
            "sin",
            "cos",
            "tan",
            "atan",
            "sinh",
            "cosh",
            "tanh",
            "asinh",
            "erf",
            "sigmoid",
            "floor",
            "frac",
            "square",
            "reciprocal",
            "sign",
        ]
    },
    **{f"+{n}": getattr(torch, n) for n in ["sqrt", "rsqrt", "log", "log2", "log10", "log1p"]},
    "asin": lambda x: torch.asin(x.tanh()),
    "acos": lambda x: torch.acos(x.tanh()),
    "atanh": lambda x: torch.atanh(x.tanh() * 0.9),
    "acosh": lambda x: torch.acosh(x.exp() + 1.5),
    **{
        n: getattr(F, n)
        for n in [
            "relu",
            "relu6",
            "leaky_relu",
            "elu",
            "selu",
            "celu",
            "hardtanh",
            "hardsigmoid",
            "hardswish",
            "silu",
            "gelu",
            "mish",
            "softplus",
            "logsigmoid",
            "softsign",
            "tanhshrink",
            "softshrink",
        ]
    },
    "gelu tanh": lambda x: F.gelu(x, approximate="tanh"),
    "pow 3": lambda x: x**3,
    "pow 0": lambda x: x**0,
    "+pow by": lambda x: 2.5**x,
    "+pow both": lambda x: x**x,
    "clamp": lambda x: x.clamp(-0.5, 0.5),
    "clamp min": lambda x: x.clamp(min=0.1),
    "remainder": lambda x: torch.remainder(x, 0.7) + torch.fmod(x, 0.7),
    "softmax": lambda x: x.softmax(-1),
    "log_softmax": lambda x: x.log_softmax(0),
    "logsumexp": lambda x: x.logsumexp(1),
    "sum": lambda x: x.sum(0, keepdim=True) * x.mean(1, keepdim=True),
    "prod": lambda x: x.prod(1),
    "prod of zeros": lambda x: (x * MASK[:, :1]).prod(0).sum() + (x * MASK).prod(1),
    "amax": lambda x: x.amax(1) + x.amin(0).sum(),
    "amax of ties": lambda x: ((x * 0 + 1) * TIES + x - x.detach()).amax(1),
    "max of ties": lambda x: (TIES + x - x.detach()).max(),
    "max along": lambda x: (TIES + x - x.detach()).max(1)[0] + x.min(1, keepdim=True)[0].squeeze(1),
    "var": lambda x: x.var(1) + x.std(1) + torch.var(x, dim=1, correction=0),
    "std of equals": lambda x: (x - x.detach()).std(1),
    "norm": lambda x: x.norm(dim=1) + x.norm(p=1, dim=1) + x.norm(p=3, dim=1),
    "norm of zeros": lambda x: (x - x.detach()).norm(dim=1),
    "cumsum": lambda x: x.cumsum(1),
    "sort": lambda x: x.sort(1)[0] * torch.arange(4),
    "topk": lambda x: x.topk(2, 1)[0],
    "kthvalue": lambda x: x.kthvalue(2, 1)[0] + x.median(1)[0],
    "views": lambda x: x.t().reshape(-1).view(2, -1).flip(1).unsqueeze(0).permute(2, 0, 1).expand(-1, 3, -1),
    "slices": lambda x: x[1:, ::2].sum() * x[0] + x[:, 1:3].sum() + x[-1, None, :2].sum(),
    "select and narrow": lambda x: x.select(1, 2).sum() * x.narrow(1, 1, 2),
    "cat and stack": lambda x: torch.stack([torch.cat([x, x * 2], 1), torch.cat([x.sin(), x], 1)]),
    "split": lambda x: x.split(2, 1)[0] * x.chunk(2, 1)[1] + x.unbind(1)[3][:, None],
    "pad": lambda x: F.pad(x, (1, 2), value=3.0) + F.pad(x[None], (2, 1), mode="reflect")[0],
    "repeat and roll": lambda x: x.repeat(2, 2) + x.roll(1, 0).repeat(2, 2),
    "as_strided": lambda x: x.contiguous().as_strided((2, 3), (1, 2)),
    "unfold": lambda x: x.unfold(1, 3, 1),
    "tril": lambda x: x.tril() + x.triu(1) * 2,
    "diagonal": lambda x: x.diagonal() * 2,
    "index": lambda x: x[:, [0, 2, 2]] * x[ints(5)][:, :3].sum(),
    "gather": lambda x: x.gather(1, ints(3, 5, high=4)),
    "index_select": lambda x: x.index_select(1, ints(6, high=4)),
    "mask": lambda x: x.masked_fill(MASK, 0.5) + x.where(MASK, x * 2),
    "set": lambda x: torch.zeros_like(x).index_put((ints(3, high=3), ints(3, high=4)), x[:, 0]),
    "in place": lambda x: x.clone().mul_(2).add_(x).relu_(),
    "write through a view": lambda x: _written(x),
    "scatter_add": lambda x: torch.zeros_like(x).scatter_add(1, ints(3, 4, high=4), x),
    "detach": lambda x: x * x.detach(),
    "layer_norm": lambda x: F.layer_norm(x, (4,)),
    "normalize": lambda x: F.normalize(x, dim=1),
    "to": lambda x: x.float().double() * x,
}


def _written(x):
    y = x.clone()
    y[0] = y[1] * 2
    y[:, 1] *= 3
    return y * x


OTHERS = {
    "broadcast": (lambda a, b: a * b + a / (b * b + 1) - b, [(3, 4), (4,)]),
    "maximum": (lambda a, b: torch.maximum(a, b) + torch.minimum(a, b) * 2, [(3, 4), (3, 1)]),
    "maximum of ties": (lambda a, b: torch.maximum(TIES + a - a.detach(), TIES + b - b.detach()), [(3, 4), (3, 4)]),
    "atan2": (torch.atan2, [(3, 4), (3, 4)]),
    "clamp by tensors": (lambda a, b, c: torch.clamp(a, b, c), [(3, 4), (3, 4), (3, 4)]),
    "where": (lambda a, b: torch.where(a > b, a * 2, b), [(3, 4), (4,)]),
    "lerp": (
        lambda a, b: torch.lerp(a, b, 0.3) + torch.addcmul(a, b, b) + torch.addcdiv(a, b, b * b + 1),
        [(3, 4)] * 2,
    ),
    "matmul": (lambda a, b: a @ b, [(2, 3, 4), (4, 5)]),
    "batched matmul": (lambda a, b: a @ b, [(2, 1, 3, 4), (5, 4, 2)]),
    "vectors": (lambda a, b: torch.dot(a @ b, b[0]) + torch.outer(a, b[0]).sum(), [(3,), (3, 3)]),
    "linear": (F.linear, [(2, 3, 4), (5, 4), (5,)]),
    "addmm": (lambda c, a, b: torch.addmm(c, a, b, beta=0.5, alpha=2), [(3, 5), (3, 4), (4, 5)]),
    "einsum": (lambda a, b: torch.einsum("bij,bkj->bik", a, b), [(2, 3, 4), (2, 5, 4)]),
    "bilinear": (F.bilinear, [(3, 2), (3, 4), (5, 2, 4)]),
    "attention": (F.scaled_dot_product_attention, [(2, 3, 4), (2, 5, 4), (2, 5, 4)]),
    "causal attention": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), [(2, 4, 4)] * 3),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (4,), w, b), [(3, 4), (4,), (4,)]),
    "rms_norm": (lambda x, w: F.rms_norm(x, (4,), w), [(3, 4), (4,)]),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), [(2, 4, 3), (4,), (4,)]),
    "batch_norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), [(3, 4, 5), (4,), (4,)]),
    "embedding": (lambda w: F.embedding(ints(2, 3), w, padding_idx=1), [(3, 4)]),
    "conv1d": (lambda x, w, b: F.conv1d(x, w, b, stride=2, padding=1), [(2, 3, 8), (4, 3, 3), (4,)]),
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, padding=1, dilation=2), [(2, 3, 7, 6), (4, 3, 3, 2), (4,)]),
    "strided conv2d": (lambda x, w: F.conv2d(x, w, stride=(2, 3), padding=(1, 0)), [(2, 3, 8, 7), (4, 3, 3, 2)]),
    "grouped conv2d": (lambda x, w: F.conv2d(x, w, groups=2, padding=1), [(2, 4, 5, 5), (6, 2, 3, 3)]),
    "depthwise conv2d": (lambda x, w: F.conv2d(x, w, groups=3, stride=2), [(2, 3, 6, 6), (3, 1, 3, 3)]),
    "same conv2d": (lambda x, w: F.conv2d(x, w, padding="same"), [(2, 3, 5, 5), (4, 3, 2, 3)]),
    "conv of one": (lambda x, w: F.conv2d(x, w, padding=1), [(3, 5, 5), (4, 3, 3, 3)]),
    "conv_transpose2d": (
        lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2, padding=1, output_padding=1),
        [(2, 3, 4, 4), (3, 4, 3, 3), (4,)],
    ),
    "max_pool2d": (lambda x: F.max_pool2d(x.relu(), 3, 2, 1), [(2, 3, 7, 7)]),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 3, 2, 1), [(2, 3, 7, 7)]),
    "adaptive pools": (
        lambda x: F.adaptive_avg_pool2d(x, 3) + F.adaptive_avg_pool2d(x, 1) + F.adaptive_max_pool2d(x, 3),
        [(2, 3, 7, 7)],
    ),
    "interpolate": (
        lambda x: F.interpolate(x, scale_factor=2.0) + F.interpolate(x, scale_factor=2.0, mode="bilinear"),
        [(1, 2, 3, 4)],
    ),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), [(1, 4, 3, 3)]),
    "cross_entropy": (
        lambda x, w: (
            F.cross_entropy(x, ints(3, high=4), w.detach().exp(), label_smoothing=0.1)
            + w.sum()
            + F.nll_loss(x, ints(3, high=4), ignore_index=0)
        ),
        [(3, 4), (4,)],
    ),
    "cross_entropy of chances": (lambda x, y: F.cross_entropy(x, y.softmax(1)), [(3, 4), (3, 4)]),
    "mse and l1": (lambda x, y: F.mse_loss(x, y) + F.l1_loss(x, y) + F.smooth_l1_loss(x, y), [(3, 4), (3, 4)]),
    "huber and kl": (
        lambda x, y: F.huber_loss(x, y) + F.kl_div(x.log_softmax(1), y.detach().softmax(1)),
        [(3, 4), (3, 4)],
    ),
    "bce": (
        lambda x, y: (
            F.binary_cross_entropy(x.sigmoid(), y.sigmoid()) + F.binary_cross_entropy_with_logits(x, y.sigmoid())
        ),
        [(3, 4), (3, 4)],
    ),
    "bce at the ends": (lambda x: F.binary_cross_entropy(MASK.double() + x * 0, MASK.double()), [(3, 4)]),
    "cosine": (lambda x, y: F.cosine_similarity(x, y) + F.pairwise_distance(x, y), [(3, 4), (3, 4)]),
    "prelu": (F.prelu, [(2, 3, 4), (3,)]),
    "glu": (lambda x: F.glu(x), [(3, 4)]),
}
CASES = {f"{n} of x": (f, [(3, 4)]) for n, f in UNARY.items()} | OTHERS


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_autograds(name):
    function, shapes = CASES[name]
    torch.manual_seed(0)

    def made(wider):
        wide = [(s[0] + wider, *s[1:]) if len(s) > 2 and shapes.count(s) == 1 else s for s in shapes]
        inputs = [torch.randn(s, dtype=torch.float64) for s in (wide[:1] + list(shapes[1:]))]
        return [(x.abs() + 0.5 if name.startswith("+") else x).requires_grad_() for x in inputs]

    def program(*inputs):
        y = function(*inputs)
        weights = torch.arange(1, 1 + y.numel(), dtype=y.dtype).cos().reshape(y.shape).detach()
        return torch.autograd.grad((y * weights).sum(), inputs)

    inputs = made(0)
    recording = record(program, tuple(inputs))
    for given in (inputs, made(1) if len(shapes[0]) == 4 and len(shapes) < 4 else None):
        if given is None:
            continue
        arrays = [x.detach().numpy() for x in given]
        with np.errstate(all="ignore"):
            got = run_graph(differentiated(recording.graph, arrays, 0), arrays)
        for g, want in zip(got, program(*given), strict=True):
            np.testing.assert_allclose(g, want.numpy(), rtol=1e-5, atol=1e-7)
