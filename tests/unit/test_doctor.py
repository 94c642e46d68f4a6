"""`otel-celery doctor`: what it prints, and its exit status by what is wrong."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.services import free_port
from tests.unit.test_cli import call
from tests.unit.watch.ports import page, serving

if TYPE_CHECKING:
    from pathlib import Path

SOON = ("--interval", "0.2")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give each test an environment without settings, and a directory without a pools.toml."""
    for name in [name for name in os.environ if name.startswith(("OTEL_", "PROMETHEUS_", "CELERY_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_nothing_that_is_wrong_is_status_0() -> None:
    """One line says what was looked at."""
    with serving(page()) as port:
        done = call("doctor", port.address, *SOON)
    assert (done.exit_code, done.output) == (
        0,
        "Nothing is wrong: 1 of 1 endpoint answered, the broker was not asked.\n",
    )


def test_warnings_are_status_1_and_stand_in_two_lines() -> None:
    """What is wrong, and what to do."""
    with serving(page(tasks_active=4, oldest=720)) as port:
        done = call("doctor", port.address, *SOON)
    first, second, last = done.output.splitlines()
    assert done.exit_code == 1
    assert first == (
        "WARNING: trading@h is full (4 of 4) with tasks of orders.place, the oldest for 12 min, "
        "and 2 more tasks wait in it."
    )
    assert second.startswith("  Give the pool more slots")
    assert second.endswith(f" See http://{port.address}/-/runbook#celerypoolsaturated.")
    assert last == "1 thing to do: 1 of 1 endpoint answered, the broker was not asked."


def test_a_port_that_does_not_answer_is_status_3() -> None:
    """So is one that is somebody else's."""
    dead = free_port()
    done = call("doctor", f"127.0.0.1:{dead}", *SOON)
    assert done.exit_code == 3
    assert f"CRITICAL: 127.0.0.1:{dead}: the connection is refused; nothing listens there.\n" in done.output
    assert " See otel-celery runbook CeleryWorkerDown.\n" in done.output
    with serving("up 1\n") as port:
        done = call("doctor", port.address, *SOON)
    assert done.exit_code == 3
    assert (
        f"CRITICAL: {port.address}: what answers is not otel-celery; its page has none of the metrics." in done.output
    )


def test_a_pages_values_forge_no_line() -> None:
    """A worker's name may hold a line break, as its label writes it."""
    with serving(page(worker=r"a\nCRITICAL: forged", tasks_active=4, oldest=720)) as port:
        done = call("doctor", port.address, *SOON)
    assert not re.search(r"^CRITICAL: forged", done.output, re.MULTILINE)


def test_json_has_what_the_page_says() -> None:
    """The keys of docs/doctor.md; no password."""
    away = f"redis://me:hidden@127.0.0.1:{free_port()}/0"
    with serving(page()) as port:
        done = call("doctor", port.address, *SOON, "--json", "-b", away)
    document = json.loads(done.output)
    assert done.exit_code == 3
    assert list(document) == ["version", "at_timestamp_seconds", "endpoints", "broker", "findings"]
    assert document["endpoints"] == {"asked": 1, "answered": 1}
    assert document["broker"]["url"] == away.replace("me:hidden", "***")
    (only,) = document["findings"]
    assert list(only) == ["name", "severity", "subject", "sentence", "do", "link"]
    assert list(only["subject"]) == ["worker", "pool", "task", "queue", "detail", "url"]
    assert (only["name"], only["severity"]) == ("BrokerAway", "critical")
    assert only["link"] == f"http://{port.address}/-/runbook#celerybrokeraway"
    assert "hidden" not in done.output


def test_the_broker_is_the_one_that_workers_consume_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery prefers the variable for that to the one for both."""
    both, consumed = (f"redis://127.0.0.1:{free_port()}/0" for _ in range(2))
    monkeypatch.setenv("CELERY_BROKER_URL", both)
    monkeypatch.setenv("CELERY_BROKER_READ_URL", consumed)
    with serving(page()) as port:
        done = call("doctor", port.address, *SOON, "--json")
    assert json.loads(done.output)["broker"]["url"] == consumed


def test_a_prometheus_that_is_none_is_told_of() -> None:
    """The endpoints are asked all the same; one without a target is a warning."""
    with serving(page()) as port, serving('{"data": {"activeTargets": []}}') as prometheus:
        done = call("doctor", port.address, *SOON, "--prometheus", f"http://{prometheus.address}")
        assert done.exit_code == 1
        sentence = f"Prometheus at {prometheus.address} does not scrape the endpoint ({port.address})."
        assert f"WARNING: {sentence}\n" in done.output
        prometheus.page = "{}"
        done = call("doctor", port.address, *SOON, "--prometheus", f"http://{prometheus.address}")
    assert done.exit_code == 3
    assert f"CRITICAL: what answers at {prometheus.address} is no Prometheus" in done.output


def test_a_prometheus_that_is_away_is_told_of_once() -> None:
    """Also where it is what should tell the endpoints."""
    done = call("doctor", *SOON, "--prometheus", f"http://127.0.0.1:{free_port()}")
    assert done.exit_code == 3
    assert done.output.count("tells no targets") == 1
    assert done.output.endswith("1 thing to do: 0 of 0 endpoints answered, the broker was not asked.\n")


def test_one_bad_target_is_told_of_once_beside_its_neighbours(tmp_path: Path) -> None:
    """They are looked at."""
    file = tmp_path / "targets.json"
    with serving(page()) as port:
        file.write_text(json.dumps([{"targets": [port.address, "a b"]}]))
        done = call("doctor", "--targets", str(file), *SOON)
    assert done.exit_code == 1
    first, second, last = done.output.splitlines()
    assert first == f"WARNING: {file}: 'http://a b' is not an endpoint: it must be host:port or an http(s) URL."
    assert second == "  Correct it there; its neighbours are asked."
    assert last == "1 thing to do: 1 of 1 endpoint answered, the broker was not asked."


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("-A", "proj", "-b", "redis://r"), 2, "give --app or --broker, not both"),
        (("-A", "no_such_app"), 78, "the app 'no_such_app' cannot be loaded"),
        (("http://",), 78, "is not an endpoint"),
    ],
)
def test_a_mistake_is_said(arguments: tuple[str, ...], status: int, sentence: str) -> None:
    """As by the other commands."""
    done = call("doctor", *arguments)
    assert done.exit_code == status
    assert sentence in done.stderr
