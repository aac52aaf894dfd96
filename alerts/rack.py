# SPDX-License-Identifier: Apache-2.0
"""Alerts about NVLink domains as a whole, of racks like the NVL72: what one node of it cannot see."""

from agent.promql import Scope
from alerts import recording
from alerts import thresholds as to
from alerts.alert import Alert
from alerts.thresholds import Thresholds


def rack(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    """List them."""
    joined = recording.by_name(scope, limits)["domain:joulespan_rack_gpus:sum"].series
    most = joined.over("max", limits.period(to.RACK_REMEMBERED))
    # A node that is off says nothing, and a domain whose nodes are all off has no sum.
    missing = (most - joined) | most
    return (
        Alert(
            name="RackDomainIncomplete",
            severity="critical",
            expr=missing > 0,
            hold="10m",
            keep="5m",
            thresholds=(to.RACK_REMEMBERED,),
            meaning="An NVLink domain has fewer GPUs than it had of late: GPUs left it, or nodes are off.",
            summary="NVLink domain {fabric.cluster_uuid} lacks {value} GPUs",
            description="{value} GPUs that were in clique {fabric.clique} of the NVLink domain {fabric.cluster_uuid} "
            "are not in it now.",
        ),
    )
