"""Find OpenTelemetry's entry points of installed packages, such as exporters and id generators."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, TypeVar

from otel_celery.masking import RefusedError, foreign

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.metadata import EntryPoint

T = TypeVar("T")


def find(group: str, name: str) -> EntryPoint | None:
    """Find the entry point with this name in a group; None if no installed package has it."""
    return next(iter(entry_points(group=group, name=name)), None)


def load(group: str, name: str, variable: str, missing: str) -> Any:
    """Load the entry point that a variable names.

    Raises RefusedError with a sentence for the operator: ``missing`` where there is none, or why it cannot be loaded.
    """
    found = find(group, name)
    if found is None:
        raise RefusedError(missing)
    with foreign(lambda why: RefusedError(f"{variable} names {name!r}, which cannot be loaded: {why}")):
        return found.load()


def make(loaded: Any, name: str, variable: str, **options: Any) -> Any:
    """Make what was loaded.

    Raises RefusedError as above.
    """
    with foreign(lambda why: RefusedError(f"{variable} names {name!r}, which cannot be made: {why}")):
        return loaded(**options)


def provided(get: Callable[[], T], variable: str) -> T:
    """Get a global provider, which the API makes where this variable names one.

    Raises RefusedError as above.
    """
    with foreign(lambda why: RefusedError(f"what {variable} names cannot be made: {why}")):
        return get()
