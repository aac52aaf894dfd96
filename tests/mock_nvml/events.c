/* SPDX-License-Identifier: Apache-2.0 */
/* Event sets. A wait looks at the control file itself, so that an idle process sees its XIDs. */
#include "mock.h"

#include <pthread.h>
#include <unistd.h>

enum { QUEUE = 256 };

struct nvmlEventSet_st {
    struct nvmlEventSet_st *next;
    bool freed;
    unsigned long long wanted[MAX_GPUS];
    unsigned head, count;
    struct { int gpu; unsigned long long xid; } queue[QUEUE];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct nvmlEventSet_st *sets;

void events_publish(int gpu, unsigned long long xid)
{
    pthread_mutex_lock(&lock);
    for (struct nvmlEventSet_st *set = sets; set; set = set->next) {
        if (set->freed || !(set->wanted[gpu] & nvmlEventTypeXidCriticalError) || set->count == QUEUE)
            continue;
        unsigned at = (set->head + set->count++) % QUEUE;
        set->queue[at].gpu = gpu;
        set->queue[at].xid = xid;
    }
    pthread_mutex_unlock(&lock);
}

static bool take(struct nvmlEventSet_st *set, nvmlEventData_t *data)
{
    pthread_mutex_lock(&lock);
    bool found = set->count > 0;
    if (found) {
        *data = (nvmlEventData_t){gpu_handle(set->queue[set->head].gpu), nvmlEventTypeXidCriticalError,
                                  set->queue[set->head].xid, NO_INSTANCE, NO_INSTANCE};
        set->head = (set->head + 1) % QUEUE;
        set->count--;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set)
{
    ENTER();
    NEED(set);
    struct nvmlEventSet_st *new = calloc(1, sizeof *new);
    pthread_mutex_lock(&lock);
    new->next = sets;
    sets = new;
    pthread_mutex_unlock(&lock);
    *set = new;
    return NVML_SUCCESS;
}

/* A freed set stays allocated: another thread may be waiting on it. */
nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set)
{
    ENTER();
    NEED(set && !set->freed);
    set->freed = true;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetSupportedEventTypes(nvmlDevice_t device, unsigned long long *eventTypes)
{
    ENTER_GPU(device);
    NEED(eventTypes);
    *eventTypes = nvmlEventTypeSingleBitEccError | nvmlEventTypeDoubleBitEccError | nvmlEventTypePState
        | nvmlEventTypeXidCriticalError | nvmlEventTypeClock | nvmlEventTypeSingleBitEccErrorStorm
        | nvmlEventTypeDramRetirementEvent | nvmlEventTypeDramRetirementFailure | nvmlEventTypeNonFatalPoisonError
        | nvmlEventTypeFatalPoisonError | nvmlEventTypeGpuUnavailableError | nvmlEventTypeGpuRecoveryAction;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long eventTypes, nvmlEventSet_t set)
{
    ENTER_GPU(device);
    NEED(set && !set->freed && !(eventTypes & ~(unsigned long long)nvmlEventTypeAll));
    pthread_mutex_lock(&lock);
    set->wanted[device->gpu] |= eventTypes;
    pthread_mutex_unlock(&lock);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeoutms)
{
    ENTER();
    NEED(set && data && !set->freed);
    double end = now_seconds() + timeoutms / 1000.0;
    for (;;) {
        if (take(set, data))
            return NVML_SUCCESS;
        double left = end - now_seconds();
        if (left <= 0)
            return NVML_ERROR_TIMEOUT;
        /* A driver blocks. This one has to look for changes of its control, and only where there can be any. */
        usleep(left < 0.01 || !control_followed() ? (useconds_t)(left * 1e6) + 1 : 10000);
        control_refresh(false);
        wait_while_hung(__func__, -1);
        if (!state_initialised())
            return NVML_ERROR_UNINITIALIZED;
    }
}

nvmlReturn_t nvmlEventSetWait(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeoutms)
{
    return nvmlEventSetWait_v2(set, data, timeoutms);
}
