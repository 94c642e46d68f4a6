"""The command ``otel-celery``; each subcommand is imported only when it is called, so that a probe starts fast."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import click

from otel_celery.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = ("check", "demo", "doctor", "metrics", "pools", "probe", "queues", "runbook", "targets", "top")
"""The subcommands; each has the same name as its module, and as its function there."""


class Lazy(click.Group):
    """A group of commands that imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the names of the commands, for the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's signature
        """Import a command by its name; None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"otel_celery.cli.{cmd_name}"), cmd_name)
        return command


@click.command(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="otel-celery")
def main() -> None:
    """Metrics of Celery workers: the pools that serve them, and questions about them."""


__all__: Sequence[str] = ("main",)
