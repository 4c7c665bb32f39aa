/* A block of tiles at a time, so that its pixels and products stay in the second cache: into the 36
 * positions, multiplied, and back. What is easy to get wrong: the gradient of the weights sums over
 * all tiles, those of the last row and column included, whose pixels outside of the image are 0. */
#include "cpu/winograd.h"

#include "base/alloc.h"
#include "base/thread.h"

#include <stdlib.h>
#include <string.h>

enum {
    POSITIONS = 36,
    LEAST_SIDE = 8,
    FEW_TILES = 4,
    SOME_OF_FEW = 32,
    SOME_OF_MANY = 64,
    MANY = 64
};

/* How a plan keeps weights. Nine numbers are a quarter of the memory and of what is read of it, but
 * transforming them takes up to a tenth of the time of multiplying 32 tiles: done where their 36
 * positions are in no cache when they are wanted (9 MB), or with so many tiles that it does not
 * matter (2 MB). */
enum kept {
    TRANSFORMED,  /* to the 36 positions */
    NINE_OF_FEW,  /* transformed for all of the tiles, a team sharing the channels */
    NINE_OF_MANY, /* transformed for MANY tiles at a time */
};

struct winograd {
    const few_way *way;
    few_dnn_kind kind;
    few_plan *plan;
    int pack;      /* of the weights in the plan; -1: made at every call */
    few_fill fill; /* makes them */
    enum kept kept;
    int64_t some;          /* channels of the input that are transformed at a time */
    int64_t n, h, w, c, o; /* of the convolution */
    int64_t tiles, block;  /* in all; at a time */
    int64_t in, out;       /* channels of what is multiplied and of the result */
    size_t v, m, u;        /* where these are in scratch, behind zeros */
    size_t made, acc;      /* the weights, if pack < 0; dw [9,c,o] and db [o] */
    size_t db;             /* where db is in acc */
    bool bias;             /* db is wanted */
    size_t part;           /* of scratch, for each of the team */
};

static bool asked_for(const char *what)
{
    const char *e = getenv("FEW_CONV");
    return e && !strcmp(e, what);
}

bool few_winograd_fits(const few_dnn_conv *c)
{
    const bool can = c->kh == 3 && c->kw == 3 && c->stride == 1 && c->pad0 == 1 && c->pad1 == 1 &&
                     c->c % 32 == 0 && c->o % 32 == 0;
    if (!can || asked_for("direct"))
        return false;
    if (asked_for("winograd"))
        return true;
    return c->h >= LEAST_SIDE && c->w >= LEAST_SIDE &&
           (c->type == FEW_F32 || !few_cpu_may_use_amx());
}

/* Floats from one position to the next: 64 bytes more than there are, since 36 arrays a power of
 * two apart would share a few sets of the cache. */
static int64_t stride(const struct winograd *w, int64_t channels)
{
    return w->block * channels + FEW_WINO_APART;
}

/* A few_fill for each kind of convolution and type of image, of transformed weights or not. */
#define FILL(name, make, turned, bf)                                                               \
    static void name(const few_simd *simd, const few_shape *s, const float *plain, void *to)       \
    {                                                                                              \
        simd->make(to, plain, s->d[0], s->d[1], turned, bf);                                       \
    }
FILL(fill_f32, wino_weights, false, false)
FILL(fill_bf16, wino_weights, false, true)
FILL(fill_turned_f32, wino_weights, true, false)
FILL(fill_turned_bf16, wino_weights, true, true)
FILL(gather_f32, wino_gather, false, false)
FILL(gather_bf16, wino_gather, false, true)
FILL(gather_turned_f32, wino_gather, true, false)
FILL(gather_turned_bf16, wino_gather, true, true)

static few_fill fill_of(bool nine, bool turned, bool bf)
{
    static const few_fill all[2][2][2] = {
        { { fill_f32, fill_bf16 }, { fill_turned_f32, fill_turned_bf16 } },
        { { gather_f32, gather_bf16 }, { gather_turned_f32, gather_turned_bf16 } }
    };
    return all[nine][turned][bf];
}

