"""The pools file: what it gives, and each sentence that it refuses with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_celery.pools import plan
from otel_celery.pools.plan import Pool
from otel_celery.pools.section import PlanError

if TYPE_CHECKING:
    from pathlib import Path


def test_the_example_holds_the_five_documented_pools() -> None:
    """The file in the package names the documented pools with their documented ports."""
    pools = plan.read(plan.EXAMPLE)
    assert {pool.name: pool.port for pool in pools} == {
        "trading": 9101,
        "pipeline": 9102,
        "allocation": 9103,
        "market": 9104,
        "general": 9105,
    }
    assert {pool.hostname for pool in pools} == {"localhost"}


def test_every_key_arrives() -> None:
    """A pool is what its table says."""
    text = """
        [pools.trading]
        app = "shop.celery"
        port = 9101
        queues = ["trading", "orders"]
        concurrency = 8
        pool = "threads"
        hostname = "host1"
        options = ["--prefetch-multiplier=1", "-l", "DEBUG"]
    """
    assert plan.parse(text) == (
        Pool(
            name="trading",
            app="shop.celery",
            port=9101,
            queues=("trading", "orders"),
            concurrency=8,
            kind="threads",
            hostname="host1",
            options=("--prefetch-multiplier=1", "-l", "DEBUG"),
        ),
    )


def test_what_is_not_said_has_a_default() -> None:
    """Queues are the pool's own name, the pool is prefork, the host is the machine's, the rest is Celery's."""
    assert plan.parse('[pools.a]\napp = "x"\nport = 1') == (Pool("a", "x", 1, ("a",), None, "prefork", "%h", ()),)


def test_defaults_hold_for_every_pool_that_does_not_say_otherwise() -> None:
    """The table of defaults fills in what a pool's own table leaves out."""
    text = '[defaults]\napp = "x"\npool = "solo"\n[pools.a]\nport = 1\n[pools.b]\nport = 2\npool = "threads"'
    assert [(pool.app, pool.kind) for pool in plan.parse(text)] == [("x", "solo"), ("x", "threads")]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[pools", "this is not TOML: "),
        ("", "there is no pool in it: each needs a table, [pools.<name>]"),
        ("[pool.a]", "pool is not a key of the pools file; did you mean pools?"),
        ("pools = 3", "pools = 3 is not allowed: it must be a table"),
        ("[pools]\na = 3", "pools.a = 3 is not allowed: it must be a table"),
        ("[defaults]\nprt = 1\n[pools.a]", "defaults.prt is not a key of the pools file; did you mean port?"),
        (
            "[pools.a]\nconcurency = 1",
            "pools.a.concurency is not a key of the pools file; did you mean concurrency?",
        ),
        ("[pools.a]", "pools.a.app is missing"),
        ('[pools.a]\napp = "x"', "pools.a.port is missing"),
        ('[pools.a]\napp = ""', "pools.a.app = '' is not allowed: it must be a text that is not empty"),
        ("[pools.a]\napp = 1", "pools.a.app = 1 is not allowed: it must be a text that is not empty"),
        (
            '[pools.a]\napp = "x"\nport = 70000',
            "pools.a.port = 70000 is not allowed: it must be a whole number from 1 to 65535",
        ),
        (
            '[pools.a]\napp = "x"\nport = true',
            "pools.a.port = True is not allowed: it must be a whole number from 1 to 65535",
        ),
        (
            '[defaults]\nport = "9101"\n[pools.a]\napp = "x"',
            "defaults.port = '9101' is not allowed: it must be a whole number from 1 to 65535",
        ),
        (
            '[pools.a]\napp = "x"\nport = 1\nqueues = []',
            "pools.a.queues = [] is not allowed: it must be a list of texts, at least one",
        ),
        (
            '[pools.a]\napp = "x"\nport = 1\nqueues = "a,b"',
            "pools.a.queues = 'a,b' is not allowed: it must be a list of texts, at least one",
        ),
        (
            '[pools.a]\napp = "x"\nport = 1\npool = "thread"',
            (
                "pools.a.pool = 'thread' is not allowed: it must be one of prefork, threads, solo, gevent, eventlet, "
                "processes, custom; did you mean threads?"
            ),
        ),
        (
            '[pools.a]\napp = "x"\nport = 1\noptions = ["-Qorders"]',
            "pools.a.options = ['-Qorders'] is not allowed: instead of -Q use the key queues",
        ),
        (
            '[pools.a]\napp = "x"\nport = 1\noptions = ["--concurrency=3"]',
            "pools.a.options = ['--concurrency=3'] is not allowed: instead of --concurrency use the key concurrency",
        ),
        (
            '[pools."a b"]\napp = "x"\nport = 1',
            "the pool's name 'a b' is not allowed: it must be letters, digits, - and _, a letter first",
        ),
        (
            '[defaults]\napp = "x"\n[pools.a-b]\nport = 1\n[pools.a_b]\nport = 2',
            "the pools 'a-b' and 'a_b' would share the variable of their port",
        ),
    ],
)
def test_what_is_not_allowed_is_one_sentence(text: str, sentence: str) -> None:
    """Bad input names the key, its value, what is allowed, and the nearest word."""
    with pytest.raises(PlanError) as caught:
        plan.parse(text)
    assert str(caught.value).startswith(sentence)
    assert str(caught.value) == sentence or sentence.endswith(": ")


