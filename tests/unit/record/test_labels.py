"""Label values: cleaned, cut, bounded, and never a burden to the next scrape."""

from __future__ import annotations

import pytest

from otel_celery.record.labels import MAX_QUEUES, Labels
from otel_celery.settings.settings import Bounds


def labels(*folded: list[str], **bounds: int | tuple[str, ...]) -> Labels:
    """Make labels with these bounds; what is folded is appended to the list given."""
    return Labels(Bounds(**bounds), folded[0].append if folded else lambda _: None)  # type: ignore[arg-type]


def test_a_value_within_the_bounds_is_itself() -> None:
    """Ordinary names come through untouched."""
    each = labels()
    assert (each.task_name("proj.add"), each.queue("trading"), each.exception("ValueError"), each.clean("w@h")) == (
        "proj.add",
        "trading",
        "ValueError",
        "w@h",
    )


def test_a_value_is_cut_at_the_stated_length() -> None:
    """A label value has at most so many characters, not bytes."""
    each = labels(label_length=10)
    assert each.task_name("a" * 10) == "a" * 10
    assert each.task_name("a" * 9 + "bc") == "a" * 9 + "b"
    assert each.queue("\U0001f600" * 12) == "\U0001f600" * 10
    assert each.exception("E" * 12) == "E" * 10
    assert each.clean("w" * 12) == "w" * 10


def test_a_lone_surrogate_is_replaced() -> None:
    """Half a pair, which no encoder takes, becomes a question mark."""
    assert labels().clean("a\ud800b\udfffc") == "a?b?c"


@pytest.mark.parametrize("text", ["line\nfeed", 'quo"te', "back\\slash", "nul\0", "\U0001f600", "\u00e9", "tab\t", " "])
def test_whatever_can_be_encoded_stays(text: str) -> None:
    """Escaping is the exposition's business; the value is kept."""
    assert labels().clean(text) == text


def test_only_so_many_task_names_are_kept() -> None:
    """The first ones keep their names for good, later ones are other, and each folding is told."""
    folded: list[str] = []
    each = labels(folded, task_names=2)
    assert [each.task_name(name) for name in ("a", "b", "c", "a", "d", "b")] == ["a", "b", "other", "a", "other", "b"]
    assert folded == ["task_name", "task_name"]


def test_only_so_many_exceptions_are_kept() -> None:
    """The bound of exceptions is their own."""
    folded: list[str] = []
    each = labels(folded, exceptions=1)
    assert [each.exception(name) for name in ("A", "B", "A")] == ["A", "other", "A"]
    assert folded == ["exception"]
    assert each.task_name("B") == "B"


def test_only_so_many_queues_are_kept() -> None:
    """A broker full of queues does not make series without end."""
    folded: list[str] = []
    each = labels(folded)
    names = [each.queue(f"q{number}") for number in range(MAX_QUEUES + 2)]
    assert names == [*(f"q{number}" for number in range(MAX_QUEUES)), "other", "other"]
    assert folded == ["queue", "queue"]


def test_other_itself_takes_no_room() -> None:
    """A task that is called other is not counted as a name, nor as folded."""
    folded: list[str] = []
    each = labels(folded, task_names=1)
    assert [each.task_name(name) for name in ("other", "a", "other")] == ["other", "a", "other"]
    assert folded == []


@pytest.mark.parametrize(
    ("allow", "deny", "kept"),
    [
        ((), (), ["proj.add", "proj.debug", "other.add", "PROJ.add"]),
        (("proj.*",), (), ["proj.add", "proj.debug"]),
        ((), ("*.debug",), ["proj.add", "other.add", "PROJ.add"]),
        (("proj.*",), ("*.debug",), ["proj.add"]),
        (("proj.add", "other.*"), (), ["proj.add", "other.add"]),
        (("proj.a?d",), (), ["proj.add"]),
        (("proj.[ab]dd",), (), ["proj.add"]),
        ((), ("*",), []),
    ],
)
def test_patterns_say_which_tasks_have_series(allow: tuple[str, ...], deny: tuple[str, ...], kept: list[str]) -> None:
    """A task that is not allowed, or denied, is other; case matters, and denying comes last."""
    folded: list[str] = []
    each = labels(folded, allow=allow, deny=deny)
    names = ["proj.add", "proj.debug", "other.add", "PROJ.add"]
    assert [name for name in names if each.task_name(name) != "other"] == kept
    assert folded == [], "what the operator left out is not folded"


def test_a_task_left_out_takes_no_room() -> None:
    """Names that are denied do not use the bound up."""
    each = labels(task_names=1, deny=("a*",))
    assert [each.task_name(name) for name in ("a1", "a2", "b")] == ["other", "other", "b"]


def test_known_names_are_looked_up_without_taking_room() -> None:
    """Asking for the label of a running task neither takes up a new name nor tells of folding."""
    folded: list[str] = []
    each = labels(folded, task_names=1, label_length=8, deny=("denied",))
    assert each.known_task_name("a" * 9) == "other"
    assert each.task_name("a" * 9) == "a" * 8
    assert each.known_task_name("a" * 9) == "a" * 8
    assert each.known_task_name("denied") == "other"
    assert folded == []


@pytest.mark.parametrize("what", ["task_name", "queue", "exception", "clean"])
def test_no_value_is_empty(what: str) -> None:
    """The contract knows no empty label value; a class may well have no name."""
    assert getattr(labels(), what)("") != ""