/* Tiles at a time: as many as take three eighths of the second cache with their products, beside
 * weights and the image that passes through; but where there are many channels, so many that
 * reading the weights (or adding up their gradients, which is twice that) moves no more memory than
 * the tiles themselves do. */
static int64_t block_size(const struct winograd *w)
{
    const int64_t channels = w->c + w->o, room = (int64_t)few_cache_bytes(2) / 8 * 3,
                  fit = room / (int64_t)(POSITIONS * sizeof(float)) / channels,
                  even = w->c * w->o / channels / (w->kind == FEW_DNN_CONV_WEIGHTS ? 1 : 2);
    const int64_t block = w->kept == NINE_OF_MANY ? MANY : (fit > even ? fit : even) / 8 * 8;
    return block < w->tiles ? block : w->tiles;
}

static few_wino_tiles tiles_of(const struct winograd *w, void *scratch, int64_t channels,
                               few_dtype type)
{
    memset(scratch, 0, (size_t)channels * sizeof(float));
    return (few_wino_tiles){ .h = w->h,
                             .w = w->w,
                             .c = channels,
                             .stride = stride(w, channels),
                             .bf = type == FEW_BF16,
                             .end = channels,
                             .zeros = scratch };
}

static float *at(void *from, size_t bytes)
{
    return (float *)(void *)((char *)from + bytes);
}

/* Tiles from..to-1 and channels begin..end-1 of y = x * weights + bias + res; x and y as
 * winograd.in and .out. */
struct piece {
    int64_t from, to, begin, end;
};

/* Products of the tiles in v, and back to the image. */
static void multiply(const struct winograd *w, const few_cpu_call *c, char *scratch,
                     const float *weights, const few_wino_tiles *x, const few_wino_tiles *y)
{
    const few_simd *simd = c->simd;
    const bool forward = w->kind == FEW_DNN_CONV;
    float *v = at(scratch, w->v), *m = at(scratch, w->m);
    const float *bias = forward ? c->in[2] : NULL;
    const void *res = forward ? c->in[3] : NULL;
    if (w->kept == TRANSFORMED)
        simd->wino_multiply(m, y->stride, v, x->stride, weights, x->count, w->in, w->out, y->begin,
                            y->end);
    else
        simd->wino_multiply_nine(m, y->stride, v, x->stride, weights, at(scratch, w->u), w->some,
                                 x->count, w->in, y->begin, y->end);
    simd->wino_output(y, m, bias, res, c->out[0]);
}

static void convolve_piece(const struct winograd *w, const few_cpu_call *c, char *scratch,
                           const float *weights, struct piece p)
{
    few_wino_tiles x = tiles_of(w, scratch, w->in, c->in_type[0]),
                   y = tiles_of(w, scratch, w->out, c->out_type[0]);
    y.begin = p.begin;
    y.end = p.end;
    for (int64_t t = p.from; t < p.to; t += w->block) {
        x.from = y.from = t;
        x.count = y.count = p.to - t < w->block ? p.to - t : w->block;
        c->simd->wino_input(&x, c->in[0], at(scratch, w->v));
        multiply(w, c, scratch, weights, &x, &y);
    }
}

/* What a team shares: in pieces of tiles, or, where there are few, of channels, so that each
 * transforms weights of its own. */
struct share {
    const struct winograd *w;
    const few_cpu_call *call;
    const float *weights; /* as they are kept */
    int pieces;
};

/* Two pieces for each of the team, of 8 tiles at least, which products are best at. */
static int pieces_of(const struct winograd *w, int team)
{
    const int64_t most = w->kept == NINE_OF_FEW ? w->out / 32 : w->tiles / 8, wanted = 2 * team;
    return team == 1 || most < 2 ? 1 : (int)(most < wanted ? most : wanted);
}

