# SPDX-License-Identifier: Apache-2.0
"""The mock NVML library, seen through the real nvidia-ml-py, follows waves.py and is the board it says it is."""

import time
from collections.abc import Iterator
from math import floor

import pytest

from agent.system.nvml import waves
from tests.mock_nvml.caller import NvmlCaller
from tests.mock_nvml.control import MockNvml
from tests.mock_nvml.readings import ALL_LINKS, MEMORY_V2, assert_follows, entries, field_call, status


@pytest.fixture(scope="module")
def nvml(mock_nvml: MockNvml) -> Iterator[NvmlCaller]:
    """Eight H100 without a fault."""
    with NvmlCaller(mock_nvml.env(keys={"pcie_sleep": 0})) as caller:
        yield caller


gpus = pytest.mark.parametrize("gpu", [0, 3, 7])


def test_energy_of_the_wave_is_the_integral_of_its_power() -> None:
    steps = 10_000
    start, end = 3.0, 48.7
    width = (end - start) / steps
    middle = sum(waves.power(5, start + (i + 0.5) * width) for i in range(steps)) * width
    assert waves.energy(5, end, start) == pytest.approx(middle, rel=1e-7)


@gpus
def test_energy_is_the_exact_integral_of_power_within_one_update(nvml: NvmlCaller, gpu: int) -> None:
    def wave(t: float) -> int:
        return waves.energy_counter(gpu, t)

    assert_follows(nvml, wave, ("nvmlDeviceGetTotalEnergyConsumption", {"gpu": gpu}))
    for field in (83, 191):
        assert_follows(nvml, wave, field_call(gpu, field), 0, "value", "ullVal")


@gpus
def test_power_is_shown_as_of_the_last_update(nvml: NvmlCaller, gpu: int) -> None:
    def instant(t: float) -> int:
        return floor(1000 * waves.power(gpu, waves.step_time(t)))

    def average(t: float) -> int:
        return floor(1000 * waves.power_average(gpu, waves.step_time(t)))

    def of_memory(t: float) -> int:
        return floor(1000 * waves.memory_power(waves.power_average(gpu, waves.step_time(t))))

    assert_follows(nvml, instant, field_call(gpu, 186), 0, "value", "uiVal")
    assert_follows(nvml, average, field_call(gpu, 185), 0, "value", "uiVal")
    assert_follows(nvml, average, ("nvmlDeviceGetPowerUsage", {"gpu": gpu}))
    assert_follows(nvml, of_memory, field_call(gpu, 185, 2), 0, "value", "uiVal")


def test_energy_stands_still_between_two_updates(nvml: NvmlCaller) -> None:
    seen = {nvml.value("nvmlDeviceGetTotalEnergyConsumption", {"gpu": 0}) for _ in range(20)}
    assert len(seen) <= 2


@gpus
def test_utilization_follows_its_wave(nvml: NvmlCaller, gpu: int) -> None:
    call = ("nvmlDeviceGetUtilizationRates", {"gpu": gpu})
    assert_follows(nvml, lambda t: waves.utilization(gpu, t), call, "gpu")
    assert_follows(nvml, lambda t: waves.memory_utilization(gpu, t), call, "memory")
    engines = ("Encoder", "Decoder", "Jpg", "Ofa")
    percents = tuple(nvml.value(f"nvmlDeviceGet{engine}Utilization", {"gpu": gpu})[0] for engine in engines)
    assert percents == waves.engine_utilization(gpu)


@gpus
def test_memory_v1_counts_what_the_driver_reserves_as_used_and_v2_does_not(nvml: NvmlCaller, gpu: int) -> None:
    v1 = ("nvmlDeviceGetMemoryInfo", {"gpu": gpu})
    v2 = (*v1, MEMORY_V2)
    assert_follows(nvml, lambda t: waves.memory_used(gpu, t) + waves.MEMORY_RESERVED, v1, "used")
    assert_follows(nvml, lambda t: waves.memory_used(gpu, t), v2, "used")
    both = nvml.value(*v2)
    assert both["total"] == waves.H100.memory_bytes
    assert both["used"] + both["free"] + both["reserved"] == both["total"]


@gpus
def test_temperatures_follow_their_waves(nvml: NvmlCaller, gpu: int) -> None:
    assert_follows(nvml, lambda t: waves.temperature(gpu, t), field_call(gpu, 308), 0, "value", "dVal")
    assert_follows(nvml, lambda t: floor(waves.memory_temperature(gpu, t)), field_call(gpu, 82), 0, "value", "uiVal")
    assert_follows(nvml, lambda t: floor(waves.temperature(gpu, t)), ("nvmlDeviceGetTemperatureV", {"gpu": gpu}, 0))
    assert_follows(
        nvml, lambda t: floor(waves.hotspot_temperature(gpu, t)), ("nvmlDeviceGetTemperatureV", {"gpu": gpu}, 1)
    )
    assert_follows(
        nvml, lambda t: 87 - floor(waves.temperature(gpu, t)), ("nvmlDeviceGetMarginTemperature", {"gpu": gpu})
    )
    assert entries(nvml, gpu, 193, 194, 195, 196) == [-5, -2, 0, 0]


