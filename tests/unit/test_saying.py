"""What an operator is told stands in one place: the log where it takes it, else stderr."""

from __future__ import annotations

import logging

import pytest

from otel_celery import saying
from otel_celery.saying import hold, release, say

STDERR = "otel-celery: ERROR: the port is taken\n"


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> logging.Logger:
    """Put a logger of no tree in the place of ours."""
    made = logging.Logger("ours")  # noqa: LOG001  outside the tree
    monkeypatch.setattr("otel_celery.saying._logger", made)
    monkeypatch.setattr("otel_celery.saying._kept", saying._Kept())
    return made


class Kept(logging.Handler):
    """Keeps what it handles."""

    def __init__(self, level: int = logging.NOTSET) -> None:
        """Have handled nothing."""
        super().__init__(level)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.said.append(record.getMessage())


def test_a_log_that_takes_it_has_it_alone(ours: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    """Also by way of a parent's handler."""
    parent, kept = logging.Logger("parent"), Kept()  # noqa: LOG001  as above
    parent.addHandler(kept)
    ours.parent = parent
    say(logging.ERROR, "the port is taken")
    assert kept.said == ["otel-celery: the port is taken"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("why", ["nothing", "null", "handler's level", "level", "disabled", "not propagated"])
def test_a_log_that_does_not_leaves_it_to_stderr(
    ours: logging.Logger, capsys: pytest.CaptureFixture[str], why: str
) -> None:
    """Whatever the reason."""
    kept = Kept(logging.CRITICAL if why == "handler's level" else logging.NOTSET)
    if why == "null":
        ours.addHandler(logging.NullHandler())
    elif why == "not propagated":
        ours.parent = logging.Logger("parent")  # noqa: LOG001  as above
        ours.parent.addHandler(kept)
        ours.propagate = False
    elif why != "nothing":
        ours.addHandler(kept)
    if why == "level":
        ours.setLevel(logging.CRITICAL)
    ours.disabled = why == "disabled"
    say(logging.ERROR, "the port is taken")
    assert kept.said == []
    assert capsys.readouterr().err == STDERR


@pytest.mark.usefixtures("ours")
def test_no_stderr_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon may have closed it."""
    monkeypatch.setattr("sys.stderr", None)
    say(logging.ERROR, "the port is taken")


def test_what_is_said_before_logging_is_set_up_reaches_the_log(
    ours: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    """In its order, ours by whatever way; the handler of before has nothing of it, nor has stderr."""
    before, after = Kept(), Kept()
    ours.addHandler(before)
    hold()
    hold()
    say(logging.ERROR, "the port is taken")
    ours.warning("otel-celery: %d queues", 3)
    assert capsys.readouterr().err == ""
    ours.removeHandler(before)
    ours.addHandler(after)
    release()
    say(logging.ERROR, "so it goes")
    assert (before.said, capsys.readouterr().err) == ([], "")
    assert after.said == ["otel-celery: the port is taken", "otel-celery: 3 queues", "otel-celery: so it goes"]


def test_what_no_log_takes_in_the_end_is_on_stderr(ours: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    """A worker that ends before its logging is set up releases it as well."""
    hold()
    say(logging.ERROR, "the port is taken")
    ours.error("otel-celery: it failed", exc_info=ValueError("odd"))
    release()
    said = capsys.readouterr().err
    assert said.startswith(f"{STDERR}otel-celery: ERROR: it failed\nValueError: odd\n")


def test_only_the_first_setting_up_is_waited_for(ours: logging.Logger) -> None:
    """A second worker of the process finds the logging of the first."""
    kept = Kept()
    ours.addHandler(kept)
    hold()
    release()
    hold()
    say(logging.ERROR, "the port is taken")
    release()
    assert kept.said == ["otel-celery: the port is taken"]