static void convolve_share(void *user, int k, int member)
{
    const struct share *s = user;
    const struct winograd *w = s->w;
    const bool few = w->kept == NINE_OF_FEW;
    const int64_t units = few ? w->out / 32 : (w->tiles + 7) / 8;
    const int64_t from = units * k / s->pieces, to = units * (k + 1) / s->pieces;
    struct piece p = { 0, w->tiles, 0, w->out };
    if (few) {
        p.begin = from * 32;
        p.end = to * 32;
    } else {
        p.from = from * 8;
        p.to = to * 8 < w->tiles ? to * 8 : w->tiles;
    }
    convolve_piece(w, s->call, (char *)s->call->scratch + (size_t)member * w->part, s->weights, p);
}

static void convolve(const struct winograd *w, const few_cpu_call *c)
{
    float *made = at(c->scratch, w->made);
    if (w->pack < 0)
        w->fill(c->simd, c->is[1], c->in[1], made);
    struct share s = { w, c, w->pack < 0 ? made : few_plan_packed(w->plan, w->pack),
                       pieces_of(w, few_team_size(c->team)) };
    few_team_run(c->team, s.pieces, convolve_share, &s);
}

/* dw[o][c][9] += acc[9][c][o] */
static void unpack(const struct winograd *w, const few_cpu_call *call, const float *acc, float *dw)
{
    enum { SOME = 16 };
    const bool x_bf = call->in_type[0] == FEW_BF16, dy_bf = call->in_type[1] == FEW_BF16;
    for (int64_t o = 0; o < w->o; o += SOME)
        for (int64_t c = 0; c < w->c; c++)
            for (int64_t i = o; i < o + SOME; i++) {
                const int64_t row = call->simd->wino_channel(dy_bf, i),
                              column = call->simd->wino_channel(x_bf, c);
                for (int64_t k = 0; k < 9; k++)
                    dw[(row * w->c + column) * 9 + k] += acc[(k * w->c + c) * w->o + i];
            }
}

/* db[o] += acc[o] */
static void unpack_bias(const struct winograd *w, const few_cpu_call *call, const float *acc,
                        float *db)
{
    for (int64_t i = 0; i < w->o; i++)
        db[call->simd->wino_channel(call->in_type[1] == FEW_BF16, i)] += acc[i];
}

static void weigh(const struct winograd *w, const few_cpu_call *c)
{
    const few_simd *simd = c->simd;
    float *v = at(c->scratch, w->v), *dm = at(c->scratch, w->m), *du = at(c->scratch, w->u);
    float *fresh = at(c->scratch, w->acc), *acc = c->acc ? c->acc : fresh;
    const bool first = !c->acc || c->first;
    float *db = w->bias ? at(first ? acc : fresh, w->db) : NULL;
    if (db)
        memset(db, 0, (size_t)w->o * sizeof *db);
    few_wino_tiles x = tiles_of(w, c->scratch, w->c, c->in_type[0]),
                   y = tiles_of(w, c->scratch, w->o, c->in_type[1]);
    for (int64_t t = 0; t < w->tiles; t += w->block) {
        x.from = y.from = t;
        x.count = y.count = w->tiles - t < w->block ? w->tiles - t : w->block;
        simd->wino_input(&x, c->in[0], v);
        simd->wino_grad(&y, c->in[1], dm, db);
        simd->wino_multiply_grad(du, v, x.stride, dm, y.stride, x.count, w->c, w->o, t == 0);
    }
    simd->wino_weights_grad(acc, du, w->c * w->o, first);
    if (db && !first)
        simd->accumulate(at(acc, w->db), db, w->o);
    if (!c->acc && c->out[0]) {
        memset(c->out[0], 0, w->db);
        unpack(w, c, acc, c->out[0]);
    }
    if (!c->acc && db) {
        memset(c->out[1], 0, (size_t)w->o * sizeof *db);
        unpack_bias(w, c, db, c->out[1]);
    }
}

/* ---- as a way -------------------------------------------------------------------------------*/

static void run(const few_cpu_call *c)
{
    const struct winograd *w = c->state;
    if (w->kind == FEW_DNN_CONV_WEIGHTS)
        weigh(w, c);
    else
        convolve(w, c);
}

