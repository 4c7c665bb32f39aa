/* Where a plan's time would go at the limits of a machine, and with FEW_TRACE=file where it goes. A
 * line about the plan, a head, a row for each node that runs: what it cost the first worker for a
 * slice, and what it does. Plans are appended one after another, as they are released
 * (bench/trace.h reads them). */
#include "cpu/plan.h"

#include <stdio.h>

static double bytes_of(const few_plan *p, const few_node *n)
{
    double bytes = 0;
    for (int j = 0; j < n->n_in; j++)
        bytes += n->in[j] == FEW_NONE ? 0 : (double)p->slot[n->in[j]].bytes;
    for (int j = 0; j < n->n_out; j++)
        bytes += p->slot[n->out[j]].place == FEW_PLACE_NONE ? 0 : (double)p->slot[n->out[j]].bytes;
    return bytes;
}

static double flops_of(const few_plan *p, const few_node *n)
{
    return n->op->flops ? n->op->flops(n, p->g)
                        : (double)few_shape_count(&p->g->tensors[n->out[0]].shape);
}

double few_cpu_roofline(const few_plan *p, const few_rates *rates)
{
    double seconds = 0;
    for (int k = 0; k < p->n_steps; k++) {
        const few_node *n = p->step[k].node;
        if (p->step[k].skip || p->step[k].once)
            continue;
        const bool bf16 = n->n_in && n->in[0] != FEW_NONE && p->slot[n->in[0]].type == FEW_BF16;
        const double a = flops_of(p, n) / (bf16 ? rates->bf16 : rates->f32),
                     b = bytes_of(p, n) / rates->bytes;
        seconds += a > b ? a : b;
    }
    return seconds;
}

static void write_row(FILE *f, const few_plan *p, const few_step *s)
{
    const few_node *n = s->node;
    const double seconds = s->seconds / (double)p->traced, bytes = bytes_of(p, n);
    const few_shape *out = &p->g->tensors[n->out[0]].shape;
    const double flops = flops_of(p, n);
    char a[96], b[96];
    fprintf(f, "%s\t%s\t%s", n->op->name, n->label, few_shape_text(out, a));
    for (int j = 0; j < n->n_in; j++)
        if (n->in[j] != FEW_NONE)
            fprintf(f, "%s%s", j ? " " : " of ", few_shape_text(&p->g->tensors[n->in[j]].shape, b));
    fprintf(f, "\t%.2f\t%.0f\t%.0f\t%.1f\t%.1f\n", seconds * 1e6, flops, bytes,
            flops / seconds * 1e-9, bytes / seconds * 1e-9);
}

void few_plan_write_trace(const few_plan *p)
{
    FILE *f = p->traced ? fopen(p->trace, "a") : NULL;
    if (!f)
        return;
    fprintf(f, "# slices %lld, images in each %lld, %s, arena %zu bytes, weights %s\n",
            (long long)p->traced, (long long)p->slice,
            p->precision == FEW_PRECISION_BF16 ? "bf16" : "f32", p->arena_bytes,
            p->has_grads ? "trained" : "fixed");
    fprintf(f, "op\tlabel\tshapes\tmicroseconds\tflops\tbytes\tgflops\tgbytes\n");
    for (int k = 0; k < p->n_steps; k++)
        if (!p->step[k].skip && !p->step[k].once && p->step[k].seconds > 0)
            write_row(f, p, &p->step[k]);
    fclose(f);
}
