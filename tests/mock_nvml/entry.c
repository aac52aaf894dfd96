/* SPDX-License-Identifier: Apache-2.0 */
/* What every call passes first: the call count, the fault switch, the driver's state, the handle. */
#include "mock.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_ullong calls;
static _Atomic double next_stats;

static void write_stats(void)
{
    const char *path = getenv("MOCK_NVML_STATS");
    if (!path)
        return;
    char text[32];
    int length = snprintf(text, sizeof text, "%llu\n", (unsigned long long)calls);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return;
    if (pwrite(fd, text, (size_t)length, 0) == length && ftruncate(fd, length))
        perror("mock nvml: stats");
    close(fd);
}

__attribute__((destructor)) static void last_stats(void) { write_stats(); }

static void count_call(void)
{
    static int wanted = -1;
    calls++;
    if (wanted < 0)
        wanted = getenv("MOCK_NVML_STATS") != NULL;
    if (!wanted)
        return;
    double now = now_seconds(), due = next_stats;
    if (now >= due && atomic_compare_exchange_strong(&next_stats, &due, now + 0.2))
        write_stats();
}

static const struct fault *find_fault(const struct fault *list, unsigned count, const char *function, int gpu)
{
    for (unsigned i = 0; i < count; i++)
        if ((!list[i].function[0] || !strcmp(list[i].function, function)) && (list[i].gpu < 0 || list[i].gpu == gpu))
            return &list[i];
    return NULL;
}

void wait_while_hung(const char *function, int gpu)
{
    while (control()->hangs && find_fault(control()->hang, control()->hangs, function, gpu)) {
        usleep(10000);
        control_refresh(true);
    }
}

static nvmlReturn_t faults(const char *function, int gpu)
{
    const struct fault *f;
    if (control()->missing && find_fault(control()->gone, control()->missing, function, gpu))
        return NVML_ERROR_FUNCTION_NOT_FOUND;
    wait_while_hung(function, gpu);
    if (control()->call_us)
        for (double end = now_seconds() + control()->call_us * 1e-6; now_seconds() < end;) {}
    if (control()->driver_down)
        return NVML_ERROR_DRIVER_NOT_LOADED;
    if (gpu >= 0 && gpu_control(gpu)->lost)
        return NVML_ERROR_GPU_IS_LOST;
    if (control()->errors && (f = find_fault(control()->error, control()->errors, function, gpu)))
        return f->code;
    return NVML_SUCCESS;
}

nvmlReturn_t enter_init(const char *function)
{
    count_call();
    control_refresh(true);
    return faults(function, -1);
}

nvmlReturn_t enter_call(const char *function, int gpu)
{
    count_call();
    control_refresh(false);
    nvmlReturn_t status = faults(function, gpu);
    return state_initialised() || status == NVML_ERROR_FUNCTION_NOT_FOUND ? status : NVML_ERROR_UNINITIALIZED;
}

nvmlReturn_t enter_device(const char *function, nvmlDevice_t device, bool mig_allowed)
{
    int gpu = is_handle(device) ? device->gpu : -1;
    TRY(enter_call(function, gpu));
    if (gpu < 0 || gpu >= (int)control()->gpus)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (device->mig < 0)
        return NVML_SUCCESS;
    if (!mig_exists(gpu, device->mig))
        return NVML_ERROR_INVALID_ARGUMENT;
    return mig_allowed ? NVML_SUCCESS : NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t set_text(char *out, unsigned length, const char *text)
{
    if (!out)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (strlen(text) >= length)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(out, text);
    return NVML_SUCCESS;
}
