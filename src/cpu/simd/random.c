/* Philox4x32-10 (base/philox.h) for W blocks at a time, normal numbers, and dropout.
 *
 * The four words of a counter are kept in 64-bit lanes, so that a round's 32x32 -> 64 products are
 * one instruction and their upper bits need no clearing: only the low halves of lanes count.
 * Box-Muller's arguments are odd multiples of 2^-25 and are reduced as integers, exactly. */
#include "cpu/simd/vec.h"

typedef struct words {
    vu u[4];
} words;

typedef struct stream {
    uint32_t purpose, step, sample;
    vl key[10][2]; /* of the rounds */
} stream;

#if W == 16
#define LANES 0, 2, 4, 6, 8, 10, 12, 14
#elif W == 8
#define LANES 0, 2, 4, 6
#else
#define LANES 0, 2
#endif

/* Ten rounds for W/2 counters. */
INLINE void rounds(vl c[4], const vl key[10][2])
{
    const vl m0 = (vl){} + 0xD2511F53u, m1 = (vl){} + 0xCD9E8D57u;
    for (int i = 0; i < 10; i++) {
        const vl p0 = mul_even(c[0], m0), p1 = mul_even(c[2], m1);
        c[0] = (p1 >> 32) ^ c[1] ^ key[i][0];
        c[2] = (p0 >> 32) ^ c[3] ^ key[i][1];
        c[1] = p1;
        c[3] = p0;
    }
}

/* u[k][i] = word k of block b + i: even blocks in one set of lanes, odd ones in the other. */
INLINE words philox(const stream *s, uint32_t b)
{
    vl even[4], odd[4];
    even[0] = (vl){ LANES } + b;
    odd[0] = even[0] + 1;
    even[1] = odd[1] = (vl){} + s->purpose;
    even[2] = odd[2] = (vl){} + s->step;
    even[3] = odd[3] = (vl){} + s->sample;
    rounds(even, s->key);
    rounds(odd, s->key);
    words w;
    for (int k = 0; k < 4; k++) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        w.u[k] = (vu)((even[k] << 32) | (odd[k] & 0xffffffffu));
#else
        w.u[k] = (vu)((even[k] & 0xffffffffu) | (odd[k] << 32));
#endif
    }
    return w;
}

/* From word by word to block by block: the 4 W elements in order. */
INLINE void in_order(vf v[4])
{
    const pair a = zip((pair){ v[0], v[2] }), b = zip((pair){ v[1], v[3] });
    const pair lo = zip((pair){ a.lo, b.lo }), hi = zip((pair){ a.hi, b.hi });
    v[0] = lo.lo;
    v[1] = lo.hi;
    v[2] = hi.lo;
    v[3] = hi.hi;
}

/* ln(t 2^-25), t odd in [1, 2^25). Above sqrt(1/2) the distance from 1 is taken as an integer;
 * below, the conversion of t rounds by 2^-25 relative at most, where the logarithm is over 0.3. */
INLINE vf log_unit(vi t)
{
    const vi near = t > 23726566; /* sqrt(1/2) 2^25 */
    vf e;
    const vf far_f = log_split(__builtin_convertvector(t, vf) * 0x1p-25f, &e);
    const vf near_f = __builtin_convertvector(t - (1 << 25), vf) * 0x1p-25f;
    return log1p_poly((vf)((near & (vi)near_f) | (~near & (vi)far_f))) + (vf)((vi)e & ~near);
}

/* cos and sin of 2 pi t 2^-25: the nearest quarter turn as an integer, the rest in +-pi/4. */
INLINE pair cos_sin_unit(vi t)
{
    const vi quarter = (t + (1 << 22)) >> 23, rest = t - (quarter << 23);
    const vf a = __builtin_convertvector(rest, vf) * 1.87253512e-7f, q = a * a; /* 2 pi 2^-25 */
    vf s = q * -0.000195878909f + 0.00833274827f;
    s = s * q + -0.166666647f;
    s = s * q * a + a;
    vf c = q * 2.45479421e-5f + -0.0013888303f;
    c = c * q + 0.0416666647f;
    c = c * (q * q) + (1.0f - 0.5f * q);
    const vi swap = -(quarter & 1), minus_c = ((quarter + 1) & 2) << 30,
             minus_s = (quarter & 2) << 30;
    const vi x = ((vi)c & ~swap) | ((vi)s & swap), y = ((vi)s & ~swap) | ((vi)c & swap);
    return (pair){ (vf)(x ^ minus_c), (vf)(y ^ minus_s) };
}

