/* A step: data and numbers on the host, one run of the plan, one update.
 *
 * Everything random is keyed by (seed, step, index in the batch), so a resumed run continues bit
 * for bit; a roll-back changes the seed, or the same numbers would fail again. */
#include "train/trainer.h"

#include "base/alloc.h"
#include "base/philox.h"
#include "base/thread.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#define ROW(type, field, fallback, min, max, help)                                                 \
    {                                                                                              \
#field, type, offsetof(few_train_options, field), fallback, min, max, help, NULL           \
    }
#define CHOICE(field, fallback, help, choices)                                                     \
    {                                                                                              \
#field, FEW_OPT_CHOICE, offsetof(few_train_options, field), fallback, 0, 0, help, choices  \
    }

const few_option few_train_table[] = {
    ROW(FEW_OPT_I64, steps, "10000", 1, 1e9, "optimiser steps of the run"),
    ROW(FEW_OPT_I64, batch, "64", 1, 65536, "images of a step"),
    ROW(FEW_OPT_I64, slice, "0", 0, 4096,
        "images a core works on at once; divides the batch; 0: chosen"),
    ROW(FEW_OPT_I64, memory, "0", 0, 1e7,
        "megabytes a chosen slice may lead to; 0: half of the machine's"),
    ROW(FEW_OPT_U64, seed, "1", 0, 0, "of every random number in the run"),
    CHOICE(optimizer, "adam", "Adam or rectified Adam", "adam|radam"),
    ROW(FEW_OPT_DOUBLE, lr, "2e-4", 0, 1, "learning rate"),
    ROW(FEW_OPT_DOUBLE, beta1, "0.9", 0, 0.9999999, "decay of the first moment"),
    ROW(FEW_OPT_DOUBLE, beta2, "0.99", 0, 0.9999999, "decay of the second moment"),
    ROW(FEW_OPT_DOUBLE, eps, "1e-8", 0, 1, "added to the root of the second moment"),
    ROW(FEW_OPT_DOUBLE, weight_decay, "0", 0, 1, "decoupled weight decay"),
    ROW(FEW_OPT_DOUBLE, clip, "1", 0, 1e9, "largest gradient norm; 0: any"),
    ROW(FEW_OPT_I64, warmup, "500", 0, 1e9,
        "steps over which the rate rises from 0; shared by the phases of a run, such as pd's"),
    CHOICE(rate, "constant", "the rate after warm-up", "constant|cosine|linear"),
    ROW(FEW_OPT_DOUBLES, ema, "0.999", 0, 0.9999999,
        "decays of the averages; the first is shipped"),
    ROW(FEW_OPT_DOUBLE, label_drop, "0", 0, 1, "part of the labels replaced by the null class"),
    CHOICE(precision, "auto", "of activations", "auto|f32|bf16"),
    ROW(FEW_OPT_INT, threads, "0", 0, 256, "cores to use; 0: all"),
    ROW(FEW_OPT_I64, save_every, "1000", 1, 1e9, "steps between checkpoints"),
    ROW(FEW_OPT_I64, log_every, "50", 1, 1e9, "steps between rows of log.tsv"),
    ROW(FEW_OPT_I64, sample_every, "2000", 0, 1e9, "steps between sample sheets; 0: none"),
    ROW(FEW_OPT_INT, keep, "2", 1, 1000, "checkpoints kept"),
    ROW(FEW_OPT_INT, samples, "64", 1, 4096, "images of a sample sheet"),
    ROW(FEW_OPT_INT, sample_steps, "0", 0, 100000,
        "steps of a teacher's; 0: 32; a student's are its own"),
    ROW(FEW_OPT_INT, bad_steps, "10", 1, 1000000, "skipped steps in a row before going back"),
    ROW(FEW_OPT_INT, rollbacks, "2", 0, 1000, "times to go back before giving up"),
    { .name = NULL },
};

double few_train_rate(const few_train_options *o, int64_t step, int64_t steps)
{
    const int64_t warmup = steps < o->steps
                               ? (int64_t)((double)o->warmup * (double)steps / (double)o->steps)
                               : o->warmup;
    if (step < warmup)
        return o->lr * (double)(step + 1) / (double)warmup;
    const double pi = 3.14159265358979323846;
    const double span = (double)(steps > warmup ? steps - warmup : 1);
    const double at = fmin(1, (double)(step - warmup) / span);
    if (!strcmp(o->rate, "cosine"))
        return o->lr * 0.5 * (1 + cos(pi * at));
    if (!strcmp(o->rate, "linear"))
        return o->lr * (1 - at);
    return o->lr;
}

