"""An encoder that remembers each line of an exposition up to its value: most scrapes find the series of the last one.

prometheus_client sorts, escapes and joins the labels of each series anew at every scrape, which is most of what a
scrape costs the process that hands tasks to the pool. It still writes every line that is new, so that what is said is
what it says, byte for byte, in each of its formats. A sample that is the last one has its whole line already.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prometheus_client import Metric as Family
    from prometheus_client.registry import Collector

    Encoder = Callable[[Collector], bytes]

SMALL = 1_000_000
"""From here on Prometheus writes a number with an exponent."""

COUNTS = tuple(f"{number}.0\n" for number in range(256))
"""What most lines end with, once: a counter that stands at zero costs no text of its own."""

NO_MORE = Sample("", {}, 0.0)[3:]
AT_THE_END = ("_created", "_gsum", "_gcount")
"""Samples that the text format moves into families of their own, behind the others."""


@dataclass(slots=True)
class Block:
    """A family's lines: its comments, what each line begins with, and the value that was written there last."""

    comments: str
    samples: Sequence[Sample]
    starts: Sequence[str]
    values: list[str]

    def write(self, samples: Sequence[Sample]) -> str | None:
        """Write samples, of which those that are the last ones stay as they are; None if they are other series."""
        if len(samples) != len(self.samples):
            return None
        for place, (before, sample) in enumerate(zip(self.samples, samples, strict=True)):
            if sample is before:
                continue
            is_same = sample.labels is before.labels or sample.labels == before.labels
            if not is_same or sample.name != before.name or _has_more(sample):
                return None
            self.values[place] = _number(sample.value)
        self.samples = tuple(samples)  # the family's list may be changed later
        return self.comments + "".join(chain.from_iterable(zip(self.starts, self.values, strict=True)))


class Lines:
    """Encodes as ``encode`` does; for one thread, and one client's format."""

    def __init__(self, encode: Encoder, others: Iterable[Lines] = ()) -> None:
        """``encode`` is one of prometheus_client's encoders; ``others`` encode the same registry in other formats.

        A line begins alike in most formats: what another one has is not kept twice.
        """
        self._encode = encode
        self._others = others
        self._end = encode(_Given(())).decode()
        self._blocks: dict[tuple[str, ...], Block] = {}

    def __call__(self, registry: Collector) -> bytes:
        """Encode a registry, and forget the families that it no longer has.

        Raises the exceptions of the registry's collectors, and of the encoder.
        """
        kept, self._blocks = self._blocks, {}
        parts = [self._written(family, kept) for family in registry.collect()]
        return "".join([*parts, self._end]).encode()

    def kept(self, key: tuple[str, ...]) -> Block | None:
        """Give what is kept of a family, by its name, documentation, type and unit."""
        return self._blocks.get(key)

    def _written(self, family: Family, kept: dict[tuple[str, ...], Block]) -> str:
        key = (family.name, family.documentation, family.type, family.unit)
        block = kept.pop(key, None)  # another family of that name would find it half written
        text = block.write(family.samples) if block is not None else None
        if text is None:
            text = self._encode(_Given((family,))).decode().removesuffix(self._end)
            block = _begun(text, family.samples)
        if block is not None:
            self._blocks[key] = block
            self._share(key, block)
        return text

    def _share(self, key: tuple[str, ...], block: Block) -> None:
        """Have a family's lines begin with the very text that another format keeps, where that is the same."""
        for other in self._others:
            known = other.kept(key)
            if known is not None and known.starts == block.starts:
                block.starts = known.starts
                return


@dataclass(frozen=True, slots=True)
class _Given:
    """A registry of these families; implements prometheus_client's ``Collector``."""

    families: Iterable[Family]

    def collect(self) -> Iterable[Family]:
        return self.families


def _begun(text: str, samples: Sequence[Sample]) -> Block | None:
    """Read from a family's text what its lines begin with; None if there is more to a line than its value."""
    if any(_has_more(sample) or sample.name.endswith(AT_THE_END) for sample in samples):
        return None
    lines = text.split("\n")[:-1]
    comments, written = lines[: len(lines) - len(samples)], lines[len(lines) - len(samples) :]
    return Block(
        "".join(f"{line}\n" for line in comments),
        tuple(samples),
        [f"{line.rpartition(' ')[0]} " for line in written],
        [_number(sample.value) for sample in samples],
    )


def _has_more(sample: Sample) -> bool:
    """Tell whether a sample has a timestamp, an exemplar or a native histogram."""
    return sample[3:] != NO_MORE


def _number(value: float) -> str:
    if type(value) is int and 0 <= value < len(COUNTS):
        return COUNTS[value]
    if type(value) is int and -SMALL < value < SMALL:
        return f"{value}.0\n"
    return f"{floatToGoString(value)}\n"  # type: ignore[no-untyped-call]
