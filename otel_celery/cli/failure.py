"""Turn errors into the end of a command: one sentence on stderr, and the exit status for its kind of failure."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from otel_celery.settings.settings import EX_CONFIG, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Misconfigured(click.ClickException):
    """The environment or a file has a value that is not allowed."""

    exit_code = EX_CONFIG


@contextmanager
def extra(name: str, *modules: str) -> Iterator[None]:
    """Name the extra to install when the import of one of its modules fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in modules:
            raise
        raise click.ClickException(f"{missing} is not installed: pip install 'otel-celery[{name}]' brings it") from None


@contextmanager
def misconfigured(*errors: type[Exception]) -> Iterator[None]:
    """Turn a SettingsError, or one of the given errors, into exit status 78 with its message."""
    try:
        yield
    except (SettingsError, *errors) as error:  # type: ignore[misc]  # mypy cannot unpack here
        raise Misconfigured(str(error)) from None
