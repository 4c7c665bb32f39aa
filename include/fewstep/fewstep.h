/* fewstep: few-step image generation, the public C API.
 *
 * Load a checkpoint, draw images into memory of your own, read error texts.
 * Nothing here prints, exits or aborts. Everything else in the library is private.
 *
 *     few_model *m = NULL;
 *     few_error err = { FEW_OK, "" };
 *     if (few_model_load("fashion-mcd4.safetensors", NULL, &m, &err) != FEW_OK) puts(err.text);
 */
#ifndef FEWSTEP_H
#define FEWSTEP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define FEW_API __attribute__((visibility("default")))
#else
#define FEW_API
#endif

#define FEW_VERSION "0.1.0"

/* Every function that can fail returns one of these, FEW_OK = 0 and the others counting up in this
 * order; the text is in few_error, which may be NULL everywhere. */
#define FEW_STATUS_MAP(X)                                                                          \
    X(OK, "ok")                                                                                    \
    X(EINVAL, "invalid argument")                                                                  \
    X(ENOMEM, "out of memory")                                                                     \
    X(EIO, "input or output failed")                                                               \
    X(EFORMAT, "damaged or unknown file content")                                                  \
    X(ENOTFOUND, "not found")                                                                      \
    X(ECONFIG, "configuration refused")                                                            \
    X(EUNSUPPORTED, "makes no sense here")                                                         \
    X(ECANCELED, "canceled")                                                                       \
    X(EDIVERGED, "training diverged")                                                              \
    X(EBUSY, "in use by another process")

typedef enum few_status {
#define X(name, text) FEW_##name,
    FEW_STATUS_MAP(X)
#undef X
        FEW_STATUS_COUNT
} few_status;

/* What went wrong. `text` is one or two sentences without a final newline, always terminated. */
typedef struct few_error {
    few_status code;
    char text[1024];
} few_error;

/* The default text of a status. Never NULL; the string is static. */
FEW_API const char *few_status_text(few_status s);

/* Version of the library at run time, as FEW_VERSION. */
FEW_API const char *few_version(void);

/* A loaded generator: weights, network, schedule and step count. Opaque. */
typedef struct few_model few_model;

/* How to load. Fill with few_load_defaults(): every core, "auto". FEW_THREADS, FEW_PRECISION and
 * FEW_ISA in the environment limit them (docs/config.md). */
typedef struct few_load_options {
    int threads;           /* 0: every core this process may use */
    const char *precision; /* "auto" (as NULL), "f32" or "bf16" */
} few_load_options;

FEW_API void few_load_defaults(few_load_options *o);

/* Load a checkpoint file (fewstep inspect RUN -o FILE makes one of a run).
 * options  NULL for defaults. *out is set only on FEW_OK; free it with few_model_free, for which
 * NULL is nothing.
 * Fails: FEW_ENOTFOUND, FEW_EIO, FEW_EFORMAT, FEW_ECONFIG (a network, schedule or prediction that
 * this version does not know), FEW_EUNSUPPORTED (a type of numbers, a size), FEW_ENOMEM,
 * FEW_EINVAL. Threads: any. */
FEW_API few_status few_model_load(const char *path, const few_load_options *options,
                                  few_model **out, few_error *err);
FEW_API void few_model_free(few_model *m);

/* What a loaded model makes. `steps` is 0 for a teacher, else the step count it was made for. */
typedef struct few_model_info {
    int height, width, channels, classes, steps;
    const char *kind; /* the method that made it, as "diffusion" or "mcd"; of the model's life */
} few_model_info;

/* m: not NULL. */
FEW_API few_model_info few_model_get_info(const few_model *m);

/* Called after every network evaluation of some of the images, from the thread that called
 * few_sample. done, total: evaluations of single images, all together, guidance's second ones not
 * counted; of the sampler adaptive,
 * which does not know its steps before, hundredths of the way. Return non-zero to cancel. */
typedef int (*few_progress_fn)(void *user, int64_t done, int64_t total);

/* How to sample. Fill with few_sample_defaults(). What it points to is only read, and only during
 * the call. */
typedef struct few_sample_options {
    const char *sampler;      /* NULL: the checkpoint's own */
    const char *settings;     /* of the sampler, as "grid=karras,rho=5"; NULL: its defaults */
    int steps;                /* 0: a student's own, with a teacher the sampler's (ddim 128). In
                                 other steps than its own a student's images are worse */
    uint64_t seed;            /* image i of seed k is the same image whatever n and threads, in one
                                 precision on one kind of CPU */
    int64_t first;            /* index of the first image, >= 0 */
    double guidance;          /* g: (1 + g) conditional - g unconditional; 0: none */
    const int32_t *label;     /* [n] class ids, or NULL: i mod classes, i from `first`; `classes`
                                 itself is the null class, where it was trained */
    const float *noise;       /* [n,H,W,C] standard normal, what the sampler starts from, or NULL:
                                 drawn from the seed */
    few_progress_fn progress; /* or NULL */
    void *user;
} few_sample_options;

/* Zeros and NULLs: one image after the other of every class, seed 0. */
FEW_API void few_sample_defaults(few_sample_options *o);

/* Draw n images.
 * images  [n,H,W,C] float32, out: nominally in [-1, 1], not clamped. The caller owns it.
 * n       >= 1. With another n, guidance or kind of sampler than in the last call the network is
 *         planned again: some hundredths of a second.
 * options NULL for defaults.
 * Cost:   steps network evaluations an image with most samplers, up to twice that with those of
 *         second order, and twice with guidance; *nfe gets the number for one image when not NULL,
 *         rounded where images differ (adaptive); only on FEW_OK.
 * Fails:  FEW_EINVAL (n, first, steps, labels, an unknown sampler, settings that do not go
 *         together), FEW_ECONFIG (an unknown setting or a value out of its range),
 *         FEW_EUNSUPPORTED (sampler, steps or guidance that make no sense for this checkpoint),
 *         FEW_ENOMEM, FEW_ECANCELED. images is then unspecified.
 * Threads: one call at a time per model; several models may run at once. */
FEW_API few_status few_sample(few_model *m, int64_t n, const few_sample_options *options,
                              float *images, int64_t *nfe, few_error *err);

/* Write n images [n,height,width,channels], 1 or 3 channels, as one sheet, `columns` wide (0: as
 * square as possible), values clamped to [-1, 1]; of several, with two white pixels between and
 * around them. The file appears whole or not at all.
 * Fails: FEW_EIO, FEW_EINVAL, FEW_ENOMEM. Threads: any. */
FEW_API few_status few_save_png(const char *path, const float *images, int64_t n, int height,
                                int width, int channels, int columns, few_error *err);

#ifdef __cplusplus
}
#endif
#endif
