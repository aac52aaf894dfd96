# SPDX-License-Identifier: Apache-2.0
"""The NICs of the demo: one 400 Gb/s RoCE port beside each GPU, which carries a part of what the GPU's NVLinks do.

An engine that is spread over nodes sends as much over its NICs as this; the demo's engines are not, but their NICs
look as if. What congestion and FEC leave grows with the bytes.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from agent.clock import NS, Clock
from agent.errors import NotSupported
from agent.simulation import DEMO
from agent.simulation.deployment import SimulatedEngine
from agent.simulation.load import loads
from agent.system.ethtool import Driver
from agent.system.net_dev import Traffic
from agent.system.netdevs import STATISTICS, Interface, Members
from agent.system.nvml.fake_board import pci_address
from agent.system.pci import Function
from agent.system.rdma import WORD, About, Port

_NICS: Final = 8
_BESIDE: Final = 1
"""Buses from a GPU to its NIC."""
_PER_SOCKET: Final = 4
_FIRMWARE: Final = "28.43.2026"
_SPEED: Final = 50e9
"""By/s."""
_RDMA_SHARE: Final = 0.02
"""Of the bytes that a GPU's NVLinks carry."""
_KERNEL_SHARE: Final = 0.0002
_PACKET: Final = 4096
_KERNEL_PACKET: Final = 1448
_PER_MARK: Final = 200e6
"""Bytes between two marks of congestion."""
_PER_BIT: Final = 5e9
"""Bytes between two bits that FEC corrects."""
_CELSIUS: Final = 58.0

_ETHTOOL: Final[Mapping[str, Callable[[float], float]]] = {
    "rx_bytes_phy": lambda moved: moved * (1 + _KERNEL_SHARE / _RDMA_SHARE),
    "tx_bytes_phy": lambda moved: moved * (1 + _KERNEL_SHARE / _RDMA_SHARE),
    "rx_packets_phy": lambda moved: moved / _PACKET,
    "tx_packets_phy": lambda moved: moved / _PACKET,
    "rx_vport_rdma_unicast_bytes": lambda moved: moved,
    "tx_vport_rdma_unicast_bytes": lambda moved: moved,
    "rx_vport_rdma_unicast_packets": lambda moved: moved / _PACKET,
    "tx_vport_rdma_unicast_packets": lambda moved: moved / _PACKET,
    "rx_discards_phy": lambda _: 0,
    "tx_discards_phy": lambda _: 0,
    "rx_out_of_buffer": lambda _: 0,
    "rx_crc_errors_phy": lambda _: 0,
    "rx_symbol_err_phy": lambda _: 0,
    "rx_corrected_bits_phy": lambda moved: moved / _PER_BIT,
    "link_down_events_phy": lambda _: 0,
    "rx_prio3_pause": lambda moved: moved / (50 * _PER_MARK),
    "tx_prio3_pause": lambda _: 0,
    "rx_prio3_pause_duration": lambda moved: moved / _PER_MARK,
    "tx_prio3_pause_duration": lambda _: 0,
    "rx_prio3_bytes": lambda moved: moved,
    "tx_prio3_bytes": lambda moved: moved,
    "rx_prio3_marked": lambda _: 0,
    "rx_ecn_mark": lambda _: 0,
    "outbound_pci_stalled_rd": lambda _: 0,
    "outbound_pci_stalled_wr": lambda _: 0,
    "module_bad_shorted": lambda _: 0,
    "module_high_temp": lambda _: 0,
}
"""Statistics of the driver, of the bytes that RDMA moved in each direction."""
_RDMA: Final[Mapping[str, Callable[[float], float]]] = {
    "counters/port_xmit_data": lambda moved: moved / WORD,
    "counters/port_rcv_data": lambda moved: moved / WORD,
    "counters/port_xmit_packets": lambda moved: moved / _PACKET,
    "counters/port_rcv_packets": lambda moved: moved / _PACKET,
    "counters/port_xmit_discards": lambda _: 0,
    "counters/port_rcv_errors": lambda _: 0,
    "counters/link_downed": lambda _: 0,
    "counters/link_error_recovery": lambda _: 0,
    "counters/symbol_error": lambda _: 0,
    "hw_counters/np_ecn_marked_roce_packets": lambda moved: moved / _PER_MARK,
    "hw_counters/np_cnp_sent": lambda moved: moved / (2 * _PER_MARK),
    "hw_counters/rp_cnp_handled": lambda moved: moved / (2 * _PER_MARK),
    "hw_counters/rp_cnp_ignored": lambda _: 0,
    "hw_counters/out_of_sequence": lambda moved: moved / (4 * _PER_MARK),
    "hw_counters/out_of_buffer": lambda _: 0,
    "hw_counters/packet_seq_err": lambda moved: moved / (200 * _PER_MARK),
    "hw_counters/local_ack_timeout_err": lambda _: 0,
    "hw_counters/roce_adp_retrans": lambda moved: moved / (200 * _PER_MARK),
    "hw_counters/req_transport_retries_exceeded": lambda _: 0,
    "hw_counters/rnr_nak_retry_err": lambda _: 0,
    "hw_counters/rx_write_requests": lambda moved: moved / (1 << 20),
    "hw_counters/rx_read_requests": lambda _: 0,
}
"""Counters of the RDMA ports, likewise."""


_MADE: dict[int, "SimulatedNics"] = {}


