"""Random programs against eager PyTorch, as many as asked for; goes on where a run before it stopped.

python tools/random_programs.py --count 20000 --log build/random_programs.jsonl [--part 0/2]
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import signal
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "property"))
import agreement
from programs import program

from unmoor.jit import specialisations

SKIPPED = 10  # in one of so many programs, a pass is left out
LONGEST = 60  # seconds of processor time for a program; one that takes longer is wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=20000, help="how many programs (20000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--log", type=Path, default=Path("build/random_programs.jsonl"), help="a line for each program")
    parser.add_argument("--part", default="0/1", metavar="I/N", help="the I-th of N processes, each with its own log")
    parser.add_argument("--only", type=int, help="run and show the program of this seed")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    specialisations.Linker = agreement.SharedLinker  # type: ignore[misc]
    if asked.only is not None:
        made = program(random.Random(asked.only), asked.only)
        print(made.source, *(f"{a.name}: {a.dtype} {a.dims}" for a in made.arguments), made.sizes, sep="\n")
        print(_run(asked.only))
        return 0
    index, parts = map(int, asked.part.split("/"))
    asked.log.parent.mkdir(parents=True, exist_ok=True)
    done = {json.loads(line)["seed"] for line in asked.log.read_text().splitlines()} if asked.log.exists() else set()
    with asked.log.open("a", buffering=1) as log:
        for seed in range(asked.first + index, asked.first + asked.count, parts):
            if seed not in done:
                log.write(json.dumps(_run(seed)) + "\n")
    return _report(asked.log)


class Late(BaseException):
    """A program took too long."""


def _late(number: int, frame: object) -> None:
    raise Late(f"not done after {LONGEST} s")


def _run(seed: int) -> dict[str, object]:
    r = random.Random(seed)
    started = time.process_time()
    signal.signal(signal.SIGPROF, _late)
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    skip = None
    try:
        made = program(r, seed)
        skip = r.choice(agreement.passes()) if seed % SKIPPED == 0 else None
        outcome = agreement.check(made, r, skip)
    except (Exception, Late) as error:
        outcome = agreement.Outcome("wrong", f"{type(error).__name__}: {error}"[:600])
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    seconds = round(time.process_time() - started, 3)
    return {"seed": seed, **vars(outcome), "skip": skip, "seconds": seconds}


def _report(path: Path) -> int:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    verdicts = collections.Counter(line["verdict"] for line in lines)
    compared, guarded = (sum(line[k] for line in lines) for k in ("compared", "guarded"))
    for verdict in ("right", "refused", "wrong"):
        print(f"{verdict}: {verdicts[verdict]} of {len(lines)} programs ({verdicts[verdict] / len(lines):.2%})")
    print(f"{compared} calls equal to eager PyTorch, {guarded} refused by a guard")
    for reason, count in collections.Counter(x["why"] for x in lines if x["verdict"] == "refused").most_common():
        print(f"  refused {count}: {reason}")
    for line in lines:
        if line["verdict"] == "wrong":
            print(f"  WRONG, seed {line['seed']}: {line['why']}")
    return 1 if verdicts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
