# SPDX-License-Identifier: Apache-2.0
"""Network interfaces in sysfs: what each is, which it is, and that a name that changes hands is not mistaken."""

from pathlib import Path

import pytest

from agent.errors import NotSupported, Unavailable
from agent.system.net_dev import Traffic, parse
from agent.system.netdevs import Interface, SysNetDevices
from agent.system.pci import Function, Nearness, address_in, nearness, normal
from agent.system.rdma import SysRdmaPorts, parse_rate, parse_state

HEAD = b"Inter-|   Receive  |  Transmit\n face |bytes packets errs drop ...\n"
FUNCTION = "0000:18:00.0"


def interface(root: Path, name: str, device: str | None, **files: str) -> Path:
    """Make an interface on a device of a PCI function, or on none."""
    base = root / "sys/devices" / (f"pci0000:17/{device}" if device else "virtual") / "net" / name
    base.mkdir(parents=True)
    for file, text in {"operstate": "up", "carrier_changes": "1", **files}.items():
        (base / file).write_text(f"{text}\n")
    if device:
        (base / "device").symlink_to("../..")
    link = root / "sys/class/net" / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(f"../../{base.relative_to(root / 'sys')}")
    return base


def only(root: Path) -> Interface:
    (found,) = SysNetDevices(root).scan()
    return found


@pytest.mark.parametrize(
    ("device", "files", "identity", "kind"),
    [
        (FUNCTION, {}, FUNCTION, "physical"),
        (FUNCTION, {"dev_port": "1"}, f"{FUNCTION}/1", "physical"),
        (FUNCTION, {"phys_port_name": "p0"}, FUNCTION, "physical"),
        (FUNCTION, {"phys_port_name": "pf0vf3"}, f"{FUNCTION}/pf0vf3", "representor"),
        (FUNCTION, {"phys_port_name": "c1pf0sf12"}, f"{FUNCTION}/c1pf0sf12", "representor"),
        (FUNCTION, {"phys_port_name": "pf0hpf"}, f"{FUNCTION}/pf0hpf", "representor"),
        (f"{FUNCTION}/virtio0", {}, FUNCTION, "physical"),
        (f"{FUNCTION}/mlx5_core.sf.4", {}, f"{FUNCTION}/mlx5_core.sf.4", "sub_function"),
        (f"{FUNCTION}/usb1/1-1", {}, f"{FUNCTION}/1-1", "physical"),
        (None, {}, "eth0", "virtual"),
        (None, {"uevent": "DEVTYPE=vlan"}, "eth0", "vlan"),
        (None, {"uevent": "DEVTYPE=bridge"}, "eth0", "bridge"),
        (None, {"type": "772"}, "eth0", "loopback"),
    ],
)
def test_an_interface_is_known_by_its_place(
    device: str | None, files: dict[str, str], identity: str, kind: str, tmp_path: Path
) -> None:
    interface(tmp_path, "eth0", device, **files)
    found = only(tmp_path)
    assert (found.id, found.kind) == (identity, kind)


def test_a_virtual_function_knows_its_physical_one(tmp_path: Path) -> None:
    base = interface(tmp_path, "eth0v0", "0000:18:00.1")
    (base / "../../physfn").symlink_to(f"../{FUNCTION}")
    found = only(tmp_path)
    assert (found.kind, found.parent) == ("virtual_function", FUNCTION)


def test_two_interfaces_that_swap_names_are_not_mistaken(tmp_path: Path) -> None:
    first = interface(tmp_path, "eth0", FUNCTION, carrier_changes="10")
    interface(tmp_path, "eth1", "0000:19:00.0", carrier_changes="20")
    devices = SysNetDevices(tmp_path)
    before = {one.id: devices.carrier_changes(one) for one in devices.scan()}
    links = tmp_path / "sys/class/net"
    (links / "eth0").rename(links / "other")
    (links / "eth1").rename(links / "eth0")
    (links / "other").rename(links / "eth1")
    after = {one.id: devices.carrier_changes(one) for one in devices.scan()}
    assert after == before == {FUNCTION: 10, "0000:19:00.0": 20}
    assert first.exists()


def test_while_nothing_changes_the_list_is_the_same_object(tmp_path: Path) -> None:
    interface(tmp_path, "eth0", FUNCTION)
    devices = SysNetDevices(tmp_path)
    found = devices.scan()
    assert devices.scan() is found
    assert devices.scan(anew=True) is found
    interface(tmp_path, "eth1", None)
    assert [one.name for one in devices.scan()] == ["eth0", "eth1"]


def test_files_beside_the_interfaces_are_none(tmp_path: Path) -> None:
    interface(tmp_path, "eth0", FUNCTION)
    (tmp_path / "sys/class/net/bonding_masters").write_text("bond0\n")
    assert only(tmp_path).name == "eth0"


