"""The same application with an SDK MeterProvider of its own, set at import: histograms are then recorded by the SDK."""

from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider

from tests.benchmarks.app import app

__all__ = ["app"]

set_meter_provider(MeterProvider())
