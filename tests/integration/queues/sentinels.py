"""A Redis with a replica, and three Sentinels that make the replica the master when the master is gone."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.sentinel import Sentinel

from tests.integration.worker.harness import wait_until
from tests.services import LOOPBACK, _accepts, _child, free_port, require

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    import redis

MASTER = "mymaster"
NUMBER = 3
CONFIGURATION = f"""
sentinel monitor {MASTER} {LOOPBACK} {{master}} 2
sentinel down-after-milliseconds {MASTER} 1000
sentinel failover-timeout {MASTER} 5000
"""


@dataclass
class Watched:
    """What runs."""

    url: str
    master: subprocess.Popen[bytes]
    sentinel: Sentinel

    def client(self) -> redis.Redis:
        """Give a client of whoever is the master now."""
        found: redis.Redis = self.sentinel.master_for(MASTER)
        return found


@contextmanager
def watched(directory: Path) -> Iterator[Watched]:
    """Run them, and wait until the Sentinels know one another and the replica."""
    server = require(shutil.which("redis-server"), "redis-server is not installed: apt-get install redis-server")
    ports = [free_port() for _ in range(NUMBER)]
    master, replica = free_port(), free_port()
    with ExitStack() as stack:

        def started(port: int, *options: str) -> subprocess.Popen[bytes]:
            command = [server, *options, "--port", str(port), "--bind", LOOPBACK, "--dir", str(directory)]
            log = directory / f"redis{port}.out"
            return stack.enter_context(_child(command, log, os.environ, lambda: _accepts(port)))

        quick = ("--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0")
        first = started(master, *quick)
        started(replica, *quick, "--replicaof", LOOPBACK, str(master))
        for port in ports:
            configuration = directory / f"sentinel{port}.conf"
            configuration.write_text(CONFIGURATION.format(master=master))
            started(port, str(configuration), "--sentinel")
        sentinel = Sentinel([(LOOPBACK, port) for port in ports])
        wait_until(lambda: all(_knows_all(each) for each in sentinel.sentinels), "the Sentinels know all")
        yield Watched(";".join(f"sentinel://{LOOPBACK}:{port}" for port in ports), first, sentinel)
        for client in sentinel.sentinels:
            client.close()


def _knows_all(sentinel: redis.Redis) -> bool:
    masters: Any = sentinel.sentinel_masters()
    links = [each["master-link-status"] for each in sentinel.sentinel_slaves(MASTER)]
    return masters.get(MASTER, {}).get("num-other-sentinels") == NUMBER - 1 and links == ["ok"]