@gpus
def test_clocks_follow_their_waves(nvml: NvmlCaller, gpu: int) -> None:
    assert_follows(nvml, lambda t: waves.sm_clock(gpu, t), ("nvmlDeviceGetClockInfo", {"gpu": gpu}, 1))
    assert nvml.value("nvmlDeviceGetClockInfo", {"gpu": gpu}, 2) == waves.H100.memory_mhz
    assert nvml.value("nvmlDeviceGetMaxClockInfo", {"gpu": gpu}, 1) == waves.H100.sm_mhz


@gpus
def test_pcie_counters_wrap_at_32_bits(nvml: NvmlCaller, gpu: int) -> None:
    for side, field in enumerate((197, 198)):
        answer = nvml.call(*field_call(gpu, field))
        low, high = (waves.pcie_counters(gpu, t)[side] for t in (answer.before, answer.after))
        value = answer.value[0]["value"]["uiVal"]
        assert (value - low) & 0xFFFFFFFF <= (high - low) & 0xFFFFFFFF
        rate = nvml.value("nvmlDeviceGetPcieThroughput", {"gpu": gpu}, side)
        assert rate == floor(waves.pcie_rates(gpu)[side] / 1000)


@gpus
@pytest.mark.parametrize("link", [0, 17])
def test_nvlink_counters_follow_their_waves_in_kib(nvml: NvmlCaller, gpu: int, link: int) -> None:
    def sent(t: float) -> int:
        return floor(waves.nvlink_bytes(gpu, link, t)[0] / 1024)

    def received(t: float) -> int:
        return floor(waves.nvlink_bytes(gpu, link, t)[1] / 1024)

    assert_follows(nvml, sent, field_call(gpu, 138, link), 0, "value", "ullVal")
    assert_follows(nvml, received, field_call(gpu, 139, link), 0, "value", "ullVal")
    assert tuple(entries(nvml, gpu, (161, link), (162, link), (163, link))) == waves.nvlink_errors(gpu, link)


def test_the_scope_of_all_links_gives_their_sum(nvml: NvmlCaller) -> None:
    def total(t: float) -> int:
        return floor(sum(waves.nvlink_bytes(2, link, t)[0] for link in range(18)) / 1024)

    assert_follows(nvml, total, field_call(2, 138, ALL_LINKS), 0, "value", "ullVal")
    replays = sum(waves.nvlink_errors(2, link)[0] for link in range(18))
    assert entries(nvml, 2, (161, ALL_LINKS), 52) == [replays, replays]


@gpus
@pytest.mark.parametrize("field", [*sorted(set(waves.THROTTLE_SHARES) - {309}), 76])
def test_throttle_counters_grow_by_a_share_of_time(nvml: NvmlCaller, gpu: int, field: int) -> None:
    def wave(t: float) -> int:
        return floor(1e9 * waves.throttle_seconds(field, gpu, t))

    assert_follows(nvml, wave, field_call(gpu, field), 0, "value", "ullVal")


def test_a_power_sample_holds_the_wave_of_its_time(nvml: NvmlCaller) -> None:
    kind, samples = nvml.value("nvmlDeviceGetSamples", {"gpu": 1}, 0, 0)
    assert (kind, len(samples)) == (1, 120)
    shown = [sample["sampleValue"]["uiVal"] for sample in samples]
    now = time.monotonic()
    candidates = {floor(1000 * waves.power(1, waves.step_time(now - 0.1 * i + 0.05))) for i in range(200)}
    assert len(set(shown) - candidates) <= 2
    last = samples[-1]["timeStamp"]
    time.sleep(0.25)
    newer = nvml.value("nvmlDeviceGetSamples", {"gpu": 1}, 0, last)[1]
    assert 2 <= len(newer) <= 4
    assert all(sample["timeStamp"] > last for sample in newer)


def test_an_entry_that_fails_does_not_fail_its_neighbours(nvml: NvmlCaller) -> None:
    assert status(nvml, 0, 83, 5000, (185, 1), (138, 18), 186) == [0, 2, 3, 2, 0]


def test_an_entry_says_when_it_was_read(nvml: NvmlCaller) -> None:
    before = time.time()
    entry = nvml.value(*field_call(0, 83))[0]
    assert before - 0.01 <= entry["timestamp"] / 1e6 <= time.time() + 0.01


