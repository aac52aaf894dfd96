/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks, performance states, and why clocks are held back (bits and nanosecond counters). */
#include "mock.h"

#include <math.h>

static nvmlReturn_t current(int gpu, nvmlClockType_t type, unsigned *clock)
{
    NEED(clock && type < NVML_CLOCK_COUNT);
    unsigned sm = wave_sm_clock(gpu, now_seconds());
    const unsigned clocks[] = {sm, sm, control()->model->memory_mhz, sm - 195};
    *clock = clocks[type];
    return NVML_SUCCESS;
}

static nvmlReturn_t maximum(nvmlClockType_t type, unsigned *clock)
{
    NEED(clock && type < NVML_CLOCK_COUNT);
    const struct model *m = control()->model;
    const unsigned clocks[] = {m->sm_mhz, m->sm_mhz, m->memory_mhz, m->sm_mhz - 195};
    *clock = clocks[type];
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock)
{
    ENTER_GPU(device);
    return current(device->gpu, type, clock);
}

nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int *clock)
{
    ENTER_GPU(device);
    return maximum(type, clock);
}

nvmlReturn_t nvmlDeviceGetMaxCustomerBoostClock(nvmlDevice_t device, nvmlClockType_t clockType, unsigned int *clockMHz)
{
    ENTER_GPU(device);
    return maximum(clockType, clockMHz);
}

nvmlReturn_t nvmlDeviceGetApplicationsClock(nvmlDevice_t device, nvmlClockType_t clockType, unsigned int *clockMHz)
{
    ENTER_GPU(device);
    return maximum(clockType, clockMHz);
}

nvmlReturn_t nvmlDeviceGetDefaultApplicationsClock(nvmlDevice_t device, nvmlClockType_t clockType, unsigned int *clockMHz)
{
    ENTER_GPU(device);
    return maximum(clockType, clockMHz);
}

nvmlReturn_t nvmlDeviceGetClock(nvmlDevice_t device, nvmlClockType_t clockType, nvmlClockId_t clockId, unsigned int *clockMHz)
{
    ENTER_GPU(device);
    NEED(clockId < NVML_CLOCK_ID_COUNT);
    return clockId == NVML_CLOCK_ID_CURRENT ? current(device->gpu, clockType, clockMHz) : maximum(clockType, clockMHz);
}

nvmlReturn_t nvmlDeviceGetMinMaxClockOfPState(nvmlDevice_t device, nvmlClockType_t type, nvmlPstates_t pstate,
                                              unsigned int *minClockMHz, unsigned int *maxClockMHz)
{
    ENTER_GPU(device);
    NEED(minClockMHz && pstate <= NVML_PSTATE_15);
    SUPPORT(pstate == NVML_PSTATE_0);
    *minClockMHz = type == NVML_CLOCK_MEM ? control()->model->memory_mhz : 345;
    return maximum(type, maxClockMHz);
}

static nvmlReturn_t pstate(nvmlPstates_t *out)
{
    NEED(out);
    *out = NVML_PSTATE_0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPerformanceState(nvmlDevice_t device, nvmlPstates_t *pState)
{
    ENTER_GPU(device);
    return pstate(pState);
}

nvmlReturn_t nvmlDeviceGetPowerState(nvmlDevice_t device, nvmlPstates_t *pState)
{
    ENTER_GPU(device);
    return pstate(pState);
}

nvmlReturn_t nvmlDeviceGetSupportedPerformanceStates(nvmlDevice_t device, nvmlPstates_t *pstates, unsigned int size)
{
    ENTER_GPU(device);
    NEED(pstates && size >= sizeof *pstates);
    for (unsigned i = 0; i < size / sizeof *pstates; i++)
        pstates[i] = i ? NVML_PSTATE_UNKNOWN : NVML_PSTATE_0;
    return NVML_SUCCESS;
}

static nvmlReturn_t reasons(unsigned long long *out, unsigned long long mask)
{
    NEED(out);
    *out = mask;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *clocksEventReasons)
{
    ENTER_GPU(device);
    return reasons(clocksEventReasons, gpu_control(device->gpu)->throttle);
}

nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long *clocksThrottleReasons)
{
    ENTER_GPU(device);
    return reasons(clocksThrottleReasons, gpu_control(device->gpu)->throttle);
}

nvmlReturn_t nvmlDeviceGetSupportedClocksEventReasons(nvmlDevice_t device, unsigned long long *supportedClocksEventReasons)
{
    ENTER_GPU(device);
    return reasons(supportedClocksEventReasons, nvmlClocksEventReasonAll);
}

nvmlReturn_t nvmlDeviceGetSupportedClocksThrottleReasons(nvmlDevice_t device, unsigned long long *supportedClocksThrottleReasons)
{
    ENTER_GPU(device);
    return reasons(supportedClocksThrottleReasons, nvmlClocksEventReasonAll);
}

/* The reason bit whose time a field counts; -1: none. */
static int reason_bit(unsigned field)
{
    switch (field) {
    case NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP: return 2;
    case NVML_FI_DEV_CLOCKS_EVENT_REASON_SYNC_BOOST: return 4;
    case NVML_FI_DEV_PERF_POLICY_THERMAL:
    case NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN: return 5;
    case NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN: return 6;
    case NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN: return 7;
    case NVML_FI_DEV_PERF_POLICY_BOARD_LIMIT: return 9;
    case NVML_FI_DEV_PERF_POLICY_RELIABILITY: return 10;
    default: return -1;
    }
}

static unsigned long long held_back_ns(int gpu, unsigned field, double now)
{
    double seconds = wave_throttle_share(field, gpu) * (now - control()->t0);
    int bit = reason_bit(field);
    if (bit >= 0)
        seconds += throttled_seconds(gpu, bit, now);
    return seconds > 0 ? (unsigned long long)floor(seconds * 1e9) : 0;
}

nvmlReturn_t read_throttle(const struct reading *r)
{
    SUPPORT(r->field != NVML_FI_PWR_SMOOTHING_LIMITED_TIME || control()->model->blackwell);
    return give_u64(r, held_back_ns(r->gpu, r->field, r->now));
}

nvmlReturn_t nvmlDeviceGetViolationStatus(nvmlDevice_t device, nvmlPerfPolicyType_t perfPolicyType, nvmlViolationTime_t *violTime)
{
    ENTER_GPU(device);
    NEED(violTime && perfPolicyType < NVML_PERF_POLICY_COUNT);
    bool total = perfPolicyType >= NVML_PERF_POLICY_TOTAL_APP_CLOCKS;
    NEED(total || perfPolicyType <= NVML_PERF_POLICY_RELIABILITY);
    unsigned field = total ? NVML_FI_DEV_PERF_POLICY_TOTAL_APP_CLOCKS + (perfPolicyType - NVML_PERF_POLICY_TOTAL_APP_CLOCKS)
                           : NVML_FI_DEV_PERF_POLICY_POWER + perfPolicyType;
    double now = now_seconds();
    violTime->referenceTime = epoch_us(now);
    violTime->violationTime = held_back_ns(device->gpu, field, now);
    return NVML_SUCCESS;
}
