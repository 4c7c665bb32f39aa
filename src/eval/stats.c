/* Mean and scatter in double, a block of rows at a time:
 *
 *   scatter += sum_block (x - m_b)(x - m_b)^T + n n_b / (n + n_b) delta delta^T,  delta = m_b -
 * mean mean    += delta n_b / (n + n_b)                         (Chan, Golub and LeVeque, 1979)
 *
 * What is easy to get wrong: sum x x^T - n m m^T cancels when means are large against deviations.
 * Here each block is centred before it is squared, and all numbers are kept relative to the first
 * feature, so that delta loses nothing either. Rows wait until a block is full: a rank-256 update
 * of [d,d] costs about as much as a rank-1 update. */
#include "eval/stats.h"

#include "base/alloc.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

static few_status check_dim(int d, few_error *err)
{
    if (d < 1 || d > FEW_STATS_MAX_DIM)
        return few_fail(err, FEW_EINVAL, "features of %d numbers; 1 to %d are possible", d,
                        FEW_STATS_MAX_DIM);
    return FEW_OK;
}

static size_t square_bytes(int d)
{
    return (size_t)d * (size_t)d * sizeof(double);
}

few_status few_moments_init(few_moments *m, int d, few_error *err)
{
    *m = (few_moments){ 0 };
    FEW_TRY(check_dim(d, err));
    m->d = d;
    m->mu = few_calloc((size_t)d, sizeof *m->mu);
    m->sigma = few_big_alloc(square_bytes(d));
    if (m->mu && m->sigma)
        return FEW_OK;
    few_moments_free(m);
    return few_fail(err, FEW_ENOMEM, "out of memory for a covariance of %d x %d", d, d);
}

void few_moments_free(few_moments *m)
{
    few_free(m->mu);
    few_big_free(m->sigma, square_bytes(m->d));
    *m = (few_moments){ 0 };
}

few_status few_stats_init(few_stats *s, int d, few_error *err)
{
    *s = (few_stats){ 0 };
    FEW_TRY(check_dim(d, err));
    s->d = d;
    s->shift = few_calloc((size_t)d, sizeof *s->shift);
    s->mean = few_calloc((size_t)d, sizeof *s->mean);
    s->block = few_calloc((size_t)d * (FEW_STATS_ROWS + 1), sizeof *s->block);
    s->scatter = few_big_alloc(square_bytes(d));
    if (s->shift && s->mean && s->block && s->scatter)
        return FEW_OK;
    few_stats_free(s);
    return few_fail(err, FEW_ENOMEM, "out of memory for a covariance of %d x %d", d, d);
}

void few_stats_free(few_stats *s)
{
    few_free(s->shift);
    few_free(s->mean);
    few_free(s->block);
    few_big_free(s->scatter, square_bytes(s->d));
    *s = (few_stats){ 0 };
}

/* Move the mean of n_old features by those n_new whose mean differs by delta [d], and add the
 * scatter between the two. */
static void take_in_mean(few_stats *s, const double *delta, int64_t n_old, int64_t n_new)
{
    const double n = (double)(n_old + n_new), w = (double)n_new / n;
    if (n_old > 0)
        cblas_dsyr(CblasRowMajor, CblasUpper, s->d, (double)n_old * w, delta, 1, s->scatter, s->d);
    cblas_daxpy(s->d, w, delta, 1, s->mean, 1);
}

/* Take the waiting rows in. */
static void flush(few_stats *s)
{
    const int rows = s->filled;
    if (rows == 0)
        return;
    const size_t d = (size_t)s->d;
    for (size_t j = 0; j < d; j++) {
        double *column = s->block + j, sum = 0;
        for (size_t i = 0; i < (size_t)rows; i++)
            sum += column[i * d];
        const double mean = sum / rows;
        for (size_t i = 0; i < (size_t)rows; i++)
            column[i * d] -= mean;
        s->block[(size_t)rows * d + j] = mean; /* row FEW_STATS_ROWS exists for this */
    }
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, s->d, rows, 1.0, s->block, s->d, 1.0,
                s->scatter, s->d);
    double *delta = s->block + (size_t)rows * d;
    cblas_daxpy(s->d, -1.0, s->mean, 1, delta, 1);
    take_in_mean(s, delta, s->n - rows, rows);
    s->filled = 0;
}

