/* The U-Net against diffusers' own: outputs and all gradients of the golden files, by the
 * references in double and by the CPU executor in f32 and bf16. */
#include "graph/backend.h"
#include "nn/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *const files[] = { "unet_a", "unet_b", "unet_c", "unet_d", "unet_e" };

static void open_or_fail(golden *t, const char *name)
{
    char path[256];
    few_error err = { 0 };
    snprintf(path, sizeof path, "%s/test/golden/%s.safetensors",
             getenv("FEW_SOURCE") ? getenv("FEW_SOURCE") : ".", name);
    if (golden_open(t, path, &err) != FEW_OK)
        fail_msg("%s", err.text);
}

/* The mean size of all gradients: the floor for those that are zero but for rounding. */
static double gradient_scale(const golden *t)
{
    double square = 0;
    int64_t n = 0;
    for (int k = 0; k < t->params.n; k++) {
        const few_safetensor *s = golden_tensor(t, "grad.", t->params.v[k].name);
        if (!s)
            continue;
        double *v = golden_values(s, false);
        for (int64_t i = 0; i < s->count; i++)
            square += v[i] * v[i];
        n += s->count;
        few_free(v);
    }
    return sqrt(square / (double)n);
}

static void references_agree(void **state)
{
    (void)state;
    for (size_t f = 0; f < FEW_COUNT(files); f++) {
        golden t;
        open_or_fail(&t, files[f]);
        double **v = few_calloc((size_t)t.g.n_tensors, sizeof *v);
        few_error err = { 0 };
        int given = 0;
        for (int k = 0; k < t.g.n_tensors; k++) {
            const few_tensor *p = &t.g.tensors[k];
            if (p->source == FEW_FROM_PARAM) {
                const few_safetensor *s = golden_tensor(&t, "param.", t.params.v[p->param].name);
                if (!s)
                    fail_msg("%s: diffusers has no parameter '%s'", files[f],
                             t.params.v[p->param].name);
                v[k] = golden_values(s, false);
                given++;
            } else if (p->source == FEW_FROM_INPUT) {
                const bool dout = !strcmp(p->name, "dout");
                v[k] = golden_values(golden_tensor(&t, dout ? "" : "in.", p->name),
                                     dout || !strcmp(p->name, "x"));
            }
        }
        int theirs = 0;
        for (int i = 0; i < few_safetensors_count(t.file); i++)
            theirs += !strncmp(few_safetensors_at(t.file, i)->name, "param.", 6);
        assert_int_equal(given, theirs);
        if (few_reference_run(&t.g, v, &err) != FEW_OK)
            fail_msg("%s", err.text);
        const few_safetensor *out = golden_tensor(&t, "", "out"),
                             *dx = golden_tensor(&t, "grad.", "x");
        double *want = golden_values(out, true);
        double e = golden_error(v[t.out], want, out->count, 0);
        if (!(e < 1e-5))
            fail_msg("%s: output differs by %g", files[f], e);
        few_free(want);
        want = golden_values(dx, true);
        e = golden_error(v[t.dx], want, dx->count, 0);
        if (!(e < 1e-5))
            fail_msg("%s: gradient of x differs by %g", files[f], e);
        few_free(want);
        const double floor = 1e-2 * gradient_scale(&t);
        for (int k = 0; k < t.params.n; k++) {
            const few_safetensor *s = golden_tensor(&t, "grad.", t.params.v[k].name);
            assert_int_equal(s != NULL, t.grad[k] != FEW_NONE);
            if (!s)
                continue;
            want = golden_values(s, false);
            e = golden_error(v[t.grad[k]], want, s->count, floor);
            if (!(e < 1e-5))
                fail_msg("%s: gradient of '%s' differs by %g", files[f], t.params.v[k].name, e);
            few_free(want);
        }
        for (int k = 0; k < t.g.n_tensors; k++)
            if (t.g.tensors[k].source == FEW_FROM_PARAM || t.g.tensors[k].source == FEW_FROM_INPUT)
                few_free(v[k]);
        few_reference_free(&t.g, v);
        few_free(v);
        golden_close(&t);
    }
}

/* The inputs as the executor wants them: f32 or i32. */
static void *typed(const double *v, int64_t n, few_dtype t)
{
    void *p = few_malloc((size_t)n * 4);
    for (int64_t i = 0; i < n; i++)
        if (t == FEW_I32)
            ((int32_t *)p)[i] = (int32_t)v[i];
        else
            ((float *)p)[i] = (float)v[i];
    return p;
}

