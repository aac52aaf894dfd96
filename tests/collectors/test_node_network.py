# SPDX-License-Identifier: Apache-2.0
"""NICs, RDMA ports and their places, read from trees of machines: what comes out, and what one fault costs."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agent.catalogue.gpu import GPU_INFO
from agent.catalogue.own import SERIES_DROPPED
from agent.catalogue.rdma import RDMA_UP
from agent.clock import FakeClock
from agent.collectors.node.affinity import Affinity
from agent.collectors.node.ethtool import EthtoolReader
from agent.collectors.node.nic import NicReader
from agent.collectors.node.rdma import MOST, RdmaReader
from agent.entities import Gpu, GpuInfo
from agent.entity import attributes
from agent.errors import NotSupported
from agent.metric import Sample
from agent.network_entities import GpuNic
from agent.snapshot import Snapshot, Snapshots, Source
from agent.system.netdevs import SysNetDevices
from agent.system.pci import SysBus
from agent.system.rdma import Port, SysRdmaPorts
from tests.nodes import FAST, GOLDEN, NAMES, Failures, TreeEthtool, lines, node, plant, values

NO_RDMA = "plain-vm"


def gpus(root: Path) -> Snapshot:
    """Say of every GPU of a tree what the reader would."""
    snapshots = Snapshots()
    found = sorted(
        place.name
        for place in (root / "sys/bus/pci/devices").iterdir()
        if (place / "vendor").exists() and (place / "vendor").read_text().strip() == "0x10de"
    )
    samples = [
        GPU_INFO(GpuInfo(Gpu(f"GPU-{index}", f"gpu{index}"), pci=f"0000{pci.upper()}"), 1)
        for index, pci in enumerate(found)
    ]
    snapshots.put_samples(Source("gpu_identity"), samples, 1)
    return snapshots.current


def nic(
    root: Path, failures: Failures | None = None, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()
) -> NicReader:
    about = node(root, failures, include=include, exclude=exclude)
    return NicReader(about, SysNetDevices(root), TreeEthtool(root))


def ethtool(root: Path, failures: Failures | None = None) -> EthtoolReader:
    return EthtoolReader(node(root, failures), SysNetDevices(root), TreeEthtool(root))


def rdma(
    root: Path, failures: Failures | None = None, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()
) -> RdmaReader:
    return RdmaReader(node(root, failures, include=include, exclude=exclude), SysRdmaPorts(root))


def affinity(root: Path, snapshot: Snapshot | None = None) -> list[Sample]:
    seen = gpus(root) if snapshot is None else snapshot
    about = node(root, snapshot=lambda: seen)
    return list(Affinity(about, SysNetDevices(root), SysRdmaPorts(root), SysBus(root)).read())


def pairs(told: list[Sample]) -> list[GpuNic]:
    """GPUs and NICs that were compared."""
    return [one.series.entity for one in told if isinstance(one.series.entity, GpuNic)]


def of_the_first_gpu(told: list[Sample]) -> dict[str | None, str]:
    return {pair.interface: pair.path for pair in pairs(told) if pair.gpu.id == "GPU-0"}


def who(sample: Sample, attribute: str = "hw.name") -> str:
    """An attribute of a sample's series."""
    return dict(attributes(sample.series.entity)).get(attribute, "")


