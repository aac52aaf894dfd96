/* SPDX-License-Identifier: Apache-2.0 */
/* Power, limits, energy, power smoothing, workload power profiles. */
#include "mock.h"

#include <math.h>

static unsigned milliwatts(double watts) { return (unsigned)floor(watts * 1000.0); }

static unsigned instant_mw(int gpu, double now) { return milliwatts(wave_power(gpu, step_time(now))); }
static unsigned average_mw(int gpu, double now) { return milliwatts(wave_power_average(gpu, step_time(now))); }

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *power)
{
    ENTER_GPU(device);
    NEED(power);
    /* GA100 and older answer the instant value here. */
    *power = (control()->model->power_average ? average_mw : instant_mw)(device->gpu, now_seconds());
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *energy)
{
    ENTER_GPU(device);
    NEED(energy);
    *energy = wave_energy_mj(device->gpu, now_seconds(), control()->t0);
    return NVML_SUCCESS;
}

static nvmlReturn_t limit(unsigned *out, unsigned watts)
{
    NEED(out);
    *out = watts * 1000u;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerManagementMode(nvmlDevice_t device, nvmlEnableState_t *mode)
{
    ENTER_GPU(device);
    NEED(mode);
    *mode = NVML_FEATURE_ENABLED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t device, unsigned int *out)
{
    ENTER_GPU(device);
    return limit(out, control()->model->limit_watts);
}

nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned int *out)
{
    ENTER_GPU(device);
    return limit(out, control()->model->limit_watts);
}

nvmlReturn_t nvmlDeviceGetPowerManagementDefaultLimit(nvmlDevice_t device, unsigned int *defaultLimit)
{
    ENTER_GPU(device);
    return limit(defaultLimit, control()->model->limit_watts);
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t device, unsigned int *minLimit, unsigned int *maxLimit)
{
    ENTER_GPU(device);
    TRY(limit(minLimit, control()->model->min_limit_watts));
    return limit(maxLimit, control()->model->limit_watts);
}

static double module_watts(double gpu_watts) { return 1.4 * gpu_watts + 150.0; }

static nvmlReturn_t read_watts(const struct reading *r, double watts)
{
    switch (r->scope) {
    case NVML_POWER_SCOPE_GPU: return give_u32(r, milliwatts(watts));
    case NVML_POWER_SCOPE_MODULE: SUPPORT(control()->model->grace); return give_u32(r, milliwatts(module_watts(watts)));
    case NVML_POWER_SCOPE_MEMORY:
        SUPPORT(control()->model->memory_power && r->field == NVML_FI_DEV_POWER_AVERAGE);
        return give_u32(r, milliwatts(0.2 * watts));
    default: return NVML_ERROR_NOT_SUPPORTED;
    }
}

static nvmlReturn_t read_limit(const struct reading *r, unsigned watts)
{
    SUPPORT(r->scope == NVML_POWER_SCOPE_GPU || (r->scope == NVML_POWER_SCOPE_MODULE && control()->model->grace));
    return give_u32(r, milliwatts(r->scope == NVML_POWER_SCOPE_MODULE ? module_watts(watts) : watts));
}

nvmlReturn_t read_power(const struct reading *r)
{
    double at = step_time(r->now);
    switch (r->field) {
    case NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION: return give_u64(r, wave_energy_mj(r->gpu, r->now, control()->t0));
    case NVML_FI_DEV_ENERGY:
        SUPPORT(r->scope == NVML_POWER_SCOPE_GPU);
        return give_u64(r, wave_energy_mj(r->gpu, r->now, control()->t0));
    case NVML_FI_DEV_POWER_AVERAGE:
        SUPPORT(control()->model->power_average);
        return read_watts(r, wave_power_average(r->gpu, at));
    case NVML_FI_DEV_POWER_INSTANT: return read_watts(r, wave_power(r->gpu, at));
    case NVML_FI_DEV_POWER_MIN_LIMIT: return read_limit(r, control()->model->min_limit_watts);
    case NVML_FI_DEV_POWER_MAX_LIMIT:
    case NVML_FI_DEV_POWER_DEFAULT_LIMIT:
    case NVML_FI_DEV_POWER_CURRENT_LIMIT:
    case NVML_FI_DEV_POWER_REQUESTED_LIMIT: return read_limit(r, control()->model->limit_watts);
    default: return NVML_ERROR_NOT_SUPPORTED;
    }
}

nvmlReturn_t read_smoothing(const struct reading *r)
{
    SUPPORT(control()->model->blackwell);
    switch (r->field) {
    case NVML_FI_PWR_SMOOTHING_ENABLED: return give_u32(r, 1);
    case NVML_FI_PWR_SMOOTHING_APPLIED_TMP_CEIL: return give_u32(r, control()->model->limit_watts);
    case NVML_FI_PWR_SMOOTHING_APPLIED_TMP_FLOOR: return give_u32(r, 300);
    case NVML_FI_PWR_SMOOTHING_MAX_PERCENT_TMP_FLOOR_SETTING: return give_u32(r, 90);
    case NVML_FI_PWR_SMOOTHING_MIN_PERCENT_TMP_FLOOR_SETTING: return give_u32(r, 0);
    case NVML_FI_PWR_SMOOTHING_HW_CIRCUITRY_PERCENT_LIFETIME_REMAINING: return give_u32(r, 99);
    case NVML_FI_PWR_SMOOTHING_MAX_NUM_PRESET_PROFILES: return give_u32(r, 5);
    case NVML_FI_PWR_SMOOTHING_PROFILE_RAMP_UP_RATE:
    case NVML_FI_PWR_SMOOTHING_PROFILE_RAMP_DOWN_RATE: return give_u32(r, 500000);
    case NVML_FI_PWR_SMOOTHING_PRIMARY_POWER_FLOOR: return give_u32(r, 300);
    default: return give_u32(r, 0);
    }
}

nvmlReturn_t nvmlDeviceWorkloadPowerProfileGetProfilesInfo(nvmlDevice_t device, nvmlWorkloadPowerProfileProfilesInfo_t *info)
{
    ENTER_GPU(device);
    NEED(info);
    VERSION(info, nvmlWorkloadPowerProfileProfilesInfo_v1);
    SUPPORT(control()->model->blackwell);
    unsigned version = info->version;
    memset(info, 0, sizeof *info);
    info->version = version;
    info->perfProfilesMask.mask[0] = 0x3;
    for (unsigned i = 0; i < 2; i++) {
        info->perfProfile[i].version = nvmlWorkloadPowerProfileInfo_v1;
        info->perfProfile[i].profileId = i;
        info->perfProfile[i].priority = i + 1;
    }
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceWorkloadPowerProfileGetCurrentProfiles(nvmlDevice_t device,
                                                              nvmlWorkloadPowerProfileCurrentProfiles_t *currentProfiles)
{
    ENTER_GPU(device);
    NEED(currentProfiles);
    VERSION(currentProfiles, nvmlWorkloadPowerProfileCurrentProfiles_v1);
    SUPPORT(control()->model->blackwell);
    *currentProfiles = (nvmlWorkloadPowerProfileCurrentProfiles_t){.version = currentProfiles->version};
    currentProfiles->perfProfilesMask.mask[0] = 0x3;
    currentProfiles->requestedProfilesMask.mask[0] = 0x3;
    currentProfiles->enforcedProfilesMask.mask[0] = 0x1;
    return NVML_SUCCESS;
}
