/* SPDX-License-Identifier: Apache-2.0 */
/* The signals as functions of CLOCK_MONOTONIC seconds. Units, reasons: agent/system/nvml/waves.py. */
#include "mock.h"

#include <math.h>

#define TURN (2.0 * 3.141592653589793)

static double phase(int gpu) { return gpu / 8.0; }

static double sine(double t, double period, int gpu) { return sin(TURN * (t / period + phase(gpu))); }

double step_time(double t) { return floor(t * 10.0) / 10.0; }

double wave_power(int gpu, double t)
{
    const struct model *m = control()->model;
    return m->base_watts + 20.0 * gpu + m->amplitude_watts * sine(t, 20.0, gpu);
}

double wave_energy(int gpu, double t, double t0)
{
    const struct model *m = control()->model;
    double swing = cos(TURN * (t0 / 20.0 + phase(gpu))) - cos(TURN * (t / 20.0 + phase(gpu)));
    return (m->base_watts + 20.0 * gpu) * (t - t0) + m->amplitude_watts * 20.0 / TURN * swing;
}

double wave_power_average(int gpu, double t) { return wave_energy(gpu, t, t - 1.0); }

unsigned long long wave_energy_mj(int gpu, double t, double t0)
{
    double at = step_time(t);
    return at <= t0 ? 0 : (unsigned long long)floor(wave_energy(gpu, at, t0) * 1000.0);
}

unsigned wave_utilization(int gpu, double t) { return (unsigned)floor(50.0 + 45.0 * sine(t, 30.0, gpu) + 0.5); }

double wave_busy_seconds(int gpu, double t)
{
    return 0.5 * t + 0.45 * 30.0 / TURN * (cos(TURN * phase(gpu)) - cos(TURN * (t / 30.0 + phase(gpu))));
}

unsigned wave_encoder(int gpu) { return 1u + gpu % 8; }
unsigned wave_decoder(int gpu) { return 2u + gpu % 8; }
unsigned wave_jpeg(int gpu) { return 3u + gpu % 8; }
unsigned wave_ofa(int gpu) { return 4u + gpu % 8; }

unsigned long long wave_memory_used(int gpu, double t)
{
    double swing = 4.0 * GIB * (1.0 + sine(t, 60.0, 0)) / 2.0;
    return (20u + gpu) * GIB + (unsigned long long)floor(swing);
}

double wave_temperature(int gpu, double t) { return 50.0 + gpu + 10.0 * sine(t, 60.0, gpu); }
double wave_hotspot(int gpu, double t) { return wave_temperature(gpu, t) + 6.0; }
double wave_memory_temperature(int gpu, double t) { return wave_temperature(gpu, t) + 10.0; }

unsigned wave_sm_clock(int gpu, double t)
{
    double drop = 15.0 * gpu + 60.0 * (1.0 + sine(t, 30.0, gpu)) / 2.0;
    return control()->model->sm_mhz - (unsigned)floor(drop);
}

unsigned wave_fan_percent(int fan, double t) { return (unsigned)floor(30.0 + 5.0 * fan + 10.0 * (1.0 + sine(t, 60.0, 0))); }

double wave_pcie_tx_rate(int gpu) { return 0.4e9 + 0.05e9 * gpu; }
double wave_pcie_rx_rate(int gpu) { return 0.3e9 + 0.05e9 * gpu; }
double wave_nvlink_tx_rate(int gpu, int link) { return (1.0 + 0.1 * link + 0.05 * gpu) * 1e9; }
double wave_nvlink_rx_rate(int gpu, int link) { return 0.9 * wave_nvlink_tx_rate(gpu, link); }
double wave_c2c_tx_rate(int gpu) { return (20.0 + gpu) * 1e9; }

double wave_throttle_share(unsigned field, int gpu)
{
    double scale = 1.0 + 0.1 * gpu;
    switch (field) {
    case NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_POWER_CAP: return 0.01 * scale;
    case NVML_FI_DEV_PERF_POLICY_THERMAL:
    case NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN: return 0.002 * scale;
    case NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN: return 0.0002 * scale;
    case NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN: return 0.0001 * scale;
    case NVML_FI_DEV_PERF_POLICY_BOARD_LIMIT: return 0.001 * scale;
    case NVML_FI_DEV_PERF_POLICY_LOW_UTILIZATION: return 0.005 * scale;
    case NVML_FI_DEV_PERF_POLICY_RELIABILITY: return 0.0005 * scale;
    case NVML_FI_DEV_PERF_POLICY_TOTAL_BASE_CLOCKS: return 0.0003 * scale;
    case NVML_FI_PWR_SMOOTHING_LIMITED_TIME: return 0.003 * scale;
    default: return 0.0;
    }
}

double wave_gpm_factor(unsigned metric)
{
    switch (metric) {
    case NVML_GPM_METRIC_GRAPHICS_UTIL: return 1.0;
    case NVML_GPM_METRIC_SM_UTIL: return 0.9;
    case NVML_GPM_METRIC_SM_OCCUPANCY: return 0.5;
    case NVML_GPM_METRIC_INTEGER_UTIL: return 0.3;
    case NVML_GPM_METRIC_ANY_TENSOR_UTIL: return 0.6;
    case NVML_GPM_METRIC_DFMA_TENSOR_UTIL: return 0.02;
    case NVML_GPM_METRIC_HMMA_TENSOR_UTIL: return 0.55;
    case NVML_GPM_METRIC_DMMA_TENSOR_UTIL: return 0.01;
    case NVML_GPM_METRIC_IMMA_TENSOR_UTIL: return 0.03;
    case NVML_GPM_METRIC_DRAM_BW_UTIL: return 0.4;
    case NVML_GPM_METRIC_FP64_UTIL: return 0.05;
    case NVML_GPM_METRIC_FP32_UTIL: return 0.2;
    case NVML_GPM_METRIC_FP16_UTIL: return 0.1;
    default: return 0.0;
    }
}

unsigned wave_nvlink_replay(int gpu, int link) { return 10u * gpu + link; }
unsigned wave_nvlink_recovery(int gpu, int link) { return (unsigned)(gpu + link) % 3; }
unsigned wave_nvlink_crc(int gpu, int link) { return (unsigned)(gpu + 2 * link); }
