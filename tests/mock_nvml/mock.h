/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the mock share: models, the parsed control, call entry, waves, field readers. */
#ifndef MOCK_NVML_MOCK_H
#define MOCK_NVML_MOCK_H

#define _GNU_SOURCE
#define NVML_NO_UNVERSIONED_FUNC_DEFS
#pragma GCC visibility push(default)
#include <nvml.h>
#pragma GCC visibility pop

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

enum { MAX_GPUS = 16, MAX_LINKS = 36, MAX_MIG = 7, MAX_FAULTS = 64, MAX_XIDS = 64, MAX_PROCS = 32 };
enum { THROTTLE_BITS = 11, C2C_LINKS = 10 };
#define ALL_LINKS 0xffffffffu
#define NO_INSTANCE 0xffffffffu

#define MIB (1ull << 20)
#define GIB (1ull << 30)

/* A handle: a GPU (mig = -1) or one MIG instance of it. */
struct nvmlDevice_st {
    int gpu;
    int mig;
};

/* model.c: what differs between the simulated boards. */
struct model {
    const char *key, *name, *part_number, *vbios, *driver_branch;
    double base_watts, amplitude_watts;
    unsigned limit_watts, min_limit_watts;
    unsigned memory_mib, bar1_mib, bus_width;
    unsigned links, link_mbps, link_version;
    unsigned arch, cc_major, cc_minor, cores, sms;
    unsigned sm_mhz, memory_mhz;
    unsigned pcie_gen, pci_device, fans;
    bool hbm, mig, gpm, fabric, grace, blackwell, power_average, memory_power;
};
const struct model *model_find(const char *key, size_t length);

/* control.c: the environment and the control file, parsed into a value that never changes. */
struct fault {
    char function[64]; /* "" = every function */
    int gpu;           /* -1 = every GPU, and calls that name none */
    nvmlReturn_t code;
};
struct field_fault {
    unsigned field;
    int gpu;
    nvmlReturn_t code;
};
struct process {
    unsigned pid;
    unsigned mib;
    char type;
};
struct span {
    double since, before; /* began, and seconds of the spells that ended */
};
struct gpu_control {
    bool lost;
    uint64_t inactive_links;
    unsigned long long ecc_corrected, ecc_uncorrected;
    unsigned remap[4];
    unsigned long long throttle;
    int mig_instances; /* -1 = MIG mode off */
    bool fabric_set;
    unsigned fabric[4];
    unsigned recovery;
    unsigned processes;
    struct process process[MAX_PROCS];
    unsigned xids;
    struct { unsigned long long sequence, code; } xid[MAX_XIDS];
    struct span throttled[THROTTLE_BITS], link_down[MAX_LINKS]; /* filled in by state.c */
};
struct control {
    const struct model *model;
    unsigned gpus, links;
    bool spoil, root, driver_down, pcie_sleep;
    unsigned call_us;
    double t0;
    char driver_version[80];
    unsigned errors, hangs, missing, field_faults;
    struct fault error[MAX_FAULTS], hang[MAX_FAULTS], gone[MAX_FAULTS];
    struct field_fault field_fault[MAX_FAULTS];
    struct gpu_control gpu[MAX_GPUS];
};
void control_parse(struct control *control, const char *text);
extern _Atomic(const struct control *) control_now;
static inline const struct control *control(void) { return control_now; }
static inline const struct gpu_control *gpu_control(int gpu) { return &control_now->gpu[gpu]; }

/* state.c: what this process has seen of the control over time. */
void control_refresh(bool at_once);
bool control_followed(void); /* whether there is a control file that can change */
unsigned state_init(void);
unsigned state_shutdown(void);
bool state_initialised(void);
double throttled_seconds(int gpu, int bit, double now);
double link_down_seconds(int gpu, int link, double now);

/* entry.c: every function goes through here first. */
nvmlReturn_t enter_call(const char *function, int gpu);
nvmlReturn_t enter_device(const char *function, nvmlDevice_t device, bool mig_allowed);
nvmlReturn_t enter_init(const char *function);
void wait_while_hung(const char *function, int gpu);
nvmlReturn_t set_text(char *out, unsigned length, const char *text);

