# SPDX-License-Identifier: Apache-2.0
"""State, speed and errors of every NVLink of every GPU."""

from collections.abc import Iterable

from agent.catalogue.links import NVLINK_BANDWIDTH, NVLINK_BER, NVLINK_ERRORS, NVLINK_INFO, NVLINK_STATE
from agent.collectors.gpu import Cadence, FieldSamples, GpuCollector, Read, Target
from agent.entities import Gpu, NvLink, NvLinkError, NvLinkInfo, NvLinkState
from agent.metric import Sample, Series
from agent.system.nvml import fields as nvml
from agent.system.nvml.device import Device
from agent.system.nvml.fields import Field
from agent.system.nvml.names import NVLINK_STATES, NVLINK_VERSIONS

MAX_LINKS = 72
"""More than any GPU has: Rubin's GPM counts 72."""

_ERRORS = {
    "replay": (nvml.NVLINK_REPLAY,),
    "recovery": (nvml.NVLINK5_RECOVERED, nvml.NVLINK_RECOVERY),
    "crc": (nvml.NVLINK_CRC,),
    "recovery_failed": (nvml.NVLINK5_RECOVERY_FAILED,),
    "effective": (nvml.NVLINK5_EFFECTIVE,),
}
"""By default; the first that the generation has."""
_DETAIL = {
    "receive": (nvml.NVLINK5_RECEIVE,),
    "discard": (nvml.NVLINK5_DISCARDS,),
    "malformed": (nvml.NVLINK5_MALFORMED,),
    "buffer_overrun": (nvml.NVLINK5_OVERRUN,),
    "remote": (nvml.NVLINK5_REMOTE,),
    "general": (nvml.NVLINK5_GENERAL,),
    "link_integrity": (nvml.NVLINK5_INTEGRITY,),
    "symbol": (nvml.NVLINK5_SYMBOL,),
    "plr_retry": (nvml.NVLINK5_PLR_RETRIES,),
    **{f"fec_bin_{number}": (field,) for number, field in enumerate(nvml.NVLINK5_FEC_BINS)},
}
_BER_DETAIL = {
    "effective": nvml.NVLINK5_EFFECTIVE_BER,
    "symbol": nvml.NVLINK5_SYMBOL_BER,
    "raw": nvml.NVLINK5_RAW_BER,
}


def link_count(device: Device) -> int:
    """Count the NVLinks of a GPU; where the driver does not say, those that have a state."""
    (count,) = device.fields([nvml.NVLINK_COUNT]).read()
    if count is not None:
        return min(int(count), MAX_LINKS)
    states = device.fields([nvml.NVLINK_STATE.of(link) for link in range(MAX_LINKS)]).read()
    return max((link + 1 for link, state in enumerate(states) if state is not None), default=0)


def _fields(gpu: Gpu, link: int, *, detail: bool) -> dict[Series, Field | tuple[Field, ...]]:
    errors = {**_ERRORS, **(_DETAIL if detail else {})}
    rates = _BER_DETAIL if detail else {}
    return {
        NVLINK_BANDWIDTH.series(NvLink(gpu, link)): nvml.NVLINK_SPEED.of(link),
        **{
            NVLINK_ERRORS.series(NvLinkError(gpu, link, error)): tuple(field.of(link) for field in some)
            for error, some in errors.items()
        },
        **{NVLINK_BER.series(NvLinkError(gpu, link, rate)): field.of(link) for rate, field in rates.items()},
    }


def _open(target: Target) -> Read:
    gpu, device = target.gpu, target.device
    links = range(link_count(device))
    states = device.fields([nvml.NVLINK_STATE.of(link) for link in links])
    version = device.fields([nvml.NVLINK_VERSION.of(link) for link in links])
    batch = FieldSamples(
        device,
        {series: field for link in links for series, field in _fields(gpu, link, detail=target.detail).items()},
    )

    def read() -> Iterable[Sample]:
        for link, state in enumerate(states.read()):
            if state is not None:
                yield NVLINK_STATE(NvLinkState(gpu, link, NVLINK_STATES.get(int(state), str(int(state)))), 1)
        if versions := [value for value in version.read() if value]:
            number = int(versions[0])
            yield NVLINK_INFO(NvLinkInfo(gpu, NVLINK_VERSIONS.get(number, f"enum {number}")), 1)
        yield from batch.samples()

    return read


COLLECTOR = GpuCollector("gpu_nvlink", Cadence.SLOW, _open)
