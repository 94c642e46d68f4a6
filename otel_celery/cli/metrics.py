"""``otel-celery metrics``: print the catalogue of metrics."""

from __future__ import annotations

import click


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "markdown", "json"]), default="text", show_default=True)
def metrics(form: str) -> None:
    """Print every metric: its exported name, kind, labels and meaning."""
    from otel_celery.record import reference  # noqa: PLC0415  imports OpenTelemetry, which only this command needs

    forms = {"text": reference.text, "markdown": reference.markdown, "json": reference.json}
    click.echo(forms[form]())