def gpm(caller: NvmlCaller, device: object, gap: float, *metrics: int) -> tuple[dict[int, float | None], float, float]:
    """Two samples and the metrics between them (None where not supported), with the times of the samples."""
    samples = [caller.value("nvmlGpmSampleAlloc") for _ in range(2)]
    first = caller.call("nvmlGpmSampleGet", device, samples[0])
    time.sleep(gap)
    second = caller.call("nvmlGpmSampleGet", device, samples[1])
    asked = {
        "struct": "c_nvmlGpmMetricsGet_t",
        "version": 1,
        "numMetrics": len(metrics),
        "sample1": samples[0],
        "sample2": samples[1],
        "metrics": [{"metricId": m} for m in metrics],
    }
    got = caller.value("nvmlGpmMetricsGet", asked)["metrics"][: len(metrics)]
    return {m["metricId"]: None if m["nvmlReturn"] else m["value"] for m in got}, first.before, second.after


def test_gpm_metrics_are_means_between_two_samples(nvml: NvmlCaller) -> None:
    got, start, end = gpm(nvml, {"gpu": 3}, 0.15, *waves.GPM_SHARES, 20, 61, 62, 97, 166, 212, 100, 500)
    for metric in waves.GPM_SHARES:
        assert got[metric] == pytest.approx(waves.gpm_percent(metric, 3, start, end), abs=0.1)
    mib = float(waves.MIB)
    assert got[20] == pytest.approx(waves.pcie_rates(3)[0] / mib)
    assert got[61] == pytest.approx(sum(waves.nvlink_rates(3, link)[0] for link in range(18)) / mib)
    assert got[62] == pytest.approx(waves.nvlink_rates(3, 0)[1] / mib)
    assert got[97] == pytest.approx(waves.nvlink_rates(3, 17)[0] / mib)
    assert [got[m] for m in (166, 212, 100, 500)] == [None] * 4


def test_gpm_totals_since_reboot_are_integrals_of_the_same_waves(nvml: NvmlCaller) -> None:
    got, start, end = gpm(nvml, {"gpu": 1}, 0.12, 248, 249, 256, 260, 262, 404)
    assert got[248] == pytest.approx(1.5e9 * end, rel=1e-4)
    assert got[249] == pytest.approx(1.5e9 * 0.9 * (waves.busy_seconds(1, end) - waves.busy_seconds(1, 0.0)), rel=1e-4)
    assert got[256] == pytest.approx(waves.pcie_rates(1)[1] * end, rel=1e-4)
    assert got[260] == pytest.approx(1.5e9 * 0.1 * waves.busy_seconds(1, end), rel=1e-4)
    assert got[262] == pytest.approx(waves.nvlink_bytes(1, 0, end)[0], rel=1e-4)
    assert got[404] is None
    assert end > start


def test_gpm_samples_less_than_100_ms_apart_are_refused(nvml: NvmlCaller) -> None:
    with pytest.raises(AssertionError, match="INVALID_STATE"):
        gpm(nvml, {"gpu": 0}, 0.0, 2)


def test_gpm_works_on_a_mig_instance_without_its_links(mock_nvml: MockNvml) -> None:
    with NvmlCaller(mock_nvml.env(keys={"mig.0": 1})) as caller:
        got, start, end = gpm(caller, {"mig": [0, 0]}, 0.12, 2, 60)
        assert got[2] == pytest.approx(waves.gpm_percent(2, 0, start, end), abs=0.1)
        assert got[60] is None
        sample = caller.value("nvmlGpmSampleAlloc")
        assert caller.error("nvmlGpmMigSampleGet", {"gpu": 0}, 7, sample) is None
        assert caller.error("nvmlGpmMigSampleGet", {"gpu": 0}, 9, sample) == "INVALID_ARGUMENT"


def test_gpus_are_found_by_index_uuid_and_address(nvml: NvmlCaller) -> None:
    assert nvml.value("nvmlDeviceGetCount") == 8
    uuids = [nvml.value("nvmlDeviceGetUUID", {"gpu": gpu}) for gpu in range(8)]
    assert uuids == [waves.uuid(gpu) for gpu in range(8)]
    serials = {nvml.value("nvmlDeviceGetSerial", {"gpu": gpu}) for gpu in range(8)}
    assert len(serials) == 8
    address = nvml.value("nvmlDeviceGetPciInfo", {"gpu": 3})["busId"]
    handle = nvml.value("nvmlDeviceGetHandleByPciBusId", address)
    assert nvml.value("nvmlDeviceGetIndex", handle) == 3
    assert nvml.error("nvmlDeviceGetHandleByIndex", 8) == "INVALID_ARGUMENT"
    assert nvml.error("nvmlDeviceGetHandleByUUID", "GPU-none") == "NOT_FOUND"


