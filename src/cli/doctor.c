/* fewstep doctor: what the CPU offers, what was chosen and why, and whether the libraries work. */
#include "base/alloc.h"
#include "base/thread.h"
#include "cli/command.h"
#include "cpu/simd.h"
#include "cpu/winograd.h"
#include "graph/backend.h"
#include "op/ops.h"

#include <archive.h>
#include <cblas.h>
#include <jansson.h>
#include <jpeglib.h>
#include <math.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <xxhash.h>
#include <yaml.h>

#ifdef LIBJPEG_TURBO_VERSION
#define TEXT(x) #x
#define TEXT_OF(x) TEXT(x)
#define JPEG_MAKER " (libjpeg-turbo " TEXT_OF(LIBJPEG_TURBO_VERSION) ")"
#else
#define JPEG_MAKER ""
#endif

struct finding {
    char name[32], text[256];
    bool bad;
};

struct findings {
    struct finding v[32];
    int n;
};

static void add(struct findings *f, bool bad, const char *name, const char *fmt, ...)
    FEW_PRINTF(4, 5);
static void add(struct findings *f, bool bad, const char *name, const char *fmt, ...)
{
    struct finding *x = &f->v[f->n++];
    va_list ap;
    snprintf(x->name, sizeof x->name, "%s", name);
    va_start(ap, fmt);
    vsnprintf(x->text, sizeof x->text, fmt, ap);
    va_end(ap);
    x->bad = bad;
}

/* How most convolutions are done, in one type. */
static const char *convolution(few_dtype type)
{
    const few_dnn_conv c = { .n = 8,
                             .h = 32,
                             .w = 32,
                             .c = 64,
                             .o = 64,
                             .kh = 3,
                             .kw = 3,
                             .oh = 32,
                             .ow = 32,
                             .stride = 1,
                             .pad0 = 1,
                             .pad1 = 1,
                             .type = type };
    return few_winograd_fits(&c) ? "Winograd's method" : "oneDNN";
}

/* Whether layers by oneDNN work in bf16, or in f32 between copies. */
static bool onednn_has_bf16(void)
{
    few_dnn p;
    few_error err;
    const bool has =
        few_dnn_linear_make(&p, FEW_DNN_LINEAR, FEW_BF16, 64, 64, 64, false, &err) == FEW_OK;
    const bool wide = has && p.wide;
    if (has)
        few_dnn_free(&p);
    return has && !wide;
}

static void cpu(struct findings *f)
{
    few_strbuf b;
    few_strbuf_init(&b);
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2"))
        few_strbuf_add(&b, "AVX2 ");
    if (__builtin_cpu_supports("avx512f"))
        few_strbuf_add(&b, "AVX-512 ");
    if (__builtin_cpu_supports("avx512bf16"))
        few_strbuf_add(&b, "AVX512_BF16 ");
#endif
    const char *why;
    if (few_cpu_has_amx())
        few_strbuf_add(&b, "AMX bf16");
    add(f, false, "cpu", "%s", b.n ? b.s : "no vector extensions that are used");
    few_strbuf_free(&b);
    const few_simd *s = few_simd_get(&why);
    add(f, false, "kernels", "%s: %s", s->name, why ? why : "the best this CPU has");
    const few_precision p = few_cpu_resolve(FEW_PRECISION_AUTO, &why);
    add(f, false, "tiles", "%s",
        few_cpu_may_use_amx() ? "weight gradients in bf16 by our AMX kernel"
        : few_cpu_has_amx()   ? "AMX is not used: FEW_ISA or the system forbids it"
                              : "the CPU has no AMX");
    add(f, false, "precision", "auto is %s: %s", p == FEW_PRECISION_BF16 ? "bf16" : "f32", why);
    add(f, false, "convolution", "3x3 in f32 by %s, in bf16 by %s%s", convolution(FEW_F32),
        convolution(FEW_BF16), getenv("FEW_CONV") ? " (FEW_CONV is set)" : "");
    add(f, false, "bf16 layers", "%s",
        onednn_has_bf16() ? "in bf16" : "in f32 between copies: oneDNN has no bf16 for this CPU");
    add(f, false, "threads", "%d of %ld cores (affinity, cgroup quota and FEW_THREADS)",
        few_thread_count(), sysconf(_SC_NPROCESSORS_ONLN));
}

static void machine(struct findings *f)
{
    const double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 1e9;
    struct statvfs s;
    add(f, memory < 1, "memory", "%.1f GB%s", memory, memory < 1 ? ": training wants 1 GB" : "");
    if (statvfs(".", &s) == 0) {
        const double free_gb = (double)s.f_bavail * (double)s.f_frsize / 1e9;
        add(f, free_gb < 0.5, "disk", "%.1f GB free here%s", free_gb,
            free_gb < 0.5 ? ": a run wants 0.5 GB" : "");
    }
}

static void libraries(struct findings *f)
{
    const dnnl_version_t *v = dnnl_version();
    add(f, v->major < 2, "oneDNN", "%d.%d.%d", v->major, v->minor, v->patch);
    add(f, false, "OpenMP", "%d, at most %d threads", _OPENMP, omp_get_max_threads());
    add(f, false, "OpenBLAS", "%s", openblas_get_config());
    add(f, false, "libpng", "%s", png_get_libpng_ver(NULL));
    add(f, false, "libjpeg", "%d%s", JPEG_LIB_VERSION, JPEG_MAKER);
    add(f, false, "libarchive", "%s", archive_version_string());
    add(f, false, "libyaml", "%s", yaml_get_version_string());
    add(f, false, "jansson", "%s", JANSSON_VERSION);
    const unsigned x = XXH_versionNumber();
    add(f, false, "xxhash", "%u.%u.%u", x / 10000, x / 100 % 100, x % 100);
}

