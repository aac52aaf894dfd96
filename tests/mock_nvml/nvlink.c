/* SPDX-License-Identifier: Apache-2.0 */
/* NVLink: state, speed, bytes and errors. The scope of a field is the link, or ALL_LINKS for the sum. */
#include "mock.h"

#include <math.h>

static int links(void) { return (int)control()->links; }
static bool active(int gpu, int link) { return !(gpu_control(gpu)->inactive_links >> link & 1); }
static bool nvlink5(void) { return control()->model->blackwell; }

double nvlink_bytes(int gpu, int link, bool transmit, double now)
{
    double up = now - control()->t0 - link_down_seconds(gpu, link, now);
    double rate = transmit ? wave_nvlink_tx_rate(gpu, link) : wave_nvlink_rx_rate(gpu, link);
    return up > 0 ? rate * up : 0.0;
}

/* The traffic of a link that went down stays in the sum: a total does not run backwards. */
static nvmlReturn_t give_sum(const struct reading *r, double (*of_link)(const struct reading *, int), double unit)
{
    double sum = 0;
    if (r->scope == ALL_LINKS) {
        for (int link = 0; link < links(); link++)
            sum += of_link(r, link);
        return give_u64(r, (unsigned long long)floor(sum / unit));
    }
    NEED(r->scope < control()->links);
    SUPPORT(active(r->gpu, (int)r->scope));
    return give_u64(r, (unsigned long long)floor(of_link(r, (int)r->scope) / unit));
}

static double sent(const struct reading *r, int link) { return nvlink_bytes(r->gpu, link, true, r->now); }
static double received(const struct reading *r, int link) { return nvlink_bytes(r->gpu, link, false, r->now); }
static double sent_raw(const struct reading *r, int link) { return 1.1 * sent(r, link); }
static double received_raw(const struct reading *r, int link) { return 1.1 * received(r, link); }
static double replay(const struct reading *r, int link) { return wave_nvlink_replay(r->gpu, link); }
static double recovery(const struct reading *r, int link) { return wave_nvlink_recovery(r->gpu, link); }
static double crc(const struct reading *r, int link) { return wave_nvlink_crc(r->gpu, link); }

static nvmlReturn_t of_one_link(const struct reading *r)
{
    NEED(r->scope < control()->links);
    bool up = active(r->gpu, (int)r->scope);
    switch (r->field) {
    case NVML_FI_DEV_NVLINK_GET_SPEED: return give_u32(r, up ? control()->model->link_mbps : 0);
    case NVML_FI_DEV_NVLINK_GET_STATE: return give_u32(r, up ? NVML_NVLINK_STATE_ACTIVE : NVML_NVLINK_STATE_INACTIVE);
    case NVML_FI_DEV_NVLINK_GET_VERSION: return give_u32(r, control()->model->link_version);
    case NVML_FI_DEV_NVLINK_REMOTE_NVLINK_ID: return give_u32(r, (r->scope + (unsigned)r->gpu) % control()->links);
    default: SUPPORT(up); return give_u32(r, NVML_NVLINK_POWER_STATE_HIGH_SPEED);
    }
}

nvmlReturn_t read_nvlink(const struct reading *r)
{
    SUPPORT(links());
    switch (r->field) {
    case NVML_FI_DEV_NVLINK_LINK_COUNT:
    case NVML_FI_DEV_NVSWITCH_CONNECTED_LINK_COUNT: return give_u32(r, control()->links);
    case NVML_FI_DEV_NVLINK_SPEED_MBPS_COMMON: return give_u32(r, control()->model->link_mbps);
    case NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX: return give_sum(r, sent, 1024);
    case NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX: return give_sum(r, received, 1024);
    case NVML_FI_DEV_NVLINK_THROUGHPUT_RAW_TX: return give_sum(r, sent_raw, 1024);
    case NVML_FI_DEV_NVLINK_THROUGHPUT_RAW_RX: return give_sum(r, received_raw, 1024);
    case NVML_FI_DEV_NVLINK_ERROR_DL_REPLAY: SUPPORT(!nvlink5()); return give_sum(r, replay, 1);
    case NVML_FI_DEV_NVLINK_ERROR_DL_RECOVERY: SUPPORT(!nvlink5()); return give_sum(r, recovery, 1);
    case NVML_FI_DEV_NVLINK_ERROR_DL_CRC: SUPPORT(!nvlink5()); return give_sum(r, crc, 1);
    case NVML_FI_DEV_NVLINK_GET_POWER_THRESHOLD: return give_u32(r, 10);
    case NVML_FI_DEV_NVLINK_GET_POWER_THRESHOLD_MIN: return give_u32(r, NVML_NVLINK_LOW_POWER_THRESHOLD_MIN);
    case NVML_FI_DEV_NVLINK_GET_POWER_THRESHOLD_MAX: return give_u32(r, NVML_NVLINK_LOW_POWER_THRESHOLD_MAX);
    case NVML_FI_DEV_NVLINK_GET_POWER_THRESHOLD_UNITS: return give_u32(r, NVML_NVLINK_LOW_POWER_THRESHOLD_UNIT_50US);
    case NVML_FI_DEV_NVLINK_GET_POWER_THRESHOLD_SUPPORTED: return give_u32(r, 1);
    case NVML_FI_DEV_NVLINK_REMOTE_NVLINK_ID:
    case NVML_FI_DEV_NVLINK_GET_SPEED:
    case NVML_FI_DEV_NVLINK_GET_STATE:
    case NVML_FI_DEV_NVLINK_GET_VERSION:
    case NVML_FI_DEV_NVLINK_GET_POWER_STATE: return of_one_link(r);
    default: {
        /* 84-89 and 132-137: the speed of links 0 to 11, one field each. */
        unsigned link = r->field <= NVML_FI_DEV_NVLINK_SPEED_MBPS_L5 ? r->field - NVML_FI_DEV_NVLINK_SPEED_MBPS_L0
                                                                    : r->field - NVML_FI_DEV_NVLINK_SPEED_MBPS_L6 + 6;
        SUPPORT(link < control()->links);
        return give_u32(r, active(r->gpu, (int)link) ? control()->model->link_mbps : 0);
    }
    }
}

