"""Whose provider records, what is taken off it again, and what the resource says.

A process has one global provider for good, so each case that sets it has a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider

from otel_celery.record.views import CONTRIB_RUNTIME
from tests.services import free_port
from tests.unit.record.fakes import families, recording, samples, scrape, value

PREAMBLE = """
import json, logging, sys
logging.basicConfig(stream=sys.stderr)
from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import _internal
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry
from otel_celery.lifecycle import Outcome
from tests.unit.record.fakes import families, recording, samples, scrape, value

def set_provider(*readers, **options):
    provider = MeterProvider(readers, Resource({"service.name": "theirs"}), shutdown_on_exit=False, **options)
    metrics.set_meter_provider(provider)
    return provider

def life(opened):
    book = opened.tallies.task("proj.add", "trading")
    book.received(redelivered=False)
    book.started(0.5)
    book.ended(Outcome.SUCCESS, 0.5, 0.25)

def tell(**facts):
    print(json.dumps(facts))
"""


def run(script: str, **environ: str) -> dict[str, Any]:
    """Run a script in a process of its own, and return the facts that it tells; nothing may stand on its stderr."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PREAMBLE + script],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environ or None,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return dict(json.loads(done.stdout))


def test_a_provider_of_our_own_is_made_and_the_global_left_alone() -> None:
    """Where no application has set one, ours records and nobody else sees it."""
    opened = recording()
    assert opened.is_ours
    assert metrics.get_meter_provider() is not opened.provider
    assert not isinstance(metrics.get_meter_provider(), MeterProvider)
    assert not opened.serves_port()


def test_two_workers_of_one_process_have_books_of_their_own() -> None:
    """Nothing is shared between two recordings."""
    one, two = recording(), recording()
    one.tallies.task("proj.add", "trading").received(redelivered=False)
    assert value(one.registry, "celery_task_received_total") == 1
    assert samples(two.registry, "celery_task_received_total") == []


def test_the_worker_process_itself_is_measured() -> None:
    """The main process's own process_* metrics are on the same port."""
    assert "\nprocess_resident_memory_bytes " in scrape(recording().registry)


def test_no_series_has_scope_labels() -> None:
    """The labels are the contract's alone."""
    assert "otel_scope" not in scrape(recording().registry)


def test_contribs_runtime_is_dropped() -> None:
    """What contrib's instrumentation records, under labels that mean something else, is not exported."""
    opened = recording()
    meter = opened.provider.get_meter("opentelemetry.instrumentation.celery")
    meter.create_histogram(CONTRIB_RUNTIME, "s").record(1.0, {"worker": "proj.add", "task": "trading"})
    meter.create_counter("theirs.other").add(1)
    text = scrape(opened.registry)
    assert "flower" not in text
    assert "theirs_other_total 1.0" in text


def test_closing_ours_leaves_nothing_in_the_registry() -> None:
    """After the close a scrape has the process's metrics, and none of ours."""
    opened = recording()
    assert families(opened.registry)
    opened.close()
    assert families(opened.registry) == {}
    assert "target_info" not in scrape(opened.registry)


