"""Write the variables as Markdown tables, which ``make generated`` puts into docs/settings.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_celery.settings.variables import VARIABLES, Part

if TYPE_CHECKING:
    from otel_celery.settings.variables import Variable


def markdown() -> str:
    """Return all tables, one for each part."""
    return "\n\n".join(_table(part) for part in Part)


def _table(part: Part) -> str:
    head = [f"### {part.value}", "", "| variable | takes | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *(_row(each) for each in VARIABLES if each.part is part)])


def _row(variable: Variable[Any]) -> str:
    return f"| `{variable.name}` | {variable.takes.words} | {_default(variable)} | {variable.meaning} |"


def _default(variable: Variable[Any]) -> str:
    if variable.shown is not None:
        return variable.shown
    value = variable.default
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value in {None, "", ()} else str(value)
