"""What the page says, of scrapes that are written down here."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric as Family

from otel_celery.page import tables
from otel_celery.page.figures import Figures
from otel_celery.page.overview import overview
from otel_celery.page.page import StatusPage
from tests.unit.page.document import Document, scraped
from tests.unit.record import contract

LIFE = (Path(__file__).parents[1] / "record" / "exposition.txt").read_text("utf-8")
"""What the port says of one task's life."""

BUCKETS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf")

MARKUP = """</style></title><script>alert(1)</script><img src=x onerror="alert(1)">'"&lt;{who}"""


class FakeHealth:
    """A process whose state a test writes down."""

    def __init__(self, unready: str | None = None, unhealthy: str | None = None) -> None:
        """Be ready, unless it is said otherwise."""
        self.unready, self.unhealthy = unready, unhealthy

    def healthy(self) -> str | None:
        """Say why it has to be restarted."""
        return self.unhealthy

    def ready(self) -> str | None:
        """Say why it is not ready."""
        return self.unready


def page(text: str = LIFE, health: FakeHealth | None = None, who: str = "worker w@h", runbook: str = "") -> Document:
    """Make the page of a scrape."""
    return Document(StatusPage(who, runbook, lambda: 1_070.0).html(scraped(text), health or FakeHealth()).decode())


def many(number: int, name: str = "orders.task_{}") -> list[Family]:
    """Make the scrape of a worker that has run so many tasks; each has failed as often as its number says."""
    families = [Family(f"celery_task_{word}", "", "counter") for word in ("received", "succeeded", "retried", "failed")]
    raised = Family("celery_task_failures_by_exception", "", "counter")
    last = Family("celery_task_last_success_timestamp_seconds", "", "gauge")
    durations = Family("celery_task_duration_seconds", "", "histogram")
    for index in range(number):
        labels = {"task_name": name.format(index), "queue": "orders", "worker": "orders@host-1"}
        for family in families:
            number_of = index if family.name.endswith("failed") else 10_000 + index
            family.add_sample(f"{family.name}_total", labels, number_of)
        raised.add_sample(f"{raised.name}_total", {**labels, "exception": "OperationalError"}, index)
        last.add_sample(last.name, labels, 1_000.0)
        for place, le in enumerate(BUCKETS):
            durations.add_sample(f"{durations.name}_bucket", {**labels, "le": le}, place * 100)
    return [*families, raised, last, durations]


def test_a_tasks_life_is_told() -> None:
    """Counts and the exception are those of the scrape, and the quantiles as histogram_quantile has them."""
    row = page().rows()["proj.add"]
    assert row.pop("last success") == "1 min 10 s ago"
    assert row == {
        "received": "1",
        "succeeded": "1",
        "failed": "1",
        "retried": "1",
        "p50": "550 ms",
        "p95": "955 ms",
        "raised most": "ValueError (1)",
    }


def test_the_worker_is_told() -> None:
    """Its pool, slots, held tasks and versions."""
    facts = page().facts
    assert facts["pool"] == "prefork"
    assert facts["busy"] == "0 of 4 slots"
    assert facts["held"] == "2 reserved, 3 scheduled"
    assert facts["runs longest"] == "proj.add, for 12 s"
    assert facts["tasks"] == "1 received, 1 succeeded, 1 failed, 1 retried"
    assert "Celery 5.7.0" in facts["versions"]


def test_its_queues_are_told() -> None:
    """Those that it consumes, and those that messages came from."""
    rows = page().rows("received here")
    assert {queue: row["received here"] for queue, row in rows.items()} == {"celery": "-", "trading": "1"}


def test_troubles_are_told_in_sentences() -> None:
    """What is not zero and should be."""
    told = " ".join(text for _, text in page().texts)
    assert "Pool processes ended unexpectedly: 1 killed." in told
    assert "Messages never became a task: 1 invalid." in told
    assert "1 message could not be published." in told
    assert "otel-celery's own" not in told


@pytest.mark.parametrize(
    ("health", "draining", "state"),
    [
        (FakeHealth(), "0", "ready"),
        (FakeHealth("the worker is shutting down"), "1", "draining: the worker is shutting down"),
        (FakeHealth("the connection to the broker is lost"), "0", "not ready: the connection to the broker is lost"),
        (FakeHealth("a", "beat has not ticked for 9 s"), "0", "has to be restarted: beat has not ticked for 9 s"),
    ],
)
def test_the_state_is_told_in_words(health: FakeHealth, draining: str, state: str) -> None:
    """With the reason that /-/ready gives; it stands in the title too."""
    text = LIFE.replace('draining{worker="w@h"} 0.0', f'draining{{worker="w@h"}} {draining}')
    document = page(text, health)
    assert document.text("title") == f"worker w@h: {state}"
    assert document.text("p") == state


