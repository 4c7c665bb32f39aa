/* Where the time of a training step, a distillation step and an evaluation goes, against the limits
 * of this machine measured in the same run.
 *
 *   bench_step FEWSTEP CONFIG [op|shapes] [OPTIONS of 'fewstep bench step']     TSV on stdout
 *
 * A row for each op (or each op and its shapes): microseconds an image, the part of the step,
 * rates, and the time it would take at the limits. "all" is the sum of the nodes, "step" what a
 * step takes by the clock: beside the nodes there are the optimiser, the packing of weights and
 * waiting. */
#include "base/thread.h"
#include "spawn.h"
#include "trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PLANS = 5 };
/* In the order in which 'fewstep bench step' releases them. */
static const char *const plan_names[PLANS] = { "training", "evaluation, batch 1",
                                               "evaluation, batch 16", "evaluation, batch 64",
                                               "distillation" };

static void print_row(const char *plan, const few_trace_row *r, const few_trace *t, double whole)
{
    const double images = (double)t->slice;
    printf("%s\t%s\t%s\t%d\t%.1f\t%.3f\t%.1f\t%.1f\t%.1f\t%.2f\n", plan, r->op, r->shapes, r->nodes,
           1e6 * r->seconds / images, r->seconds / whole, 1e-9 * r->flops / r->seconds,
           1e-9 * r->bytes / r->seconds, 1e6 * r->roof / images, r->roof / r->seconds);
}

static void print_plan(const char *name, few_trace *t, const few_roof *roof, int threads,
                       bool by_shapes, double figure)
{
    few_trace_hold(t, roof, threads);
    few_trace_group(t, by_shapes);
    const few_trace_row all = few_trace_sum(t);
    for (int k = 0; k < t->n; k++)
        print_row(name, &t->v[k], t, all.seconds);
    print_row(name, &all, t, all.seconds);
    /* One worker's microseconds for an image, when `threads` of them work side by side. */
    const double clock = (figure > 0 ? 1 / figure : 0) * threads,
                 seconds = all.seconds / (double)t->slice;
    printf("%s\tstep\t%.1f images/s, %.1f at the limits\t1\t%.1f\t%.3f\t\t\t%.1f\t%.2f\n", name,
           figure, threads * (double)t->slice / all.roof, 1e6 * clock, clock / seconds,
           1e6 * all.roof / (double)t->slice, all.roof / (double)t->slice / clock);
}

int main(int argc, char **argv)
{
    few_error err = { 0 };
    few_roof roof;
    few_trace *plans = NULL;
    few_figures f;
    int n = 0;
    char trace[] = "/tmp/fewstep-trace-XXXXXX";
    const bool by_shapes = argc > 3 && !strcmp(argv[3], "shapes");
    if (argc < 4 || (!by_shapes && strcmp(argv[3], "op") != 0)) {
        fprintf(stderr, "usage: bench_step FEWSTEP CONFIG op|shapes [--precision P] [--batch N] "
                        "[--repeat R]\n");
        return 2;
    }
    int threads = few_thread_count();
    for (int k = 4; k < argc; k++)
        if (!strncmp(argv[k], "--threads=", 10) && atoi(argv[k] + 10) > 0)
            threads = atoi(argv[k] + 10);
    const int file = mkstemp(trace);
    if (file < 0) {
        perror(trace);
        return 1;
    }
    close(file);
    few_roof_measure(&roof, threads, 9);
    setenv("FEW_TRACE", trace, 1);
    few_status st = few_spawn_bench(argv[1], argv[2], argc - 4, argv + 4, &f, &err);
    if (st == FEW_OK)
        st = few_traces_read(trace, &plans, &n, &err);
    if (st == FEW_OK && n != PLANS)
        st = few_fail(&err, FEW_EFORMAT, "%d plans were traced instead of %d", n, PLANS);
    unlink(trace);
    if (st == FEW_OK) {
        printf("# %s, %d threads; limits: f32 %.0f, bf16 %.0f GFLOP/s, L2 %.0f, L3 %.0f, DRAM %.0f "
               "GB/s\n",
               plans[0].bf16 ? "bf16" : "f32", threads, 1e-9 * roof.f32, 1e-9 * roof.bf16,
               1e-9 * roof.l2, 1e-9 * roof.l3, 1e-9 * roof.dram);
        printf("plan\top\tshapes\tnodes\tmicroseconds an image\tpart\tGFLOP/s\tGB/s\tat the "
               "limits\tfraction\n");
    }
    static const int figure_of[PLANS] = { FEW_TRAIN, FEW_SAMPLE_1, FEW_SAMPLE_16, FEW_SAMPLE_64,
                                          FEW_DISTILL };
    for (int k = 0; k < n && st == FEW_OK; k++)
        if (k != 2) /* batch 16 is as batch 64 */
            print_plan(plan_names[k], &plans[k], &roof, threads, by_shapes, f.v[figure_of[k]]);
    few_traces_free(plans, n);
    if (st != FEW_OK)
        fprintf(stderr, "bench_step: %s\n", err.text);
    return st == FEW_OK ? 0 : 1;
}
