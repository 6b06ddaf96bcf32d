"""Verbs that run in a network's precision: only what calls the network.

Filters, histograms and windows would be others in bfloat16, and CPUs autocast no float16.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class OfNetwork(Protocol):
    """What calls a network; `autocast` is `Model.autocast`."""

    @property
    def autocast(self) -> Callable[[], AbstractContextManager[object]]: ...


N = TypeVar("N", bound=OfNetwork)


def in_precision(verb: Callable[Concatenate[N, P], R]) -> Callable[Concatenate[N, P], R]:
    """A method that runs under its object's `autocast`."""

    @wraps(verb)
    def run(owner: N, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with owner.autocast():
            return verb(owner, *args, **kwargs)

    return run