def test_without_sysfs_there_are_no_interfaces_to_be_told(tmp_path: Path) -> None:
    with pytest.raises(NotSupported):
        SysNetDevices(tmp_path).scan()


def test_the_table_of_counters_is_read_line_by_line() -> None:
    # Old kernels leave no space between a name and its first number; a name may hold much.
    table = (
        HEAD + b"  eth0:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n a-b.100: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\nbroken: 1\n"
    )
    assert parse(table) == {"eth0": Traffic(1, 2, 3, 4, 9, 10, 11, 12), "a-b.100": Traffic(1, 2, 3, 4, 5, 6, 7, 8)}


@pytest.mark.parametrize("number", [b"x", b"-1", b"1.5", b"9" * 21, b"18446744073709551616"])
def test_a_line_with_a_number_that_is_none_is_left_out(number: bytes) -> None:
    assert parse(HEAD + b"eth0: " + b" ".join([number, *[b"1"] * 15]) + b"\n") == {}


@pytest.mark.parametrize(
    ("text", "rate"), [("400 Gb/sec (4X NDR)", 50e9), ("2.5 Gb/sec (1X SDR)", 312.5e6), ("800 Gb/sec", 100e9)]
)
def test_rates_are_bytes_a_second(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "400", "fast", "-1 Gb/sec", "1e9 Gb/sec", "9" * 400 + " Gb/sec"])
def test_what_is_no_rate_fails(text: str) -> None:
    with pytest.raises(Unavailable):
        parse_rate(text)


def test_a_rate_of_nothing_is_none() -> None:
    with pytest.raises(NotSupported):
        parse_rate("0 Gb/sec (4X SDR)")


@pytest.mark.parametrize(
    ("text", "state"), [("4: ACTIVE\n", "active"), ("5: LinkUp", "linkup"), ("5: ACTIVE_DEFER", "active_defer"),
                        ("6: LinkErrorRecovery", "linkerrorrecovery"), ("ACTIVE", None), ("", None)]
)  # fmt: skip
def test_states_are_words(text: str, state: str | None) -> None:
    assert parse_state(text) == state


def test_the_second_port_of_a_device_is_called_as_its_interface(tmp_path: Path) -> None:
    base = tmp_path / f"sys/devices/pci0000:17/{FUNCTION}/infiniband/mlx4_0"
    for number in (1, 2):
        (base / f"ports/{number}").mkdir(parents=True)
    (base / "device").symlink_to("../..")
    (tmp_path / "sys/class/infiniband").mkdir(parents=True)
    (tmp_path / "sys/class/infiniband/mlx4_0").symlink_to(f"../../{base.relative_to(tmp_path / 'sys')}")
    found = SysRdmaPorts(tmp_path).scan()
    assert [(port.id, port.number) for port in found] == [(FUNCTION, 1), (f"{FUNCTION}/1", 2)]


@pytest.mark.parametrize(
    ("told", "address"),
    [("0000:18:00.0", FUNCTION), ("00000000:18:00.0", FUNCTION), ("00000009:01:00.0", "0009:01:00.0"),
     ("0000:1A:00.0", "0000:1a:00.0"), ("00010000:01:00.0", "00010000:01:00.0")],
)  # fmt: skip
def test_addresses_are_written_as_sysfs_does(told: str, address: str) -> None:
    assert normal(told) == address


def test_the_address_in_a_path_is_the_last_one() -> None:
    assert address_in(f"/sys/devices/pci0000:17/0000:17:01.0/{FUNCTION}/virtio0") == FUNCTION
    assert address_in("/sys/devices/virtual/net/lo") is None


def place(path: str, numa: int = 0) -> Function:
    parts = tuple(path.split())
    return Function(parts[-1], parts, numa)


@pytest.mark.parametrize(
    ("one", "other", "numas", "expected"),
    [
        ("H P S a D", "H P S b E", (0, 0), Nearness.PIX),
        ("H P S a D", "H P S b T c E", (0, 0), Nearness.PXB),
        ("pci0000:17 P D", "pci0000:17 Q E", (0, 0), Nearness.PHB),
        ("pci0000:17 P D", "pci0000:18 Q E", (0, 0), Nearness.NODE),
        ("pci0000:17 P D", "pci0000:18 Q E", (0, 1), Nearness.SYS),
        ("pci0000:17 P D", "pci0000:18 Q E", (-1, -1), Nearness.NODE),
    ],
)
def test_nearness_is_what_lies_between(one: str, other: str, numas: tuple[int, int], expected: Nearness) -> None:
    assert nearness(place(one, numas[0]), place(other, numas[1])) is expected
    assert nearness(place(other, numas[1]), place(one, numas[0])) is expected
