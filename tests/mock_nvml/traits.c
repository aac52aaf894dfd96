/* SPDX-License-Identifier: Apache-2.0 */
/* Properties of a board that stay as they are: modes, architecture, sizes, affinity, topology. */
#include "mock.h"

#define TRAIT(function, type, value) \
    nvmlReturn_t function(nvmlDevice_t device, type *out) \
    { \
        ENTER_GPU(device); \
        NEED(out); \
        *out = (type)(value); \
        return NVML_SUCCESS; \
    }

static unsigned module_id(int gpu)
{
    /* Modules do not count in PCI order: 2, 1, 4, 3 on a GB300 tray. */
    return control()->model->grace ? (unsigned)(gpu ^ 1) + 1u : (unsigned)gpu + 1u;
}

static unsigned half(int gpu) { return (unsigned)gpu >= (control()->gpus + 1) / 2; }

TRAIT(nvmlDeviceGetMinorNumber, unsigned int, device->gpu)
TRAIT(nvmlDeviceGetBrand, nvmlBrandType_t, NVML_BRAND_NVIDIA)
TRAIT(nvmlDeviceGetArchitecture, nvmlDeviceArchitecture_t, control()->model->arch)
TRAIT(nvmlDeviceGetBoardId, unsigned int, 0x1b00 + 0x1100 * device->gpu)
TRAIT(nvmlDeviceGetMultiGpuBoard, unsigned int, 0)
TRAIT(nvmlDeviceGetModuleId, unsigned int, module_id(device->gpu))
TRAIT(nvmlDeviceGetPersistenceMode, nvmlEnableState_t, NVML_FEATURE_ENABLED)
TRAIT(nvmlDeviceGetComputeMode, nvmlComputeMode_t, NVML_COMPUTEMODE_DEFAULT)
TRAIT(nvmlDeviceGetDisplayMode, nvmlEnableState_t, NVML_FEATURE_DISABLED)
TRAIT(nvmlDeviceGetDisplayActive, nvmlEnableState_t, NVML_FEATURE_DISABLED)
TRAIT(nvmlDeviceGetNumGpuCores, unsigned int, control()->model->cores)
TRAIT(nvmlDeviceGetMemoryBusWidth, unsigned int, control()->model->bus_width)
TRAIT(nvmlDeviceGetBusType, nvmlBusType_t, NVML_BUS_TYPE_PCIE)
TRAIT(nvmlDeviceGetPowerSource, nvmlPowerSource_t, NVML_POWER_SOURCE_AC)
TRAIT(nvmlDeviceGetIrqNum, unsigned int, 100 + device->gpu)
TRAIT(nvmlDeviceGetAccountingMode, nvmlEnableState_t, NVML_FEATURE_DISABLED)
TRAIT(nvmlDeviceGetAccountingBufferSize, unsigned int, 4000)
TRAIT(nvmlDeviceGetVirtualizationMode, nvmlGpuVirtualizationMode_t, NVML_GPU_VIRTUALIZATION_MODE_NONE)

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor)
{
    ENTER_ANY(device);
    NEED(major && minor);
    *major = (int)control()->model->cc_major;
    *minor = (int)control()->model->cc_minor;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAddressingMode(nvmlDevice_t device, nvmlDeviceAddressingMode_t *mode)
{
    ENTER_GPU(device);
    NEED(mode);
    VERSION(mode, nvmlDeviceAddressingMode_v1);
    mode->value = control()->model->grace ? NVML_DEVICE_ADDRESSING_MODE_ATS : NVML_DEVICE_ADDRESSING_MODE_HMM;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetC2cModeInfoV(nvmlDevice_t device, nvmlC2cModeInfo_v1_t *c2cModeInfo)
{
    ENTER_GPU(device);
    NEED(c2cModeInfo);
    c2cModeInfo->isC2cEnabled = control()->model->grace;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNumaNodeId(nvmlDevice_t device, unsigned int *node)
{
    ENTER_GPU(device);
    NEED(node);
    SUPPORT(control()->model->grace);
    *node = 2u + (unsigned)device->gpu;
    return NVML_SUCCESS;
}

/* Two sockets of 64 CPUs: the first half of the GPUs is at socket 0. */
nvmlReturn_t nvmlDeviceGetCpuAffinity(nvmlDevice_t device, unsigned int cpuSetSize, unsigned long *cpuSet)
{
    ENTER_ANY(device);
    NEED(cpuSet);
    if (!cpuSetSize)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    memset(cpuSet, 0, cpuSetSize * sizeof *cpuSet);
    if (half(device->gpu) < cpuSetSize)
        cpuSet[half(device->gpu)] = ~0ul;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCpuAffinityWithinScope(nvmlDevice_t device, unsigned int cpuSetSize, unsigned long *cpuSet,
                                                 nvmlAffinityScope_t scope)
{
    NEED(scope <= NVML_AFFINITY_SCOPE_SOCKET);
    return nvmlDeviceGetCpuAffinity(device, cpuSetSize, cpuSet);
}

nvmlReturn_t nvmlDeviceGetMemoryAffinity(nvmlDevice_t device, unsigned int nodeSetSize, unsigned long *nodeSet,
                                         nvmlAffinityScope_t scope)
{
    ENTER_GPU(device);
    NEED(nodeSet && nodeSetSize && scope <= NVML_AFFINITY_SCOPE_SOCKET);
    memset(nodeSet, 0, nodeSetSize * sizeof *nodeSet);
    nodeSet[0] = 1ul << half(device->gpu);
    return NVML_SUCCESS;
}

static nvmlGpuTopologyLevel_t level_between(int a, int b)
{
    if (a == b)
        return NVML_TOPOLOGY_INTERNAL;
    return half(a) == half(b) ? NVML_TOPOLOGY_NODE : NVML_TOPOLOGY_SYSTEM;
}

nvmlReturn_t nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t device1, nvmlDevice_t device2, nvmlGpuTopologyLevel_t *pathInfo)
{
    ENTER_GPU(device1);
    ENTER_GPU(device2);
    NEED(pathInfo);
    *pathInfo = level_between(device1->gpu, device2->gpu);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTopologyNearestGpus(nvmlDevice_t device, nvmlGpuTopologyLevel_t level, unsigned int *count,
                                              nvmlDevice_t *deviceArray)
{
    ENTER_GPU(device);
    NEED(count);
    unsigned found = 0, room = *count;
    for (int gpu = 0; gpu < (int)control()->gpus; gpu++) {
        if (gpu == device->gpu || level_between(device->gpu, gpu) != level)
            continue;
        if (deviceArray && found < room)
            deviceArray[found] = gpu_handle(gpu);
        found++;
    }
    *count = deviceArray && found > room ? room : found;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetP2PStatus(nvmlDevice_t device1, nvmlDevice_t device2, nvmlGpuP2PCapsIndex_t p2pIndex,
                                    nvmlGpuP2PStatus_t *p2pStatus)
{
    ENTER_GPU(device1);
    ENTER_GPU(device2);
    NEED(p2pStatus && p2pIndex <= NVML_P2P_CAPS_INDEX_UNKNOWN);
    *p2pStatus = control()->links ? NVML_P2P_STATUS_OK : NVML_P2P_STATUS_NOT_SUPPORTED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuUptime_v1(nvmlDevice_t device, nvmlGpuUptime_v1_t *uptime)
{
    ENTER_ANY(device);
    NEED(uptime);
    double up = now_seconds() - control()->t0;
    uptime->uptime = up > 0 ? (unsigned)up : 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPdi(nvmlDevice_t device, nvmlPdi_t *pdi)
{
    ENTER_GPU(device);
    NEED(pdi);
    VERSION(pdi, nvmlPdi_v1);
    pdi->value = 0x5bad0000ull + (unsigned)device->gpu;
    return NVML_SUCCESS;
}
