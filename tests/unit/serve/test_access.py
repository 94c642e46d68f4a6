"""Credentials and certificates, over real sockets and from real files."""

from __future__ import annotations

import base64
import datetime as dt
import os
import socket
import ssl
import subprocess
import time
from typing import Any

import pytest

from otel_celery.serve import access
from otel_celery.serve.access import AccessError, Certificates, Credentials
from otel_celery.settings.settings import TLS, Port

FILE = """
# scrapers
prometheus:s3:cret

token-of-the-agent
gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n:pass\N{EURO SIGN}
"""


def basic(pair: str) -> str:
    """Say a user and a password as clients do."""
    return "Basic " + base64.b64encode(pair.encode()).decode()


@pytest.fixture
def secrets(tmp_path):
    """Write a file of credentials."""
    path = tmp_path / "credentials"
    path.write_text(FILE, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "header",
    [
        basic("prometheus:s3:cret"),
        basic("gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n:pass\N{EURO SIGN}"),
        "Bearer token-of-the-agent",
        "bearer  token-of-the-agent ",
    ],
)
def test_right_credentials(secrets, header: str) -> None:
    """Each line of the file admits who has it."""
    assert Credentials(secrets).admit(header)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic !",
        "Bearer",
        "Bearer ",
        basic("prometheus:s3"),
        basic("prometheus:"),
        basic("prometheus"),
        basic("token-of-the-agent"),
        basic("# scrapers"),
        basic(""),
        "Bearer prometheus:s3:cret",
        "Bearer # scrapers",
        "Bearer token-of-the-agenT",
        "Digest token-of-the-agent",
        "Bearer \udcff",
    ],
)
def test_wrong_credentials(secrets, header: str) -> None:
    """Nothing else does: no comment, no blank, no part, no pair for a token."""
    assert not Credentials(secrets).admit(header)


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_empty_file_admits_nobody(tmp_path, text: str) -> None:
    """A file without credentials shuts the door rather than opening it."""
    path = tmp_path / "empty"
    path.write_text(text)
    assert not any(Credentials(path).admit(header) for header in ("", basic(""), basic(":"), "Bearer ", "Bearer"))


def test_unreadable_file_admits_nobody_and_says_so_once(secrets, caplog) -> None:
    """When the file goes, nobody is admitted, one line says why, and its return is noticed."""
    credentials = Credentials(secrets)
    assert credentials.admit("Bearer token-of-the-agent")
    moved = secrets.rename(secrets.with_name("moved"))
    assert not any(credentials.admit("Bearer token-of-the-agent") for _ in range(3))
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert str(secrets) in caplog.text
    moved.rename(secrets)
    assert credentials.admit("Bearer token-of-the-agent")


def test_missing_from_the_start_is_said(tmp_path, caplog) -> None:
    """A file that never was is reported as one that went."""
    credentials = Credentials(tmp_path / "nowhere")
    assert not any(credentials.admit("Bearer x") for _ in range(3))
    assert caplog.text.count("cannot be read") == 1


@pytest.mark.parametrize("accept", ["text/html", "*/*"])
def test_the_page_needs_what_a_scrape_needs(serve, secrets, accept: str) -> None:
    """Without it nothing is told, neither to a browser nor to curl, and a browser asks its user."""
    served = serve(Port(number=0, credentials=secrets))
    refused = served.fetch("/?refresh=nonsense", Accept=accept)
    assert (refused.status, refused.body) == (401, b"credentials are needed\n")
    assert any(challenge.startswith("Basic ") for challenge in refused.challenges)
    assert b"worker w@h" in served.fetch("/", Accept=accept, Authorization="Bearer token-of-the-agent").body


def test_a_pipe_in_the_files_place_stops_nothing(serve, secrets) -> None:
    """Nobody writes to it: every scrape is refused, and all else is answered at once."""
    served = serve(Port(number=0, credentials=secrets))
    secrets.unlink()
    os.mkfifo(secrets)
    assert served.fetch(Authorization="Bearer token-of-the-agent").status == 401
    assert served.fetch("/-/healthy").status == 200
    secrets.unlink()
    secrets.write_text(FILE, encoding="utf-8")
    assert served.fetch(Authorization="Bearer token-of-the-agent").status == 200


