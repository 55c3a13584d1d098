"""How a dashboard's JSON is made of rows and panels; what they show is said in `dashboard.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
SCHEMA_VERSION = 42
"""Of Grafana 12.2; later ones bring it up to theirs by themselves."""


@dataclass(frozen=True)
class Query:
    """An expression and the legend of its series (`{{label}}` stands for a label's value)."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """A graph, or with `kind` a `stat`, `state-timeline` or `table`. `steps` are thresholds: (from this value on,
    colour), the first with None."""

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    steps: Sequence[tuple[float | None, str]] = ()
    kind: str = "timeseries"
    columns: int = 8
    lines: int = 8
    stacked: bool = False
    mappings: Sequence[tuple[str, str, str]] = ()
    """(value, text, colour)."""


@dataclass(frozen=True)
class Row:
    """A title and the panels below it, placed from left to right."""

    title: str
    panels: Sequence[Panel]


def dashboard(uid: str, title: str, description: str, variables: Sequence[dict[str, Any]], rows: Sequence[Row]) -> Any:
    """The dashboard, as Grafana loads it."""
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["turnlog"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_datasource(), *variables]},
        "annotations": {"list": [_alerts()]},
        "panels": _placed(rows),
    }


def choice(name: str, label: str, query: str) -> dict[str, Any]:
    """A variable whose values are those of a label; all are chosen at first."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {}}


def _alerts() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "enable": True,
        "datasource": DATASOURCE,
        "expr": 'ALERTS{alertname=~"Turnlog.*",alertstate="firing",severity!="info"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{severity}} {{log}} {{service}} {{instance}}",
        "iconColor": "red",
        "step": "60s",
    }


def _placed(rows: Sequence[Row]) -> list[dict[str, Any]]:
    placed: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        placed.append(
            {
                "id": len(placed) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
                "panels": [],
            }
        )
        y += 1
        x = height = 0
        for panel in row.panels:
            if x + panel.columns > COLUMNS:
                x, y, height = 0, y + height, 0
            placed.append(_panel(len(placed) + 1, panel, x, y))
            x, height = x + panel.columns, max(height, panel.lines)
        y += height
    return placed


def _panel(number: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.columns, "h": panel.lines},
        "targets": [_target(panel, index, query) for index, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _OPTIONS[panel.kind],
    }


def _target(panel: Panel, index: int, query: Query) -> dict[str, Any]:
    now = panel.kind in ("stat", "table")
    return {
        "refId": chr(ord("A") + index),
        "datasource": DATASOURCE,
        "expr": query.expr,
        "legendFormat": query.legend,
        "range": not now,
        "instant": now,
        "format": "table" if panel.kind == "table" else "time_series",
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps = panel.steps or [(None, "green")]
    found: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in steps]},
        "mappings": [
            {"type": "value", "options": {value: {"text": text, "color": color, "index": index}}}
            for index, (value, text, color) in enumerate(panel.mappings)
        ],
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
    }
    if panel.kind == "timeseries":
        found["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 30 if panel.stacked else 8,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if panel.steps else "off"},
        }
    return found


_OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background",
        "graphMode": "none",
        "justifyMode": "center",
        "textMode": "value",
    },
    "state-timeline": {
        "showValue": "never",
        "mergeValues": True,
        "rowHeight": 0.8,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False},
        "tooltip": {"mode": "single", "sort": "none"},
    },
    "table": {"showHeader": True, "cellHeight": "sm", "footer": {"show": False}},
}
