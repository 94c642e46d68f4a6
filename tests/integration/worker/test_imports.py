"""What a worker has imported when it forks its first child, by the way it is watched: each child pays for all of it.

A name that is missing in before_the_fork.txt was brought in by a new import. If children need it, add it; else import
it where it is used, after the fork, behind the fork gate (docs/architecture.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.worker.ways import HOOK, NONE, OFF
from tests.otlp import http_receiver

if TYPE_CHECKING:
    from tests.integration.worker.conftest import Site
    from tests.integration.worker.ways import Way

pytestmark = pytest.mark.prefork

APP = "tests.integration.worker.proj_weight"
OURS = "otel_celery"

LISTED = {
    heading: set(names.split())
    for heading, _, names in (
        part.partition("\n") for part in Path(__file__).with_name("before_the_fork.txt").read_text().split("# ")[1:]
    )
}
"""Our modules: those of the hook, and besides those that metrics, a push and spans need before the fork."""

NEVER = ("prometheus_client", "opentelemetry.exporter.prometheus", "h11", "wsgiref", "socketserver", "grpc", "asgiref")
"""The port's, which no child needs, whatever is asked for."""
EXPORTERS = ("requests", "urllib3", "google.protobuf", "opentelemetry.exporter", "opentelemetry.instrumentation")
"""What spans need in each child; of a push the main process alone, a moment later."""
REQUESTS = ("requests", "urllib3", "charset_normalizer", "idna", "certifi")
"""What spans do not need as long as nothing asks for it, such as a proxy."""
OTHERS = ("opentelemetry", "celery.worker.strategy", "cffi", "_cffi_backend", "pycparser")
"""The SDK's metrics, where nobody else has imported it, and small modules of Celery's; and what billiard has each child
import as it begins, which they share so."""
COMPILED = "unicodedata"
"""What Python imports to compile a source in which a character is named, where no bytecode is kept."""

PUSH = {"OTEL_METRICS_EXPORTER": "otlp", **OFF}
SPANS = {"OTEL_TRACES_EXPORTER": "otlp"}


def imported(site: Site, way: Way, directory: Path, environment: dict[str, str]) -> set[str]:
    """Name the modules that were imported when the worker forked for the first time."""
    with http_receiver() as receiver:
        path = directory / "modules"
        full = {"T_MODULES": str(path), "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, **environment}
        worker = way.start(site, "prefork", app=APP, environment=full, concurrency=1)
        site.client.send_task("weight.frozen").get(timeout=60)
        assert worker.stop() == 0
        return set(path.read_text().splitlines())


@pytest.mark.parametrize(
    ("environment", "parts", "foreign"),
    [
        pytest.param(OFF, ("hook",), (), id="switched-off"),
        pytest.param({}, ("hook", "metrics"), OTHERS, id="port"),
        pytest.param(PUSH, ("hook", "metrics", "push"), OTHERS, id="push"),
        pytest.param(SPANS, ("hook", "metrics", "spans"), None, id="port-and-spans"),
    ],
)
def test_no_child_inherits_what_it_never_uses(
    site: Site, tmp_path: Path, environment: dict[str, str], parts: tuple[str, ...], foreign: tuple[str, ...] | None
) -> None:
    """Before the fork there is nothing but what is listed here, and what bare Celery has anyway."""
    bare = imported(site, NONE, tmp_path, OFF)
    more = imported(site, HOOK, tmp_path, environment) - bare
    mine = {name.removeprefix(f"{OURS}.") for name in more if name.startswith(f"{OURS}.")}
    assert mine - set().union(*(LISTED[part] for part in parts)) == set()
    others = {name for name in more if name.partition(".")[0] != OURS} - {COMPILED}
    assert ("pycparser" in others) == ("cffi" in bare and parts != ("hook",)), "what each child would import is shared"
    assert {name for name in others if _is_of(name, (*NEVER, *REQUESTS))} == set()
    if foreign is not None:
        assert {name for name in others if _is_of(name, EXPORTERS)} == set()
        assert {name for name in others if not _is_of(name, foreign)} == set()


def _is_of(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)
