"""What Linux says of a process: its children, descriptors and sockets."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LISTEN = "0A"


def children(pid: int) -> list[int]:
    """List the children of all threads of a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in task.read_text().split()]
    return found


def kill(pids: list[int]) -> None:
    """Kill processes; billiard's children may outlive a parent that was killed, each holding the others' pipes."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def descriptors(pid: int) -> list[str]:
    """List what a process has open; nothing of one that is gone."""
    found = []
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(str(entry.readlink()))
    return found


def threads(pid: int) -> int:
    """Count the threads of a process."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def switches(pid: int) -> int:
    """Count how often the threads of a process have gone to sleep."""
    status = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for text in status)


def sockets(port: int) -> dict[str, str]:
    """Map the sockets at this port of the machine to their states, as :func:`descriptors` names them."""
    return {f"socket:[{inode}]": state for state, inode in _tcp(port) if inode != "0"}


def listeners(port: int) -> set[str]:
    """List the sockets that listen on a port."""
    return {name for name, state in sockets(port).items() if state == LISTEN}


def holders(pids: list[int], port: int) -> set[int]:
    """List the processes that hold a socket at this port."""
    known = sockets(port).keys()
    return {pid for pid in pids if known & set(descriptors(pid))}


def _tcp(port: int) -> Iterator[tuple[str, str]]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[3], fields[9]
