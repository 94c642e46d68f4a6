"""Mask secrets in a text, and cut it to one short line, before it is logged or printed.

Every quotation of the environment, the pools file or an error goes through here. A secret is recognised by its place
(before the ``@`` of a URL, behind its ``?``, after the name of a header), or because it was registered with
:func:`keep` when the environment was read.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote

from otel_celery.interruption import interruption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONGEST = 240
"""Characters of a refusal at most, so that the log line with its consequence has at most 300."""

ROOM = 120
"""Characters of a quoted value at most."""

MAX_REASON = 80
"""Characters at most of the reason for which another package's code failed."""

MASK = "***"

_MAX_TEXT = 20_000
_SHORTEST = 8
"""Characters of a kept secret at least: a header's value may be a common word, such as ``true``."""

_kept: set[str] = set()

_AT = re.compile("@|%40|\N{FULLWIDTH COMMERCIAL AT}|\N{SMALL COMMERCIAL AT}", re.IGNORECASE)
_QUERY = re.compile(r"[?#;]")
_PARTS = re.compile(r"[:/\\?#@\[\]\s]+")
_END_OF_HOST = re.compile(r"[/\\?#;]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://")

_URL = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s'\"<>]+")
_ASKED = re.compile(r"\?[^\s'\"()<>=]{1,200}=[^\s'\"()<>]*")
_NAMED = re.compile(
    r"""\b([\w-]{0,40}(?:authorization|token|secret|passw|api[-_]?key|cookie)[\w-]{0,40}(?:['"]?\s{0,3}[:=]|['"]\s{0,3},)\s{0,3})"""
    r"""(?:'[^']*'|"[^"]*"|(?:(?:basic|bearer)\s+)?[^\s,;)\]}'"]+)""",
    re.IGNORECASE,
)
_SCHEMED = re.compile(r"\b(basic|bearer)\s+(?=\S{0,200}\d|\S{20})[\w+/=.~-]{6,}", re.IGNORECASE)


class RefusedError(ValueError):
    """The operator's configuration holds a value that is not allowed; the message is one sentence, without secrets."""

    def __init__(self, sentence: str) -> None:
        """Cut the sentence to one line of LONGEST characters."""
        # Kept secrets are masked in the quoted values already; masking them here could hit the variable's name.
        super().__init__(_line(_recognised(sentence[:_MAX_TEXT]), LONGEST))


def keep(secret: str) -> None:
    """Register a secret, which :func:`masked` then replaces wherever it turns up."""
    if len(secret) >= _SHORTEST or secret.endswith("@"):
        _kept.add(secret)


def keep_user(url: str) -> None:
    """Register the user and password of a URL, and the parts of them that a library may take for its host."""
    user, at, _ = url.rpartition("@")
    user = user.rpartition("://")[2]
    for secret in (f"{user}{at}", user, *_PARTS.split(user.partition(":")[2])):
        if secret:
            keep(secret)
            keep(unquote(secret))


def masked(text: str) -> str:
    """Replace the secrets in a text, such as an error's message."""
    text = text[:_MAX_TEXT]
    for secret in sorted(_kept, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _recognised(text)


def _recognised(text: str) -> str:
    text = _URL.sub(lambda found: masked_url(found.group()), text)
    text = _ASKED.sub(f"?{MASK}", text)
    return _SCHEMED.sub(rf"\1 {MASK}", _NAMED.sub(rf"\1{MASK}", text))


def masked_url(url: str) -> str:
    """Replace the credentials and the query of a URL, well-formed or not; a doubtful part counts as a secret."""
    found = _SCHEME.match(url)
    scheme = found.group() if found else ""
    rest = url[len(scheme) :]
    query = _QUERY.search(rest)
    ends = [at.end() for at in _AT.finditer(rest)]
    if ends and query and query.start() < ends[-1]:
        return f"{scheme}{MASK}"  # a password with a ? in it, or a query with an @
    shown = rest[ends[-1] if ends else 0 : query.start() if query else len(rest)]
    return f"{scheme}{MASK + '@' if ends else ''}{_masked_port(shown)}{'?' + MASK if query else ''}"


def _masked_port(place: str) -> str:
    """Replace a port that is not a number: it may be a password, in a URL whose host was forgotten."""
    end = _END_OF_HOST.search(place)
    host, path = (place[: end.start()], place[end.start() :]) if end else (place, "")
    bracket = host.rfind("]") + 1
    name, colon, port = host[bracket:].partition(":")
    return f"{host[:bracket]}{name}{colon}{MASK if port and not port.isdecimal() else port}{path}"


def quoted(value: object, room: int = ROOM) -> str:
    """Quote a value without secrets, in at most ``room`` characters."""
    if not isinstance(value, str):
        return _cut(masked(_represented(value)), room)
    is_place = "://" in value or (":" in value and _AT.search(value))
    return _cut(repr((masked_url(value) if is_place else masked(value))[:room]), room, len(value) > room)


def plain(text: str, room: int = LONGEST) -> str:
    """Make a text one printable line without secrets, of at most ``room`` characters."""
    return _line(masked(text), room)


def represented(value: object, room: int = LONGEST) -> str:
    """Return any object's representation as :func:`plain` text; its class if the representation raises."""
    return plain(_represented(value), room)


@contextmanager
def foreign(refusal: Callable[[str], RefusedError]) -> Iterator[None]:
    """Run code of another package, which may raise anything: the ``refusal`` is raised instead, made with the reason.

    KeyboardInterrupt passes, and what a signal's handler raises meanwhile, such as SystemExit for SIGTERM.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if (interrupted := interruption(error)) is not None:
            raise interrupted from None
        raise refusal(represented(error, MAX_REASON)) from error


def reason(error: BaseException) -> str:
    """Return an error's message as :func:`plain` text, or its class if it has none."""
    return plain(str(error)) or type(error).__name__


def printable(text: str) -> str:
    """Escape the unprintable characters of a text: a line break could forge a log line."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _line(text: str, room: int) -> str:
    line = " ".join(text.split())
    return _cut(printable(line[:room]), room)


def _represented(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # a number of thousands of digits
        return f"a very long {type(value).__name__}"
    except BaseException:  # noqa: BLE001  another package's own representation
        return type(value).__name__


def _cut(text: str, room: int, is_cut: bool = False) -> str:  # noqa: FBT001, FBT002  private to this module
    return f"{text[: room - 1]}\N{HORIZONTAL ELLIPSIS}" if is_cut or len(text) > room else text