static void finish(const few_cpu_call *c, float *const grad[FEW_MAX_OUT])
{
    const struct winograd *w = c->state;
    if (grad[0])
        unpack(w, c, c->acc, grad[0]);
    if (grad[1])
        unpack_bias(w, c, at(c->acc, w->db), grad[1]);
}

static const few_way way = { run, finish, few_free };

static enum kept how_kept(const few_cpu_prep *p, const struct winograd *w)
{
    const int64_t pairs = w->c * w->o;
    const bool param = p->plan->g->tensors[p->call.node->in[1]].source == FEW_FROM_PARAM;
    if (w->tiles <= FEW_TILES)
        return NINE_OF_FEW;
    if (!param || few_team_size(p->call.team) > 1) /* its pieces are too few tiles */
        return TRANSFORMED;
    return asked_for("winograd") || (pairs >= 256 * 256 && w->tiles >= 32) ||
                   (pairs >= 128 * 128 && w->tiles >= 512)
               ? NINE_OF_MANY
               : TRANSFORMED;
}

few_status few_winograd_prepare(few_cpu_prep *p, few_dnn_kind kind, const few_dnn_conv *c,
                                few_error *err)
{
    const size_t positions = POSITIONS * sizeof(float), pairs = (size_t)(c->c * c->o);
    struct winograd *w = few_calloc(1, sizeof *w);
    if (!w)
        return few_fail(err, FEW_ENOMEM, "out of memory for a convolution");
    *w = (struct winograd){ .way = &way,
                            .kind = kind,
                            .plan = p->plan,
                            .pack = -1,
                            .n = c->n,
                            .h = c->h,
                            .w = c->w,
                            .c = c->c,
                            .o = c->o,
                            .in = kind == FEW_DNN_CONV_DATA ? c->o : c->c,
                            .out = kind == FEW_DNN_CONV_DATA ? c->c : c->o };
    w->tiles = c->n * ((c->h + 3) / 4) * ((c->w + 3) / 4);
    size_t u = 0, made = 0;
    if (kind != FEW_DNN_CONV_WEIGHTS) {
        w->kept = how_kept(p, w);
        const size_t kept = w->kept == TRANSFORMED ? positions * (pairs + FEW_WINO_APART)
                                                   : 9 * pairs * sizeof(float);
        w->fill = fill_of(w->kept != TRANSFORMED, kind != FEW_DNN_CONV, c->type == FEW_BF16);
        const few_status st =
            few_plan_pack_by(p->plan, p->call.node->in[1], w->fill, kept, &w->pack, err);
        if (st != FEW_OK) {
            few_free(w);
            return st;
        }
        w->some = w->kept == NINE_OF_FEW ? SOME_OF_FEW : SOME_OF_MANY;
        if (w->kept != TRANSFORMED)
            u = positions * (size_t)(w->some * 32 + FEW_WINO_APART);
        if (w->pack < 0)
            made = kept;
    }
    w->block = block_size(w);
    w->v = few_up64((size_t)(c->c > c->o ? c->c : c->o) * sizeof(float));
    w->m = w->v + few_up64((size_t)stride(w, w->in) * positions);
    w->u = w->m + few_up64((size_t)stride(w, w->out) * positions);
    w->made = w->u + few_up64(u);
    w->part = w->made + few_up64(made);
    p->scratch_bytes = w->part * (size_t)few_team_size(p->call.team);
    if (kind == FEW_DNN_CONV_WEIGHTS) {
        w->bias = p->used[1];
        w->db = 9 * pairs * sizeof(float);
        const size_t acc_bytes = w->db + (w->bias ? (size_t)c->o * sizeof(float) : 0);
        w->acc = w->u + few_up64(positions * pairs); /* u is the place of the products' sums */
        p->scratch_bytes = w->acc + few_up64(acc_bytes);
        p->acc_bytes = p->may_accumulate ? acc_bytes : 0;
    }
    p->state = w;
    return FEW_OK;
}
