"""Load an app as ``celery -A`` does, and tell what in it loads otel-celery."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from enum import Flag, auto
from importlib import import_module
from typing import TYPE_CHECKING, Any

from otel_celery.masking import RefusedError, plain, quoted, represented

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PACKAGE = "otel_celery"
HOOK = "otel_celery.hook"


class LoadError(RefusedError):
    """An app, or a module of ``-I``, cannot be loaded; the message is one sentence for the operator."""


class Ways(Flag):
    """What loads otel-celery in a worker of an app."""

    LINE = auto()
    """The app calls ``instrument``."""
    HOOK = auto()
    """The app imports the hook, or names it in its settings."""
    OPTION = auto()
    """``-I`` names the hook, as it does on a worker's command line."""
    LAUNCHER = auto()
    """This process runs under opentelemetry-instrument."""


NOTHING = Ways(0)


def load(name: str) -> Any:
    """Load an app and its modules, from the working directory.

    Raises LoadError if that is not possible.
    """
    from celery.app.utils import find_app  # noqa: PLC0415  a command that needs no app starts faster without Celery

    sys.path.insert(0, str(os.curdir))
    with _loading("the app", name):
        app = find_app(name)
        app.loader.import_default_modules()
        app.finalize()
        named = _named(app)
    if PACKAGE in named:
        raise LoadError(f"the app {quoted(name)} imports {PACKAGE}, which switches nothing on: name {HOOK} instead")
    return app


def ways(app: Any, include: Iterable[str]) -> Ways:
    """Tell what loads otel-celery in workers of a loaded app, with these modules of ``-I``.

    Raises LoadError if one of the modules cannot be imported.
    """
    found = NOTHING
    if HOOK in sys.modules:
        found |= Ways.HOOK
    for module in include:
        _include(module)
        if module == HOOK:
            found |= Ways.OPTION
    from otel_celery.auto import CeleryWorkerInstrumentor  # noqa: PLC0415  as in load
    from otel_celery.worker import is_instrumented  # noqa: PLC0415  the same

    if is_instrumented(app):
        found |= Ways.LINE
    if CeleryWorkerInstrumentor().is_instrumented_by_opentelemetry:
        found |= Ways.LAUNCHER
    return found


def _include(module: str) -> None:
    if module == PACKAGE:
        raise LoadError(f"-I {PACKAGE} switches nothing on: write -I {HOOK}")
    with _loading("the module", module):
        import_module(module)


@contextmanager
def _loading(what: str, name: str) -> Iterator[None]:
    """Raise LoadError for whatever an import raises, save for the operator's own Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also SystemExit: an app may end the process as it is imported, and say nothing
        raise LoadError(_cannot(what, name, error)) from error


def _named(app: Any) -> set[str]:
    """List the modules that an app's settings have Celery import."""
    return {str(module) for setting in (app.conf.imports, app.conf.include) for module in setting or ()}


def _cannot(what: str, name: str, error: BaseException) -> str:
    if not isinstance(error, Exception):  # its text is an exit status, if it has one
        return f"{what} {quoted(name)} cannot be loaded: as it is imported it ends the process ({represented(error)})"
    return f"{what} {quoted(name)} cannot be loaded: {type(error).__name__}: {plain(str(error))}"
