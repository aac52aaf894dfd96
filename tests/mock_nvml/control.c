/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of the control: key=value pairs between newlines or semicolons. README.md lists the keys. */
#include "mock.h"

static const struct { const char *name; nvmlReturn_t code; } names[] = {
    {"SUCCESS", NVML_SUCCESS}, {"UNINITIALIZED", NVML_ERROR_UNINITIALIZED},
    {"INVALID_ARGUMENT", NVML_ERROR_INVALID_ARGUMENT}, {"NOT_SUPPORTED", NVML_ERROR_NOT_SUPPORTED},
    {"NO_PERMISSION", NVML_ERROR_NO_PERMISSION}, {"ALREADY_INITIALIZED", NVML_ERROR_ALREADY_INITIALIZED},
    {"NOT_FOUND", NVML_ERROR_NOT_FOUND}, {"INSUFFICIENT_SIZE", NVML_ERROR_INSUFFICIENT_SIZE},
    {"INSUFFICIENT_POWER", NVML_ERROR_INSUFFICIENT_POWER}, {"DRIVER_NOT_LOADED", NVML_ERROR_DRIVER_NOT_LOADED},
    {"TIMEOUT", NVML_ERROR_TIMEOUT}, {"IRQ_ISSUE", NVML_ERROR_IRQ_ISSUE},
    {"LIBRARY_NOT_FOUND", NVML_ERROR_LIBRARY_NOT_FOUND}, {"FUNCTION_NOT_FOUND", NVML_ERROR_FUNCTION_NOT_FOUND},
    {"CORRUPTED_INFOROM", NVML_ERROR_CORRUPTED_INFOROM}, {"GPU_IS_LOST", NVML_ERROR_GPU_IS_LOST},
    {"RESET_REQUIRED", NVML_ERROR_RESET_REQUIRED}, {"OPERATING_SYSTEM", NVML_ERROR_OPERATING_SYSTEM},
    {"LIB_RM_VERSION_MISMATCH", NVML_ERROR_LIB_RM_VERSION_MISMATCH}, {"IN_USE", NVML_ERROR_IN_USE},
    {"MEMORY", NVML_ERROR_MEMORY}, {"NO_DATA", NVML_ERROR_NO_DATA},
    {"VGPU_ECC_NOT_SUPPORTED", NVML_ERROR_VGPU_ECC_NOT_SUPPORTED},
    {"INSUFFICIENT_RESOURCES", NVML_ERROR_INSUFFICIENT_RESOURCES},
    {"FREQ_NOT_SUPPORTED", NVML_ERROR_FREQ_NOT_SUPPORTED},
    {"ARGUMENT_VERSION_MISMATCH", NVML_ERROR_ARGUMENT_VERSION_MISMATCH}, {"DEPRECATED", NVML_ERROR_DEPRECATED},
    {"NOT_READY", NVML_ERROR_NOT_READY}, {"GPU_NOT_FOUND", NVML_ERROR_GPU_NOT_FOUND},
    {"INVALID_STATE", NVML_ERROR_INVALID_STATE}, {"RESET_TYPE_NOT_SUPPORTED", NVML_ERROR_RESET_TYPE_NOT_SUPPORTED},
};

static nvmlReturn_t error_named(const char *name)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i].name, name))
            return names[i].code;
    return NVML_ERROR_UNKNOWN;
}

static bool all_digits(const char *text) { return *text && strspn(text, "0123456789") == strlen(text); }

static void add_fault(struct fault *list, unsigned *count, const char *function, int gpu, nvmlReturn_t code)
{
    if (*count == MAX_FAULTS)
        return;
    struct fault *f = &list[(*count)++];
    snprintf(f->function, sizeof f->function, "%s", function);
    f->gpu = gpu;
    f->code = code;
}

/* `function`, `function.gpu`, `gpu.<i>` or `all`. */
static void add_target(struct fault *list, unsigned *count, char *target, nvmlReturn_t code)
{
    char *dot = strrchr(target, '.');
    int gpu = -1;
    if (dot && all_digits(dot + 1)) {
        gpu = atoi(dot + 1);
        *dot = 0;
    }
    bool any = !strcmp(target, "gpu") || !strcmp(target, "all");
    add_fault(list, count, any ? "" : target, gpu, code);
}

static void parse_processes(struct gpu_control *gpu, const char *value)
{
    gpu->processes = 0;
    while (gpu->processes < MAX_PROCS) {
        struct process *p = &gpu->process[gpu->processes];
        if (sscanf(value, "%u:%u:%c", &p->pid, &p->mib, &p->type) != 3)
            return;
        gpu->processes++;
        if (!(value = strchr(value, ',')))
            return;
        value++;
    }
}

static void parse_xids(struct gpu_control *gpu, const char *value)
{
    gpu->xids = 0;
    while (gpu->xids < MAX_XIDS) {
        if (sscanf(value, "%llu:%llu", &gpu->xid[gpu->xids].sequence, &gpu->xid[gpu->xids].code) != 2)
            return;
        gpu->xids++;
        if (!(value = strchr(value, ',')))
            return;
        value++;
    }
}

