/* toy: Figure 1 of arXiv:2403.06807. Trains a diffusion model of one number from a mixture of two
 * normal distributions, makes students of 1, 2, 4 and 8 steps of it by distillation (mcd) and by
 * training on the data (mct), draws how they go from noise to data and prints how far from the data
 * they end. Exits with 1 when what must come out does not.
 *
 *     build/toy [OUT.svg [RECIPES]]        by default toy.svg and recipes/toy
 *
 * The distance is 1-Wasserstein: the mean distance between quantiles. Noise is not drawn but taken
 * at its own quantiles, so the figures have no sampling error. */
#include "base/alloc.h"
#include "base/file.h"
#include "base/thread.h"
#include "eval/plot.h"
#include "sampler/draw.h"
#include "train/run.h"
#include "train/state.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS = 2048, MANY = 512 };                 /* of a model; steps of the teacher */
enum { DRAWN = 256, DRAWN_STEPS = 64, GRID = 400 }; /* of a panel */
enum { WIDTH = 520, HEIGHT = 360 };
static const int sizes[] = { 1, 2, 4, 8 };
static const char *const methods[] = { "mcd", "mct" };
enum { N_SIZES = FEW_COUNT(sizes), MCD = 0, MCT = 1 };
/* What distances must stay below: 1.3 to 1.4 times what was measured. */
static const double bound[2][N_SIZES] = { { 0.0155, 0.0105, 0.0085, 0.0078 },
                                          { 0.063, 0.036, 0.027, 0.017 } };

struct toy {
    const char *recipes, *runs; /* folders */
    float *data;                /* sorted */
    int64_t n_data;
    few_strbuf svg;
    int panels;
    double student[2][N_SIZES], ddim, addim; /* distances; the teacher's */
    double floor;                            /* of as many points of the data */
};

/* ---- the distributions ----------------------------------------------------------------------*/

static double normal_density(double x, double mean, double sd)
{
    const double z = (x - mean) / sd;
    return exp(-0.5 * z * z) / (sd * sqrt(2 * 3.14159265358979323846));
}

static double mixture_density(double x) /* few_dataset_open */
{
    return 0.3 * normal_density(x, -0.6, 0.2) + 0.7 * normal_density(x, 0.5, 0.1);
}

/* The value below which a part p of the standard normal distribution lies. */
static double normal_quantile(double p)
{
    double lo = -10, hi = 10;
    while (hi - lo > 1e-12) {
        const double mid = 0.5 * (lo + hi);
        *(0.5 * erfc(-mid / sqrt(2)) < p ? &lo : &hi) = mid;
    }
    return 0.5 * (lo + hi);
}

static int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Distance of points from the sorted data; point i, once sorted, stands for quantile (i + 1/2)/n.
 */
static double wasserstein(const float *z, const float *data, int64_t n)
{
    float x[POINTS];
    double sum = 0;
    memcpy(x, z, sizeof x);
    qsort(x, POINTS, sizeof *x, ascending);
    for (int i = 0; i < POINTS; i++)
        sum += fabs((double)x[i] - (double)data[n * (2 * i + 1) / (2 * POINTS)]);
    return sum / POINTS;
}

/* ---- training and sampling ------------------------------------------------------------------*/

/* Train a recipe and load what came out; *model is its file. */
static few_status train(const struct toy *y, const char *recipe, const char *teacher, int steps,
                        few_net *net, char **model, few_error *err)
{
    char path[1024], folder[1024], number[16];
    const few_run_watch watch = { .fresh = true };
    few_config c;
    snprintf(path, sizeof path, "%s/%s.yaml", y->recipes, recipe);
    snprintf(folder, sizeof folder, "%s/%s%d", y->runs, recipe, steps);
    snprintf(number, sizeof number, "%d", steps);
    FEW_TRY(few_config_load(&c, path, NULL, err));
    few_status st = FEW_OK;
    if (teacher) {
        FEW_GOTO(few_config_set(&c, "student.steps", number, "toy", err));
        FEW_GOTO(few_config_set(&c, "student.teacher", teacher, "toy", err));
    }
    FEW_GOTO(few_run(&c, folder, &watch, err));
    FEW_GOTO(few_state_model_path(folder, model, err));
    st = few_net_load(net, *model, err);
cleanup:
    few_config_clear(&c);
    return st;
}

/* Step k of n of another sampler as a sampler of one step, so that every z can be seen. */
struct one_step {
    const few_sampler *sampler;
    const void *options;
    int k, n;
};

static void one_step(const few_spec *spec, const void *options, int k, int n, few_sampler_step *out)
{
    const struct one_step *o = options;
    (void)k, (void)n;
    o->sampler->step(spec, o->options, o->k, o->n, out);
}

