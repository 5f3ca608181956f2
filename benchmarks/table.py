"""Prints the README's rows from `results.json`: medians of Unmoor, of PyTorch, and of the best peer, named."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROWS = {
    "article_b1": "the model above, one row",
    "chain_1e6": "8 pointwise ops with tanh and sigmoid, 1e6 numbers",
    "softmax": "softmax, 4096 x 1024",
    "linear_gelu_128": "linear 768 -> 3072 and gelu, 128 rows",
    "matmul_1024": "matmul 1024 x 1024 x 1024",
}
SHOWN = ("unmoor", "eager", "torchscript", "onnxruntime", "openvino")
NOT_PEERS = ("unmoor", "unmoor numpy", "copy", "torch.empty")


def time(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} us"


def main() -> None:
    results = json.loads(Path(sys.argv[1] if len(sys.argv) > 1 else "build/bench/results.json").read_text())
    print(f"| | {' | '.join(SHOWN)} | best peer | ours is faster by |")
    print(f"|---|{'---:|' * (len(SHOWN) + 2)}")
    for name, title in ROWS.items():
        medians = results[name]["median"]
        best = min((s, p) for p, s in medians.items() if p not in NOT_PEERS)
        cells = [time(medians[p]) if p in medians else "-" for p in SHOWN]
        print(f"| {title} | {' | '.join(cells)} | {best[1]}, {time(best[0])} | {best[0] / medians['unmoor']:.2f} |")


if __name__ == "__main__":
    main()
