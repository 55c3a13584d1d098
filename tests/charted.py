"""The Helm chart as Helm's own engine renders it: values in, Kubernetes objects out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

helm_python = pytest.importorskip("helm_python", reason="Helm's engine is not there for this platform")

ROOT = Path(__file__).parents[1]
CHART = ROOT / "deploy" / "helm" / "turnlog"
RELEASE, NAMESPACE = "demo", "memory"
Object = dict[str, Any]

ADDRESSES = {
    "databaseUrl": "postgresql://turnlog_app:p@db:5432/turnlog",
    "databaseOwnerUrl": "postgresql://turnlog:p@db:5432/turnlog",
    "natsUrl": "nats://turnlog:p@nats:4222",
    "redisUrl": "redis://:p@valkey:6379/0",
}


@dataclass(frozen=True)
class Rendered:
    """What a release would be made of, and what its user would read."""

    objects: list[Object]
    notes: str

    def of(self, kind: str) -> list[Object]:
        """All objects of a kind."""
        return [found for found in self.objects if found["kind"] == kind]

    def named(self, kind: str, name: str) -> Object:
        """The one object of a kind and a name."""
        [found] = [found for found in self.of(kind) if found["metadata"]["name"] == name]
        return found

    def pods(self) -> Iterator[tuple[str, Object]]:
        """Every pod that the release starts: what makes it, and its template (labels and spec)."""
        for found in self.objects:
            name = f"{found['kind']}/{found['metadata']['name']}"
            if found["kind"] in ("Deployment", "Job"):
                yield name, found["spec"]["template"]
            elif found["kind"] == "Pod":
                yield name, found


def render(values: Mapping[str, Any]) -> Rendered:
    """Render as `helm template` does. Raises helm_python's errors with Helm's own words."""
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(dict(values))
        texts = chart.render(dict(values), name=RELEASE, namespace=NAMESPACE)
    objects = [
        found
        for path, text in texts.items()
        if not path.endswith(".txt")
        for found in yaml.safe_load_all(text)
        if found is not None
    ]
    return Rendered(objects, next(text for path, text in texts.items() if path.endswith("NOTES.txt")))


def findings(values: Mapping[str, Any]) -> list[str]:
    """What `helm lint --strict` objects to (that there is no icon is no objection)."""
    report = helm_python.lint(CHART, dict(values), strict=True)
    return [said["error"] for said in report["messages"] if said["severity"] > 1] + report["errors"]
