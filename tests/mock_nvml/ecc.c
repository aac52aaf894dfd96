/* SPDX-License-Identifier: Apache-2.0 */
/* Memory errors: ECC counters, remapped rows, repair state. Ampere and later: no retired pages. */
#include "mock.h"

enum { BANKS = 640 };

/* A board has an old history of corrected errors: as many as its index. */
static unsigned long long count(int gpu, nvmlMemoryErrorType_t type, nvmlEccCounterType_t counter)
{
    const struct gpu_control *g = gpu_control(gpu);
    if (type == NVML_MEMORY_ERROR_TYPE_UNCORRECTED)
        return g->ecc_uncorrected;
    return g->ecc_corrected + (counter == NVML_AGGREGATE_ECC ? (unsigned)gpu : 0u);
}

nvmlReturn_t nvmlDeviceGetEccMode(nvmlDevice_t device, nvmlEnableState_t *current, nvmlEnableState_t *pending)
{
    ENTER_GPU(device);
    NEED(current && pending);
    *current = *pending = NVML_FEATURE_ENABLED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetDefaultEccMode(nvmlDevice_t device, nvmlEnableState_t *defaultMode)
{
    ENTER_GPU(device);
    NEED(defaultMode);
    *defaultMode = NVML_FEATURE_ENABLED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, nvmlMemoryErrorType_t errorType,
                                         nvmlEccCounterType_t counterType, unsigned long long *eccCounts)
{
    ENTER_GPU(device);
    NEED(eccCounts && errorType < NVML_MEMORY_ERROR_TYPE_COUNT && counterType < NVML_ECC_COUNTER_TYPE_COUNT);
    *eccCounts = count(device->gpu, errorType, counterType);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetDetailedEccErrors(nvmlDevice_t device, nvmlMemoryErrorType_t errorType,
                                            nvmlEccCounterType_t counterType, nvmlEccErrorCounts_t *eccCounts)
{
    ENTER_GPU(device);
    NEED(eccCounts && errorType < NVML_MEMORY_ERROR_TYPE_COUNT && counterType < NVML_ECC_COUNTER_TYPE_COUNT);
    *eccCounts = (nvmlEccErrorCounts_t){.deviceMemory = count(device->gpu, errorType, counterType)};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryErrorCounter(nvmlDevice_t device, nvmlMemoryErrorType_t errorType,
                                             nvmlEccCounterType_t counterType, nvmlMemoryLocation_t locationType,
                                             unsigned long long *out)
{
    ENTER_ANY(device);
    NEED(out && errorType < NVML_MEMORY_ERROR_TYPE_COUNT && counterType < NVML_ECC_COUNTER_TYPE_COUNT);
    NEED(locationType < NVML_MEMORY_LOCATION_COUNT);
    bool dram = locationType == NVML_MEMORY_LOCATION_DRAM;
    SUPPORT(dram || locationType == NVML_MEMORY_LOCATION_SRAM);
    SUPPORT(device->mig < 0
            || (!dram && errorType == NVML_MEMORY_ERROR_TYPE_UNCORRECTED && counterType == NVML_VOLATILE_ECC));
    *out = dram ? count(device->gpu, errorType, counterType) : 0;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetSramEccErrorStatus(nvmlDevice_t device, nvmlEccSramErrorStatus_t *status)
{
    ENTER_GPU(device);
    NEED(status);
    VERSION(status, nvmlEccSramErrorStatus_v1);
    if (!control()->root)
        return NVML_ERROR_NO_PERMISSION;
    *status = (nvmlEccSramErrorStatus_t){.version = status->version, .aggregateCor = (unsigned)device->gpu};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetSramUniqueUncorrectedEccErrorCounts(nvmlDevice_t device,
                                                              nvmlEccSramUniqueUncorrectedErrorCounts_t *errorCounts)
{
    ENTER_GPU(device);
    NEED(errorCounts);
    VERSION(errorCounts, nvmlEccSramUniqueUncorrectedErrorCounts_v1);
    if (!control()->root)
        return NVML_ERROR_NO_PERMISSION;
    SUPPORT(control()->model->blackwell);
    errorCounts->entryCount = 0;
    return NVML_SUCCESS;
}

static bool no_instances(int gpu) { return gpu_control(gpu)->mig_instances <= 0; }

nvmlReturn_t nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned int *corrRows, unsigned int *uncRows,
                                       unsigned int *isPending, unsigned int *failureOccurred)
{
    ENTER_GPU(device);
    NEED(corrRows && uncRows && isPending && failureOccurred);
    SUPPORT(no_instances(device->gpu));
    const unsigned *remap = gpu_control(device->gpu)->remap;
    *corrRows = remap[0];
    *uncRows = remap[1];
    *isPending = remap[2];
    *failureOccurred = remap[3];
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetRemappedRows_v2(nvmlDevice_t device, nvmlRemappedRowsInfo_v2_t *info)
{
    ENTER_GPU(device);
    NEED(info);
    SUPPORT(no_instances(device->gpu));
    const unsigned *remap = gpu_control(device->gpu)->remap;
    *info = (nvmlRemappedRowsInfo_v2_t){.corrActiveRemaps = remap[0], .uncActiveRemaps = remap[1],
                                        .bPending = remap[2], .bFailureOccurred = remap[3]};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetRowRemapperHistogram(nvmlDevice_t device, nvmlRowRemapperHistogramValues_t *values)
{
    ENTER_GPU(device);
    NEED(values);
    const unsigned *remap = gpu_control(device->gpu)->remap;
    unsigned used = remap[0] + remap[1] < BANKS ? remap[0] + remap[1] : BANKS;
    *values = (nvmlRowRemapperHistogramValues_t){.max = BANKS - used, .high = used - (remap[3] && used), .none = remap[3] && used};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetRetiredPages(nvmlDevice_t device, nvmlPageRetirementCause_t cause, unsigned int *pageCount,
                                       unsigned long long *addresses)
{
    (void)addresses;
    ENTER_GPU(device);
    NEED(pageCount && cause < NVML_PAGE_RETIREMENT_CAUSE_COUNT);
    return NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t nvmlDeviceGetRetiredPages_v2(nvmlDevice_t device, nvmlPageRetirementCause_t cause, unsigned int *pageCount,
                                          unsigned long long *addresses, unsigned long long *timestamps)
{
    (void)addresses, (void)timestamps;
    ENTER_GPU(device);
    NEED(pageCount && cause < NVML_PAGE_RETIREMENT_CAUSE_COUNT);
    return NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t nvmlDeviceGetRetiredPagesPendingStatus(nvmlDevice_t device, nvmlEnableState_t *isPending)
{
    ENTER_GPU(device);
    NEED(isPending);
    return NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t nvmlDeviceGetRepairStatus(nvmlDevice_t device, nvmlRepairStatus_t *repairStatus)
{
    ENTER_GPU(device);
    NEED(repairStatus);
    VERSION(repairStatus, nvmlRepairStatus_v1);
    *repairStatus = (nvmlRepairStatus_t){.version = repairStatus->version};
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetUnrepairableMemoryFlag_v1(nvmlDevice_t device, nvmlUnrepairableMemoryStatus_v1_t *status)
{
    ENTER_GPU(device);
    NEED(status);
    status->bUnrepairableMemory = gpu_control(device->gpu)->remap[3];
    return NVML_SUCCESS;
}

nvmlReturn_t read_ecc(const struct reading *r)
{
    switch (r->field) {
    case NVML_FI_DEV_ECC_CURRENT:
    case NVML_FI_DEV_ECC_PENDING: return give_u32(r, 1);
    case NVML_FI_DEV_ECC_SBE_VOL_TOTAL:
    case NVML_FI_DEV_ECC_SBE_VOL_DEV:
        return give_u64(r, count(r->gpu, NVML_MEMORY_ERROR_TYPE_CORRECTED, NVML_VOLATILE_ECC));
    case NVML_FI_DEV_ECC_DBE_VOL_TOTAL:
    case NVML_FI_DEV_ECC_DBE_VOL_DEV:
        return give_u64(r, count(r->gpu, NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC));
    case NVML_FI_DEV_ECC_SBE_AGG_TOTAL:
    case NVML_FI_DEV_ECC_SBE_AGG_DEV:
        return give_u64(r, count(r->gpu, NVML_MEMORY_ERROR_TYPE_CORRECTED, NVML_AGGREGATE_ECC));
    case NVML_FI_DEV_ECC_DBE_AGG_TOTAL:
    case NVML_FI_DEV_ECC_DBE_AGG_DEV:
        return give_u64(r, count(r->gpu, NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_AGGREGATE_ECC));
    default: return NVML_ERROR_NOT_SUPPORTED;
    }
}

nvmlReturn_t read_remap(const struct reading *r)
{
    SUPPORT(no_instances(r->gpu));
    bool active = r->field <= NVML_FI_DEV_REMAPPED_FAILURE;
    return give_u32(r, active ? gpu_control(r->gpu)->remap[r->field - NVML_FI_DEV_REMAPPED_COR] : 0);
}
