/* Tiles: 16 channels x 32 pixels of x (A), 32 pixels x 16 channels of dy in pairs (B), 16 x 16 sums
 * in f32 (C). Two by two C tiles share two A and two B tiles: one tile load a product, which the
 * loads can sustain. */
#include "cpu/amx/weights.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 16, SPAN = 32 }; /* channels and pixels of a tile */

static int64_t up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

/* Blocks of 16 that hold channels: packing fills pairs, of which up to four need only the first. */
static int64_t blocks(int64_t channels)
{
    return channels <= 4 ? 1 : up(channels, SPAN) / BLOCK;
}

static int64_t even(int64_t n)
{
    return up(n, 2);
}

/* Pixels of one image in the stream, separators included. */
static int64_t stream(const few_amx_weights *p)
{
    return p->k == 3 ? (p->h + 1) * (p->w + 1) : p->h * p->w;
}

static int64_t sizes(few_amx_weights *p, int64_t group)
{
    const int64_t rows = even(p->c_blocks), columns = even(p->o_blocks);
    p->group = group;
    p->tiles = up(group * stream(p), SPAN) / SPAN;
    p->lead = p->k == 3 ? up(p->w + 2, SPAN) : 0;
    p->pitch = p->lead + p->tiles * SPAN + (p->k == 3 ? up(p->w + 2, SPAN) : 0);
    p->pitch += p->pitch / SPAN % 2 ? 0 : SPAN; /* even strides would share few cache sets */
    p->zeros = up(p->c > p->o ? p->c : p->o, SPAN);
    return 2 * (BLOCK * (rows * p->pitch + columns * p->tiles * SPAN) + p->zeros);
}

void few_amx_weights_pixels(const few_amx_weights *p, int32_t *pixel)
{
    const int64_t gap = p->k == 3, row = p->w + gap, image = (p->h + gap) * row;
    for (int64_t i = 0; i < p->tiles * SPAN; i++) {
        const int64_t g = i / image, y = i % image / row, x = i % row;
        const bool real = g < p->group && y < p->h && x < p->w;
        pixel[i] = real ? (int32_t)((g * p->h + y) * p->w + x) : -1;
    }
}

void few_amx_weights_plan(few_amx_weights *p)
{
    enum { ENOUGH = 32, CACHE = 1 << 20 }; /* tiles that hide the sums' traffic; bytes of L2 used */
    p->c_blocks = blocks(p->c);
    p->o_blocks = blocks(p->o);
    int64_t group = 1;
    sizes(p, 1);
    for (int64_t g = 2; g <= p->n && p->tiles < ENOUGH; g++)
        if (p->n % g == 0) {
            if (sizes(p, g) > CACHE)
                break;
            group = g;
        }
    p->scratch_bytes = (size_t)sizes(p, group);
    p->acc_bytes =
        (size_t)(p->k * p->k * p->c_blocks * p->o_blocks) * BLOCK * BLOCK * sizeof(float);
}

/* Where packing puts a channel: the quads 0 2 4 6 1 3 5 7 of every 32. */
static int64_t place(int64_t c)
{
    return c / SPAN * SPAN + c / 4 % 2 * BLOCK + c % SPAN / 8 * 4 + c % 4;
}

void few_amx_weights_unpack(const few_amx_weights *p, const float *acc, float *dw)
{
    const int64_t taps = (int64_t)p->k * p->k;
    for (int64_t o = 0; o < p->o; o++)
        for (int64_t c = 0; c < p->c; c++)
            for (int64_t t = 0; t < taps; t++) {
                const int64_t row = place(c), col = place(o);
                const int64_t tile = (t * p->c_blocks + row / BLOCK) * p->o_blocks + col / BLOCK;
                dw[(o * p->c + c) * taps + t] +=
                    acc[(tile * BLOCK + row % BLOCK) * BLOCK + col % BLOCK];
            }
}

#if defined __AMX_BF16__ && defined __AVX512BW__

#include <immintrin.h>

/* ---- packing --------------------------------------------------------------------------------*/

