# SPDX-License-Identifier: Apache-2.0
"""The process at the other end of a connection, from the kernel's tables and from a connection that is there."""

import ipaddress
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.spans import Peer
from agent.system.processes import foreign_descriptors_readable, process_ids
from agent.system.sockets import Owners, find, is_loopback, pids_of_inodes, socket_inode

FIXTURES = Path(__file__).parents[1] / "fixtures"
CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))):
    input()
"""
HEAD = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def line(number: int, local: str, remote: str, inode: int) -> str:
    queues = "00000000:00000000 00:00000000 00000000"
    return f"{number:4}: {local} {remote} 01 {queues}  1000        0 {inode} 1 0000000000000000 20 4 30 10 -1\n"


def test_ipv4_ipv6_and_mapped_addresses_are_found() -> None:
    root = FIXTURES / "proc-dynamo"
    assert socket_inode(Peer("127.0.0.1", 41010, 4317), root) == 61010
    assert socket_inode(Peer("::ffff:127.0.0.1", 41010, 4317), root) == 61010
    assert socket_inode(Peer("127.0.0.1", 41080, 4317), root) == 61080


def test_the_port_of_ours_must_agree() -> None:
    root = FIXTURES / "proc-dynamo"
    assert socket_inode(Peer("127.0.0.1", 41010, 4318), root) is None
    assert socket_inode(Peer("127.0.0.2", 41010, 4317), root) is None


def test_a_connection_that_only_waits_belongs_to_nobody() -> None:
    assert socket_inode(Peer("127.0.0.1", 44000, 4317), FIXTURES / "proc-two-engines") is None


def test_a_container_has_a_table_of_its_own() -> None:
    root = FIXTURES / "proc-vllm-tp2"
    peer = Peer("10.244.1.7", 40222, 4317)
    assert socket_inode(peer, root) is None
    assert socket_inode(peer, root, 28333) == 71001
    assert pids_of_inodes((71001,), root) == Owners((28179,))
    assert pids_of_inodes((71001,), root, [28290, 28333]) == Owners(())


@pytest.mark.parametrize("host", ["", "localhost", "unix:", "1.2.3", "::1%", "[::1]"])
def test_what_is_no_address_finds_nothing(host: str, tmp_path: Path) -> None:
    assert socket_inode(Peer(host, 1, 2), tmp_path) is None


def test_loopback_is_known() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("::1")
    assert is_loopback("::ffff:127.8.0.1")
    assert not is_loopback("10.0.0.1")
    assert not is_loopback("fe80::1%eth0")
    assert not is_loopback("peer")


@given(
    st.lists(
        st.tuples(st.ip_addresses(), st.integers(1, 65535), st.integers(1, 65535), st.integers(1, 1 << 31)),
        min_size=1,
        max_size=20,
        unique_by=lambda one: one[:3],
    ),
    st.data(),
)
def test_every_connection_of_a_table_is_found(
    tmp_path_factory: pytest.TempPathFactory,
    connections: list[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int, int, int]],
    data: st.DataObject,
) -> None:
    root = tmp_path_factory.mktemp("proc")
    (root / "net").mkdir()
    for version, table in ((4, "tcp"), (6, "tcp6")):
        lines = [
            line(number, f"{kernel_words(host)}:{port:04X}", f"{kernel_words(host)}:{ours:04X}", inode)
            for number, (host, port, ours, inode) in enumerate(connections)
            if host.version == version
        ]
        (root / "net" / table).write_bytes(HEAD + "".join(lines).encode())
    host, port, ours, inode = data.draw(st.sampled_from(connections))
    assert socket_inode(Peer(str(host), port, ours), root) == inode


def kernel_words(host: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Write an address as inet_pton(3) lays it out and printf("%08X") shows its words on a little-endian machine."""
    packed = socket.inet_pton(socket.AF_INET if host.version == 4 else socket.AF_INET6, str(host))
    return "".join(packed[start : start + 4][::-1].hex().upper() for start in range(0, len(packed), 4))


@given(st.binary(max_size=400))
def test_any_bytes_are_a_table(table: bytes) -> None:
    assert find(table, "0100007F:9C40", 4317) is None


@given(st.integers(0, 170))
def test_a_table_that_is_cut_off_gives_the_inode_whole_or_not_at_all(length: int) -> None:
    table = line(0, "0100007F:9C40", "0100007F:10DD", 1_234_567).encode()
    assert find(table[:length], "0100007F:9C40", 4317) in (None, 1_234_567)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_child_is_found_by_its_connection(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        server = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"{host} cannot be bound here")
    with server:
        ours = server.getsockname()[1]
        client = [sys.executable, "-c", CLIENT, host, str(ours)]
        with subprocess.Popen(client, stdin=subprocess.PIPE) as child:
            connection, address = server.accept()
            with connection:
                inode = socket_inode(Peer(address[0], address[1], ours))
                assert inode is not None
                assert pids_of_inodes((inode,)).pids == (child.pid,)
                assert pids_of_inodes((inode,), pids=[child.pid]) == Owners((child.pid,))
                child.communicate(b"\n")
            assert pids_of_inodes((inode,), pids=[child.pid]) == Owners(())


def test_what_may_not_be_looked_into_is_counted() -> None:
    if foreign_descriptors_readable() is not False:
        pytest.skip("this user may look into every process")
    refused = next(pid for pid in process_ids() if is_refused(pid))
    assert pids_of_inodes((77,), pids=[refused]) == Owners((), 1)


def is_refused(pid: int) -> bool:
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            descriptor.readlink()
    except PermissionError:
        return True
    except OSError:
        return False
    return False
