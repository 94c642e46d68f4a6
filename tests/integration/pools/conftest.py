"""Pools of the tiny app, on a real broker and free ports."""

from __future__ import annotations

import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003  a dataclass's field

import pytest
from celery import Celery

from tests.integration.pools.fleet import Fleet, otel_celery
from tests.services import free_port


@dataclass
class Yard:
    """What a test of the pools works with."""

    directory: Path
    broker: str
    queue: str = field(default_factory=lambda: f"q{uuid.uuid4().hex[:8]}")
    ports: tuple[int, int] = field(default_factory=lambda: (free_port(), free_port()))

    @property
    def file(self) -> Path:
        """Write the pools file: two pools, one of them on a queue that no other test uses."""
        file = self.directory / "pools.toml"
        file.write_text(
            f'[defaults]\napp = "tiny"\nhostname = "localhost"\nconcurrency = 1\n'
            f'[pools.one]\nport = {self.ports[0]}\nqueues = ["{self.queue}"]\n'
            f'[pools.two]\nport = {self.ports[1]}\nqueues = ["{self.queue}-two"]\n'
        )
        return file

    def up(self, *names: str) -> Fleet:
        """Start `pools up`."""
        command = otel_celery("pools", "up", "--file", str(self.file), *names)
        return Fleet(command, self.directory / "up.out", {"CELERY_BROKER_URL": self.broker})

    def nap(self, seconds: float) -> Path:
        """Have a task sleep in the first pool; give the file where it leaves its marks."""
        mark = self.directory / "mark"
        with Celery(broker=self.broker) as app:
            app.send_task("tiny.nap", (seconds, str(mark)), queue=self.queue)
        return mark


@pytest.fixture
def yard(tmp_path: Path, redis_url: str) -> Yard:
    """Give two pools that may be started."""
    if not sys.platform.startswith("linux"):
        pytest.skip("processes are looked up in /proc")
    return Yard(tmp_path, redis_url)