def test_beats_page_has_its_schedule() -> None:
    """Where beat is served: when it ticked, and what it sent."""
    text = """# TYPE celery_beat_last_tick_timestamp_seconds gauge
celery_beat_last_tick_timestamp_seconds 1000.0
# TYPE celery_beat_entries gauge
celery_beat_entries 2.0
# TYPE celery_beat_tasks_sent_total counter
celery_beat_tasks_sent_total{task_name="proj.add"} 7.0
# TYPE celery_beat_send_failures_total counter
celery_beat_send_failures_total{task_name="proj.add"} 2.0
"""
    document = page(text, who="celery-beat")
    assert document.facts["entries"] == "2"
    assert document.facts["last tick"] == "1 min 10 s ago"
    assert document.rows("sent") == {"proj.add": {"sent": "7", "not sent": "2", "lag p50": "-", "lag p95": "-"}}
    assert "pool" not in document.facts


def test_the_queue_exporters_page_has_its_queues() -> None:
    """The longest first."""
    text = """# TYPE celery_queue_length gauge
celery_queue_length{queue="a"} 3.0
celery_queue_length{queue="b"} 1200.0
# TYPE celery_queue_oldest_message_age_seconds gauge
celery_queue_oldest_message_age_seconds{queue="b"} 90.0
# TYPE otel_celery_queue_last_refresh_timestamp_seconds gauge
otel_celery_queue_last_refresh_timestamp_seconds 1000.0
"""
    document = page(text, who="celery-queues")
    rows = document.rows("waiting")
    assert list(rows) == ["b", "a"]
    assert (rows["b"]["waiting"], rows["b"]["oldest"]) == ("1,200", "1 min 30 s")
    assert document.facts["queues asked"] == "1 min 10 s ago"


def test_a_process_of_which_nothing_is_known_has_a_page() -> None:
    """An empty collection is no error."""
    assert page("").text("h1") == "worker w@h"


def test_nothing_in_it_comes_from_elsewhere() -> None:
    """No script, picture, frame or form; the style is the one that the policy names by its hash."""
    document = page(runbook="https://git.example/RUNBOOK.md?a=1&b=2")
    assert not {tag for tag, _ in document.elements} & {"script", "img", "link", "iframe", "form", "object", "svg"}
    names = {name for _, attributes in document.elements for name, _ in attributes}
    assert not {name for name in names if name.startswith("on") or name in {"style", "src"}}
    policy = dict(StatusPage("w", "").headers)["Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(document.text("style").encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ")
    assert re.findall(r"'(?:sha|unsafe)[^']*'", policy) == [f"'sha256-{digest}'"]


@pytest.mark.parametrize(
    ("address", "link", "words"),
    [
        ("", "-/runbook", "/-/runbook"),
        ("https://git.example/R.md?a=1&b=2", "https://git.example/R.md?a=1&b=2", "https://git.example/R.md?a=1&b=2"),
    ],
)
def test_its_links(address: str, link: str, words: str) -> None:
    """The runbook is the port's own, unless the operators have theirs elsewhere."""
    links = [dict(attributes)["href"] for tag, attributes in page(runbook=address).elements if tag == "a"]
    assert links[:3] == ["metrics", "-/ready", link]
    assert StatusPage("w", address).text([], FakeHealth()).decode().endswith(f"\nrunbook: {words}\n")


LIVED = scraped(LIFE)


def hostile(value: str) -> tuple[bytes, bytes]:
    """Make the page and its text with this behind every label of every sample, and behind all that is said."""
    families = [Family(family.name, "", family.type) for family in LIVED]
    for family, lived in zip(families, LIVED, strict=True):
        for each in lived.samples:
            labels = {key: text if key == "le" else f"{text}{value}" for key, text in each.labels.items()}
            family.add_sample(each.name, labels, each.value)
    made, health = StatusPage(f"worker w@h{value}", "", lambda: 1_070.0), FakeHealth(f"it is stuck{value}")
    return made.html(families, health), made.text(families, health)


HARMLESS, TOLD = hostile("")
ELEMENTS = Document(HARMLESS.decode()).elements


