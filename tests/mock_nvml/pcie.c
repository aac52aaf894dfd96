/* SPDX-License-Identifier: Apache-2.0 */
/* The PCIe link: generation, width, bytes, replays. Also the C2C links of Grace parts. */
#include "mock.h"

#include <math.h>
#include <unistd.h>

enum { C2C_MBPS = 44712 };

unsigned long long pcie_bytes(int gpu, bool transmit, double now)
{
    double rate = transmit ? wave_pcie_tx_rate(gpu) : wave_pcie_rx_rate(gpu);
    double elapsed = now - control()->t0;
    return elapsed > 0 ? (unsigned long long)floor(rate * elapsed) : 0;
}

static nvmlReturn_t answer(unsigned *out, unsigned value)
{
    NEED(out);
    *out = value;
    return NVML_SUCCESS;
}

#define PCIE(function, value) \
    nvmlReturn_t function(nvmlDevice_t device, unsigned int *out) \
    { \
        ENTER_GPU(device); \
        return answer(out, value); \
    }

PCIE(nvmlDeviceGetCurrPcieLinkGeneration, control()->model->pcie_gen)
PCIE(nvmlDeviceGetMaxPcieLinkGeneration, control()->model->pcie_gen)
PCIE(nvmlDeviceGetGpuMaxPcieLinkGeneration, control()->model->pcie_gen)
PCIE(nvmlDeviceGetCurrPcieLinkWidth, 16)
PCIE(nvmlDeviceGetMaxPcieLinkWidth, 16)
PCIE(nvmlDeviceGetPcieReplayCounter, (unsigned)device->gpu)
/* MB/s of one lane: gen 4 = 16000, each generation doubles. */
PCIE(nvmlDeviceGetPcieSpeed, 16000u << (control()->model->pcie_gen - 4))
PCIE(nvmlDeviceGetPcieLinkMaxSpeed, control()->model->pcie_gen)

nvmlReturn_t nvmlDeviceGetPcieThroughput(nvmlDevice_t device, nvmlPcieUtilCounter_t counter, unsigned int *value)
{
    ENTER_GPU(device);
    NEED(value && counter < NVML_PCIE_UTIL_COUNT);
    if (control()->pcie_sleep)
        usleep(20000);
    bool transmit = counter == NVML_PCIE_UTIL_TX_BYTES;
    *value = (unsigned)(transmit ? wave_pcie_tx_rate(device->gpu) / 1000.0 : wave_pcie_rx_rate(device->gpu) / 1000.0);
    return NVML_SUCCESS;
}

nvmlReturn_t read_pcie(const struct reading *r)
{
    switch (r->field) {
    case NVML_FI_DEV_PCIE_REPLAY_COUNTER: return give_u32(r, (unsigned)r->gpu);
    case NVML_FI_DEV_PCIE_L0_TO_RECOVERY_COUNTER: return give_u32(r, 2u + (unsigned)r->gpu);
    case NVML_FI_DEV_PCIE_COUNT_CORRECTABLE_ERRORS: return give_u32(r, 3u * (unsigned)r->gpu);
    case NVML_FI_DEV_PCIE_COUNT_TX_BYTES: return give_u32(r, (unsigned)pcie_bytes(r->gpu, true, r->now));
    case NVML_FI_DEV_PCIE_COUNT_RX_BYTES: return give_u32(r, (unsigned)pcie_bytes(r->gpu, false, r->now));
    default: return give_u32(r, 0);
    }
}

nvmlReturn_t read_c2c(const struct reading *r)
{
    SUPPORT(control()->model->grace);
    NEED(r->field == NVML_FI_DEV_C2C_LINK_COUNT || r->scope < C2C_LINKS);
    switch (r->field) {
    case NVML_FI_DEV_C2C_LINK_COUNT: return give_u32(r, C2C_LINKS);
    case NVML_FI_DEV_C2C_LINK_GET_STATUS: return give_u32(r, 1);
    case NVML_FI_DEV_C2C_LINK_GET_MAX_BW: return give_u32(r, C2C_MBPS);
    case NVML_FI_DEV_C2C_LINK_POWER_STATE: return give_u32(r, NVML_C2C_POWER_STATE_FULL_POWER);
    default: return give_u64(r, 0);
    }
}