def test_a_pipe_in_a_certificates_place_stops_nothing(serve, files, caplog) -> None:
    """The old certificate is kept, as where the new one cannot be used."""
    pair = files.pair()
    served = serve(Port(number=0, tls=pair))
    assert served.fetch(tls=files.client()).status == 200
    pair.certificate.unlink()
    os.mkfifo(pair.certificate)
    time.sleep(access.CHECK_EVERY)  # it is not looked at more often
    assert served.fetch(tls=files.client()).status == 200
    assert "it is a pipe or a device, not a file" in caplog.text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("user:$2y$05$abcdefgh\nuser:password\n", "line 1 holds a hash, as htpasswd makes them"),
        ("# nobody yet\n", "holds no credentials"),
        ("x" * (1 << 20) + "x", "it has more than 1048576 bytes"),
    ],
)
def test_a_file_that_admits_nobody_says_so_once(secrets, caplog, text: str, why: str) -> None:
    """Whoever holds a hash is not admitted by it, and the log does not show it."""
    credentials = Credentials(secrets)
    assert credentials.admit("Bearer token-of-the-agent")
    secrets.write_text(text)
    assert not any(credentials.admit(header) for header in (basic("user:$2y$05$abcdefgh"), "Bearer x", "Bearer "))
    (record,) = caplog.records
    assert why in record.getMessage()
    assert "abcdefgh" not in caplog.text
    secrets.write_text(FILE, encoding="utf-8")
    assert credentials.admit("Bearer token-of-the-agent")


def test_no_secret_is_kept(secrets, caplog) -> None:
    """Neither a repr nor the log nor an attribute shows a secret."""
    credentials = Credentials(secrets)
    credentials.admit("Bearer x")
    shown = f"{credentials!r} {vars(credentials)} {caplog.text}"
    assert "s3:cret" not in shown
    assert "token-of-the-agent" not in shown


def test_credentials_over_http(serve, secrets) -> None:
    """Without credentials a scrape is told what is needed; health needs none; a changed file counts at once."""
    served = serve(Port(number=0, credentials=secrets))
    refused = served.fetch()
    assert refused.status == 401
    assert [challenge.partition(" ")[0] for challenge in refused.challenges] == ["Basic", "Bearer"]
    assert served.fetch(Authorization=basic("prometheus:s3:cret")).status == 200
    assert served.fetch("/-/healthy").status == served.fetch("/-/ready").status == 200
    assert served.fetch("/metrics", "POST").status == 405
    secrets.write_text("another-token\n")
    refused = served.fetch(Authorization=basic("prometheus:s3:cret"))
    assert (refused.status, refused.challenges) == (401, ['Bearer realm="otel-celery"'])
    assert served.fetch(Authorization="Bearer another-token").status == 200


def test_scrape_over_tls(serve, files) -> None:
    """A client that trusts the authority scrapes over TLS, and the url says https."""
    served = serve(Port(number=0, tls=files.pair()))
    assert served.fetch(tls=files.client()).status == 200
    assert served.endpoint.url == f"https://localhost:{served.endpoint.port}"


def test_large_response_over_tls(serve, files, registry) -> None:
    """A body of several megabytes arrives whole."""
    registry.register(Large())
    served = serve(Port(number=0, tls=files.pair()))
    assert len(served.fetch(tls=files.client()).body) > 4_000_000


class Large:
    """A collector with four megabytes to say."""

    def collect(self):
        """Say them."""
        from prometheus_client.core import GaugeMetricFamily

        return [GaugeMetricFamily("large", "x" * 4_000_000, value=1)]


def test_old_tls_is_refused(serve, files) -> None:
    """A client that speaks nothing newer than TLS 1.1 is not served."""
    served = serve(Port(number=0, tls=files.pair()))
    old = files.client()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="deprecated"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        served.fetch(tls=old)


def test_mutual_tls(serve, files) -> None:
    """With a CA file only clients certified by it are served."""
    pair = files.pair()
    served = serve(Port(number=0, tls=TLS(pair.certificate, pair.key, files.ca_file())))
    assert served.fetch(tls=files.client(certified=True)).status == 200
    with pytest.raises((ssl.SSLError, ConnectionError)):
        served.fetch(tls=files.client())
    stranger = type(files)(files.folder)
    context = files.client()
    stranger.authority.issue_cert("client@example.org").configure_cert(context)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        served.fetch(tls=context)
    assert served.errors == []


