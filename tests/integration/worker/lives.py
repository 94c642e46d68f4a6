"""Run as a script: several workers live in this process, and what was seen of each is printed as JSON.

The first argument names the story; what it needs besides is in the environment.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import signal
import sys
import threading
import time
import urllib.request
import weakref
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import Celery, signals
from celery.contrib.testing.worker import start_worker
from celery.worker import state as worker_state
from opentelemetry import metrics, trace
from prometheus_client.parser import text_string_to_metric_families

import otel_celery
from otel_celery import outward
from tests import otlp
from tests.integration.worker.harness import Scrape

if TYPE_CHECKING:
    from collections.abc import Callable

POOL = os.environ.get("T_POOL", "solo")
BROKER = os.environ.get("T_BROKER", "memory://")
tracer = trace.get_tracer("lives")
beans = metrics.get_meter("lives").create_counter("beans")


class Log(logging.Handler):
    """Keeps our own lines."""

    def __init__(self) -> None:
        """Have heard nothing."""
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        if record.name.startswith("otel_celery"):
            self.lines.append(record.getMessage())


log = Log()


def make_app(name: str = "lives") -> Celery:
    """Make an app whose tasks run in whatever worker of this process."""
    app = Celery(name, broker=BROKER, backend=os.environ.get("T_BACKEND", "cache+memory://"), set_as_current=False)
    app.conf.update(broker_connection_retry_on_startup=True, worker_hijack_root_logger=False, task_default_queue=name)

    @app.task(name=f"{name}.ok", shared=False)
    def ok(seconds: float = 0.0) -> str:
        beans.add(1)
        with tracer.start_as_current_span("inside"):
            pass
        time.sleep(seconds)
        return threading.current_thread().name

    app.finalize()
    return app


def scrape(port: int) -> dict[str, float] | None:
    """Give what the port says, by name and sorted labels; None where nothing listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    except OSError:  # or what listened has just closed
        return None
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name
        in {"celery_task_succeeded_total", "celery_worker_up", "beans_total", "celery_task_received_total"}
    }


def total(found: dict[str, float] | None, name: str) -> float | None:
    """Add up the samples of a name."""
    return None if found is None else sum(value for key, value in found.items() if key.startswith(name))


def await_(what: Callable[[], object], seconds: float = 20.0) -> bool:
    """Wait until something is true."""
    until = time.monotonic() + seconds
    while not (found := bool(what())) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def run(app: Celery, number: int, seconds: float = 0.0) -> Counter[str]:
    """Run tasks, and count which worker ran how many."""
    results = [app.tasks[f"{app.main}.ok"].delay(seconds) for _ in range(number)]
    return Counter(result.get(timeout=30, disable_sync_subtasks=False) for result in results)


def state() -> dict[str, Any]:
    """Tell what a worker could leave behind."""
    names = [name for name in signals.__all__ if hasattr(getattr(signals, name), "receivers")]
    return {
        "threads": sorted(each.name for each in threading.enumerate() if each.name.startswith(("otel", "Otel"))),
        "receivers": {name: len(getattr(signals, name).receivers or ()) for name in names},
        "handlers": [str(signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)],
        "relay": os.environ.get("_OTEL_CELERY_RELAY"),
        "sockets": sum(1 for fd in Path("/proc/self/fd").iterdir() if _is_socket(fd)),
        "open": len(outward._open),
    }


def _is_socket(fd: Path) -> bool:
    try:
        return str(fd.readlink()).startswith("socket:")
    except OSError:
        return False


def worker_of(app: Celery, name: str, port: int, **options: Any) -> Any:
    """Make a worker whose metrics are to be on this port."""
    os.environ["PROMETHEUS_PORT"] = str(port)
    quiet = {"without_mingle": True, "without_gossip": True, "without_heartbeat": True}
    return app.WorkController(app=app, hostname=name, pool=POOL, concurrency=1, **quiet, **options)


