/* Frechet distance (Heusel et al. 2017, arXiv:1706.08500):
 *
 *   |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1^(1/2) S2 S1^(1/2))^(1/2)
 *
 * With S = U L U^T for each, the last trace is the sum of the singular values of
 * M = L1^(1/2) U1^T U2 L2^(1/2), since M M^T = L1^(1/2) U1^T S2 U1 L1^(1/2).
 *
 * What is easy to get wrong: taking the eigenvalues of M M^T and then their roots turns rounding
 * of 1e-16 into 1e-8 for each zero eigenvalue, and a covariance of fewer features than dimensions
 * has a thousand of them; singular values of M do not. For the same reason eigenvalues of S that
 * are rounding only (below d eps of the largest) count as zero, and M keeps the others' rows. */
#include "eval/frechet.h"

#include "base/alloc.h"
#include "eval/metric.h"

#include <cblas.h>
#include <float.h>
#include <lapacke.h>
#include <math.h>
#include <string.h>

static few_status check(const char *whose, const few_moments *m, few_error *err)
{
    const size_t d = (size_t)m->d;
    for (size_t i = 0; i < d; i++)
        if (!isfinite(m->mu[i]))
            return few_fail(err, FEW_EINVAL, "the %s mean is not finite at %zu", whose, i);
    for (size_t i = 0; i < d * d; i++)
        if (!isfinite(m->sigma[i]))
            return few_fail(err, FEW_EINVAL, "the %s covariance is not finite at (%zu, %zu)", whose,
                            i / d, i % d);
    for (size_t i = 0; i < d; i++)
        if (m->sigma[i * d + i] < 0)
            return few_fail(err, FEW_EINVAL,
                            "the %s covariance has a negative variance %g at %zu; it is damaged",
                            whose, m->sigma[i * d + i], i);
    return FEW_OK;
}

/* root [rank,d], rows sqrt(l_k) u_k of the eigenpairs of m that count, so that
 * sigma = root^T root; room for d rows. values: scratch [d]. */
static few_status factor(const char *whose, const few_moments *m, double *root, double *values,
                         int *rank, few_error *err)
{
    const int d = m->d;
    memcpy(root, m->sigma, (size_t)d * (size_t)d * sizeof *root);
    /* Column-major vectors are our rows; the matrix is symmetric, so its order does not matter. */
    const lapack_int info = LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'V', 'L', d, root, d, values);
    if (info == LAPACK_WORK_MEMORY_ERROR)
        return few_fail(err, FEW_ENOMEM, "out of memory for eigenvalues of %d x %d", d, d);
    if (info)
        return few_fail(err, FEW_EINVAL, "the eigenvalues of the %s covariance did not converge",
                        whose);
    const double least = values[d - 1] * d * DBL_EPSILON; /* values ascend */
    int zero = 0;
    while (zero < d && !(values[zero] > least))
        zero++;
    *rank = d - zero;
    memmove(root, root + (size_t)zero * (size_t)d, (size_t)*rank * (size_t)d * sizeof *root);
    for (int k = 0; k < *rank; k++)
        cblas_dscal(d, sqrt(values[zero + k]), root + (size_t)k * (size_t)d, 1);
    return FEW_OK;
}

/* *out = sum of the singular values of a [rows,columns], which is destroyed. */
static few_status nuclear_norm(double *a, int rows, int columns, double *values, double *out,
                               few_error *err)
{
    *out = 0;
    if (rows == 0 || columns == 0)
        return FEW_OK;
    double none[1];
    const lapack_int info =
        LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'N', columns, rows, a, columns, values, none, 1, none, 1);
    if (info == LAPACK_WORK_MEMORY_ERROR)
        return few_fail(err, FEW_ENOMEM, "out of memory for singular values of %d x %d", rows,
                        columns);
    if (info)
        return few_fail(err, FEW_EINVAL, "the root of the covariances did not converge");
    for (int k = 0; k < (rows < columns ? rows : columns); k++)
        *out += values[k];
    return FEW_OK;
}

static double trace(const few_moments *m)
{
    double sum = 0;
    for (size_t i = 0; i < (size_t)m->d; i++)
        sum += m->sigma[i * (size_t)m->d + i];
    return sum;
}

few_status few_frechet(const few_moments *generated, const few_moments *reference,
                       few_frechet_terms *out, few_error *err)
{
    const few_moments *g = generated, *r = reference;
    if (g->d != r->d)
        return few_fail(err, FEW_EINVAL,
                        "generated features have %d numbers, those of the reference %d; both must "
                        "come from the same network",
                        g->d, r->d);
    FEW_TRY(check("generated", g, err));
    FEW_TRY(check("reference", r, err));

    const size_t d = (size_t)g->d, bytes = d * d * sizeof(double);
    double *a = few_big_alloc(bytes), *b = few_big_alloc(bytes), *m = few_big_alloc(bytes);
    double *values = few_malloc(d * sizeof *values);
    few_status st = FEW_OK;
    if (!a || !b || !m || !values) {
        st = few_fail(err, FEW_ENOMEM, "out of memory for a Frechet distance of %zu x %zu", d, d);
        goto cleanup;
    }

    int ra, rb;
    few_frechet_terms t = { .trace_generated = trace(g), .trace_reference = trace(r) };
    FEW_GOTO(factor("generated", g, a, values, &ra, err));
    FEW_GOTO(factor("reference", r, b, values, &rb, err));
    if (ra > 0 && rb > 0)
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, ra, rb, g->d, 1.0, a, g->d, b, g->d,
                    0.0, m, rb);
    FEW_GOTO(nuclear_norm(m, ra, rb, values, &t.trace_root, err));
    for (size_t i = 0; i < d; i++)
        t.mean += (g->mu[i] - r->mu[i]) * (g->mu[i] - r->mu[i]);
    t.value = t.mean + t.trace_generated + t.trace_reference - 2 * t.trace_root;
    if (!isfinite(t.value)) {
        st =
            few_fail(err, FEW_EINVAL, "the Frechet distance overflows: the features are too large");
        goto cleanup;
    }
    *out = t;
cleanup:
    few_big_free(a, bytes);
    few_big_free(b, bytes);
    few_big_free(m, bytes);
    few_free(values);
    return st;
}

static few_status compute(const few_feature_set *generated, const few_feature_set *reference,
                          double *value, few_error *err)
{
    few_frechet_terms t;
    FEW_TRY(few_frechet(generated->moments, reference->moments, &t, err));
    *value = t.value;
    return FEW_OK;
}

const few_metric few_metric_frechet = {
    .name = "frechet",
    .help = "distance between Gaussians fitted to the features; FID with Inception features",
    .paper = "arXiv:1706.08500",
    .needs = FEW_NEEDS_MOMENTS,
    .lower_is_better = true,
    .compute = compute,
};
