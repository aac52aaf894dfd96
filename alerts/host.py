# SPDX-License-Identifier: Apache-2.0
"""Alerts about the host, as far as serving suffers from it: memory, space, and TCP."""

from agent.catalogue.host import FILESYSTEM_LIMIT, FILESYSTEM_USAGE, OOM_KILLS, PRESSURE
from agent.catalogue.tcp import LISTEN_OVERFLOWS, RETRANSMITS, SEGMENTS
from agent.promql import Scope
from alerts import thresholds as to
from alerts.alert import NODE, Alert
from alerts.thresholds import Thresholds

_FILESYSTEM = (*NODE, "system.device", "system.filesystem.mountpoint")


def host(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    """List them."""
    return (*_memory(scope, limits), *_space(scope, limits), *_tcp(scope, limits))


def _memory(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    stalled = scope.rate(PRESSURE, {"resource": "memory", "stall_type": "full"}, "5m")
    cpu = scope.rate(PRESSURE, {"resource": "cpu", "stall_type": "some"}, "15m")
    return (
        Alert(
            name="HostOutOfMemory",
            severity="critical",
            expr=scope.increase(OOM_KILLS, None, "15m") > 0,
            meaning="The kernel killed processes for want of memory.",
            summary="{instance} is out of memory",
            description="The kernel of {instance} killed {value} processes within 15 minutes for want of memory.",
        ),
        Alert(
            name="HostMemoryPressure",
            severity="warning",
            expr=stalled > limits.limit(to.MEMORY_PRESSURE),
            hold="10m",
            keep="5m",
            thresholds=(to.MEMORY_PRESSURE,),
            meaning="All tasks of the host wait for memory for a share of the time.",
            summary="{instance} waits for memory",
            description="For {value:percent} of the time everything on {instance} waits for memory.",
        ),
        Alert(
            name="HostCpuPressure",
            severity="info",
            expr=cpu > limits.limit(to.CPU_PRESSURE),
            hold="30m",
            thresholds=(to.CPU_PRESSURE,),
            meaning="Tasks of the host wait for a CPU for a large share of the time.",
            summary="{instance} is short of CPU",
            description="For {value:percent} of the time some task of {instance} waits for a CPU.",
        ),
    )


def _space(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    free = scope.of(FILESYSTEM_USAGE, {"system.filesystem.state": "free", "system.filesystem.mode": "rw"})
    return (
        Alert(
            name="HostFilesystemFull",
            severity="warning",
            expr=free.per(scope.of(FILESYSTEM_LIMIT), *_FILESYSTEM) < limits.limit(to.FILESYSTEM_FREE),
            hold="15m",
            keep="5m",
            thresholds=(to.FILESYSTEM_FREE,),
            meaning="A file system is nearly full.",
            summary="{system.filesystem.mountpoint} of {instance} is nearly full",
            description="Of {system.filesystem.mountpoint} ({system.device}) of {instance} {value:percent} is free.",
        ),
    )


def _tcp(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    again = scope.rate(RETRANSMITS, None, "15m").sum("job", *NODE)
    sent = scope.rate(SEGMENTS, {"network.io.direction": "transmit"}, "15m").sum("job", *NODE)
    return (
        Alert(
            name="HostTcpRetransmits",
            severity="warning",
            expr=again / (sent > 0) > limits.limit(to.TCP_RETRANSMITS),
            hold="15m",
            keep="15m",
            thresholds=(to.TCP_RETRANSMITS,),
            meaning="TCP loses much of what the host sends.",
            summary="TCP of {instance} loses packets",
            description="{instance} sends {value:percent} of its TCP segments again.",
        ),
        Alert(
            name="HostListenOverflows",
            severity="warning",
            expr=scope.increase(LISTEN_OVERFLOWS, None, "15m") > limits.limit(to.LISTEN_OVERFLOWS),
            keep="15m",
            thresholds=(to.LISTEN_OVERFLOWS,),
            meaning="A server on the host does not accept connections as fast as they come.",
            summary="A server on {instance} accepts too slowly",
            description="{value} connections to {instance} found the queue of a server full within 15 minutes.",
        ),
    )
