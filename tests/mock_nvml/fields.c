/* SPDX-License-Identifier: Apache-2.0 */
/* nvmlDeviceGetFieldValues: each entry has its own status, type and time. */
#include "mock.h"

typedef nvmlReturn_t reader(const struct reading *);

static reader *const readers[NVML_FI_MAX] = {
    [1 ... 31] = read_ecc,
    [32 ... 59] = read_nvlink_lane,
    [74 ... 81] = read_throttle,
    [82] = read_temperature,
    [83] = read_power,
    [84 ... 91] = read_nvlink,
    [92 ... 93] = read_ecc,
    [94 ... 95] = read_pcie,
    [96 ... 119] = read_nvlink_lane,
    [132 ... 141] = read_nvlink,
    [142 ... 145] = read_remap,
    [146 ... 147] = read_nvlink,
    [148 ... 160] = read_nvlink_lane,
    [161 ... 168] = read_nvlink,
    [169] = read_pcie,
    [170 ... 172] = read_c2c,
    [173 ... 183] = read_pcie,
    [184] = read_misc,
    [185 ... 192] = read_power,
    [193 ... 196] = read_temperature,
    [197 ... 198] = read_pcie,
    [199] = read_misc,
    [200] = read_nvlink,
    [201 ... 222] = read_nvlink5,
    [223 ... 225] = read_nvlink,
    [226 ... 230] = read_misc,
    [231 ... 234] = read_c2c,
    [235 ... 250] = read_nvlink5,
    [251 ... 268] = read_smoothing,
    [269 ... 271] = read_throttle,
    [272 ... 274] = read_misc,
    [275 ... 288] = read_smoothing,
    [289 ... 296] = read_nvlink5,
    [297 ... 299] = read_misc,
    [300] = read_smoothing,
    [301 ... 302] = read_remap,
    [308] = read_temperature,
    [309] = read_throttle,
};

nvmlReturn_t give_u32(const struct reading *r, unsigned value)
{
    r->out->valueType = NVML_VALUE_TYPE_UNSIGNED_INT;
    r->out->value.uiVal = value;
    return NVML_SUCCESS;
}

nvmlReturn_t give_u64(const struct reading *r, unsigned long long value)
{
    r->out->valueType = NVML_VALUE_TYPE_UNSIGNED_LONG_LONG;
    r->out->value.ullVal = value;
    return NVML_SUCCESS;
}

nvmlReturn_t give_s32(const struct reading *r, int value)
{
    r->out->valueType = NVML_VALUE_TYPE_SIGNED_INT;
    r->out->value.siVal = value;
    return NVML_SUCCESS;
}

nvmlReturn_t give_double(const struct reading *r, double value)
{
    r->out->valueType = NVML_VALUE_TYPE_DOUBLE;
    r->out->value.dVal = value;
    return NVML_SUCCESS;
}

nvmlReturn_t read_misc(const struct reading *r)
{
    switch (r->field) {
    case NVML_FI_DEV_GET_GPU_RECOVERY_ACTION: return give_u32(r, gpu_control(r->gpu)->recovery);
    case NVML_FI_DEV_IS_RESETLESS_MIG_SUPPORTED: return give_u32(r, control()->model->gpm);
    case NVML_FI_DEV_IS_MIG_MODE_INDEPENDENT_MIG_QUERY_CAPABLE: return give_u32(r, 0);
    case NVML_FI_DEV_MMA_STALL_PERCENT: SUPPORT(control()->model->blackwell); return give_u32(r, 3);
    default: return NVML_ERROR_NOT_SUPPORTED;
    }
}

static bool is_ecc_total(unsigned field) { return field >= NVML_FI_DEV_ECC_SBE_VOL_TOTAL && field <= NVML_FI_DEV_ECC_DBE_AGG_TOTAL; }

static bool is_nvlink_count(unsigned field)
{
    return (field >= NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX && field <= NVML_FI_DEV_NVLINK_THROUGHPUT_RAW_RX)
        || (field >= NVML_FI_DEV_NVLINK_ERROR_DL_REPLAY && field <= NVML_FI_DEV_NVLINK_ERROR_DL_CRC)
        || (field >= NVML_FI_DEV_NVLINK_COUNT_XMIT_PACKETS && field <= NVML_FI_DEV_NVLINK_COUNT_SYMBOL_BER)
        || (field >= NVML_FI_DEV_NVLINK_COUNT_FEC_HISTORY_0 && field <= NVML_FI_DEV_NVLINK_COUNT_FEC_HISTORY_15);
}

/* Some drivers answer nothing at all when these two kinds stand in one call (DCGM issue 265). */
static bool spoiled(int count, const nvmlFieldValue_t *values)
{
    bool ecc = false, nvlink = false;
    for (int i = 0; control()->spoil && i < count; i++) {
        ecc |= is_ecc_total(values[i].fieldId);
        nvlink |= is_nvlink_count(values[i].fieldId);
    }
    return ecc && nvlink;
}

static nvmlReturn_t read_field(const struct reading *r)
{
    for (unsigned i = 0; i < control()->field_faults; i++) {
        const struct field_fault *f = &control()->field_fault[i];
        if (f->field == r->field && (f->gpu < 0 || f->gpu == r->gpu))
            return f->code;
    }
    if (!r->field || r->field >= NVML_FI_MAX)
        return NVML_ERROR_INVALID_ARGUMENT;
    return readers[r->field] ? readers[r->field](r) : NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int valuesCount, nvmlFieldValue_t *values)
{
    ENTER_GPU(device);
    NEED(values && valuesCount > 0);
    bool spoil = spoiled(valuesCount, values);
    double now = now_seconds();
    long long stamp = (long long)epoch_us(now);
    for (int i = 0; i < valuesCount; i++) {
        struct reading r = {device->gpu, now, values[i].fieldId, values[i].scopeId, &values[i]};
        values[i].timestamp = stamp;
        values[i].latencyUsec = 1;
        values[i].nvmlReturn = spoil ? NVML_ERROR_NOT_SUPPORTED : read_field(&r);
    }
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceClearFieldValues(nvmlDevice_t device, int valuesCount, nvmlFieldValue_t *values)
{
    ENTER_GPU(device);
    NEED(values && valuesCount > 0);
    return NVML_ERROR_NO_PERMISSION;
}
