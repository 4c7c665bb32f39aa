/* The list of ops, and how shape rules report. */
#include "op/op_util.h"

#include <stdio.h>

#define X(name) &few_op_##name,
const few_op *const few_ops[] = {
#include "op/list.def"
};
#undef X
const int few_n_ops = (int)FEW_COUNT(few_ops);

few_status few_infer_fail(few_infer *c, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    few_graph_fail(c->g, FEW_EINVAL, "%s (op '%s'): %s", c->node->label, c->node->op->name, text);
    return FEW_EINVAL;
}

few_status few_infer_want(few_infer *c, int k, few_shape want, const char *what)
{
    char a[96], b[96];
    if (!c->in[k])
        return few_infer_fail(c, "%s is missing", what);
    if (!few_shape_equal(&c->in[k]->shape, &want))
        return few_infer_fail(c, "%s has shape %s, wanted is %s", what,
                              few_shape_text(&c->in[k]->shape, a), few_shape_text(&want, b));
    return FEW_OK;
}

static const char *dtype_text(few_dtype t)
{
    static const char *const names[] = { "f32", "activation", "i32", "u8", "bf16" };
    return (size_t)t < FEW_COUNT(names) ? names[t] : "unknown";
}

few_status few_infer_types(few_infer *c, const char *letters)
{
    for (int k = 0; letters[k]; k++) {
        if (!c->in[k])
            continue;
        const few_dtype have = c->in[k]->dtype, first = c->in[0]->dtype;
        bool fits = false;
        const char *want = "";
        switch (letters[k]) {
        case 'f':
            fits = have == FEW_F32;
            want = "f32";
            break;
        case 'a':
            fits = have == FEW_F32 || have == FEW_ACT;
            want = "f32 or activation";
            break;
        case 's':
            fits = have == first;
            want = dtype_text(first);
            break;
        case 'i':
            fits = have == FEW_I32;
            want = "i32";
            break;
        case 'u':
            fits = have == FEW_U8;
            want = "u8";
            break;
        }
        if (!fits)
            return few_infer_fail(c, "input %d has type %s, wanted is %s", k, dtype_text(have),
                                  want);
    }
    return FEW_OK;
}

few_status few_infer_rank(few_infer *c, int k, int rank, const char *form, const char *what)
{
    char a[96];
    if (!c->in[k])
        return few_infer_fail(c, "%s is missing", what);
    if (c->in[k]->shape.rank != rank)
        return few_infer_fail(c, "%s has shape %s, wanted is %s", what,
                              few_shape_text(&c->in[k]->shape, a), form);
    return FEW_OK;
}

few_status few_infer_finite(few_infer *c)
{
    for (size_t k = 0; k < FEW_COUNT(c->node->a.f); k++)
        if (!isfinite(c->node->a.f[k]))
            return few_infer_fail(c, "attribute %d is %g, not a finite number", (int)k,
                                  c->node->a.f[k]);
    return FEW_OK;
}

few_status few_infer_fits(few_infer *c)
{
    const few_shape *s = &c->shape[0];
    char a[96];
    int64_t count = 1;
    for (int k = 0; k < s->rank; k++)
        if (s->d[k] < 1 || __builtin_mul_overflow(count, s->d[k], &count) ||
            count > INT64_C(1) << 40)
            return few_infer_fail(c, "the result would have the impossible shape %s",
                                  few_shape_text(s, a));
    return FEW_OK;
}
