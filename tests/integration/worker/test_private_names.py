"""Private names of other packages: which there are, and that none of them can switch the metrics off."""

from __future__ import annotations

import ast
import inspect
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.metrics.export import MetricReader

import otel_celery
from tests.integration.worker.harness import wait_until
from tests.integration.worker.ways import HOOK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.worker.conftest import Site

PRIVATE = {
    # OpenTelemetry's SDK and its exporters
    *("_async_instruments", "_instrument_class_temporality", "_instrument_ids_lock", "_instrument_registration_lock"),
    *("_instrument_view_instrument_matches", "_measurement_consumer", "_metric_readers", "_meters", "_reader_storages"),
    *("_real_meter_provider", "_sdk_config", "_set_collect_callback", "_internal", "_PROXY_METER_PROVIDER", "_lock"),
    *("_Counter", "_Gauge", "_Histogram", "_ObservableUpDownCounter", "_UpDownCounter", "_instrument"),
    *("_preferred_aggregation", "_preferred_temporality", "_uninstrument"),
    *("_base", "_transport", "_update_resource"),
    # opentelemetry-instrumentation-celery
    *("_trace_after_publish", "_trace_before_publish", "_trace_failure", "_trace_postrun", "_trace_prerun"),
    "_trace_retry",
    # Celery, kombu and billiard
    "_get_active_apps",
    *("_active_tags", "_announce_cancelled", "_announce_revoked", "_apply_result", "_cache", "_create_worker_process"),
    *("_get_current_object", "_job", "_pool", "_popen", "_putlock", "_should_have_exited", "_value", "_write_to"),
}
"""Whatever is added here is played below: the port has to answer without it."""

OF_PYTHON = {"_thread", "_queue", "_replace", "_getframe"}
"""A module that Python documents, one that only gevent looks for in vain, a method of named tuples, and of ``sys``."""

OURS = {
    *("_attributes", "_books", "_by_child", "_context", "_instrument", "_kept", "_limit", "_one"),
    *("_other", "_own_spans", "_pid", "_record", "_taken"),
    *("_ends", "_histograms", "_note_duration", "_note_queue_wait", "_note_runtime", "_note_wait", "_noted", "_number"),
    *("_labelled", "_runtime", "_wait"),
}
"""What one of our objects asks of another of its class, or has in its ``__slots__``."""

TEXTS = {
    *("_PORT", "_SERVICE_", "_SERVICE_HOST", "_OTEL_CELERY_RELAY", "_Proxy"),
    *("_bucket", "_count", "_created", "_EXPORTER", "_exporter", "_gcount", "_gsum", "_info", "_per_", "_per_second"),
    *("_seconds", "_sum", "_timestamp_seconds", "_total"),
}
"""Parts of variables' and metrics' names, and of the class by which a provider stands for one that is set later."""

DOCUMENTED = {
    "celery_worker_up": 1,
    "celery_task_received_total": 2,
    "celery_task_started_total": 2,
    "celery_task_succeeded_total": 1,
    "celery_task_failed_total": 1,
}


def is_private(name: str) -> bool:
    """Tell whether a name is somebody's private one, and not of the notes that we make on Celery's objects."""
    return name.isidentifier() and name.startswith("_") and not name.startswith(("__", "_otel")) and name != "_"


def names_in(tree: ast.AST) -> Iterator[str]:
    """List the private names that a module asks of somebody else, also by a text that is such a name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("otel_celery"):
            yield from (*(node.module or "").split("."), *(alias.name for alias in node.names))
        elif isinstance(node, ast.Attribute) and not (
            isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
        ):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def overridden_in(module: ModuleType) -> Iterator[str]:
    """List the methods by which a module's classes override somebody else's: a base class may rename its own."""
    for kind in vars(module).values():
        if isinstance(kind, type) and kind.__module__ == module.__name__:
            foreign = [base for base in kind.__mro__[1:] if not base.__module__.startswith("otel_celery")]
            for name, member in vars(kind).items():
                is_defined_here = getattr(inspect.unwrap(member), "__module__", None) == module.__name__
                if callable(member) and is_defined_here and any(name in vars(base) for base in foreign):
                    yield name


def test_every_private_name_is_on_the_list() -> None:
    """A new one has to be played, or to be shown to be nobody else's; one that is gone leaves the list."""
    root = Path(otel_celery.__file__).parent
    paths = [path for path in root.rglob("*.py") if path.name != "__main__.py"]
    modules = [".".join(path.relative_to(root.parent).with_suffix("").parts) for path in paths]
    asked = [name for path in paths for name in names_in(ast.parse(path.read_text()))]
    overridden = [name for module in modules for name in overridden_in(import_module(module))]
    found = {name for name in (*asked, *overridden) if is_private(name)}
    assert found == PRIVATE | OF_PYTHON | OURS | TEXTS


def test_an_overridden_method_is_a_private_name() -> None:
    """A reader that overrides what the SDK asks readers to override, and would stand there without it."""

    class Reader(MetricReader):
        def _receive_metrics(self, *_: object, **__: object) -> None:
            pass

        def _own(self) -> None:
            pass

        def shutdown(self, *_: object, **__: object) -> None:
            pass

    module = ModuleType(Reader.__module__)
    vars(module)["Reader"] = Reader
    assert [name for name in overridden_in(module) if is_private(name)] == ["_receive_metrics"]


@pytest.mark.prefork
@pytest.mark.parametrize("name", sorted(PRIVATE))
def test_the_port_answers_without_it(site: Site, name: str) -> None:
    """A worker that meets a release without the name runs its tasks, counts them exactly, and ends as ever."""
    launcher = (sys.executable, "-m", "tests.integration.worker.moved")
    environment = {"T_MOVED": name, "OTEL_TRACES_EXPORTER": "console"}
    worker = HOOK.start(site, "prefork", launcher=launcher, environment=environment).wait_ready()
    site.client.send_task("proj.succeed")
    site.client.send_task("proj.fail")
    wait_until(lambda: worker.scrape().ends("proj.fail") == {"failure": 1}, "the failure is counted")
    wait_until(lambda: worker.scrape().ends("proj.succeed") == {"success": 1}, "the success is counted")
    scrape = worker.scrape()
    assert {metric: scrape.value(metric) for metric in DOCUMENTED} == DOCUMENTED
    assert worker.record()["finished succeed"] == 1
    assert worker.stop() == 0
    assert worker.log.count("Traceback") <= 1 + 2  # the task's own failure, and an error of ours that is told once