def everything(root: Path, failures: Failures) -> list[Sample]:
    found = [*nic(root, failures).read(), *ethtool(root, failures).read(), *affinity(root)]
    try:
        found += rdma(root, failures).read()
    except NotSupported:
        assert root.name == NO_RDMA
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder in memory."""
    with TemporaryDirectory(dir=FAST) as name:
        yield Path(name)


@pytest.fixture
def hgx(folder: Path) -> Path:
    return plant("hgx-h100", folder / "hgx-h100")


@pytest.mark.parametrize("name", NAMES)
def test_what_a_node_says_is_the_golden_file(name: str, folder: Path) -> None:
    failures = Failures()
    text = lines(everything(plant(name, folder / name), failures))
    golden = GOLDEN / f"network-{name}.txt"
    if not golden.exists():
        golden.write_text(text)
        pytest.fail(f"{golden.name} was missing and has been written: read it, and run again")
    assert text == golden.read_text()
    assert failures == []


@pytest.mark.parametrize("name", NAMES)
def test_no_series_is_told_twice(name: str, folder: Path) -> None:
    series = [sample.series for sample in everything(plant(name, folder / name), Failures())]
    assert len(set(series)) == len(series)


def test_interfaces_of_pods_and_virtual_functions_are_left_out_and_counted(hgx: Path) -> None:
    told = list(nic(hgx).read())
    names = {who(sample) for sample in told if sample.series.metric.name == "hw.network.up"}
    assert names == {*(f"eth{index}" for index in range(8)), "eno1", "eno2", "bond0", "bond0.100"}
    kinds = ("virtual_function", "representor", "bridge", "virtual", "loopback")
    assert [values(told, "joulespan.nic.left_out", kind=kind) for kind in kinds] == [[1], [1], [1], [2], [1]]


def test_what_is_included_is_read_whatever_it_is(hgx: Path) -> None:
    told = list(nic(hgx, include=("veth*", "eth0"), exclude=("veth1*",)).read())
    names = {who(sample) for sample in told if sample.series.metric.name == "hw.network.up"}
    assert names == {"eth0", "veth0a1b2c3"}


def test_rdma_bytes_are_in_words_of_four(hgx: Path) -> None:
    told = list(rdma(hgx).read())
    assert values(told, "joulespan.rdma.io", hw_name="mlx5_0", network_io_direction="receive") == [1_000_000_004]


def test_rdma_devices_of_virtual_functions_are_read_only_when_included(hgx: Path) -> None:
    assert len(values(list(rdma(hgx).read()), "joulespan.rdma.up")) == 8
    assert len(values(list(rdma(hgx, include=("mlx5_8",)).read()), "joulespan.rdma.up")) == 1
    assert len(values(list(rdma(hgx, exclude=("mlx5_[0-3]",)).read()), "joulespan.rdma.up")) == 4


def test_pauses_are_in_seconds_and_stalls_in_shares(hgx: Path) -> None:
    told = list(ethtool(hgx).read())
    paused = values(told, "joulespan.nic.pause.duration", hw_name="eth0", priority="3", network_io_direction="receive")
    assert paused == [pytest.approx(0.25)]
    assert values(told, "joulespan.nic.pci.stalled", hw_name="eth0", access="read") == [0.04]
    assert values(told, "joulespan.nic.pci.stalled.duration", hw_name="eth0", access="read") == [2]


def test_pauses_where_pausing_is_off_are_absent_and_not_zero(hgx: Path) -> None:
    told = list(ethtool(hgx).read())
    assert values(told, "joulespan.nic.pause.frames", hw_name="eth0", priority="4") == []


def test_a_priority_that_nobody_uses_has_no_bytes(hgx: Path) -> None:
    told = list(ethtool(hgx).read())
    assert len(values(told, "joulespan.nic.priority.io", hw_name="eth0")) == 2


def test_names_of_statistics_are_asked_for_once(hgx: Path) -> None:
    drivers = TreeEthtool(hgx)
    reader = EthtoolReader(node(hgx), SysNetDevices(hgx), drivers)
    list(reader.read())
    asked = drivers.calls
    list(reader.read())
    assert drivers.calls == asked


def test_names_of_statistics_are_asked_for_again_when_there_are_others(hgx: Path) -> None:
    failures = Failures()
    reader = ethtool(hgx, failures)
    list(reader.read())
    file = hgx / "ethtool/eth0/statistics"
    file.write_text("     module_high_temp: 3\n" + file.read_text())
    assert values(list(reader.read()), "joulespan.nic.module.events", hw_name="eth0") == []
    assert failures == ["eth0: others"]
    assert values(list(reader.read()), "joulespan.nic.module.events", hw_name="eth0", event="high_temperature") == [3]
    assert len(failures) == 1


FILES = (
    "sys/class/net/eth2/operstate",
    "sys/class/net/eth2/carrier_changes",
    "sys/class/net/eth2/speed",
    "sys/class/net/eth2/mtu",
    "sys/class/net/eth2/statistics/rx_crc_errors",
    "sys/class/infiniband/mlx5_2/ports/1/counters/port_xmit_data",
    "sys/class/infiniband/mlx5_2/ports/1/hw_counters/np_cnp_sent",
    "sys/class/infiniband/mlx5_2/ports/1/rate",
)


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_cannot_be_read_costs_its_series_and_is_told(file: str, hgx: Path) -> None:
    before = everything(hgx, Failures())
    broken = (hgx / file).resolve()
    broken.unlink()
    broken.mkdir()  # Reading it fails with EISDIR, for root too.
    failures = Failures()
    assert len({sample.series for sample in before} - {sample.series for sample in everything(hgx, failures)}) == 1
    assert len(failures) == 1
    assert file.rpartition("/")[2] in failures[0]


@pytest.mark.parametrize("text", ["", "none", "1.5", "-", "0x10", "9" * 5000])
@pytest.mark.parametrize("file", FILES[1:2] + FILES[5:7])
def test_a_file_that_holds_no_number_costs_its_series_and_is_told(file: str, text: str, hgx: Path) -> None:
    before = everything(hgx, Failures())
    (hgx / file).write_text(text)
    failures = Failures()
    lost = {sample.series for sample in before} - {sample.series for sample in everything(hgx, failures)}
    assert len(lost) == len(failures) == 1


def test_an_interface_that_vanishes_costs_its_own_series(hgx: Path) -> None:
    kernel, drivers = nic(hgx), ethtool(hgx)
    before = [*kernel.read(), *drivers.read()]
    (hgx / "sys/class/net/eth5").unlink()
    table = hgx / "proc/net/dev"
    table.write_text("".join(line for line in table.read_text().splitlines(keepends=True) if "eth5:" not in line))
    shutil.rmtree(hgx / "ethtool/eth5")
    after = [*kernel.read(), *drivers.read()]
    assert [sample for sample in before if who(sample) == "eth5"]
    assert {sample.series for sample in after} == {sample.series for sample in before if who(sample) != "eth5"}


def test_an_interface_that_is_renamed_is_the_same_one(hgx: Path) -> None:
    kernel, drivers = nic(hgx), ethtool(hgx)
    before = [*kernel.read(), *drivers.read()]
    (hgx / "sys/class/net/eth5").rename(hgx / "sys/class/net/fabric5")
    (hgx / "ethtool/eth5").rename(hgx / "ethtool/fabric5")
    table = hgx / "proc/net/dev"
    table.write_text(table.read_text().replace("eth5:", "fabric5:"))
    after = [*kernel.read(), *drivers.read()]
    (place,) = {who(sample, "hw.id") for sample in before if who(sample) == "eth5"}
    assert {who(sample, "hw.id") for sample in after if who(sample) == "fabric5"} == {place}
    assert values(after, "hw.network.io", hw_id=place) == values(before, "hw.network.io", hw_id=place)
    others = {sample.series for sample in after if who(sample) != "fabric5"}
    assert others == {sample.series for sample in before if who(sample) != "eth5"}


def test_what_seldom_changes_is_read_again_when_the_link_changed(hgx: Path) -> None:
    reader = nic(hgx)
    list(reader.read())
    (hgx / "sys/class/net/eth0/speed").write_text("200000\n")
    assert values(list(reader.read()), "hw.network.bandwidth.limit", hw_name="eth0") == [50e9]
    (hgx / "sys/class/net/eth0/carrier_changes").write_text("4\n")
    assert values(list(reader.read()), "hw.network.bandwidth.limit", hw_name="eth0") == [25e9]


def test_what_seldom_changes_is_read_again_after_ten_seconds(hgx: Path) -> None:
    clock = FakeClock()
    reader = NicReader(node(hgx, clock=clock), SysNetDevices(hgx), TreeEthtool(hgx))
    list(reader.read())
    (hgx / "sys/class/net/eth0/mtu").write_text("1500\n")
    seen = set()
    for _ in range(10):
        clock.advance(1)
        seen |= {tuple(values(list(reader.read()), "joulespan.nic.mtu", hw_name="eth0"))}
    assert seen == {(9000.0,), (1500.0,)}


def test_a_link_that_is_down_has_no_speed_and_no_failure(hgx: Path) -> None:
    failures = Failures()
    told = list(nic(hgx, failures).read())
    assert values(told, "hw.network.up", hw_name="eno2") == [0]
    assert values(told, "hw.network.bandwidth.limit", hw_name="eno2") == []
    assert failures == []


def test_the_members_of_a_bond_are_counted_and_know_it(hgx: Path) -> None:
    told = list(nic(hgx).read())
    assert values(told, "joulespan.nic.bond.members", state="up") == [1]
    assert values(told, "joulespan.nic.bond.members", state="down") == [1]
    assert len(values(told, "joulespan.nic.info", hw_parent="bond0")) == 3  # Two members, and the VLAN on it.


def test_a_gpu_and_the_nic_behind_its_switch_are_nearest(hgx: Path) -> None:
    told = pairs(affinity(hgx))
    own = {(f"GPU-{index}", f"eth{index}") for index in range(8)}
    assert {(pair.gpu.id, pair.interface) for pair in told if pair.path == "PIX"} == own
    assert {(pair.gpu.id, pair.interface) for pair in told if pair.nearest == "true"} == own
    assert len(told) == 8 * 10


def test_switches_host_bridges_and_sockets_are_told_apart(folder: Path) -> None:
    told = of_the_first_gpu(affinity(plant("dgx-infiniband", folder)))
    assert told == {"ibp0s0": "PIX", "ibp1s0": "PXB", "ibp2s0": "SYS", "ibp3s0": "SYS", "enp5s0": "NODE"}


def test_on_a_superchip_the_numa_node_tells(folder: Path) -> None:
    told = of_the_first_gpu(affinity(plant("gb200-tray", folder)))
    assert told == {"ibp0": "NODE", "ibp1": "NODE", "ibp2": "SYS", "ibp3": "SYS", "enP6p1s0np0": "NODE"}


def test_gpus_of_another_machine_have_no_nics(hgx: Path) -> None:
    snapshots = Snapshots()
    snapshots.put_samples(Source("gpu_identity"), [GPU_INFO(GpuInfo(Gpu("GPU-1", "gpu0"), pci="0000:ff:1f.0"), 1)], 1)
    assert pairs(affinity(hgx, snapshots.current)) == []


class ManyPorts(SysRdmaPorts):
    """A node with four RDMA devices more than are read."""

    def scan(self, *, anew: bool = False) -> Sequence[Port]:
        one = super().scan(anew=anew)[0]
        return [one._replace(id=f"{number:04}") for number in range(MOST + 4)]


def test_ports_beyond_the_most_are_left_out_and_counted(hgx: Path) -> None:
    told = list(RdmaReader(node(hgx), ManyPorts(hgx)).read())
    assert len({sample.series.entity for sample in told if sample.series.metric is RDMA_UP}) == MOST
    assert [sample.value for sample in told if sample.series.metric is SERIES_DROPPED] == [4 * 24]


def test_a_node_without_rdma_says_so(folder: Path) -> None:
    with pytest.raises(NotSupported):
        list(rdma(plant(NO_RDMA, folder)).read())


def many(root: Path, number: int) -> Path:
    """Plant so many interfaces without hardware."""
    table = ["", ""]
    for index in range(number):
        base = root / f"sys/devices/virtual/net/nic{index}"
        base.mkdir(parents=True)
        for file, text in {"operstate": "up", "carrier_changes": "2", "mtu": "1500"}.items():
            (base / file).write_text(f"{text}\n")
        link = root / f"sys/class/net/nic{index}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(f"../../devices/virtual/net/nic{index}")
        table.append(f"nic{index}: " + " ".join([str(index)] * 16))
    (root / "proc/net").mkdir(parents=True)
    (root / "proc/net/dev").write_text("\n".join(table) + "\n")
    return root


def test_of_256_interfaces_each_is_read_and_one_that_breaks_or_goes_costs_no_other(folder: Path) -> None:
    root, failures = many(folder, 256), Failures()
    reader = nic(root, failures, include=("nic*",))
    before = reader.read()
    assert len(values(before, "hw.network.up")) == 256
    (root / "sys/class/net/nic7").unlink()
    broken = root / "sys/devices/virtual/net/nic9/operstate"
    anew = nic(root, failures, include=("nic*",))  # One that has not opened the file yet.
    broken.unlink()
    broken.mkdir()
    after = anew.read()
    lost = {sample.series for sample in before} - {sample.series for sample in after}
    assert {dict(attributes(series.entity))["hw.name"] for series in lost} == {"nic7", "nic9"}
    assert [series.metric.name for series in lost if "nic9" in str(series.entity)] == ["hw.network.up"]
    assert len(failures) == 1
    assert {sample.series for sample in reader.read()} == {sample.series for sample in before if who(sample) != "nic7"}


def test_interfaces_beyond_the_most_are_left_out_and_counted(folder: Path) -> None:
    told = nic(many(folder, 1030), include=("nic*",)).read()
    assert len(values(told, "hw.network.up")) == 1024
    assert values(told, "joulespan.nic.left_out", kind="virtual") == [6]
