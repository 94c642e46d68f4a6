"""Spans as trees: what a trace looked like, to be compared as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.otlp import Span

ERROR = 2
"""OTLP's status code."""


def tree(spans: Iterable[Span], trace_id: str) -> list[Any]:
    """Nest the names of one trace's spans: ``[name, child, child, ...]``, children in the order of their names.

    A name ends in ``!`` where the span is an error; a span whose parent never arrived stands beside the root.
    """
    mine = [span for span in spans if span.data.trace_id.hex() == trace_id]
    known = {span.data.span_id for span in mine}

    def below(parent: bytes) -> list[Any]:
        return sorted([_name(span), *below(span.data.span_id)] for span in mine if span.data.parent_span_id == parent)

    adrift = [[f"adrift: {_name(span)}"] for span in mine if span.data.parent_span_id not in {b"", *known}]
    return [*below(b""), *adrift]


def root(what: str, *below: Any) -> list[Any]:
    """Say which tree the publisher's scenario is to make."""
    return [[f"root {what}", *sorted(below)]]


def task(name: str, *inside: Any, error: bool = False, inner: str = "inner") -> list[Any]:
    """Say which spans a task makes: that of its publishing, of its run, and those inside; ``inner`` may be empty."""
    mark = "!" if error else ""
    within = [*([[inner]] if inner else []), *inside]
    return [f"apply_async/t.{name}", [f"run/t.{name}{mark}", *sorted(within)]]


def events(span: Span) -> list[tuple[str, str]]:
    """List a span's events with the type of exception that each tells of."""
    return [
        (event.name, attribute.value.string_value.rpartition(".")[2])
        for event in span.data.events
        for attribute in event.attributes
        if attribute.key == "exception.type"
    ]


def _name(span: Span) -> str:
    return span.name + ("!" if span.data.status.code == ERROR else "")
