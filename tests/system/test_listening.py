# SPDX-License-Identifier: Apache-2.0
"""On which ports processes listen, from trees like the kernel's and from processes that are there."""

import ipaddress
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.system.listening import Listener, Socket, _likely, listening, sockets
from agent.system.neighbours import own_addresses, reached, stays
from agent.system.processes import service_name

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ANY, LOOPBACK, LAN, ANY6 = "00000000", "0100007F", "0500000A", "0" * 32
LISTENS, CONNECTED = "0A", "01"
SERVER = """
import socket, sys
with socket.create_server((sys.argv[1], 0), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET) as server:
    print(server.getsockname()[1], flush=True)
    input()
"""


def line(local: str, port: int, inode: int, *, state: str = LISTENS, uid: int = 0) -> str:
    remote = ANY if state == LISTENS else LOOPBACK
    return (
        f"   0: {local}:{port:04X} {remote}:0000 {state} 0:0 00:00000000 00000000 {uid:5} 0 {inode} 1 0 100 0 0 10 0\n"
    )


def table(folder: Path, lines: Sequence[str], lines6: Sequence[str] = ()) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tcp").write_text(HEAD + "".join(lines))
    (folder / "tcp6").write_text(HEAD + "".join(lines6))


def process(root: Path, pid: int, inodes: Sequence[int]) -> None:
    (root / str(pid) / "fd").mkdir(parents=True)
    for number, inode in enumerate(inodes):
        (root / str(pid) / "fd" / str(number)).symlink_to(f"socket:[{inode}]")


def test_what_a_process_listens_on_is_found_and_nothing_else(tmp_path: Path) -> None:
    lines = [line(ANY, 8000, 11), line(LOOPBACK, 9000, 12, state=CONNECTED), line(LAN, 8001, 13), line(ANY, 8002, 99)]
    table(tmp_path / "net", lines, [line(ANY6, 8003, 14)])
    process(tmp_path, 7, [11, 12, 13, 14, 500])
    process(tmp_path, 8, [99])
    found = listening([7], tmp_path)
    assert found.refused == 0
    assert [(one.host, one.port, one.pid) for one in found.listeners] == [
        ("127.0.0.1", 8000, 7),
        ("10.0.0.5", 8001, 7),
        ("::1", 8003, 7),
    ]


def test_a_socket_that_several_processes_have_is_one(tmp_path: Path) -> None:
    table(tmp_path / "net", [line(LOOPBACK, 8000, 11)])
    for pid in (9, 7, 8):
        process(tmp_path, pid, [11])
    assert listening([9, 8, 7, 7], tmp_path).listeners == (Listener("127.0.0.1", 8000, 11, 7),)


def test_what_is_gone_or_has_no_sockets_is_nothing(tmp_path: Path) -> None:
    table(tmp_path / "net", [line(ANY, 8000, 11)])
    process(tmp_path, 7, [])
    assert listening([7, 12345], tmp_path) == ((), 0)


