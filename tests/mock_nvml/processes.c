/* SPDX-License-Identifier: Apache-2.0 */
/* Who runs on a GPU, how much memory each holds, how busy each keeps it. */
#include "mock.h"

#include <math.h>

enum { UTILIZATION_ENTRIES = 100 };

/* Processes of a GPU in MIG mode are dealt to its instances in turn. */
static int instance_of(int gpu, unsigned nth)
{
    int count = gpu_control(gpu)->mig_instances, wanted;
    if (!mig_mode(gpu) || count <= 0)
        return -1;
    wanted = (int)(nth % (unsigned)count);
    for (int index = 0; index < MAX_MIG; index++)
        if (mig_exists(gpu, index) && wanted-- == 0)
            return index;
    return -1;
}

static bool runs_here(nvmlDevice_t device, unsigned nth, const char *types)
{
    const struct process *p = &gpu_control(device->gpu)->process[nth];
    return strchr(types, p->type) && (device->mig < 0 || device->mig == instance_of(device->gpu, nth));
}

static unsigned count_here(nvmlDevice_t device, const char *types)
{
    unsigned found = 0;
    for (unsigned i = 0; i < gpu_control(device->gpu)->processes; i++)
        found += runs_here(device, i, types);
    return found;
}

static nvmlReturn_t may_look(nvmlDevice_t device)
{
    bool aggregate = device->mig < 0 && mig_mode(device->gpu);
    return aggregate && !control()->root ? NVML_ERROR_NO_PERMISSION : NVML_SUCCESS;
}

static nvmlReturn_t list(nvmlDevice_t device, const char *types, unsigned *count, nvmlProcessInfo_t *infos)
{
    NEED(count);
    TRY(may_look(device));
    unsigned room = infos ? *count : 0, found = 0;
    *count = count_here(device, types);
    if (*count > room)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < gpu_control(device->gpu)->processes; i++) {
        if (!runs_here(device, i, types))
            continue;
        const struct process *p = &gpu_control(device->gpu)->process[i];
        int index = instance_of(device->gpu, i);
        infos[found++] = (nvmlProcessInfo_t){.pid = p->pid, .usedGpuMemory = p->mib * MIB,
                                             .gpuInstanceId = index < 0 ? NO_INSTANCE : mig_gpu_instance(index),
                                             .computeInstanceId = index < 0 ? NO_INSTANCE : 0};
    }
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *infoCount, nvmlProcessInfo_t *infos)
{
    ENTER_ANY(device);
    return list(device, "C", infoCount, infos);
}

nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned int *infoCount, nvmlProcessInfo_t *infos)
{
    ENTER_ANY(device);
    return list(device, "G", infoCount, infos);
}

nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *infoCount, nvmlProcessInfo_t *infos)
{
    ENTER_ANY(device);
    return list(device, "M", infoCount, infos);
}

nvmlReturn_t nvmlDeviceGetRunningProcessDetailList(nvmlDevice_t device, nvmlProcessDetailList_t *plist)
{
    static const char *const types[] = {"C", "G", "M", "CGM"};
    ENTER_ANY(device);
    NEED(plist && plist->mode < NVML_PROCESS_MODE_MAX);
    VERSION(plist, nvmlProcessDetailList_v1);
    SUPPORT(control()->model->gpm);
    TRY(may_look(device));
    unsigned room = plist->procArray ? plist->numProcArrayEntries : 0, found = 0;
    plist->numProcArrayEntries = count_here(device, types[plist->mode]);
    if (plist->numProcArrayEntries > room)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < gpu_control(device->gpu)->processes; i++) {
        if (!runs_here(device, i, types[plist->mode]))
            continue;
        const struct process *p = &gpu_control(device->gpu)->process[i];
        int index = instance_of(device->gpu, i);
        plist->procArray[found++] = (nvmlProcessDetail_v1_t){
            .pid = p->pid, .usedGpuMemory = p->mib * MIB, .gpuInstanceId = index < 0 ? NO_INSTANCE : mig_gpu_instance(index),
            .computeInstanceId = index < 0 ? NO_INSTANCE : 0};
    }
    return NVML_SUCCESS;
}

/* One sample a second for each process; the processes of a GPU share its utilization equally. */
static nvmlReturn_t sample(nvmlDevice_t device, unsigned long long last_seen, unsigned long long *stamp, unsigned *percent)
{
    SUPPORT(!mig_mode(device->gpu));
    double at = floor(now_seconds());
    unsigned processes = gpu_control(device->gpu)->processes;
    *stamp = epoch_us(at);
    if (!processes || *stamp <= last_seen)
        return NVML_ERROR_NOT_FOUND;
    *percent = wave_utilization(device->gpu, at) / processes;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device, nvmlProcessUtilizationSample_t *utilization,
                                             unsigned int *processSamplesCount, unsigned long long lastSeenTimeStamp)
{
    unsigned long long stamp;
    unsigned percent;
    ENTER_GPU(device);
    NEED(processSamplesCount);
    SUPPORT(!mig_mode(device->gpu));
    const struct gpu_control *g = gpu_control(device->gpu);
    if (!utilization || *processSamplesCount < g->processes) {
        *processSamplesCount = UTILIZATION_ENTRIES;
        return NVML_ERROR_INSUFFICIENT_SIZE;
    }
    TRY(sample(device, lastSeenTimeStamp, &stamp, &percent));
    for (unsigned i = 0; i < g->processes; i++)
        utilization[i] = (nvmlProcessUtilizationSample_t){.pid = g->process[i].pid, .timeStamp = stamp, .smUtil = percent,
                                                          .memUtil = percent / 2};
    *processSamplesCount = g->processes;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetProcessesUtilizationInfo(nvmlDevice_t device, nvmlProcessesUtilizationInfo_t *info)
{
    unsigned long long stamp;
    unsigned percent;
    ENTER_GPU(device);
    NEED(info);
    VERSION(info, nvmlProcessesUtilizationInfo_v1);
    SUPPORT(!mig_mode(device->gpu));
    const struct gpu_control *g = gpu_control(device->gpu);
    if (!info->procUtilArray || info->processSamplesCount < g->processes) {
        info->processSamplesCount = UTILIZATION_ENTRIES;
        return NVML_ERROR_INSUFFICIENT_SIZE;
    }
    TRY(sample(device, info->lastSeenTimeStamp, &stamp, &percent));
    for (unsigned i = 0; i < g->processes; i++)
        info->procUtilArray[i] = (nvmlProcessUtilizationInfo_v1_t){.timeStamp = stamp, .pid = g->process[i].pid,
                                                                   .smUtil = percent, .memUtil = percent / 2};
    info->processSamplesCount = g->processes;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAccountingPids(nvmlDevice_t device, unsigned int *count, unsigned int *pids)
{
    (void)pids;
    ENTER_GPU(device);
    NEED(count);
    *count = 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAccountingStats(nvmlDevice_t device, unsigned int pid, nvmlAccountingStats_t *stats)
{
    (void)pid;
    ENTER_GPU(device);
    NEED(stats);
    return NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetAccountingStats_v2(nvmlDevice_t device, nvmlAccountingStats_v2_t *stats)
{
    ENTER_GPU(device);
    NEED(stats);
    return NVML_ERROR_NOT_FOUND;
}
