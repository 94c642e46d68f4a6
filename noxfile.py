"""Every check of the project: ``nox`` runs what CI runs, ``nox --list`` names the parts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import nox
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

nox.needs_version = ">=2025.11"
nox.options.default_venv_backend = "uv|virtualenv"  # uv makes an environment in 3 s, pip in 16
nox.options.download_python = "never"  # a missing Python is skipped at a desk and fails where CI is set
nox.options.reuse_venv = "yes"

HERE = Path(__file__).parent
PYPROJECT = nox.project.load_toml(HERE / "pyproject.toml")
NEWEST = "3.11"
"""The Python of the full run: Debian 12's own."""
NEWEST_CELERY = "5.7"
BATCHES = "celery-batches==0.11"
"""Whose metadata asks for Celery below 5.7; it works with that all the same."""
LOWEST = "lowest"
"""The cell of the matrix with the lowest version of each requirement, on the lowest Python."""
CELERY = {
    # uv's own words, and what Celery 5.4 itself works with: kombu 5.7 wants a redis-py that it does not allow.
    LOWEST: ("--resolution", "lowest-direct", "kombu<5.4", "billiard<4.3"),
    "5.5": ("celery[redis]~=5.5.0",),
    "5.6": ("celery[redis]~=5.6.0",),
    "5.7": ("celery[redis]~=5.7.0",),
}
CELLS = {
    ("3.10", LOWEST): ("fork",),
    ("3.12", "5.5"): ("fork",),
    ("3.13", "5.6"): ("fork",),
    ("3.13", "5.7"): ("fork", "spawn"),
}
"""The start methods that are played on each pair of Python and Celery; not each pair is there, but each of both.

`tests` and `rest` are the cell of Python 3.11 and Celery 5.7 that forks.
"""
FOUR = ("--numprocesses", "4", "--dist", "loadgroup")
"""Unit tests at a time on two cores, since some wait. A group keeps what one worker plays in one process."""
EIGHT = ("--numprocesses", "8", "--dist", "loadgroup")
"""Tests of real processes at a time: they wait for shutdowns, scrapes, alerts, limits, and children that are killed."""
TABLE = (
    "tests/integration/worker/test_ends.py",
    "tests/integration/worker/test_books.py",
    "tests/integration/trace/test_prefork.py",
)
"""Every way to end, the books, and the spans: what differs between versions of Celery."""
INSIDE = (
    "tests/integration/worker/test_children.py",
    "tests/integration/worker/test_full.py::test_the_queues_are_the_consumers_and_without_one_nothing_is_ready",
    "tests/integration/worker/test_rabbitmq.py::test_the_queue_is_the_one_that_the_consumer_tag_names",
)
"""What reads names inside billiard and kombu: the children's exits, the queues, and the consumer tags.

On the newest Celery they are among the `rest`.
"""
CELERY_SIDE = (
    "tests/unit/observe",
    "tests/unit/beat",
    "tests/unit/trace",
    "tests/unit/test_auto.py",
    "tests/unit/test_worker.py",
)
"""The unit tests that an older Celery could fail."""
ROOMS = ("tests/unit",)
PYTHON_SIDE = (*ROOMS, "tests/integration/relay/test_instruments.py")
"""What differs by Python alone; the relay forks, spawns, and has threads in between."""
QUICK = (*ROOMS, "tests/integration/stack/test_rules.py", "tests/integration/stack/test_alerts.py")
"""The rooms, and Prometheus's own check of the exposition and of the alerts."""
DEMO = "tests/integration/pools/test_demo.py"
"""Runs beside the ends, which mostly wait: the unit tests leave its processes too little of two cores.

It is named first, since its tests run one after the other and take longest.
"""
ENDS = "tests/integration/worker/test_ends.py"
ONCE = "not late and not early-results and not killed_demo and not broker_of_the"
"""Each way to end once on each pool, and the demo on its own broker; `rest` has the others, and the killed one.

Between the lowest and the newest Celery each is played once, too.
"""
SLOWEST = ("--durations", "20", "-raR")
"""Name the slowest tests, all that did not pass, and those of others' servers that were tried again."""
COVERED = ("3.13", NEWEST_CELERY)
"""The cell whose coverage CI holds to its floor: from Python 3.12 on it is measured at next to no cost."""
GRAFANA = "12.0.2"
"""Of its packages on npm: the major version that compose pins."""
TYPESCRIPT = (f"@grafana/schema@{GRAFANA}", "typescript@5.9")
"""Grafana's types, and what checks them."""
DRAWING = (
    *(f"@grafana/ui@{GRAFANA}", f"@grafana/data@{GRAFANA}", "react@18.3.1", "react-dom@18.3.1"),
    *("d3@7.9.0", "@fontsource/inter@5.3.0", "esbuild@0.28.2", "playwright-core@1.65.1", "upng-js@2.1.0"),
)
"""Grafana's panel components with what they are drawn with, what bundles them, and what steers Chromium."""
FEWER = {"OTEL_CELERY_TEST_EXAMPLES": "10"}
"""Examples of a property in a cell of the matrix, where fifty are tried on the newest Python; some have multiples."""
FROZEN = (ENDS, "tests/integration/worker/test_books.py")
"""One way through the table of ends, and the books, once more with the garbage collector frozen before the fork."""
GC_FREEZE = "OTEL_CELERY_TEST_GC_FREEZE"
"""Gives the worker tests' workers OTEL_PYTHON_CELERY_GC_FREEZE."""
START_METHOD = "OTEL_CELERY_TEST_START_METHOD"
"""Tells the worker tests how the prefork pool starts its children; Celery 5.7 has the choice."""


