"""Where endpoints come from: given ones, files for Prometheus's file_sd_configs, and a Prometheus's own targets."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any, Protocol

from otel_celery.masking import plain, quoted, reason
from otel_celery.watch.endpoints import Endpoint, EndpointError, of_url
from otel_celery.watch.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from otel_celery.watch.asking import Asker

JOBS = ("celery*",)
"""Patterns of the jobs whose targets are ours, as prometheus.yml names them: celery, celery-queues, celery-beat."""

TARGETS = "/api/v1/targets?state=active"
SUFFIXES = (".json", ".yml", ".yaml")


NO_LIST = "is no list of targets, as file_sd_configs reads them"
TOO_DEEP = "its brackets are nested too deeply"


@dataclass(frozen=True, slots=True)
class Found:
    """What a source tells."""

    endpoints: tuple[Endpoint, ...]
    fault: str = ""
    """What it names besides, and is no endpoint, in one sentence; empty if there is nothing."""


class Source(Protocol):
    """Tells endpoints, anew each time that it is asked."""

    @property
    def place(self) -> str:
        """Where they are told: a file, or an address."""

    async def find(self) -> Found:
        """Find the endpoints.

        Raises EndpointError if they cannot be had now.
        """


class Given:
    """Endpoints that stay."""

    place = "the command line"

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        """Tell these."""
        self._found = Found(tuple(endpoints))

    async def find(self) -> Found:
        """Tell them."""
        return self._found


class File:
    """A file as Prometheus's file_sd_configs reads it."""

    def __init__(self, file: Path) -> None:
        """Read this one, in JSON; in YAML too if PyYAML is installed."""
        self._file = file

    @property
    def place(self) -> str:
        """Its path."""
        return plain(str(self._file))

    async def find(self) -> Found:
        """Read it, in a thread: it may be on a network."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> Found:
        try:
            told = _of_groups(_parsed(self._file, self._file.read_text(encoding="utf-8")))
        except OSError as error:
            raise EndpointError(f"{self._file} cannot be read: {error.strerror or error}") from None
        except RecursionError:
            raise EndpointError(f"{self._file} {NO_LIST}: {TOO_DEEP}") from None
        except EndpointError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise EndpointError(f"{self._file} {NO_LIST}: {reason(error)}") from None
        return _sifted(self.place, told)


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
    def place(self) -> str:
        """Its address."""
        return self._server.address

    async def find(self) -> Found:
        """Ask for its active targets."""
        return _sifted(f"Prometheus at {self.place}", [endpoint for endpoint, _ in await self._targets()])

    async def errors(self) -> dict[Endpoint, str]:
        """Ask for its active targets, each with the error of its last scrape; empty if that went well.

        Raises EndpointError if it does not tell.
        """
        return {endpoint: why for endpoint, why in await self._targets() if isinstance(endpoint, Endpoint)}

    async def _targets(self) -> list[tuple[Endpoint | EndpointError, str]]:
        """Ask for the targets of our jobs, each with the error of its last scrape."""
        answer = await self._asker.ask(self._server)
        if answer.why:
            raise EndpointError(f"Prometheus at {self.place} tells no targets: {answer.why}")
        try:
            targets = json.loads(answer.body)["data"]["activeTargets"]
            ours = [target for target in targets if self._is_ours(target["labels"].get("job"))]
            return [(_of_target(target), plain(str(target.get("lastError", "")))) for target in ours]
        except RecursionError:
            why = TOO_DEEP
        except (ValueError, LookupError, TypeError, AttributeError):
            why = "it tells no activeTargets"
        raise EndpointError(f"what answers at {self.place} is no Prometheus: {why}")

    def _is_ours(self, job: object) -> bool:
        return any(fnmatch(str(job), pattern) for pattern in self._jobs)


def _of_target(target: Any) -> Endpoint | EndpointError:
    return _tried(str(target.get("scrapeUrl", "")), target["labels"])


def _of_groups(groups: Any) -> list[Endpoint | EndpointError]:
    """Read the groups of a file; one that is none is an error of the whole file, as it is to Prometheus."""
    if groups is None:  # an empty file of YAML: nobody is there yet
        return []
    if not isinstance(groups, list):
        raise TypeError(f"it is no list: {quoted(groups)}")
    return [each for group in groups for each in _of_group(group)]


def _of_group(group: Any) -> Iterator[Endpoint | EndpointError]:
    if not isinstance(group, dict) or "targets" not in group:
        raise TypeError(f"a group of it has no targets: {quoted(group)}")
    targets, labels = group["targets"] or [], group.get("labels") or {}
    if not isinstance(targets, list):
        raise TypeError(f"its targets are no list: {quoted(targets)}")
    if not isinstance(labels, dict):
        raise TypeError(f"its labels are no mapping: {quoted(labels)}")
    scheme, path = labels.get("__scheme__", "http"), labels.get("__metrics_path__", "")
    yield from (_tried(f"{scheme}://{target}{path}", labels) for target in targets)


def _tried(url: str, labels: Mapping[str, object]) -> Endpoint | EndpointError:
    try:
        return of_url(url, plain(str(labels.get("pool") or "")), job=str(labels.get("job") or ""))
    except EndpointError as error:
        return error


def _sifted(where: str, told: Sequence[Endpoint | EndpointError]) -> Found:
    """Part the endpoints from what is none: one mistake costs nobody else."""
    endpoints = tuple(each for each in told if isinstance(each, Endpoint))
    wrong = [each for each in told if isinstance(each, EndpointError)]
    more = f" ({len(wrong)} of its {plural(len(told), 'target')} are none)" if len(wrong) > 1 else ""
    return Found(endpoints, f"{where}: {wrong[0]}{more}" if wrong else "")


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
