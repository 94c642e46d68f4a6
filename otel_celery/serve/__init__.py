"""The HTTP port in a worker's main process: metrics and health, in one daemon thread.

This package imports neither Celery nor OpenTelemetry: it is given a Prometheus registry and a Health. It imports none
of its modules itself: only ``health`` is imported before a pool forks.

The event loop uses ``selectors`` and not asyncio. Under gevent and eventlet our thread is a greenlet of the thread that
runs the tasks, and an asyncio loop running in that thread would make ``asyncio.run()`` fail in every task.
"""