/* Within 32 channels, those of the first block of 16 are 0-3, 8-11, 16-19, 24-27: what comes out of
 * an unpacklo. few_amx_weights_unpack knows. */

static __mmask32 tail(int64_t channels, int64_t from)
{
    return channels - from >= SPAN ? 0xffffffffu : (1u << (channels - from)) - 1;
}

static inline const uint16_t *pixel(const few_amx_weights *p, int64_t at, const uint16_t *base,
                                    int64_t channels, const uint16_t *zeros)
{
    const int32_t k = p->pixel[at];
    return k < 0 ? zeros : base + k * channels;
}

/* dy -> [o block][tile][pair of pixels][16][2]. */
static void pack_dy(const few_amx_weights *p, const uint16_t *dy, const uint16_t *zeros,
                    uint16_t *to)
{
    const int64_t next = p->tiles * SPAN * BLOCK;
    for (int64_t i = 0; i < p->tiles * SPAN; i += 2) {
        const uint16_t *u = pixel(p, i, dy, p->o, zeros), *v = pixel(p, i + 1, dy, p->o, zeros);
        uint16_t *row = to + i * BLOCK;
        for (int64_t b = 0; b < p->o_blocks; b += 2, row += 2 * next) {
            const __mmask32 m = tail(p->o, b * BLOCK);
            const __m512i x = _mm512_maskz_loadu_epi16(m, u + b * BLOCK),
                          y = _mm512_maskz_loadu_epi16(m, v + b * BLOCK);
            _mm512_store_si512(row, _mm512_unpacklo_epi16(x, y));
            _mm512_store_si512(row + next, _mm512_unpackhi_epi16(x, y));
        }
    }
}

/* 8 channels of 32 pixels: lane l of row k gets pixel 8 l + k, so that transposing 8 x 8 in every
 * lane makes each channel's 32 pixels one vector. */
static inline __attribute__((always_inline)) void transpose8(const uint16_t *const px[SPAN],
                                                             int64_t from, uint16_t *const to[8])
{
    __m512i r[8], a[8], b[8];
    for (int k = 0; k < 8; k++) {
        r[k] = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(px[k] + from)));
        r[k] = _mm512_mask_broadcast_i32x4(r[k], 0x00f0,
                                           _mm_loadu_si128((const __m128i *)(px[8 + k] + from)));
        r[k] = _mm512_mask_broadcast_i32x4(r[k], 0x0f00,
                                           _mm_loadu_si128((const __m128i *)(px[16 + k] + from)));
        r[k] = _mm512_mask_broadcast_i32x4(r[k], 0xf000,
                                           _mm_loadu_si128((const __m128i *)(px[24 + k] + from)));
    }
    for (int k = 0; k < 4; k++) { /* channels 0-3 and 4-7 of pixels 2k, 2k + 1 */
        a[k] = _mm512_unpacklo_epi16(r[2 * k], r[2 * k + 1]);
        a[4 + k] = _mm512_unpackhi_epi16(r[2 * k], r[2 * k + 1]);
    }
    for (int h = 0; h < 8; h += 4) /* channels h, h + 1 and h + 2, h + 3 of 4 pixels */
        for (int k = 0; k < 2; k++) {
            b[h + k] = _mm512_unpacklo_epi32(a[h + 2 * k], a[h + 2 * k + 1]);
            b[h + 2 + k] = _mm512_unpackhi_epi32(a[h + 2 * k], a[h + 2 * k + 1]);
        }
    for (int h = 0; h < 8; h += 2) {
        _mm512_storeu_si512(to[h], _mm512_unpacklo_epi64(b[h], b[h + 1]));
        _mm512_storeu_si512(to[h + 1], _mm512_unpackhi_epi64(b[h], b[h + 1]));
    }
}

