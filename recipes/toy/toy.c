/* toy: Figure 1 of arXiv:2403.06807 in one dimension. Trains a diffusion model of a mixture of two
 * normal distributions, makes students of 1, 2, 4 and 8 steps from it by distillation (mcd) and by
 * training (mct), draws how each goes from noise to data, and prints how far from the data it ends.
 *
 *     build/toy [OUT.svg [RECIPES]]        RECIPES: the folder of this file, default recipes/toy
 *
 * The distance is 1-Wasserstein, between the distributions' quantiles. Noise is not drawn but taken
 * at its own quantiles, so the figure has no sampling error. Fails when the order of the paper's
 * table does not come out. */
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

enum { POINTS = 2048, EACH = 8, TEACHER_STEPS = 512, DRAWN_STEPS = 64, GRID = 400 };
enum { WIDTH = 520, HEIGHT = 360 };
static const int sizes[] = { 1, 2, 4, 8 };
enum { N_SIZES = FEW_COUNT(sizes) };

static const double pi = 3.14159265358979323846;

/* ---- the distributions ----------------------------------------------------------------------*/

static const struct {
    double weight, mean, sd;
} modes[] = { { 0.3, -0.6, 0.2 }, { 0.7, 0.5, 0.1 } }; /* few_dataset_open's "mixture" */

static double normal_density(double z)
{
    return exp(-0.5 * z * z) / sqrt(2 * pi);
}

static double normal_mass(double z)
{
    return 0.5 * erfc(-z / sqrt(2));
}

static double mixture_density(double x)
{
    double p = 0;
    for (size_t k = 0; k < FEW_COUNT(modes); k++)
        p += modes[k].weight / modes[k].sd * normal_density((x - modes[k].mean) / modes[k].sd);
    return p;
}

/* The value below which a part p of the standard normal distribution lies. */
static double normal_quantile(double p)
{
    double lo = -10, hi = 10;
    while (hi - lo > 1e-12) {
        const double mid = 0.5 * (lo + hi);
        *(normal_mass(mid) < p ? &lo : &hi) = mid;
    }
    return 0.5 * (lo + hi);
}

static int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Distance of points from the data, both sorted first: point i stands for quantile (i + 1/2) / n.
 */
static double wasserstein(float *x, int n, const few_dataset *data)
{
    double sum = 0;
    qsort(x, (size_t)n, sizeof *x, ascending);
    for (int i = 0; i < n; i++)
        sum += fabs((double)x[i] - (double)data->points[data->n * (2 * i + 1) / (2 * n)]);
    return sum / n;
}

/* ---- training and sampling ------------------------------------------------------------------*/

