"""``otel-celery check``: say in plain words how the processes of an app with this environment will behave."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from otel_celery.cli import loading
from otel_celery.cli.failure import misconfigured
from otel_celery.cli.loading import HOOK, LoadError, Ways
from otel_celery.cli.plans import plans
from otel_celery.cli.problems import problems
from otel_celery.masking import plain, printable
from otel_celery.settings import off, settings

if TYPE_CHECKING:
    from typing import Any

NOT_WELL = 1

NOWHERE = (
    "Nothing loads otel-celery in this app's workers: they have no metrics, whatever the environment says. Call "
    f"instrument(app) in its module, or start them with -I {HOOK} (and check with the same), or start them, and this "
    "command, under opentelemetry-instrument."
)


@click.command()
@click.option("-A", "--app", "name", help="The Celery app, as `celery -A` takes it.")
@click.option("-I", "--include", help="The modules that the worker's command line names so, comma-separated.")
def check(name: str | None, include: str | None) -> None:
    """Read the environment, and the app, and say what will happen.

    With an app: whether it loads otel-celery, which queues its tasks go to, and whether its broker answers. To ask what
    opentelemetry-instrument does, run this command under it.

    Exit status: 0 all is well, 1 no metrics and no spans would be made, or the broker does not answer, 78 something is
    misconfigured.
    """
    modules = [each.strip() for each in (include or "").split(",") if each.strip()]
    if modules and name is None:
        raise click.UsageError("--include needs --app")
    with misconfigured(LoadError):
        app = None if name is None else loading.load(name)
        ways = Ways.LINE if app is None else loading.ways(app, modules)
        found = settings.read(os.environ)  # now: the app's modules may have set variables
    wrong = list(problems(found))
    for sentence in wrong:
        click.echo(f"Error: {printable(sentence)}", err=True)
    is_well = not wrong and _describe(found, ways, app, name)
    for sentence in found.warnings:
        click.echo(printable(sentence))
    raise SystemExit(settings.EX_CONFIG if wrong else 0 if is_well else NOT_WELL)


def _describe(found: settings.Settings, ways: Ways, app: Any, name: str | None) -> bool:
    """Print what will happen; return whether something is exported and the broker, if there is one, answers."""
    is_on, is_answered = found.enabled or found.traces is not None, True
    if app is not None:
        is_answered = _describe_app(app, str(name), ways)
    elif is_on:
        click.echo("For an app that calls instrument(app); -A tells whether one does:")
    if ways and not found.enabled:
        _, sentence = off.sentence(os.environ, found, "a worker")
        click.echo(f"{sentence[:1].upper()}{sentence[1:]}.")
    if ways and not settings.is_disabled(os.environ):
        for sentence in plans(found, os.environ, ways):
            click.echo(printable(sentence))
    return is_on and bool(ways) and is_answered


def _describe_app(app: Any, name: str, ways: Ways) -> bool:
    """Print the app's tasks, queues and broker, and what loads otel-celery; return whether the broker answers."""
    from otel_celery.cli import broker  # noqa: PLC0415  it imports kombu

    tasks = sum(not each.startswith("celery.") for each in app.tasks)
    called = plain(str(app.main or "unnamed"))
    click.echo(f"The app {plain(name)!r} is {called}, with {tasks} task{'s' * (tasks != 1)}.")
    for sentence in broker.routes(app):
        click.echo(sentence)
    is_answered, sentence = broker.answer(app)
    click.echo(sentence)
    for sentence in _loaded(ways):
        click.echo(sentence)
    return is_answered


def _loaded(ways: Ways) -> list[str]:
    """Say what loads otel-celery in the app's workers, or that nothing does."""
    told = {
        Ways.LINE: "The app calls instrument().",
        Ways.HOOK: f"The app imports {HOOK}.",
        Ways.OPTION: f"-I {HOOK} loads otel-celery in a worker.",
        Ways.LAUNCHER: "opentelemetry-instrument loads otel-celery.",
    }
    return [sentence for way, sentence in told.items() if way in ways] or [NOWHERE]
