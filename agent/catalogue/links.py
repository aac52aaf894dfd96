# SPDX-License-Identifier: Apache-2.0
"""What the links carry: NVLink, C2C and PCIe."""

from agent.entities import Gpu, GpuError, GpuIo, NvLink, NvLinkError, NvLinkInfo, NvLinkIo, NvLinkState
from agent.metric import Counter, Gauge, Info
from agent.unit import Unit

NVLINK_INFO = Info("joulespan.nvlink.info", NvLinkInfo, "NVLink generation of a GPU.")
NVLINK_STATE = Gauge(
    "joulespan.nvlink.state", Unit.NONE, NvLinkState, "1 for the state the link is in; sleep is normal when idle."
)
NVLINK_BANDWIDTH = Gauge(
    "joulespan.nvlink.bandwidth.limit", Unit.BYTES_PER_SECOND, NvLink, "Speed of the link in one direction."
)
NVLINK_IO = Counter("joulespan.nvlink.io", Unit.BYTES, NvLinkIo, "Payload bytes of the link.")
NVLINK_RAW_IO = Counter("joulespan.nvlink.raw_io", Unit.BYTES, NvLinkIo, "Bytes of the link with protocol overhead.")
NVLINK_PACKETS = Counter("joulespan.nvlink.packets", Unit.PACKETS, NvLinkIo, "Packets of the link.")
NVLINK_ERRORS = Counter("joulespan.nvlink.errors", Unit.ERRORS, NvLinkError, "Errors of the link, by kind.")
NVLINK_BER = Gauge(
    "joulespan.nvlink.bit_error_rate",
    Unit.RATIO,
    NvLinkError,
    "Bit error rate of the link: effective (after correction), symbol, raw.",
)
GPU_NVLINK_IO = Counter("joulespan.gpu.nvlink.io", Unit.BYTES, GpuIo, "Payload bytes of all NVLinks of the GPU.")
C2C_LINKS = Gauge("joulespan.c2c.links", Unit.ITEMS, Gpu, "Links between GPU and CPU of a superchip.")
C2C_UP = Gauge("joulespan.c2c.up", Unit.NONE, NvLink, "1 while the C2C link is active.")
C2C_BANDWIDTH = Gauge("joulespan.c2c.bandwidth.limit", Unit.BYTES_PER_SECOND, NvLink, "Speed of the C2C link.")
C2C_ERRORS = Counter("joulespan.c2c.errors", Unit.ERRORS, NvLinkError, "Errors of the C2C link, by kind.")
PCIE_IO = Counter("joulespan.pcie.io", Unit.BYTES, GpuIo, "Bytes over PCIe, as the GPU sees them.")
PCIE_GENERATION = Gauge(
    "joulespan.pcie.link.generation", Unit.NONE, Gpu, "PCIe generation of the link now; falls when idle."
)
PCIE_GENERATION_LIMIT = Gauge(
    "joulespan.pcie.link.generation.limit", Unit.NONE, Gpu, "Highest PCIe generation of GPU and slot."
)
PCIE_WIDTH = Gauge("joulespan.pcie.link.width", Unit.LANES, Gpu, "PCIe lanes in use.")
PCIE_WIDTH_LIMIT = Gauge("joulespan.pcie.link.width.limit", Unit.LANES, Gpu, "PCIe lanes of GPU and slot.")
PCIE_REPLAYS = Counter("joulespan.pcie.replays", Unit.ERRORS, Gpu, "PCIe packets that were sent again.")
PCIE_ERRORS = Counter("joulespan.pcie.errors", Unit.ERRORS, GpuError, "PCIe errors, by kind.")
