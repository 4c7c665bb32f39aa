/* The list of ops, and how shape rules report. */
#include "op/op.h"

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
