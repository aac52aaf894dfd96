/* SPDX-License-Identifier: Apache-2.0 */
/* GPM: two samples more than 100 ms apart give rates; the totals since reboot need only the second. */
#include "mock.h"

#define SM_HERTZ 1.5e9

struct nvmlGpmSample_st {
    int gpu;
    bool taken, instance;
    double t, t0, busy;
};

struct window {
    int gpu;
    bool instance;
    double seconds, busy, since_t0, busy_since_t0, end;
};

static nvmlReturn_t take(int gpu, bool instance, nvmlGpmSample_t sample)
{
    NEED(sample);
    SUPPORT(control()->model->gpm);
    double now = now_seconds();
    *sample = (struct nvmlGpmSample_st){gpu, true, instance, now, control()->t0, wave_busy_seconds(gpu, now)};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpmQueryDeviceSupport(nvmlDevice_t device, nvmlGpmSupport_t *gpmSupport)
{
    ENTER_ANY(device);
    NEED(gpmSupport);
    VERSION(gpmSupport, NVML_GPM_SUPPORT_VERSION);
    gpmSupport->isSupportedDevice = control()->model->gpm;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpmQueryIfStreamingEnabled(nvmlDevice_t device, unsigned int *state)
{
    ENTER_GPU(device);
    NEED(state);
    SUPPORT(control()->model->gpm);
    *state = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpmSampleAlloc(nvmlGpmSample_t *gpmSample)
{
    ENTER();
    NEED(gpmSample);
    *gpmSample = calloc(1, sizeof **gpmSample);
    return *gpmSample ? NVML_SUCCESS : NVML_ERROR_MEMORY;
}

nvmlReturn_t nvmlGpmSampleFree(nvmlGpmSample_t gpmSample)
{
    ENTER();
    NEED(gpmSample);
    free(gpmSample);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpmSampleGet(nvmlDevice_t device, nvmlGpmSample_t gpmSample)
{
    ENTER_ANY(device);
    return take(device->gpu, device->mig >= 0, gpmSample);
}

nvmlReturn_t nvmlGpmMigSampleGet(nvmlDevice_t device, unsigned int gpuInstanceId, nvmlGpmSample_t gpmSample)
{
    ENTER_GPU(device);
    int index = (int)gpuInstanceId - (int)mig_gpu_instance(0);
    NEED(index >= 0 && index < MAX_MIG && mig_exists(device->gpu, index));
    return take(device->gpu, true, gpmSample);
}

static nvmlReturn_t mib_per_second(double bytes_per_second, double *out)
{
    *out = bytes_per_second / (double)MIB;
    return NVML_SUCCESS;
}

static double link_rate(const struct window *w, unsigned link, bool transmit)
{
    if (gpu_control(w->gpu)->inactive_links >> link & 1)
        return 0.0;
    return transmit ? wave_nvlink_tx_rate(w->gpu, (int)link) : wave_nvlink_rx_rate(w->gpu, (int)link);
}

/* Ids come in pairs, receive before transmit. */
static nvmlReturn_t link_metric(const struct window *w, unsigned link, bool transmit, double *out)
{
    SUPPORT(!w->instance && link < control()->links);
    return mib_per_second(link_rate(w, link, transmit), out);
}

static nvmlReturn_t all_links(const struct window *w, bool transmit, double *out)
{
    SUPPORT(!w->instance && control()->links);
    double sum = 0;
    for (unsigned link = 0; link < control()->links; link++)
        sum += link_rate(w, link, transmit);
    return mib_per_second(sum, out);
}

/* Totals and data, transmit before receive: the whole chip first, then link by link. */
static nvmlReturn_t c2c(const struct window *w, unsigned offset, double *out)
{
    SUPPORT(!w->instance && control()->model->grace && offset / 4 <= C2C_LINKS);
    double rate = wave_c2c_tx_rate(w->gpu) * (offset % 2 ? 0.5 : 1.0) * (offset % 4 >= 2 ? 0.9 : 1.0);
    return mib_per_second(offset < 4 ? rate : rate / C2C_LINKS, out);
}

static nvmlReturn_t engine(unsigned index, unsigned present, unsigned percent, double *out)
{
    SUPPORT(index < present);
    *out = percent;
    return NVML_SUCCESS;
}

static nvmlReturn_t context_switches(const struct window *w, unsigned offset, double *out)
{
    const double values[] = {SM_HERTZ * w->seconds, 0.01 * SM_HERTZ * w->seconds, 100.0 * w->seconds, 1.5e5, 1.0};
    SUPPORT(offset < 5);
    *out = values[offset];
    return NVML_SUCCESS;
}

static nvmlReturn_t since_reboot(const struct window *w, unsigned metric, double *out)
{
    static const unsigned shares[] = {NVML_GPM_METRIC_SM_UTIL, NVML_GPM_METRIC_ANY_TENSOR_UTIL,
                                      NVML_GPM_METRIC_DMMA_TENSOR_UTIL, NVML_GPM_METRIC_HMMA_TENSOR_UTIL,
                                      NVML_GPM_METRIC_IMMA_TENSOR_UTIL, NVML_GPM_METRIC_DFMA_TENSOR_UTIL,
                                      0, 0, NVML_GPM_METRIC_INTEGER_UTIL, NVML_GPM_METRIC_FP64_UTIL,
                                      NVML_GPM_METRIC_FP32_UTIL, NVML_GPM_METRIC_FP16_UTIL};
    if (metric == NVML_GPM_METRIC_PCIE_TX || metric == NVML_GPM_METRIC_PCIE_RX) {
        SUPPORT(!w->instance);
        *out = (double)pcie_bytes(w->gpu, metric == NVML_GPM_METRIC_PCIE_TX, w->end);
    } else if (metric == NVML_GPM_METRIC_SM_CYCLES_ELAPSED) {
        *out = SM_HERTZ * w->since_t0;
    } else {
        *out = SM_HERTZ * wave_gpm_factor(shares[metric - NVML_GPM_METRIC_SM_CYCLES_ACTIVE]) * w->busy_since_t0;
    }
    return NVML_SUCCESS;
}

static nvmlReturn_t compute(const struct window *w, unsigned id, double *out)
{
    if (id >= NVML_GPM_METRIC_GRAPHICS_UTIL && id <= NVML_GPM_METRIC_FP16_UTIL) {
        *out = 100.0 * wave_gpm_factor(id) * w->busy / w->seconds;
        return NVML_SUCCESS;
    }
    if (id == NVML_GPM_METRIC_PCIE_TX_PER_SEC || id == NVML_GPM_METRIC_PCIE_RX_PER_SEC) {
        SUPPORT(!w->instance);
        bool transmit = id == NVML_GPM_METRIC_PCIE_TX_PER_SEC;
        return mib_per_second(transmit ? wave_pcie_tx_rate(w->gpu) : wave_pcie_rx_rate(w->gpu), out);
    }
    if (id >= 30 && id <= 37) return engine(id - 30, 7, wave_decoder(w->gpu), out);
    if (id >= 40 && id <= 47) return engine(id - 40, 7, wave_jpeg(w->gpu), out);
    if (id >= 50 && id <= 51) return engine(id - 50, 1, wave_ofa(w->gpu), out);
    if (id == NVML_GPM_METRIC_NVLINK_TOTAL_RX_PER_SEC) return all_links(w, false, out);
    if (id == NVML_GPM_METRIC_NVLINK_TOTAL_TX_PER_SEC) return all_links(w, true, out);
    if (id >= 62 && id <= 97) return link_metric(w, (id - 62) / 2, id % 2, out);
    if (id >= 100 && id <= 159) return c2c(w, id - 100, out);
    if (id >= 160 && id <= 165) {
        SUPPORT(control()->model->blackwell);
        *out = id % 2 ? 20.0 : 80.0;
        return NVML_SUCCESS;
    }
    if (id >= 170 && id <= 209) return context_switches(w, id - 170, out);
    if (id >= 212 && id <= 247) return link_metric(w, 18 + (id - 212) / 2, id % 2, out);
    if (id >= 248 && id <= 260) return since_reboot(w, id, out);
    if (id >= 261 && id <= 404) {
        SUPPORT(!w->instance && (id - 261) / 2 < control()->links);
        *out = nvlink_bytes(w->gpu, (int)(id - 261) / 2, id % 2 == 0, w->end);
        return NVML_SUCCESS;
    }
    return NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t nvmlGpmMetricsGet(nvmlGpmMetricsGet_t *metricsGet)
{
    nvmlGpmSample_t first = metricsGet ? metricsGet->sample1 : NULL, second = metricsGet ? metricsGet->sample2 : NULL;
    TRY(enter_call(__func__, second ? second->gpu : -1));
    NEED(first && second && first->taken && second->taken && metricsGet->numMetrics <= NVML_GPM_METRIC_MAX);
    VERSION(metricsGet, NVML_GPM_METRICS_GET_VERSION);
    NEED(first->gpu == second->gpu && first->instance == second->instance);
    double seconds = second->t - first->t;
    if (seconds < 0.1 || first->t0 != second->t0)
        return NVML_ERROR_INVALID_STATE;
    struct window w = {second->gpu, second->instance, seconds, second->busy - first->busy, second->t - second->t0,
                       second->busy - wave_busy_seconds(second->gpu, second->t0), second->t};
    for (unsigned i = 0; i < metricsGet->numMetrics; i++) {
        nvmlGpmMetric_t *m = &metricsGet->metrics[i];
        memset(&m->metricInfo, 0, sizeof m->metricInfo);
        m->value = 0;
        m->nvmlReturn = m->metricId && m->metricId < NVML_GPM_METRIC_MAX ? compute(&w, m->metricId, &m->value)
                                                                        : NVML_ERROR_INVALID_ARGUMENT;
    }
    return NVML_SUCCESS;
}