def begin(worker: Any) -> threading.Thread:
    """Have a worker work in a thread of its own, until it consumes."""

    def work(start: Callable[[], None] = worker.start, app: Celery = worker.app) -> None:
        app.set_current()  # Celery asks for the thread's app where it runs a task
        start()

    thread = threading.Thread(target=work, name=worker.hostname, daemon=True)
    thread.start()
    assert await_(lambda: getattr(getattr(worker, "consumer", None), "task_consumer", None))
    return thread


def collected(references: list[weakref.ref[Any]]) -> bool:
    """Tell whether nothing is left of these."""

    def gone() -> bool:
        gc.collect()
        return not any(reference() for reference in references)

    return await_(gone)


# -- the stories -------------------------------------------------------------------------------------------------------


def one_after_the_other(port: int) -> Any:
    """Three workers of one app, and of the same name, run one, two and three tasks."""
    app = make_app()
    seen: list[list[float | None]] = []
    references: list[weakref.ref[Any]] = []
    otel_celery.instrument(app)
    os.environ["PROMETHEUS_PORT"] = str(port)
    before = state()
    for number in (1, 2, 3):
        with start_worker(app, pool=POOL, perform_ping_check=False, loglevel="INFO") as worker:
            references.append(weakref.ref(worker))
            run(app, number)
            await_(partial(_says, port, "beans_total", number), 5)
            found = scrape(port)
        names = ("celery_task_received_total", "celery_task_succeeded_total", "celery_worker_up", "beans_total")
        seen.append([*(total(found, name) for name in names), total(scrape(port), names[0])])
        del worker
    gone = collected(references)
    return {"seen": seen, "gone": gone, "before": before, "after": state(), "request": str(app.Task.Request)}


def ends(port: int) -> Any:
    """End a worker in each way that there is, and look at what is left of it."""
    app = make_app()
    otel_celery.instrument(app)
    before, left = state(), {}
    for way in ("stop", "terminate", "flag", "never started", "cannot start", "cannot stop", "broken"):
        worker = worker_of(app, f"{way.replace(' ', '-')}@h", port)
        reference = weakref.ref(worker)
        if way == "cannot start":
            worker.pool.start = _fail  # Celery ends it itself
            worker.start()
        elif way == "broken":
            worker.pool.start = _break
            with contextlib.suppress(GeneratorExit):
                worker.start()
        elif way != "never started":
            thread = begin(worker)
            run(app, 1)
            up = total(scrape(port), "celery_task_succeeded_total")
            if way == "flag":
                worker_state.should_terminate = 0
            elif way == "cannot stop":
                worker.blueprint.on_stopped = partial(_fail, worker.blueprint.on_stopped)
                with contextlib.suppress(LookupError):
                    worker.stop()
            else:
                getattr(worker, way)()
            thread.join(20)
            worker_state.should_terminate = None
            del thread
        del worker
        gone = collected([reference])
        closed = await_(lambda: scrape(port) is None)
        left[way] = [gone, closed, None if way in {"never started", "cannot start", "broken"} else up]
    await_(lambda: state() == before, 5)
    return {"left": left, "before": before, "after": state()}


def _says(port: int, name: str, value: float) -> bool:
    return total(scrape(port), name) == value


def _fail(first: Callable[[], None] = lambda: None) -> None:
    first()
    raise LookupError("no more")


def _break() -> None:
    raise GeneratorExit


def a_stop_waits_for_the_pool(port: int) -> Any:
    """While a task runs out its time the port says so, and its end is counted before the port closes."""
    app = make_app()
    otel_celery.instrument(app)
    worker = worker_of(app, "w@h", port)
    begin(worker)
    result = app.tasks["lives.ok"].delay(3.0)
    await_(lambda: total(scrape(port), "celery_task_received_total") == 1)
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    seen = []
    while (found := scrape(port)) is not None:
        seen.append(total(found, "celery_task_received_total"))
        time.sleep(0.1)
    ended = result.ready()
    stopping.join(20)
    return {"during": len(seen) > 3, "values": sorted({value for value in seen if value is not None}), "ended": ended}