@given(st.one_of(st.just(MARKUP), st.text(), st.text("<>&\"'/={}\0\x1b\n\r\u202e\ud800%", max_size=40)))
def test_whatever_a_label_says_stays_text(value: str) -> None:
    """The document has the elements and attributes that it has with harmless labels, and can be encoded.

    On a terminal a name can neither write a line of its own nor an escape sequence.
    """
    document, lines = (made.decode() for made in hostile(value))
    assert Document(document).elements == ELEMENTS
    assert document.count("\n") == HARMLESS.count(b"\n")
    assert document.replace("\n", "").isprintable()
    assert lines.count("\n") == TOLD.count(b"\n")
    assert lines.replace("\n", "").isprintable()


def test_markup_is_shown_as_it_is() -> None:
    """Who named a task so reads its name."""
    text = LIFE.replace("proj.add", "<b>bold</b> & 'q'")
    assert "<b>bold</b> & 'q'" in page(text).rows()
    assert ("b", ()) not in page(text).elements


def test_fifty_tasks_take_less_than_30_kb() -> None:
    """With names of a usual length, and every figure."""
    document = StatusPage("worker orders@host-1", "").html(many(50), FakeHealth())
    assert len(Document(document.decode()).rows()) == 50
    assert len(document) < 30_000


def test_what_is_not_listed_is_counted() -> None:
    """Those that fail most are listed, and a sentence has the sums of the others."""
    families = many(tables.MAX_ROWS + 3)
    document = Document(StatusPage("worker w@h", "").html(families, FakeHealth()).decode())
    rows = document.rows()
    assert len(rows) == tables.MAX_ROWS
    assert next(iter(rows)) == f"orders.task_{tables.MAX_ROWS + 2}"
    assert "3 more tasks: 30,003 received, 3 failed; /metrics has all." in {text.strip() for _, text in document.texts}


def test_the_longest_page_is_bounded() -> None:
    """However many tasks there are, whatever their names are made of."""
    families = many(700, name="{}" + "&" * 300)
    document = StatusPage("worker orders@host-1", "").html(families, FakeHealth())
    assert len(document) < 150_000


def test_figures_of_an_applications_own_do_no_harm() -> None:
    """A metric that has one of our names, and not our labels; values that are no number."""
    text = """# TYPE celery_task_received_total counter
celery_task_received_total{colour="red"} NaN
# TYPE celery_worker_pool_size gauge
celery_worker_pool_size -Inf
# TYPE celery_worker_tasks_active gauge
celery_worker_tasks_active NaN
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1e300
"""
    assert page(text).rows()[""]["received"] == "-"


def test_it_asks_for_metrics_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each name is one of the contract: a page of misspelt names would be empty, and nobody would see why."""
    asked: set[str] = set()
    samples = Figures.samples

    def noting(figures: Figures, name: str):
        asked.add(name.removesuffix("_bucket"))
        return samples(figures, name)

    monkeypatch.setattr(Figures, "samples", noting)
    overview("w", scraped(LIFE), FakeHealth(), 0.0)
    overview("w", [], FakeHealth(), 0.0)
    known = {*contract.CONTRACT, "process_start_time_seconds", "target_info"}
    assert len(asked) > 20
    assert asked - known == set()


def test_a_page_that_loads_itself_again_says_so_to_the_browser() -> None:
    """By a meta element, and is otherwise the same."""
    made = StatusPage("w", "")
    document = made.html(scraped(LIFE), FakeHealth())
    again = Document(made.refreshing(document, 5).decode()).elements
    assert ("meta", (("http-equiv", "refresh"), ("content", "5"))) in again
    assert len(again) == len(Document(document.decode()).elements) + 1


def test_on_a_telephone_each_figure_says_what_it_is() -> None:
    """The style has a label for each column of each table but the first."""
    style = page().text("style")
    for columns in tables.COLUMNS:
        for place, head in enumerate(columns.heads[1:], 2):
            assert f'.{columns.key} td:nth-child({place})::before{{content:"{head} "}}' in style
    assert style.count("{") == style.count("}")


def test_a_terminal_gets_the_same_in_columns() -> None:
    """The names on the left, the figures below each other, and where there is more."""
    text = StatusPage("worker w@h", "https://git.example/R.md", lambda: 1_070.0).text(many(2), FakeHealth()).decode()
    table = text[text.index("task  ") :].splitlines()
    assert table[:3] == [
        "task           received  succeeded  failed  retried     p50   p95    last success           raised most",
        "orders.task_1    10,001     10,001       1   10,001  375 ms  10 s  1 min 10 s ago  OperationalError (1)",
        "orders.task_0    10,000     10,000       0   10,000  375 ms  10 s  1 min 10 s ago                     -",
    ]
    assert table[-1] == "runbook: https://git.example/R.md"