#define TRY(call) do { nvmlReturn_t status_ = (call); if (status_ != NVML_SUCCESS) return status_; } while (0)
#define ENTER() TRY(enter_call(__func__, -1))
#define ENTER_GPU(device) TRY(enter_device(__func__, device, false))
#define ENTER_ANY(device) TRY(enter_device(__func__, device, true))
#define NEED(condition) do { if (!(condition)) return NVML_ERROR_INVALID_ARGUMENT; } while (0)
#define SUPPORT(condition) do { if (!(condition)) return NVML_ERROR_NOT_SUPPORTED; } while (0)
#define VERSION(struct_pointer, macro) \
    do { if ((struct_pointer)->version != (macro)) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH; } while (0)

/* clock: seconds of CLOCK_MONOTONIC, and microseconds since the epoch. */
double now_seconds(void);
unsigned long long epoch_us(double monotonic);

/* device.c, mig.c: handles. */
nvmlDevice_t gpu_handle(int gpu);
nvmlDevice_t mig_handle(int gpu, int index);
bool is_handle(nvmlDevice_t device);
bool mig_exists(int gpu, int index);
bool mig_mode(int gpu);
unsigned mig_gpu_instance(int index);
void gpu_uuid(int gpu, char out[NVML_DEVICE_UUID_V2_BUFFER_SIZE]);
void mig_uuid(int gpu, int index, char out[NVML_DEVICE_UUID_V2_BUFFER_SIZE]);

/* waves.c: the signals. agent/system/nvml/waves.py says the same in Python; a test compares them. */
double step_time(double t);
double wave_power(int gpu, double t);
double wave_energy(int gpu, double t, double t0);
double wave_power_average(int gpu, double t);
unsigned long long wave_energy_mj(int gpu, double t, double t0);
unsigned wave_utilization(int gpu, double t);
double wave_busy_seconds(int gpu, double t);
unsigned wave_encoder(int gpu);
unsigned wave_decoder(int gpu);
unsigned wave_jpeg(int gpu);
unsigned wave_ofa(int gpu);
unsigned long long wave_memory_used(int gpu, double t);
double wave_temperature(int gpu, double t);
double wave_hotspot(int gpu, double t);
double wave_memory_temperature(int gpu, double t);
unsigned wave_sm_clock(int gpu, double t);
unsigned wave_fan_percent(int fan, double t);
double wave_pcie_tx_rate(int gpu);
double wave_pcie_rx_rate(int gpu);
double wave_nvlink_tx_rate(int gpu, int link);
double wave_nvlink_rx_rate(int gpu, int link);
double wave_c2c_tx_rate(int gpu);
double wave_throttle_share(unsigned field, int gpu);
double wave_gpm_factor(unsigned metric);
unsigned wave_nvlink_replay(int gpu, int link);
unsigned wave_nvlink_recovery(int gpu, int link);
unsigned wave_nvlink_crc(int gpu, int link);

/* fields.c: one reader per subject, found by field id. */
struct reading {
    int gpu;
    double now;
    unsigned field, scope;
    nvmlFieldValue_t *out;
};
nvmlReturn_t give_u32(const struct reading *r, unsigned value);
nvmlReturn_t give_u64(const struct reading *r, unsigned long long value);
nvmlReturn_t give_s32(const struct reading *r, int value);
nvmlReturn_t give_double(const struct reading *r, double value);
nvmlReturn_t read_ecc(const struct reading *r);
nvmlReturn_t read_remap(const struct reading *r);
nvmlReturn_t read_nvlink(const struct reading *r);
nvmlReturn_t read_nvlink_lane(const struct reading *r);
nvmlReturn_t read_nvlink5(const struct reading *r);
nvmlReturn_t read_c2c(const struct reading *r);
nvmlReturn_t read_power(const struct reading *r);
nvmlReturn_t read_smoothing(const struct reading *r);
nvmlReturn_t read_throttle(const struct reading *r);
nvmlReturn_t read_pcie(const struct reading *r);
nvmlReturn_t read_temperature(const struct reading *r);
nvmlReturn_t read_misc(const struct reading *r);
unsigned long long pcie_bytes(int gpu, bool transmit, double now);
double nvlink_bytes(int gpu, int link, bool transmit, double now);

/* events.c */
void events_publish(int gpu, unsigned long long xid);

#endif
