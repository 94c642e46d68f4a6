"""Write the pools as targets for Prometheus's file-based service discovery (file_sd_configs)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_celery.pools.plan import Pool
    from otel_celery.settings.settings import Port


JOB = "celery-queues"
"""The job of the queues' exporter, as in the committed prometheus.yml: rules for workers are not for it."""


def file_sd(pools: Iterable[Pool], host: str, port: Port, exporter: int | None = None) -> str:
    """Write the pools on a host as JSON, one target a pool, with the label ``pool``.

    ``port`` is the pools' Port, save for the number: with TLS, the targets get ``__scheme__`` https. ``exporter`` is
    the port of the queues' exporter on that host, if it runs there: a target with the label ``job``.
    """
    name = f"[{host}]" if ":" in host else host  # an IPv6 address
    scheme = {"__scheme__": "https"} if port.tls else {}
    named = [(pool.port, {"pool": pool.name}) for pool in pools]
    if exporter is not None:
        named.append((exporter, {"job": JOB}))
    groups = [{"targets": [f"{name}:{number}"], "labels": {**labels, **scheme}} for number, labels in named]
    return json.dumps(groups, indent=2, ensure_ascii=False) + "\n"
