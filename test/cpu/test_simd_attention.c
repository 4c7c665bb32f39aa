/* Attention of one head and its gradient, of every table, against plain loops in double. Tokens are
 * further apart than the head is wide: what lies between belongs to other heads. */
#include "cpu/simd_rig.h"

enum { GAP = 3 };

static const struct {
    int64_t t, s, d;
} sizes[] = { { 1, 1, 1 },    { 3, 5, 8 },     { 16, 16, 16 }, { 64, 64, 64 },
              { 65, 33, 31 }, { 130, 70, 48 }, { 7, 100, 33 } };

static array tokens(int64_t n, int64_t d, double std)
{
    return random_array(width(), (n - 1) * (d + GAP) + d, 0, std);
}

/* What is wanted of tokens: the array as it is, to be overwritten where the head is. */
static double *wanted(array a)
{
    double *w = reals(a.n);
    for (int64_t i = 0; i < a.n; i++)
        w[i] = i % 7;
    return w;
}

static array results(const double *w, int64_t n)
{
    const array a = array_new(width(), n);
    for (int64_t i = 0; i < n; i++)
        set(a, i, w[i]);
    return a;
}

static double dot(array a, int64_t i, array b, int64_t j, int64_t d)
{
    double sum = 0;
    for (int64_t k = 0; k < d; k++)
        sum += get(a, i * (d + GAP) + k) * get(b, j * (d + GAP) + k);
    return sum;
}

static void clear(double *w, int64_t n, int64_t d)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < d; k++)
            w[i * (d + GAP) + k] = 0;
}

/* p = softmax of the scores by rows. */
static void probabilities(const few_attn_args *a, array q, array k, double *p, double *lse)
{
    for (int64_t t = 0; t < a->t; t++) {
        double top = -INFINITY, z = 0, *row = p + t * a->s;
        for (int64_t s = 0; s < a->s; s++)
            top = fmax(top, row[s] = (double)a->scale * dot(q, t, k, s, a->d));
        for (int64_t s = 0; s < a->s; s++)
            z += row[s] = exp(row[s] - top);
        for (int64_t s = 0; s < a->s; s++)
            row[s] /= z;
        lse[t] = top + log(z);
    }
}

static void check(int64_t t, int64_t s, int64_t d)
{
    const few_attn_args a = {
        .bf = bf, .t = t, .s = s, .d = d, .stride = d + GAP, .scale = 1 / sqrtf((float)d)
    };
    const array q = tokens(t, d, 1), k = tokens(s, d, 1), v = tokens(s, d, 1), dy = tokens(t, d, 1);
    double *p = reals(t * s), *l = reals(t), *o = wanted(q);
    double *dq = wanted(q), *dk = wanted(k), *dv = wanted(v);
    const array got_o = results(o, q.n), lse = array_new(4, t);
    const array got_dq = results(dq, q.n), got_dk = results(dk, k.n), got_dv = results(dv, v.n);
    const array scratch = array_new(4, simd->attention_floats(&a, false));
    const array more = array_new(4, simd->attention_floats(&a, true));
    probabilities(&a, q, k, p, l);
    clear(o, t, d);
    for (int64_t i = 0; i < t; i++)
        for (int64_t j = 0; j < s; j++)
            for (int64_t c = 0; c < d; c++)
                o[i * (d + GAP) + c] += p[i * s + j] * get(v, j * (d + GAP) + c);
    simd->attention(&a, q.data, k.data, v.data, got_o.data, (float *)lse.data,
                    (float *)scratch.data);
    near("attention", got_o, o, 2e-6, 2e-6);
    near("lse", lse, l, 2e-6, 2e-6);
    simd->attention(&a, q.data, k.data, v.data, got_o.data, NULL, (float *)scratch.data);
    near("attention without lse", got_o, o, 2e-6, 2e-6);

    clear(dq, t, d);
    clear(dk, s, d);
    clear(dv, s, d);
    for (int64_t i = 0; i < t; i++) {
        double delta = 0;
        for (int64_t c = 0; c < d; c++)
            delta += get(got_o, i * (d + GAP) + c) * get(dy, i * (d + GAP) + c);
        for (int64_t j = 0; j < s; j++) {
            const double ds = (double)a.scale * p[i * s + j] * (dot(dy, i, v, j, d) - delta);
            for (int64_t c = 0; c < d; c++) {
                const int64_t x = i * (d + GAP) + c, y = j * (d + GAP) + c;
                dq[x] += ds * get(k, y);
                dk[y] += ds * get(q, x);
                dv[y] += p[i * s + j] * get(dy, x);
            }
        }
    }
    simd->attention_grad(&a, q.data, k.data, v.data, got_o.data, (const float *)lse.data, dy.data,
                         got_dq.data, got_dk.data, got_dv.data, (float *)more.data);
    near("dq", got_dq, dq, 5e-6, 5e-6);
    near("dk", got_dk, dk, 5e-6, 5e-6);
    near("dv", got_dv, dv, 5e-6, 5e-6);
    simd->attention_grad(&a, q.data, k.data, v.data, got_o.data, (const float *)lse.data, dy.data,
                         NULL, NULL, NULL, (float *)more.data);

    set(q, 0, NAN); /* stays with its query */
    simd->attention(&a, q.data, k.data, v.data, got_o.data, (float *)lse.data,
                    (float *)scratch.data);
    for (int64_t i = 0; i < t; i++)
        assert_true(isnan(get(got_o, i * (d + GAP))) == (i == 0));
    const array all[] = { q, k, v, dy, got_o, lse, got_dq, got_dk, got_dv, scratch, more };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        array_free(all[i]);
    double *const numbers[] = { p, l, o, dq, dk, dv };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        free(numbers[i]);
}

static void check_sizes(void)
{
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check(sizes[i].t, sizes[i].s, sizes[i].d);
}

static void test_attention(void **state)
{
    (void)state;
    each(check_sizes, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
