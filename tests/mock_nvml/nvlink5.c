/* SPDX-License-Identifier: Apache-2.0 */
/* The NVLink counters that came with NVLink 5: packets, error kinds, bit error rates, FEC bins. */
#include "mock.h"

#include <math.h>

enum { PACKET_BYTES = 256, DATA_RATE_MBPS = 50000 };

/* Mantissa in bits 8-11, exponent in 0-7: m x 10^-e; 15 and 255 stand for zero. */
static unsigned error_rate(unsigned mantissa, unsigned exponent) { return mantissa << 8 | exponent; }

static double fec_bin(unsigned bin, int link) { return bin < 10 ? floor(1e9 / pow(10.0, bin)) * (link + 1) : 0.0; }

static double of_link(const struct reading *r, int link)
{
    double up = r->now - control()->t0;
    switch (r->field) {
    case NVML_FI_DEV_NVLINK_COUNT_XMIT_PACKETS: return floor(nvlink_bytes(r->gpu, link, true, r->now) / PACKET_BYTES);
    case NVML_FI_DEV_NVLINK_COUNT_XMIT_BYTES: return floor(nvlink_bytes(r->gpu, link, true, r->now));
    case NVML_FI_DEV_NVLINK_COUNT_RCV_PACKETS: return floor(nvlink_bytes(r->gpu, link, false, r->now) / PACKET_BYTES);
    case NVML_FI_DEV_NVLINK_COUNT_RCV_BYTES: return floor(nvlink_bytes(r->gpu, link, false, r->now));
    case NVML_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_SUCCESSFUL_EVENTS:
    case NVML_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_EVENTS: return wave_nvlink_recovery(r->gpu, link);
    case NVML_FI_DEV_NVLINK_COUNT_LINK_RECOVERY_FAILED_EVENTS: return 0;
    case NVML_FI_DEV_NVLINK_COUNT_EFFECTIVE_ERRORS: return 7.0 * link;
    case NVML_FI_DEV_NVLINK_COUNT_SYMBOL_ERRORS: return 3.0 * link;
    case NVML_FI_DEV_NVLINK_COUNT_RAW_ERRORS_LANE0:
    case NVML_FI_DEV_NVLINK_COUNT_RAW_ERRORS_LANE1: return 1000.0 * link;
    case NVML_FI_DEV_NVLINK_PLR_XMIT_BLOCKS: return up > 0 ? floor(1e6 * up) : 0;
    case NVML_FI_DEV_NVLINK_PLR_XMIT_RETRY_BLOCKS: return up > 0 ? floor(10.0 * up) : 0;
    default: break;
    }
    if (r->field >= NVML_FI_DEV_NVLINK_COUNT_FEC_HISTORY_0 && r->field <= NVML_FI_DEV_NVLINK_COUNT_FEC_HISTORY_15)
        return fec_bin(r->field - NVML_FI_DEV_NVLINK_COUNT_FEC_HISTORY_0, link);
    /* 206-212: packets that went wrong, by kind. */
    return (double)((unsigned)link + (r->field - NVML_FI_DEV_NVLINK_COUNT_MALFORMED_PACKET_ERRORS)) * r->gpu;
}

static nvmlReturn_t counter(const struct reading *r)
{
    if (r->scope != ALL_LINKS)
        return give_u64(r, (unsigned long long)of_link(r, (int)r->scope));
    double sum = 0;
    for (unsigned link = 0; link < control()->links; link++)
        sum += of_link(r, (int)link);
    return give_u64(r, (unsigned long long)sum);
}

nvmlReturn_t read_nvlink5(const struct reading *r)
{
    SUPPORT(control()->model->blackwell && control()->links);
    NEED(r->scope == ALL_LINKS || r->scope < control()->links);
    SUPPORT(r->scope == ALL_LINKS || !(gpu_control(r->gpu)->inactive_links >> r->scope & 1));
    switch (r->field) {
    case NVML_FI_DEV_NVLINK_COUNT_VL15_DROPPED:
    case NVML_FI_DEV_NVLINK_COUNT_RAW_BER_LANE0:
    case NVML_FI_DEV_NVLINK_COUNT_RAW_BER_LANE1:
    case NVML_FI_DEV_NVLINK_COUNT_RAW_BER: return NVML_ERROR_NOT_SUPPORTED;
    case NVML_FI_DEV_NVLINK_COUNT_EFFECTIVE_BER: NEED(r->scope != ALL_LINKS); return give_u64(r, error_rate(1, 15));
    case NVML_FI_DEV_NVLINK_COUNT_SYMBOL_BER: NEED(r->scope != ALL_LINKS); return give_u64(r, error_rate(15, 255));
    case NVML_FI_DEV_NVLINK_COUNT_RAW_BER_LANE0_V2:
    case NVML_FI_DEV_NVLINK_COUNT_RAW_BER_LANE1_V2:
    case NVML_FI_DEV_NVLINK_COUNT_RAW_BER_V2: NEED(r->scope != ALL_LINKS); return give_u64(r, error_rate(2, 9));
    case NVML_FI_DEV_NVLINK_GET_DATA_RATE: return give_u32(r, DATA_RATE_MBPS);
    default: return counter(r);
    }
}
