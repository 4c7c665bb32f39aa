/* Work is one number: which job it is of, how many pieces that has, and the next one. Taking a
 * piece is adding one to it, so a thread that comes late, with an old number in hand, takes nothing
 * of the next job. Who finds nothing for a while sleeps, and so does the caller when it waits for
 * the last pieces: its core is then free for the thread that was put aside while it had one. */
#define _GNU_SOURCE
#include "base/team.h"

#include "base/alloc.h"
#include "base/thread.h"

#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum {
    LOOKS = 5000,        /* for work or its end, before sleeping: some 100 microseconds */
    MOST_PIECES = 0xffff /* of a job: what `work` has room for */
};

struct few_team {
    int n, started;
    pthread_t *thread; /* [n - 1] */
    void (*fn)(void *user, int piece, int member);
    void *user;
    _Atomic uint64_t work; /* job << 32 | pieces << 16 | next */
    _Atomic int done, sleeping, next_member;
    atomic_bool waiting, quit;
    atomic_int core; /* of the caller, when it last began */
    pthread_mutex_t lock;
    pthread_cond_t wake, finished;
};

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int pieces_of(uint64_t work)
{
    return (int)(work >> 16 & 0xffff);
}

/* The next piece, or -1. */
static int take(few_team *t)
{
    uint64_t work = atomic_load(&t->work);
    while ((int)(work & 0xffff) < pieces_of(work))
        if (atomic_compare_exchange_weak(&t->work, &work, work + 1))
            return (int)(work & 0xffff);
    return -1;
}

/* Take pieces until there are none; whether any was. A taken piece holds the caller in its job, so
 * fn and user are that job's. */
static bool work_off(few_team *t, int member)
{
    bool any = false;
    for (int piece; (piece = take(t)) >= 0; any = true) {
        const int pieces = pieces_of(atomic_load(&t->work));
        t->fn(t->user, piece, member);
        if (atomic_fetch_add(&t->done, 1) + 1 == pieces && atomic_load(&t->waiting)) {
            pthread_mutex_lock(&t->lock);
            pthread_cond_signal(&t->finished);
            pthread_mutex_unlock(&t->lock);
        }
    }
    return any;
}

static bool nothing_to_do(few_team *t)
{
    const uint64_t work = atomic_load(&t->work);
    return (int)(work & 0xffff) >= pieces_of(work) && !atomic_load(&t->quit);
}

/* A thread that is woken is put where it was, or beside who wakes it; where cores do not share a
 * cache (as in many virtual machines) nobody looks for an idle one, and it would wait for the
 * caller for ever. So it moves itself. */
static void leave_callers_core(const few_team *t)
{
    const int core = atomic_load(&t->core);
    cpu_set_t all, others;
    if (core != sched_getcpu() || core < 0 || core >= CPU_SETSIZE ||
        sched_getaffinity(0, sizeof all, &all) != 0)
        return;
    others = all;
    CPU_CLR(core, &others);
    if (CPU_COUNT(&others) && sched_setaffinity(0, sizeof others, &others) == 0)
        sched_setaffinity(0, sizeof all, &all);
}

static void *member(void *team)
{
    few_team *t = team;
    const int me = atomic_fetch_add(&t->next_member, 1);
    few_flush_denormals();
    omp_set_num_threads(1); /* or a library that fn calls would take every core */
    while (!atomic_load(&t->quit)) {
        leave_callers_core(t);
        for (int looks = 0; looks < LOOKS && !atomic_load(&t->quit); looks++) {
            if (work_off(t, me)) {
                leave_callers_core(t);
                looks = 0;
            }
            relax();
        }
        pthread_mutex_lock(&t->lock);
        atomic_fetch_add(&t->sleeping, 1);
        while (nothing_to_do(t))
            pthread_cond_wait(&t->wake, &t->lock);
        atomic_fetch_sub(&t->sleeping, 1);
        pthread_mutex_unlock(&t->lock);
    }
    return NULL;
}

few_status few_team_create(few_team **out, int n, few_error *err)
{
    few_team *t = few_calloc(1, sizeof *t);
    *out = NULL;
    if (!t || !(t->thread = few_calloc((size_t)n, sizeof *t->thread))) {
        few_free(t);
        return few_fail(err, FEW_ENOMEM, "out of memory for a team of threads");
    }
    t->n = n;
    t->next_member = 1;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->wake, NULL);
    pthread_cond_init(&t->finished, NULL);
    while (t->started < n - 1 && !pthread_create(&t->thread[t->started], NULL, member, t))
        t->started++;
    if (t->started < n - 1) {
        few_team_free(t);
        return few_fail(err, FEW_ENOMEM, "the system gives no %d threads more", n - 1);
    }
    *out = t;
    return FEW_OK;
}

void few_team_free(few_team *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    atomic_store(&t->quit, true);
    pthread_cond_broadcast(&t->wake);
    pthread_mutex_unlock(&t->lock);
    for (int k = 0; k < t->started; k++)
        pthread_join(t->thread[k], NULL);
    pthread_cond_destroy(&t->wake);
    pthread_cond_destroy(&t->finished);
    pthread_mutex_destroy(&t->lock);
    few_free(t->thread);
    few_free(t);
}

int few_team_size(const few_team *t)
{
    return t ? t->n : 1;
}

static void wait_for_all(few_team *t, int pieces)
{
    for (int looks = 0; looks < LOOKS; looks++) {
        if (atomic_load(&t->done) == pieces)
            return;
        relax();
    }
    pthread_mutex_lock(&t->lock);
    atomic_store(&t->waiting, true);
    while (atomic_load(&t->done) < pieces)
        pthread_cond_wait(&t->finished, &t->lock);
    atomic_store(&t->waiting, false);
    pthread_mutex_unlock(&t->lock);
}

/* At most MOST_PIECES. */
static void run_job(few_team *t, int pieces, void (*fn)(void *user, int piece, int member),
                    void *user)
{
    t->fn = fn;
    t->user = user;
    atomic_store(&t->core, sched_getcpu());
    atomic_store(&t->done, 0);
    const uint64_t job = (atomic_load(&t->work) >> 32) + 1;
    atomic_store(&t->work, job << 32 | (uint64_t)pieces << 16);
    if (atomic_load(&t->sleeping)) {
        pthread_mutex_lock(&t->lock);
        pthread_cond_broadcast(&t->wake);
        pthread_mutex_unlock(&t->lock);
    }
    work_off(t, 0);
    wait_for_all(t, pieces);
}

/* Some of many pieces. */
struct some {
    void (*fn)(void *user, int piece, int member);
    void *user;
    int first;
};

static void run_some(void *user, int piece, int member)
{
    const struct some *s = user;
    s->fn(s->user, s->first + piece, member);
}

void few_team_run(few_team *t, int pieces, void (*fn)(void *user, int piece, int member),
                  void *user)
{
    if (!t || t->n == 1 || pieces < 2) {
        for (int k = 0; k < pieces; k++)
            fn(user, k, 0);
    } else if (pieces <= MOST_PIECES) {
        run_job(t, pieces, fn, user);
    } else {
        for (int k = 0; k < pieces; k += MOST_PIECES)
            run_job(t, pieces - k < MOST_PIECES ? pieces - k : MOST_PIECES, run_some,
                    &(struct some){ fn, user, k });
    }
}