def simulated_nics(since: int, clock: Clock) -> "SimulatedNics":
    """Give the NICs of the demo that began at `since`, ns of the monotonic clock: the same to all who ask."""
    if since not in _MADE:
        _MADE[since] = SimulatedNics(since, clock)
    return _MADE[since]


class SimulatedNics:
    """NetDevices, Ethtool and Bus of a node that is not there. Several threads may ask."""

    def __init__(self, since: int, clock: Clock) -> None:
        """Begin at `since`, ns of the monotonic clock."""
        self._clock = clock
        self._guard = threading.Lock()
        self._loads = loads(_NICS, [SimulatedEngine(name, 0, since) for name in DEMO], DEMO)
        self._interfaces = tuple(_interface(index) for index in range(_NICS))

    def scan(self, *, anew: bool = False) -> Sequence[Interface]:
        """See NetDevices."""
        del anew
        return self._interfaces

    def traffic(self) -> Mapping[str, Traffic]:
        """See NetDevices."""
        found = {}
        for index, one in enumerate(self._interfaces):
            moved = int(self.moved(index) * _KERNEL_SHARE / _RDMA_SHARE)
            packets = moved // _KERNEL_PACKET
            found[one.name] = Traffic(moved, packets, 0, 0, moved, packets, 0, 0)
        return found

    def up(self, nic: Interface) -> bool:
        """See NetDevices."""
        del nic
        return True

    def carrier_changes(self, nic: Interface) -> int:
        """See NetDevices: up once."""
        del nic
        return 2

    def speed(self, nic: Interface) -> float:
        """See NetDevices."""
        del nic
        return _SPEED

    def mtu(self, nic: Interface) -> int:
        """See NetDevices."""
        del nic
        return 9000

    def statistic(self, nic: Interface, name: str) -> int:
        """See NetDevices."""
        if nic not in self._interfaces or name not in STATISTICS:
            raise NotSupported(name)
        return 0

    def temperatures(self, nic: Interface) -> Sequence[tuple[str, float]]:
        """See NetDevices."""
        index = self._interfaces.index(nic)
        return [("asic", _CELSIUS + index), ("module0", _CELSIUS - 10 + index)]

    def members(self, nic: Interface) -> Members:
        """See NetDevices."""
        raise NotSupported(nic.name)

    def virtual_functions(self, nic: Interface) -> int:
        """See NetDevices."""
        del nic
        return 0

    def names(self, interface: str) -> tuple[str, ...]:
        """See Ethtool."""
        del interface
        return tuple(_ETHTOOL)

    def values(self, interface: str, count: int) -> Sequence[int]:
        """See Ethtool."""
        del count
        index = next(number for number, one in enumerate(self._interfaces) if one.name == interface)
        moved = self.moved(index)
        return [int(of(moved)) for of in _ETHTOOL.values()]

    def driver(self, interface: str) -> Driver:
        """See Ethtool."""
        del interface
        return Driver("mlx5_core", _FIRMWARE)

    def function(self, address: str) -> Function | None:
        """See Bus: GPU and NIC of the same number are behind the same switch."""
        for index in range(_NICS):
            if address in (pci_address(index), pci_address(index, _BESIDE)):
                socket = f"pci0000:{index // _PER_SOCKET:02x}"
                switch = (f"0000:{pci_address(index, 15)[5:7]}:0{part}.0" for part in range(2))
                return Function(address, (socket, *switch, f"{address[:-1]}1", address), index // _PER_SOCKET)
        return None

    def moved(self, index: int) -> float:
        """Tell the bytes that RDMA moved in each direction over one of them."""
        with self._guard:
            return self._loads[index].nvlink_bytes(self._clock.monotonic_ns() / NS)[0] * _RDMA_SHARE


class SimulatedPorts:
    """The RDMA ports of the simulated NICs; see RdmaPorts."""

    def __init__(self, nics: SimulatedNics) -> None:
        """Be theirs."""
        self._nics = nics
        self._ports = tuple(
            Port(f"mlx5_{index}", 1, one.id, str(index), "mlx5_core", virtual=False)
            for index, one in enumerate(nics.scan())
        )

    def scan(self, *, anew: bool = False) -> Sequence[Port]:
        """See RdmaPorts."""
        del anew
        return self._ports

    def about(self, port: Port) -> About:
        """See RdmaPorts."""
        guid = f"0200:0000:0000:{int(port.folder):04x}"
        return About(
            "Ethernet", guid, guid, f"rdma{port.folder}", "RoCE v2", firmware=_FIRMWARE, model="MT4129 SIM0000000001"
        )

    def files(self, port: Port) -> Sequence[str]:
        """See RdmaPorts."""
        del port
        return tuple(_RDMA)

    def counter(self, port: Port, file: str) -> int:
        """See RdmaPorts."""
        return int(_RDMA[file](self._nics.moved(int(port.folder))))

    def state(self, port: Port) -> str:
        """See RdmaPorts."""
        del port
        return "active"

    def link_state(self, port: Port) -> str:
        """See RdmaPorts."""
        del port
        return "linkup"

    def rate(self, port: Port) -> float:
        """See RdmaPorts."""
        del port
        return _SPEED


def _interface(index: int) -> Interface:
    pci = pci_address(index, _BESIDE)
    return Interface(
        f"rdma{index}",
        pci,
        "physical",
        str(index),
        pci=pci,
        driver="mlx5_core",
        model="15b3:1021",
        numa=index // _PER_SOCKET,
        address=f"02:00:00:00:00:{index:02x}",
        rdma=f"mlx5_{index}",
    )