def test_plain_http_to_the_tls_port(serve, files) -> None:
    """Who speaks plain HTTP to the TLS port gets no metrics, and the next client is served."""
    served = serve(Port(number=0, tls=files.pair()))
    assert b"orders" not in served.say(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert served.fetch(tls=files.client()).status == 200
    assert served.errors == []


@pytest.mark.alone
def test_idle_client_on_the_tls_port(serve, files) -> None:
    """A client that connects and says nothing delays nobody."""
    served = serve(Port(number=0, tls=files.pair()))
    with served.connect():
        start = time.monotonic()
        assert served.fetch(tls=files.client()).status == 200
        assert time.monotonic() - start < 1


def test_tls_client_that_goes_mid_handshake(serve, files) -> None:
    """A handshake that is broken off leaves no trace."""
    served = serve(Port(number=0, tls=files.pair()))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        files.client().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    hello = outgoing.read()
    with served.connect() as client:
        client.sendall(hello[:100])
        client.shutdown(socket.SHUT_WR)
        client.recv(4096)
    assert served.fetch(tls=files.client()).status == 200
    assert served.errors == []


def damaged(files: Any, how: str) -> Any:
    """Write a TLS pair that is damaged in one way."""
    pair, other = files.pair(), files.pair("other")
    yesterday = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
    if how == "mismatched":
        return TLS(pair.certificate, other.key)
    if how == "expired":
        return files.pair(not_before=yesterday - dt.timedelta(days=9), not_after=yesterday)
    if how == "missing":
        pair.key.unlink()
    if how == "empty":
        pair.certificate.write_bytes(b"")
    if how == "nonsense":
        pair.key.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    if how == "empty CA":
        files.ca_file().write_bytes(b"")
        return TLS(pair.certificate, pair.key, files.folder / "ca.pem")
    if how == "encrypted":
        command = ["openssl", "rsa", "-aes256", "-passout", "pass:x", "-in", str(pair.key), "-out", str(pair.key)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            command[1] = "ec"
            subprocess.run(command, capture_output=True, check=True)
    return pair


@pytest.mark.parametrize("how", ["mismatched", "expired", "missing", "empty", "nonsense", "empty CA", "encrypted"])
def test_damaged_files(serve, files, how: str) -> None:
    """TLS that cannot be had is an error in one sentence that names the file, never plain text instead."""
    with pytest.raises(AccessError, match=str(files.folder)) as caught:
        serve(Port(number=0, tls=damaged(files, how)))
    assert "\n" not in str(caught.value)


def presented(served, context: ssl.SSLContext) -> int:
    """Return the serial number of the certificate that the port presents."""
    sock = socket.create_connection(served.address, timeout=8)
    with context.wrap_socket(sock, server_hostname="localhost") as tls:
        certificate = tls.getpeercert()
        assert certificate
        return int(str(certificate["serialNumber"]), 16)


def test_rotated_certificate(serve, files, monkeypatch) -> None:
    """A new pair on disk is presented to new connections without a restart."""
    monkeypatch.setattr(access, "CHECK_EVERY", 0.0)
    served = serve(Port(number=0, tls=files.pair()))
    before = presented(served, files.client())
    files.pair()
    assert presented(served, files.client()) != before


def test_broken_rotation_keeps_the_old_one(files, caplog) -> None:
    """A new pair that is broken leaves the old one in place, one line says so, and a repaired one is taken."""
    now = 0.0
    certificates = Certificates(files.pair(), lambda: now)
    first = certificates.context()
    damaged(files, "nonsense")
    for _ in range(4):
        now += 1
        assert certificates.context() is first
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    files.pair()
    now = 6
    assert certificates.context() is not first


def test_files_are_looked_at_once_a_second(files) -> None:
    """However many connections come, the files are looked at once a second."""
    now = 0.0
    certificates = Certificates(files.pair(), lambda: now)
    first = certificates.context()
    files.pair()
    now = 0.9
    assert certificates.context() is first
    now = 1.0
    assert certificates.context() is not first


def test_rotation_by_symbolic_link(files) -> None:
    """A volume that is switched by a symbolic link, as Kubernetes does, counts as changed."""
    one, two = files.pair("one"), files.pair("two")
    link = TLS(files.folder / "tls.pem", files.folder / "tls.key")
    link.certificate.symlink_to(one.certificate)
    link.key.symlink_to(one.key)
    now = 0.0
    certificates = Certificates(link, lambda: now)
    first = certificates.context()
    for file, target in ((link.certificate, two.certificate), (link.key, two.key)):
        (files.folder / "new").symlink_to(target)
        os.replace(files.folder / "new", file)  # noqa: PTH105  it is the system call that is meant
    now = 1.0
    assert certificates.context() is not first
