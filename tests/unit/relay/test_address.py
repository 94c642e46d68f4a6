"""The socket's name, with and without a file."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import time
from pathlib import Path

import pytest

from otel_celery.relay.wire import address


@pytest.mark.parametrize("abstract", [True, False])
def test_a_child_finds_the_main_process_by_the_environment(abstract: bool) -> None:  # noqa: FBT001
    """What one side publishes the other connects to; the peer is of the same user; nothing is left over."""
    environ: dict[str, str] = {}
    listener, where = address.listen(feeds_application=True, abstract=abstract)
    where.publish(environ)
    found = address.read(environ)
    assert found == where
    assert (where.owner, where.feeds_application) == (os.getpid(), True)
    assert found.secret == where.secret != bytes(address.SECRET_SIZE)
    assert where.secret.hex() not in repr(where)
    with listener, socket.socket(socket.AF_UNIX) as connection:
        address.connect(connection, where, 1.0)
        accepted, _ = listener.accept()
        with accepted:
            assert address.peer(accepted) == (os.getpid(), os.geteuid())
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


@pytest.mark.parametrize("value", ["", "x", "1", "1:1:", "a:0:@b", "1:0:@b", f"a:0:{'00' * 16}:@b", "1:0:00:@b"])
def test_nonsense_is_no_address(value: str) -> None:
    """A variable that nobody of ours has set is ignored."""
    assert address.read({address.VARIABLE: value}) is None


def test_a_connection_that_is_not_taken_gives_up_in_time(tmp_path) -> None:
    """Where the queue is full it waits, in turn, and no longer than it was told."""
    name = str(tmp_path / "full")
    with socket.socket(socket.AF_UNIX) as listening, contextlib.ExitStack() as opened:
        listening.bind(name)
        listening.listen(0)
        opened.enter_context(socket.socket(socket.AF_UNIX)).connect(name)
        begun = time.monotonic()
        connection = opened.enter_context(socket.socket(socket.AF_UNIX))
        with pytest.raises(OSError, match=r"temporarily unavailable|timed out|refused"):
            address.connect(connection, address.Address(name, 1), 0.2)
        assert time.monotonic() - begun >= 0.2


def test_a_file_that_is_gone_is_made_again(tmp_path, monkeypatch) -> None:
    """Its directory too, as private as before."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    listening, where = address.listen(feeds_application=False, abstract=False)
    before = address.file_of(where)
    assert before is not None
    address.remove(where)
    assert address.file_of(where) is None
    with listening, address.listen_again(where), socket.socket(socket.AF_UNIX) as connection:
        address.connect(connection, where, 1.0)
        assert address.file_of(where) is not None
        assert stat.S_IMODE(Path(where.name).parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o750])
def test_a_directory_that_others_may_enter_is_not_taken(tmp_path, monkeypatch, mode: int) -> None:
    """Somebody may have made one of that name meanwhile."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    listening, where = address.listen(feeds_application=False, abstract=False)
    address.remove(where)
    Path(where.name).parent.mkdir()
    Path(where.name).parent.chmod(mode)
    with listening, pytest.raises(PermissionError):
        address.listen_again(where)
