"""Spans of publishing and running tasks, opt-in: made by opentelemetry-instrumentation-celery (contrib).

Each process exports the spans that end in it. ``contrib`` switches the instrumentation on, ``spans`` and ``exporters``
export the spans, ``ids`` makes the ids of a run, ``runs`` uses them in the child, and ``lost`` in the main process.
``process`` joins these for one process, and ``worker`` and ``publisher`` for two kinds of process.
"""
