"""The files of collector/ as they stand: valid, without a deprecated word, and nothing built that they do not use."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.integration.collector import readme
from tests.integration.collector.collector import FILES, HERE

KINDS = ("receivers", "processors", "exporters", "extensions")
VARIABLE = re.compile(r"\$\{env:(\w+)(:-[^}]*)?\}")


def text(name: str) -> str:
    """Read a file."""
    return (HERE / f"{name}.yaml").read_text()


def code(name: str) -> str:
    """Read a file without its comments."""
    return "\n".join(line.partition("#")[0] for line in text(name).splitlines())


def loaded(name: str) -> dict[str, Any]:
    """Read what it says."""
    found: dict[str, Any] = yaml.safe_load(text(name))
    return found


def types(keys: Any) -> set[str]:
    """Tell the types of components by their ids."""
    return {key.partition("/")[0] for key in keys}


@pytest.mark.parametrize("name", FILES)
def test_validates_without_a_word(otelcol, name):
    """The Collector accepts the file in an empty environment, and warns of nothing, deprecated names among it."""
    done = subprocess.run(
        [otelcol, "validate", "--config", HERE / f"{name}.yaml"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_is_built_from_exactly_what_is_used(otelcol):
    """Each component that was built from the manifest is in some file, and each that is in a file was built."""
    built = yaml.safe_load(subprocess.check_output([otelcol, "components"]))
    files = [loaded(name) for name in FILES]
    for kind in KINDS:
        assert {component["name"] for component in built[kind]} == types(key for file in files for key in file[kind])
    assert "connectors" not in loaded("manifest")


def test_manifest_names_what_was_built(otelcol):
    """The manifest's modules are the ones that the Collector says it has, at those versions."""
    built = yaml.safe_load(subprocess.check_output([otelcol, "components"]))
    manifest = loaded("manifest")
    for kind in (*KINDS, "providers"):
        assert {component["module"] for component in built[kind]} == {module["gomod"] for module in manifest[kind]}


@pytest.mark.parametrize("name", FILES)
def test_uses_all_that_it_defines(name):
    """No component is defined in vain: it is in the service, or what one of its variables is said to choose."""
    file = loaded(name)
    service = file.pop("service")
    named = {str(service["extensions"])} | {str(pipeline) for pipeline in service["pipelines"].values()}
    chosen = " ".join(named) + " ".join(line for line in text(name).splitlines() if "# The alternative" in line)
    chosen += " ".join(line for line in text(name).splitlines() if "OTELCOL_EXPORTERS='" in line)
    for kind in KINDS:
        for component in file[kind]:
            assert re.search(rf"(?<![\w/]){re.escape(component)}(?![\w/])", chosen), component


@pytest.mark.parametrize("name", FILES)
def test_listens_and_sends_only_where_a_variable_says(name):
    """Each address has a variable with a default, so that the file itself need not be edited."""
    variables = VARIABLE.findall(code(name))
    assert variables
    assert all(default for _, default in variables), "each has a default, if an empty one"
    assert not re.findall(r"[\w.]+:\d{2,5}\b|https?://\w", VARIABLE.sub("", code(name)))


def test_readme_lists_the_variables():
    """README's table has the variables of the files, with their defaults, and no others."""
    there = {(name, default.removeprefix(":-")) for file in FILES for name, default in VARIABLE.findall(code(file))}
    rows = re.findall(r"^\| `(OTELCOL_\w+)` \| (?:`([^`]*)`)? *\|", readme.TEXT, re.MULTILINE)
    assert sorted(rows) == sorted(there)


@pytest.mark.parametrize("name", ["agent", "gateway"])
def test_keeps_the_ports_names_and_labels(name):
    """What leaves for Prometheus has no scope labels, no resource labels and no other spelling of the names."""
    exporters = loaded(name)["exporters"]
    assert exporters["prometheus_remote_write"]["disable_scope_info"] is True
    assert exporters.get("prometheus", {}).get("without_scope_info", True) is True
    for exporter in exporters.values():
        assert not {"translation_strategy", "add_metric_suffixes", "resource_to_telemetry_conversion"} & exporter.keys()


@pytest.mark.parametrize("name", FILES)
def test_guards_its_memory_first(name):
    """Each pipeline begins with the memory limiter, but for the one that empties the Collector's own queue."""
    for pipeline in loaded(name)["service"]["pipelines"].values():
        assert pipeline["receivers"] == ["otlp/out"] or pipeline["processors"][0] == "memory_limiter"
