/* What is measured: one student of one seed in some number of steps, or the teacher with one
 * sampler. */
#ifndef FEW_COMPARE_CELL_H
#define FEW_COMPARE_CELL_H

#include "compare/recipe.h"

enum { FEW_CELL_NAME = 128 };

typedef struct few_cell {
    const few_compare_student *student; /* or NULL */
    const few_compare_sampler *sampler; /* or NULL */
    int made_for;                       /* steps of a student; 0: a sampler's */
    int steps;                          /* of sampling */
    int evaluations;                    /* of an image, as few_draw_evaluations counts */
    int seed;                           /* of the training */
    char run[FEW_CELL_NAME];            /* "mcd-4-seed1": its folder; students only */
    char name[FEW_CELL_NAME];           /* "mcd-4-seed1", "cd-1-seed1-in-2", "heun-16" */
    char key[33];                       /* hash of what its result depends on */
    bool done;                          /* what follows is known */
    double fd, floor, nfe, images_per_second;
    char model[33];    /* hash of the weights that were measured */
    char precision[8]; /* of activations where it was made; "": not known */
    bool failed;       /* it diverged, in this process */
} few_cell;

/* Its row of the table. */
const char *few_cell_row(const few_cell *c);

/* The cells of a recipe in the order in which they are made: students of the first seed, samplers,
 * students of the others. *cells is the caller's, who frees it. Fails: FEW_ENOMEM, FEW_ECONFIG (two
 * of one name). */
few_status few_cells_make(const few_compare_recipe *r, few_cell **cells, int *n, few_error *err);

/* Its result in cells/NAME.json of a comparison's folder, read and written. One with another key is
 * as none, and so is a damaged one. */
few_status few_cell_read(few_cell *c, const char *folder, few_error *err);
few_status few_cell_write(const few_cell *c, const char *folder, few_error *err);

/* Take the cell for this process: nobody else makes it, or another cell of its training, until
 * few_unlock(*lock) or this process ends. Fails: FEW_EBUSY where another one has it. */
few_status few_cell_take(const few_cell *c, const char *folder, int *lock, few_error *err);

#endif
