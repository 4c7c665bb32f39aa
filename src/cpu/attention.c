/* attention and its gradient: the choice between our own and, where bf16 is faster so, matrix
 * products by oneDNN with softmax by our own rows, an image at a time so that scores stay in cache.
 *
 *   s = q k^T, p = exp(scale s - lse), o = p v
 *   dp = do v^T, delta = rowsum(do * o), ds = scale p (dp - delta)
 *   dv = p^T do, dq = ds k, dk = ds^T q
 *
 * Heads are parts of the channels: head h of [T,C] has strides (C, 1) and starts at h*C/heads. */
#include "base/alloc.h"
#include "cpu/fused_attention.h"

#include <math.h>
#include <string.h>

enum { SCORES, OUT, DP, DV, DQ, DK, N_PRODUCTS };

struct attention {
    const few_way *way;
    few_dnn mm[N_PRODUCTS];
    int64_t n, heads, t, s, d; /* images, heads, queries, keys, width of a head */
    int pieces;                /* of an image's queries, which a team shares; t is those of one */
    bool own_threads;          /* oneDNN shares a product among threads of its own */
    few_dtype type;
    float scale;
    size_t prim_bytes, part; /* scratch of oneDNN; of a member of the team */
};

static void release(void *state)
{
    struct attention *a = state;
    for (int k = 0; k < N_PRODUCTS; k++)
        if (a->mm[k].prim)
            few_dnn_free(&a->mm[k]);
    few_free(a);
}

static few_dnn_view transpose(few_dnn_view v)
{
    return (few_dnn_view){ v.type, v.cols, v.rows, v.batch_stride, v.col_stride, v.row_stride };
}

static few_status product(struct attention *a, int which, few_dnn_view x, few_dnn_view y,
                          few_dnn_view z, few_error *err)
{
    FEW_TRY(few_dnn_matmul_make(&a->mm[which], a->heads, &x, &y, &z, err));
    if (a->mm[which].scratch_bytes > a->prim_bytes)
        a->prim_bytes = a->mm[which].scratch_bytes;
    return FEW_OK;
}

/* In how many pieces a team shares the queries of an image. */
static int share_queries(const few_cpu_prep *p, int64_t queries)
{
    const int n = few_team_size(p->call.team);
    return p->plan->dnn_threads == 1 && queries % n == 0 && queries / n >= 16 ? n : 1;
}

static few_status make(few_cpu_prep *p, const few_way *way, bool backward, few_error *err)
{
    const few_cpu_call *c = &p->call;
    if (!backward && !p->used[0])
        return few_fail(err, FEW_EUNSUPPORTED, "attention of which only the log sums are read");
    struct attention *a = few_calloc(1, sizeof *a);
    if (!a)
        return few_fail(err, FEW_ENOMEM, "out of memory for attention");
    const int64_t channels = c->is[0]->d[2];
    a->way = way;
    a->n = c->is[0]->d[0];
    a->own_threads = p->plan->dnn_threads > 1;
    a->pieces = backward || p->used[1] ? 1 : share_queries(p, c->is[0]->d[1]);
    a->t = c->is[0]->d[1] / a->pieces;
    a->s = c->is[1]->d[1];
    a->heads = c->node->a.i[0];
    a->d = channels / a->heads;
    a->type = c->in_type[0];
    a->scale = 1 / sqrtf((float)a->d);
    const few_dnn_view q = { a->type, a->t, a->d, a->d, channels, 1 };
    const few_dnn_view k = { a->type, a->s, a->d, a->d, channels, 1 };
    const few_dnn_view s = { FEW_F32, a->t, a->s, a->t * a->s, a->s, 1 };
    const few_dnn_view w = { a->type, a->t, a->s, a->t * a->s, a->s, 1 }; /* p and ds */
    few_status st = FEW_OK;
    FEW_GOTO(product(a, SCORES, q, transpose(k), s, err));
    if (!backward)
        FEW_GOTO(product(a, OUT, w, k, q, err));
    if (backward) {
        FEW_GOTO(product(a, DP, q, transpose(k), s, err));
        FEW_GOTO(product(a, DV, transpose(w), q, k, err));
        FEW_GOTO(product(a, DQ, w, k, q, err));
        FEW_GOTO(product(a, DK, transpose(w), q, k, err));
    }
    a->prim_bytes = few_up64(a->prim_bytes);
    /* scores, dp in f32; p, ds in the activations' type; delta */
    a->part = a->prim_bytes + (size_t)(a->heads * a->t * a->s) * 16 +
              (size_t)(a->heads * a->t) * 4 + 6 * 64;
    a->part -= a->part % 64;
    p->scratch_bytes = a->part * (size_t)(backward ? 1 : few_team_size(c->team));
    p->state = a;
    return FEW_OK;
cleanup:
    release(a);
    return st;
}

static void *carve(char **at, size_t bytes)
{
    void *p = *at;
    *at += few_up64(bytes);
    return p;
}