def test_the_queues_exporter_has_a_port_where_the_file_says_so(tmp_path: Path) -> None:
    """The example has it; a file without the table has none; another key, or value, is one sentence with the file."""
    assert plan.read_exporter(plan.EXAMPLE) == 9106
    assert plan.parse_exporter('[pools.a]\napp = "x"\nport = 1') is None
    file = tmp_path / "pools.toml"
    for text, sentence in (
        ("[queues]", "queues.port is missing"),
        ("[queues]\nprt = 1", "queues.prt is not a key of the pools file; did you mean port?"),
        ("queues = 3", "queues = 3 is not allowed: it must be a table"),
        ("[queues]\nport = 0", "queues.port = 0 is not allowed: it must be a whole number from 1 to 65535"),
    ):
        file.write_text(text)
        with pytest.raises(PlanError) as caught:
            plan.read_exporter(file)
        assert str(caught.value) == f"{file}: {sentence}"


def test_the_sentence_names_the_file(tmp_path: Path) -> None:
    """An error in a file begins with the file's path."""
    file = tmp_path / "pools.toml"
    file.write_text("[pools.a]")
    with pytest.raises(PlanError, match=r"pools\.toml: pools\.a\.app is missing"):
        plan.read(file)


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    """A missing file is said, with the reason."""
    with pytest.raises(PlanError, match=r"none\.toml cannot be read: No such file"):
        plan.read(tmp_path / "none.toml")


def test_the_file_given_comes_before_the_local_one_and_that_before_the_example(tmp_path: Path) -> None:
    """--file wins; ./pools.toml counts where it is; else the example does."""
    given = tmp_path / "mine.toml"
    assert plan.find(None, tmp_path) == plan.EXAMPLE
    (tmp_path / "pools.toml").touch()
    assert plan.find(None, tmp_path) == tmp_path / "pools.toml"
    assert plan.find(given, tmp_path) == given


def test_pools_are_picked_by_name_in_the_files_order() -> None:
    """Naming none means all."""
    pools = plan.read(plan.EXAMPLE)
    assert plan.select(pools, ()) == pools
    assert [pool.name for pool in plan.select(pools, ("market", "trading"))] == ["trading", "market"]


def test_a_name_that_no_pool_has_is_refused_with_the_nearest() -> None:
    """A misspelt pool is one sentence."""
    with pytest.raises(PlanError, match=r"there is no pool 'tradign' among trading, .*; did you mean trading\?"):
        plan.select(plan.read(plan.EXAMPLE), ("tradign",))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "a = " + "[" * 100_000,
        "[pools.a]\napp = 'x'\nport = " + "9" * 5_000,
        "[pools.a]\napp = 'x'\nport = 0x" + "f" * 5_000,
        "[pools.a]\napp = '" + "x" * 100_000 + "'\nport = 0",
        '[pools.a]\n"' + "x\\n" * 50_000 + '" = 1',
        '[pools."' + "x\\n" * 50_000 + '"]\napp = "x"',
        '[pools.a]\napp = "x\\u0000"\nport = 1',
        '[pools.a]\napp = "x"\nport = 1\nqueues = ["a\\nb"]',
        "[pools.a]\napp = 'x'\nport = 'redis://user:hidden@host/0?key=hidden'",
        "pools = 'redis://user:hidden@host/0'",
    ],
)
def test_any_file_is_one_short_sentence(text: str, tmp_path: Path) -> None:
    """Of printable letters, and without secrets."""
    file = tmp_path / "pools.toml"
    file.write_text(text)
    with pytest.raises(PlanError) as caught:
        plan.read(file)
    said = str(caught.value)
    assert len(said) <= 240
    assert said.isprintable()
    assert "hidden" not in said