@pytest.mark.parametrize(
    ("environ", "service"),
    [
        ({}, "proj"),
        ({"OTEL_SERVICE_NAME": "shop"}, "shop"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=shop,deployment.environment=test"}, "shop"),
    ],
    ids=["app", "name", "attributes"],
)
def test_the_resource_names_the_service(environ: dict[str, str], service: str) -> None:
    """The standard variables name the service, else the app does; all of it is in target_info."""
    script = """
opened = recording()
(line,) = [line for line in scrape(opened.registry).splitlines() if line.startswith("target_info{")]
tell(line=line)
"""
    line = run(script, PATH="/usr/bin", PYTHONPATH=".", **environ)["line"]
    assert f'service_name="{service}"' in line
    assert ('deployment_environment="test"' in line) == ("deployment" in str(environ))


def test_an_applications_provider_is_used() -> None:
    """It stays the global one, has our reader, and both its reader and our port see the books."""
    facts = run("""
theirs = CollectorRegistry()
provider = set_provider(PrometheusMetricReader(registry=theirs))
opened = recording()
life(opened)
tell(
    used=opened.provider is provider and metrics.get_meter_provider() is provider, ours=opened.is_ours,
    families=sorted(families(opened.registry)), theirs=sorted(families(theirs)),
    scope="otel_scope" in scrape(opened.registry), target='service_name="theirs"' in scrape(opened.registry),
    buckets=[s.labels["le"] for s in samples(opened.registry, "celery_task_runtime_seconds") if "le" in s.labels],
)
""")
    assert facts["used"]
    assert not facts["ours"]
    assert facts["families"] == facts["theirs"]
    expected = {"celery_task_received_total", "celery_task_duration_seconds", "celery_worker_up"}
    assert expected <= set(facts["families"])
    assert not facts["scope"]
    assert facts["target"]
    assert facts["buckets"][:3] == ["0.005", "0.01", "0.025"]
    assert len(facts["buckets"]) == 16


def test_closing_takes_our_reader_off_an_applications_provider() -> None:
    """The application's own reader and instruments go on; of ours nothing is observed any more."""
    facts = run("""
theirs = CollectorRegistry()
provider = set_provider(PrometheusMetricReader(registry=theirs))
provider.get_meter("app").create_counter("orders").add(3)
opened = recording()
life(opened)
before = len(provider._measurement_consumer._reader_storages)
opened.close()
provider.get_meter("app").create_counter("orders").add(1)
tell(
    readers=[before, len(provider._measurement_consumer._reader_storages)], registry=sorted(families(opened.registry)),
    orders="orders_total{" in scrape(theirs) and "} 4.0" in scrape(theirs),
    gauges=[name for name in families(theirs) if not name.endswith("_seconds")],
)
""")
    assert facts == {"readers": [2, 1], "registry": [], "orders": True, "gauges": []}


def test_contribs_runtime_stays_in_an_applications_provider() -> None:
    """What an application's provider records is the application's affair."""
    facts = run("""
provider = set_provider()
opened = recording()
provider.get_meter("contrib").create_histogram("flower.task.runtime.seconds", "s").record(1.0)
tell(kept="flower_task_runtime_seconds_count" in scrape(opened.registry))
""")
    assert facts == {"kept": True}


def test_an_applications_views_shape_the_histograms() -> None:
    """The bounds are advice: a view of the application's overrules them, which is why it records through the SDK."""
    facts = run("""
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
set_provider(views=[View(
    instrument_name="celery.task.runtime", aggregation=ExplicitBucketHistogramAggregation(boundaries=(7.0,)))])
opened = recording()
life(opened)
tell(bounds=[s.labels["le"] for s in samples(opened.registry, "celery_task_runtime_seconds") if "le" in s.labels])
""")
    assert facts == {"bounds": ["7.0", "+Inf"]}


def test_the_cardinality_limit_is_lifted_on_an_applications_provider() -> None:
    """Our reader keeps more than the SDK's 2 000 points a stream there too."""
    facts = run("""
set_provider()
opened = recording()
for number in range(500):
    opened.tallies.task(f"t{number}", "q")
tell(points=len(samples(opened.registry, "celery_tasks_total")), overflow="overflow" in scrape(opened.registry))
""")
    assert facts == {"points": 3500, "overflow": False}


@pytest.mark.parametrize(
    ("reader", "serves"),
    [
        ("_AutoPrometheusMetricReader", True),
        pytest.param("PrometheusMetricReader", False),
        ("InMemoryMetricReader", False),
    ],
)
def test_a_reader_that_has_bound_a_port_is_noticed(reader: str, serves: bool) -> None:  # noqa: FBT001
    """The SDK's own entry point binds the port; an application's reader on a registry of its own binds none."""
    script = f"""
from opentelemetry.exporter.prometheus import _AutoPrometheusMetricReader
set_provider({reader}())
tell(serves=recording().serves_port())
"""
    environ = {"OTEL_EXPORTER_PROMETHEUS_PORT": str(free_port())}
    assert run(script, PATH="/usr/bin", PYTHONPATH=".", **environ) == {"serves": serves}


def test_a_reader_that_is_gone_already_does_not_hurt() -> None:
    """An application may have shut its provider down before we close."""
    facts = run("""
logging.disable(logging.WARNING)
provider = set_provider()
opened = recording()
provider.shutdown()
opened.close()
opened.close()
tell(closed=True)
""")
    assert facts == {"closed": True}


def test_an_applications_provider_can_be_recorded_with_again() -> None:
    """After a close, the next worker of the process has its books and levels on the same provider."""
    facts = run("""
logging.disable(logging.WARNING)
set_provider()
recording().close()
opened = recording()
life(opened)
tell(received=value(opened.registry, "celery_task_received_total"), up=value(opened.registry, "celery_worker_up"))
""")
    assert facts == {"received": 1.0, "up": 1.0}
