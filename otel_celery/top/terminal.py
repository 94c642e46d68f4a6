"""What the terminal can show: whether there is one for a live view, and letters that it does not take."""

from __future__ import annotations

import codecs
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

DUMB = frozenset({"dumb", "unknown"})
"""Values of TERM for a terminal whose cursor nobody can move."""
INSTEAD = {"…": "~", "≤": "<"}
"""What stands for our own letters in a terminal that takes ASCII alone."""
HANDLER = "otel_celery.one_letter"


def is_dumb(environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether the terminal cannot draw a screen."""
    return environ.get("TERM", "") in DUMB


def is_terminal() -> bool:
    """Tell whether somebody sits at a terminal that can: colours may be forced where nobody does."""
    return sys.stdin.isatty() and sys.stdout.isatty() and not is_dumb()


def keep_width(stream: TextIO | None) -> None:
    r"""Have a stream write one letter for each that it cannot encode.

    Standard error would write six, such as ``\u2026``, and the line would be longer than the screen.
    """
    codecs.register_error(HANDLER, _instead)
    if stream is not None and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=HANDLER)


def _instead(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(INSTEAD.get(letter, "?") for letter in error.object[error.start : error.end]), error.end