const float *few_trainer_weights(const few_trainer *t)
{
    return t->state.n_ema ? t->state.ema[0] : t->state.master;
}

/* The weights of `from` into the student's of the same name, which may have more. */
static few_status copy_weights(few_trainer *t, const few_net *from, few_error *err)
{
    for (int k = 0; k < from->params.n; k++) {
        const few_param *p = &from->params.v[k];
        const int at = few_params_find(&t->params, p->name);
        if (at < 0 || t->params.v[at].count != p->count)
            return few_fail(err, FEW_ECONFIG, "the %s's network differs from the student's: '%s'",
                            from == t->init ? "initial model" : "teacher", p->name);
        memcpy(t->state.master + t->params.v[at].offset, from->master + p->offset,
               (size_t)p->count * sizeof(float));
    }
    return FEW_OK;
}

static few_status make_state(few_trainer *t, bool from_scratch, few_error *err)
{
    few_train_state *s = &t->state;
    s->count = t->params.count;
    s->n_ema = t->train.ema.n;
    const size_t bytes = (size_t)s->count * sizeof(float);
    float **const all[] = { &s->master, &s->m,      &s->v,      &s->ema[0],
                            &s->ema[1], &s->ema[2], &s->ema[3], &s->target };
    for (int k = 0; k < (int)FEW_COUNT(all); k++) {
        const bool wanted = k < 3 + s->n_ema || (all[k] == &s->target && t->method->target_decay);
        if (wanted && !(*all[k] = few_big_alloc(bytes)))
            return few_fail(err, FEW_ENOMEM,
                            "out of memory for the training state (%zu bytes each)", bytes);
    }
    if (t->method->phase && t->teacher)
        s->teacher = t->teacher->master;
    const few_net *from = from_scratch ? NULL : t->init ? t->init : t->teacher;
    few_params_init(&t->params, s->master, t->train.seed);
    if (from) {
        FEW_TRY(copy_weights(t, from, err));
    }
    for (int k = 0; k < s->n_ema; k++)
        memcpy(s->ema[k], s->master, bytes);
    if (s->target)
        memcpy(s->target, s->master, bytes);
    return FEW_OK;
}

static few_status make_buffers(few_trainer *t, few_error *err)
{
    const size_t b = (size_t)t->train.batch;
    bool ok = true;
    for (int k = 0; t->method->scalars[k]; k++)
        ok &= (t->scalar[k] = few_calloc(b, sizeof(float))) != NULL;
    ok &= (t->loss = few_calloc(b, sizeof(float))) != NULL;
    ok &= (t->label = few_calloc(b, sizeof(int32_t))) != NULL;
    ok &= (t->null_label = few_calloc(b, sizeof(int32_t))) != NULL;
    ok &= (t->rng = few_calloc(b * 4, sizeof(int32_t))) != NULL;
    ok &= (t->x = few_malloc(b * few_dataset_sample_bytes(&t->data))) != NULL;
    return ok ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory for a batch of %zu", b);
}

static few_status bind_all(few_trainer *t, few_error *err)
{
    const few_backend *b = &few_backend_cpu;
    for (int k = 0; t->method->scalars[k]; k++)
        FEW_TRY(b->bind(t->plan, t->method->scalars[k], t->scalar[k], err));
    FEW_TRY(b->bind(t->plan, "x", t->x, err));
    FEW_TRY(b->bind(t->plan, "rng", t->rng, err));
    FEW_TRY(b->bind(t->plan, "loss", t->loss, err));
    if (t->spec.classes) {
        FEW_TRY(b->bind(t->plan, "label", t->label, err));
        FEW_TRY(b->bind(t->plan, "null_label", t->null_label, err));
    }
    return few_trainer_rebind(t, err);
}

static few_phase phase_of(const few_trainer *t)
{
    if (t->method->phase)
        return t->method->phase(&t->ctx, t->state.step);
    return (few_phase){ .n = 1, .end = t->train.steps, .student_steps = t->ctx.student_steps };
}

