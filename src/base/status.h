/* One way to fail: functions return few_status, the text goes to the caller's few_error. */
#ifndef FEW_BASE_STATUS_H
#define FEW_BASE_STATUS_H

#include "fewstep/fewstep.h"

#include <stdarg.h>
#include <stdbool.h>

#if defined(__GNUC__)
#define FEW_PRINTF(a, b) __attribute__((format(printf, a, b)))
#else
#define FEW_PRINTF(a, b)
#endif

/* Record a failure and return `code`. err may be NULL. Say the failure first, in lower case,
 * the subject in quotes, then what was found and expected, then the remedy; no full stop. */
few_status few_fail(few_error *err, few_status code, const char *fmt, ...) FEW_PRINTF(3, 4);

/* Put "where: " before the text of an error that is being passed on. Returns err's code. */
few_status few_fail_in(few_error *err, const char *fmt, ...) FEW_PRINTF(2, 3);

/* The commit that was built, as git describes it; "unknown" without git. */
const char *few_revision(void);

/* Forget an error. */
void few_error_clear(few_error *err);

/* Forward a failure to the caller. */
#define FEW_TRY(call)                                                                              \
    do {                                                                                           \
        const few_status few_try_status_ = (call);                                                 \
        if (few_try_status_ != FEW_OK)                                                             \
            return few_try_status_;                                                                \
    } while (0)

/* Forward a failure through the function's `cleanup:` label; needs a `few_status st` in scope. */
#define FEW_GOTO(call)                                                                             \
    do {                                                                                           \
        st = (call);                                                                               \
        if (st != FEW_OK)                                                                          \
            goto cleanup;                                                                          \
    } while (0)

#define FEW_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