/* Image i of an activation with `tokens` rows; or piece i, of those of all images. */
static char *image(const struct attention *a, const void *x, int64_t i, int64_t tokens)
{
    const size_t size = a->type == FEW_BF16 ? 2 : 4;
    union {
        const void *in;
        char *out;
    } u = { x };
    return u.out ? u.out + (size_t)(i * tokens * a->heads * a->d) * size : NULL;
}

static void forward_piece(void *user, int piece, int member)
{
    const few_cpu_call *c = user;
    const struct attention *a = c->state;
    const int64_t rows = a->heads * a->t, i = piece / a->pieces;
    char *at = (char *)c->scratch + (size_t)member * a->part;
    void *prim = carve(&at, a->prim_bytes);
    float *s = carve(&at, (size_t)(rows * a->s) * 4);
    void *p16 = a->type == FEW_BF16 ? carve(&at, (size_t)(rows * a->s) * 2) : NULL;
    float *own = carve(&at, (size_t)rows * 4);
    float *lse = c->out[1] ? (float *)c->out[1] + i * rows : own;
    few_dnn_run(&a->mm[SCORES], image(a, c->in[0], piece, a->t), image(a, c->in[1], i, a->s), NULL,
                s, prim);
    c->simd->softmax_rows(s, p16, lse, a->scale, rows, a->s);
    few_dnn_run(&a->mm[OUT], p16 ? p16 : s, image(a, c->in[2], i, a->s), NULL,
                image(a, c->out[0], piece, a->t), prim);
}

static void forward_run(const few_cpu_call *c)
{
    const struct attention *a = c->state;
    /* products that oneDNN shares among its own threads are not for members of a team */
    few_team_run(a->own_threads ? NULL : c->team, (int)a->n * a->pieces, forward_piece,
                 (void *)(uintptr_t)c);
}

static void backward_run(const few_cpu_call *c)
{
    const struct attention *a = c->state;
    const bool bf = a->type == FEW_BF16;
    const size_t size = bf ? 2 : 4;
    const int64_t rows = a->heads * a->t, channels = a->heads * a->d;
    char *at = c->scratch;
    void *prim = carve(&at, a->prim_bytes);
    float *s = carve(&at, (size_t)(rows * a->s) * 4);
    float *dp = carve(&at, (size_t)(rows * a->s) * 4);
    void *p = carve(&at, (size_t)(rows * a->s) * size);
    void *ds = carve(&at, (size_t)(rows * a->s) * size);
    float *delta = carve(&at, (size_t)rows * 4);
    for (int64_t i = 0; i < a->n; i++) {
        const char *q = image(a, c->in[0], i, a->t), *k = image(a, c->in[1], i, a->s);
        const char *v = image(a, c->in[2], i, a->s), *o = image(a, c->in[3], i, a->t);
        const char *d = image(a, c->in[5], i, a->t);
        const float *lse = (const float *)c->in[4] + i * rows;
        few_dnn_run(&a->mm[SCORES], q, k, NULL, s, prim);
        few_dnn_run(&a->mm[DP], d, v, NULL, dp, prim);
        for (int64_t h = 0; h < a->heads; h++)
            c->simd->row_dot(bf, delta + h * a->t, d + (size_t)(h * a->d) * size,
                             o + (size_t)(h * a->d) * size, a->t, a->d, channels, channels);
        c->simd->softmax_grad_rows(bf, s, dp, lse, delta, a->scale, p, ds, rows, a->s);
        if (c->out[2])
            few_dnn_run(&a->mm[DV], p, d, NULL, image(a, c->out[2], i, a->s), prim);
        if (c->out[0])
            few_dnn_run(&a->mm[DQ], ds, k, NULL, image(a, c->out[0], i, a->t), prim);
        if (c->out[1])
            few_dnn_run(&a->mm[DK], ds, q, NULL, image(a, c->out[1], i, a->s), prim);
    }
}

static const few_way forward_by_onednn = { forward_run, NULL, release };
static const few_way backward_by_onednn = { backward_run, NULL, release };

static few_status forward_prepare(few_cpu_prep *p, few_error *err)
{
    return few_fused_attention_fits(&p->call) ? few_fused_attention_prepare(p, false, err)
                                              : make(p, &forward_by_onednn, false, err);
}

static few_status backward_prepare(few_cpu_prep *p, few_error *err)
{
    return few_fused_attention_fits(&p->call) ? few_fused_attention_prepare(p, true, err)
                                              : make(p, &backward_by_onednn, true, err);
}

const few_cpu_kernel few_cpu_attention = {
    .op = "attention", .prepare = forward_prepare, .run = few_way_run, .release = few_way_release
};
const few_cpu_kernel few_cpu_attention_grad = { .op = "attention_grad",
                                                .prepare = backward_prepare,
                                                .run = few_way_run,
                                                .release = few_way_release };
