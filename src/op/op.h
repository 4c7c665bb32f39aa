/* What an op is: one file with one descriptor, and one line in list.def. Shape rule, gradient,
 * plain reference in double, FLOPs and test cases live together; a fast kernel, where one pays, is
 * a file of the backend (an op without one runs by its reference). */
#ifndef FEW_OP_OP_H
#define FEW_OP_OP_H

#include "graph/graph.h"

/* A call of a reference: everything is double, ids and bytes included. */
typedef struct few_ref_call {
    const few_node *node;
    const double *in[FEW_MAX_IN]; /* NULL where the optional input is absent */
    double *out[FEW_MAX_OUT];
    const few_shape *is[FEW_MAX_IN], *os[FEW_MAX_OUT];
} few_ref_call;

/* Inputs and outputs of a node while its shapes are inferred. */
typedef struct few_infer {
    few_graph *g;
    const few_node *node;
    const few_tensor *in[FEW_MAX_IN]; /* NULL: absent */
    few_shape shape[FEW_MAX_OUT];     /* to fill */
    few_dtype dtype[FEW_MAX_OUT];     /* to fill; starts as the type of input 0 */
} few_infer;

/* Report a shape that cannot be: the text gets the node's label and op in front. */
few_status few_infer_fail(few_infer *c, const char *fmt, ...) FEW_PRINTF(2, 3);
/* Input k must have this shape. `what` names it in the message. */
few_status few_infer_want(few_infer *c, int k, few_shape want, const char *what);

/* A generated test: input shapes and attributes. Inputs are drawn N(0, scale^2) (1 when 0);
 * integer inputs uniformly below `below`. */
typedef struct few_op_case {
    const char *name;
    few_shape in[FEW_MAX_IN];
    few_attrs a;
    double scale, below;
    unsigned absent;   /* bit k: optional input k is left out */
    unsigned positive; /* bit k: input k is |N(0,1)| + 0.1 */
    double rtol_f32;   /* 0: 2e-5; a larger one says why in the row */
} few_op_case;

enum {
    FEW_OP_INPLACE = 1, /* output 0 may take the place of input 0, element by element */
    FEW_OP_ALIAS = 2,   /* output 0 is input 0's bytes when the types are equal */
    FEW_OP_CHEAP = 4,   /* recompute in the backward pass rather than store */
    FEW_OP_NO_GRAD = 8, /* no gradient flows: integers, noise, stop_gradient */
    FEW_OP_RANDOM = 16  /* no case compares kernel and reference bit for bit but for Philox */
};

typedef struct few_op {
    const char *name, *help;
    int min_in, max_in, n_out;
    unsigned flags;
    few_dtype in_dtype[FEW_MAX_IN]; /* type the generated tests give input k (F32 when 0) */
    unsigned act_in;                /* bit k: input k is an activation (ACT) in the tests */
    unsigned no_grad_in;            /* bit k: no gradient with respect to input k */
    few_status (*infer)(few_infer *c);
    /* Append nodes. dout[k]: gradient of output k or FEW_NONE. Set din[k] for inputs with a
     * gradient; leave FEW_NONE elsewhere. `n` is a copy. Gradients of ACT tensors are ACT. */
    void (*grad)(few_graph *g, const few_node *n, const few_val *dout, few_val *din);
    void (*reference)(const few_ref_call *c);
    double (*flops)(const few_node *n, const few_graph *g); /* NULL: one per output element */
    const few_op_case *cases;                               /* ends with name == NULL */
} few_op;

/* Every op, by list.def. */
#define X(name) extern const few_op few_op_##name;
#include "op/list.def"
#undef X

extern const few_op *const few_ops[];
extern const int few_n_ops;

#endif
