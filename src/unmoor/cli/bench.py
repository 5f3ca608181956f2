"""Measures the time of a call."""

from __future__ import annotations

import argparse
import statistics
import time

from unmoor.cli.arguments import add_model, add_tensors, read_tensors, thread_count, trust_of
from unmoor.jit.load import load
from unmoor.runtime.structures import rebuild


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_tensors(parser)
    parser.add_argument("--weights", choices=("map", "huge"), default="map", help="mapped, or in huge pages (map)")
    parser.add_argument("--threads", type=thread_count, default=1, metavar="N", help="how many a call may use (1)")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long to measure (1)")


def execute(asked: argparse.Namespace) -> int:
    start = time.perf_counter()
    model = load(
        asked.file, trust=trust_of(asked.trust), method=asked.method, threads=asked.threads, weights=asked.weights
    )
    loaded = time.perf_counter()
    args, kwargs = rebuild(model.arguments, tuple(read_tensors(asked.tensors, model.signatures)))
    before = time.perf_counter()
    model(*args, **kwargs)
    first = time.perf_counter() - before
    group = max(1, int(20e-6 / max(first, 1e-7)))  # short calls are timed in groups
    times: list[float] = []
    until = time.perf_counter() + asked.seconds
    while not times or time.perf_counter() < until:
        before = time.perf_counter()
        for _ in range(group):
            model(*args, **kwargs)
        times.append((time.perf_counter() - before) / group)
    print(f"engine  {model.engine}")
    print(f"load    {_time(loaded - start)}")
    print(f"first   {_time(first)}")
    print(f"median  {_time(statistics.median(times))} over {len(times) * group} calls, fastest {_time(min(times))}")
    return 0


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"
