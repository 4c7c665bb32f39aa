/* What is easy to get wrong: which of the two images has few channels, and that gradients see the
 * nine weights turned: tap k of one is tap 8 - k of the other. */
#include "cpu/ends.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

enum { FEW = 4, TAPS = 9 };

struct ends {
    const few_way *way;
    few_dnn_kind kind;
    few_plan *plan;
    int pack;      /* of the weights in the plan; -1: made at every call */
    few_fill fill; /* makes them */
    few_ends_args args;
    bool narrow_out;  /* the convolution's result is the narrow image, else its input is */
    int64_t rows;     /* of all images */
    size_t made, acc; /* the weights, if pack < 0; an accumulator: where they are in scratch */
    size_t db;        /* where the bias's gradient is in an accumulator */
    bool bias;        /* it is wanted */
    size_t part;      /* of scratch, for each of the team */
};

bool few_ends_fits(const few_dnn_conv *c)
{
    const char *e = getenv("FEW_CONV");
    return c->kh == 3 && c->kw == 3 && c->stride == 1 && c->pad0 == 1 && c->pad1 == 1 &&
           (c->o <= FEW || c->c <= FEW) && !(e && !strcmp(e, "direct"));
}

/* w [o,c,3,3] to [narrow][9][pitch]. */
static void arrange(const few_shape *s, const float *w, bool narrow_out, bool turned, float *to)
{
    const int64_t o = s->d[0], c = s->d[1], narrow = narrow_out ? o : c, wide = narrow_out ? c : o;
    memset(to, 0, (size_t)(narrow * TAPS * few_ends_pitch(wide)) * sizeof *to);
    for (int64_t n = 0; n < narrow; n++)
        for (int64_t k = 0; k < wide; k++) {
            const float *from = w + (narrow_out ? n * c + k : k * c + n) * TAPS;
            for (int tap = 0; tap < TAPS; tap++)
                to[(n * TAPS + tap) * few_ends_pitch(wide) + k] =
                    from[turned ? TAPS - 1 - tap : tap];
        }
}

#define FILL(name, narrow_out, turned)                                                             \
    static void name(const few_simd *simd, const few_shape *s, const float *plain, void *to)       \
    {                                                                                              \
        (void)simd;                                                                                \
        arrange(s, plain, narrow_out, turned, to);                                                 \
    }
FILL(fill_in, false, false)
FILL(fill_in_turned, false, true)
FILL(fill_out, true, false)
FILL(fill_out_turned, true, true)

static float *at(void *from, size_t bytes)
{
    return (float *)(void *)((char *)from + bytes);
}

/* ---- the convolution and its gradient by the input ------------------------------------------*/

struct share {
    const few_cpu_call *call;
    const float *weights;
    int pieces;
};

static void convolve_rows(void *user, int k, int member)
{
    const struct share *s = user;
    const few_cpu_call *c = s->call;
    const struct ends *e = c->state;
    const bool forward = e->kind == FEW_DNN_CONV;
    few_ends_args a = e->args;
    a.from = e->rows * k / s->pieces;
    a.to = e->rows * (k + 1) / s->pieces;
    (e->narrow_out == forward ? c->simd->ends_gather : c->simd->ends_spread)(
        &a, c->in[0], s->weights, forward ? c->in[2] : NULL, c->out[0],
        at(c->scratch, (size_t)member * e->part));
}

static void convolve(const few_cpu_call *c)
{
    const struct ends *e = c->state;
    float *made = at(c->scratch, e->made);
    if (e->pack < 0)
        e->fill(c->simd, c->is[1], c->in[1], made);
    const int team = few_team_size(c->team);
    struct share s = { c, e->pack < 0 ? made : few_plan_packed(e->plan, e->pack), team };
    few_team_run(c->team, s.pieces, convolve_rows, &s);
    if (e->kind == FEW_DNN_CONV && c->in[3])
        c->simd->add(c->out_type[0] == FEW_BF16, c->out[0], c->out[0], c->in[3],
                     few_shape_count(c->os[0]));
}

/* ---- the gradient by the weights ------------------------------------------------------------*/

/* dw [o,c,3,3] += acc [narrow][9][pitch]; the sums of a narrow input were taken by its turned
 * taps. */
