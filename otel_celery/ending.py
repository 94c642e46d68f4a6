"""How long the end of a worker, or of a child of its pool, may be held up: all bounds of it in one place, in seconds.

A worker's end goes in this order. Its last spans are handed to a thread. The relay hears its children out, at most
STRAGGLERS_SECONDS, and its own thread ends, at most THREAD_SECONDS later. Then the last metrics are pushed, until
WORKER_SECONDS have passed since the beginning: half a second is left for them at the least. The spans are waited for
until SPANS_SECONDS have passed since the beginning. Then the port is closed, and its thread ends, at most
THREAD_SECONDS later. That is three seconds, if everything hangs, unless OTEL_PYTHON_CELERY_TRACE_FLUSH_TIMEOUT asks for
a longer wait than WORKER_SECONDS: then it is that wait and THREAD_SECONDS.

The end of a process that only publishes waits for its last metrics until PUBLISHER_SECONDS have passed.

A child's end waits for CHILD_METRICS_SECONDS and for SPANS_SECONDS, one after the other.

Whatever is not done by then is left to a daemon thread, which ends with the process.
"""

from __future__ import annotations

WORKER_SECONDS = 2.0
"""How long after the beginning of a worker's end its last metrics may still be pushed.

A supervisor kills a worker that is late, after 10 s (Docker) or 30 s (Kubernetes), and that time belongs to the tasks.
Counters are cumulative: what is lost are the last few values, and those only where the collector hangs.
"""

STRAGGLERS_SECONDS = 0.5
"""How long the relay listens, at a worker's end, to processes that have not gone.

The pool is over by then, and its children have said goodbye. What may be left are processes that a task has forked.
"""

THREAD_SECONDS = 1.0
"""How long a thread of the relay or the port, which was told to end, is waited for.

Its turns take milliseconds; only a scrape that hangs in a collector of the application's takes longer.
"""

CHILD_METRICS_SECONDS = 0.5
"""How long a child's end waits for its last metrics to be sent. Its slot in the pool is empty meanwhile."""

PUBLISHER_SECONDS = 2.0
"""How long the end of a process that only publishes waits for its last metrics: a web server, a script, beat."""

SPANS_SECONDS = 0.5
"""How long a process's end waits for its last spans, unless OTEL_PYTHON_CELERY_TRACE_FLUSH_TIMEOUT says otherwise.

It is short since a child's slot is empty meanwhile: docs/traces.md has what a longer wait costs a pool.
"""
