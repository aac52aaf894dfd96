# SPDX-License-Identifier: Apache-2.0
"""Grafana dashboards, one module each, built from catalogue objects through agent.promql."""

from collections.abc import Mapping

from agent.promql import Regex, Scope
from dashboards import agent, energy, fleet, gpu, gpu_dcgm, inference, links, network, node
from dashboards.page import document

CHOSEN = {label: Regex(f"${label}") for label in ("cluster", "job", "instance")}
"""The labels that the user of a dashboard chooses values of."""
PAGES = (fleet.page, node.page, gpu.page, links.page, network.page, inference.page, energy.page, agent.page)


def documents(scope: Scope, *, dcgm: bool) -> Mapping[str, str]:
    """Make every dashboard: path below the root of the checkout to JSON.

    What the scope selects is selected in every query; a label of it is no variable then. `dcgm` adds the variant of
    the GPU dashboard for those who keep dcgm-exporter.
    """
    seen = Scope({**CHOSEN, **scope.labels}, scope.attributes)
    pages = [page(seen) for page in (*PAGES, gpu_dcgm.page) if dcgm or page is not gpu_dcgm.page]
    return {page.path: document(page, seen) for page in pages}
