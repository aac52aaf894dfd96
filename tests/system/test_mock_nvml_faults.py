# SPDX-License-Identifier: Apache-2.0
"""What the control of the mock NVML library switches on shows in the real nvidia-ml-py, and ends when it ends."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.system.nvml import waves
from tests.mock_nvml.caller import NvmlCaller
from tests.mock_nvml.control import ControlFile, MockNvml
from tests.mock_nvml.readings import ALL_LINKS, MEMORY_V2, assert_follows, entries, status

XID_EVENT = 8
FABRIC_V3 = 0x3000028


@pytest.fixture
def faulty(mock_nvml: MockNvml, nvml_control: ControlFile) -> Iterator[NvmlCaller]:
    """Eight H100 that follow the test's control file."""
    nvml_control.set(pcie_sleep=0)
    with NvmlCaller(mock_nvml.env(control=nvml_control)) as caller:
        yield caller


def test_a_lost_gpu_fails_every_call_and_the_others_go_on(faulty: NvmlCaller, nvml_control: ControlFile) -> None:
    nvml_control.set(**{"lost.2": 1})
    time.sleep(0.02)
    assert faulty.error("nvmlDeviceGetHandleByIndex", 2) == "GPU_IS_LOST"
    assert faulty.error("nvmlDeviceGetHandleByUUID", waves.uuid(2).encode().decode()) == "GPU_IS_LOST"
    assert faulty.error("nvmlDeviceGetPowerUsage", {"gpu": 3}) is None
    nvml_control.clear("lost.2")
    time.sleep(0.02)
    assert faulty.error("nvmlDeviceGetPowerUsage", {"gpu": 2}) is None


@pytest.mark.parametrize(
    "key", ["hang.gpu.1", "hang.nvmlDeviceGetPowerUsage", "hang.nvmlDeviceGetPowerUsage.1", "hang.all"]
)
def test_a_hung_call_answers_when_the_hang_ends(faulty: NvmlCaller, nvml_control: ControlFile, key: str) -> None:
    nvml_control.set(**{key: 1})
    time.sleep(0.02)
    faulty.send("nvmlDeviceGetPowerUsage", {"gpu": 1})
    assert faulty.receive(timeout=0.2) is None
    nvml_control.clear(key)
    answer = faulty.receive(timeout=1.0)
    assert answer
    assert answer.error is None


def test_a_hang_of_one_gpu_leaves_the_others_alone(faulty: NvmlCaller, nvml_control: ControlFile) -> None:
    nvml_control.set(**{"hang.gpu.1": 1})
    time.sleep(0.02)
    assert faulty.error("nvmlDeviceGetPowerUsage", {"gpu": 0}) is None
    assert faulty.error("nvmlSystemGetDriverVersion") is None


def test_a_function_can_fail_on_one_gpu_or_on_all(faulty: NvmlCaller, nvml_control: ControlFile) -> None:
    nvml_control.set(
        **{"error.nvmlDeviceGetMemoryInfo_v2.2": "UNKNOWN", "error.nvmlDeviceGetPowerUsage": "NO_PERMISSION"},
    )
    time.sleep(0.02)
    errors = [faulty.error("nvmlDeviceGetMemoryInfo", {"gpu": gpu}, MEMORY_V2) for gpu in (1, 2)]
    assert errors == [None, "UNKNOWN"]
    assert faulty.error("nvmlDeviceGetPowerUsage", {"gpu": 0}) == "NO_PERMISSION"


def test_an_old_driver_lacks_functions(mock_nvml: MockNvml) -> None:
    keys = {"missing": "nvmlDeviceGetTemperatureV,nvmlDeviceGetMemoryInfo_v2", "driver.version": "470.57.02"}
    with NvmlCaller(mock_nvml.env(keys=keys)) as old:
        assert old.value("nvmlSystemGetDriverVersion") == "470.57.02"
        assert old.error("nvmlDeviceGetTemperatureV", {"gpu": 0}, 0) == "FUNCTION_NOT_FOUND"
        assert old.error("nvmlDeviceGetMemoryInfo", {"gpu": 0}, MEMORY_V2) == "FUNCTION_NOT_FOUND"
        assert old.error("nvmlDeviceGetMemoryInfo", {"gpu": 0}) is None


