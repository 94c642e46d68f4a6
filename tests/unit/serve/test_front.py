"""The page at ``/``, asked over a real socket."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily

from otel_celery.page import runbook
from otel_celery.page.page import StatusPage
from otel_celery.page.runbook import Runbook

BROWSERS = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "text/html",
    "text/plain;q=0.1, TEXT/HTML;q=0.5",
    "text/html, text/plain",
    "text/html;q=0.4, text/*;q=0.3, */*",
)
OTHERS = ("*/*", "", "text/plain", "text/html;q=0, */*", "application/json", ";;q=,text/htm", "text/*")
LESS = (
    *("text/plain;q=0.5, TEXT/HTML;q=0.1", "text/html;q=0.5, */*", "text/html;q=0.2, text/*;q=0.3"),
    *("text/html;q=0", "text/html;q=0.000", "text/html;q=often", "text/html;q=nan", "text/html;q=2"),
)
"""HTML is named, and wanted less than text, or not at all."""


class Moving:
    """A collector whose figure is the number of times that it was read."""

    def __init__(self) -> None:
        """Begin with none."""
        self.reads = 0

    def collect(self):
        """Be read."""
        self.reads += 1
        family = GaugeMetricFamily("celery_worker_pool_size", "", labels=["worker"])
        family.add_metric(["w@h"], self.reads)
        info = GaugeMetricFamily("celery_worker_info", "", labels=["pool_kind"])
        info.add_metric(["prefork"], 1)
        return [family, info]


@pytest.mark.parametrize("accept", BROWSERS)
def test_a_browser_gets_html(served, accept: str) -> None:
    """Who names HTML gets it."""
    reply = served.fetch("/", Accept=accept)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert reply.body.startswith(b"<!doctype html>")
    assert b"<h1>worker w@h</h1>" in reply.body


@pytest.mark.parametrize("accept", [*OTHERS, *LESS])
def test_others_get_text(served, accept: str) -> None:
    """Curl, and all who do not name HTML, or want it less, read some lines."""
    reply = served.fetch("/", Accept=accept)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert reply.body.startswith(b"worker w@h: ready\n")
    assert b"<" not in reply.body


@pytest.mark.parametrize("accept", [BROWSERS[0], "*/*"])
def test_it_lets_nothing_in_and_leaves_nothing_behind(served, accept: str) -> None:
    """A browser keeps no copy, tells no other site, and runs and loads nothing."""
    headers = served.fetch("/", Accept=accept).headers
    assert headers["Vary"] == "Accept"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    policy = dict(each.split(" ", 1) for each in headers["Content-Security-Policy"].split("; "))
    assert policy.pop("style-src").startswith("'sha256-")
    assert policy == dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'")


@pytest.mark.parametrize("seconds", ["1", "5", "3600", "005"])
def test_it_loads_itself_again_when_asked(served, seconds: str) -> None:
    """By a meta element, however many other words the query has; the last one of several counts."""
    reply = served.fetch(f"/?x&refresh=no&y=1&refresh={seconds}", Accept="text/html")
    assert f'<meta http-equiv="refresh" content="{int(seconds)}">'.encode() in reply.body
    assert b"http-equiv" not in served.fetch("/?refreshing=5", Accept="text/html").body


@pytest.mark.parametrize(
    "seconds", ["", "0", "-1", "5.0", "3601", "0x5", "+5", "%35", "\xb2", "9" * 5000, '5"><script>', "1e1", "5;url=//x"]
)
@pytest.mark.parametrize("accept", ["text/html", "*/*"])
def test_a_refresh_that_is_none_is_told(served, seconds: str, accept: str) -> None:
    """In a sentence, which repeats nothing of it."""
    request = f"GET /?refresh={seconds} HTTP/1.0\r\nAccept: {accept}\r\n\r\n".encode("latin-1")
    head, _, body = served.say(request).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"Content-Type: text/plain" in head
    if seconds.isascii():
        assert body == b"refresh is a whole number of seconds from 1 to 3600\n"


def test_why_it_is_not_ready_is_the_sentence_of_the_other_path(served, health) -> None:
    """The page answers 200 all the same: it is read by people."""
    health.busy = "the connection to the broker is lost"
    assert b"worker w@h: not ready: the connection to the broker is lost\n" in served.fetch("/").body
    assert b"not ready: the connection to the broker is lost</p>" in served.fetch("/", Accept="text/html").body


def test_whoever_looks_shares_one_collection_with_the_scrapes(serve) -> None:
    """The page shows what the scrape of that moment shows, and causes none of its own."""
    moving = Moving()
    registry = CollectorRegistry()
    registry.register(moving)
    served = serve(collector=registry)
    before = moving.reads = 10
    bodies = [served.fetch("/", Accept="text/html").body for _ in range(3)]
    scrape, text = served.fetch().body, served.fetch("/").body
    assert moving.reads == before + 1
    assert f"of {moving.reads} slots".encode() in bodies[0]
    assert bodies == bodies[:1] * 3
    assert f'celery_worker_pool_size{{worker="w@h"}} {moving.reads}.0'.encode() in scrape
    assert f"of {moving.reads} slots".encode() in text


def test_what_was_collected_is_dropped_soon(serve, eventually) -> None:
    """Nobody asks again, and a quarter of a second later the process has its memory back."""
    gone = []

    class Family(GaugeMetricFamily):
        def __del__(self) -> None:
            gone.append(self.name)

    class Once:
        def collect(self):
            return [Family("large", "", 1)]

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Once())
    served = serve(collector=registry)
    gone.clear()
    assert b"\nlarge 1.0\n" in served.fetch().body
    eventually(lambda: gone == ["large"])


def test_a_page_that_raises_costs_itself(served, monkeypatch) -> None:
    """It is answered with 500 and reported, and a scrape beside it is answered."""
    monkeypatch.setattr(StatusPage, "html", lambda *_: 1 // 0)
    reply = served.fetch("/", Accept="text/html")
    assert (reply.status, reply.body) == (500, b"internal error: ZeroDivisionError\n")
    assert [where for where, _ in served.errors] == ["page"]
    assert served.fetch().status == served.fetch("/").status == 200


@pytest.mark.parametrize(("accept", "begins"), [(BROWSERS[0], b"<!doctype html>"), ("*/*", b"# Runbook\n")])
def test_the_runbook_is_on_the_port(served, accept: str, begins: bytes) -> None:
    """For a browser or for a terminal, with the page's headers and a policy of its own."""
    reply, page = (served.fetch(path, Accept=accept) for path in ("/-/runbook", "/"))
    assert (reply.status, reply.headers["Content-Type"]) == (200, page.headers["Content-Type"])
    assert reply.body.startswith(begins)
    assert b"CeleryWorkerDown" in reply.body
    style = re.compile("'sha256-.*?'")
    policies = [each.headers.pop("Content-Security-Policy") for each in (reply, page)]
    assert style.sub("", policies[0]) == style.sub("", policies[1])
    assert style.findall(policies[0]) != style.findall(policies[1])
    assert {**reply.headers, "Content-Length": ""} == {**page.headers, "Content-Length": ""}


