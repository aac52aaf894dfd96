# SPDX-License-Identifier: Apache-2.0
"""dcgm-exporter's names: its labels, its units, and both formats."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from agent.catalogue import gpu, health
from agent.catalogue.dcgm import NAMES
from agent.catalogue.owners import GPU_OWNER
from agent.clock import NS, FakeClock
from agent.collectors.gpu import Target, discover
from agent.entities import Gpu, GpuClock, GpuInfo, GpuPipe, GpuTask, GpuXid
from agent.metric import Sample
from agent.owner_entities import GpuOwner, Owner
from agent.snapshot import Snapshot, Snapshots, Source
from agent.system.nvml.fake import FakeLibrary
from exporters.dcgm import DcgmWriter
from exporters.prometheus import Format

GPU = Gpu("GPU-1", "gpu3")
INFO = GpuInfo(GPU, model="NVIDIA H100", driver="580.1", pci="0000:1b:00.0", nvml_index=3, minor=4)
LABELS = {
    "gpu": "3",
    "UUID": "GPU-1",
    "pci_bus_id": "00000000:1B:00.0",
    "device": "nvidia4",
    "modelName": "NVIDIA H100",
    "hostname": "node",
    "DCGM_FI_DRIVER_VERSION": "580.1",
}


def snapshot(*more: Sample) -> Snapshot:
    snapshots = Snapshots()
    samples = [
        gpu.GPU_INFO(INFO, 1),
        gpu.ENERGY(GPU, 12.5),
        gpu.GPU_UTILIZATION(GpuTask(GPU, "general"), 0.57),
        gpu.GPU_UTILIZATION(GpuTask(GPU, "jpeg"), 0.1),
        gpu.CLOCK(GpuClock(GPU, "sm"), 1.98e9),
        gpu.MEMORY_USAGE(GPU, 1 << 30),
        gpu.PIPE_ACTIVE(GpuPipe(GPU, "any_tensor"), 0.25),
        *more,
    ]
    snapshots.put_samples(Source("test", GPU.id), samples, FakeClock().monotonic_ns())
    return snapshots.current


def test_values_are_in_the_units_of_dcgm() -> None:
    text = DcgmWriter("node").write(snapshot(), Format.TEXT)
    # The parser gives every counter a _total that it may not have.
    found = {one.name.removesuffix("_total"): one.value for family in read_text(text) for one in family.samples}
    assert found == {
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": 12500,
        "DCGM_FI_DEV_GPU_UTIL": 57,
        "DCGM_FI_DEV_SM_CLOCK": 1980,
        "DCGM_FI_DEV_FB_USED": 1024,
        "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": 0.25,
        "DCGM_FI_DEV_XID_ERRORS": 0,
    }


@pytest.mark.parametrize("form", Format)
def test_every_series_has_the_labels_of_dcgm_exporter(form: Format) -> None:
    text = DcgmWriter("node").write(snapshot(), form)
    read = read_text if form is Format.TEXT else read_openmetrics
    end = "" if form is Format.TEXT else "# EOF\n"
    for family in read(text + end):
        for sample in family.samples:
            assert sample.labels == LABELS


def test_the_xid_is_the_last_one() -> None:
    seen = [health.XID_LAST_SEEN(GpuXid(GPU, 31), 100), health.XID_LAST_SEEN(GpuXid(GPU, 79), 200)]
    text = DcgmWriter("node").write(snapshot(*seen), Format.TEXT)
    (line,) = [line for line in text.splitlines() if line.startswith("DCGM_FI_DEV_XID")]
    assert line.endswith(" 79")


@pytest.mark.parametrize(
    ("form", "kind"), [(Format.TEXT, "counter"), (Format.OPENMETRICS, "unknown")], ids=["text", "openmetrics"]
)
def test_a_counter_keeps_its_name_and_is_of_a_type_that_allows_it(form: Format, kind: str) -> None:
    text = DcgmWriter("node").write(snapshot(), form)
    assert f"# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION {kind}\n" in text
    assert "# TYPE DCGM_FI_DEV_GPU_UTIL gauge\n" in text


def owner(shared: str, who: Owner) -> Sample:
    return GPU_OWNER(GpuOwner(GPU.id, None, "a", "pod", "pod_resources", shared, who), 1)


def test_a_gpu_that_is_ones_alone_has_the_labels_of_its_pod_or_job() -> None:
    def labels(*more: Sample) -> dict[str, str]:
        text = DcgmWriter("node").write(snapshot(*more), Format.TEXT)
        (told,) = {tuple(one.labels.items()) for family in read_text(text) for one in family.samples}
        return dict(told)

    pod = Owner(namespace="ml", pod="llama-0", pod_container="vllm", pod_uid="u")
    assert labels(owner("false", pod)) == LABELS | {"container": "vllm", "namespace": "ml", "pod": "llama-0"}
    assert labels(owner("false", Owner(slurm_job="7"))) == LABELS | {"hpc_job": "7"}
    assert labels(owner("true", pod)) == LABELS


def test_what_is_not_known_of_a_gpu_is_no_label() -> None:
    snapshots = Snapshots()
    snapshots.put_samples(Source("test"), [gpu.GPU_INFO(GpuInfo(GPU), 1), gpu.MEMORY_FREE(GPU, 1 << 20)], 0)
    lines = DcgmWriter("node").write(snapshots.current, Format.TEXT).splitlines()
    assert lines[1] == 'DCGM_FI_DEV_FB_FREE{UUID="GPU-1",hostname="node"} 1.0'


def test_every_name_has_a_source_among_the_collectors() -> None:
    clock = FakeClock()
    library = FakeLibrary(1, now=lambda: clock.now / NS)
    device = library.open(0)
    target = Target(Gpu(device.identity.uuid, "gpu0"), device, detail=True, driver_version=library.driver_version)
    reads = {collector.name: collector.open(target) for collector in discover()}
    snapshots = Snapshots()
    for _ in range(2):  # What is measured between two readings is there from the second on.
        for name, read in reads.items():
            snapshots.put_samples(Source(name), read(), 0)
        clock.advance(1)
    text = DcgmWriter("node").write(snapshots.current, Format.TEXT)
    told = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    assert told == NAMES


def test_nothing_is_written_without_gpus() -> None:
    assert DcgmWriter("node").write(Snapshots().current, Format.TEXT) == ""