def test_a_reloaded_driver_wants_a_new_init_and_counts_from_zero(faulty: NvmlCaller, nvml_control: ControlFile) -> None:
    nvml_control.set(driver="down")
    time.sleep(0.02)
    assert faulty.error("nvmlDeviceGetCount") == "UNINITIALIZED"
    assert faulty.error("nvmlInit") == "DRIVER_NOT_LOADED"
    t0 = time.monotonic()
    nvml_control.set(driver="up", **{"driver.t0": t0, "driver.version": "590.1"})
    time.sleep(0.02)
    assert faulty.error("nvmlDeviceGetCount") == "UNINITIALIZED"
    assert faulty.error("nvmlInit") is None
    assert faulty.value("nvmlSystemGetDriverVersion") == "590.1"
    time.sleep(0.2)
    assert_follows(
        faulty, lambda t: waves.energy_counter(0, t, t0), ("nvmlDeviceGetTotalEnergyConsumption", {"gpu": 0})
    )
    assert entries(faulty, 0, (138, 0))[0] < waves.nvlink_bytes(0, 0, 60.0)[0]


def test_init_is_counted(mock_nvml: MockNvml) -> None:
    with NvmlCaller(mock_nvml.env(), init=False) as caller:
        assert caller.error("nvmlDeviceGetCount") == "UNINITIALIZED"
        caller.value("nvmlInit")
        caller.value("nvmlInit")
        caller.value("nvmlShutdown")
        assert caller.error("nvmlDeviceGetCount") is None
        caller.value("nvmlShutdown")
        assert caller.error("nvmlDeviceGetCount") == "UNINITIALIZED"


def test_a_call_can_be_slow(mock_nvml: MockNvml) -> None:
    with NvmlCaller(mock_nvml.env(keys={"call_us": 20_000})) as slow:
        answer = slow.call("nvmlDeviceGetCount")
        assert answer.after - answer.before >= 0.02


def test_pcie_throughput_takes_20_ms_as_on_hardware(mock_nvml: MockNvml) -> None:
    with NvmlCaller(mock_nvml.env()) as caller:
        answer = caller.call("nvmlDeviceGetPcieThroughput", {"gpu": 0}, 0)
        assert answer.after - answer.before >= 0.02


def test_calls_are_counted(mock_nvml: MockNvml, tmp_path: Path) -> None:
    stats = tmp_path / "calls"
    with NvmlCaller(mock_nvml.env(stats=stats)) as caller:
        for _ in range(10):
            caller.value("nvmlDeviceGetCount")
        caller.finish()
    assert int(stats.read_text()) == 11


def test_ecc_fields_and_nvlink_counts_spoil_each_other_where_the_driver_has_that_bug(
    faulty: NvmlCaller,
    nvml_control: ControlFile,
) -> None:
    both = (3, (138, 0), 83)
    assert status(faulty, 0, *both) == [0, 0, 0]
    nvml_control.set(spoil=1)
    time.sleep(0.02)
    assert status(faulty, 0, *both) == [3, 3, 3]
    assert status(faulty, 0, 3, 83) == [0, 0]
    assert status(faulty, 0, (138, 0), 83) == [0, 0]


def test_one_field_can_fail_on_one_gpu(faulty: NvmlCaller, nvml_control: ControlFile) -> None:
    nvml_control.set(**{"fielderror.186.1": "NO_PERMISSION", "fielderror.82": "UNKNOWN"})
    time.sleep(0.02)
    assert status(faulty, 1, 186, 82, 83) == [4, 999, 0]
    assert status(faulty, 2, 186, 82, 83) == [0, 999, 0]


