/* A comparison as a YAML file: one teacher, students by several methods for several numbers of
 * steps and seeds, all trained on the same number of images, and the teacher's own samplers.
 *
 *     teacher: FILE_OR_RUN    data: PACK    test: PACK    images: 128k    samples: 2000
 *     seeds: [1, 2]           seeded_steps: [1, 4, 8]
 *     students:
 *       mcd: {config: mcd.yaml, steps: [1, 2, 4, 8, 16], set: [train.lr=6e-4]}
 *     samplers:
 *       heun: {sampler: heun, steps: [8, 16], set: [grid=time]}
 *     quick: {images: 6400, samples: 500, seeds: [1], steps: [1, 4], sampler_steps: [8]}
 *
 * Keys of students and samplers are labels; those with the same `row` share one in tables and
 * plots. Paths are taken from where the program runs. */
#ifndef FEW_COMPARE_RECIPE_H
#define FEW_COMPARE_RECIPE_H

#include "base/option.h"

enum { FEW_MAX_COMPARED = 64 }; /* students, and samplers */

typedef struct few_compare_student {
    char *label, *row, *config,
        *data;        /* data: instead of the recipe's; row: of the table, and line of the plot */
    few_strings set;  /* over the configuration */
    few_ints steps;   /* that students are made for */
    few_ints sampled; /* steps they are sampled with; none: those they are made for */
} few_compare_student;

typedef struct few_compare_sampler {
    char *label, *row, *sampler;
    few_strings set;
    few_ints steps;
} few_compare_sampler;

typedef struct few_compare_recipe {
    char *title, *teacher, *data, *test, *features;
    int64_t images, samples;
    few_ints seeds, seeded_steps; /* students of other steps are made with the first seed alone */
    few_compare_student *students;
    few_compare_sampler *samplers;
    int n_students, n_samplers;
} few_compare_recipe;

/* quick: with what the section of that name replaces. Fails: FEW_ECONFIG (file, line and the
 * nearest name of an unknown key; something missing), and as few_yaml_load. */
few_status few_compare_recipe_load(few_compare_recipe *r, const char *path, bool quick,
                                   few_error *err);
void few_compare_recipe_clear(few_compare_recipe *r);

#endif