static void unpack(const struct ends *e, const float *acc, float *dw)
{
    const int64_t narrow = e->args.narrow, wide = e->args.wide;
    const int64_t c = e->narrow_out ? wide : narrow;
    for (int64_t n = 0; n < narrow; n++)
        for (int64_t k = 0; k < wide; k++) {
            float *to = dw + (e->narrow_out ? n * c + k : k * c + n) * TAPS;
            for (int tap = 0; tap < TAPS; tap++)
                to[e->narrow_out ? tap : TAPS - 1 - tap] +=
                    acc[(n * TAPS + tap) * few_ends_pitch(wide) + k];
        }
}

static void weigh(const few_cpu_call *c)
{
    const struct ends *e = c->state;
    float *fresh = at(c->scratch, e->acc), *acc = c->acc ? c->acc : fresh;
    few_ends_args a = e->args;
    a.to = e->rows;
    if (!c->acc || c->first)
        memset(acc, 0, e->db);
    c->simd->ends_weights(&a, c->in[e->narrow_out ? 0 : 1], c->in[e->narrow_out ? 1 : 0], acc,
                          c->scratch);
    if (e->bias)
        few_way_bias(c, c->is[1]->d[3], at(acc, e->db), at(fresh, e->db));
    if (!c->acc && c->out[0]) {
        memset(c->out[0], 0, (size_t)few_shape_count(c->os[0]) * sizeof(float));
        unpack(e, acc, c->out[0]);
    }
}

/* ---- as a way -------------------------------------------------------------------------------*/

static void run(const few_cpu_call *c)
{
    const struct ends *e = c->state;
    (e->kind == FEW_DNN_CONV_WEIGHTS ? weigh : convolve)(c);
}

static void finish(const few_cpu_call *c, float *const grad[FEW_MAX_OUT])
{
    const struct ends *e = c->state;
    if (grad[0])
        unpack(e, c->acc, grad[0]);
    if (grad[1])
        c->simd->accumulate(grad[1], at(c->acc, e->db), c->is[1]->d[3]);
}

static const few_way way = { run, finish, few_free };

few_status few_ends_prepare(few_cpu_prep *p, few_dnn_kind kind, const few_dnn_conv *c,
                            few_error *err)
{
    static const few_fill fills[2][2] = { { fill_in, fill_in_turned },
                                          { fill_out, fill_out_turned } };
    const few_cpu_call *call = &p->call;
    const bool narrow_out = c->o <= FEW;
    struct ends *e = few_calloc(1, sizeof *e);
    if (!e)
        return few_fail(err, FEW_ENOMEM, "out of memory for a convolution");
    /* the convolution's input and its result, or the gradients of these */
    const few_dtype first = call->in_type[0],
                    second = kind == FEW_DNN_CONV_WEIGHTS ? call->in_type[1] : call->out_type[0];
    const bool out_first = kind == FEW_DNN_CONV_DATA;
    const bool in_bf = (out_first ? second : first) == FEW_BF16,
               out_bf = (out_first ? first : second) == FEW_BF16;
    *e = (struct ends){ .way = &way,
                        .kind = kind,
                        .plan = p->plan,
                        .pack = -1,
                        .fill = fills[narrow_out][kind == FEW_DNN_CONV_DATA],
                        .narrow_out = narrow_out,
                        .rows = c->n * c->h,
                        .args = { .h = c->h,
                                  .w = c->w,
                                  .wide = narrow_out ? c->c : c->o,
                                  .narrow = narrow_out ? c->o : c->c,
                                  .wide_bf = narrow_out ? in_bf : out_bf,
                                  .narrow_bf = narrow_out ? out_bf : in_bf } };
    const size_t weights =
        (size_t)(e->args.narrow * TAPS * few_ends_pitch(e->args.wide)) * sizeof(float);
    e->part = few_up64((size_t)call->simd->ends_floats(&e->args) * sizeof(float));
    p->scratch_bytes = e->part * (size_t)few_team_size(call->team);
    if (kind == FEW_DNN_CONV_WEIGHTS) {
        e->bias = p->used[1];
        e->acc = e->part;
        e->db = weights;
        const size_t acc_bytes = weights + (e->bias ? (size_t)c->o * sizeof(float) : 0);
        p->scratch_bytes = e->acc + few_up64(acc_bytes);
        p->acc_bytes = p->may_accumulate ? acc_bytes : 0;
    } else {
        const few_status st =
            few_plan_pack_by(p->plan, call->node->in[1], e->fill, weights, &e->pack, err);
        if (st != FEW_OK) {
            few_free(e);
            return st;
        }
        e->made = p->scratch_bytes;
        p->scratch_bytes += e->pack < 0 ? few_up64(weights) : 0;
    }
    p->state = e;
    return FEW_OK;
}
