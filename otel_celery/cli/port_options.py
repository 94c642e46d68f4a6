"""Options shared by the commands that send requests to a port: timeout, TLS files, host."""

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
    """Add --timeout, --ca-file, --cert-file and --key-file to a command."""
    for add in (
        click.option("--timeout", default=2.0, show_default=True, help="Seconds to wait for an answer."),
        click.option("--key-file", type=FILE, help="The private key of --cert-file, if it is not in it."),
        click.option("--cert-file", type=FILE, help="A client certificate, for a port that asks for one."),
        click.option("--ca-file", type=FILE, help="What to trust; asks with TLS.  [default: the port's certificate]"),
    ):
        command = add(command)
    return command


def host(value: str) -> str:
    """Check that an option's value is a host's name or address.

    Raises click.BadParameter if it is neither: the lookup would fail on it later.
    """
    if not is_host(value):
        raise click.BadParameter(f"{quoted(value)} is neither a host's name nor an address")
    return value


def identity(ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> Identity:
    """Make an Identity of the options.

    Raises click.UsageError on a key without a certificate.
    """
    if key_file is not None and cert_file is None:
        raise click.UsageError("--key-file needs --cert-file")
    return Identity(ca_file, cert_file, key_file)
