/* Heap requests carry a 16-byte head with their size, so that live bytes are exact. */
#define _GNU_SOURCE
#include "base/alloc.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HEAD = 16, HUGE = 2 << 20 };

static _Atomic int64_t live, peak, requests, limit, fail_in;

/* Account for `size` more bytes; 0 when the request must fail. */
static int take(size_t size)
{
    atomic_fetch_add(&requests, 1);
    if (atomic_load(&fail_in) > 0 && atomic_fetch_sub(&fail_in, 1) == 1)
        return 0;
    const int64_t now = atomic_fetch_add(&live, (int64_t)size) + (int64_t)size;
    const int64_t max = atomic_load(&limit);
    if (max > 0 && now > max) {
        atomic_fetch_sub(&live, (int64_t)size);
        return 0;
    }
    int64_t seen = atomic_load(&peak);
    while (now > seen && !atomic_compare_exchange_weak(&peak, &seen, now))
        ;
    return 1;
}

static void give(size_t size)
{
    atomic_fetch_sub(&live, (int64_t)size);
}

static size_t *head_of(void *p)
{
    return (size_t *)(void *)((char *)p - HEAD);
}

void *few_malloc(size_t size)
{
    if (size > PTRDIFF_MAX - HEAD || !take(size))
        return NULL;
    size_t *h = malloc(size + HEAD);
    if (!h) {
        give(size);
        return NULL;
    }
    *h = size;
    return (char *)h + HEAD;
}

void *few_calloc(size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n))
        return NULL;
    void *p = few_malloc(n);
    if (p)
        memset(p, 0, n);
    return p;
}

void *few_realloc(void *p, size_t size)
{
    if (!p)
        return few_malloc(size);
    const size_t old = *head_of(p);
    if (size > PTRDIFF_MAX - HEAD || !take(size))
        return NULL;
    size_t *h = realloc(head_of(p), size + HEAD);
    if (!h) {
        give(size);
        return NULL;
    }
    give(old);
    *h = size;
    return (char *)h + HEAD;
}

char *few_strdup(const char *s)
{
    const size_t n = strlen(s) + 1;
    char *p = few_malloc(n);
    return p ? memcpy(p, s, n) : NULL;
}

void few_free(void *p)
{
    if (!p)
        return;
    give(*head_of(p));
    free(head_of(p));
}

void *few_big_alloc(size_t size)
{
    if (size == 0)
        size = 64;
    if (size > PTRDIFF_MAX - HUGE || !take(size))
        return NULL;
    if (size < HUGE) {
        void *p = aligned_alloc(64, few_up64(size));
        if (!p)
            give(size);
        return p ? memset(p, 0, size) : NULL;
    }
    /* Map with slack, keep the part that starts on a huge page. */
    char *m = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED) {
        give(size);
        return NULL;
    }
    char *p = (char *)(((uintptr_t)m + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
    const size_t end = (size + 4095) & ~(size_t)4095;
    if (p > m)
        munmap(m, (size_t)(p - m));
    if (m + size + HUGE > p + end)
        munmap(p + end, (size_t)(m + ((size + HUGE + 4095) & ~(size_t)4095) - (p + end)));
    madvise(p, end, MADV_HUGEPAGE);
    return p;
}

void few_big_free(void *p, size_t size)
{
    if (!p)
        return;
    if (size == 0)
        size = 64;
    give(size);
    if (size < HUGE)
        free(p);
    else
        munmap(p, (size + 4095) & ~(size_t)4095);
}

few_alloc_stats few_alloc_get_stats(void)
{
    return (few_alloc_stats){ atomic_load(&live), atomic_load(&peak), atomic_load(&requests) };
}

void few_alloc_set_limit(int64_t bytes)
{
    atomic_store(&limit, bytes);
}

void few_alloc_fail_at(int64_t n)
{
    atomic_store(&fail_in, n);
}
