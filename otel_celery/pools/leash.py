"""A script that runs a command which Linux signals when the script's parent dies.

A process killed with SIGKILL cannot end its children. So the script asks the kernel for a signal at its parent's death
with prctl(PR_SET_PDEATHSIG), which outlives exec, and becomes the command. It runs by path, without site-packages, and
imports nothing of ours: so it costs some 20 ms.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Ask for a signal at the parent's death, and exec the command; arguments: ``<parent> <signal> <command>...``."""
    parent, signum, *command = arguments
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signum), 0, 0, 0)
    if os.getppid() != int(parent):  # it died before prctl
        return
    os.execvp(command[0], command)  # noqa: S606  no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
