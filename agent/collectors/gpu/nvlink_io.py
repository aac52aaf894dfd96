# SPDX-License-Identifier: Apache-2.0
"""Bytes of every NVLink of every GPU."""

from agent.catalogue.links import NVLINK_IO, NVLINK_PACKETS, NVLINK_RAW_IO
from agent.collectors.gpu import Cadence, FieldSamples, GpuCollector, Read, Target
from agent.collectors.gpu.nvlink import link_count
from agent.entities import NvLinkIo
from agent.metric import Series
from agent.system.nvml import fields as nvml
from agent.system.nvml.fields import Field


def _open(target: Target) -> Read:
    fields: dict[Series, Field | tuple[Field, ...]] = {}
    for link in range(link_count(target.device)):
        transmit, receive = NvLinkIo(target.gpu, link, "transmit"), NvLinkIo(target.gpu, link, "receive")
        fields[NVLINK_IO.series(transmit)] = (nvml.NVLINK5_TX_BYTES.of(link), nvml.NVLINK_TX.of(link))
        fields[NVLINK_IO.series(receive)] = (nvml.NVLINK5_RX_BYTES.of(link), nvml.NVLINK_RX.of(link))
        if target.detail:
            fields[NVLINK_RAW_IO.series(transmit)] = nvml.NVLINK_RAW_TX.of(link)
            fields[NVLINK_RAW_IO.series(receive)] = nvml.NVLINK_RAW_RX.of(link)
            fields[NVLINK_PACKETS.series(transmit)] = nvml.NVLINK5_TX_PACKETS.of(link)
            fields[NVLINK_PACKETS.series(receive)] = nvml.NVLINK5_RX_PACKETS.of(link)
    return FieldSamples(target.device, fields).samples


COLLECTOR = GpuCollector("gpu_nvlink_io", Cadence.NORMAL, _open)
