/* Heads of images one after the other; a team shares them, or the queries of each. */
#include "cpu/fused_attention.h"

#include "base/alloc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Where a CPU multiplies pairs of bf16 (with AVX-512 at least), oneDNN's products of them win where
 * there are many scores. */
enum { MOST_SCORES_BF16 = 64 * 64 };

struct fused {
    const few_way *way;
    few_attn_args args; /* of a piece */
    int64_t n, heads, t, s;
    int pieces;  /* of a head's queries */
    size_t part; /* of scratch, for each of the team */
};

bool few_fused_attention_fits(const few_cpu_call *c)
{
    const char *e = getenv("FEW_ATTENTION");
    if (e && !strcmp(e, "fused"))
        return true;
    if (e && !strcmp(e, "products"))
        return false;
    const bool pairs = c->simd == few_simd_named("avx512");
    return c->in_type[0] == FEW_F32 || !pairs ||
           (!few_cpu_may_use_amx() && c->is[0]->d[1] * c->is[1]->d[1] <= MOST_SCORES_BF16);
}

/* Head h of image i in an activation of `tokens`; NULL stays NULL. */
static char *head(const struct fused *f, const void *x, int64_t tokens, int64_t i, int64_t h)
{
    const size_t size = f->args.bf ? 2 : 4;
    return x ? (char *)(uintptr_t)x + (size_t)(i * tokens * f->args.stride + h * f->args.d) * size
             : NULL;
}

static void forward_piece(void *user, int piece, int member)
{
    const few_cpu_call *c = user;
    const struct fused *f = c->state;
    const int64_t k = piece % f->pieces, h = piece / f->pieces % f->heads,
                  i = piece / f->pieces / f->heads;
    const int64_t from = k * f->args.t;
    const size_t skip = (size_t)(from * f->args.stride) * (f->args.bf ? 2 : 4);
    float *lse = c->out[1] ? (float *)c->out[1] + (i * f->heads + h) * f->t + from : NULL;
    c->simd->attention(&f->args, head(f, c->in[0], f->t, i, h) + skip,
                       head(f, c->in[1], f->s, i, h), head(f, c->in[2], f->s, i, h),
                       head(f, c->out[0], f->t, i, h) + skip, lse,
                       (float *)(void *)((char *)c->scratch + (size_t)member * f->part));
}

static void forward_run(const few_cpu_call *c)
{
    const struct fused *f = c->state;
    few_team_run(c->team, (int)(f->n * f->heads) * f->pieces, forward_piece, (void *)(uintptr_t)c);
}

static void backward_run(const few_cpu_call *c)
{
    const struct fused *f = c->state;
    for (int64_t i = 0; i < f->n; i++)
        for (int64_t h = 0; h < f->heads; h++)
            c->simd->attention_grad(
                &f->args, head(f, c->in[0], f->t, i, h), head(f, c->in[1], f->s, i, h),
                head(f, c->in[2], f->s, i, h), head(f, c->in[3], f->t, i, h),
                (const float *)c->in[4] + (i * f->heads + h) * f->t, head(f, c->in[5], f->t, i, h),
                head(f, c->out[0], f->t, i, h), head(f, c->out[1], f->s, i, h),
                head(f, c->out[2], f->s, i, h), c->scratch);
}

static const few_way forward = { forward_run, NULL, few_free };
static const few_way backward = { backward_run, NULL, few_free };

few_status few_fused_attention_prepare(few_cpu_prep *p, bool back, few_error *err)
{
    const few_cpu_call *c = &p->call;
    if (!back && !p->used[0])
        return few_fail(err, FEW_EUNSUPPORTED, "attention of which only the log sums are read");
    struct fused *f = few_calloc(1, sizeof *f);
    if (!f)
        return few_fail(err, FEW_ENOMEM, "out of memory for attention");
    const int64_t channels = c->is[0]->d[2], heads = c->node->a.i[0], d = channels / heads;
    const int team = few_team_size(c->team);
    *f = (struct fused){ .way = back ? &backward : &forward,
                         .n = c->is[0]->d[0],
                         .heads = heads,
                         .t = c->is[0]->d[1],
                         .s = c->is[1]->d[1] };
    f->pieces = !back && heads % team && f->t % team == 0 ? team : 1;
    f->args = (few_attn_args){ .bf = c->in_type[0] == FEW_BF16,
                               .t = f->t / f->pieces,
                               .s = f->s,
                               .d = d,
                               .stride = channels,
                               .scale = 1 / sqrtf((float)d) };
    f->part = few_up64((size_t)c->simd->attention_floats(&f->args, back) * sizeof(float));
    p->scratch_bytes = f->part * (size_t)(back ? 1 : team);
    p->state = f;
    return FEW_OK;
}
