/* SPDX-License-Identifier: Apache-2.0 */
/* What this process has seen: re-reads the control file, and keeps what depends on when a key was set. */
#include "mock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint inits;
static _Atomic double next_look;
static struct stat last_seen;
static double epoch_offset;
static const char *control_path;
static unsigned long long last_xid[MAX_GPUS];

_Atomic(const struct control *) control_now;

double now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

unsigned long long epoch_us(double monotonic) { return (unsigned long long)((monotonic + epoch_offset) * 1e6); }

static struct span continued(struct span span, bool was, bool is, double now)
{
    if (is && !was)
        span.since = now;
    if (was && !is)
        span.before += now - span.since;
    return span;
}

static double length(struct span span, bool is, double now)
{
    return span.before + (is && now > span.since ? now - span.since : 0.0);
}

double throttled_seconds(int gpu, int bit, double now)
{
    const struct gpu_control *g = gpu_control(gpu);
    return length(g->throttled[bit], g->throttle >> bit & 1, now);
}

double link_down_seconds(int gpu, int link, double now)
{
    const struct gpu_control *g = gpu_control(gpu);
    return length(g->link_down[link], g->inactive_links >> link & 1, now);
}

static void follow_gpu(const struct gpu_control *old, struct gpu_control *new, double now)
{
    for (int bit = 0; bit < THROTTLE_BITS; bit++)
        new->throttled[bit] = continued(old->throttled[bit], old->throttle >> bit & 1, new->throttle >> bit & 1, now);
    for (int link = 0; link < MAX_LINKS; link++)
        new->link_down[link] = continued(old->link_down[link], old->inactive_links >> link & 1,
                                         new->inactive_links >> link & 1, now);
}

/* XIDs that stand in the control when the process starts happened before it. */
static void follow_xids(int gpu, const struct gpu_control *new, bool first)
{
    unsigned long long seen = last_xid[gpu];
    for (unsigned i = 0; i < new->xids; i++) {
        if (new->xid[i].sequence <= seen)
            continue;
        if (!first)
            events_publish(gpu, new->xid[i].code);
        if (new->xid[i].sequence > last_xid[gpu])
            last_xid[gpu] = new->xid[i].sequence;
    }
}

static void defaults(struct control *c)
{
    c->model = model_find("h100", 4);
    c->gpus = 8;
    c->links = c->model->links;
    c->pcie_sleep = true;
    snprintf(c->driver_version, sizeof c->driver_version, "580.95.05");
    for (int gpu = 0; gpu < MAX_GPUS; gpu++)
        c->gpu[gpu].mig_instances = -1;
}

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return NULL;
    size_t size = 1 << 16;
    char *text = calloc(1, size + 1);
    size_t length = fread(text, 1, size, file);
    text[length] = 0;
    fclose(file);
    return text;
}

/* The old control stays allocated: another thread may be reading it, and changes are few. */
static void load(double now)
{
    struct control *new = calloc(1, sizeof *new);
    const struct control *old = control_now;
    const char *set = getenv("MOCK_NVML_SET");
    char *text = control_path ? read_text(control_path) : NULL;
    defaults(new);
    if (set)
        control_parse(new, set);
    if (text)
        control_parse(new, text);
    free(text);
    if (new->driver_down)
        inits = 0;
    /* A reload of the driver forgets the spells of before. */
    bool anew = !old || old->t0 != new->t0;
    for (int gpu = 0; gpu < MAX_GPUS; gpu++)
        follow_gpu(anew ? &(struct gpu_control){0} : &old->gpu[gpu], &new->gpu[gpu], now);
    control_now = new;
    for (int gpu = 0; gpu < MAX_GPUS; gpu++)
        follow_xids(gpu, &new->gpu[gpu], !old);
}

static bool changed(void)
{
    struct stat seen;
    if (stat(control_path, &seen))
        memset(&seen, 0, sizeof seen);
    bool same = seen.st_ino == last_seen.st_ino && seen.st_size == last_seen.st_size
        && seen.st_mtim.tv_sec == last_seen.st_mtim.tv_sec && seen.st_mtim.tv_nsec == last_seen.st_mtim.tv_nsec
        && seen.st_ctim.tv_sec == last_seen.st_ctim.tv_sec && seen.st_ctim.tv_nsec == last_seen.st_ctim.tv_nsec;
    last_seen = seen;
    return !same;
}

bool control_followed(void) { return control_path != NULL; }

void control_refresh(bool at_once)
{
    if (!control_path)
        return;
    double now = now_seconds();
    if (!at_once && now < next_look)
        return;
    next_look = now + 0.005;
    pthread_mutex_lock(&lock);
    if (changed())
        load(now);
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void start(void)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    double now = now_seconds();
    epoch_offset = (double)wall.tv_sec + (double)wall.tv_nsec * 1e-9 - now;
    control_path = getenv("MOCK_NVML_FILE");
    if (control_path)
        changed();
    load(now);
}

unsigned state_init(void) { return inits++; }
unsigned state_shutdown(void) { return inits ? inits-- : 0; }
bool state_initialised(void) { return inits > 0; }
