"""TLS certificates and credentials of the port, both read again when their files change."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import hmac
import logging
import ssl
import time
from typing import TYPE_CHECKING

from otel_celery.serve.expiry import expiry
from otel_celery.settings import credentials, files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from otel_celery.settings.settings import TLS

CHECK_EVERY = 1.0
"""Seconds between two checks of the certificate's files."""

_logger = logging.getLogger("otel_celery.serve")


class AccessError(Exception):
    """The TLS files cannot be used; the message is one sentence for the operator."""


class Certificates:
    """The port's TLS context, renewed when the certificate is rotated on disk."""

    def __init__(self, files: TLS, clock: Callable[[], float] = time.monotonic) -> None:
        """Load the files; the clock is monotonic, in seconds.

        Raises AccessError when the files cannot be used.
        """
        self._files = files
        self._clock = clock
        self._stamp = self._look()
        self._refused: object = None
        self._look_at = clock() + CHECK_EVERY
        self._context = tls_context(files)

    def context(self) -> ssl.SSLContext:
        """Return the context for a new connection; keep the old one if the new files cannot be used."""
        now = self._clock()
        if now >= self._look_at:
            self._look_at = now + CHECK_EVERY
            stamp = self._look()
            if stamp != self._stamp:
                self._reload(stamp)
        return self._context

    def _reload(self, stamp: object) -> None:
        # A pair of certificate and key that failed is tried again: it may have been half written, or not valid yet.
        try:
            self._context = tls_context(self._files)
        except AccessError as error:
            if stamp != self._refused:
                self._refused = stamp
                _logger.error("The port keeps its old certificate: %s", error)  # noqa: TRY400  the message says it all
        else:
            self._stamp, self._refused = stamp, None
            _logger.info("The port has a new certificate: %s", self._files.certificate)

    def _look(self) -> object:
        files = (self._files.certificate, self._files.key, self._files.client_ca)
        return tuple(_stamp(file) for file in files if file is not None)


def tls_context(given: TLS) -> ssl.SSLContext:
    """Make a server's TLS context: TLS 1.2 or newer, and client certificates of the given CA file only.

    Raises AccessError when the files cannot be used, or the certificate has expired.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        text = _text(given.certificate)
        files.check(given.key)
        context.load_cert_chain(given.certificate, given.key, password=_no_password)
        _refuse_expired(given.certificate, text)
    except (OSError, ValueError) as error:
        raise AccessError(f"{given.certificate} and {given.key} are no usable pair ({_why(error)})") from error
    if given.client_ca is not None:
        try:
            context.load_verify_locations(cadata=_text(given.client_ca))
        except (OSError, ValueError) as error:
            raise AccessError(f"{given.client_ca} is no usable CA file ({_why(error)})") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _no_password() -> str:
    # Without this, OpenSSL would ask for a password on the worker's terminal, and wait.
    raise ValueError("the key is encrypted")


def _why(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error) or type(error).__name__


def _text(path: Path) -> str:
    """Read a PEM file; refuse a pipe, on which OpenSSL would block."""
    return files.read(path).decode("ascii", "replace")


def _refuse_expired(certificate: Path, text: str) -> None:
    end = expiry(text)
    if end is not None and end < dt.datetime.now(dt.timezone.utc):
        raise AccessError(f"{certificate} has expired on {end:%Y-%m-%d}")


class Credentials:
    """The credentials of a file, one a line: ``user:password`` for basic authentication, or else a bearer token.

    Only SHA-256 digests are kept, so that no repr, log line or core dump can show a secret.
    """

    def __init__(self, path: Path) -> None:
        """Read the file at the first request, and again whenever it changes."""
        self._path = path
        self._stamp: object = ()  # unequal to that of any file, or of a missing one (None)
        self._said = ""
        self._basic: tuple[bytes, ...] = ()
        self._bearer: tuple[bytes, ...] = ()

    def admit(self, authorization: str) -> bool:
        """Tell whether an Authorization header holds one of the credentials; an empty file admits nobody."""
        self._refresh()
        scheme, _, value = authorization.strip().partition(" ")
        if scheme.lower() == "basic":
            return _among(_unpacked(value.strip()), self._basic)
        if scheme.lower() == "bearer":
            return _among(value.strip().encode(errors="replace"), self._bearer)
        return False

    def challenges(self) -> tuple[str, ...]:
        """Return a value of WWW-Authenticate for each scheme that the file has credentials for."""
        basic = ('Basic realm="otel-celery", charset="UTF-8"',) if self._basic or not self._bearer else ()
        return (*basic, *(('Bearer realm="otel-celery"',) if self._bearer else ()))

    def _refresh(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp and not self._said:
            return
        self._stamp = stamp
        secrets = self._lines()
        self._basic = tuple(_digest(secret) for secret in secrets if b":" in secret)
        self._bearer = tuple(_digest(secret) for secret in secrets if b":" not in secret)

    def _lines(self) -> list[bytes]:
        try:
            lines = credentials.read(self._path)
        except (OSError, credentials.UnusableError) as error:
            why = getattr(error, "strerror", None) or str(error)
            self._say(f"{self._path} cannot be read ({why})")
            return []
        if not lines:
            self._say(f"{self._path} holds no credentials")
        else:
            self._said = ""
        return lines

    def _say(self, trouble: str) -> None:
        if trouble != self._said:
            self._said = trouble
            _logger.error("Every scrape is refused: %s", trouble)


def _among(given: bytes, digests: Iterable[bytes]) -> bool:
    digest = _digest(given)
    # Compare with every digest, so that the time does not depend on which one matches.
    return sum([hmac.compare_digest(digest, known) for known in digests]) > 0


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def _unpacked(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _stamp(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
