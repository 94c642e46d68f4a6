"""Write the pools as targets for Prometheus's file-based service discovery (file_sd_configs)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_celery.pools.plan import Pool
    from otel_celery.settings.settings import Port


def file_sd(pools: Iterable[Pool], host: str, port: Port) -> str:
    """Write the pools on a host as JSON, one target a pool, with the label ``pool``.

    ``port`` is the pools' Port, save for the number: with TLS, the targets get ``__scheme__`` https.
    """
    name = f"[{host}]" if ":" in host else host  # an IPv6 address
    scheme = {"__scheme__": "https"} if port.tls else {}
    groups = [{"targets": [f"{name}:{pool.port}"], "labels": {"pool": pool.name, **scheme}} for pool in pools]
    return json.dumps(groups, indent=2, ensure_ascii=False) + "\n"
