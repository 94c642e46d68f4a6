"""A Prometheus that remembers what never happened: samples are written into its store before it starts."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests import services
from tests.integration.stack.intervals import hasten
from tests.integration.stack.servers import FreePorts, copied, start_prometheus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from tests.integration.stack.servers import Server


@contextmanager
def remembered(samples: Iterable[str], directory: Path, rules: Sequence[str] = ()) -> Iterator[Server]:
    """Run a Prometheus with these samples, lines of OpenMetrics, and these committed rules, and nothing to scrape."""
    file = directory / "history.om"
    file.write_text("\n".join([*samples, "# EOF", ""]))
    port = services.free_port()
    command = [services.built("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(file)]
    subprocess.run([*command, str(directory / f"tsdb-{port}")], check=True, capture_output=True)
    copy = copied(directory / "monitoring", FreePorts())
    hasten(copy)
    config = f"rule_files: [{', '.join(str(copy / name) for name in rules)}]\n"
    with start_prometheus(config, directory, port=port) as server:
        yield server