def event_set(caller: NvmlCaller, *gpus: int) -> object:
    """A set registered for the XIDs of these GPUs."""
    events = caller.value("nvmlEventSetCreate")
    for gpu in gpus:
        caller.value("nvmlDeviceRegisterEvents", {"gpu": gpu}, XID_EVENT, events)
    return events


def test_an_xid_is_delivered_once(faulty: NvmlCaller, nvml_control: ControlFile) -> None:
    events = event_set(faulty, 0, 1)
    nvml_control.set(**{"xid.1": "1:79"})
    event = faulty.value("nvmlEventSetWait_v2", events, 1000)
    assert (event["eventType"], event["eventData"]) == (XID_EVENT, 79)
    assert faulty.error("nvmlEventSetWait_v2", events, 50) == "TIMEOUT"
    nvml_control.set(**{"xid.1": "1:79,2:48,3:79", "xid.2": "1:13"})
    codes = [faulty.value("nvmlEventSetWait_v2", events, 1000)["eventData"] for _ in range(2)]
    assert codes == [48, 79]
    assert faulty.error("nvmlEventSetWait_v2", events, 50) == "TIMEOUT"


def test_every_event_set_gets_an_xid(faulty: NvmlCaller, nvml_control: ControlFile) -> None:
    sets = [event_set(faulty, 4) for _ in range(2)]
    nvml_control.set(**{"xid.4": "7:119"})
    assert [faulty.value("nvmlEventSetWait_v2", s, 1000)["eventData"] for s in sets] == [119, 119]


def test_an_xid_from_before_the_start_is_not_delivered(mock_nvml: MockNvml, nvml_control: ControlFile) -> None:
    nvml_control.set(**{"xid.0": "5:79"})
    with NvmlCaller(mock_nvml.env(control=nvml_control)) as caller:
        events = event_set(caller, 0)
        assert caller.error("nvmlEventSetWait_v2", events, 50) == "TIMEOUT"
        nvml_control.set(**{"xid.0": "5:79,6:31"})
        assert caller.value("nvmlEventSetWait_v2", events, 1000)["eventData"] == 31


def test_events_of_other_gpus_arrive_while_one_is_lost(faulty: NvmlCaller, nvml_control: ControlFile) -> None:
    events = event_set(faulty, 0, 1)
    nvml_control.set(**{"lost.0": 1, "xid.1": "1:94"})
    assert faulty.value("nvmlEventSetWait_v2", events, 1000)["eventData"] == 94


def test_a_wait_hangs_with_the_driver(faulty: NvmlCaller, nvml_control: ControlFile) -> None:
    events = event_set(faulty, 0)
    nvml_control.set(**{"hang.all": 1})
    faulty.send("nvmlEventSetWait_v2", events, 20)
    assert faulty.receive(timeout=0.3) is None
    nvml_control.clear("hang.all")
    answer = faulty.receive(timeout=1.0)
    assert answer
    assert answer.error == "TIMEOUT"


def test_ecc_errors_add_to_the_volatile_and_the_aggregate_counts(faulty: NvmlCaller, nvml_control: ControlFile) -> None:
    assert entries(faulty, 3, 3, 4, 5, 6) == [0, 0, 3, 0]
    nvml_control.set(**{"ecc.3": "5,1"})
    time.sleep(0.02)
    assert entries(faulty, 3, 3, 4, 5, 6) == [5, 1, 8, 1]
    assert faulty.value("nvmlDeviceGetTotalEccErrors", {"gpu": 3}, 1, 0) == 1
    assert faulty.value("nvmlDeviceGetMemoryErrorCounter", {"gpu": 3}, 0, 1, 2) == 8