def group(*names: str) -> tuple[str, ...]:
    """Read what the named dependency groups ask for."""
    return nox.project.dependency_groups(PYPROJECT, *names)


def offer_pyenv() -> None:
    """Let every Python that pyenv holds be found by its name; last on PATH, so that nothing else changes."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    held = (str(path) for path in sorted(root.glob("versions/3.*/bin")))
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *held])


def keep_bytecode() -> None:
    """Have what is installed compiled once: else each of the thousand workers would compile it as it starts."""
    os.environ["UV_COMPILE_BYTECODE"] = "1"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


offer_pyenv()
keep_bytecode()


@nox.session(python=NEWEST)
def lint(session: nox.Session) -> None:
    """Hold the code to its rules: style, types, and which module may import which."""
    session.install("-e", ".[demo]", *group("lint", "test", "dashboard"), "nox")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("lint-imports", "--no-cache")  # its cache does not notice a module that appears


@nox.session(python=NEWEST)
def tests(session: nox.Session) -> None:
    """Run what tells within minutes whether it works: needs no service but Redis, or the Valkey of a wheel."""
    install_for_tests(session)
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    session.run("pytest", *QUICK, *SLOWEST, *FOUR, "-m", "not alone")
    session.run("pytest", DEMO, ENDS, *SLOWEST, *EIGHT, "-k", ONCE)


@nox.session(python=NEWEST)
def rest(session: nox.Session) -> None:
    """Run all other tests, with every service, and then, by itself, what measures time."""
    install_for_tests(session, "brokers")
    left = (f"--ignore={path}" for path in (*QUICK, ENDS, DEMO))
    session.run("pytest", *left, *SLOWEST, *EIGHT, "-m", "not alone")
    session.run("pytest", ENDS, DEMO, "-raR", *EIGHT, "-k", f"not ({ONCE})")
    session.run("pytest", *FROZEN, "-raR", *EIGHT, "-m", "prefork", "-k", ONCE, env={GC_FREEZE: "true"})
    session.run("pytest", *SLOWEST, "-m", "alone")


def install_for_tests(session: nox.Session, *more: str) -> None:
    """Install all that the tests import, on any pool, and more groups."""
    groups = group("test", "green", "dashboard", "kubernetes", "frameworks", "beat", *more)
    session.install("-e", ".[demo]", *CELERY[NEWEST_CELERY], *groups)
    session.install("--no-deps", BATCHES)


@nox.session
@nox.parametrize("python,celery", [nox.param(*cell, id=f"{cell[0]}-celery-{cell[1]}") for cell in CELLS])
def matrix(session: nox.Session, celery: str) -> None:
    """Run the unit tests and the prefork workers on each pair of Python and Celery, and on the lowest versions."""
    session.install(*CELERY[celery], "-e", ".[demo]", *group("test", "green"))
    is_covered = bool(os.environ.get("CI")) and (session.python, celery) == COVERED and not session.posargs
    pytest = ("coverage", "run", "-m", "pytest") if is_covered else ("pytest",)
    if is_covered:
        session.run("coverage", "erase")
    units = PYTHON_SIDE if celery in {NEWEST_CELERY, LOWEST} else CELERY_SIDE
    session.run(*pytest, *units, *FOUR, "-m", "not services and not alone", *session.posargs, env=FEWER)
    inside = () if celery == NEWEST_CELERY else INSIDE
    chosen = () if celery in {NEWEST_CELERY, LOWEST} else ("-k", ONCE)
    for start_method in CELLS[str(session.python), celery]:
        session.log(f"prefork with {start_method}")
        play_prefork(session, *inside, *chosen, pytest=pytest, start_method=start_method)
    if is_covered:
        session.run("coverage", "combine", "--quiet")
        session.run("coverage", "report")


def play_prefork(
    session: nox.Session, *more: str, pytest: Sequence[str] = ("pytest",), start_method: str = "fork"
) -> None:
    """Run the prefork workers of a cell."""
    table = (*pytest, *TABLE, *more, "-raR", *EIGHT, "-m", "prefork", *session.posargs)
    session.run(*table, env={START_METHOD: start_method})


@nox.session(name="next", python=NEWEST, venv_backend="uv", reuse_venv=False, default=False)
def upcoming(session: nox.Session) -> None:
    """Run the same, on demand, on the newest of everything: pre-releases, and what the upper bounds keep away."""
    lifted = Path(session.virtualenv.location) / "lifted.txt"  # not nox's own tmp: too long a path for a socket
    lifted.write_text("".join(f"{each}\n" for each in lift(PYPROJECT["project"]["dependencies"])))
    newest = ("--prerelease", "allow", "--upgrade", "--override", str(lifted))
    session.install(*newest, "-e", ".[demo]", *group("test", "green"))
    try:
        session.run("pytest", *ROOMS, *FOUR, "-m", "not services and not alone", *session.posargs)
    finally:
        play_prefork(session, *INSIDE)


def lift(requirements: Iterable[str]) -> Iterator[Requirement]:
    """Give the requirements that have an upper bound, without it."""
    for requirement in map(Requirement, requirements):
        lower = SpecifierSet(",".join(str(each) for each in requirement.specifier if each.operator == ">="))
        if lower != requirement.specifier:
            requirement.specifier = lower
            yield requirement


@nox.session(python=NEWEST)
def build(session: nox.Session) -> None:
    """Build the sdist, and the wheel from it, into dist/."""
    session.install("build[uv]")
    for old in (HERE / "dist").glob("otel_celery-*"):
        old.unlink()
    session.run("python", "-m", "build", "--installer", "uv", "--outdir", "dist")


@nox.session(python=NEWEST, reuse_venv=False, requires=["build"])
@nox.parametrize("suffix", [nox.param(".whl", id="wheel"), nox.param(".tar.gz", id="sdist")])
def package(session: nox.Session, suffix: str) -> None:
    """Install what was built in an empty environment, and start it from there."""
    (archive,) = (HERE / "dist").glob(f"otel_celery-*{suffix}")
    session.install(str(archive))
    session.chdir(session.create_tmp())  # away from the checkout, which would be imported instead
    session.run("python", "-c", "import otel_celery; print(otel_celery.__version__)")
    session.run("python", "-c", "import importlib.resources as r; (r.files('otel_celery') / 'py.typed').read_bytes()")
    session.run("python", "-c", "from otel_celery.page.runbook import Runbook; Runbook('a worker').html()")  # the same
    session.run("otel-celery", "--help")
    session.run("otel-celery", "metrics", silent=True)
    session.install(f"otel-celery[demo] @ {archive.as_uri()}")
    session.run("otel-celery", "pools", "example", silent=True)  # a file that must be inside
    session.run("python", "-c", "import otel_celery.demo.tasks")


@nox.session(python=NEWEST, default=False)
def types(session: nox.Session) -> None:
    """Hold the dashboards to Grafana's own TypeScript types, on demand: it asks npm for 33 MB, and takes a minute."""
    session.install("-e", ".", *group("dashboard"))
    place = Path(session.create_tmp())
    with (place / "board.ts").open("w") as program:
        session.run("python", "-m", "devops.monitoring.dashboard.typescript", stdout=program)
    # Without --prefix npm would look further up for a package.json, and write into the repository's.
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock")
    session.run("npm", "install", "--prefix", str(place), *quiet, *TYPESCRIPT, external=True)
    session.chdir(place)
    options = ("--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler")
    session.run("npx", "--no-install", "tsc", *options, "board.ts", external=True)


