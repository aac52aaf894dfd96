# SPDX-License-Identifier: Apache-2.0
"""The agent itself: whether it reads, receives and exports, and what it costs."""

from agent.catalogue import own
from agent.promql import Scope
from dashboards.grafana import Query
from dashboards.page import Dashboard, Row, line
from dashboards.panels import stat


def page(scope: Scope) -> Dashboard:
    """Make the dashboard."""
    return Dashboard(
        name="agent",
        title="joulespan / Agent",
        description="Whether the agents read, receive and export everything, and what they cost.",
        rows=(
            Row("Now", (
                line(
                    4,
                    stat("Agents", own.BUILD_INFO, Query(scope.of(own.BUILD_INFO).count(), instant=True)),
                    stat("Readers down", own.READER_UP, Query(scope.of(own.READER_UP).equals(0).count(), instant=True)),
                ),
            )),
        ),
    )  # fmt: skip
