"""Endpoints that answer, refuse, hang, or are something else."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from typing import TYPE_CHECKING

import pytest
import trustme

from otel_celery.pools.client import Identity
from otel_celery.settings.settings import Port
from otel_celery.watch.asking import Answer, Asker
from otel_celery.watch.endpoints import EndpointError, of_url
from tests.services import free_port
from tests.unit.watch.ports import serving

if TYPE_CHECKING:
    from pathlib import Path

NOTHING = "the connection is refused; nothing listens there"


def ask(*urls: str, timeout: float = 5, port: Port = Port(), identity: Identity = Identity()) -> list[Answer]:  # noqa: B008  both are frozen
    """Ask them at once."""

    async def all_of_them() -> list[Answer]:
        asker = Asker(port, identity, timeout)
        return await asyncio.gather(*(asker.ask(of_url(url)) for url in urls))

    return asyncio.run(all_of_them())


def test_an_answer_is_its_body() -> None:
    """At the path that was asked for, which is /metrics unless the URL names one."""
    with serving("up 1\n") as port:
        assert ask(port.address, f"http://{port.address}/other?x=1") == [Answer("up 1\n")] * 2
        assert sorted(path for path, _ in port.asked) == ["/metrics", "/other?x=1"]


@pytest.mark.alone
def test_one_that_hangs_holds_up_no_other_and_ends_in_time() -> None:
    """A byte a moment keeps no answer open: the deadline is for all of it."""
    with serving() as slow, serving("up 1\n") as fast:
        slow.hangs = True
        begun = time.monotonic()
        assert ask(slow.address, fast.address, timeout=0.5) == [Answer(why="no answer within 0.5 s"), Answer("up 1\n")]
        assert time.monotonic() - begun < 2


def test_a_port_without_a_listener_says_so() -> None:
    """In words, not in errno."""
    assert ask(f"127.0.0.1:{free_port()}") == [Answer(why=NOTHING)]


@pytest.mark.parametrize(
    ("status", "why"), [(401, "HTTP 401; it wants other credentials"), (503, "HTTP 503"), (404, "HTTP 404; ")]
)
def test_a_status_that_is_not_200_is_no_answer(status: int, why: str) -> None:
    """It is named."""
    with serving() as port:
        port.status = status
        assert ask(port.address)[0].why.startswith(why)


@pytest.mark.parametrize(
    ("status", "path", "is_foreign"),
    [(404, "", True), (404, "/metrics?a=b", True), (404, "/metric", False), (503, "", False), (401, "", False)],
)
def test_a_port_of_ours_has_metrics(status: int, path: str, is_foreign: bool) -> None:  # noqa: FBT001
    """So that something else answers where there are none; a path of somebody's own may be wrong, or a proxy's."""
    with serving() as port:
        port.status = status
        assert ask(f"http://{port.address}{path}")[0].is_foreign is is_foreign


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"-ERR unknown command\r\n", "what answers does not speak HTTP as expected: "),
        (b"", "the connection was cut off; what listens there may not speak HTTP"),
    ],
)
def test_what_does_not_speak_http_says_so(said: bytes, why: str) -> None:
    """A PostgreSQL behind the address, say, or a Redis, which hangs up on who speaks HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.listen()

        async def answered() -> Answer:
            asking = asyncio.create_task(Asker(Port(), Identity(), 5).ask(of_url(f"127.0.0.1:{number}")))
            connection, _ = await asyncio.to_thread(server.accept)
            await asyncio.to_thread(connection.recv, 4096)
            connection.sendall(said)
            connection.close()
            return await asking

        number = server.getsockname()[1]
        assert asyncio.run(answered()).why.startswith(why)


def test_credentials_are_the_urls_or_else_the_environments(tmp_path: Path) -> None:
    """A password in a URL is for that endpoint, and is in no text about it."""
    file = tmp_path / "credentials"
    file.write_text("token-of-all\n")
    with serving("up 1\n") as port:
        ask(port.address, f"http://me:s3cret@{port.address}/b", port=Port(credentials=file))
        assert sorted(port.asked) == [("/b", "Basic bWU6czNjcmV0"), ("/metrics", "Bearer token-of-all")]
    endpoint = of_url(f"http://me:s3cret@{port.address}/b")
    assert "s3cret" not in f"{endpoint!r} {endpoint.url}"


def test_tls_is_trusted_by_the_authority_that_is_given(tmp_path: Path) -> None:
    """And by no other; an https URL on a plain port fails as TLS."""
    authority = trustme.CA()
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with serving("up 1\n", context) as port, serving() as without:
        url = f"https://{port.address}"
        assert ask(url, identity=Identity(file)) == [Answer("up 1\n")]
        assert ask(url)[0].why.startswith("its certificate is not trusted: ")
        assert ask(f"https://{without.address}", identity=Identity(file))[0].why.startswith("TLS fails: ")


def test_files_that_cannot_be_used_are_said_at_once(tmp_path: Path) -> None:
    """Not at each endpoint."""
    with pytest.raises(EndpointError, match=r"^the credentials, or the TLS files, cannot be used: "):
        Asker(Port(credentials=tmp_path / "none"), Identity(), 1)
