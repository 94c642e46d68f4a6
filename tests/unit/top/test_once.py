"""A view printed once."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from otel_celery.top import once
from tests.unit.top.scenes import TROUBLE


def printed(width: int, name: str) -> list[str]:
    """Print the fleet in trouble, one of whose workers has this name, and give the tables' lines."""
    worker, *others = TROUBLE.workers
    view = replace(TROUBLE, workers=(replace(worker, name=name), *others), problems=())
    written = io.StringIO()
    once.show(Console(file=written, width=width, soft_wrap=True), view)
    return written.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize("name", ["trading@web1", "x" * 300], ids=["short", "long"])
def test_columns_that_have_no_room_are_left_out(width: int, name: str) -> None:
    """No head and no figure is cut: what is cut is a name, where it has to be."""
    lines = printed(width, name)
    assert all(len(line) <= width for line in lines)
    assert "…" not in "".join(lines).replace("x…", "")
    assert lines[1].split()[:4] == ["worker", "state", "busy", "recv/s"]
    assert ("sched" in lines[1]) == (width == 200)


def test_where_there_is_room_a_long_name_is_printed_whole() -> None:
    """Where no terminal ends the line."""
    assert f"{'x' * 50}  up " in "\n".join(printed(200, "x" * 50))
