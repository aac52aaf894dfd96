# SPDX-License-Identifier: Apache-2.0
"""GPUs and NICs: which of them are near each other, from the PCIe tree and NUMA."""

from agent.metric import Info
from agent.network_entities import GpuNic

GPU_NIC_INFO = Info(
    "joulespan.gpu.nic.info",
    GpuNic,
    "How near a network interface is to a GPU, in the words of nvidia-smi topo.",
)
