/* A comparison: trains and measures what a recipe asks for and is not there yet, and writes what
 * came out. Everything of it lies in one folder:
 *
 *     runs/mcd-4-seed1/       the trainings
 *     locks/                  a file for each that a process took
 *     cells/mcd-4-seed1.json  one result each, and cells/mcd-4-seed1.png its first images
 *     compare.tsv             a row for each cell, done or not
 *     compare.md              tables, and the strips of images
 *     compare.svg             quality against network evaluations
 *     compare.png             images of each cell from the same noise, a row each
 *     compare.html            one page with all of that
 *
 * Stopped at any time, it goes on from there; a result whose settings have changed is made again.
 * What is done needs nothing but cells/: with that alone it goes on elsewhere. Any number of
 * processes share the work of one folder. */
#ifndef FEW_COMPARE_COMPARE_H
#define FEW_COMPARE_COMPARE_H

#include "compare/cell.h"
#include "eval/evaluate.h"
#include "model/checkpoint.h"
#include "sampler/draw.h"

typedef struct few_compare_watch {
    void *user;
    /* Cell `k` of n begins to train or to be measured; its work is `total` (steps, evaluations). */
    void (*begin)(void *user, const char *what, int64_t total, const char *unit);
    void (*progress)(void *user, int64_t done);
    void (*end)(void *user);
    /* It is done, and about `left` seconds of others remain (negative: unknown). */
    void (*cell)(void *user, const few_cell *c, int k, int n, double left);
    /* It diverged, and the comparison goes on without it; why: in words. */
    void (*failed)(void *user, const few_cell *c, const char *why);
    int (*stop)(void *user); /* non-zero: save and return FEW_ECANCELED */
} few_compare_watch;

typedef struct few_compare {
    few_compare_recipe recipe;
    const char *recipe_path, *folder;
    few_net teacher;
    few_features *features;
    few_pack *test, *train;
    few_real reference; /* made when the first cell is measured */
    few_cell *cells;
    int n_cells, threads;
    const few_compare_watch *watch;
} few_compare;

/* recipe_path and folder are borrowed, until few_compare_close. Fails as reading the recipe, the
 * teacher, the feature network and the packs, and FEW_ECONFIG where a cell's settings are wrong. */
few_status few_compare_open(few_compare *c, const char *recipe_path, const char *folder, bool quick,
                            int threads, few_error *err);
void few_compare_close(few_compare *c);

/* Make what is missing and no other process is making; what came out so far is written before, and
 * after every cell. Some may not be done in the end: those that are with others. */
few_status few_compare_run(few_compare *c, const few_compare_watch *w, few_error *err);
int few_compare_done(const few_compare *c); /* cells */

/* Seconds that trainings and evaluations took so far in this process. */
typedef struct few_compare_pace {
    double training, measuring;
    int64_t trained, measured; /* runs; evaluations */
} few_compare_pace;
/* About how many seconds the cells that are neither done nor failed take; negative: unknown. */
double few_compare_time_left(const few_compare *c, const few_compare_pace *p);

/* Tables (tables.c), plot, sheet and page (page.c) of what is done so far; all of them. */
few_status few_compare_write_tsv(const few_compare *c, few_error *err);
few_status few_compare_write_markdown(const few_compare *c, few_error *err);
few_status few_compare_write_page(const few_compare *c, few_error *err);
few_status few_compare_write(const few_compare *c, few_error *err);

/* A table of texts, the first row its head; rows 0: there is nothing to show. */
enum { FEW_COMPARE_TEXT = 64 };
typedef enum few_compare_kind {
    FEW_COMPARE_STUDENTS, /* evaluations by method, with the teacher, as in the paper's tables */
    FEW_COMPARE_BEST,     /* the two best students of each number of evaluations */
    FEW_COMPARE_SAMPLERS, /* sampler by evaluations */
    FEW_COMPARE_LIST,     /* method, evaluations, FD */
    FEW_COMPARE_KINDS
} few_compare_kind;
typedef struct few_compare_table {
    const char *caption;
    int rows, columns;              /* rows without the head */
    char (*cell)[FEW_COMPARE_TEXT]; /* [(rows + 1) * columns] */
} few_compare_table;
few_status few_compare_table_make(const few_compare *c, few_compare_kind kind, few_compare_table *t,
                                  few_error *err);
void few_compare_table_free(few_compare_table *t);

/* Mean and range of a row's FD in some number of evaluations over its seeds; n 0: nothing done.
 */
typedef struct few_compare_spread {
    int n;
    double mean, low, high;
} few_compare_spread;
few_compare_spread few_compare_spread_of(const few_compare *c, bool students, const char *row,
                                         double nfe);
/* The k-th different row of students (or samplers); NULL: there are fewer. */
const char *few_compare_row(const few_compare *c, bool students, int k);
/* The evaluations that occur among students (or samplers), ascending; at most max. */
int few_compare_evaluations(const few_compare *c, bool students, double *out, int max);

#endif
