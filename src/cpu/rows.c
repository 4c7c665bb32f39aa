#include "cpu/rows.h"

#include "base/alloc.h"
#include "cpu/way.h"

struct rows {
    const few_way *way;
    int64_t n, in, out;
    int pieces;
    size_t y; /* where the f32 results are in scratch, behind the f32 rows */
};

bool few_rows_fits(const few_cpu_call *c)
{
    return c->is[0]->rank == 2 && !c->is[3];
}

struct share {
    const few_cpu_call *call;
    const float *x;
    float *y;
};

static void piece(void *user, int k, int member)
{
    const struct share *s = user;
    const few_cpu_call *c = s->call;
    const struct rows *r = c->state;
    (void)member;
    c->simd->linear_rows(s->y, s->x, c->in[1], c->in[2], r->n, r->in, r->out,
                         r->out * k / r->pieces, r->out * (k + 1) / r->pieces);
}

static void run(const few_cpu_call *c)
{
    const struct rows *r = c->state;
    struct share s = { c, c->in[0], c->out[0] };
    if (c->in_type[0] == FEW_BF16) {
        c->simd->from_bf16(c->scratch, c->in[0], r->n * r->in);
        s.x = c->scratch;
    }
    if (c->out_type[0] == FEW_BF16)
        s.y = (float *)(void *)((char *)c->scratch + r->y);
    few_team_run(c->team, r->pieces, piece, &s);
    if (c->out_type[0] == FEW_BF16)
        c->simd->to_bf16(c->out[0], s.y, r->n * r->out);
}

static const few_way way = { run, NULL, few_free };

few_status few_rows_prepare(few_cpu_prep *p, few_error *err)
{
    enum { WORTH = 16384 }; /* weights that are worth sharing */
    const few_cpu_call *c = &p->call;
    struct rows *r = few_calloc(1, sizeof *r);
    if (!r)
        return few_fail(err, FEW_ENOMEM, "out of memory for a linear layer");
    *r = (struct rows){
        .way = &way, .n = c->is[0]->d[0], .in = c->is[1]->d[1], .out = c->is[1]->d[0]
    };
    r->pieces = r->in * r->out < WORTH ? 1 : few_team_size(c->team);
    r->y = few_up64((size_t)(r->n * r->in) * sizeof(float));
    p->scratch_bytes = r->y + (size_t)(r->n * r->out) * sizeof(float);
    p->state = r;
    return FEW_OK;
}
