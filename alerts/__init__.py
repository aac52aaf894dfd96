# SPDX-License-Identifier: Apache-2.0
"""Prometheus alert and recording rules, one module a subject, built from catalogue objects through agent.promql."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.promql import Scope
from alerts import agent, energy, gpu, host, inference, links, network, rack
from alerts.grafana_rules import grafana
from alerts.page import page
from alerts.recording import RECORDS
from alerts.rules_files import Subject, kubernetes, mimir, prometheus
from alerts.thresholds import Thresholds

RUNBOOKS = "alerts/runbooks"
"""Where runbooks are unless told otherwise: in the checkout."""
ALERTS = {
    "gpu": gpu.gpu,
    "links": links.links,
    "network": network.network,
    "inference": inference.inference,
    "energy": energy.energy,
    "rack": rack.rack,
    "host": host.host,
    "agent": agent.agent,
}


@dataclass(frozen=True, slots=True)
class Options:
    """What the rules are made with: which series, compared with what, and where the runbooks are."""

    scope: Scope = field(default_factory=Scope)
    limits: Thresholds = field(default_factory=Thresholds)
    runbooks: str = RUNBOOKS


def subjects(options: Options) -> list[Subject]:
    """List what is recorded and what fires, by subject. Raises ValueError where a limit cannot be kept."""
    scope, limits = options.scope, options.limits
    return [Subject(name, RECORDS[name](scope, limits), alerts(scope, limits)) for name, alerts in ALERTS.items()]


def documents(options: Options) -> Mapping[str, str]:
    """Make every file of rules and docs/alerts.md: path below the root of the checkout to text."""
    every = subjects(options)
    found = {}
    for subject in every:
        name = f"joulespan-{subject.name}.yaml"
        found[f"alerts/rules/{name}"] = prometheus(subject, options.runbooks)
        found[f"alerts/kubernetes/{name}"] = kubernetes(subject, options.runbooks)
        found[f"alerts/grafana/{name}"] = grafana(subject, options.runbooks)
    return {**found, "alerts/mimir/joulespan.yaml": mimir(every, options.runbooks), "docs/alerts.md": page(every)}
