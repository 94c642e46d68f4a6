"""``otel-celery runbook``: print what an alert means, where no port answers that would serve it."""

from __future__ import annotations

from difflib import get_close_matches

import click

from otel_celery.masking import quoted


@click.command()
@click.argument("alert", required=False)
def runbook(alert: str | None) -> None:
    """Print what an alert means, how to look, and what to do; without ALERT the whole runbook.

    ALERT is its name, such as CeleryWorkerDown. A port that answers has the same for a browser, at /-/runbook.
    """
    from otel_celery.page import runbook as page  # noqa: PLC0415  only this command needs it

    told = page.text() if alert is None else page.section(alert)
    if told is None:
        meant = get_close_matches(str(alert), page.names(), 1)
        raise click.UsageError(
            f"there is no alert {quoted(str(alert))}" + "".join(f"; is it {name}?" for name in meant)
        )
    click.echo(told, nl=False)
