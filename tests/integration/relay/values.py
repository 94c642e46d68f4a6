"""The shop with one more task: it records every value with every instrument, and in every place of a label."""

from __future__ import annotations

from opentelemetry import metrics

from tests.integration.relay.played import play
from tests.integration.relay.shop import app, orders


@app.task(name="values.play")
def values_play():
    """Record all of it between two orders."""
    orders.add(1, {"shop": "before"})
    raised = play(metrics.get_meter("values"))
    orders.add(1, {"shop": "after"})
    return raised
