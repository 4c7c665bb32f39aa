/* baselines: every way to a teacher and to a student on the toy's mixture of one number and on a
 * mixture of pairs: trains both kinds of teacher on each, one student by each method, and
 * prints how far from the data their samples are. Exits with 1 when one is farther than it must be.
 *
 *     build/toy_baselines [RECIPES]        by default recipes/toy
 *
 * The distance is sliced 1-Wasserstein: the mean over directions of the mean distance between
 * quantiles. Its floor is that of as many points drawn from the data. */
#include "base/alloc.h"
#include "base/philox.h"
#include "base/thread.h"
#include "sampler/draw.h"
#include "train/run.h"
#include "train/state.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS = 4096, DIRECTIONS = 16, TEACHER_STEPS = 128 };

/* Steps the student is made for, and what its distance must stay below in one dimension and in two:
 * 1.3 to 1.4 times what was measured. */
static const struct {
    const char *recipe;
    int steps;
    double bound[2];
} students[] = {
    { "mcd", 2, { 0.0135, 0.0125 } }, { "mct", 2, { 0.036, 0.028 } },
    { "pd", 2, { 0.028, 0.0215 } },   { "tract", 2, { 0.017, 0.016 } },
    { "cd", 1, { 0.022, 0.0185 } },   { "ct", 1, { 0.21, 0.165 } },
    { "ict", 1, { 0.145, 0.125 } },   { "ect", 1, { 0.13, 0.145 } },
};
static const char *const mixtures[] = { "mixture", "mixture-2d" };
static const double dsno_bound[] = { 0.029, 0.029 };
enum { N_STUDENTS = FEW_COUNT(students), N_MIXTURES = FEW_COUNT(mixtures) };
enum { TRAJECTORIES = 20000, STATES = 4 };

struct table {
    const char *recipes, *runs; /* folders */
    double floor[N_MIXTURES], teacher[N_MIXTURES], edm[N_MIXTURES], dsno[N_MIXTURES],
        student[N_STUDENTS][N_MIXTURES];
};

static int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Component along direction k of points [POINTS, c], sorted. */
static void project(const float *points, int c, int k, float *out)
{
    const double angle = 3.14159265358979323846 * k / DIRECTIONS, x = cos(angle), y = sin(angle);
    for (int i = 0; i < POINTS; i++)
        out[i] = c == 1 ? points[i] : (float)(x * points[2 * i] + y * points[2 * i + 1]);
    qsort(out, POINTS, sizeof *out, ascending);
}

static double distance(const float *a, const float *b, int c)
{
    float p[POINTS], q[POINTS];
    double sum = 0;
    for (int k = 0; k < DIRECTIONS; k++) {
        project(a, c, k, p);
        project(b, c, k, q);
        for (int i = 0; i < POINTS; i++)
            sum += fabs((double)p[i] - (double)q[i]);
    }
    return sum / POINTS / DIRECTIONS;
}

/* Train a recipe on `data` (a student: with this teacher) and load what came out; *model is its
 * file.
 */
