"""How a command fails: one sentence on stderr, and the status that says what kind of failure it is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from otel_celery.settings.settings import EX_CONFIG, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Misconfigured(click.ClickException):
    """The environment, or a file, says what is not allowed."""

    exit_code = EX_CONFIG


@contextmanager
def extra(name: str, *modules: str) -> Iterator[None]:
    """Say which extra is missing when one of its modules is."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in modules:
            raise
        raise click.ClickException(f"{missing} is not installed: pip install 'otel-celery[{name}]' brings it") from None


@contextmanager
def misconfigured(*errors: type[Exception]) -> Iterator[None]:
    """Turn a sentence about the configuration into the end of the command."""
    caught: tuple[type[Exception], ...] = (SettingsError, *errors)
    try:
        yield
    except caught as error:
        raise Misconfigured(str(error)) from None