few_status few_trainer_rebind(few_trainer *t, few_error *err)
{
    const few_backend *b = &few_backend_cpu;
    t->spec.steps = phase_of(t).student_steps;
    FEW_TRY(b->params(t->plan, FEW_SET_LIVE, t->state.master, err));
    if (t->teacher)
        FEW_TRY(b->params(t->plan, FEW_SET_TEACHER, t->teacher->master, err));
    if (t->state.target)
        FEW_TRY(b->params(t->plan, FEW_SET_TARGET, t->state.target, err));
    return FEW_OK;
}

/* What was trained so far teaches from now on, and is where the next part begins. */
static few_status hand_over(few_trainer *t, int phase, few_error *err)
{
    few_train_state *s = &t->state;
    const size_t bytes = (size_t)s->count * sizeof(float);
    const float *from = few_trainer_weights(t);
    float *const copies[] = { s->teacher, s->master, s->target, s->ema[0],
                              s->ema[1],  s->ema[2], s->ema[3] };
    for (size_t k = 0; k < FEW_COUNT(copies); k++)
        if (copies[k] && copies[k] != from)
            memcpy(copies[k], from, bytes);
    memset(s->m, 0, bytes);
    memset(s->v, 0, bytes);
    s->updates = 0;
    s->phase = phase;
    return few_trainer_rebind(t, err);
}

static few_status build_plan(few_trainer *t, few_error *err)
{
    const few_train_options *o = &t->train;
    few_graph_init(&t->graph);
    t->ctx = (few_method_ctx){ .method = t->method,
                               .options = t->method_options,
                               .spec = &t->spec,
                               .teacher = t->teacher ? &t->teacher->spec : NULL,
                               .student_steps = t->spec.steps,
                               .slice = o->slice,
                               .batch = o->batch,
                               .steps = o->steps,
                               .seed = o->seed,
                               .g = &t->graph };
    if (t->method->check)
        FEW_TRY(t->method->check(&t->ctx, err));
    few_graph_use_set(&t->graph, FEW_SET_LIVE, &t->params);
    if (t->method->target_decay)
        few_graph_use_set(&t->graph, FEW_SET_TARGET, &t->target_params);
    if (t->teacher)
        few_graph_use_set(&t->graph, FEW_SET_TEACHER, &t->teacher->params);
    few_method_build(&t->ctx, few_dataset_is_float(&t->data), true);
    FEW_TRY(few_graph_status(&t->graph, err));
    const few_plan_options po = { .precision = few_precision_named(o->precision),
                                  .workers = o->threads };
    FEW_TRY(few_backend_cpu.compile(&t->graph, &po, &t->plan, err));
    return FEW_OK;
}

/* What a plan and the training state take together, in bytes. */
static double memory_of(const few_trainer *t)
{
    few_plan_report r;
    few_backend_cpu.report(t->plan, &r);
    return (double)r.workers * (double)(r.arena_bytes + r.scratch_bytes) + (double)r.weight_bytes +
           (double)t->params.count * sizeof(float) *
               (3 + t->train.ema.n + (t->method->target_decay != NULL));
}

int few_trainer_cores(const few_trainer *t)
{
    return t->train.threads ? t->train.threads : few_thread_count();
}

const char *few_trainer_precision(const few_trainer *t)
{
    const few_precision p = few_precision_named(t->train.precision);
    return few_cpu_resolve(p, NULL) == FEW_PRECISION_BF16 ? "bf16" : "f32";
}

/* Slices that are tried, and what an image costs in them: from 8 images on convolutions run at
 * their full rate, and a slice's activations stay in the larger caches. Those of 4 and 2 were
 * measured (docs/performance.md), that of 1 is a guess beyond them. */
static const struct {
    int images;
    double cost;
} slices[] = { { 8, 1 }, { 4, 1.08 }, { 2, 1.16 }, { 1, 1.3 } };

/* Time of a step: the core that has most slices is waited for. */
static double time_with(size_t k, int batch, int cores)
{
    const int n = batch / slices[k].images;
    return (n + cores - 1) / cores * slices[k].images * slices[k].cost;
}

