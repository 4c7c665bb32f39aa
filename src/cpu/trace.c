/* FEW_TRACE=file: where a plan's time goes. A row per node: op, label, microseconds a slice of the
 * first worker, GFLOP/s, GB/s. Plans are appended one after another. */
#include "cpu/plan.h"

#include <stdio.h>

void few_plan_write_trace(const few_plan *p)
{
    FILE *f = p->traced ? fopen(p->trace, "a") : NULL;
    if (!f)
        return;
    fprintf(f, "op\tlabel\tmicroseconds\tgflops\tgbytes\t%d slices of %d\n", (int)p->traced,
            (int)p->slice);
    for (int k = 0; k < p->n_steps; k++) {
        const few_step *s = &p->step[k];
        const few_node *n = s->node;
        const double seconds = s->seconds / (double)p->traced;
        double bytes = 0;
        if (s->skip || s->once || seconds <= 0)
            continue;
        for (int j = 0; j < n->n_in; j++)
            bytes += n->in[j] == FEW_NONE ? 0 : (double)p->slot[n->in[j]].bytes;
        for (int j = 0; j < n->n_out; j++)
            bytes +=
                p->slot[n->out[j]].place == FEW_PLACE_NONE ? 0 : (double)p->slot[n->out[j]].bytes;
        const double flops = n->op->flops
                                 ? n->op->flops(n, p->g)
                                 : (double)few_shape_count(&p->g->tensors[n->out[0]].shape);
        fprintf(f, "%s\t%s\t%.2f\t%.1f\t%.1f\n", n->op->name, n->label, seconds * 1e6,
                flops / seconds * 1e-9, bytes / seconds * 1e-9);
    }
    fclose(f);
}
