"""What may be said of a value: never a secret, and never more than one short line.

Everything that quotes the environment, the pools file or somebody's error goes through here. A secret is known by where
it stands (before the ``@`` of a URL, behind its ``?``, after the name of a header), or because it was handed to
:func:`keep` when the environment was read.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

LONGEST = 240
"""Characters of a refusal, so that the line which says what follows from it has at most 300."""

ROOM = 120
"""Characters of a value that are quoted at most."""

MASK = "***"

_MAX_TEXT = 20_000
_SHORTEST = 8
"""Characters of a secret that is looked for by itself: a header may as well be ``true``."""

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
    """Something that the operator wrote is not allowed; the message is one sentence, without secrets."""

    def __init__(self, sentence: str) -> None:
        """Make one short line of it."""
        # What is kept is out of the values already; here it might be a part of the variable's name.
        super().__init__(_line(_recognised(sentence[:_MAX_TEXT]), LONGEST))


def keep(secret: str) -> None:
    """Never show this text again, wherever it may turn up."""
    if len(secret) >= _SHORTEST or secret.endswith("@"):
        _kept.add(secret)


def keep_user(url: str) -> None:
    """Never show what stands before the ``@`` of a URL, nor the parts that a library may take for its host."""
    user, at, _ = url.rpartition("@")
    user = user.rpartition("://")[2]
    for secret in (f"{user}{at}", user, *_PARTS.split(user.partition(":")[2])):
        if secret:
            keep(secret)
            keep(unquote(secret))


def masked(text: str) -> str:
    """Leave the secrets out of a text, such as an error's."""
    text = text[:_MAX_TEXT]
    for secret in sorted(_kept, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _recognised(text)


def _recognised(text: str) -> str:
    text = _URL.sub(lambda found: masked_url(found.group()), text)
    text = _ASKED.sub(f"?{MASK}", text)
    return _SCHEMED.sub(rf"\1 {MASK}", _NAMED.sub(rf"\1{MASK}", text))


def masked_url(url: str) -> str:
    """Leave the credentials and the query out of a URL, or of what should be one; in doubt it is a secret."""
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
    """Leave out what stands where the port does and is none: a password whose host was forgotten."""
    end = _END_OF_HOST.search(place)
    host, path = (place[: end.start()], place[end.start() :]) if end else (place, "")
    bracket = host.rfind("]") + 1
    name, colon, port = host[bracket:].partition(":")
    return f"{host[:bracket]}{name}{colon}{MASK if port and not port.isdecimal() else port}{path}"


def quoted(value: object, room: int = ROOM) -> str:
    """Quote a value in at most so many characters, and without secrets."""
    if not isinstance(value, str):
        return _cut(masked(_represented(value)), room)
    is_place = "://" in value or (":" in value and _AT.search(value))
    return _cut(repr((masked_url(value) if is_place else masked(value))[:room]), room, len(value) > room)


def plain(text: str, room: int = LONGEST) -> str:
    """Make one line of at most so many characters, all of them printable, without secrets."""
    return _line(masked(text), room)


def reason(error: BaseException) -> str:
    """Say what an error says, or its class where it says nothing."""
    return plain(str(error)) or type(error).__name__


def printable(text: str) -> str:
    """Make every letter of a text printable: a line break in it would begin a sentence that is none of ours."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _line(text: str, room: int) -> str:
    line = " ".join(text.split())
    return _cut(printable(line[:room]), room)


def _represented(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # a number of thousands of digits
        return f"a very long {type(value).__name__}"


def _cut(text: str, room: int, is_cut: bool = False) -> str:  # noqa: FBT001, FBT002  it is of this module alone
    return f"{text[: room - 1]}\N{HORIZONTAL ELLIPSIS}" if is_cut or len(text) > room else text