static double compare(const float *have, const few_safetensor *want, bool image, double floor)
{
    double *b = golden_values(want, image), *a = few_malloc((size_t)want->count * sizeof *a);
    for (int64_t i = 0; i < want->count; i++)
        a[i] = (double)have[i];
    const double e = golden_rms(a, b, want->count, floor);
    few_free(a);
    few_free(b);
    return e;
}

/* `tolerance` for outputs and for the gradient as one vector, `part` for that of each parameter,
 * relative to the whole one's length at least. */
static void executor_agrees(few_precision precision, double tolerance, double part)
{
    for (size_t f = 0; f < FEW_COUNT(files); f++) {
        golden t;
        open_or_fail(&t, files[f]);
        few_error err = { 0 };
        few_plan *plan;
        const few_plan_options o = { .precision = precision, .workers = 1 };
        if (few_backend_cpu.compile(&t.g, &o, &plan, &err) != FEW_OK)
            fail_msg("%s: %s", files[f], err.text);
        float *master = few_big_alloc((size_t)t.params.count * 4);
        float *grad = few_big_alloc((size_t)t.params.count * 4);
        for (int k = 0; k < t.params.n; k++)
            few_safetensors_to_f32(golden_tensor(&t, "param.", t.params.v[k].name),
                                   master + t.params.v[k].offset, &err);
        few_backend_cpu.params(plan, 0, master, &err);
        void *in[8];
        int n_in = 0;
        for (int k = 0; k < t.g.n_tensors; k++) {
            const few_tensor *p = &t.g.tensors[k];
            if (p->source != FEW_FROM_INPUT)
                continue;
            const bool dout = !strcmp(p->name, "dout");
            const few_safetensor *s = golden_tensor(&t, dout ? "" : "in.", p->name);
            double *v = golden_values(s, dout || !strcmp(p->name, "x"));
            in[n_in] = typed(v, s->count, p->dtype);
            few_backend_cpu.bind(plan, p->name, in[n_in++], &err);
            few_free(v);
        }
        const few_safetensor *out = golden_tensor(&t, "", "out"),
                             *dx = golden_tensor(&t, "grad.", "x");
        float *y = few_malloc((size_t)out->count * 4), *d = few_malloc((size_t)dx->count * 4);
        few_backend_cpu.bind(plan, "out", y, &err);
        few_backend_cpu.bind(plan, "dx", d, &err);
        if (few_backend_cpu.run(plan, t.n, &err) != FEW_OK ||
            few_backend_cpu.gradients(plan, grad, &err) != FEW_OK)
            fail_msg("%s: %s", files[f], err.text);
        double e = compare(y, out, true, 0);
        if (!(e < tolerance))
            fail_msg("%s: output differs by %g", files[f], e);
        e = compare(d, dx, true, 0);
        if (!(e < tolerance))
            fail_msg("%s: gradient of x differs by %g", files[f], e);
        const double scale = gradient_scale(&t);
        double square = 0, all = 0;
        for (int k = 0; k < t.params.n; k++) {
            const few_safetensor *s = golden_tensor(&t, "grad.", t.params.v[k].name);
            if (!s)
                continue;
            e = compare(grad + t.params.v[k].offset, s, false, scale);
            if (!(e < part))
                fail_msg("%s: gradient of '%s' differs by %g", files[f], t.params.v[k].name, e);
            double *want = golden_values(s, false);
            for (int64_t i = 0; i < s->count; i++) {
                const double miss = (double)grad[t.params.v[k].offset + i] - want[i];
                square += miss * miss;
                all += want[i] * want[i];
            }
            few_free(want);
        }
        if (!(sqrt(square / all) < tolerance))
            fail_msg("%s: the gradient differs by %g", files[f], sqrt(square / all));
        few_backend_cpu.release(plan);
        few_big_free(master, (size_t)t.params.count * 4);
        few_big_free(grad, (size_t)t.params.count * 4);
        few_free(y);
        few_free(d);
        while (n_in > 0)
            few_free(in[--n_in]);
        golden_close(&t);
    }
}

static void executor_agrees_in_f32(void **state)
{
    (void)state;
    executor_agrees(FEW_PRECISION_F32, 1e-4, 1e-4);
}

static void executor_agrees_in_bf16(void **state)
{
    (void)state;
    executor_agrees(FEW_PRECISION_BF16, 3e-2, 9e-2) /* terms that nearly cancel */;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_agree),
        cmocka_unit_test(executor_agrees_in_f32),
        cmocka_unit_test(executor_agrees_in_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