/* x -> [c block * 16][pitch], in the order of channels above. */
static void pack_x(const few_amx_weights *p, const uint16_t *x, const uint16_t *zeros, uint16_t *to)
{
    const int64_t behind = p->lead + p->tiles * SPAN, pitch = p->pitch;
    for (int64_t c = 0; p->k == 3 && c < p->c_blocks * BLOCK; c++) {
        memset(to + c * pitch, 0, (size_t)p->lead * sizeof *to);
        memset(to + c * pitch + behind, 0, (size_t)(pitch - behind) * sizeof *to);
    }
    uint16_t few[SPAN][8]; /* the last channels when they are no whole 8 */
    for (int64_t t = 0; t < p->tiles; t++) {
        const uint16_t *px[SPAN], *last[SPAN];
        for (int i = 0; i < SPAN; i++)
            px[i] = pixel(p, t * SPAN + i, x, p->c, zeros);
        for (int64_t c = 0; c < p->c_blocks * BLOCK; c += 8) {
            uint16_t *rows[8];
            for (int k = 0; k < 8; k++) /* quads 0 2 4 6 | 1 3 5 7 of 32 channels */
                rows[k] = to +
                          (c / SPAN * SPAN + (k / 4) * BLOCK + c % SPAN / 8 * 4 + k % 4) * pitch +
                          p->lead + t * SPAN;
            if (p->c - c >= 8) {
                transpose8(px, c, rows);
                continue;
            }
            memset(few, 0, sizeof few);
            for (int i = 0; i < SPAN; i++) {
                if (c < p->c)
                    memcpy(few[i], px[i] + c, (size_t)(p->c - c) * sizeof **few);
                last[i] = few[i];
            }
            transpose8(last, 0, rows);
        }
    }
}

/* ---- products -------------------------------------------------------------------------------*/

struct product {
    const uint16_t *a; /* rows of 16 channels, pitch apart */
    int64_t pitch, a_block;
    const uint16_t *b;
    int64_t b_block, tiles;
    float *c;
    int64_t c_row; /* floats between blocks of channels */
    bool first;
};

enum { TILE = BLOCK * BLOCK };

/* NC x NO blocks of sums over q->tiles tiles of pixels. Tiles 0-3 C, 4-5 A, 6-7 B. */
#define PRODUCT(NC, NO)                                                                            \
    static void product_##NC##NO(const struct product *q)                                          \
    {                                                                                              \
        const size_t stride = (size_t)q->pitch * sizeof(uint16_t);                                 \
        float *c00 = q->c, *c01 = c00 + TILE, *c10 = c00 + q->c_row, *c11 = c10 + TILE;            \
        if (q->first) {                                                                            \
            _tile_zero(0);                                                                         \
            if (NO > 1)                                                                            \
                _tile_zero(1);                                                                     \
            if (NC > 1)                                                                            \
                _tile_zero(2);                                                                     \
            if (NC > 1 && NO > 1)                                                                  \
                _tile_zero(3);                                                                     \
        } else {                                                                                   \
            _tile_loadd(0, c00, 64);                                                               \
            if (NO > 1)                                                                            \
                _tile_loadd(1, c01, 64);                                                           \
            if (NC > 1)                                                                            \
                _tile_loadd(2, c10, 64);                                                           \
            if (NC > 1 && NO > 1)                                                                  \
                _tile_loadd(3, c11, 64);                                                           \
        }                                                                                          \
        const uint16_t *a = q->a, *b = q->b;                                                       \
        for (int64_t t = 0; t < q->tiles; t++, a += SPAN, b += BLOCK * SPAN) {                     \
            _tile_loadd(4, a, stride);                                                             \
            _tile_loadd(6, b, 64);                                                                 \
            _tile_dpbf16ps(0, 4, 6);                                                               \
            if (NO > 1) {                                                                          \
                _tile_loadd(7, b + q->b_block, 64);                                                \
                _tile_dpbf16ps(1, 4, 7);                                                           \
            }                                                                                      \
            if (NC > 1) {                                                                          \
                _tile_loadd(5, a + q->a_block, stride);                                            \
                _tile_dpbf16ps(2, 5, 6);                                                           \
                if (NO > 1)                                                                        \
                    _tile_dpbf16ps(3, 5, 7);                                                       \
            }                                                                                      \
        }                                                                                          \
        _tile_stored(0, c00, 64);                                                                  \
        if (NO > 1)                                                                                \
            _tile_stored(1, c01, 64);                                                              \
        if (NC > 1)                                                                                \
            _tile_stored(2, c10, 64);                                                              \
        if (NC > 1 && NO > 1)                                                                      \
            _tile_stored(3, c11, 64);                                                              \
    }
