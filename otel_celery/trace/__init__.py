"""Spans, opt-in: made by opentelemetry-instrumentation-celery, sent from whichever process they end in.

Each module knows one thing: ``contrib`` the instrumentation, ``exporters`` and ``spans`` where spans go, ``ids`` under
which id a run is known to both processes, ``runs`` what a child does with it, ``lost`` what the main process does.
``process`` joins them for one process.
"""