/* The slice that divides the batch, fits the memory and takes the least time. */
static few_status choose_slice(few_trainer *t, few_error *err)
{
    few_train_options *o = &t->train;
    const double machine = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    const double limit = o->memory ? (double)o->memory * 1e6 : machine / 2;
    const int cores = few_trainer_cores(t);
    bool tried[FEW_COUNT(slices)] = { 0 };
    double least = INFINITY;
    for (;;) {
        int best = -1;
        for (size_t k = 0; k < FEW_COUNT(slices); k++)
            if (!tried[k] && o->batch % slices[k].images == 0 &&
                (best < 0 ||
                 time_with(k, o->batch, cores) < time_with((size_t)best, o->batch, cores)))
                best = (int)k;
        if (best < 0)
            return few_fail(err, FEW_ENOMEM,
                            "training wants %.0f MB at least, %.0f MB are allowed (train.memory); "
                            "make the model smaller",
                            least / 1e6, limit / 1e6);
        tried[best] = true;
        o->slice = slices[best].images;
        FEW_TRY(build_plan(t, err));
        if (memory_of(t) <= limit)
            return FEW_OK;
        least = fmin(least, memory_of(t));
        few_backend_cpu.release(t->plan);
        t->plan = NULL;
        few_graph_clear(&t->graph);
        few_params_free(&t->params);
        few_params_free(&t->target_params);
    }
}

few_status few_trainer_start(few_trainer *t, bool from_scratch, few_error *err)
{
    few_train_options *o = &t->train;
    if (o->slice > o->batch)
        o->slice = o->batch;
    if (o->slice && o->batch % o->slice)
        return few_fail(err, FEW_ECONFIG, "train.slice (%lld) does not divide train.batch (%lld)",
                        (long long)o->slice, (long long)o->batch);
    if (o->ema.n > FEW_MAX_LISTED_EMA)
        return few_fail(err, FEW_ECONFIG, "train.ema lists %d averages, at most %d are possible",
                        o->ema.n, FEW_MAX_LISTED_EMA);
    const int channels = t->method->data_channels
                             ? t->method->data_channels(t->method_options, &t->spec)
                             : t->spec.channels;
    if (t->data.h != t->spec.height || t->data.w != t->spec.width || t->data.c != channels)
        return few_fail(err, FEW_ECONFIG, "the data are %dx%dx%d, %s %dx%dx%d", t->data.h,
                        t->data.w, t->data.c,
                        t->method->data_channels
                            ? "this method wants trajectories (fewstep data trajectories) of"
                            : "the model makes",
                        t->spec.height, t->spec.width, channels);
    if (t->method->data_channels && !few_dataset_is_float(&t->data))
        return few_fail(err, FEW_ECONFIG,
                        "method '%s' wants trajectories (fewstep data trajectories), not images",
                        t->method->name);
    if (t->spec.classes > 0 && t->data.classes != t->spec.classes)
        return few_fail(err, FEW_ECONFIG, "the data have %d classes, the model knows %d",
                        t->data.classes, t->spec.classes);
    if (t->method->needs_teacher && !t->teacher)
        return few_fail(err, FEW_ECONFIG, "method '%s' needs a teacher: fewstep distill TEACHER",
                        t->method->name);
    FEW_TRY(o->slice ? build_plan(t, err) : choose_slice(t, err));
    FEW_TRY(make_state(t, from_scratch, err));
    FEW_TRY(make_buffers(t, err));
    return bind_all(t, err);
}

void few_trainer_free(few_trainer *t)
{
    few_backend_cpu.release(t->plan);
    few_graph_clear(&t->graph);
    const size_t bytes = (size_t)t->state.count * sizeof(float);
    few_big_free(t->state.master, bytes);
    few_big_free(t->state.m, bytes);
    few_big_free(t->state.v, bytes);
    for (int k = 0; k < FEW_MAX_LISTED_EMA; k++)
        few_big_free(t->state.ema[k], bytes);
    few_big_free(t->state.target, bytes);
    for (int k = 0; k < FEW_MAX_SCALARS; k++)
        few_free(t->scalar[k]);
    few_free(t->loss);
    few_free(t->label);
    few_free(t->null_label);
    few_free(t->rng);
    few_free(t->x);
    few_dataset_close(&t->data);
    if (t->teacher)
        few_net_free(t->teacher);
    few_free(t->teacher);
    if (t->init)
        few_net_free(t->init);
    few_free(t->init);
    if (t->method_options)
        few_options_clear(t->method->options, t->method_options);
    few_free(t->method_options);
    few_options_clear(few_train_table, &t->train);
    few_params_free(&t->params);
    few_params_free(&t->target_params);
    few_spec_clear(&t->spec);
    memset(t, 0, sizeof *t);
}

