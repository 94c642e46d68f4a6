"""The port where threads are greenlets: gevent and eventlet, scraped from outside."""

from __future__ import annotations

import importlib.util
import urllib.request
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import ssl

PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()\n",
    "eventlet": "import eventlet; eventlet.monkey_patch()\n",
}

SERVING = """
import asyncio, time
from pathlib import Path
tls = TLS(Path(sys.argv[1]), Path(sys.argv[2])) if len(sys.argv) > 1 else None
endpoint = start(tls=tls)
tell(port=endpoint.port)
async def answer():
    return 42
pids = []
while len(pids) < 20:
    pid = os.fork()
    if pid == 0:
        names = []
        for n in os.listdir("/proc/self/fd"):
            try:
                names.append(os.readlink(f"/proc/self/fd/{n}"))
            except OSError:
                pass
        os._exit(sum(name.startswith("socket:") for name in names))
    pids.append(pid)
    time.sleep(0.02)
codes = [os.waitpid(pid, 0)[1] for pid in pids]
tell(codes=codes, answer=asyncio.run(answer()))
time.sleep(2)
begun = time.monotonic()
endpoint.close()
tell(closed=time.monotonic() - begun)
"""


@pytest.fixture(params=sorted(PATCHES))
def patch(request: pytest.FixtureRequest) -> str:
    """Name the library that patches, in a line of source."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return PATCHES[request.param]


def scrape(url: str, context: ssl.SSLContext | None = None) -> bytes:
    """Scrape once."""
    with urllib.request.urlopen(url, timeout=8, context=context) as response:
        return bytes(response.read())


def test_green_port(script, patch: str) -> None:
    """The port is scraped while greenlets work, fork and run asyncio, and children keep none of its sockets."""
    worker = script(SERVING, first=patch)
    facts = worker.hear()
    for _ in range(20):
        assert b"orders_total 3.0" in scrape(f"http://127.0.0.1:{facts['port']}/metrics")
    assert worker.hear() == {"codes": [0] * 20, "answer": 42}
    assert b"ready" in scrape(f"http://127.0.0.1:{facts['port']}/-/ready")
    assert worker.hear()["closed"] < 1


def test_green_port_over_tls(script, patch: str, files) -> None:
    """TLS works as well, although the library has replaced the ssl module's classes."""
    pair = files.pair()
    worker = script(SERVING, str(pair.certificate), str(pair.key), first=patch)
    port = worker.hear()["port"]
    assert b"orders_total 3.0" in scrape(f"https://localhost:{port}/metrics", files.client())
