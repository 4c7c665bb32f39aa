/* The static graph: tensors and the nodes that make them. Built once, planned once, run many
 * times. Gradients are more nodes (few_graph_backward).
 *
 * Errors are sticky: the first failure is kept in the graph with the node's label, every later
 * call does nothing and returns FEW_NONE, and few_graph_status tells at the end. So code that
 * builds a network reads as the network. */
#ifndef FEW_GRAPH_GRAPH_H
#define FEW_GRAPH_GRAPH_H

#include "base/status.h"

enum { FEW_MAX_RANK = 5, FEW_MAX_IN = 8, FEW_MAX_OUT = 6, FEW_NONE = -1 };

/* Element types. ACT is an activation: f32 or bf16 as the plan's precision says, so that mixed
 * precision is a property of the plan and no model mentions it. */
typedef enum few_dtype { FEW_F32, FEW_ACT, FEW_I32, FEW_U8, FEW_BF16 } few_dtype;

typedef struct few_shape {
    int rank;
    int64_t d[FEW_MAX_RANK];
} few_shape;

#define FEW_SHAPE(...)                                                                             \
    ((few_shape){ (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), { __VA_ARGS__ } })

int64_t few_shape_count(const few_shape *s);
bool few_shape_equal(const few_shape *a, const few_shape *b);
const char *few_shape_text(const few_shape *s, char buf[96]); /* "[2,32,32,3]" */
size_t few_dtype_size(few_dtype t);                           /* ACT counts as f32 */

typedef int32_t few_val; /* a tensor's index in its graph, or FEW_NONE */

/* Where a tensor's bytes come from. */
typedef enum few_origin {
    FEW_FROM_NODE,  /* computed */
    FEW_FROM_INPUT, /* bound at run time; dim 0 is the batch unless `shared` */
    FEW_FROM_PARAM, /* a parameter of a set (live, teacher, ...), bound at run time */
    FEW_FROM_CONST  /* part of the graph */
} few_origin;

typedef struct few_tensor {
    few_shape shape;
    few_dtype dtype;
    few_origin source;
    int node, slot; /* producer, when FROM_NODE */
    int set, param; /* when FROM_PARAM */
    bool shared;    /* an input without a batch dimension */
    char *name;     /* of an input or a named output; else NULL */
    float *value;   /* when FROM_CONST: the elements, owned */
    bool output;    /* few_graph_output was called on it */
    int grad_of;    /* parameter index of set 0 whose gradient this is, or -1 */
} few_tensor;

/* Settings of a node; every op says in op.h what each number means to it. */
typedef struct few_attrs {
    int64_t i[8];
    double f[4];
} few_attrs;

struct few_op;

typedef struct few_node {
    const struct few_op *op;
    char *label; /* "down_blocks.1.resnets.0.conv1" */
    int n_in, n_out;
    few_val in[FEW_MAX_IN], out[FEW_MAX_OUT];
    few_attrs a;
} few_node;

/* Parameters of one network: names, shapes and places in one f32 array (the master arena), in the
 * order in which the network asked for them. Offsets are multiples of 16 elements. */
typedef enum few_init {
    FEW_INIT_ZERO,
    FEW_INIT_ONE,
    FEW_INIT_UNIFORM, /* U(-bound, bound) */
    FEW_INIT_NORMAL   /* N(0, bound^2) */
} few_init;

typedef struct few_param {
    char *name;
    few_shape shape;
    int64_t offset, count;
    few_init init;
    double bound;
    bool frozen; /* never trained (diffusers' requires_grad=False) */
} few_param;

typedef struct few_params {
    few_param *v;
    int n, room;
    int64_t count; /* elements of the master arena, padding included */
} few_params;

void few_params_free(few_params *ps);
int few_params_find(const few_params *ps, const char *name); /* index or -1 */
/* Fill a master arena with initial values; parameter k's stream is (seed, FEW_RNG_INIT, k). */
void few_params_init(const few_params *ps, float *master, uint64_t seed);

enum { FEW_MAX_SETS = 4 };

typedef struct few_graph {
    few_tensor *tensors;
    int n_tensors, room_tensors;
    few_node *nodes;
    int n_nodes, room_nodes;
    few_params *sets[FEW_MAX_SETS]; /* borrowed */
    char label[256];
    few_error err;
} few_graph;

void few_graph_init(few_graph *g);
void few_graph_clear(few_graph *g);
few_status few_graph_status(const few_graph *g, few_error *err);
few_val few_graph_fail(few_graph *g, few_status code, const char *fmt, ...) FEW_PRINTF(3, 4);

/* Label for the nodes that follow, printf-like. */
void few_graph_label(few_graph *g, const char *fmt, ...) FEW_PRINTF(2, 3);

few_val few_graph_input(few_graph *g, const char *name, few_dtype dtype, few_shape shape,
                        bool shared);
few_val few_graph_const(few_graph *g, few_shape shape, const float *value);

/* Parameter sets: set 0 is the live network (the one gradients are for); others are frozen copies.
 * few_graph_param adds the parameter to the set's table when it is new there, else checks the
 * shape. The same (set, name) is the same tensor. */
void few_graph_use_set(few_graph *g, int set, few_params *ps);
few_val few_graph_param(few_graph *g, int set, const char *name, few_shape shape, few_init init,
                        double bound);

/* Apply an op: checks the number of inputs, infers shapes and types. Returns output 0. */
few_val few_graph_apply(few_graph *g, const struct few_op *op, const few_val *in, int n_in,
                        const few_attrs *a);
/* Output k of the node that made v. */
few_val few_graph_out(const few_graph *g, few_val v, int k);

/* Keep v under this name: it can be bound or read after a run. */
void few_graph_output(few_graph *g, few_val v, const char *name);

/* Append the gradient of sum(loss) with respect to every parameter of set 0 and mark those
 * gradients (tensor.grad_of): one tensor for each, whatever number of nodes reads the parameter.
 * Gradients do not flow through few_stop_gradient nodes.
 * wrt: further tensors whose gradients are wanted, or NULL; their gradients (or FEW_NONE) go to
 * wrt_grad. */
void few_graph_backward(few_graph *g, few_val loss, const few_val *wrt, int n_wrt,
                        few_val *wrt_grad);

/* A line per node: label, op, shapes. For people. */
struct few_strbuf;
void few_graph_print(const few_graph *g, struct few_strbuf *out);

/* Which nodes are needed for the outputs and gradients: mark[n_nodes] = 1. */
void few_graph_reachable(const few_graph *g, uint8_t *mark);

/* FLOPs of the reachable nodes (2 for a multiply-add). */
double few_graph_flops(const few_graph *g);

/* Run the whole graph by the ops' plain references in double: the oracle of every test.
 * value[t]: for inputs and parameters given by the caller, [count] doubles each; filled for
 * computed tensors (few_malloc; free with few_reference_free, which frees computed ones only). */
few_status few_reference_run(const few_graph *g, double **value, few_error *err);
void few_reference_free(const few_graph *g, double **value);

#endif