def test_who_reads_the_runbook_at_once_shares_it_and_collects_nothing(serve, monkeypatch) -> None:
    """It is read from disk once in a quarter of a second, and no metric for it."""
    moving, reads = Moving(), list[int]()
    registry = CollectorRegistry()
    registry.register(moving)
    served = serve(collector=registry)
    served.fetch()

    def read(_: Runbook) -> bytes:
        reads.append(1)
        return b"read"

    monkeypatch.setattr(Runbook, "html", read)
    before = moving.reads
    assert {served.fetch("/-/runbook", Accept="text/html").body for _ in range(5)} == {b"read"}
    assert (len(reads), moving.reads) == (1, before)


def test_a_runbook_that_is_not_there_costs_itself(served, monkeypatch, tmp_path) -> None:
    """It is answered with 500 and reported, and the page beside it is answered."""
    monkeypatch.setattr(runbook, "BODY", tmp_path / "runbook.html")
    reply = served.fetch("/-/runbook")
    assert (reply.status, reply.body) == (500, b"internal error: FileNotFoundError\n")
    assert [where for where, _ in served.errors] == ["page"]
    assert served.fetch("/").status == 200


def test_nobody_imports_it_who_is_not_asked_for_it() -> None:
    """Neither what opens a port nor what serves it: a worker has it in memory from the first request on."""
    program = "import sys, otel_celery.session, otel_celery.station, otel_celery.serve.server; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert "otel_celery.serve.front" in ran.stdout.split()
    assert not [name for name in ran.stdout.split() if name.startswith("otel_celery.page")]
