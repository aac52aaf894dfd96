/* SPDX-License-Identifier: Apache-2.0 */
/* Utilization, memory, and the driver's ring of recent samples. */
#include "mock.h"

#include <math.h>

#define RESERVED (600 * MIB)
enum { SAMPLE_RING = 120 };

/* The driver does not say how busy a GPU in MIG mode is as a whole. */
static bool whole(nvmlDevice_t device) { return !mig_mode(device->gpu); }

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization)
{
    ENTER_GPU(device);
    NEED(utilization);
    SUPPORT(whole(device));
    utilization->gpu = wave_utilization(device->gpu, now_seconds());
    utilization->memory = utilization->gpu / 2;
    return NVML_SUCCESS;
}

#define ENGINE(function, wave) \
    nvmlReturn_t function(nvmlDevice_t device, unsigned int *utilization, unsigned int *samplingPeriodUs) \
    { \
        ENTER_GPU(device); \
        NEED(utilization && samplingPeriodUs); \
        SUPPORT(whole(device)); \
        *utilization = wave(device->gpu); \
        *samplingPeriodUs = 167000; \
        return NVML_SUCCESS; \
    }

ENGINE(nvmlDeviceGetEncoderUtilization, wave_encoder)
ENGINE(nvmlDeviceGetDecoderUtilization, wave_decoder)
ENGINE(nvmlDeviceGetJpgUtilization, wave_jpeg)
ENGINE(nvmlDeviceGetOfaUtilization, wave_ofa)

nvmlReturn_t nvmlDeviceGetDynamicPstatesInfo(nvmlDevice_t device, nvmlGpuDynamicPstatesInfo_t *info)
{
    ENTER_GPU(device);
    NEED(info);
    SUPPORT(whole(device));
    memset(info, 0, sizeof *info);
    unsigned busy = wave_utilization(device->gpu, now_seconds());
    info->utilization[0].bIsPresent = info->utilization[1].bIsPresent = 1;
    info->utilization[0].percentage = busy;
    info->utilization[1].percentage = busy / 2;
    return NVML_SUCCESS;
}

struct sizes {
    unsigned long long total, reserved, used;
};

static struct sizes memory(nvmlDevice_t device)
{
    unsigned long long used = wave_memory_used(device->gpu, now_seconds());
    if (device->mig >= 0)
        return (struct sizes){9728 * MIB, RESERVED / 8, used / 8};
    return (struct sizes){control()->model->memory_mib * MIB, RESERVED, used};
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *out)
{
    ENTER_ANY(device);
    NEED(out);
    struct sizes m = memory(device);
    *out = (nvmlMemory_t){.total = m.total, .used = m.used + m.reserved, .free = m.total - m.used - m.reserved};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *out)
{
    ENTER_ANY(device);
    NEED(out);
    VERSION(out, nvmlMemory_v2);
    struct sizes m = memory(device);
    *out = (nvmlMemory_v2_t){.version = out->version, .total = m.total, .reserved = m.reserved, .used = m.used,
                             .free = m.total - m.used - m.reserved};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t device, nvmlBAR1Memory_t *bar1Memory)
{
    ENTER_ANY(device);
    NEED(bar1Memory);
    if (device->mig < 0 && mig_mode(device->gpu) && !control()->root)
        return NVML_ERROR_NO_PERMISSION;
    bar1Memory->bar1Total = control()->model->bar1_mib * MIB;
    bar1Memory->bar1Used = (16 + (unsigned)device->gpu) * MIB;
    bar1Memory->bar1Free = bar1Memory->bar1Total - bar1Memory->bar1Used;
    return NVML_SUCCESS;
}

static nvmlReturn_t sample_at(int gpu, nvmlSamplingType_t type, double t, unsigned *out)
{
    unsigned busy = wave_utilization(gpu, t);
    switch (type) {
    case NVML_TOTAL_POWER_SAMPLES: *out = (unsigned)floor(wave_power(gpu, t) * 1000.0); break;
    case NVML_MODULE_POWER_SAMPLES:
        SUPPORT(control()->model->grace);
        *out = (unsigned)floor((1.4 * wave_power(gpu, t) + 150.0) * 1000.0);
        break;
    case NVML_PROCESSOR_CLK_SAMPLES: *out = wave_sm_clock(gpu, t); break;
    case NVML_MEMORY_CLK_SAMPLES: *out = control()->model->memory_mhz; break;
    case NVML_GPU_UTILIZATION_SAMPLES: SUPPORT(!mig_mode(gpu)); *out = busy; break;
    case NVML_MEMORY_UTILIZATION_SAMPLES: SUPPORT(!mig_mode(gpu)); *out = busy / 2; break;
    case NVML_ENC_UTILIZATION_SAMPLES: SUPPORT(!mig_mode(gpu)); *out = wave_encoder(gpu); break;
    case NVML_DEC_UTILIZATION_SAMPLES: SUPPORT(!mig_mode(gpu)); *out = wave_decoder(gpu); break;
    case NVML_JPG_UTILIZATION_SAMPLES: SUPPORT(!mig_mode(gpu)); *out = wave_jpeg(gpu); break;
    case NVML_OFA_UTILIZATION_SAMPLES: SUPPORT(!mig_mode(gpu)); *out = wave_ofa(gpu); break;
    default: return NVML_ERROR_INVALID_ARGUMENT;
    }
    return NVML_SUCCESS;
}

/* The last 12 seconds at 10 Hz, oldest first. */
nvmlReturn_t nvmlDeviceGetSamples(nvmlDevice_t device, nvmlSamplingType_t type, unsigned long long lastSeenTimeStamp,
                                  nvmlValueType_t *sampleValType, unsigned int *sampleCount, nvmlSample_t *samples)
{
    ENTER_GPU(device);
    NEED(sampleValType && sampleCount && (!samples || *sampleCount));
    double newest = step_time(now_seconds());
    unsigned found = 0, value;
    for (int back = SAMPLE_RING - 1; back >= 0; back--) {
        double t = step_time(newest - back * 0.1 + 0.05);
        unsigned long long stamp = epoch_us(t);
        TRY(sample_at(device->gpu, type, t, &value));
        if (stamp <= lastSeenTimeStamp || (samples && found == *sampleCount))
            continue;
        if (samples)
            samples[found] = (nvmlSample_t){.timeStamp = stamp, .sampleValue.uiVal = value};
        found++;
    }
    *sampleValType = NVML_VALUE_TYPE_UNSIGNED_INT;
    *sampleCount = samples || lastSeenTimeStamp ? found : SAMPLE_RING;
    return found ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND;
}
