"""A command that is not left behind: run as a script, it ties itself to its parent and becomes the command.

A process killed with SIGKILL cannot end its children, but Linux can tell them: prctl(PR_SET_PDEATHSIG) outlives
exec. Run by path, without site-packages: it costs some 20 ms, and imports nothing of ours.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Ask for a signal at the parent's death, then become the command: ``<parent> <signal> <command>...``."""
    parent, signum, *command = arguments
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signum), 0, 0, 0)
    if os.getppid() != int(parent):  # it died before we had asked
        return
    os.execvp(command[0], command)  # noqa: S606  no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
