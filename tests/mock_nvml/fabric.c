/* SPDX-License-Identifier: Apache-2.0 */
/* The NVLink fabric and the place of a board in its rack. */
#include "mock.h"

enum { CLIQUE = 1 };
/* Bandwidth whole, no route recovery, route healthy, no access timeout, configured, partition assigned, manager connected. */
enum { RACK_HEALTHY = 0x51aa, BASEBOARD_HEALTHY = 0x2 };

static const unsigned char rack[NVML_GPU_FABRIC_UUID_LEN] = {
    0x7b, 0x96, 0x8f, 0xc6, 0x95, 0x4e, 0x4a, 0xb3, 0x9c, 0x81, 0x00, 0xd5, 0xa2, 0xe0, 0x31, 0x44,
};

/* A rack has a cluster UUID and a clique; the switches of one baseboard have neither. */
static nvmlGpuFabricInfo_v3_t probe(int gpu)
{
    bool whole_rack = control()->model->grace;
    nvmlGpuFabricInfo_v3_t info = {.state = NVML_GPU_FABRIC_STATE_COMPLETED, .cliqueId = whole_rack ? CLIQUE : 0,
                                   .healthMask = whole_rack ? RACK_HEALTHY : BASEBOARD_HEALTHY,
                                   .healthSummary = NVML_GPU_FABRIC_HEALTH_SUMMARY_HEALTHY};
    if (whole_rack)
        memcpy(info.clusterUuid, rack, sizeof rack);
    const struct gpu_control *g = gpu_control(gpu);
    if (g->fabric_set) {
        info.state = (nvmlGpuFabricState_t)g->fabric[0];
        info.status = (nvmlReturn_t)g->fabric[1];
        info.healthMask = g->fabric[2];
        info.healthSummary = (unsigned char)g->fabric[3];
    }
    return info;
}

nvmlReturn_t nvmlDeviceGetGpuFabricInfo(nvmlDevice_t device, nvmlGpuFabricInfo_t *gpuFabricInfo)
{
    ENTER_GPU(device);
    NEED(gpuFabricInfo);
    SUPPORT(control()->model->fabric);
    nvmlGpuFabricInfo_v3_t info = probe(device->gpu);
    memcpy(gpuFabricInfo->clusterUuid, info.clusterUuid, sizeof info.clusterUuid);
    gpuFabricInfo->status = info.status;
    gpuFabricInfo->cliqueId = info.cliqueId;
    gpuFabricInfo->state = info.state;
    return NVML_SUCCESS;
}

/* The caller's version says which struct stands behind the pointer; v2 is v3 without its last byte. */
nvmlReturn_t nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t device, nvmlGpuFabricInfoV_t *gpuFabricInfo)
{
    ENTER_GPU(device);
    NEED(gpuFabricInfo);
    SUPPORT(control()->model->fabric);
    nvmlGpuFabricInfo_v3_t info = probe(device->gpu);
    info.version = gpuFabricInfo->version;
    if (info.version != nvmlGpuFabricInfo_v2 && info.version != nvmlGpuFabricInfo_v3)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    memcpy(gpuFabricInfo, &info, info.version & 0xffffff);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuFabricInfo_v4(nvmlDevice_t device, nvmlGpuFabricInfo_v4_t *gpuFabricInfo)
{
    ENTER_GPU(device);
    NEED(gpuFabricInfo);
    SUPPORT(control()->model->fabric);
    nvmlGpuFabricInfo_v3_t info = probe(device->gpu);
    memset(gpuFabricInfo, 0, sizeof *gpuFabricInfo);
    memcpy(gpuFabricInfo->clusterUuid, info.clusterUuid, sizeof info.clusterUuid);
    gpuFabricInfo->status = info.status;
    gpuFabricInfo->state = info.state;
    gpuFabricInfo->healthMask = info.healthMask;
    gpuFabricInfo->healthSummary = info.healthSummary;
    gpuFabricInfo->numCliques = 1;
    gpuFabricInfo->cliques[0].type = NVML_GPU_FABRIC_CLIQUE_TYPE_UNICAST_POINTER;
    gpuFabricInfo->cliques[0].id = info.cliqueId;
    return NVML_SUCCESS;
}

/* v1 and v2 have the same layout under other names. The GUID has a zero byte and bytes above 0x7f, as real ones do. */
nvmlReturn_t nvmlDeviceGetPlatformInfo(nvmlDevice_t device, nvmlPlatformInfo_t *platformInfo)
{
    static const unsigned char guid[] = {0xb0, 0xcf, 0x0e, 0x00, 0x03, 0x00, 0xe6, 0x10};
    _Static_assert(sizeof(nvmlPlatformInfo_v1_t) == sizeof(nvmlPlatformInfo_v2_t), "one layout");
    ENTER_GPU(device);
    NEED(platformInfo);
    unsigned version = platformInfo->version;
    if (version != nvmlPlatformInfo_v1 && version != nvmlPlatformInfo_v2)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    SUPPORT(control()->model->grace);
    memset(platformInfo, 0, sizeof *platformInfo);
    platformInfo->version = version;
    memcpy(platformInfo->ibGuid, guid, sizeof guid);
    platformInfo->ibGuid[7] = (unsigned char)(guid[7] + device->gpu);
    memcpy(platformInfo->chassisSerialNumber, "1820324000123", 13);
    platformInfo->slotNumber = 24;
    platformInfo->trayIndex = 14;
    platformInfo->hostId = 1;
    platformInfo->peerType = 1;
    platformInfo->moduleId = (unsigned char)((device->gpu ^ 1) + 1);
    return NVML_SUCCESS;
}
