/* Workers. The engine gives every core its own slice of the batch, so that no kernel needs threads
 * of its own and nothing waits inside a slice. */
#ifndef FEW_BASE_THREAD_H
#define FEW_BASE_THREAD_H

#include "base/status.h"

/* Cores this process may use: the least of affinity mask, cgroup CPU quota (rounded up) and
 * FEW_THREADS when set. 1 to 256. */
int few_thread_count(void);

/* Bytes of one core's second cache (level 2), of the third it shares (3), as the system tells;
 * 1 MB and 32 MB where it does not. */
size_t few_cache_bytes(int level);

/* Flush denormals to zero in the calling thread (FTZ and DAZ); f32 kernels run three times slower
 * on denormals. Harmless where the CPU has no such switch. */
void few_flush_denormals(void);
void few_keep_denormals(void); /* the reverse */

/* Run fn(user, worker) for worker = 0..n-1, each on its own thread of the OpenMP pool, with
 * denormals flushed, and wait. fn must not call this again. */
void few_run_workers(int n, void (*fn)(void *user, int worker), void *user);

/* Seconds from a monotonic clock. */
double few_now(void);

#endif