INLINE pair normal(vu a, vu b)
{
    const vi t = (vi)((a >> 8) * 2 + 1), u = (vi)((b >> 8) * 2 + 1);
    const vf r = vsqrt(-2.0f * log_unit(t));
    const pair p = cos_sin_unit(u);
    return (pair){ r * p.lo, r * p.hi };
}

INLINE stream row_stream(const int32_t *rng, int64_t i, uint32_t purpose)
{
    const int32_t *r = rng + 4 * i;
    stream s = { .purpose = purpose, .step = (uint32_t)r[2], .sample = (uint32_t)r[3] };
    uint32_t k0 = (uint32_t)r[0], k1 = (uint32_t)r[1];
    for (int k = 0; k < 10; k++) {
        s.key[k][0] = (vl){} + k0;
        s.key[k][1] = (vl){} + k1;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return s;
}

static void noise(float *y, const int32_t *rng, uint32_t purpose, int64_t n, int64_t d)
{
    for (int64_t i = 0; i < n; i++) {
        const stream s = row_stream(rng, i, purpose);
        for (int64_t e = 0; e < d; e += 4 * W) {
            const words w = philox(&s, (uint32_t)(e / 4));
            const pair p = normal(w.u[0], w.u[1]), q = normal(w.u[2], w.u[3]);
            vf v[4] = { p.lo, p.hi, q.lo, q.hi };
            in_order(v);
            store(false, y, i * d + e, d - e, (pair){ v[0], v[1] });
            if (d - e > 2 * W)
                store(false, y, i * d + e + 2 * W, d - e - 2 * W, (pair){ v[2], v[3] });
        }
    }
}

/* 1/(1-p) where the uniform number of the word is p or more, 0 elsewhere: (k + 1/2) 2^-24 < p means
 * k < limit = ceil(p 2^24 - 1/2). */
INLINE vf keep(vf word, int32_t limit, float scale)
{
    const vi k = (vi)((vu)word >> 8);
    return (vf)((vi)splat(scale) & ~(vi)(k < limit));
}

INLINE void dropout_row(bool bf, void *y, const void *x, const stream *s, float p, int64_t at,
                        int64_t d)
{
    const int32_t limit = (int32_t)ceil((double)p * 0x1p24 - 0.5);
    const float scale = 1 / (1 - p);
    for (int64_t e = 0; e < d; e += 4 * W) {
        const words w = philox(s, (uint32_t)(e / 4));
        vf v[4] = { (vf)w.u[0], (vf)w.u[1], (vf)w.u[2], (vf)w.u[3] };
        in_order(v);
        for (int k = 0; k < 2 && e + k * 2 * W < d; k++) {
            const int64_t i = at + e + k * 2 * W, left = d - e - k * 2 * W;
            const pair m = { keep(v[2 * k], limit, scale), keep(v[2 * k + 1], limit, scale) };
            const pair a = load(bf, x, i, left), b = bf ? unzip(m) : m;
            store(bf, y, i, left, (pair){ a.lo * b.lo, a.hi * b.hi });
        }
    }
}

static void dropout(bool bf, void *y, const void *x, const int32_t *rng, uint32_t purpose, float p,
                    int64_t n, int64_t d)
{
    for (int64_t i = 0; i < n; i++) {
        const stream s = row_stream(rng, i, purpose);
        if (bf)
            dropout_row(true, y, x, &s, p, i * d, d);
        else
            dropout_row(false, y, x, &s, p, i * d, d);
    }
}
