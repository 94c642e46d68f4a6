"""What is said of values and errors: one short line, and no secret in it."""

from __future__ import annotations

import signal

import pytest
from billiard.exceptions import SoftTimeLimitExceeded

from otel_celery import masking
from otel_celery.masking import RefusedError, foreign, keep, keep_user, masked, masked_url, plain, quoted
from otel_celery.settings.settings import SettingsError, read


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://c:4318/v1/metrics", "http://c:4318/v1/metrics"),
        ("https://user:hidden@c:4318/x", "https://***@c:4318/x"),
        ("https://user:hid@den@c", "https://***@c"),
        ("https://user:hid/den@c", "https://***@c"),
        ("https://user:hid?den@c", "https://***"),
        ("https://c/x?key=hidden", "https://c/x?***"),
        ("https://c/x?key=hid@den", "https://***"),
        ("https://c/x#hidden", "https://c/x?***"),
        ("user:hidden@c:4317", "***@c:4317"),
        ("http:/user:hidden@c", "***@c"),
        ("http://user:hidden%40c", "http://***@c"),
        ("http://user:hidden\N{FULLWIDTH COMMERCIAL AT}c", "http://***@c"),
        ("http://user:hidden", "http://user:***"),
        ("http:user:hidden", "http:***"),
        ("http://[::1]:4318/", "http://[::1]:4318/"),
        ("http://[::1]:hidden", "http://[::1]:***"),
        ("tcp://10.43.0.12:9090", "tcp://10.43.0.12:9090"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    """What may be a secret is taken for one."""
    assert masked_url(url) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "HTTPConnectionPool(host='c'): Max retries exceeded with url: /v1/traces?key=hidden (Caused by x)",
            "HTTPConnectionPool(host='c'): Max retries exceeded with url: /v1/traces?*** (Caused by x)",
        ),
        ("Failed to parse: http://user:hidden@c:4318", "Failed to parse: http://***@c:4318"),
        ("Authorization: Bearer hidden", "Authorization: ***"),
        ("metadata was invalid: [('authorization', 'Basic hidden')]", "metadata was invalid: [('authorization', ***)]"),
        ("{'x-api-key': 'hidden', 'a': 'b'}", "{'x-api-key': ***, 'a': 'b'}"),
        ("code: 401, reason: Bearer abcdef0123456789", "code: 401, reason: Bearer ***"),
        ("Basic authentication is needed", "Basic authentication is needed"),
        ("is not a token of ours, and was ignored", "is not a token of ours, and was ignored"),
    ],
)
def test_an_error_is_said_without_its_secrets(text: str, shown: str) -> None:
    """As requests, urllib3, gRPC and a collector's answer put them."""
    assert masked(text) == shown


def test_what_was_kept_is_never_shown() -> None:
    """Wherever it turns up; what is as short as a word is not looked for."""
    keep("hidden value")
    keep("true")
    assert masked("it was true that hidden values, and 'hidden value'") == "it was true that ***s, and '***'"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://user:hidden-part#more@proxy:1", "Failed to parse: 'user:hidden-part' is no host"),
        ("http://us]er:[hidden-secret@proxy:1", "'hidden-secret@proxy:1' is no IPv6 address"),
        ("u:pw@collector:4317", "errors resolving u:pw@collector:4317"),
        ("http://user:a%2Fhidden-secret@proxy:1", "cannot use a/hidden-secret"),
    ],
)
def test_whoever_stands_before_the_host_is_never_shown(url: str, said: str) -> None:
    """A library that reads a URL in a way of its own quotes a part of it."""
    keep_user(url)
    assert not any(secret in masked(said) for secret in ("hidden", "pw"))


def test_a_variable_is_named_whatever_is_kept() -> None:
    """A header may have the value that is a part of its name."""
    keep("PROMETHEUS_PORT")
    with pytest.raises(SettingsError, match=r"^PROMETHEUS_PORT='x' is"):
        read({"PROMETHEUS_ENABLED": "true", "PROMETHEUS_PORT": "x"})


@pytest.mark.parametrize(
    "letter", ["x", "\n", "\udcff", "\N{RIGHT-TO-LEFT OVERRIDE}", "\0", "\N{LINE SEPARATOR}", "a.", "a-", "http://"]
)
def test_whatever_is_said_is_one_short_line(letter: str) -> None:
    """Of letters that can be printed, and made in no time."""
    value = letter * 100_000
    for said in (plain(value), quoted(value), str(RefusedError(f"x={value!r} {value}"))):
        assert len(said) <= masking.LONGEST
        assert not said or said.isprintable()


def test_a_number_that_cannot_be_printed_is_described() -> None:
    """A hexadecimal one may have more digits than Python writes."""
    assert quoted(16**5000) == "a very long int"
    assert quoted(True) == "True"
    assert quoted(["http://user:hidden@c"]) == "['http://***@c']"


@pytest.mark.parametrize("ended", [SystemExit, SoftTimeLimitExceeded])
def test_what_a_signals_handler_raises_passes_through_another_packages_code(ended: type[BaseException]) -> None:
    """SIGTERM ends a process, and a limit its task, also while a plug-in is loaded; that one's own exit is refused."""

    def handler(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)  # as billiard's does, so that a second signal ends the process
        raise ended

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(ended), foreign(RefusedError):
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    with pytest.raises(RefusedError), foreign(RefusedError):
        raise ended