/* Row k + 1 of z [steps + 1, POINTS] from row k. */
static few_status trace(const few_net *net, const char *sampler, int steps, float *z,
                        few_error *err)
{
    const few_drawer_options o = {
        .precision = FEW_PRECISION_F32, .workers = 1, .slice = 256, .images = POINTS
    };
    const few_sampler one = { .name = "one step", .step = one_step };
    struct one_step at = { .sampler = few_sampler_find(sampler, err), .n = steps };
    void *options = NULL;
    few_drawer *d = NULL;
    few_status st = FEW_OK;
    if (!at.sampler)
        return FEW_EINVAL;
    FEW_GOTO(few_sampler_options_make(at.sampler, &options, err));
    FEW_GOTO(few_drawer_create(&net->spec, net->master, &o, &d, err));
    at.options = options;
    for (at.k = 0; at.k < steps; at.k++, z += POINTS) {
        const few_draw draw = { .sampler = &one, .options = &at, .steps = 1, .noise = z };
        FEW_GOTO(few_drawer_draw(d, &draw, POINTS, z + POINTS, err));
    }
cleanup:
    few_drawer_free(d);
    few_sampler_options_free(at.sampler, options);
    return st;
}

/* ---- the figure -----------------------------------------------------------------------------*/

/* A panel of some of the paths in z [steps + 1, POINTS], at some of their times. */
static few_status draw_panel(struct toy *y, const char *title, const float *z, int steps,
                             few_error *err)
{
    const int shown = steps < DRAWN_STEPS ? steps : DRAWN_STEPS, each = POINTS / DRAWN;
    double t[DRAWN_STEPS + 1], noise[2][GRID], data[2][GRID];
    float path[DRAWN * (DRAWN_STEPS + 1)];
    for (int k = 0; k <= shown; k++) {
        t[k] = 1 - (double)k / shown;
        for (int i = 0; i < DRAWN; i++)
            path[i * (shown + 1) + k] = z[k * (steps / shown) * POINTS + i * each + each / 2];
    }
    for (int i = 0; i < GRID; i++) {
        noise[0][i] = -3.5 + 7 * i / (GRID - 1.0);
        noise[1][i] = normal_density(noise[0][i], 0, 1);
        data[0][i] = -1.5 + 2.5 * i / (GRID - 1.0);
        data[1][i] = mixture_density(data[0][i]);
    }
    const few_paths paths = {
        .t = t, .z = path, .n_times = shown + 1, .n_paths = DRAWN, .alpha = 0.2
    };
    const few_density truth[] = { { .at_noise = true, .z = noise[0], .p = noise[1], .n = GRID },
                                  { .z = data[0], .p = data[1], .n = GRID } };
    const few_path_plot plot = { .title = title,
                                 .x_title = "time t, from noise to data",
                                 .y_title = "z",
                                 .paths = &paths,
                                 .n_paths = 1,
                                 .densities = truth,
                                 .n_densities = 2,
                                 .width = WIDTH,
                                 .height = HEIGHT };
    few_strbuf_addf(&y->svg, "<g transform=\"translate(%d %d)\">\n", y->panels % 2 * WIDTH,
                    y->panels / 2 * HEIGHT);
    y->panels++;
    const few_status st = few_plot_paths(&plot, &y->svg, err);
    few_strbuf_add(&y->svg, "</g>\n");
    return st;
}

/* Sample and measure a model; with a name, add a panel. */
static few_status look(struct toy *y, const few_net *net, const char *sampler, int steps,
                       const char *name, double *distance, few_error *err)
{
    float *z = few_malloc(sizeof(float) * POINTS * (size_t)(steps + 1));
    if (!z)
        return few_fail(err, FEW_ENOMEM, "out of memory for %d steps", steps);
    for (int i = 0; i < POINTS; i++)
        z[i] = (float)normal_quantile((i + 0.5) / POINTS);
    few_status st = trace(net, sampler, steps, z, err);
    if (st == FEW_OK)
        *distance = wasserstein(z + steps * POINTS, y->data, y->n_data);
    if (st == FEW_OK && name) {
        char title[128];
        snprintf(title, sizeof title, "%s, %d step%s: %.4f from the data", name, steps,
                 steps == 1 ? "" : "s", *distance);
        st = draw_panel(y, title, z, steps, err);
    }
    few_free(z);
    return st;
}

/* ---- the program ----------------------------------------------------------------------------*/

