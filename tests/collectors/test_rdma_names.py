# SPDX-License-Identifier: Apache-2.0
"""RDMA counters: those of 32 bits go on where they wrap, and what tells of loss is apart from what is usual."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.collectors.node.rdma import RdmaReader
from agent.collectors.rdma_names import MEANINGS, Whole, meaning, wraps
from agent.system.rdma import SysRdmaPorts
from tests.nodes import node, plant, values

WRAP = 1 << 32


@given(st.integers(0, WRAP - 1), st.lists(st.integers(0, (1 << 29) - 1), max_size=50))
def test_a_counter_that_wraps_grows_by_what_happened(start: int, steps: list[int]) -> None:
    whole = Whole()
    first = whole.take(start)
    total = start
    for step in steps:
        total += step
        assert whole.take(total % WRAP) == first + total - start


@given(st.integers(1, WRAP - 1), st.integers(0, WRAP - 1))
def test_a_counter_that_begins_anew_is_not_taken_to_wrap(last: int, value: int) -> None:
    whole = Whole()
    whole.take(last)
    seen = whole.take(value)
    assert seen == value or (seen == value + WRAP and value + WRAP - last < 1 << 29)


def test_a_counter_of_64_bits_that_begins_anew_does_so() -> None:
    whole = Whole()
    whole.take(1 << 40)
    assert whole.take(5) == 5


def test_only_q_counters_of_mlx5_wrap() -> None:
    assert wraps("hw_counters/packet_seq_err", "mlx5_core")
    assert wraps("hw_counters/vport_packet_seq_err", "mlx5_core")
    assert not wraps("hw_counters/packet_seq_err", "bnxt_re")
    assert not wraps("hw_counters/np_cnp_sent", "mlx5_core")
    assert not wraps("counters/port_xmit_data", "mlx5_core")


def test_the_reader_hides_a_wrap(tmp_path: Path) -> None:
    root = plant("hgx-h100", tmp_path)
    reader = RdmaReader(node(root), SysRdmaPorts(root))
    assert values(list(reader.read()), "joulespan.rdma.requests", hw_name="mlx5_0", operation="write") == [4294960000]
    (root / "sys/class/infiniband/mlx5_0/ports/1/hw_counters/rx_write_requests").write_text("100\n")
    assert values(list(reader.read()), "joulespan.rdma.requests", hw_name="mlx5_0", operation="write") == [WRAP + 100]
    assert values(list(reader.read()), "joulespan.rdma.requests", hw_name="mlx5_1", operation="write") == [4294960001]


@pytest.mark.parametrize(
    ("file", "metric"),
    [
        ("out_of_sequence", "joulespan.rdma.out_of_order"),
        ("duplicate_request", "joulespan.rdma.out_of_order"),
        ("packet_seq_err", "joulespan.rdma.retransmits"),
        ("local_ack_timeout_err", "joulespan.rdma.retransmits"),
        ("roce_adp_retrans", "joulespan.rdma.retransmits"),
        ("req_transport_retries_exceeded", "joulespan.rdma.retransmits"),
        ("rnr_nak_retry_err", "joulespan.rdma.receiver_not_ready"),
        ("retrans_pkts", "joulespan.rdma.retransmits"),
        ("seq_err_naks_rcvd", "joulespan.rdma.retransmits"),
        ("dup_req", "joulespan.rdma.out_of_order"),
        ("rnr_naks_rcvd", "joulespan.rdma.receiver_not_ready"),
    ],
)
def test_what_tells_of_loss_is_apart_from_what_adaptive_routing_makes_usual(file: str, metric: str) -> None:
    assert MEANINGS[f"hw_counters/{file}"].metric.name == metric


def test_counters_of_switchdev_mode_are_known_by_their_prefix() -> None:
    assert meaning("hw_counters/vport_out_of_buffer") is MEANINGS["hw_counters/out_of_buffer"]
    assert meaning("hw_counters/lifespan") is None
