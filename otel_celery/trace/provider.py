"""The TracerProvider: the application's where it has set one, else one of ours, by the standard variables."""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401  must hear of a fork before any provider does: see make()
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SynchronousMultiSpanProcessor, TracerProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_celery.trace.ids import RunIds
    from otel_celery.trace.spans import ProcessSpans


def application_provider() -> trace.TracerProvider | None:
    """Find the provider that somebody has set; logfire's is no SDK TracerProvider, and is one all the same."""
    found = trace.get_tracer_provider()
    return None if isinstance(found, trace.ProxyTracerProvider) else found


def make(ids: RunIds, spans: ProcessSpans, attributes: Mapping[str, str]) -> TracerProvider:
    """Make a provider; the SDK itself reads OTEL_TRACES_SAMPLER and the limits of spans.

    In a forked child the SDK's provider asks for its resource anew by way of a ThreadPoolExecutor, and waits for ever
    where the executor's module was imported after the provider was made: each hears of a fork in the order of coming.
    """
    processors = SynchronousMultiSpanProcessor()  # type: ignore[no-untyped-call]
    processors.add_span_processor(spans)
    return _Provider(
        resource=_resource(attributes),
        shutdown_on_exit=False,  # it would hold the process for 30 s
        active_span_processor=processors,
        id_generator=ids,
    )


class _Provider(TracerProvider):
    """The SDK's provider, which in a forked child gives way to a service.instance.id of the environment's."""

    def _update_resource(self, resource: Resource) -> None:
        super()._update_resource(resource.merge(OTELResourceDetector().detect()))


def _resource(attributes: Mapping[str, str]) -> Resource:
    """Describe the process; what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say wins."""
    said = Resource.create()
    described = Resource(dict(attributes)).merge(said)
    if str(said.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
        described = described.merge(Resource({SERVICE_NAME: attributes[SERVICE_NAME]}))
    return described
