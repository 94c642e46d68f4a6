"""What the commands that ask a port share: where it is, and what to show it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from otel_celery.masking import quoted
from otel_celery.pools.client import Identity
from otel_celery.settings.reader import is_host

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def options(command: F) -> F:
    """Add the options of every command that asks a port."""
    for add in (
        click.option("--timeout", default=2.0, show_default=True, help="Seconds to wait for an answer."),
        click.option("--key-file", type=FILE, help="The private key of --cert-file, if it is not in it."),
        click.option("--cert-file", type=FILE, help="A client certificate, for a port that asks for one."),
        click.option("--ca-file", type=FILE, help="What to trust; asks with TLS.  [default: the port's certificate]"),
    ):
        command = add(command)
    return command


def host(value: str) -> str:
    """Take a host's name or address, as it can be looked up: on another one the lookup would raise."""
    if not is_host(value):
        raise click.BadParameter(f"{quoted(value)} is neither a host's name nor an address")
    return value


def identity(ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> Identity:
    """Make an Identity of the options."""
    if key_file is not None and cert_file is None:
        raise click.UsageError("--key-file needs --cert-file")
    return Identity(ca_file, cert_file, key_file)
