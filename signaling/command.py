"""What stops a command and is the user's to mend."""

from __future__ import annotations


class CommandError(Exception):
    """Printed as one line without a traceback; the command ends with exit status 2."""
