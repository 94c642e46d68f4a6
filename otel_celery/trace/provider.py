"""The TracerProvider: the application's where it has set one, else one of ours, by the standard variables."""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401  must hear of a fork before any provider does: see make()
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, SynchronousMultiSpanProcessor, TracerProvider

from otel_celery.export import plugins
from otel_celery.plain import label, text
from otel_celery.settings import variables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_celery.trace.ids import RunIds
    from otel_celery.trace.spans import ProcessSpans


MAX_LENGTH = 4_096
"""Characters of a resource's attribute, as in the metrics'."""


def application_provider() -> trace.TracerProvider | None:
    """Find the provider that somebody has set; logfire's is no SDK TracerProvider, and is one all the same.

    One of ours does not count, such as that of an earlier worker of this process.
    Raises RefusedError where OTEL_PYTHON_TRACER_PROVIDER names one that cannot be made.
    """
    found = plugins.provided(trace.get_tracer_provider, variables.TRACER_PROVIDER.name)
    return None if isinstance(found, (trace.ProxyTracerProvider, Provider)) else found


def offer(own: Provider) -> None:
    """Have the spans of libraries go where ours go, unless somebody has set a provider.

    One can be set once in a process, so that of an earlier worker is made to hand its spans on.
    """
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(own)
    found = trace.get_tracer_provider()
    if isinstance(found, Provider) and found is not own:
        found.hand_to(own)


def withdraw(own: Provider) -> None:
    """Have them go there no longer, but to whoever offered before and is still there."""
    found = trace.get_tracer_provider()
    if isinstance(found, Provider):
        found.take_from(own)


def make(ids: RunIds, spans: ProcessSpans, attributes: Mapping[str, str]) -> Provider:
    """Make a provider; the SDK itself reads OTEL_TRACES_SAMPLER and the limits of spans.

    In a forked child the SDK's provider asks for its resource anew by way of a ThreadPoolExecutor, and waits for ever
    where the executor's module was imported after the provider was made: each hears of a fork in the order of coming.
    """
    processors = SynchronousMultiSpanProcessor()  # type: ignore[no-untyped-call]
    switch = _Switch(spans)
    processors.add_span_processor(switch)
    return Provider(
        switch,
        resource=_resource(attributes),
        shutdown_on_exit=False,  # it would hold the process for 30 s
        active_span_processor=processors,
        id_generator=ids,
    )


class _Switch(SpanProcessor):
    """Hands each ended span to whoever came last."""

    def __init__(self, spans: SpanProcessor) -> None:
        self.targets = [spans]

    def on_end(self, span: ReadableSpan) -> None:
        for target in self.targets[-1:]:
            target.on_end(span)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return all(target.force_flush(timeout_millis) for target in self.targets[-1:])

    def shutdown(self) -> None:
        for target in self.targets:
            target.shutdown()


class Provider(TracerProvider):
    """The SDK's provider, which in a forked child gives way to a service.instance.id of the environment's."""

    def __init__(self, switch: _Switch, **options: Any) -> None:
        """Make one; ``switch`` is the processor among the options."""
        super().__init__(**options)
        self._switch = switch
        self._own_spans = switch.targets[0]
        self._resources = [self.resource]

    def hand_to(self, other: Provider) -> None:
        """Have spans from now on be those of ``other``'s process description, and go where its go."""
        self.take_from(other)
        self._switch.targets.append(other._own_spans)
        self._resources.append(other.resource)
        self._update_resource(other.resource)

    def take_from(self, other: Provider) -> None:
        """End that, or, where ``other`` is this one, have spans go nowhere unless somebody else has them."""
        if other._own_spans in self._switch.targets:
            place = self._switch.targets.index(other._own_spans)
            del self._switch.targets[place], self._resources[place]
            if self._resources:
                self._update_resource(self._resources[-1])

    def _update_resource(self, resource: Resource) -> None:
        update = getattr(super(), "_update_resource", None)
        if update is not None:  # else spans go on naming the worker that was first in this process
            update(_plain(resource.merge(OTELResourceDetector().detect())))


def _resource(attributes: Mapping[str, str]) -> Resource:
    """Describe the process; what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say wins."""
    said = Resource.create()
    described = Resource(dict(attributes)).merge(said)
    if str(said.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
        described = described.merge(Resource({SERVICE_NAME: attributes[SERVICE_NAME]}))
    return _plain(described)


def _plain(described: Resource) -> Resource:
    """Make what the environment says encodable: a byte that is no UTF-8 costs the attribute and a traceback."""
    return Resource(
        {text(key, MAX_LENGTH): label(value, MAX_LENGTH) for key, value in described.attributes.items()},
        described.schema_url,
    )
