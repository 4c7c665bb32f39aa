/* Linear layers of one row an image (of the time and the class) by our own kernel: oneDNN takes
 * longer to begin than they take. f32 sums of f32 weights, also between bf16 rows. */
#ifndef FEW_CPU_ROWS_H
#define FEW_CPU_ROWS_H

#include "cpu/plan.h"

/* Whether `linear` of this call is to be done so: rank 2 and nothing added. It does not depend on
 * the number of rows: a row must not depend on those beside it. */
bool few_rows_fits(const few_cpu_call *c);
/* As a way (cpu/way.h) of linear. Fails: FEW_ENOMEM. */
few_status few_rows_prepare(few_cpu_prep *p, few_error *err);

#endif