def at_once(ports: list[int], apps: int) -> Any:
    """Two workers at once, of one app or of two; each counts what it ran."""
    made = [make_app(f"lives{number}") for number in range(apps)]
    for app in made:
        otel_celery.instrument(app)
    before = state()
    workers = [worker_of(made[number % apps], f"w{number}@h", port) for number, port in enumerate(ports)]
    threads = [begin(worker) for worker in workers]
    ran = sum((run(app, 30 // apps, 0.05) for app in made), Counter[str]())
    said = {
        worker.hostname: total(scrape(port), "celery_task_succeeded_total")
        for worker, port in zip(workers, ports, strict=True)
    }
    workers[0].stop()
    threads[0].join(20)
    first = scrape(ports[0])
    later = run(made[-1], 3)
    second = total(scrape(ports[1]), "celery_task_succeeded_total")
    workers[1].stop()
    for thread in threads:
        thread.join(20)
    references = [weakref.ref(worker) for worker in workers]
    del workers, threads, thread
    gone = collected(references)
    return {
        "ran": ran, "said": said, "first": first, "later": later, "second": second,
        "gone": gone, "before": before, "after": state(),
    }  # fmt: skip


def a_neighbours_end(ports: list[int]) -> Any:
    """While one worker has a task running and others waiting, another of its app loses its connection, and ends."""
    app = make_app()
    app.set_default()  # which is where a pool's threads look for theirs
    otel_celery.instrument(app)
    busy, other = [worker_of(app, f"w{number}@h", port) for number, port in enumerate(ports)]
    threads = [begin(other)]
    other.consumer.cancel_task_queue("lives")
    app.amqp.queues.select_add("lives")  # which that took from the app as well
    threads.append(begin(busy))
    results = [app.tasks["lives.ok"].delay(seconds) for seconds in (2.0, 0.0, 0.0)]
    await_(lambda: books(ports[0])["reserved"] == 2)
    seen = [books(ports[0])]
    other.consumer.on_close()  # as when its connection is lost
    seen.append(books(ports[0]))
    other.stop()
    threads[0].join(20)
    seen.append(books(ports[0]))
    for result in results:
        result.get(timeout=20, disable_sync_subtasks=False)
    await_(lambda: books(ports[0])["ended"] == 3)
    seen.append(books(ports[0]))
    busy.stop()
    threads[1].join(20)
    return {"seen": seen}


def beans_after_a_neighbour(ports: list[int]) -> Any:
    """Tasks record while the first worker is alone, while it has a neighbour, and after that has ended; twice over.

    At last an instrument is made that was not there before.
    """
    apps = [make_app(f"lives{number}") for number in range(3)]
    for app in apps:
        otel_celery.instrument(app)
    before = state()
    first = worker_of(apps[0], "w0@h", ports[0])
    threads = [begin(first)]
    run(apps[0], 1)
    seen = [_beans(ports[0], 1)]
    for number in (1, 2):
        worker = worker_of(apps[number], f"w{number}@h", ports[1])
        threads.append(begin(worker))
        run(apps[number], 2)
        seen.append(_beans(ports[1], 2))
        worker.stop()
        threads[-1].join(20)
        run(apps[0], 3)
        seen.append(_beans(ports[0], 1 + 3 * number))
    metrics.get_meter("late").create_counter("beans").add(10)
    seen.append(_beans(ports[0], 17))
    reference = weakref.ref(worker)
    first.stop()
    for thread in threads:
        thread.join(20)
    del worker, first, threads, thread
    gone = collected([reference])
    return {"seen": seen, "gone": gone, "before": before, "after": state()}


def _beans(port: int, awaited: float) -> float | None:
    await_(partial(_says, port, "beans_total", awaited), 5)
    return total(scrape(port), "beans_total")


def books(port: int) -> dict[str, float]:
    """Give both sides of the conservation law."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return Scrape(answer.read().decode()).books()


def one_port(port: int) -> Any:
    """Two workers at once want the same port."""
    app, other = make_app("lives0"), make_app("lives1")
    for each in (app, other):
        otel_celery.instrument(each)
    first, second = worker_of(app, "first@h", port), worker_of(other, "second@h", port)
    threads = [begin(first), begin(second)]
    run(app, 1)
    run(other, 2)
    found = scrape(port)
    first.stop()
    came = await_(lambda: total(scrape(port), "celery_task_succeeded_total") == 2)
    second.stop()
    for thread in threads:
        thread.join(20)
    return {"first": total(found, "celery_task_succeeded_total"), "came": came, "log": log.lines, "last": scrape(port)}


def twenty(ports: list[int]) -> Any:
    """Twenty lives in a few generations, each of as many workers at once as there are ports."""
    before, sizes = None, []
    for _ in range(20 // len(ports)):
        apps = [make_app(f"lives{number}") for number in range(len(ports))]
        for app in apps:
            otel_celery.instrument(app)
        workers = [worker_of(app, f"{app.main}@h", port) for app, port in zip(apps, ports, strict=True)]
        threads = [begin(worker) for worker in workers]
        for app in apps:
            run(app, 1)
        assert all(total(scrape(port), "celery_task_succeeded_total") == 1 for port in ports)
        for worker in workers:
            worker.stop()
        for thread in threads:
            thread.join(20)
        references = [weakref.ref(each) for each in (*workers, *apps)]
        del workers, threads, apps, worker, thread, app
        gone = collected(references)
        sizes.append([gone, sum(str(type(each).__module__).startswith("otel_celery") for each in gc.get_objects())])
        before = before or state()
    return {"sizes": sizes, "before": before, "after": state()}


def traces(port: int) -> Any:
    """Three workers whose tasks make spans of their own, and then a message that no worker is there for."""
    with otlp.http_receiver() as receiver:
        os.environ |= {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        app = make_app()
        otel_celery.instrument(app)
        before, seen = state(), []
        for number in range(3):
            worker = worker_of(app, f"w{number}@h", port)
            thread = begin(worker)
            run(app, 1)
            worker.stop()
            thread.join(20)
            seen.append(sorted((span.name, span.resource["celery.worker.name"]) for span in receiver.spans()))
            receiver.clear()
        await_(lambda: state() == before)
        after = state()
        app.tasks["lives.ok"].delay()
        otel_celery.instrument(app).uninstrument()
        await_(receiver.spans)
        last = [(span.name, span.resource.get("celery.worker.name")) for span in receiver.spans()]
    return {"seen": seen, "before": before, "after": after, "last": last}


STORIES: dict[str, Callable[[list[int]], Any]] = {
    "one after the other": lambda ports: one_after_the_other(ports[0]),
    "ends": lambda ports: ends(ports[0]),
    "drain": lambda ports: a_stop_waits_for_the_pool(ports[0]),
    "one app at once": lambda ports: at_once(ports, 1),
    "two apps at once": lambda ports: at_once(ports, 2),
    "a neighbour's end": a_neighbours_end,
    "beans after a neighbour": beans_after_a_neighbour,
    "one port": lambda ports: one_port(ports[0]),
    "traces": lambda ports: traces(ports[0]),
    "twenty": twenty,
}

if __name__ == "__main__":
    logging.getLogger().addHandler(log)
    logging.getLogger("otel_celery").setLevel(logging.INFO)
    answer = STORIES[sys.argv[1]]([int(port) for port in sys.argv[2:]])
    print(json.dumps({**answer, "said": answer.get("said"), "log": log.lines}))  # noqa: T201
