/* SPDX-License-Identifier: Apache-2.0 */
/* Temperatures, margins and fans. */
#include "mock.h"

#include <math.h>

enum { SHUTDOWN_CELSIUS = 92, SLOWDOWN_CELSIUS = 89, MEMORY_MAX_CELSIUS = 95, GPU_MAX_CELSIUS = 87 };

static int degrees(double celsius) { return (int)floor(celsius); }

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensorType, unsigned int *temp)
{
    ENTER_GPU(device);
    NEED(temp && sensorType == NVML_TEMPERATURE_GPU);
    *temp = (unsigned)degrees(wave_temperature(device->gpu, now_seconds()));
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_t *temperature)
{
    ENTER_GPU(device);
    NEED(temperature && temperature->sensorType < NVML_TEMPERATURE_COUNT);
    VERSION(temperature, nvmlTemperature_v1);
    double now = now_seconds();
    bool hottest = temperature->sensorType == NVML_TEMPERATURE_GPU_MAX;
    temperature->temperature = degrees(hottest ? wave_hotspot(device->gpu, now) : wave_temperature(device->gpu, now));
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTemperatureThreshold(nvmlDevice_t device, nvmlTemperatureThresholds_t thresholdType,
                                               unsigned int *temp)
{
    static const unsigned limits[] = {SHUTDOWN_CELSIUS, SLOWDOWN_CELSIUS, MEMORY_MAX_CELSIUS, GPU_MAX_CELSIUS};
    ENTER_GPU(device);
    NEED(temp && thresholdType < NVML_TEMPERATURE_THRESHOLD_COUNT);
    SUPPORT(thresholdType <= NVML_TEMPERATURE_THRESHOLD_GPU_MAX);
    SUPPORT(thresholdType != NVML_TEMPERATURE_THRESHOLD_MEM_MAX || control()->model->hbm);
    *temp = limits[thresholdType];
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMarginTemperature(nvmlDevice_t device, nvmlMarginTemperature_t *marginTempInfo)
{
    ENTER_GPU(device);
    NEED(marginTempInfo);
    VERSION(marginTempInfo, nvmlMarginTemperature_v1);
    SUPPORT(control()->model->arch >= NVML_DEVICE_ARCH_ADA);
    marginTempInfo->marginTemperature = GPU_MAX_CELSIUS - degrees(wave_temperature(device->gpu, now_seconds()));
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetThermalSettings(nvmlDevice_t device, unsigned int sensorIndex, nvmlGpuThermalSettings_t *settings)
{
    ENTER_GPU(device);
    NEED(settings && sensorIndex == 0);
    memset(settings, 0, sizeof *settings);
    settings->count = 1;
    settings->sensor[0].controller = NVML_THERMAL_CONTROLLER_GPU_INTERNAL;
    settings->sensor[0].defaultMaxTemp = 127;
    settings->sensor[0].currentTemp = degrees(wave_temperature(device->gpu, now_seconds()));
    settings->sensor[0].target = NVML_THERMAL_TARGET_GPU;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetNumFans(nvmlDevice_t device, unsigned int *numFans)
{
    ENTER_GPU(device);
    NEED(numFans);
    SUPPORT(control()->model->fans);
    *numFans = control()->model->fans;
    return NVML_SUCCESS;
}

static nvmlReturn_t fan_percent(unsigned fan, unsigned *speed)
{
    NEED(speed);
    SUPPORT(control()->model->fans);
    NEED(fan < control()->model->fans);
    *speed = wave_fan_percent((int)fan, now_seconds());
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetFanSpeed(nvmlDevice_t device, unsigned int *speed)
{
    ENTER_GPU(device);
    return fan_percent(0, speed);
}

nvmlReturn_t nvmlDeviceGetFanSpeed_v2(nvmlDevice_t device, unsigned int fan, unsigned int *speed)
{
    ENTER_GPU(device);
    return fan_percent(fan, speed);
}

nvmlReturn_t nvmlDeviceGetTargetFanSpeed(nvmlDevice_t device, unsigned int fan, unsigned int *targetSpeed)
{
    ENTER_GPU(device);
    return fan_percent(fan, targetSpeed);
}

nvmlReturn_t nvmlDeviceGetFanSpeedRPM(nvmlDevice_t device, nvmlFanSpeedInfo_t *fanSpeed)
{
    ENTER_GPU(device);
    NEED(fanSpeed);
    VERSION(fanSpeed, nvmlFanSpeedInfo_v1);
    TRY(fan_percent(fanSpeed->fan, &fanSpeed->speed));
    fanSpeed->speed *= 60;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMinMaxFanSpeed(nvmlDevice_t device, unsigned int *minSpeed, unsigned int *maxSpeed)
{
    ENTER_GPU(device);
    NEED(minSpeed && maxSpeed);
    SUPPORT(control()->model->fans);
    *minSpeed = 30;
    *maxSpeed = 100;
    return NVML_SUCCESS;
}

nvmlReturn_t read_temperature(const struct reading *r)
{
    bool limits = control()->model->arch >= NVML_DEVICE_ARCH_ADA;
    switch (r->field) {
    case NVML_FI_DEV_MEMORY_TEMP:
        SUPPORT(control()->model->hbm);
        return give_u32(r, (unsigned)degrees(wave_memory_temperature(r->gpu, r->now)));
    case NVML_FI_DEV_GPU_TEMP: return give_double(r, wave_temperature(r->gpu, r->now));
    case NVML_FI_DEV_TEMPERATURE_SHUTDOWN_TLIMIT: SUPPORT(limits); return give_s32(r, GPU_MAX_CELSIUS - SHUTDOWN_CELSIUS);
    case NVML_FI_DEV_TEMPERATURE_SLOWDOWN_TLIMIT: SUPPORT(limits); return give_s32(r, GPU_MAX_CELSIUS - SLOWDOWN_CELSIUS);
    case NVML_FI_DEV_TEMPERATURE_MEM_MAX_TLIMIT: SUPPORT(limits && control()->model->hbm); return give_s32(r, 0);
    case NVML_FI_DEV_TEMPERATURE_GPU_MAX_TLIMIT: SUPPORT(limits); return give_s32(r, 0);
    default: return NVML_ERROR_NOT_SUPPORTED;
    }
}
