"""Kubernetes' manifests: built by the real kustomize, and checked by the real kubeconform against published schemas."""

from __future__ import annotations

import json
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.services import built

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

KUBERNETES = Path(__file__).parents[3] / "devops" / "kubernetes"
PUBLISHED = files("kubernetes_validate") / "kubernetes-json-schema"
"""Kubernetes' own schemas, of each of its versions; they refer to one another by a path of their package's own."""
BUILT_IN = (
    "configmap-v1",
    "deployment-apps-v1",
    "networkpolicy-networking-v1",
    "poddisruptionbudget-policy-v1",
    "service-v1",
)
VERSIONS = ("1.26.0", "1.37.0")
"""The oldest Kubernetes whose PodDisruptionBudget has all that ours says, and the newest that has schemas."""
CRDS = (
    "monitoring.coreos.com_podmonitors.yaml",
    "monitoring.coreos.com_prometheusrules.yaml",
    "monitoring.coreos.com_servicemonitors.yaml",
    "keda.sh_scaledobjects.yaml",
)
"""The definitions that prometheus-operator and KEDA publish, taken from their Go modules."""

CUSTOM = "{{.ResourceKind}}-{{.Group}}-{{.ResourceAPIVersion}}"
"""How kubeconform finds the schema of a resource that is not Kubernetes' own."""

Manifest = dict[str, Any]


def build(directory: str = ".") -> str:
    """Build a kustomization of devops/kubernetes, as `kubectl apply -k` does."""
    command = [built("kustomize"), "build", str(KUBERNETES / directory)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def load(text: str) -> list[Manifest]:
    """Parse the documents."""
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(manifests: Iterable[Manifest], kind: str) -> list[Manifest]:
    """Pick those of a kind."""
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def conform(text: str, version: str, schemas: Path) -> tuple[int, list[Manifest]]:
    """Have kubeconform check documents against a Kubernetes; return its status, and what it says of each of them."""
    command = [built("kubeconform"), "-strict", "-output", "json", "-verbose", "-kubernetes-version", version]
    for name in ("{{.NormalizedKubernetesVersion}}/{{.ResourceKind}}{{.KindSuffix}}", CUSTOM):
        command += ["-schema-location", f"{schemas}/{name}.json"]
    answer = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=60)
    return answer.returncode, json.loads(answer.stdout)["resources"]


def write_schemas(directory: Path) -> None:
    """Write what kubeconform reads: Kubernetes' schemas, and those in the published definitions."""
    for version in VERSIONS:
        (directory / f"v{version}").mkdir()
        for name in ("_definitions", *BUILT_IN):
            schema = json.loads((PUBLISHED / f"v{version}-local-strict" / f"{name}.json").read_text())
            del schema["$id"]  # an address on the web, where what they refer to would be looked for
            (directory / f"v{version}" / f"{name}.json").write_text(json.dumps(schema).replace('"/api/', '"'))
    for file in CRDS:
        definition = yaml.safe_load(Path(built(file)).read_text())["spec"]
        for version in definition["versions"]:
            name = f"{definition['names']['kind'].lower()}-{definition['group']}-{version['name']}.json"
            schema = version["schema"]["openAPIV3Schema"]
            # What the API server knows of every resource, and a definition leaves open.
            schema["properties"]["metadata"] = {"type": "object"}
            (directory / name).write_text(json.dumps(_strict(schema)))


def _strict(schema: Any) -> Any:
    """Refuse properties that a schema does not name, and translate Kubernetes' two extensions of JSON schema."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        strict.pop("type", None)
    return strict


def expand(words: Sequence[str], environ: dict[str, str]) -> list[str]:
    """Expand ``$(NAME)`` in a container's command and arguments, as the kubelet does."""
    expanded = []
    for word in words:
        text = word
        for name, value in environ.items():
            text = text.replace(f"$({name})", value)
        expanded.append(text)
    return expanded