def test_rows_are_remapped(faulty: NvmlCaller, nvml_control: ControlFile) -> None:
    nvml_control.set(**{"remap.5": "2,1,1,0", "recovery.5": 2})
    time.sleep(0.02)
    assert faulty.value("nvmlDeviceGetRemappedRows", {"gpu": 5}) == [2, 1, 1, 0]
    assert entries(faulty, 5, 142, 143, 144, 145, 230) == [2, 1, 1, 0, 2]


def test_a_link_that_goes_down_keeps_its_state_and_loses_its_counters(
    faulty: NvmlCaller,
    nvml_control: ControlFile,
) -> None:
    before = entries(faulty, 0, (138, ALL_LINKS))[0]
    nvml_control.set(**{"link.0.4": 0})
    time.sleep(0.02)
    assert entries(faulty, 0, (165, 4), (164, 4), (138, 4), (161, 4)) == [0, 0, -3, -3]
    assert entries(faulty, 0, (165, 5), (164, 5)) == [1, waves.H100.link_mbps]
    assert faulty.value("nvmlDeviceGetNvLinkState", {"gpu": 0}, 4) == 0
    assert entries(faulty, 0, (138, ALL_LINKS))[0] > before


def test_a_throttle_reason_counts_while_it_is_set(faulty: NvmlCaller, nvml_control: ControlFile) -> None:
    def held() -> list[int]:
        return entries(faulty, 0, 270, 271)

    before = held()
    nvml_control.set(**{"throttle.0": "0x40"})
    time.sleep(0.02)
    assert faulty.value("nvmlDeviceGetCurrentClocksEventReasons", {"gpu": 0}) == 0x40
    time.sleep(0.3)
    grown = [(b - a) / 1e9 for a, b in zip(before, held(), strict=True)]
    assert grown[0] == pytest.approx(0.31, abs=0.1)
    assert grown[1] < 0.01
    nvml_control.clear("throttle.0")
    time.sleep(0.02)
    rest = held()[0]
    time.sleep(0.1)
    assert (held()[0] - rest) / 1e9 < 0.01


def test_fabric_health_can_be_set(faulty: NvmlCaller, nvml_control: ControlFile) -> None:
    call = ("nvmlDeviceGetGpuFabricInfoV", {"gpu": 0}, {"ref": "c_nvmlGpuFabricInfo_v3_t", "version": FABRIC_V3})
    assert faulty.value(*call)["state"] == 3
    nvml_control.set(**{"fabric.0": "3,0,0x51,2"})
    time.sleep(0.02)
    info = faulty.value(*call)
    assert (info["state"], info["status"], info["healthMask"], info["healthSummary"]) == (3, 0, 0x51, 2)


def test_sram_status_is_for_root(faulty: NvmlCaller, nvml_control: ControlFile) -> None:
    status_v1 = {"ref": "c_nvmlEccSramErrorStatus_v1_t"}
    call = ("nvmlDeviceGetSramEccErrorStatus", {"gpu": 1}, status_v1)
    assert faulty.error(*call) == "NO_PERMISSION"
    nvml_control.set(root=1)
    time.sleep(0.02)
    assert faulty.value(*call)["aggregateCor"] == 1


