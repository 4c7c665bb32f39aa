/* The CPU plan: what few_backend_cpu makes of a graph. Internal to src/cpu.
 *
 * Every computed tensor has a place in an arena laid out once by liveness; each worker has such an
 * arena, scratch, and gradient accumulators of its own, and runs whole slices alone. */
#ifndef FEW_CPU_PLAN_H
#define FEW_CPU_PLAN_H

#include "cpu/kernel.h"
#include "cpu/onednn.h"

/* Where a tensor's bytes are while a slice runs. */
typedef enum few_place {
    FEW_PLACE_NONE,  /* nobody uses it */
    FEW_PLACE_ARENA, /* worker arena + offset */
    FEW_PLACE_FIXED, /* constants, and what is computed from constants alone: once, shared */
    FEW_PLACE_INPUT, /* bound array + slice * bytes */
    FEW_PLACE_PARAM  /* master arena + offset */
} few_place;

typedef struct few_slot {
    few_place place;
    few_val root;    /* the tensor whose bytes these are (aliases and in-place results) */
    few_dtype type;  /* concrete */
    size_t bytes;    /* of one slice */
    size_t offset;   /* ARENA, FIXED: bytes; PARAM: bytes in the master */
    int first, last; /* life, in steps */
} few_slot;

/* A node to run. */
typedef struct few_step {
    const few_node *node;
    const few_cpu_kernel *kernel; /* NULL: by reference */
    void *state;
    few_cpu_call *call;           /* one per worker, pointers of arena tensors already in place */
    size_t acc_offset, acc_bytes; /* in the worker's accumulators; 0 bytes: none */
    bool once;                    /* depends on constants only */
    bool skip;                    /* an alias: nothing to do */
    double seconds;               /* worker 0's time in it, when the plan is traced */
} few_step;

/* Writes a parameter of this shape in another form. */
typedef void (*few_fill)(const few_simd *simd, const few_shape *shape, const float *plain,
                         void *to);

/* A parameter kept in a second layout and type; made again when the set changes. */
typedef struct few_packed {
    int set, param;
    few_fill fill; /* or NULL: reorder */
    few_dnn_reorder reorder;
    void *data;
    size_t bytes;
} few_packed;

typedef struct few_worker {
    char *arena, *scratch, *acc;
    float *plain; /* sums of plain gradients, see few_plan.plain_at */
    bool first;   /* no slice since gradients were cleared */
    char *pad_in; /* a padded copy of the last, partial slice's inputs */
} few_worker;

struct few_plan {
    const few_graph *g;
    few_precision precision;
    const few_simd *simd;
    int64_t slice;
    few_slot *slot; /* per tensor */
    few_step *step;
    int n_steps;
    few_packed *pack;
    int n_packs, room_packs;
    void *packed; /* the bytes of all of them */
    size_t pack_bytes;
    few_worker *worker;
    int n_workers;
    few_team *team;  /* of the only worker's kernels, or NULL */
    int dnn_threads; /* of oneDNN's primitives: 1, or where they do most of the work the team's size
                      */
    char *fixed;
    size_t arena_bytes, fixed_bytes, scratch_bytes, acc_bytes, plain_bytes, pad_bytes;
    float *grad; /* [params.count], the sums of all workers once they are folded */
    size_t grad_bytes;
    int64_t *plain_at; /* per parameter: where in a worker's plain sums, or -1 */
    bool folded;
    const float *master[FEW_MAX_SETS];
    bool changed[FEW_MAX_SETS];
    void **bound; /* per tensor: inputs and named outputs */
    bool has_grads;
    double bytes_moved, flops;
    const char *trace; /* FEW_TRACE: a file that gets a row per node when the plan is released */
    int64_t traced;    /* slices worker 0 ran */
};

/* Ask for parameter tensor `v` in another layout; the answer is an index for few_plan_packed, -1
 * when v is no parameter (then the kernel must convert by itself). Same wishes share a copy. */
few_status few_plan_pack(few_plan *p, few_val v, const few_dnn_desc *want, int *index,
                         few_error *err);
/* The same in a form of our own, `bytes` long. */
few_status few_plan_pack_by(few_plan *p, few_val v, few_fill fill, size_t bytes, int *index,
                            few_error *err);
/* Give the copies that were asked for their places; no more may be asked for. */
few_status few_plan_place_packs(few_plan *p, few_error *err);
const void *few_plan_packed(const few_plan *p, int index);
/* Make the copies of changed sets again, spread over the workers. */
void few_plan_repack(few_plan *p);
void few_plan_free_packs(few_plan *p);

/* Give every tensor its place: types, aliases, in-place results, lives, arena offsets. */
few_status few_plan_layout(few_plan *p, const uint8_t *mark, few_error *err);
/* A tensor's bytes for worker w, where they never move; NULL for inputs, parameters, unused. */
void *few_plan_address(const few_plan *p, few_val v, int w);

/* As few_backend.roofline; and what FEW_TRACE asked for (trace.c). */
double few_cpu_roofline(const few_plan *p, const few_rates *rates);
void few_plan_write_trace(const few_plan *p);

/* Gradients (gradients.c): places for their sums; a worker's sums before its slices, and after a
 * step; those of all workers into plan.grad, idempotent; and as few_backend.gradients. */
few_status few_plan_place_gradients(few_plan *p, few_error *err);
void few_plan_free_gradients(few_plan *p);
void few_plan_clear_gradients(few_plan *p, int w);
void few_plan_accumulate(few_plan *p, const few_step *s, int w);
void few_plan_fold_gradients(few_plan *p);
few_status few_cpu_gradients(few_plan *p, float *grad, few_error *err);

/* As few_backend.update (update.c). */
few_status few_cpu_update(few_plan *p, few_update *u, few_error *err);

#endif
