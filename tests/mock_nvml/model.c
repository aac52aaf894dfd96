/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated boards. Watts are chosen; the rest is what such a board says of itself, rounded. */
#include "mock.h"

static const struct model models[] = {
    {
        .key = "h100", .name = "NVIDIA H100 80GB HBM3", .part_number = "692-2G520-0200-000",
        .vbios = "96.00.A5.00.01", .driver_branch = "r580_00",
        .base_watts = 300, .amplitude_watts = 150, .limit_watts = 700, .min_limit_watts = 200,
        .memory_mib = 81559, .bar1_mib = 131072, .bus_width = 5120,
        .links = 18, .link_mbps = 26562, .link_version = NVML_NVLINK_VERSION_4_0,
        .arch = NVML_DEVICE_ARCH_HOPPER, .cc_major = 9, .cc_minor = 0, .cores = 16896, .sms = 132,
        .sm_mhz = 1980, .memory_mhz = 2619, .pcie_gen = 5, .pci_device = 0x233010de,
        .hbm = true, .mig = true, .gpm = true, .fabric = true, .power_average = true, .memory_power = true,
    },
    {
        .key = "h200", .name = "NVIDIA H200", .part_number = "692-2G520-0280-001",
        .vbios = "96.00.BC.00.01", .driver_branch = "r580_00",
        .base_watts = 320, .amplitude_watts = 150, .limit_watts = 700, .min_limit_watts = 200,
        .memory_mib = 143771, .bar1_mib = 262144, .bus_width = 6144,
        .links = 18, .link_mbps = 26562, .link_version = NVML_NVLINK_VERSION_4_0,
        .arch = NVML_DEVICE_ARCH_HOPPER, .cc_major = 9, .cc_minor = 0, .cores = 16896, .sms = 132,
        .sm_mhz = 1980, .memory_mhz = 3201, .pcie_gen = 5, .pci_device = 0x233510de,
        .hbm = true, .mig = true, .gpm = true, .fabric = true, .power_average = true, .memory_power = true,
    },
    {
        .key = "gb200", .name = "NVIDIA GB200", .part_number = "699-2G548-1201-800",
        .vbios = "97.00.82.00.18", .driver_branch = "r580_00",
        .base_watts = 650, .amplitude_watts = 350, .limit_watts = 1200, .min_limit_watts = 200,
        .memory_mib = 189471, .bar1_mib = 262144, .bus_width = 8192,
        .links = 18, .link_mbps = 53125, .link_version = NVML_NVLINK_VERSION_5_0,
        .arch = NVML_DEVICE_ARCH_BLACKWELL, .cc_major = 10, .cc_minor = 0, .cores = 18944, .sms = 148,
        .sm_mhz = 2062, .memory_mhz = 3996, .pcie_gen = 6, .pci_device = 0x294110de,
        .hbm = true, .mig = true, .gpm = true, .fabric = true, .grace = true, .blackwell = true,
        .power_average = true, .memory_power = true,
    },
    {
        .key = "a100", .name = "NVIDIA A100-SXM4-80GB", .part_number = "692-2G506-0212-002",
        .vbios = "92.00.45.00.03", .driver_branch = "r580_00",
        .base_watts = 150, .amplitude_watts = 80, .limit_watts = 400, .min_limit_watts = 100,
        .memory_mib = 81920, .bar1_mib = 131072, .bus_width = 5120,
        .links = 12, .link_mbps = 25000, .link_version = NVML_NVLINK_VERSION_3_0,
        .arch = NVML_DEVICE_ARCH_AMPERE, .cc_major = 8, .cc_minor = 0, .cores = 6912, .sms = 108,
        .sm_mhz = 1410, .memory_mhz = 1593, .pcie_gen = 4, .pci_device = 0x20b210de,
        .hbm = true, .mig = true,
    },
    {
        .key = "l40s", .name = "NVIDIA L40S", .part_number = "900-2G133-0080-000",
        .vbios = "95.02.66.00.02", .driver_branch = "r580_00",
        .base_watts = 130, .amplitude_watts = 60, .limit_watts = 350, .min_limit_watts = 100,
        .memory_mib = 46068, .bar1_mib = 65536, .bus_width = 384,
        .arch = NVML_DEVICE_ARCH_ADA, .cc_major = 8, .cc_minor = 9, .cores = 18176, .sms = 142,
        .sm_mhz = 2520, .memory_mhz = 9001, .pcie_gen = 4, .pci_device = 0x26b910de, .fans = 2,
        .power_average = true,
    },
};

const struct model *model_find(const char *key, size_t length)
{
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (strlen(models[i].key) == length && !strncmp(models[i].key, key, length))
            return &models[i];
    return NULL;
}
