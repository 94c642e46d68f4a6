"""Where endpoints come from: given ones, files for Prometheus's file_sd_configs, and a Prometheus's own targets."""

from __future__ import annotations

import asyncio
import json
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any, Protocol

from otel_celery.masking import plain, quoted, reason
from otel_celery.watch.endpoints import Endpoint, EndpointError, of_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from otel_celery.watch.asking import Asker

JOBS = ("celery*",)
"""Patterns of the jobs whose targets are ours, as prometheus.yml names them: celery, celery-queues, celery-beat."""

TARGETS = "/api/v1/targets?state=active"
SUFFIXES = (".json", ".yml", ".yaml")


class Source(Protocol):
    """Tells endpoints, anew each time that it is asked."""

    async def find(self) -> list[Endpoint]:
        """Find the endpoints.

        Raises EndpointError if they cannot be had now.
        """


class Given:
    """Endpoints that stay."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        """Tell these."""
        self._endpoints = list(endpoints)

    async def find(self) -> list[Endpoint]:
        """Tell them."""
        return self._endpoints


class Files:
    """Files as Prometheus's file_sd_configs reads them."""

    def __init__(self, files: Iterable[Path]) -> None:
        """Read these, in JSON; in YAML too if PyYAML is installed."""
        self._files = list(files)

    async def find(self) -> list[Endpoint]:
        """Read them all, in a thread: a file may be on a network."""
        return await asyncio.to_thread(lambda: [endpoint for file in self._files for endpoint in _of_file(file)])


class Prometheus:
    """A Prometheus that scrapes the endpoints."""

    def __init__(self, url: str, asker: Asker, jobs: Iterable[str] = JOBS) -> None:
        """Ask the server at this URL for the targets of jobs that match a pattern of fnmatch.

        Raises EndpointError if it is no URL.
        """
        self._server = of_url(url.rstrip("/") + TARGETS)
        self._asker = asker
        self._jobs = tuple(jobs)

    @property
    def address(self) -> str:
        """Where it is."""
        return self._server.address

    async def find(self) -> list[Endpoint]:
        """Ask for its active targets."""
        return list(await self.targets())

    async def targets(self) -> dict[Endpoint, str]:
        """Ask for its active targets, each with the error of its last scrape; empty if that went well.

        Raises EndpointError if it does not tell.
        """
        answer = await self._asker.ask(self._server)
        if answer.why:
            raise EndpointError(f"Prometheus at {self._server.address} tells no targets: {answer.why}")
        try:
            targets = json.loads(answer.body)["data"]["activeTargets"]
            return {
                endpoint: plain(str(target.get("lastError", "")))
                for target in targets
                for endpoint in self._of_target(target)
            }
        except (ValueError, LookupError, TypeError, AttributeError):
            raise EndpointError(
                f"what answers at {self._server.address} is no Prometheus: it tells no activeTargets"
            ) from None

    def _of_target(self, target: Any) -> Iterator[Endpoint]:
        labels = target["labels"]
        if any(fnmatch(labels.get("job", ""), pattern) for pattern in self._jobs):
            yield of_url(str(target["scrapeUrl"]), str(labels.get("pool", "")), job=labels.get("job", ""))


def _of_file(file: Path) -> Iterator[Endpoint]:
    try:
        groups = _parsed(file, file.read_text(encoding="utf-8"))
        for group in groups:
            labels = group.get("labels") or {}
            scheme, path = labels.get("__scheme__", "http"), labels.get("__metrics_path__", "")
            for target in group["targets"]:
                yield of_url(f"{scheme}://{target}{path}", str(labels.get("pool", "")), job=str(labels.get("job", "")))
    except OSError as error:
        raise EndpointError(f"{file} cannot be read: {error.strerror or error}") from None
    except EndpointError as error:
        raise EndpointError(f"{file}: {error}") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise EndpointError(f"{file} is no list of targets, as file_sd_configs reads them: {reason(error)}") from None


def _parsed(file: Path, text: str) -> Any:
    if file.suffix not in SUFFIXES:
        raise ValueError(f"its name ends in {quoted(file.suffix)}, and not in {', '.join(SUFFIXES)}")
    if file.suffix == ".json":
        return json.loads(text)
    try:
        import yaml  # noqa: PLC0415  of no requirement of ours: who writes YAML mostly has it
    except ModuleNotFoundError:
        raise EndpointError(f"{file} is YAML: pip install pyyaml, or write it as JSON") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