enum { SIDE = 8, CHANNELS = 32, IMAGES = 2, PIXELS = IMAGES * SIDE * SIDE };

/* A convolution of size x size and a norm, by kernels of a type and by the references: the largest
 * difference, INFINITY when they did not run. */
static double kernel_error(few_precision precision, int size, few_error *err)
{
    few_graph g;
    few_plan *plan = NULL;
    double worst = INFINITY;
    const int64_t n = PIXELS * CHANNELS, n_weights = CHANNELS * CHANNELS * size * size;
    few_graph_init(&g);
    few_graph_label(&g, "check");
    const few_val in =
        few_graph_input(&g, "x", FEW_F32, FEW_SHAPE(IMAGES, SIDE, SIDE, CHANNELS), false);
    const few_val weight =
        few_graph_input(&g, "w", FEW_F32, FEW_SHAPE(CHANNELS, CHANNELS, size, size), true);
    const few_val c = few_conv2d(&g, few_cast(&g, in, FEW_ACT), weight, FEW_NONE, FEW_NONE, 1,
                                 size / 2, size / 2);
    const few_val out = few_cast(
        &g, few_group_norm(&g, c, FEW_NONE, FEW_NONE, FEW_NONE, FEW_NONE, 4, true, 1e-5), FEW_F32);
    few_graph_output(&g, out, "y");
    const few_plan_options o = { .precision = precision, .workers = 1 };
    float *x = few_malloc((size_t)n * 4), *w = few_malloc((size_t)n_weights * 4),
          *y = few_malloc((size_t)n * 4);
    double **v = few_calloc((size_t)g.n_tensors, sizeof *v);
    double *xd = few_malloc((size_t)n * 8), *wd = few_malloc((size_t)n_weights * 8);
    if (x && w && y && v && xd && wd && few_backend_cpu.compile(&g, &o, &plan, err) == FEW_OK) {
        for (int64_t i = 0; i < n; i++)
            xd[i] = (double)(x[i] = (float)sin(0.37 * (double)i));
        for (int64_t i = 0; i < n_weights; i++)
            wd[i] = (double)(w[i] = (float)cos(0.71 * (double)i));
        v[in] = xd;
        v[weight] = wd;
        few_backend_cpu.bind(plan, "x", x, err);
        few_backend_cpu.bind(plan, "w", w, err);
        few_backend_cpu.bind(plan, "y", y, err);
        if (few_backend_cpu.run(plan, IMAGES, err) == FEW_OK &&
            few_reference_run(&g, v, err) == FEW_OK) {
            worst = 0;
            for (int64_t i = 0; i < n; i++)
                worst = fmax(worst, fabs((double)y[i] - v[out][i]));
        }
        few_reference_free(&g, v);
    }
    few_backend_cpu.release(plan);
    few_graph_clear(&g);
    few_free(x);
    few_free(w);
    few_free(y);
    few_free(v);
    few_free(xd);
    few_free(wd);
    return worst;
}

static void self_check(struct findings *f)
{
    few_error err = { 0 };
    const double f32 = fmax(kernel_error(FEW_PRECISION_F32, 3, &err),
                            kernel_error(FEW_PRECISION_F32, 1, &err)),
                 bf16 = fmax(kernel_error(FEW_PRECISION_BF16, 3, &err),
                             kernel_error(FEW_PRECISION_BF16, 1, &err));
    if (f32 < 1e-4 && bf16 < 0.1)
        add(f, false, "self-check",
            "convolutions and norm agree with their references to %.1e, in bf16 to %.1e", f32,
            bf16);
    else
        add(f, true, "self-check", "convolutions and norm are wrong by %g, in bf16 by %g: %s", f32,
            bf16, err.text[0] ? err.text : "reinstall libdnnl-dev, try FEW_ISA=portable");
}

static int run(const void *options, int n_args, char **args)
{
    struct findings f = { .n = 0 };
    int bad = 0;
    (void)options;
    (void)n_args;
    (void)args;
    cpu(&f);
    machine(&f);
    libraries(&f);
    self_check(&f);
    json_t *all = json_object();
    for (int k = 0; k < f.n; k++) {
        bad += f.v[k].bad;
        json_object_set_new(all, f.v[k].name,
                            json_pack("{s:b, s:s}", "ok", !f.v[k].bad, "text", f.v[k].text));
        if (!few_cli_state.json)
            printf("%-5s %-12s %s\n", f.v[k].bad ? "BAD" : "ok", f.v[k].name, f.v[k].text);
    }
    if (few_cli_state.json)
        few_cli_json(json_incref(all));
    json_decref(all);
    return bad ? FEW_EXIT_FAILURE : FEW_EXIT_OK;
}

const few_command few_command_doctor = {
    .name = "doctor",
    .help = "what this machine offers and whether everything works",
    .usage = "doctor [--json]",
    .min_args = 0,
    .max_args = 0,
    .run = run,
};
