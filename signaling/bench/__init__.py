"""`livemask bench`: the numbers of docs/benchmarks.md."""

from signaling.bench.command import add_arguments, run

__all__ = ["add_arguments", "run"]