def closed(root: Path, pid: int) -> None:
    (root / str(pid)).mkdir(parents=True)
    (root / str(pid) / "fd").mkdir(mode=0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")
def test_where_a_right_is_missing_the_sockets_of_the_same_user_stand_in(tmp_path: Path) -> None:
    table(tmp_path / "net", [line(ANY, 8000, 11, uid=os.geteuid()), line(ANY, 22, 12)])
    closed(tmp_path, 7)
    found = listening([7], tmp_path)
    assert ([one.port for one in found.listeners], found.refused) == ([8000], 1)


def test_what_stands_in_is_never_roots_and_in_another_network_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    own = (tmp_path / "7").stat().st_uid
    address = ipaddress.ip_address("0.0.0.0")
    known = {11: Socket(address, 8000, own, 11), 12: Socket(address, 8001, own + 1, 12)}
    assert _likely(7, tmp_path, known, alone=False) == ([11] if own else [])
    assert _likely(7, tmp_path, known, alone=True) == [11, 12]
    assert _likely(8, tmp_path, known, alone=False) == []


def veth(sys_root: Path, name: str, **changes: str) -> None:
    folder = sys_root / "class/net" / name
    folder.mkdir(parents=True)
    told = {"uevent": f"INTERFACE={name}\n", "type": "1\n", "ifindex": "7\n", "iflink": "2\n", **changes}
    for file, text in told.items():
        (folder / file).write_text(text)


def bridge(sys_root: Path, name: str, lower: Sequence[str]) -> None:
    veth(sys_root, name, uevent=f"DEVTYPE=bridge\nINTERFACE={name}\n", iflink="7\n")
    for one in lower:
        (sys_root / "class/net" / name / f"lower_{one}").mkdir()


def routes(root: Path, *entries: tuple[str, str, str, str, str]) -> None:
    head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
    text = "".join(f"{i}\t{d}\t{g}\t{f}\t0\t0\t0\t{m}\t0\t0\t0\n" for i, d, g, f, m in entries)
    (root / "net").mkdir(exist_ok=True)
    (root / "net/route").write_text(head + text)


DEFAULT = ("eth0", "00000000", "0100000A", "0003", "00000000")
DOCKER = ("docker0", "000011AC", "00000000", "0001", "0000FFFF")
TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
Local:
  +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
     |-- {address}
        /32 host LOCAL
     |-- 172.17.255.255
        /32 link BROADCAST
"""


def container(root: Path, address: str) -> Path:
    """Give a process in a network of its own that listens at every address, and its folder."""
    table(root / "net", [])
    table(root / "40/net", [line(ANY, 8000, 31), line(LOOPBACK, 8001, 32)])
    (root / "40/net/fib_trie").write_text(TRIE.format(address=address))
    process(root, 40, [31, 32])
    return root / "40/net"


def test_a_container_on_a_bridge_of_this_machine_is_reached_at_its_address(tmp_path: Path) -> None:
    container(tmp_path, "172.17.0.2")
    routes(tmp_path, DEFAULT, DOCKER)
    veth(tmp_path / "sys", "veth1")
    bridge(tmp_path / "sys", "docker0", ["veth1"])
    found = listening([40], tmp_path, tmp_path / "sys")
    # What listens on its loopback is not to be reached from here.
    assert found.listeners == (Listener("172.17.0.2", 8000, 31, 40, own_network=False),)


@pytest.mark.parametrize(
    ("address", "entries"),
    [
        ("8.8.8.8", [DEFAULT, DOCKER]),
        ("172.17.0.2", [DEFAULT]),
        ("172.17.0.2", [("docker0", "000011AC", "0100000A", "0003", "0000FFFF")]),
        ("172.17.0.2", [("eth0", "000011AC", "00000000", "0001", "0000FFFF")]),
        ("172.17.0.2", [("docker0", "000011AC", "00000000", "0000", "0000FFFF")]),
        ("172.17.0.2", [DOCKER, ("eth0", "020011AC", "00000000", "0005", "FFFFFFFF")]),
    ],
    ids=["foreign address", "default route", "gateway", "hardware", "route is down", "nearer route elsewhere"],
)
def test_an_address_whose_route_leaves_the_machine_is_not_used(
    tmp_path: Path, address: str, entries: list[tuple[str, str, str, str, str]]
) -> None:
    """A container may call itself what it likes."""
    folder = container(tmp_path, address)
    routes(tmp_path, *entries)
    veth(tmp_path / "sys", "veth1")
    bridge(tmp_path / "sys", "docker0", ["veth1"])
    veth(tmp_path / "sys", "eth0")
    (tmp_path / "sys/class/net/eth0/device").mkdir()
    assert reached(folder, tmp_path, tmp_path / "sys") == []


def test_only_cables_within_the_machine_and_bridges_of_them_stay_on_it(tmp_path: Path) -> None:
    veth(tmp_path, "veth1")
    veth(tmp_path, "veth2")
    veth(tmp_path, "eth0")
    (tmp_path / "class/net/eth0/device").mkdir()
    veth(tmp_path, "vxlan0", uevent="DEVTYPE=vxlan\n")
    veth(tmp_path, "bond0", uevent="DEVTYPE=bond\n", iflink="7\n")
    veth(tmp_path, "tun0", type="65534\n")
    veth(tmp_path, "dummy0", iflink="7\n")
    bridge(tmp_path, "br0", ["veth1", "veth2"])
    bridge(tmp_path, "br1", ["veth1", "eth0"])
    bridge(tmp_path, "br2", [])
    known = ["veth1", "eth0", "vxlan0", "bond0", "tun0", "dummy0", "br0", "br1", "br2", "none", "lo"]
    assert [name for name in known if stays(name, tmp_path)] == ["veth1", "br0"]


def test_own_addresses_are_those_without_loopback(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/fib_trie").write_text(TRIE.format(address="10.0.0.5"))
    assert own_addresses(tmp_path) == {"10.0.0.5"}


@given(st.binary(max_size=400))
def test_any_bytes_are_a_table(text: bytes) -> None:
    list(sockets(text))


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_a_child_that_listens_is_found(host: str) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVER, host], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        said = child.stdout.readline()
        if not said:
            pytest.skip(f"{host} cannot be bound here")
        (found,) = listening([child.pid]).listeners
        assert (found.port, found.pid, found.own_network) == (int(said), child.pid, True)
        socket.create_connection((found.host, found.port)).close()
        child.communicate(b"\n")
    assert listening([child.pid]) == ((), 0)


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, None),
        ({"OTEL_SERVICE_NAME": "chat", "OTEL_RESOURCE_ATTRIBUTES": "service.name=other"}, "chat"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "a=b, service.name=chat%20two ,c"}, "chat two"),
        ({"SECRET": "OTEL_SERVICE_NAME=no"}, None),
    ],
)
def test_the_service_name_of_a_process_is_that_of_its_environment(
    environ: Mapping[str, str], name: str | None, tmp_path: Path
) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/environ").write_bytes(b"".join(f"{key}={value}\0".encode() for key, value in environ.items()))
    assert service_name(7, tmp_path) == name
    assert service_name(8, tmp_path) is None