def test_processes_are_listed_by_kind(mock_nvml: MockNvml) -> None:
    keys = {"procs.*": "101:2048:C,102:16:G", "procs.1": "7:1:C"}
    with NvmlCaller(mock_nvml.env(keys=keys)) as caller:
        compute = caller.value("nvmlDeviceGetComputeRunningProcesses", {"gpu": 0})
        assert [(p["pid"], p["usedGpuMemory"]) for p in compute] == [(101, 2048 << 20)]
        graphics = caller.value("nvmlDeviceGetGraphicsRunningProcesses", {"gpu": 0})
        assert [p["pid"] for p in graphics] == [102]
        details = caller.value("nvmlDeviceGetRunningProcessDetailList", {"gpu": 0}, 0x1000018, 3)
        assert [p["pid"] for p in details] == [101, 102]
        assert [p["pid"] for p in caller.value("nvmlDeviceGetComputeRunningProcesses", {"gpu": 1})] == [7]
        for function in ("nvmlDeviceGetProcessUtilization", "nvmlDeviceGetProcessesUtilizationInfo"):
            samples = caller.value(function, {"gpu": 0}, 0)
            assert [s["pid"] for s in samples] == [101, 102]
            assert all(s["smUtil"] <= waves.utilization(0, time.monotonic()) // 2 + 6 for s in samples)
            assert caller.error(function, {"gpu": 0}, max(s["timeStamp"] for s in samples) + 10**7) == "NOT_FOUND"


def test_an_idle_gpu_has_no_process(faulty: NvmlCaller) -> None:
    assert faulty.value("nvmlDeviceGetComputeRunningProcesses", {"gpu": 0}) == []
    assert faulty.error("nvmlDeviceGetProcessUtilization", {"gpu": 0}, 0) == "NOT_FOUND"


@pytest.mark.parametrize(("instances", "indices"), [(0, []), (2, [0, 1]), (3, [0, 2, 3]), (7, list(range(7)))])
def test_mig_instances_have_a_hole_at_index_1(mock_nvml: MockNvml, instances: int, indices: list[int]) -> None:
    with NvmlCaller(mock_nvml.env(keys={"mig.1": instances})) as caller:
        assert caller.value("nvmlDeviceGetMigMode", {"gpu": 1}) == [1, 1]
        assert caller.value("nvmlDeviceGetMigMode", {"gpu": 0}) == [0, 0]
        count = caller.value("nvmlDeviceGetMaxMigDeviceCount", {"gpu": 1})
        errors = [caller.error("nvmlDeviceGetMigDeviceHandleByIndex", {"gpu": 1}, i) for i in range(count)]
        assert [i for i, error in enumerate(errors) if error is None] == indices
        assert set(errors) <= {None, "NOT_FOUND"}


def test_a_mig_instance_tells_of_itself_and_the_whole_gpu_no_longer_of_its_utilization(mock_nvml: MockNvml) -> None:
    keys = {"mig.2": 2, "procs.2": "11:1:C,12:1:C"}
    mig, gpu = {"mig": [2, 1]}, {"gpu": 2}
    with NvmlCaller(mock_nvml.env(keys=keys)) as caller:
        assert caller.value("nvmlDeviceGetUUID", mig) == waves.mig_uuid(2, 1)
        assert caller.value("nvmlDeviceGetName", mig).endswith("MIG 1g.10gb")
        assert caller.value("nvmlDeviceGetGpuInstanceId", mig) == 8
        assert caller.value("nvmlDeviceGetComputeInstanceId", mig) == 0
        assert caller.value("nvmlDeviceGetAttributes_v2", mig)["memorySizeMB"] == 9728
        parent = caller.value("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", mig)
        assert caller.value("nvmlDeviceGetIndex", parent) == 2
        assert [p["pid"] for p in caller.value("nvmlDeviceGetComputeRunningProcesses", mig)] == [12]
        assert_follows(
            caller, lambda t: waves.memory_used(2, t) // 8, ("nvmlDeviceGetMemoryInfo", mig, MEMORY_V2), "used"
        )
        assert caller.error("nvmlDeviceGetPowerUsage", mig) == "NOT_SUPPORTED"
        assert caller.error("nvmlDeviceGetUtilizationRates", gpu) == "NOT_SUPPORTED"
        assert caller.error("nvmlDeviceGetEncoderUtilization", gpu) == "NOT_SUPPORTED"
        assert caller.error("nvmlDeviceGetRemappedRows", gpu) == "NOT_SUPPORTED"
        assert caller.error("nvmlDeviceGetComputeRunningProcesses", gpu) == "NO_PERMISSION"
        assert caller.error("nvmlDeviceGetPowerUsage", gpu) is None
