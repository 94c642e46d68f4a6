"""Threads and flags of the operating system, and that nothing else is bound before a process is patched."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import otel_celery
from otel_celery import native
from tests.integration.worker.harness import ROOT

PATCHED = {"threading", "_thread", "queue", "select", "selectors", "socket", "subprocess", "concurrent.futures"}
"""Modules whose names gevent or eventlet replace: what was imported from them by name stays what it was."""

PRIMITIVES = {"Lock", "RLock", "Event", "Condition", "Semaphore", "Thread", "Queue", "SimpleQueue", "local"}

FREE = {"native.py"}
"""Binds what nobody is to replace."""

NATIVE = """
import sys
library = sys.argv[1]
if library == "gevent":
    from gevent import monkey; monkey.patch_all()
elif library == "eventlet":
    import eventlet; eventlet.monkey_patch()
import threading
from otel_celery import native
assert native.is_patched() == (library != "none")
flag, heard = native.Flag(), []
native.start("a-name", lambda: (heard.append(threading.current_thread().name), flag.set()))
assert flag.wait(20), "a greenlet would never have had its turn"
assert flag.is_set() and flag.wait(0)
flag.clear()
assert not flag.is_set() and not flag.wait(0.01)
flag.set(); flag.set()
assert flag.wait() and flag.wait(0)
for _ in range(20_000):  # Python 3.10's queue in C waits for ever where it looks at the clock again a microsecond later
    assert not native.Flag().wait(0.0)
assert library != "none" or heard == ["a-name"]
native.original("select", "poll")().poll(0)
"""


@pytest.mark.parametrize(
    ("options", "still"),
    [
        ({"processes": b"2"}, True),
        ({"enable-threads": True}, False),
        ({"threads": b"2"}, False),
        ({"gevent": b"100"}, False),
        (None, False),
    ],
)
def test_uwsgi_without_threads_is_known(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, object] | None, *, still: bool
) -> None:
    """By the module that it puts into its processes, which has its options; elsewhere threads run."""
    if options is not None:
        monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(opt=options))
    assert native.stand_still() is still
    monkeypatch.setitem(sys.modules, "pyuwsgi", SimpleNamespace())
    assert not native.stand_still()


def modules() -> list[Path]:
    """List the package's modules, but those of the programs that no application imports."""
    root = Path(otel_celery.__file__).parent
    return [path for path in root.rglob("*.py") if path.relative_to(root).parts[0] not in {"cli", "demo", "pools"}]


def bound(tree: ast.Module) -> list[ast.AST]:
    """Find what is imported by name from a module that is patched."""
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return [
        node
        for node in imports
        if node.module in PATCHED or (node.module == "time" and any(name.name == "sleep" for name in node.names))
    ]


def made(tree: ast.Module) -> list[ast.AST]:
    """Find what is made while a module is imported, as a variable of it or of a class."""
    statements = [s for node in tree.body for s in (node.body if isinstance(node, ast.ClassDef) else [node])]
    calls = [
        node
        for statement in statements
        if isinstance(statement, (ast.Assign, ast.AnnAssign))
        for node in ast.walk(statement)
        if isinstance(node, ast.Call)
    ]
    return [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr in PRIMITIVES]


@pytest.mark.parametrize("path", modules(), ids=lambda path: "/".join(path.parts[-2:]))
def test_nothing_that_waits_is_bound_at_import(path: Path) -> None:
    """A name taken from a module, or an object made while it is imported, stays when that module is patched."""
    tree = ast.parse(path.read_text())
    found = [] if path.name in FREE else [ast.unparse(node) for node in (*bound(tree), *made(tree))]
    assert found == []


@pytest.mark.parametrize("library", ["none", "gevent", "eventlet"])
def test_a_thread_runs_while_no_hub_turns(library: str) -> None:
    """It is the system's, also where the process was patched before we were imported; and so is what it waits with."""
    if library != "none" and importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    subprocess.run([sys.executable, "-W", "ignore", "-c", NATIVE, library], cwd=ROOT, check=True, timeout=60)


def test_a_process_that_is_not_patched_has_the_present_names() -> None:
    """Nothing is looked up elsewhere."""
    assert native.original("json", "dumps") is json.dumps
