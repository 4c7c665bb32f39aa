/* `fewstep bench step` as another process: what it prints. */
#ifndef FEW_BENCH_SPAWN_H
#define FEW_BENCH_SPAWN_H

#include "base/status.h"

enum {
    FEW_TRAIN,
    FEW_DISTILL,
    FEW_SAMPLE_1, /* one evaluation each, in batches of 1, 16, 64 */
    FEW_SAMPLE_16,
    FEW_SAMPLE_64,
    FEW_N_FIGURES
};

/* Images a second; 0: not measured (--only). */
typedef struct few_figures {
    double v[FEW_N_FIGURES];
} few_figures;

/* fewstep bench step CONFIG --json ARGS... Fails: FEW_EINVAL (with the command). */
few_status few_spawn_bench(const char *fewstep, const char *config, int n_args, char *const *args,
                           few_figures *out, few_error *err);

#endif
