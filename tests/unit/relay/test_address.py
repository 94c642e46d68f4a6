"""The socket's name, with and without a file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from otel_celery.relay import address


@pytest.mark.parametrize("abstract", [True, False])
def test_a_child_finds_the_main_process_by_the_environment(abstract: bool) -> None:  # noqa: FBT001
    """What one side publishes the other connects to; the peer is of the same user; nothing is left over."""
    environ: dict[str, str] = {}
    listener, where = address.listen(feeds_application=True, abstract=abstract)
    where.publish(environ)
    found = address.read(environ)
    assert found == where
    assert (where.owner, where.feeds_application) == (os.getpid(), True)
    with listener, address.connect(where, 1.0):
        accepted, _ = listener.accept()
        with accepted:
            assert address.is_of_same_user(accepted)
    if not abstract:
        assert stat.S_IMODE(Path(where.name).parent.stat().st_mode) == 0o700
    address.remove(where)
    assert not Path(where.name).parent.exists() or abstract
    where.withdraw(environ)
    assert environ == {}


def test_what_another_worker_published_stays() -> None:
    """A worker takes back its own variable only."""
    environ: dict[str, str] = {}
    address.Address("@two", 2).publish(environ)
    address.Address("@one", 1).withdraw(environ)
    assert address.read(environ) == address.Address("@two", 2)


@pytest.mark.parametrize("value", ["", "x", "1", "1:1:", "a:0:@b"])
def test_nonsense_is_no_address(value: str) -> None:
    """A variable that nobody of ours has set is ignored."""
    assert address.read({address.VARIABLE: value}) is None
