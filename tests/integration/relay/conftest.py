"""Fixtures of the tests of what tasks record: a broker, and workers on it."""

from __future__ import annotations

from tests.integration.worker.conftest import site

__all__ = ["site"]
