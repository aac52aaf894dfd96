# SPDX-License-Identifier: Apache-2.0
"""NVLink and InfiniBand switches: the names on the pages of NMX-T, NMX-M and UFM Telemetry.

All three name the counters of ports as the registers of InfiniBand are named. Sources: "NMX Telemetry" 1.2.3,
"NetQ NVLink" and "UFM Telemetry", which name the counters and not their units.
"""

from collections.abc import Iterator

from agent.catalogue import switch
from agent.dialects.rules import LeftOut
from agent.dialects.switches.rules import SwitchRule, SwitchTable, rule

WORD = 4
"""Bytes that the data counters of InfiniBand count by (InfiniBand architecture, § PortCountersExtended)."""
_SENDS, _RECEIVES = {"direction": "transmit"}, {"direction": "receive"}
_LABELS = {"switch": "node_guid", "port": "port_num"}


def _ports(word: int) -> Iterator[SwitchRule]:
    yield rule(switch.PORT_IO, "PortXmitDataExtended", fixed=_SENDS, times=word)
    yield rule(switch.PORT_IO, "PortRcvDataExtended", fixed=_RECEIVES, times=word)
    yield rule(switch.PORT_PACKETS, "PortXmitPktsExtended", fixed=_SENDS)
    yield rule(switch.PORT_PACKETS, "PortRcvPktsExtended", fixed=_RECEIVES)
    yield rule(switch.PORT_DISCARDS, "PortXmitDiscardsExtended", "port_xmit_discard", fixed=_SENDS)
    yield rule(switch.PORT_ERRORS, "PortRcvErrorsExtended", "port_rcv_errors", fixed=_RECEIVES)
    yield rule(switch.PORT_WAIT_TICKS, "PortXmitWaitExtended")
    yield rule(switch.PORT_LINK_DOWNS, "LinkDownedCounterExtended", "link_down_counter")
    for kind, names in (
        ("symbol", ("phy_symbol_errors", "SymbolErrorCounterExtended", "symbol_error_counter")),
        ("effective", ("phy_effective_errors",)),
        ("recovery", ("LinkErrorRecoveryCounterExtended", "link_error_recovery_counter")),
        ("remote_physical", ("PortRcvRemotePhysicalErrorsExtended", "port_rcv_remote_physical_errors")),
        ("switch_relay", ("PortRcvSwitchRelayErrorsExtended", "port_rcv_switch_relay_errors")),
        ("excessive_buffer", ("ExcessiveBufferOverrunErrorsExtended", "excessive_buffer_errors")),
    ):
        yield rule(switch.PORT_LINK_ERRORS, *names, fixed={"type": kind})
    for kind, name in (("raw", "raw_ber"), ("effective", "eff_ber"), ("symbol", "symbol_ber")):
        yield rule(switch.PORT_BER, name, fixed={"type": kind})


def _identity(kind: str) -> Iterator[SwitchRule]:
    """Say of the ports that a counter tells of what they are: every line has it."""
    labels = {"guid": "port_guid", "type": "port_type"}
    yield rule(switch.PORT_INFO, "PortXmitDataExtended", "PortRcvDataExtended", labels=labels)
    yield rule(
        switch.INFO,
        "PortXmitDataExtended",
        "PortRcvDataExtended",
        "switch_temperature",
        labels={"domain": "domain_id"},
        fixed={"kind": kind},
    )


def _nvlink(word: int) -> SwitchTable:
    retransmissions = (
        ("received", "plr_rcv_codes"),
        ("received_in_error", "plr_rcv_code_err"),
        ("retry", "plr_xmit_retry_events"),
        ("lost", "plr_codes_loss"),
    )
    return SwitchTable(
        "nvlink",
        "NVLink switches, from NMX-T or NMX-M",
        "Scraped from the page of NMX-T on the switch tray, or of NMX-M. Ports of GPUs are on these pages too.",
        (
            *_ports(word),
            *(rule(switch.PORT_RETRANSMISSIONS, name, fixed={"type": kind}) for kind, name in retransmissions),
            rule(switch.TEMPERATURE, "switch_temperature", fixed={"sensor": "switch"}),
            rule(switch.POWER, "power_consumption", fixed={"part": "switch"}),
            *_identity("nvlink"),
        ),
        (
            LeftOut(
                "is a code or a sum of what its parts tell",
                ("link_speed_active", "total_power_managed", "phy_received_bits"),
            ),
            LeftOut("is a bin of the error correction's histogram, which the bit error rates sum up", ("hist*",)),
        ),
        labels=_LABELS,
    )


def _infiniband(word: int) -> SwitchTable:
    return SwitchTable(
        "infiniband",
        "InfiniBand switches, from UFM Telemetry",
        "Scraped from the page of UFM Telemetry, on which the ports of hosts are too.",
        (*_ports(word), *_identity("infiniband")),
        (LeftOut("is not one of the counters of the primary set that this agent explains things with", ("hist*",)),),
        labels=_LABELS,
    )


NVLINK, INFINIBAND = _nvlink(WORD), _infiniband(WORD)
IN_BYTES = {"nvlink": _nvlink(1), "infiniband": _infiniband(1)}
"""The same for pages that give data in bytes."""
IN_WORDS = {"nvlink": NVLINK, "infiniband": INFINIBAND}