/* Data, labels, random keys and the method's numbers for this step. */
static void fill_batch(few_trainer *t)
{
    const few_train_options *o = &t->train;
    const int64_t step = t->state.step;
    /* The order of the data keeps the run's seed; what goes wrong is drawn anew after a roll-back.
     */
    const uint64_t seed = o->seed + ((uint64_t)t->state.rollbacks << 32);
    double value[FEW_MAX_SCALARS];
    t->ctx.seed = seed;
    few_dataset_batch(&t->data, o->seed, step, o->batch, t->flip, t->x, t->label);
    for (int64_t i = 0; i < o->batch; i++) {
        const uint32_t k = (uint32_t)i;
        t->rng[4 * i] = (int32_t)(uint32_t)seed;
        t->rng[4 * i + 1] = (int32_t)(uint32_t)(seed >> 32);
        t->rng[4 * i + 2] = (int32_t)step;
        t->rng[4 * i + 3] = (int32_t)i;
        t->null_label[i] = t->spec.classes;
        if (o->label_drop > 0 &&
            few_random_uniform(seed, FEW_RNG_LABEL, (uint32_t)step, k, 0) < o->label_drop)
            t->label[i] = t->spec.classes;
        t->method->draw(&t->ctx, step, i, value);
        for (int j = 0; t->method->scalars[j]; j++)
            t->scalar[j][i] = (float)value[j];
    }
}

static few_status update(few_trainer *t, few_step_result *r, few_error *err)
{
    const few_train_options *o = &t->train;
    few_train_state *s = &t->state;
    few_update u = { .radam = !strcmp(o->optimizer, "radam"),
                     .lr = r->lr,
                     .beta1 = o->beta1,
                     .beta2 = o->beta2,
                     .eps = o->eps,
                     .weight_decay = o->weight_decay,
                     .clip = o->clip,
                     .step = s->updates + 1,
                     .master = s->master,
                     .m = s->m,
                     .v = s->v,
                     .n_ema = s->n_ema };
    for (int k = 0; k < s->n_ema; k++) {
        const double early = (1 + (double)s->updates) / (10 + (double)s->updates);
        u.ema[k] = s->ema[k];
        u.ema_decay[k] = fmin(o->ema.v[k], early); /* a young average follows closely */
    }
    if (s->target) {
        u.ema[u.n_ema] = s->target;
        u.ema_decay[u.n_ema++] = t->method->target_decay(&t->ctx, s->step);
    }
    FEW_TRY(few_backend_cpu.update(t->plan, &u, err));
    if (s->target)
        FEW_TRY(few_backend_cpu.params(t->plan, FEW_SET_TARGET, s->target, err));
    r->grad_norm = u.grad_norm;
    r->skipped = !isfinite(u.grad_norm);
    s->updates += !r->skipped;
    return FEW_OK;
}

few_status few_trainer_step(few_trainer *t, few_step_result *r, few_error *err)
{
    const few_phase phase = phase_of(t);
    if (phase.index != t->state.phase)
        FEW_TRY(hand_over(t, phase.index, err));
    *r = (few_step_result){ .lr = few_train_rate(&t->train, t->state.step - phase.begin,
                                                 phase.end - phase.begin) };
    fill_batch(t);
    FEW_TRY(few_backend_cpu.run(t->plan, t->train.batch, err));
    double sum = 0;
    for (int64_t i = 0; i < t->train.batch; i++)
        sum += (double)t->loss[i];
    r->loss = sum / (double)t->train.batch;
    r->skipped = !isfinite(r->loss);
    r->grad_norm = NAN;
    if (!r->skipped)
        FEW_TRY(update(t, r, err));
    t->state.step++;
    t->bad_in_a_row = r->skipped ? t->bad_in_a_row + 1 : 0;
    t->state.skipped += r->skipped;
    if (t->bad_in_a_row >= t->train.bad_steps)
        return few_fail(err, FEW_EDIVERGED,
                        "the loss or its gradient was not finite in %d steps in a row, up to step "
                        "%lld (loss %g, gradient norm %g)",
                        t->bad_in_a_row, (long long)t->state.step, r->loss, r->grad_norm);
    return FEW_OK;
}
