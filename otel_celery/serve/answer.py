"""A response of the port, before it is encoded for a client."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; all clients share one body, which is never copied."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


def sentence(status: int, text: str, *headers: tuple[str, str]) -> Answer:
    """Answer with one line of text."""
    return Answer(status, f"{text}\n".encode(errors="replace"), headers=headers)