PRODUCT(1, 1)
PRODUCT(1, 2)
PRODUCT(2, 1)
PRODUCT(2, 2)

/* Every block of sums over the tiles from..to of a packed group: pixels outermost, so that what
 * the nine taps read stays in L1. */
static void products(const few_amx_weights *p, const uint16_t *x, const uint16_t *dy, int64_t from,
                     int64_t to, float *acc, bool first)
{
    const int64_t row = p->w + 1;
    for (int64_t b = 0; b < p->c_blocks; b += 2)
        for (int64_t d = 0; d < p->o_blocks; d += 2)
            for (int kx = 0; kx < p->k; kx++)
                for (int ky = 0; ky < p->k; ky++) {
                    const int64_t shift = p->k == 3 ? p->lead + (ky - 1) * row + kx - 1 : 0;
                    const int64_t tap = (int64_t)ky * p->k + kx;
                    const struct product q = {
                        .a = x + b * BLOCK * p->pitch + shift + from * SPAN,
                        .pitch = p->pitch,
                        .a_block = BLOCK * p->pitch,
                        .b = dy + (d * p->tiles + from) * BLOCK * SPAN,
                        .b_block = p->tiles * BLOCK * SPAN,
                        .tiles = to - from,
                        .c = acc + ((tap * p->c_blocks + b) * p->o_blocks + d) * TILE,
                        .c_row = p->o_blocks * TILE,
                        .first = first,
                    };
                    if (b + 1 < p->c_blocks)
                        (d + 1 < p->o_blocks ? product_22 : product_21)(&q);
                    else
                        (d + 1 < p->o_blocks ? product_12 : product_11)(&q);
                }
}

struct config {
    uint8_t palette, start_row, zero[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} __attribute__((aligned(64)));

void few_amx_weights_run(const few_amx_weights *p, const uint16_t *x, const uint16_t *dy,
                         float *acc, bool first, void *scratch)
{
    enum { CHUNK = 8 };
    uint16_t *tx = scratch, *tdy = tx + even(p->c_blocks) * BLOCK * p->pitch,
             *zeros = tdy + even(p->o_blocks) * BLOCK * p->tiles * SPAN;
    struct config mine = { .palette = 1 }, theirs;
    for (int k = 0; k < 8; k++) {
        mine.bytes[k] = 64;
        mine.rows[k] = 16;
    }
    _tile_storeconfig(&theirs); /* a library may rely on its own being kept */
    _tile_loadconfig(&mine);
    memset(zeros, 0, (size_t)p->zeros * sizeof *zeros);
    const int64_t chunk = p->k == 3 ? CHUNK : p->tiles;
    for (int64_t at = 0; at < p->n; at += p->group) {
        pack_x(p, x + at * p->h * p->w * p->c, zeros, tx);
        pack_dy(p, dy + at * p->h * p->w * p->o, zeros, tdy);
        for (int64_t t = 0; t < p->tiles; t += chunk) {
            products(p, tx, tdy, t, t + chunk < p->tiles ? t + chunk : p->tiles, acc, first);
            first = false;
        }
    }
    if (theirs.palette)
        _tile_loadconfig(&theirs);
    else
        _tile_release();
}

#else

void few_amx_weights_run(const few_amx_weights *p, const uint16_t *x, const uint16_t *dy,
                         float *acc, bool first, void *scratch)
{
    (void)p, (void)x, (void)dy, (void)acc, (void)first, (void)scratch;
    abort(); /* few_amx_ready says no */
}

#endif
