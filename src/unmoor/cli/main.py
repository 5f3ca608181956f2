"""The entry point of `unmoor`: reads the command line, runs a command, and shows errors without tracebacks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import unmoor
from unmoor.cli import bench, graph, info, run, verify
from unmoor.cli.arguments import UsageError
from unmoor.errors import UnmoorError

FAILED, USAGE = 1, 2
COMMANDS = {"info": info, "run": run, "graph": graph, "verify": verify, "bench": bench}


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command. 0: it worked; 1: it failed, and the error stream says why; 2: the words make no sense."""
    parser = argparse.ArgumentParser(
        prog="unmoor",
        description="Looks into files of traced PyTorch programs, runs, checks and times them.",
        epilog="Exit codes: 0 it worked, 1 it failed, 2 the command line makes no sense.",
    )
    parser.add_argument("--version", action="version", version=f"unmoor {unmoor.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parsers: dict[str, argparse.ArgumentParser] = {}
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or "").split("\n")[0]
        parsers[name] = commands.add_parser(name, help=summary, description=summary)
        module.add_arguments(parsers[name])
    command, *rest = list(sys.argv[1:] if words is None else words) or [""]
    if command not in parsers:
        parser.parse_args([command, *rest])  # shows what was asked for, or why it makes no sense
        return USAGE
    asked = parsers[command].parse_intermixed_args(rest)  # options may stand before tensors, between and after them
    try:
        return int(COMMANDS[command].execute(asked))
    except UsageError as error:
        print(f"unmoor {command}: {error}", file=sys.stderr)
        return USAGE
    except BrokenPipeError:
        return FAILED
    except (UnmoorError, OSError, MemoryError) as error:
        print(f"unmoor {command}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130


def script() -> None:
    """What the installed command calls."""
    sys.exit(main())