static few_status sort_data(struct toy *y, few_error *err)
{
    few_dataset d;
    FEW_TRY(few_dataset_open(&d, "mixture", err));
    y->n_data = d.n;
    y->data = few_malloc((size_t)d.n * sizeof(float));
    if (y->data) {
        memcpy(y->data, d.points, (size_t)d.n * sizeof(float));
        qsort(y->data, (size_t)d.n, sizeof(float), ascending);
        y->floor = wasserstein(d.points, y->data, d.n);
    }
    few_dataset_close(&d);
    return y->data ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory for the data");
}

static few_status run(struct toy *y, const char *svg, few_error *err)
{
    few_net teacher = { 0 }, net = { 0 };
    char *file = NULL, *student = NULL;
    few_status st = FEW_OK;
    few_strbuf_init(&y->svg);
    few_strbuf_addf(&y->svg,
                    "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                    "viewBox=\"0 0 %d %d\">\n",
                    2 * WIDTH, 2 * HEIGHT, 2 * WIDTH, 2 * HEIGHT);
    FEW_GOTO(sort_data(y, err));
    FEW_GOTO(train(y, "teacher", NULL, 0, &teacher, &file, err));
    for (int m = 0; m < 2; m++)
        for (int k = 0; k < N_SIZES; k++) {
            const bool drawn = m == MCD && sizes[k] <= 4;
            FEW_GOTO(train(y, methods[m], file, sizes[k], &net, &student, err));
            FEW_GOTO(look(y, &net, "multistep", sizes[k], drawn ? methods[m] : NULL,
                          &y->student[m][k], err));
            few_net_free(&net);
            few_free(student);
            student = NULL;
        }
    FEW_GOTO(look(y, &teacher, "ddim", MANY, "teacher", &y->ddim, err));
    FEW_GOTO(look(y, &teacher, "addim", MANY, NULL, &y->addim, err));
    few_strbuf_add(&y->svg, "</svg>\n");
    st = y->svg.failed ? few_fail(err, FEW_ENOMEM, "out of memory for a figure")
                       : few_write_file(svg, y->svg.s, y->svg.n, err);
cleanup:
    few_strbuf_free(&y->svg);
    few_free(y->data);
    few_net_free(&teacher);
    few_net_free(&net);
    few_free(file);
    few_free(student);
    return st;
}

static int expect(bool holds, const char *what)
{
    if (!holds)
        fprintf(stderr, "toy: this should hold and does not: %s\n", what);
    return !holds;
}

/* The order of the paper's tables, with room for what rounding and seeds change. */
static int judge(const struct toy *y)
{
    int wrong = expect(y->ddim < 0.01, "the teacher ends at the data");
    for (int m = 0; m < 2; m++) {
        const double *d = y->student[m];
        wrong += expect(d[N_SIZES - 1] < 0.9 * d[0], "8 steps are better than 1");
        for (int k = 0; k < N_SIZES; k++)
            wrong += expect(d[k] < bound[m][k], "students end as near the data as they did");
        for (int k = 1; k < N_SIZES; k++)
            wrong += expect(d[k] < 1.3 * d[k - 1], "more steps are not worse");
    }
    for (int k = 0; k < N_SIZES; k++)
        wrong += expect(y->student[MCD][k] <= y->student[MCT][k], "mcd is better than mct");
    wrong += expect(y->student[MCD][N_SIZES - 1] <= 1.2 * y->addim,
                    "mcd in 8 steps is as good as the teacher in 512 of addim");
    return wrong > 0;
}

int main(int argc, char **argv)
{
    const char *svg = argc > 1 ? argv[1] : "toy.svg";
    char runs[] = "/tmp/fewstep-toy-XXXXXX";
    struct toy y = { .recipes = argc > 2 ? argv[2] : "recipes/toy", .runs = runs };
    const double start = few_now();
    few_error err = { 0 };
    if (!mkdtemp(runs)) {
        perror("toy: cannot make a folder in /tmp");
        return 1;
    }
    const few_status st = run(&y, svg, &err);
    few_remove_folder(runs, NULL);
    if (st != FEW_OK) {
        fprintf(stderr, "toy: %s\n", err.text);
        return 1;
    }
    printf("1-Wasserstein distance to the data\n\nsteps      mcd      mct\n");
    for (int k = 0; k < N_SIZES; k++)
        printf("%5d   %.4f   %.4f\n", sizes[k], y.student[MCD][k], y.student[MCT][k]);
    printf("\n%d points of the data: %.4f\n", POINTS, y.floor);
    printf("teacher in %d steps: %.4f (ddim), %.4f (addim)\n%s; %.0f s\n", MANY, y.ddim, y.addim,
           svg, few_now() - start);
    return judge(&y);
}