@nox.session(python=NEWEST, default=False)
def pictures(session: nox.Session) -> None:
    """Draw docs/images anew, on demand: needs Chromium, asks npm for 630 MB, and watches the demo for seven minutes."""
    session.install("-e", ".[demo]", *CELERY[NEWEST_CELERY], *group("test"))
    session.run("python", "-m", "tests.tools", "prometheus")
    place = Path(session.create_tmp())
    options = ("--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund", "--no-package-lock")
    session.run("npm", "install", "--prefix", str(place), *options, *DRAWING, external=True)
    session.run("python", "-m", "devops.monitoring.pictures", str(place))


@nox.session(python=NEWEST, default=False)
def incidents(session: nox.Session) -> None:
    """Play every incident, on demand, on both versions of Prometheus: needs the services, and a quarter of an hour."""
    session.install("-e", ".[demo]", *CELERY[NEWEST_CELERY], *group("test", "green", "dashboard"))
    session.run("python", "-m", "tests.tools", "prometheus")
    session.run("python", "-m", "tests.incidents", "--prometheus", "both", *session.posargs)


@nox.session(python=NEWEST, default=False)
def mutations(session: nox.Session) -> None:
    """Mutate the alerts and what they read, on demand, and name what no test notices: two minutes of a core."""
    session.install("-e", ".[demo]", *CELERY[NEWEST_CELERY], *group("test"))
    session.run("python", "-m", "tests.tools", "prometheus")
    session.run("python", "-m", "tests.mutations", *session.posargs)


@nox.session(python=NEWEST, default=False)
def benchmarks(session: nox.Session) -> None:
    """Measure what a task and a scrape cost, on demand, on a machine that does nothing else; needs valgrind."""
    session.install("-e", ".[demo]", *CELERY[NEWEST_CELERY], *group("test"))
    every = ("instructions", "throughput", "scrape", "scraped", "endpoint", "queues", "rules", "top", "weight")
    for program in session.posargs or every:
        session.run("python", "-m", f"tests.benchmarks.{program}")
