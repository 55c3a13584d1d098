"""The sets of values that the chart's tests render: from the least that can be given to all of it."""

from collections.abc import Mapping
from typing import Any

from charted import ADDRESSES

_SCALED: dict[str, Mapping[str, Any]] = {
    "ingest": {"autoscaling": {"enabled": True, "queuedEvents": 3000}},
    "query": {"autoscaling": {"enabled": True, "requestsInProgress": 50}},
    "projector": {"autoscaling": {"enabled": True}},
    "compressor": {"autoscaling": {"enabled": True}},
    "mcp": {"autoscaling": {"enabled": True}},
    "gateway": {"autoscaling": {"enabled": True}},
}
_WITH_A_MODEL: dict[str, Mapping[str, Any]] = {
    "compressor": {
        "autoscaling": {"enabled": True},
        "modelKey": True,
        "settings": {"TURNLOG_MODEL_PROVIDER": "anthropic", "TURNLOG_MODEL_NAME": "a-model"},
    }
}
_PLACED = {
    "nodeSelector": {"pool": "memory"},
    "tolerations": [{"key": "pool", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
    "podAnnotations": {"note": "kept"},
}

MINIMAL: Mapping[str, Any] = {"secrets": ADDRESSES}
EXISTING: Mapping[str, Any] = {"secrets": {"existingSecret": "ours"}}
EVERYTHING: Mapping[str, Any] = {
    "secrets": {"existingSecret": "ours"},
    "image": {"registry": "registry.example.com/team", "tag": "1.2.3", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "pull"}],
    "commonLabels": {"team": "memory"},
    "settings": {"TURNLOG_PUBLIC_URL": "https://memory.example.com", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318"},
    "serviceAccount": {"annotations": {"role": "memory"}},
    **{part: {**_PLACED, **values} for part, values in (_SCALED | _WITH_A_MODEL).items()},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "17m"},
        "hosts": ["memory.example.com"],
        "tls": [{"secretName": "memory-tls", "hosts": ["memory.example.com"]}],
    },
    "httpRoute": {
        "enabled": True,
        "annotations": {"note": "kept"},
        "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}],
        "hostnames": ["memory.example.com"],
    },
    "monitoring": {
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    },
    "networkPolicy": {
        "enabled": True,
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "observability"}}}],
    },
}
KEDA: Mapping[str, Any] = {
    **MINIMAL,
    **_SCALED,
    "autoscalingBy": "keda",
    "keda": {"prometheusAddress": "http://prometheus.observability:9090"},
}
BARE: Mapping[str, Any] = {
    "secrets": {"existingSecret": "ours"},
    "fullnameOverride": "memory",
    "migrate": {"enabled": False},
    "mcp": {"enabled": False},
    "gateway": {"enabled": False},
    "serviceAccount": {"create": False},
    "topologySpread": False,
    **{part: {"podDisruptionBudget": None} for part in ("ingest", "query", "projector", "compressor")},
}
NO_MCP: Mapping[str, Any] = {**MINIMAL, "mcp": {"enabled": False}, "networkPolicy": {"enabled": True}}
ALL: Mapping[str, Mapping[str, Any]] = {
    "minimal": MINIMAL,
    "existing secret": EXISTING,
    "everything": EVERYTHING,
    "keda": KEDA,
    "bare": BARE,
    "without mcp": NO_MCP,
}
