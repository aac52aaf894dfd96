# SPDX-License-Identifier: Apache-2.0
"""Which port of which switch the node's interfaces are connected to, by LLDP of the switches and of the host."""

import socket
from collections.abc import Callable, Iterator, Sequence

from agent.clock import NS
from agent.collectors.node import Node, NodeCollector
from agent.config import LldpCollector
from agent.errors import NotSupported, Unavailable
from agent.metric import Sample
from agent.processors.switch_links import Heard, links
from agent.system.lldp import LldpNeighbour, neighbours

_ASK = 30 * NS
"""ns between two questions to the host's daemon: LLDP is said each 30 s. What switches say is looked at more often."""


class SwitchLinks:
    """Joins what both ends say. `ask` runs a command and gives what the host's LLDP daemon heard."""

    def __init__(
        self,
        node: Node,
        command: Sequence[str],
        names: Sequence[str],
        ask: Callable[[Sequence[str]], list[LldpNeighbour]] = neighbours,
    ) -> None:
        """`names` are those that this host goes by."""
        self._node = node
        self._command = command
        self._names = names
        self._ask = ask
        self._asked: int | None = None
        self._answer: list[Heard] = []

    def read(self) -> Iterator[Sample]:
        """Say which links there are. That the host has no LLDP daemon is usual; one that does not answer is told."""
        yield from links(self._node.snapshot(), self._heard(), self._names)

    def _heard(self) -> list[Heard]:
        now = self._node.clock.monotonic_ns()
        if self._asked is None or now - self._asked >= _ASK:
            self._asked, self._answer = now, self._hear()
        return self._answer

    def _hear(self) -> list[Heard]:
        if not self._command or self._node.simulated_since is not None:
            return []
        try:
            told = self._ask(self._command)
        except NotSupported:
            self._command = ()
            return []
        except Unavailable as error:
            self._node.failed(error)
            return []
        return [
            Heard(one.interface, switch, one.port)
            for one in told
            if (switch := one.system or one.chassis) is not None and one.port is not None
        ]


def _open(node: Node) -> Callable[[], Iterator[Sample]]:
    settings = node.settings
    assert isinstance(settings, LldpCollector)
    return SwitchLinks(node, settings.command, (socket.gethostname(),)).read


COLLECTOR = NodeCollector("lldp", _open)