static few_status train(const struct table *y, const char *recipe, const char *data, int m,
                        const char *teacher, int steps, few_net *net, char **model, few_error *err)
{
    char path[1024], folder[1024], number[16];
    const few_run_watch watch = { .fresh = true };
    few_config c;
    snprintf(path, sizeof path, "%s/%s.yaml", y->recipes, recipe);
    snprintf(folder, sizeof folder, "%s/%s-%d", y->runs, recipe, m);
    snprintf(number, sizeof number, "%d", steps);
    FEW_TRY(few_config_load(&c, path, NULL, err));
    few_status st = FEW_OK;
    FEW_GOTO(few_config_set(&c, "data.path", data, "toy", err));
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

static few_status measure(const few_net *net, int steps, const float *truth, double *out,
                          few_error *err)
{
    const few_drawer_options o = {
        .precision = FEW_PRECISION_F32, .slice = 256, .images = POINTS, .needs = FEW_NEEDS_NOISE
    };
    const few_sampler *s = few_sampler_default(&net->spec);
    float *z = few_malloc(sizeof(float) * POINTS * (size_t)net->spec.channels);
    void *options = NULL;
    few_drawer *d = NULL;
    few_status st = z ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory for samples");
    if (st == FEW_OK)
        st = few_sampler_options_make(s, &options, err);
    if (st == FEW_OK)
        st = few_drawer_create(&net->spec, net->master, &o, &d, err);
    const few_draw draw = { .sampler = s, .options = options, .steps = steps, .seed = 1 };
    if (st == FEW_OK)
        st = few_drawer_draw(d, &draw, POINTS, z, err);
    if (st == FEW_OK)
        *out = distance(z, truth, net->spec.channels);
    few_drawer_free(d);
    few_sampler_options_free(s, options);
    few_free(z);
    return st;
}

/* Operator learning has a teacher of its own, whose trajectories are its data. */
static few_status learn_paths(struct table *y, int m, const float *truth, few_error *err)
{
    const few_trajectories_options o = {
        .count = TRAJECTORIES, .steps = 4 * STATES, .states = STATES, .seed = 7
    };
    char paths[1024], *teacher = NULL, *student = NULL;
    few_net net = { 0 };
    few_status st = FEW_OK;
    snprintf(paths, sizeof paths, "%s/paths-%d.safetensors", y->runs, m);
    FEW_GOTO(train(y, "unet", mixtures[m], m, NULL, 0, &net, &teacher, err));
    FEW_GOTO(few_trajectories_make(&net, &o, paths, err));
    few_net_free(&net);
    FEW_GOTO(train(y, "dsno", paths, m, teacher, 1, &net, &student, err));
    st = measure(&net, 1, truth, &y->dsno[m], err);
cleanup:
    few_net_free(&net);
    few_free(teacher);
    few_free(student);
    return st;
}

static few_status compare(struct table *y, int m, few_error *err)
{
    few_dataset data;
    few_net teacher = { 0 }, net = { 0 };
    char *file = NULL, *student = NULL;
    few_status st = FEW_OK;
    FEW_TRY(few_dataset_open(&data, mixtures[m], err));
    const float *truth = data.points;
    y->floor[m] = distance(truth, truth + POINTS * data.c, data.c);
    FEW_GOTO(train(y, "edm", mixtures[m], m, NULL, 0, &net, &student, err));
    FEW_GOTO(measure(&net, TEACHER_STEPS, truth, &y->edm[m], err));
    few_net_free(&net);
    few_free(student);
    student = NULL;
    FEW_GOTO(train(y, "teacher", mixtures[m], m, NULL, 0, &teacher, &file, err));
    FEW_GOTO(measure(&teacher, TEACHER_STEPS, truth, &y->teacher[m], err));
    for (int k = 0; k < N_STUDENTS; k++) {
        FEW_GOTO(train(y, students[k].recipe, mixtures[m], m, file, students[k].steps, &net,
                       &student, err));
        FEW_GOTO(measure(&net, students[k].steps, truth, &y->student[k][m], err));
        few_net_free(&net);
        few_free(student);
        student = NULL;
    }
    st = learn_paths(y, m, truth, err);
cleanup:
    few_dataset_close(&data);
    few_net_free(&teacher);
    few_net_free(&net);
    few_free(file);
    few_free(student);
    return st;
}

int main(int argc, char **argv)
{
    char runs[] = "/tmp/fewstep-toy-XXXXXX";
    struct table y = { .recipes = argc > 1 ? argv[1] : "recipes/toy", .runs = runs };
    const double start = few_now();
    few_error err = { 0 };
    int wrong = 0;
    if (!mkdtemp(runs)) {
        perror("toy: cannot make a folder in /tmp");
        return 1;
    }
    few_status st = FEW_OK;
    for (int m = 0; m < N_MIXTURES && st == FEW_OK; m++)
        st = compare(&y, m, &err);
    few_remove_folder(runs, NULL);
    if (st != FEW_OK) {
        fprintf(stderr, "toy: %s\n", err.text);
        return 1;
    }
    printf("sliced 1-Wasserstein distance of %d points to the data\n\n", POINTS);
    printf("           steps   1 dimension   2 dimensions\n");
    printf("data                    %.4f         %.4f\n", y.floor[0], y.floor[1]);
    printf("teacher    %5d        %.4f         %.4f\n", TEACHER_STEPS, y.teacher[0], y.teacher[1]);
    printf("edm        %5d        %.4f         %.4f\n", TEACHER_STEPS, y.edm[0], y.edm[1]);
    for (int m = 0; m < N_MIXTURES; m++)
        if (!(y.teacher[m] < y.floor[m] && y.edm[m] < y.floor[m])) {
            fprintf(stderr, "toy: a teacher is farther from %s than real data\n", mixtures[m]);
            wrong = 1;
        }
    for (int k = 0; k < N_STUDENTS; k++) {
        printf("%-10s %5d        %.4f         %.4f\n", students[k].recipe, students[k].steps,
               y.student[k][0], y.student[k][1]);
        for (int m = 0; m < N_MIXTURES; m++)
            if (!(y.student[k][m] < students[k].bound[m])) {
                fprintf(stderr, "toy: %s on %s: %.4f, must be below %g\n", students[k].recipe,
                        mixtures[m], y.student[k][m], students[k].bound[m]);
                wrong = 1;
            }
    }
    printf("dsno           1        %.4f         %.4f\n", y.dsno[0], y.dsno[1]);
    for (int m = 0; m < N_MIXTURES; m++)
        if (!(y.dsno[m] < dsno_bound[m])) {
            fprintf(stderr, "toy: dsno on %s: %.4f, must be below %g\n", mixtures[m], y.dsno[m],
                    dsno_bound[m]);
            wrong = 1;
        }
    printf("\n%.0f s\n", few_now() - start);
    return wrong;
}
