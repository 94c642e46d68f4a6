"""The TracerProvider: find the application's, or make ours from the standard variables."""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401  its at-fork handler must come before a provider's: see make()
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
"""Characters of a resource attribute at most, as for metrics."""


def application_provider() -> trace.TracerProvider | None:
    """Return the global provider that the application has set, or None; it need not be the SDK's class, as logfire's.

    Our own providers do not count, such as that of an earlier worker of this process.
    Raises RefusedError if OTEL_PYTHON_TRACER_PROVIDER names a provider that cannot be made.
    """
    found = plugins.provided(trace.get_tracer_provider, variables.TRACER_PROVIDER.name)
    return None if isinstance(found, (trace.ProxyTracerProvider, Provider)) else found


def offer(own: Provider) -> None:
    """Make our provider the global one, so that libraries' spans are exported with it, unless another one is set.

    A process can set its global provider only once. So if it is that of an earlier worker, that one hands its spans on.
    """
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(own)
    found = trace.get_tracer_provider()
    if isinstance(found, Provider) and found is not own:
        found.hand_to(own)


def withdraw(own: Provider) -> None:
    """Undo :func:`offer`: spans go to the provider that was offered before and not withdrawn, if there is one."""
    found = trace.get_tracer_provider()
    if isinstance(found, Provider):
        found.take_from(own)


def make(ids: RunIds, spans: ProcessSpans, attributes: Mapping[str, str]) -> Provider:
    """Make a provider; the SDK itself reads OTEL_TRACES_SAMPLER and the limits of spans.

    In a forked child the SDK's provider detects its resource anew, in a ThreadPoolExecutor. It would wait for ever if
    ``concurrent.futures.thread`` were imported after the provider was made: at-fork handlers of children run in the
    order of their registration.
    """
    processors = SynchronousMultiSpanProcessor()
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
    """Hands each ended span to the newest target."""

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
    """The SDK's TracerProvider, which can hand its spans to another, and keeps the environment's service.instance.id.

    In a forked child the SDK would replace that id by one of its own.
    """

    def __init__(self, switch: _Switch, **options: Any) -> None:
        """Make a provider with the SDK's options; ``switch`` is the span processor among them."""
        super().__init__(**options)
        self._switch = switch
        self._own_spans = switch.targets[0]
        self._resources = [self.resource]

    def hand_to(self, other: Provider) -> None:
        """Give later spans the resource of ``other``, and send them to its targets."""
        self.take_from(other)
        self._switch.targets.append(other._own_spans)
        self._resources.append(other.resource)
        self._update_resource(other.resource)

    def take_from(self, other: Provider) -> None:
        """Stop handing spans to ``other``, which may be this provider itself; without a target, spans are dropped."""
        if other._own_spans in self._switch.targets:
            place = self._switch.targets.index(other._own_spans)
            del self._switch.targets[place], self._resources[place]
            if self._resources:
                self._update_resource(self._resources[-1])

    def _update_resource(self, resource: Resource) -> None:
        update = getattr(super(), "_update_resource", None)
        if update is not None:  # else spans keep the resource of this process's first worker
            update(_plain(resource.merge(OTELResourceDetector().detect())))


def _resource(attributes: Mapping[str, str]) -> Resource:
    """Make the process's resource; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over ``attributes``."""
    said = Resource.create()
    described = Resource(dict(attributes)).merge(said)
    if str(said.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
        described = described.merge(Resource({SERVICE_NAME: attributes[SERVICE_NAME]}))
    return _plain(described)


def _plain(described: Resource) -> Resource:
    """Make attributes from the environment encodable: a byte that is not UTF-8 would cost the attribute."""
    return Resource(
        {text(key, MAX_LENGTH): label(value, MAX_LENGTH) for key, value in described.attributes.items()},
        described.schema_url,
    )