static void parse_gpu(struct gpu_control *gpu, const char *subject, int link, const char *value)
{
    if (!strcmp(subject, "lost")) gpu->lost = atoi(value);
    else if (!strcmp(subject, "mig")) gpu->mig_instances = atoi(value) > MAX_MIG ? MAX_MIG : atoi(value);
    else if (!strcmp(subject, "throttle")) gpu->throttle = strtoull(value, NULL, 16);
    else if (!strcmp(subject, "recovery")) gpu->recovery = (unsigned)atoi(value);
    else if (!strcmp(subject, "ecc")) sscanf(value, "%llu,%llu", &gpu->ecc_corrected, &gpu->ecc_uncorrected);
    else if (!strcmp(subject, "remap"))
        sscanf(value, "%u,%u,%u,%u", &gpu->remap[0], &gpu->remap[1], &gpu->remap[2], &gpu->remap[3]);
    else if (!strcmp(subject, "fabric"))
        gpu->fabric_set = sscanf(value, "%u,%u,%x,%u", &gpu->fabric[0], &gpu->fabric[1], &gpu->fabric[2],
                                 &gpu->fabric[3]) == 4;
    else if (!strcmp(subject, "procs")) parse_processes(gpu, value);
    else if (!strcmp(subject, "xid")) parse_xids(gpu, value);
    else if (!strcmp(subject, "link") && link >= 0 && link < MAX_LINKS) {
        uint64_t bit = 1ull << link;
        gpu->inactive_links = atoi(value) ? gpu->inactive_links & ~bit : gpu->inactive_links | bit;
    }
}

/* `subject.<gpu>` or `subject.*`; for links `link.<gpu>.<link>`. */
static void parse_per_gpu(struct control *c, char *key, const char *value)
{
    char *gpu = strchr(key, '.');
    if (!gpu)
        return;
    *gpu++ = 0;
    char *link = strchr(gpu, '.');
    int link_index = -1;
    if (link) {
        *link++ = 0;
        link_index = atoi(link);
    }
    for (int i = 0; i < MAX_GPUS; i++)
        if (!strcmp(gpu, "*") || (all_digits(gpu) && atoi(gpu) == i))
            parse_gpu(&c->gpu[i], key, link_index, value);
}

static void parse_missing(struct control *c, char *value)
{
    char *rest = NULL;
    c->missing = 0;
    for (char *name = strtok_r(value, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
        add_fault(c->gone, &c->missing, name, -1, NVML_ERROR_FUNCTION_NOT_FOUND);
}

static void parse_field_fault(struct control *c, const char *target, const char *value)
{
    if (c->field_faults == MAX_FAULTS)
        return;
    struct field_fault *f = &c->field_fault[c->field_faults++];
    f->gpu = -1;
    f->code = error_named(value);
    sscanf(target, "%u.%d", &f->field, &f->gpu);
}

static void parse_pair(struct control *c, char *key, char *value)
{
    const struct model *model;
    if (!strcmp(key, "gpus")) c->gpus = (unsigned)atoi(value) > MAX_GPUS ? MAX_GPUS : (unsigned)atoi(value);
    else if (!strcmp(key, "links")) c->links = (unsigned)atoi(value) > MAX_LINKS ? MAX_LINKS : (unsigned)atoi(value);
    else if (!strcmp(key, "model")) {
        if ((model = model_find(value, strlen(value)))) {
            c->model = model;
            c->links = model->links;
        }
    }
    else if (!strcmp(key, "spoil")) c->spoil = atoi(value);
    else if (!strcmp(key, "root")) c->root = atoi(value);
    else if (!strcmp(key, "pcie_sleep")) c->pcie_sleep = atoi(value);
    else if (!strcmp(key, "call_us")) c->call_us = (unsigned)atoi(value);
    else if (!strcmp(key, "driver")) c->driver_down = !strcmp(value, "down");
    else if (!strcmp(key, "driver.version")) snprintf(c->driver_version, sizeof c->driver_version, "%s", value);
    else if (!strcmp(key, "driver.t0")) c->t0 = atof(value);
    else if (!strcmp(key, "missing")) parse_missing(c, value);
    else if (!strncmp(key, "error.", 6)) add_target(c->error, &c->errors, key + 6, error_named(value));
    else if (!strncmp(key, "fielderror.", 11)) parse_field_fault(c, key + 11, value);
    else if (!strncmp(key, "hang.", 5)) {
        if (atoi(value)) add_target(c->hang, &c->hangs, key + 5, NVML_SUCCESS);
    }
    else parse_per_gpu(c, key, value);
}

void control_parse(struct control *c, const char *text)
{
    char *copy = strdup(text), *rest = NULL;
    for (char *pair = strtok_r(copy, ";\r\n", &rest); pair; pair = strtok_r(NULL, ";\r\n", &rest)) {
        pair += strspn(pair, " \t");
        char *value = strchr(pair, '=');
        if (!value || *pair == '#')
            continue;
        *value++ = 0;
        parse_pair(c, pair, value);
    }
    free(copy);
}
