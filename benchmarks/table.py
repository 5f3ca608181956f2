"""Tables of measured results: one workload in detail, all of them with the bar, and the README's rows."""

from __future__ import annotations

import argparse
import json
import math
import statistics
from pathlib import Path
from typing import Any

README = {
    "mlp_b1": "the model above, one row",
    "chain_1e6": "8 pointwise ops with tanh and sigmoid, 1e6 numbers",
    "softmax": "softmax, 4096 x 1024",
    "linear_gelu_128": "linear 768 -> 3072 and gelu, 128 rows",
    "matmul_1024": "matmul 1024 x 1024 x 1024",
}
SHOWN = ("unmoor", "eager", "torchscript", "onnxruntime", "onnxruntime bound", "openvino", "executorch")
NOT_PEERS = ("unmoor", "unmoor numpy", "copy", "moving the bytes", "torch.empty")
Result = dict[str, Any]


def time(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} us"


def best_peer(result: Result) -> str | None:
    peers = [p for p in result["median"] if p not in NOT_PEERS]
    return min(peers, key=lambda p: result["median"][p], default=None)


def floor(result: Result) -> tuple[float, str]:
    """The least time a call can take, and what bounds it."""
    bounds = [(result["flops"] / result["fma_peak"], "flops")]
    if "moving the bytes" in result["median"]:
        bounds.append((result["median"]["moving the bytes"], "bytes"))
    return max(bounds)


def ratio(result: Result, peer: str) -> tuple[float, float, float]:
    """The peer's time over ours: of the medians, and the lowest and highest tenth of the rounds."""
    each = [p / m for p, m in zip(result["rounds"][peer], result["rounds"]["unmoor"], strict=True)]
    tenths = statistics.quantiles(each, n=10) if len(each) > 1 else each * 9
    return result["median"][peer] / result["median"]["unmoor"], tenths[0], tenths[-1]


def details(name: str, result: Result) -> str:
    """All contenders of one workload, the fastest first."""
    medians, least = result["median"], floor(result)
    lines = [f"\n{name}"]
    for contender, seconds in sorted(medians.items(), key=lambda item: item[1]):
        times = f"{medians[contender] / medians['unmoor']:6.2f}" if "unmoor" in medians else ""
        rate = f"  floor/time {least[0] / seconds:.2f} ({least[1]})" if least[0] else ""
        lines.append(f"  {contender:20} {time(seconds):>10} {times}{rate}")
    lines += [f"  {contender:20} failed: {why}" for contender, why in result["failed"].items()]
    return "\n".join(lines)


def summary(results: dict[str, Result]) -> str:
    """One row a workload, and the geometric means of the ratios to the best peer."""
    names = [s for s in SHOWN if any(s in r["median"] for r in results.values())]
    lines = ["", f"| workload | floor | {' | '.join(names)} | best peer | x best | tenths | bar |"]
    lines.append(f"|---|---:|{'---:|' * len(names)}---|---:|---|---|")
    ratios: dict[str, float] = {}
    bound_by_flops = []
    for name, result in results.items():
        medians, peer, (least, by) = result["median"], best_peer(result), floor(result)
        cells = [time(medians[n]) if n in medians else "-" for n in names]
        row = [name, f"{time(least)} {by}" if least > 1e-7 else "-", *cells]
        if peer is None or "unmoor" not in medians:
            lines.append(f"| {' | '.join(row)} | | | | |")
            continue
        middle, low, high = ratio(result, peer)
        ratios[name] = middle
        if by == "flops" and least > 1e-4:
            bound_by_flops.append(name)
        bar = 0.97 if least > 0.9 * medians[peer] else 1.0
        met = "met" if middle >= bar else "missed"
        lines.append(f"| {' | '.join(row)} | {peer} | {middle:.2f} | {low:.2f} to {high:.2f} | {met} |")
    for what, chosen in (("all", list(ratios)), ("those bound by flops", bound_by_flops)):
        if chosen:
            mean = math.exp(statistics.fmean(math.log(ratios[n]) for n in chosen))
            lines.append(f"\nGeometric mean of the best peer's time over ours, {what} ({len(chosen)}): {mean:.2f}")
    return "\n".join(lines)


def readme(results: dict[str, Result]) -> str:
    """The README's rows."""
    shown = ("unmoor", "eager", "torchscript", "onnxruntime", "openvino")
    lines = [f"| | {' | '.join(shown)} | best peer | ours is faster by |", f"|---|{'---:|' * (len(shown) + 2)}"]
    for name, title in README.items():
        medians, peer = results[name]["median"], best_peer(results[name])
        assert peer is not None
        cells = [time(medians[p]) if p in medians else "-" for p in shown]
        faster = medians[peer] / medians["unmoor"]
        lines.append(f"| {title} | {' | '.join(cells)} | {peer}, {time(medians[peer])} | {faster:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="?", type=Path, default=Path("build/bench/results.json"))
    parser.add_argument("--readme", action="store_true", help="the README's rows only")
    asked = parser.parse_args()
    known = json.loads(asked.results.read_text())
    if asked.readme:
        print(readme(known["1"]))
        return
    print(json.dumps(known["circumstances"]))
    for threads in sorted(k for k in known if k.isdigit()):
        print(f"\n## {threads} thread{'s' if threads != '1' else ''}\n{summary(known[threads])}")


if __name__ == "__main__":
    main()