@pytest.mark.parametrize("key", sorted(waves.MODELS))
def test_a_model_has_its_name_sizes_and_power(mock_nvml: MockNvml, key: str) -> None:
    model = waves.MODELS[key]
    with NvmlCaller(mock_nvml.env(keys={"model": key, "gpus": 4})) as caller:
        assert caller.value("nvmlDeviceGetCount") == 4
        assert caller.value("nvmlDeviceGetName", {"gpu": 0}) == model.name
        assert caller.value("nvmlDeviceGetMemoryInfo", {"gpu": 0})["total"] == model.memory_bytes
        assert caller.value("nvmlDeviceGetEnforcedPowerLimit", {"gpu": 0}) == 1000 * model.limit_watts
        assert caller.value("nvmlDeviceGetMaxClockInfo", {"gpu": 0}, 2) == model.memory_mhz
        expected = [model.links, model.link_mbps] if model.links else [-3, -3]
        assert entries(caller, 0, 91, (164, 0)) == expected
        call = ("nvmlDeviceGetTotalEnergyConsumption", {"gpu": 3})
        assert_follows(caller, lambda t: waves.energy_counter(3, t, model=model), call)


def test_a_gb200_has_module_power_nvlink_5_a_clique_and_a_place_in_its_rack(mock_nvml: MockNvml) -> None:
    model = waves.MODELS["gb200"]
    with NvmlCaller(mock_nvml.env(keys={"model": "gb200", "gpus": 4})) as caller:
        call = field_call(0, 186, 1)
        assert_follows(
            caller,
            lambda t: floor(1000 * waves.module_power(waves.power(0, waves.step_time(t), model))),
            call,
            0,
            "value",
            "uiVal",
        )
        assert status(caller, 0, (161, 0), (162, 0), (163, 0), 38) == [3, 3, 3, 3]
        assert_follows(
            caller, lambda t: floor(waves.nvlink_bytes(0, 2, t)[0]), field_call(0, 202, 2), 0, "value", "ullVal"
        )
        assert entries(caller, 0, (220, 0), (222, 0), (166, 0), 170) == [1 << 8 | 15, 15 << 8 | 255, 7, 10]
        assert entries(caller, 0, (219, ALL_LINKS))[0] == 7 * sum(range(18))
        info = caller.value("nvmlDeviceGetGpuFabricInfoV", {"gpu": 0}, {"ref": "c_nvmlGpuFabricInfo_v3_t"})
        assert (info["state"] & 0xFF, info["cliqueId"], info["healthMask"], info["healthSummary"]) == (3, 1, 0x51AA, 1)
        assert any(info["clusterUuid"])
        assert caller.value("nvmlDeviceGetC2cModeInfoV", {"gpu": 0})["isC2cEnabled"] == 1
        assert caller.value("nvmlDeviceGetAddressingMode", {"gpu": 0}) == 2
        assert [caller.value("nvmlDeviceGetModuleId", {"gpu": g}) for g in range(4)] == [2, 1, 4, 3]
        assert entries(caller, 0, 251, 254, 300) == [1, 1200, 0]


def test_an_a100_has_no_gpm_no_fabric_and_no_average_power(mock_nvml: MockNvml) -> None:
    model = waves.MODELS["a100"]
    with NvmlCaller(mock_nvml.env(keys={"model": "a100"})) as caller:
        assert caller.value("nvmlGpmQueryDeviceSupport", {"gpu": 0})["isSupportedDevice"] == 0
        fabric = {"ref": "c_nvmlGpuFabricInfo_v3_t"}
        assert caller.error("nvmlDeviceGetGpuFabricInfoV", {"gpu": 0}, fabric) == "NOT_SUPPORTED"
        assert status(caller, 0, 185, 186, (202, 0)) == [3, 0, 3]
        instant = ("nvmlDeviceGetPowerUsage", {"gpu": 0})
        assert_follows(caller, lambda t: floor(1000 * waves.power(0, waves.step_time(t), model)), instant)


def test_an_l40s_has_fans_and_neither_links_nor_hbm_nor_mig(mock_nvml: MockNvml) -> None:
    with NvmlCaller(mock_nvml.env(keys={"model": "l40s"})) as caller:
        assert caller.value("nvmlDeviceGetNumFans", {"gpu": 0}) == 2
        assert_follows(caller, lambda t: waves.fan_percent(1, t), ("nvmlDeviceGetFanSpeed_v2", {"gpu": 0}, 1))
        assert status(caller, 0, 82, (138, 0), 91) == [3, 3, 3]
        assert caller.error("nvmlDeviceGetMigMode", {"gpu": 0}) == "NOT_SUPPORTED"


def test_an_h100_has_no_fan(nvml: NvmlCaller) -> None:
    assert nvml.error("nvmlDeviceGetNumFans", {"gpu": 0}) == "NOT_SUPPORTED"
