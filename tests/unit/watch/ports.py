"""Endpoints on real sockets, whose pages a test writes."""

from __future__ import annotations

import http.server
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator


class Port:
    """What a port answers with: change it while it serves."""

    def __init__(self, page: str = "") -> None:
        """Answer with this page."""
        self.page = page
        self.status = 200
        self.hangs = False
        """Whether it takes requests, and answers with a byte a moment, without an end."""
        self.asked: list[tuple[str, str | None]] = []
        """The paths that it was asked for, and with which credentials."""
        self.number = 0
        self.leaving = threading.Event()

    @property
    def address(self) -> str:
        """Where it is."""
        return f"127.0.0.1:{self.number}"


def handler(port: Port) -> type[http.server.BaseHTTPRequestHandler]:
    """Make the class that answers for a port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            port.asked.append((self.path, self.headers["Authorization"]))
            self.send_response(port.status)
            if port.hangs:
                self.send_header("Content-Length", "1000000")
            self.end_headers()
            with suppress(OSError):
                while port.hangs and not port.leaving.is_set():
                    self.wfile.write(b"x")
                    time.sleep(0.02)
                self.wfile.write(port.page.encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
            """Say nothing."""

    return Handler


@contextmanager
def serving(page: str = "", context: ssl.SSLContext | None = None) -> Iterator[Port]:
    """Serve a page on a free port."""
    port = Port(page)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(port))
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    port.number = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield port
    finally:
        port.leaving.set()
        server.shutdown()
        thread.join()
        server.server_close()


def page(worker: str = "trading@h", started: float = 1000.0, **changed: float) -> str:
    """Write a worker's page; ``changed`` are counts of the task ``orders.place``, or levels."""
    levels = {"up": 1, "tasks_active": 1, "pool_size": 4, "tasks_reserved": 2, "tasks_scheduled": 3} | {
        "draining": 0,
        "broker_connected": 1,
        "loop_stall_seconds": 0.1,
    }
    levels |= {name: value for name, value in changed.items() if name in levels}
    counts = {"received": 0, "success": 0, "failure": 0, "retry": 0} | changed
    task = f'queue="trading",task_name="orders.place",worker="{worker}"'
    fast, slow = counts.get("fast", 0), counts.get("slow", 0)
    lines = [
        *(f'celery_worker_{name}{{worker="{worker}"}} {value}' for name, value in levels.items()),
        f"process_start_time_seconds {started}",
        f'celery_worker_queue_info{{queue="trading",worker="{worker}"}} 1.0',
        f"celery_task_received_total{{{task}}} {counts['received']}",
        *(
            f'celery_tasks_total{{queue="trading",status="{status}",task_name="orders.place",worker="{worker}"}} '
            f"{counts[status]}"
            for status in ("success", "failure", "retry")
        ),
        f'celery_task_duration_seconds_bucket{{le="0.1",{task}}} {fast}',
        f'celery_task_duration_seconds_bucket{{le="0.2",{task}}} {fast + slow}',
        f'celery_task_duration_seconds_bucket{{le="+Inf",{task}}} {fast + slow}',
        *(
            f'celery_worker_process_exits_total{{reason="{reason}",worker="{worker}"}} {counts.get(reason, 0)}'
            for reason in ("killed", "recycled")
        ),
    ]
    if "oldest" in changed:
        labels = f'task_name="orders.place",worker="{worker}"'
        lines.append(f"celery_worker_oldest_active_task_seconds{{{labels}}} {changed['oldest']}")
    return "\n".join(lines) + "\n"
