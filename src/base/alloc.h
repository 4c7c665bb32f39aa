/* The one door to the heap: counts bytes, enforces a limit, fails the Nth request in tests. */
#ifndef FEW_BASE_ALLOC_H
#define FEW_BASE_ALLOC_H

#include <stddef.h>
#include <stdint.h>

/* All return NULL on failure; sizes of 0 give a valid pointer. few_free(NULL) is fine. */
void *few_malloc(size_t size);
void *few_calloc(size_t count, size_t size); /* zeroed; NULL on overflow of the product */
void *few_realloc(void *p, size_t size);
char *few_strdup(const char *s);
void few_free(void *p);

/* Zeroed memory for tensors: 64-byte aligned, huge pages asked for from 2 MiB up.
 * Free with few_big_free and the same size. */
void *few_big_alloc(size_t size);
void few_big_free(void *p, size_t size);

/* The bytes of whole cache lines that hold n: where an array starts 64-byte aligned behind another.
 */
static inline size_t few_up64(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

typedef struct few_alloc_stats {
    int64_t bytes, peak, requests; /* live bytes, their maximum, requests since start */
} few_alloc_stats;

few_alloc_stats few_alloc_get_stats(void);
void few_alloc_set_limit(int64_t bytes); /* 0: no limit */
void few_alloc_fail_at(int64_t n);       /* the n-th request from now fails, once; 0: none */

#endif
