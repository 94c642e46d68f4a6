"""Programs that Debian lacks, or has too old, built from Go modules: once, into a cache outside the checkout.

``python -m tests.tools`` builds them all, with nothing but the standard library; the tests only look. Each lives in a
directory named after what it is built from, so that another version is another directory.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT = Path(__file__).parents[1]
MODULES = ROOT / "tests" / "go"


@dataclass(frozen=True)
class Tool:
    """One build, and the programs that it makes."""

    name: str
    programs: tuple[str, ...]
    sources: tuple[Path, ...]
    """What it is built from: another content is another build."""
    commands: tuple[tuple[str, ...], ...]
    """How, in the directory of the first source if it has any; ``{out}`` is where the programs go."""

    def directory(self) -> Path:
        """Name the place in the cache."""
        digest = hashlib.sha256()
        for part in (*(source.read_bytes() for source in self.sources), repr(self.commands).encode()):
            digest.update(part)
        return cache() / f"{self.name}-{digest.hexdigest()[:12]}"

    def build(self) -> None:
        """Build what is not there yet; it appears whole or not at all."""
        target = self.directory()
        if target.is_dir():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        out = Path(tempfile.mkdtemp(prefix=f".{self.name}-", dir=target.parent))
        place = self.sources[0].parent if self.sources else out
        try:
            for command in self.commands:
                line = [word.format(out=out) for word in command]
                subprocess.run(line, cwd=place, env={**os.environ, "GOBIN": str(out)}, check=True)
            out.rename(target)
        finally:
            shutil.rmtree(out, ignore_errors=True)


def _module(name: str, **packages: str) -> Tool:
    """Build packages of other people's modules, at the versions of a go.mod of ours."""
    here = MODULES / name
    commands = tuple(
        ("go", "build", "-trimpath", "-ldflags=-s -w", "-o", f"{{out}}/{program.replace('_', '-')}", package)
        for program, package in packages.items()
    )
    programs = tuple(program.replace("_", "-") for program in packages)
    return Tool(name, programs, (here / "go.mod", here / "go.sum"), commands)


def _installed(program: str, package: str) -> Tool:
    """Build a program of somebody else's module, whose go.mod says by itself what it is built from."""
    return Tool(program, (program,), (), (("go", "install", "-trimpath", "-ldflags=-s -w", package),))


def _files(name: str, modules: Mapping[str, tuple[str, ...]]) -> Tool:
    """Take files out of modules, without what these would need to be built."""
    fetch = ("env", "GOMODCACHE={out}/modules", "GOFLAGS=-modcacherw", "go", "mod", "download", *modules)
    paths = [f"{{out}}/modules/{module}/{path}" for module, files in modules.items() for path in files]
    commands = (fetch, ("cp", *paths, "{out}"), ("rm", "-r", "{out}/modules"))
    return Tool(name, tuple(path.rpartition("/")[2] for path in paths), (), commands)


TOOLS = (
    _module(
        "prometheus",
        prometheus="github.com/prometheus/prometheus/cmd/prometheus",
        promtool="github.com/prometheus/prometheus/cmd/promtool",
    ),
    _module("compose", docker_compose="github.com/docker/compose/v2/cmd"),
    _installed("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0"),
    _installed("helm", "helm.sh/helm/v4/cmd/helm@v4.3.1"),
    _installed("kustomize", "sigs.k8s.io/kustomize/kustomize/v5@v5.8.1"),
    _files(
        "crds",
        {
            "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
                "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
                "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
                "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
            ),
            "github.com/kedacore/keda/v2@v2.21.0": ("config/crd/bases/keda.sh_scaledobjects.yaml",),
        },
    ),
    Tool(
        "collector",
        ("otelcol-celery",),
        (ROOT / "collector" / "manifest.yaml",),
        (
            ("go", "install", "go.opentelemetry.io/collector/cmd/builder@v0.159.0"),
            ("env", "dist.output_path={out}", "{out}/builder", "--config", "manifest.yaml"),
        ),
    ),
)


def cache() -> Path:
    """Find the directory that outlives the checkout."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "otel-celery"


def find(program: str) -> str | None:
    """Find a program that was built; None where it was not."""
    tool = next(tool for tool in TOOLS if program in tool.programs)
    path = tool.directory() / program
    return str(path) if path.is_file() else None


def build(names: Iterable[str]) -> int:
    """Build the tools of these names, or all; return the exit status."""
    if shutil.which("go") is None:
        print("tests.tools: Go is not installed; the tests that need its programs skip", file=sys.stderr)  # noqa: T201
        return int(bool(os.environ.get("CI")))
    wanted = set(names) or {tool.name for tool in TOOLS}
    try:
        for tool in TOOLS:
            if tool.name in wanted:
                tool.build()
    except subprocess.CalledProcessError as error:
        print(f"tests.tools: {error}; the tests that need what it makes skip", file=sys.stderr)  # noqa: T201
        return int(bool(os.environ.get("CI")))
    return 0


if __name__ == "__main__":
    raise SystemExit(build(sys.argv[1:]))
