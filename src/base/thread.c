/* How many cores this process may use, and running one function on several of them.
 *
 * A container is usually limited by a quota of CPU time and not by its affinity mask: with 64
 * visible cores and a quota of 2, 64 threads would be stopped for most of every period. */
#define _GNU_SOURCE
#include "base/thread.h"

#include <errno.h>
#include <limits.h>
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__) || defined(__i386__)
#include <xmmintrin.h>
#endif

enum { MAX_THREADS = 256 }; /* as many as train.threads may be */

static int affinity_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
    return INT_MAX; /* more cores than the set holds: the mask says nothing */
}

/* First line of a small file without its end; false when there is none. */
static bool read_line(const char *path, char *line, int room)
{
    FILE *f = fopen(path, "re");
    const bool ok = f && fgets(line, room, f);
    if (f)
        fclose(f);
    if (ok)
        line[strcspn(line, "\n")] = 0;
    return ok;
}

static int quota_cores(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return INT_MAX;
    const long long cores = quota / period + (quota % period != 0);
    return cores < INT_MAX ? (int)cores : INT_MAX;
}

/* The least quota of a version 2 group and all above it. `group` is a path such as "/a/b". */
static int quota_v2(char *group)
{
    int least = INT_MAX;
    for (;;) {
        char path[PATH_MAX], line[128];
        long long quota, period;
        if (snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group) < (int)sizeof path &&
            read_line(path, line, sizeof line) &&
            sscanf(line, "%lld %lld", &quota, &period) == 2) { /* "max 100000" does not match */
            const int cores = quota_cores(quota, period);
            least = cores < least ? cores : least;
        }
        char *slash = strrchr(group, '/');
        if (!slash)
            return least;
        *slash = 0;
    }
}

static int quota_v1(const char *group)
{
    char path[PATH_MAX], quota[64], period[64];
    for (int at_root = 0; at_root < 2; at_root++) { /* inside a container only the root is seen */
        const char *g = at_root ? "" : group;
        if (snprintf(path, sizeof path, "/sys/fs/cgroup/cpu%s/cpu.cfs_quota_us", g) >=
                (int)sizeof path ||
            !read_line(path, quota, sizeof quota))
            continue;
        snprintf(path, sizeof path, "/sys/fs/cgroup/cpu%s/cpu.cfs_period_us", g);
        if (read_line(path, period, sizeof period))
            return quota_cores(atoll(quota), atoll(period));
    }
    return INT_MAX;
}

static int cgroup_count(void)
{
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f)
        return INT_MAX;
    int least = INT_MAX;
    char line[PATH_MAX];
    while (fgets(line, sizeof line, f)) { /* "id:controllers:path"; version 2 names none */
        line[strcspn(line, "\n")] = 0;
        char *names = strchr(line, ':');
        char *path = names ? strchr(names + 1, ':') : NULL;
        if (!path)
            continue;
        *names++ = 0;
        *path++ = 0;
        int cores = INT_MAX;
        if (!*names)
            cores = quota_v2(path);
        else if (!strcmp(names, "cpu") || !strncmp(names, "cpu,", 4) || strstr(names, ",cpu,"))
            cores = quota_v1(path);
        least = cores < least ? cores : least;
    }
    fclose(f);
    return least;
}

int few_thread_count(void)
{
    int n = affinity_count();
    const int quota = cgroup_count();
    n = quota < n ? quota : n;
    const char *text = getenv("FEW_THREADS");
    if (text) {
        char *end;
        errno = 0;
        const long asked = strtol(text, &end, 10);
        if (!errno && end != text && !*end && asked > 0 && asked < n)
            n = (int)asked;
    }
    return n <= 0 || n == INT_MAX ? 1 : n < MAX_THREADS ? n : MAX_THREADS;
}

size_t few_cache_bytes(int level)
{
    const long n = sysconf(level == 2 ? _SC_LEVEL2_CACHE_SIZE : _SC_LEVEL3_CACHE_SIZE);
    return n > 0 ? (size_t)n : level == 2 ? 1u << 20 : 32u << 20;
}

/* The control word of floating point in this thread, and the bits that flush. */
#if defined(__x86_64__) || defined(__i386__)
enum { FLUSH = 0x8040 }; /* FTZ for results, DAZ for operands */
static uint64_t get_control(void)
{
    return _mm_getcsr();
}
static void set_control(uint64_t c)
{
    _mm_setcsr((unsigned)c);
}
#elif defined(__aarch64__)
enum { FLUSH = 1 << 24 }; /* FZ: both */
static uint64_t get_control(void)
{
    uint64_t c;
    __asm__ volatile("mrs %0, fpcr" : "=r"(c));
    return c;
}
static void set_control(uint64_t c)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(c));
}
#else
enum { FLUSH = 0 };
static uint64_t get_control(void)
{
    return 0;
}
static void set_control(uint64_t c)
{
    (void)c;
}
#endif

void few_flush_denormals(void)
{
    set_control(get_control() | FLUSH);
}

void few_keep_denormals(void)
{
    set_control(get_control() & ~(uint64_t)FLUSH);
}

/* One worker, with the caller's floating point restored afterwards. */
static void run(void (*fn)(void *, int), void *user, int worker)
{
    const uint64_t control = get_control();
    set_control(control | FLUSH);
    fn(user, worker);
    set_control(control);
}

void few_run_workers(int n, void (*fn)(void *user, int worker), void *user)
{
    if (n <= 1) {
        /* A region of one thread does not count as parallel: without this a library that fn calls
         * would take every core. */
        const int before = omp_get_max_threads();
        omp_set_num_threads(1);
        run(fn, user, 0);
        omp_set_num_threads(before);
        return;
    }
#pragma omp parallel num_threads(n)
    for (int w = omp_get_thread_num(); w < n; w += omp_get_num_threads()) /* may get fewer */
        run(fn, user, w);
}

double few_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
