# SPDX-License-Identifier: Apache-2.0
"""TCP and IP, as the kernel counts them for the agent's network namespace. Also in the demo it is the real host's."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from agent.catalogue import tcp as catalogue
from agent.collectors.groups import each
from agent.collectors.node import Node, NodeCollector, Read
from agent.errors import NotSupported
from agent.host_entities import ConnectionState, EcnMark, Host, TcpDirection, TcpEvent, TcpReason, TcpRetransmit
from agent.metric import Sample, Series
from agent.system import tcp_stat
from agent.system.kernel_files import whole

NAME = "tcp"
_HOST = Host()
_WRAP = 1 << 32
_COUNTS: Mapping[str, Series] = {
    "Tcp.InSegs": catalogue.SEGMENTS.series(TcpDirection("receive")),
    "Tcp.OutSegs": catalogue.SEGMENTS.series(TcpDirection("transmit")),
    "Tcp.RetransSegs": catalogue.RETRANSMITS.series(_HOST),
    "TcpExt.TCPFastRetrans": catalogue.RETRANSMITS_BY_KIND.series(TcpRetransmit("fast")),
    "TcpExt.TCPSlowStartRetrans": catalogue.RETRANSMITS_BY_KIND.series(TcpRetransmit("slow_start")),
    "TcpExt.TCPSynRetrans": catalogue.RETRANSMITS_BY_KIND.series(TcpRetransmit("syn")),
    "TcpExt.TCPLostRetransmit": catalogue.RETRANSMITS_BY_KIND.series(TcpRetransmit("lost")),
    "TcpExt.TCPTimeouts": catalogue.TIMEOUTS.series(_HOST),
    "TcpExt.TCPSpuriousRTOs": catalogue.SPURIOUS_TIMEOUTS.series(_HOST),
    "Tcp.ActiveOpens": catalogue.CONNECTION_EVENTS.series(TcpEvent("active_open")),
    "Tcp.PassiveOpens": catalogue.CONNECTION_EVENTS.series(TcpEvent("passive_open")),
    "Tcp.AttemptFails": catalogue.CONNECTION_EVENTS.series(TcpEvent("attempt_failed")),
    "Tcp.EstabResets": catalogue.CONNECTION_EVENTS.series(TcpEvent("reset")),
    "Tcp.OutRsts": catalogue.RESETS_SENT.series(_HOST),
    "Tcp.InErrs": catalogue.ERRORS.series(_HOST),
    "TcpExt.ListenOverflows": catalogue.LISTEN_OVERFLOWS.series(_HOST),
    "TcpExt.ListenDrops": catalogue.LISTEN_DROPS.series(_HOST),
    "TcpExt.TCPBacklogDrop": catalogue.DROPS.series(TcpReason("backlog")),
    "TcpExt.TCPRcvQDrop": catalogue.DROPS.series(TcpReason("receive_queue")),
    "TcpExt.TCPZeroWindowDrop": catalogue.DROPS.series(TcpReason("zero_window")),
    "TcpExt.TCPOFODrop": catalogue.DROPS.series(TcpReason("out_of_order")),
    "TcpExt.TCPReqQFullDrop": catalogue.DROPS.series(TcpReason("request_queue")),
    "TcpExt.TCPAbortOnTimeout": catalogue.ABORTS.series(TcpReason("timeout")),
    "TcpExt.TCPAbortOnMemory": catalogue.ABORTS.series(TcpReason("memory")),
    "TcpExt.TCPAbortOnData": catalogue.ABORTS.series(TcpReason("data")),
    "TcpExt.TCPAbortOnClose": catalogue.ABORTS.series(TcpReason("close")),
    "TcpExt.TCPMemoryPressures": catalogue.MEMORY_PRESSURES.series(_HOST),
    "TcpExt.TCPDeliveredCE": catalogue.DELIVERED_CE.series(_HOST),
}
"""What the kernel's counters are called here. One that a kernel does not have yet is left out."""
_ECN = {"ce": "InCEPkts", "ect0": "InECT0Pkts", "ect1": "InECT1Pkts", "not_ect": "InNoECTPkts"}


class TcpReading:
    """Reads the counters, and follows those that wrap."""

    def __init__(self, node: Node) -> None:
        """Nothing has been read."""
        self._folder = tcp_stat.net_folder(str(node.root).rstrip("/"))
        self._failed = node.failed
        self._told: Mapping[str, int] = {}
        self._softnet = (Unwrapped(), Unwrapped())

    def read(self) -> Iterator[Sample]:
        """Read them."""
        self._told = {}
        yield from each([self._counts, self._sockets, self._ecn, self._queues], self._failed)

    def _counts(self) -> Iterator[Sample]:
        counts = self._told = tcp_stat.read_counts(self._folder)
        for name, series in _COUNTS.items():
            if name in counts:
                yield Sample(series, counts[name])
        if "Tcp.CurrEstab" in counts:
            yield catalogue.CONNECTIONS(ConnectionState("established", "tcp"), counts["Tcp.CurrEstab"])

    def _sockets(self) -> Iterator[Sample]:
        sockets = tcp_stat.parse_sockets(whole(f"{self._folder}/sockstat"))
        if "tw" in sockets:
            yield catalogue.CONNECTIONS(ConnectionState("time_wait", "tcp"), sockets["tw"])

    def _ecn(self) -> Iterator[Sample]:
        six: Mapping[str, int] = {}
        with suppress(NotSupported):  # Without IPv6 there is no such file.
            six = tcp_stat.parse_six(whole(f"{self._folder}/snmp6"))
        for mark, name in _ECN.items():
            found = [
                counts[key] for counts, key in ((self._told, f"IpExt.{name}"), (six, f"Ip6.{name}")) if key in counts
            ]
            if found:
                yield catalogue.ECN_PACKETS(EcnMark(mark), sum(found))

    def _queues(self) -> Iterator[Sample]:
        lines = [line for line in whole(f"{self._folder}/softnet_stat").splitlines() if line]
        told = [tcp_stat.parse_softnet(line) for line in lines]
        for metric, unwrapped, values in zip(
            (catalogue.SOFTNET_DROPPED, catalogue.SOFTNET_SQUEEZED), self._softnet, zip(*told, strict=True), strict=True
        ):
            yield metric(_HOST, unwrapped.take(values))


class Unwrapped:
    """Adds up counters of 32 bits, each of which begins again at 0 after 2³²."""

    def __init__(self) -> None:
        """Nothing has been read."""
        self._last: Sequence[int] = ()
        self._total = 0

    def take(self, values: Sequence[int]) -> int:
        """Take in what they say now, and give the sum. When there are others than before, it begins again."""
        if len(values) != len(self._last):
            self._total = sum(values)
        else:
            self._total += sum((value - before) % _WRAP for value, before in zip(values, self._last, strict=True))
        self._last = tuple(values)
        return self._total


def _open(node: Node) -> Read:
    return TcpReading(node).read


COLLECTOR = NodeCollector(NAME, _open)
