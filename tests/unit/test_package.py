"""The public door, and the promise that importing has no effect."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import otel_celery

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
WATCHED = """
import json, os, pkgutil, sys, threading

events = []

def ours():
    frame = sys._getframe(2)
    while frame.f_globals.get("__name__") in ("os", "collections.abc", "__main__"):
        frame = frame.f_back
    return frame.f_globals.get("__name__", "").startswith("otel_celery")

def audit(event, arguments):
    if event in {"socket.__new__", "socket.bind", "socket.connect", "os.fork", "subprocess.Popen"}:
        events.append(event)
    elif event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        events.append(f"open {arguments[0]}")

class Environ(type(os.environ)):
    def __getitem__(self, name):
        if ours():
            events.append(f"environ {name}")
        return super().__getitem__(name)

    def __iter__(self):
        if ours():
            events.append("environ")
        return super().__iter__()

sys.dont_write_bytecode = True
sys.addaudithook(audit)
os.environ.__class__ = Environ

import otel_celery

modules = [
    module.name
    for module in pkgutil.walk_packages(otel_celery.__path__, "otel_celery.")
    if not module.name.endswith("__main__")
]
for name in modules:
    __import__(name)
threads = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
print(json.dumps({"modules": modules, "events": events, "threads": threads}))
"""
"""Imports every module of the package, noting what it did besides; ``__main__`` modules are meant to be run."""


def fresh(program: str) -> str:
    """Run a program in a new interpreter, with an empty environment; give what it printed."""
    run = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, env={})
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_exported_members() -> None:
    """The public door holds these names and no others."""
    assert sorted(otel_celery.__all__) == ["Instrumentation", "__version__", "instrument"]
    assert all(hasattr(otel_celery, name) for name in otel_celery.__all__)


def test_importing_has_no_effect() -> None:
    """No module, when imported, starts a thread or process, opens a socket, writes a file or reads the environment."""
    seen = json.loads(fresh(WATCHED))
    assert "otel_celery.settings.settings" in seen["modules"]
    assert seen["events"] == []
    assert seen["threads"] == []


@pytest.mark.parametrize("door", ["otel_celery", "otel_celery.auto", "otel_celery.settings.settings"])
def test_a_door_does_not_import_celery(door: str) -> None:
    """Importing a door leaves Celery alone, so that gevent and eventlet can patch before it is imported."""
    imported = fresh(f"import sys, {door}; print(*sys.modules)").split()
    assert {"celery", "kombu", "billiard"}.isdisjoint(imported)


def _knows_of_forks(node: ast.AST) -> bool:
    """Tell whether code registers an at-fork handler, asks in which process it is, or closes what a child inherited."""
    if isinstance(node, ast.Attribute):
        return node.attr == "register_at_fork" or ast.unparse(node) == "socket.close"
    return isinstance(node, ast.Compare) and re.search(r"\bos\.getpp?id\(\)", ast.unparse(node)) is not None


def test_one_module_knows_of_forks() -> None:
    """The others ask it; ``pools/leash.py`` is a script that runs by itself, and can import nothing of ours."""
    root = Path(otel_celery.__file__).parent
    paths = [path for path in root.rglob("*.py") if any(map(_knows_of_forks, ast.walk(ast.parse(path.read_text()))))]
    assert {str(path.relative_to(root)) for path in paths} == {"forks.py", "pools/leash.py"}


def test_one_module_replaces_surrogates() -> None:
    """Whoever cleans a label asks ``plain``; the port also writes sentences, and compares what a client has sent."""
    root = Path(otel_celery.__file__).parent
    paths = [
        path for path in root.rglob("*.py") if any(map(_replaces_surrogates, ast.walk(ast.parse(path.read_text()))))
    ]
    assert {str(path.relative_to(root)) for path in paths} == {"plain.py", "serve/answer.py", "serve/access.py"}


def _replaces_surrogates(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr != "encode":
        return False
    given = [*node.args, *(keyword.value for keyword in node.keywords)]
    return any(isinstance(each, ast.Constant) and each.value == "replace" for each in given)


def test_a_beta_package_has_an_upper_bound() -> None:
    """A package whose lowest version is a pre-release promises nothing about its next minor version."""
    requirements = map(Requirement, tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["dependencies"])
    beta = [each for each in requirements if any(Version(bound.version).is_prerelease for bound in each.specifier)]
    assert {each.name for each in beta} >= {"opentelemetry-exporter-prometheus", "opentelemetry-instrumentation-celery"}
    for requirement in beta:
        newest = next(Version(bound.version) for bound in requirement.specifier if bound.operator == ">=")
        following = f"{newest.major}.{newest.minor + 1}b0"
        assert not requirement.specifier.contains(following, prereleases=True), requirement