/* Fields of links 0 to 11 by kind: L0-L5 and a total in 32-59, L6-L11 in 96-119. */
nvmlReturn_t read_nvlink_lane(const struct reading *r)
{
    static double (*const kinds[])(const struct reading *, int) = {crc, crc, replay, recovery};
    SUPPORT(links() && !nvlink5() && r->field < NVML_FI_DEV_NVLINK_ECC_DATA_ERROR_COUNT_L0);
    bool first = r->field <= NVML_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL;
    unsigned offset = first ? r->field - NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_L0
                            : r->field - NVML_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_L6;
    struct reading one = *r;
    one.scope = first ? offset % 7 : offset % 6 + 6;
    if (first && one.scope == 6)
        one.scope = ALL_LINKS;
    SUPPORT(one.scope == ALL_LINKS || one.scope < control()->links);
    return give_sum(&one, kinds[offset / (first ? 7 : 6)], 1);
}

nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned int link, nvmlEnableState_t *isActive)
{
    ENTER_GPU(device);
    NEED(isActive && link < MAX_LINKS);
    SUPPORT(link < control()->links);
    *isActive = active(device->gpu, (int)link) ? NVML_FEATURE_ENABLED : NVML_FEATURE_DISABLED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNvLinkVersion(nvmlDevice_t device, unsigned int link, unsigned int *version)
{
    ENTER_GPU(device);
    NEED(version && link < MAX_LINKS);
    SUPPORT(link < control()->links);
    *version = control()->model->link_version;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNvLinkCapability(nvmlDevice_t device, unsigned int link, nvmlNvLinkCapability_t capability,
                                           unsigned int *capResult)
{
    ENTER_GPU(device);
    NEED(capResult && link < MAX_LINKS && capability < NVML_NVLINK_CAP_COUNT);
    SUPPORT(link < control()->links);
    *capResult = capability != NVML_NVLINK_CAP_SLI_BRIDGE;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNvLinkErrorCounter(nvmlDevice_t device, unsigned int link, nvmlNvLinkErrorCounter_t counter,
                                             unsigned long long *counterValue)
{
    ENTER_GPU(device);
    NEED(counterValue && link < MAX_LINKS && counter < NVML_NVLINK_ERROR_COUNT);
    SUPPORT(link < control()->links && !nvlink5() && active(device->gpu, (int)link));
    switch (counter) {
    case NVML_NVLINK_ERROR_DL_REPLAY: *counterValue = wave_nvlink_replay(device->gpu, (int)link); break;
    case NVML_NVLINK_ERROR_DL_RECOVERY: *counterValue = wave_nvlink_recovery(device->gpu, (int)link); break;
    case NVML_NVLINK_ERROR_DL_ECC_DATA: return NVML_ERROR_NOT_SUPPORTED;
    default: *counterValue = wave_nvlink_crc(device->gpu, (int)link);
    }
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNvLinkRemoteDeviceType(nvmlDevice_t device, unsigned int link, nvmlIntNvLinkDeviceType_t *type)
{
    ENTER_GPU(device);
    NEED(type && link < MAX_LINKS);
    SUPPORT(link < control()->links);
    *type = NVML_NVLINK_DEVICE_TYPE_SWITCH;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNvLinkRemotePciInfo_v2(nvmlDevice_t device, unsigned int link, nvmlPciInfo_t *pci)
{
    ENTER_GPU(device);
    NEED(pci && link < MAX_LINKS);
    SUPPORT(link < control()->links);
    memset(pci, 0, sizeof *pci);
    pci->bus = 5 + link % 4;
    snprintf(pci->busIdLegacy, sizeof pci->busIdLegacy, "0000:%02X:00.0", pci->bus);
    snprintf(pci->busId, sizeof pci->busId, "00000000:%02X:00.0", pci->bus);
    return NVML_SUCCESS;
}
