"""What the terminal can show."""

from __future__ import annotations

import io

import pytest

from otel_celery.top.terminal import is_dumb, keep_width


@pytest.mark.parametrize(("term", "expected"), [("dumb", True), ("unknown", True), ("linux", False), (None, False)])
def test_a_dumb_terminal_is_known_by_its_name(term: str | None, expected: bool) -> None:  # noqa: FBT001  a table's column
    """Emacs's shell calls itself so."""
    assert is_dumb({} if term is None else {"TERM": term}) is expected


def test_a_letter_that_the_terminal_does_not_take_stays_one() -> None:
    """Ours have something like them instead."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "ascii", errors="backslashreplace", write_through=True)
    keep_width(stream)
    stream.write("≤ 1 s  bestätigen… 注文")
    assert raw.getvalue() == b"< 1 s  best?tigen~ ??"


def test_a_process_without_standard_error_has_nothing_to_keep() -> None:
    """As one that was detached."""
    keep_width(None)
