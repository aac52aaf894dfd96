# SPDX-License-Identifier: Apache-2.0
"""Alerts as Grafana's own, in the form that it provisions from a file.

Grafana asks a data source and then wants a condition on the answer. Prometheus' rules keep what is wrong and leave out
what is not, whatever its value, so the condition is that there is a value. What is recorded stays with Prometheus.
"""

import hashlib
from typing import Any

from alerts.alert import Alert
from alerts.layout import layout
from alerts.rules_files import Subject, annotations, written

DATA_SOURCE = "prometheus"
"""UID of the data source that is asked."""
_FOLDER = "joulespan"
_VALUE = "$values.query.Value"
_LOOK_BACK = 600
"""s; an instant query has no range, but Grafana wants one."""


def grafana(subject: Subject, runbooks: str) -> str:
    """Write the alerts of a subject as a provisioning file."""
    group = {
        "orgId": 1,
        "name": f"joulespan-{subject.name}",
        "folder": _FOLDER,
        "interval": "1m",
        "rules": [_rule(alert, runbooks) for alert in subject.alerts],
    }
    return written({"apiVersion": 1, "groups": [group]})


def _rule(alert: Alert, runbooks: str) -> dict[str, Any]:
    keep = {"keepFiringFor": alert.keep} if alert.keep else {}
    return {
        # Stable over releases, so that silences and history stay with the rule.
        "uid": hashlib.sha256(f"joulespan/{alert.name}".encode()).hexdigest()[:20],
        "title": alert.name,
        "condition": "fires",
        "data": [_query(layout(str(alert.expr))), _expression("exists", _EXISTS), _expression("fires", _FIRES)],
        # No data is what is right. An error is not.
        "noDataState": "OK",
        "execErrState": "Error",
        "for": alert.hold or "0s",
        **keep,
        "labels": {"severity": alert.severity},
        "annotations": annotations(alert, runbooks, _VALUE),
    }


def _query(query: str) -> dict[str, Any]:
    return {
        "refId": "query",
        "relativeTimeRange": {"from": _LOOK_BACK, "to": 0},
        "datasourceUid": DATA_SOURCE,
        "model": {"refId": "query", "expr": query, "instant": True, "range": False},
    }


_EXISTS = {"type": "math", "expression": "is_number($query) || is_nan($query) || is_inf($query)"}
_FIRES = {
    "type": "threshold",
    "expression": "exists",
    "conditions": [{"evaluator": {"type": "gt", "params": [0]}}],
}


def _expression(name: str, model: dict[str, Any]) -> dict[str, Any]:
    return {
        "refId": name,
        "relativeTimeRange": {"from": 0, "to": 0},
        "datasourceUid": "__expr__",
        "model": {"refId": name, "datasource": {"type": "__expr__", "uid": "__expr__"}, **model},
    }