/* Train a recipe in its own folder of `runs` and load what came out. */
static few_status train(const char *recipes, const char *recipe, const char *teacher, int steps,
                        const char *runs, few_net *net, char **model, few_error *err)
{
    char path[1024], folder[1024], number[16];
    const few_run_watch watch = { .fresh = true };
    few_config c;
    snprintf(path, sizeof path, "%s/%s.yaml", recipes, recipe);
    snprintf(folder, sizeof folder, "%s/%s%d", runs, recipe, steps);
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

/* One step of another sampler, so that what lies between the steps can be seen. */
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

/* z[i, k] = point i after k of n steps, from z[i, 0]. */
static few_status trace(const few_net *net, const char *sampler, int steps, float *z,
                        few_error *err)
{
    const few_drawer_options o = {
        .precision = FEW_PRECISION_F32, .workers = 1, .slice = 256, .images = POINTS
    };
    const few_sampler one = { .name = "one step", .step = one_step };
    struct one_step at = { .sampler = few_sampler_find(sampler, err), .n = steps };
    const few_draw draw = { .sampler = &one, .options = &at, .steps = 1 };
    few_drawer *d = NULL;
    void *options = NULL;
    float from[POINTS], to[POINTS];
    few_status st = FEW_ENOTFOUND;
    if (!at.sampler)
        return st;
    FEW_GOTO(few_sampler_options_make(at.sampler, &options, err));
    FEW_GOTO(few_drawer_create(&net->spec, net->master, &o, &d, err));
    at.options = options;
    for (at.k = 0; at.k < steps; at.k++) {
        few_draw now = draw;
        now.noise = from;
        for (int i = 0; i < POINTS; i++)
            from[i] = z[i * (steps + 1) + at.k];
        FEW_GOTO(few_drawer_draw(d, &now, POINTS, to, err));
        for (int i = 0; i < POINTS; i++)
            z[i * (steps + 1) + at.k + 1] = to[i];
    }
cleanup:
    few_drawer_free(d);
    few_sampler_options_free(at.sampler, options);
    return st;
}

/* ---- one figure -----------------------------------------------------------------------------*/

struct figure {
    few_strbuf svg;
    int panels;
    double noise_z[GRID], noise_p[GRID], data_z[GRID], data_p[GRID];
};

static void figure_init(struct figure *f)
{
    few_strbuf_init(&f->svg);
    f->panels = 0;
    for (int i = 0; i < GRID; i++) {
        f->noise_z[i] = -3 + 6 * i / (GRID - 1.0);
        f->noise_p[i] = normal_density(f->noise_z[i]);
        f->data_z[i] = -1.5 + 2.5 * i / (GRID - 1.0);
        f->data_p[i] = mixture_density(f->data_z[i]);
    }
    few_strbuf_addf(&f->svg,
                    "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                    "viewBox=\"0 0 %d %d\">\n",
                    2 * WIDTH, 2 * HEIGHT, 2 * WIDTH, 2 * HEIGHT);
}

/* Add every EACH-th path of z [POINTS, steps + 1], at `drawn` of its steps. */
static few_status figure_add(struct figure *f, const char *title, const float *z, int steps,
                             int drawn, few_error *err)
{
    enum { N = POINTS / EACH };
    double t[DRAWN_STEPS + 1];
    float path[N * (DRAWN_STEPS + 1)];
    for (int k = 0; k <= drawn; k++) {
        t[k] = 1 - (double)k / drawn;
        for (int i = 0; i < N; i++)
            path[i * (drawn + 1) + k] =
                z[(i * EACH + EACH / 2) * (steps + 1) + k * (steps / drawn)];
    }
    const few_paths paths = { .t = t, .z = path, .n_times = drawn + 1, .n_paths = N, .alpha = 0.2 };
    const few_density truth[] = {
        { .at_noise = true, .z = f->noise_z, .p = f->noise_p, .n = GRID },
        { .z = f->data_z, .p = f->data_p, .n = GRID },
    };
    const few_path_plot plot = { .title = title,
                                 .x_title = "time t, from noise to data",
                                 .y_title = "z",
                                 .paths = &paths,
                                 .n_paths = 1,
                                 .densities = truth,
                                 .n_densities = 2,
                                 .width = WIDTH,
                                 .height = HEIGHT };
    few_strbuf_addf(&f->svg, "<g transform=\"translate(%d %d)\">\n", f->panels % 2 * WIDTH,
                    f->panels / 2 * HEIGHT);
    f->panels++;
    const few_status st = few_plot_paths(&plot, &f->svg, err);
    few_strbuf_add(&f->svg, "</g>\n");
    return st;
}

/* Sample, measure into *distance and, with a figure, draw. */
static few_status look(const few_net *net, const char *sampler, int steps, const char *title,
                       const few_dataset *data, struct figure *f, double *distance, few_error *err)
{
    float *z = few_malloc(sizeof(float) * POINTS * (size_t)(steps + 1)), end[POINTS];
    if (!z)
        return few_fail(err, FEW_ENOMEM, "out of memory for paths");
    for (int i = 0; i < POINTS; i++)
        z[i * (steps + 1)] = (float)normal_quantile((i + 0.5) / POINTS);
    few_status st = trace(net, sampler, steps, z, err);
    for (int i = 0; i < POINTS && st == FEW_OK; i++)
        end[i] = z[i * (steps + 1) + steps];
    if (st == FEW_OK)
        *distance = wasserstein(end, POINTS, data);
    if (st == FEW_OK && f) {
        char text[128];
        snprintf(text, sizeof text, "%s: %.4f from the data", title, *distance);
        st = figure_add(f, text, z, steps, steps < DRAWN_STEPS ? steps : DRAWN_STEPS, err);
    }
    few_free(z);
    return st;
}

/* ---- the program ----------------------------------------------------------------------------*/

struct results {
    double ddim, addim; /* the teacher */
    double student[2][N_SIZES];
};
static const char *const methods[] = { "mcd", "mct" };

static few_status students(const char *recipes, const char *runs, const char *teacher,
                           const few_dataset *data, struct figure *f, struct results *r,
                           few_error *err)
{
    for (int m = 0; m < 2; m++)
        for (int k = 0; k < N_SIZES; k++) {
            const int S = sizes[k];
            char title[64], *file = NULL;
            few_net net = { 0 };
            snprintf(title, sizeof title, "%s, %d step%s", methods[m], S, S == 1 ? "" : "s");
            few_status st = train(recipes, methods[m], teacher, S, runs, &net, &file, err);
            if (st == FEW_OK)
                st = look(&net, "multistep", S, title, data, m == 0 && S <= 4 ? f : NULL,
                          &r->student[m][k], err);
            few_net_free(&net);
            few_free(file);
            FEW_TRY(st);
        }
    return FEW_OK;
}

static few_status run(const char *recipes, const char *runs, const char *svg, struct results *r,
                      few_error *err)
{
    few_net teacher = { 0 };
    few_dataset data;
    char *file = NULL;
    struct figure f;
    FEW_TRY(few_dataset_open(&data, "mixture", err));
    qsort(data.points, (size_t)data.n, sizeof *data.points, ascending);
    figure_init(&f);
    few_status st = train(recipes, "teacher", NULL, 0, runs, &teacher, &file, err);
    if (st == FEW_OK)
        st = students(recipes, runs, file, &data, &f, r, err);
    if (st == FEW_OK)
        st = look(&teacher, "ddim", TEACHER_STEPS, "teacher, 512 steps", &data, &f, &r->ddim, err);
    if (st == FEW_OK)
        st = look(&teacher, "addim", TEACHER_STEPS, NULL, &data, NULL, &r->addim, err);
    few_strbuf_add(&f.svg, "</svg>\n");
    if (st == FEW_OK)
        st = f.svg.failed ? few_fail(err, FEW_ENOMEM, "out of memory for a figure")
                          : few_write_file(svg, f.svg.s, f.svg.n, err);
    few_strbuf_free(&f.svg);
    few_dataset_close(&data);
    few_net_free(&teacher);
    few_free(file);
    return st;
}

static int expect(bool holds, const char *what)
{
    if (!holds)
        fprintf(stderr, "toy: not as in the paper: %s\n", what);
    return !holds;
}

/* What must come out whatever the rounding: distances fall as steps are added (0.75 over all of
 * them, and none rises by 1.3), distilling beats training, 8 steps are as good as many. */
static int judge(const struct results *r)
{
    int wrong = expect(r->ddim < 0.01, "the teacher ends at the data");
    for (int m = 0; m < 2; m++) {
        const double *d = r->student[m];
        wrong += expect(d[N_SIZES - 1] < 0.75 * d[0], "more steps, nearer to the data");
        for (int k = 1; k < N_SIZES; k++)
            wrong += expect(d[k] < 1.3 * d[k - 1], "no step makes it worse");
    }
    for (int k = 0; k < N_SIZES; k++)
        wrong += expect(r->student[0][k] <= r->student[1][k], "mcd is nearer than mct");
    wrong += expect(r->student[0][N_SIZES - 1] <= 1.2 * r->addim,
                    "8 steps within 1.2 times the teacher's 512 by addim");
    return wrong ? 1 : 0;
}

int main(int argc, char **argv)
{
    const char *svg = argc > 1 ? argv[1] : "toy.svg", *recipes = argc > 2 ? argv[2] : "recipes/toy";
    char runs[] = "/tmp/fewstep-toy-XXXXXX";
    const double start = few_now();
    struct results r;
    few_error err = { 0 };
    if (!mkdtemp(runs)) {
        perror("toy: cannot make a folder in /tmp");
        return 1;
    }
    const few_status st = run(recipes, runs, svg, &r, &err);
    few_remove_folder(runs, NULL);
    if (st != FEW_OK) {
        fprintf(stderr, "toy: %s\n", err.text);
        return 1;
    }
    printf("1-Wasserstein distance to the data\n\nsteps      mcd      mct\n");
    for (int k = 0; k < N_SIZES; k++)
        printf("%5d   %.4f   %.4f\n", sizes[k], r.student[0][k], r.student[1][k]);
    printf("\nteacher, %d steps: %.4f by ddim, %.4f by addim\n%s drawn; %.0f s\n", TEACHER_STEPS,
           r.ddim, r.addim, svg, few_now() - start);
    return judge(&r);
}