static few_status not_finite(int64_t at, int d, few_error *err)
{
    return few_fail(err, FEW_EINVAL, "number %lld of feature %lld is not finite",
                    (long long)(at % d), (long long)(at / d));
}

/* Where a row goes that is added next; takes in a full block first. */
static double *next_row(few_stats *s)
{
    if (s->filled == FEW_STATS_ROWS)
        flush(s);
    s->n++;
    return s->block + (size_t)s->filled++ * (size_t)s->d;
}

few_status few_stats_add_f64(few_stats *s, const double *x, int64_t n, few_error *err)
{
    const int d = s->d;
    for (int64_t i = 0; i < n * d; i++)
        if (!isfinite(x[i]))
            return not_finite(i, d, err);
    if (n > 0 && s->n == 0)
        memcpy(s->shift, x, (size_t)d * sizeof *x);
    for (int64_t i = 0; i < n; i++, x += d) {
        double *row = next_row(s);
        for (int j = 0; j < d; j++)
            row[j] = x[j] - s->shift[j];
    }
    return FEW_OK;
}

few_status few_stats_add_f32(few_stats *s, const float *x, int64_t n, few_error *err)
{
    const int d = s->d;
    for (int64_t i = 0; i < n * d; i++)
        if (!isfinite(x[i]))
            return not_finite(i, d, err);
    if (n > 0 && s->n == 0)
        for (int j = 0; j < d; j++)
            s->shift[j] = x[j];
    for (int64_t i = 0; i < n; i++, x += d) {
        double *row = next_row(s);
        for (int j = 0; j < d; j++)
            row[j] = x[j] - s->shift[j];
    }
    return FEW_OK;
}

few_status few_stats_merge(few_stats *s, few_stats *other, few_error *err)
{
    const int d = s->d;
    if (other->d != d)
        return few_fail(err, FEW_EINVAL, "cannot merge features of %d numbers with features of %d",
                        d, other->d);
    if (other->n == 0)
        return FEW_OK;
    flush(s);
    flush(other);
    if (s->n == 0)
        memcpy(s->shift, other->shift, (size_t)d * sizeof *s->shift);
    double *delta = s->block;
    for (int j = 0; j < d; j++)
        delta[j] = other->shift[j] - s->shift[j] + (other->mean[j] - s->mean[j]);
    take_in_mean(s, delta, s->n, other->n);
    for (size_t i = 0; i < (size_t)d; i++) {
        const size_t at = i * (size_t)d + i; /* the upper triangle's part of row i */
        cblas_daxpy(d - (int)i, 1.0, other->scatter + at, 1, s->scatter + at, 1);
    }
    s->n += other->n;
    return FEW_OK;
}

few_status few_stats_finish(few_stats *s, few_moments *out, few_error *err)
{
    if (s->n < 2)
        return few_fail(err, FEW_EINVAL, "a covariance needs at least 2 features, there %s %lld",
                        s->n == 1 ? "is" : "are", (long long)s->n);
    FEW_TRY(few_moments_init(out, s->d, err));
    flush(s);
    const size_t d = (size_t)s->d;
    out->n = s->n;
    for (size_t i = 0; i < d; i++) {
        out->mu[i] = s->shift[i] + s->mean[i];
        for (size_t j = i; j < d; j++)
            out->sigma[i * d + j] = out->sigma[j * d + i] =
                s->scatter[i * d + j] / (double)(s->n - 1);
    }
    return FEW_OK;
}
