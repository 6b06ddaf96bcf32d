"""`livemask demo`: a clip played as a camera through a real session, seen, recorded and measured."""

from signaling.demo.command import add_arguments, run

__all__ = ["add_arguments", "run"]
