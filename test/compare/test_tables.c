/* Tables of made-up results, to the letter, and the order of the strips; the time that is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/temp_folder.h"
#include "compare/strip.h"

#include <stdio.h>
#include <string.h>

/* Two students share a row, and so do two samplers. */
static few_compare_student students[] = { { .label = "pd", .row = "pd" },
                                          { .label = "cd", .row = "cd" },
                                          { .label = "mcd", .row = "mcd" },
                                          { .label = "mcd4", .row = "mcd" } };
static few_compare_sampler samplers[] = { { .label = "ddim", .row = "ddim" },
                                          { .label = "heun", .row = "heun" },
                                          { .label = "more", .row = "ddim" } };
enum { PD, CD, MCD, MCD4 };
enum { DDIM, HEUN, MORE };

/* FD 0: not done. */
#define STUDENT(who, steps_, seed_, fd_)                                                           \
    {                                                                                              \
        .student = &students[who], .steps = steps_, .seed = seed_, .fd = fd_, .nfe = steps_,       \
        .done = (fd_) > 0                                                                          \
    }
#define SAMPLER(who, steps_, nfe_, fd_)                                                            \
    {                                                                                              \
        .sampler = &samplers[who], .steps = steps_, .fd = fd_, .nfe = nfe_, .done = (fd_) > 0      \
    }

static int seeds[] = { 1, 2 };

static few_compare made_up(few_cell *cells, int n)
{
    return (few_compare){ .recipe = { .students = students,
                                      .samplers = samplers,
                                      .n_students = FEW_COUNT(students),
                                      .n_samplers = FEW_COUNT(samplers),
                                      .seeds = { seeds, FEW_COUNT(seeds) } },
                          .cells = cells,
                          .n_cells = n };
}

/* Its rows as lines, cells between bars. */
static void expect_table(const few_compare *c, few_compare_kind kind, const char *want)
{
    few_compare_table t;
    few_error err = { 0 };
    few_strbuf b;
    few_strbuf_init(&b);
    assert_int_equal(few_compare_table_make(c, kind, &t, &err), FEW_OK);
    for (int k = 0; t.rows && k < (t.rows + 1) * t.columns; k++)
        few_strbuf_addf(&b, "%s%s", t.cell[k], (k + 1) % t.columns ? "|" : "\n");
    if (strcmp(b.s ? b.s : "", want) != 0)
        fail_msg("table %d is\n%swanted\n%s", (int)kind, b.s ? b.s : "", want);
    few_compare_table_free(&t);
    few_strbuf_free(&b);
}

// clang-format off
static few_cell cells[] = {
    STUDENT(PD, 1, 1, 9),
    STUDENT(CD, 4, 1, 0.75),
    STUDENT(CD, 1, 1, 2.5),
    STUDENT(CD, 2, 1, 2),
    STUDENT(MCD, 1, 1, 1),
    STUDENT(MCD, 2, 1, 1),
    STUDENT(MCD4, 4, 1, 0.5),
    STUDENT(MCD, 8, 1, 0.25), /* alone in 8 */
    STUDENT(PD, 16, 1, 0),
    SAMPLER(DDIM, 8, 8, 0.5),
    SAMPLER(HEUN, 2, 3, 0.375),
    SAMPLER(MORE, 2, 2, 0.625),
    SAMPLER(HEUN, 32, 63, 0),
    STUDENT(MCD, 1, 2, 2),
    STUDENT(MCD, 2, 2, 2),
    STUDENT(CD, 1, 2, 3.5),
    STUDENT(CD, 1, 3, 3),
    STUDENT(CD, 2, 2, 4),
    STUDENT(CD, 4, 2, 1.25),
    STUDENT(PD, 2, 2, 0),
};
// clang-format on
enum { CELLS = FEW_COUNT(cells) };

static void rows_of_cells(void **state)
{
    (void)state;
    few_cell some[] = { STUDENT(MCD4, 4, 2, 0.5), SAMPLER(HEUN, 2, 3, 0) };
    few_compare c = made_up(some, FEW_COUNT(some));
    few_error err = { 0 };
    few_map m;
    c.folder = temp_folder;
    snprintf(some[0].name, sizeof some[0].name, "mcd4-4-seed2");
    snprintf(some[0].model, sizeof some[0].model, "weights");
    snprintf(some[0].precision, sizeof some[0].precision, "f32");
    snprintf(some[1].name, sizeof some[1].name, "heun-2");
    some[0].made_for = 4;
    some[0].floor = 0.125;
    some[0].images_per_second = 12.5;
    static const char want[] =
        "cell\trow\tmade_for\tsampler_steps\tseed\tstate\tfd\tfloor\tnfe\t"
        "images_per_second\tmodel\tprecision\n"
        "mcd4-4-seed2\tmcd\t4\t4\t2\tdone\t0.5\t0.125\t4\t12.5\tweights\tf32\n"
        "heun-2\theun\t0\t2\t0\tto do\t\t\t\t\t\t\n";
    assert_int_equal(few_compare_write_tsv(&c, &err), FEW_OK);
    assert_int_equal(few_map_open(&m, temp_path("compare.tsv"), &err), FEW_OK);
    assert_int_equal(m.n, strlen(want));
    assert_memory_equal(m.data, want, m.n);
    few_map_close(&m);
}

/* Of equal ways with 2 and 3 seeds, 2 of the 10 orders of all five have their ranges apart: one in
 * five. Ranges that touch are not apart. */
static void tables(void **state)
{
    (void)state;
    few_compare c = made_up(cells, CELLS);
    expect_table(&c, FEW_COMPARE_STUDENTS,
                 "evaluations|pd|cd|mcd\n"
                 "1|9.0000|3.0000 (2.5000-3.5000)|1.5000 (1.0000-2.0000)\n"
                 "2||3.0000 (2.0000-4.0000)|1.5000 (1.0000-2.0000)\n"
                 "4||1.0000 (0.7500-1.2500)|0.5000\n"
                 "8|||0.2500\n"
                 "teacher, heun, 3: 0.3750|||\n");
    expect_table(&c, FEW_COMPARE_BEST,
                 "evaluations|best|FD|next|FD|ranges apart\n"
                 "1|mcd|1.5000 (1.0000-2.0000)|cd|3.0000 (2.5000-3.5000)|yes (by chance: 1 in 5)\n"
                 "2|mcd|1.5000 (1.0000-2.0000)|cd|3.0000 (2.0000-4.0000)|no\n"
                 "4|mcd|0.5000|cd|1.0000 (0.7500-1.2500)|one seed\n");
    expect_table(&c, FEW_COMPARE_SAMPLERS,
                 "sampler, evaluations|2|3|8\n"
                 "ddim|0.6250||0.5000\n"
                 "heun||0.3750|\n");
    expect_table(&c, FEW_COMPARE_LIST,
                 "method|evaluations|FD\n"
                 "pd|1|9.0000\n"
                 "cd|1|3.0000 (2.5000-3.5000)\n"
                 "cd|2|3.0000 (2.0000-4.0000)\n"
                 "cd|4|1.0000 (0.7500-1.2500)\n"
                 "mcd|1|1.5000 (1.0000-2.0000)\n"
                 "mcd|2|1.5000 (1.0000-2.0000)\n"
                 "mcd|4|0.5000\n"
                 "mcd|8|0.2500\n"
                 "teacher, ddim|2|0.6250\n"
                 "teacher, ddim|8|0.5000\n"
                 "teacher, heun|3|0.3750\n");
}

static void best_of_more(void **state)
{
    (void)state;
    few_cell some[] = {
        STUDENT(MCD, 1, 1, 1), STUDENT(MCD, 1, 2, 2),    STUDENT(CD, 1, 1, 3),
        STUDENT(CD, 1, 2, 4),  STUDENT(PD, 1, 1, 2.125), STUDENT(PD, 1, 2, 2.25),
    };
    few_compare c = made_up(some, FEW_COUNT(some));
    expect_table(
        &c, FEW_COMPARE_BEST,
        "evaluations|best|FD|next|FD|ranges apart\n"
        "1|mcd|1.5000 (1.0000-2.0000)|pd|2.1875 (2.1250-2.2500)|yes (by chance: 1 in 3)\n");
    /* The first row is the best, the last the next; of two equal ones the first. */
    some[4].fd = some[5].fd = 0.5;
    expect_table(
        &c, FEW_COMPARE_BEST,
        "evaluations|best|FD|next|FD|ranges apart\n"
        "1|pd|0.5000 (0.5000-0.5000)|mcd|1.5000 (1.0000-2.0000)|yes (by chance: 1 in 3)\n");
    some[2].fd = 1;
    some[3].fd = 2;
    expect_table(&c, FEW_COMPARE_BEST,
                 "evaluations|best|FD|next|FD|ranges apart\n"
                 "1|pd|0.5000 (0.5000-0.5000)|cd|1.5000 (1.0000-2.0000)|yes (by chance: 1 in 3)\n");
}

static void nothing_to_show(void **state)
{
    (void)state;
    few_cell some[] = { STUDENT(MCD, 1, 1, 1), SAMPLER(DDIM, 2, 2, 2) };
    few_compare c = made_up(some, FEW_COUNT(some));
    for (int student = 0; student < 2; student++) {
        some[0].done = student;
        some[1].done = !student;
        expect_table(&c, FEW_COMPARE_STUDENTS,
                     student ? "evaluations|pd|cd|mcd\n1|||1.0000\n" : "");
        expect_table(&c, FEW_COMPARE_SAMPLERS,
                     student ? "" : "sampler, evaluations|2\nddim|2.0000\nheun|\n");
        expect_table(&c, FEW_COMPARE_BEST, "");
        expect_table(&c, FEW_COMPARE_LIST,
                     student ? "method|evaluations|FD\nmcd|1|1.0000\n"
                             : "method|evaluations|FD\nteacher, ddim|2|2.0000\n");
    }
}

/* Where there are more students than a table is wide, they are its rows. */
static void many_students(void **state)
{
    (void)state;
    enum { MANY = 17 };
    few_compare_student many[MANY];
    few_cell some[MANY];
    char name[MANY][8];
    few_strbuf want;
    few_strbuf_init(&want);
    few_strbuf_add(&want, "student, evaluations|1|2\n");
    for (int k = 0; k < MANY; k++) {
        snprintf(name[k], sizeof name[k], "way%d", k);
        many[k] = (few_compare_student){ .label = name[k], .row = name[k] };
        some[k] =
            (few_cell){ .student = &many[k], .seed = 1, .nfe = 1 + k % 2, .fd = k, .done = true };
        few_strbuf_addf(&want, k % 2 ? "%s||%d.0000\n" : "%s|%d.0000|\n", name[k], k);
    }
    few_compare c = made_up(some, MANY);
    c.recipe.students = many;
    c.recipe.n_students = MANY;
    c.recipe.n_samplers = 0;
    expect_table(&c, FEW_COMPARE_STUDENTS, want.s);
    few_strbuf_free(&want);
}

/* As in the tables, of the first seed, where there is a file. */
static void order_of_strips(void **state)
{
    (void)state;
    static const char *const want[] = { "pd-1-seed1",  "cd-1-seed1",  "cd-4-seed1",
                                        "mcd-1-seed1", "mcd-2-seed1", "mcd4-4-seed1",
                                        "more-2",      "ddim-8",      "heun-2" };
    const few_cell *strip[CELLS];
    few_error err = { 0 };
    few_compare c = made_up(cells, CELLS);
    c.folder = temp_folder;
    assert_int_equal(few_make_folders(temp_path("cells"), &err), FEW_OK);
    for (int k = 0; k < CELLS; k++) {
        few_cell *cell = &cells[k];
        if (cell->student)
            snprintf(cell->name, sizeof cell->name, "%s-%d-seed%d", cell->student->label,
                     cell->steps, cell->seed);
        else
            snprintf(cell->name, sizeof cell->name, "%s-%d", cell->sampler->label, cell->steps);
        char *path = few_strip_path(&c, cell);
        if (strcmp(cell->name, "cd-2-seed1") != 0 && strcmp(cell->name, "mcd-8-seed1") != 0)
            assert_int_equal(few_write_file(path, "", 0, &err), FEW_OK);
        few_free(path);
    }
    assert_int_equal(few_strips(&c, strip), FEW_COUNT(want));
    for (size_t k = 0; k < FEW_COUNT(want); k++)
        assert_string_equal(strip[k]->name, want[k]);
}

/* A second a training, and 0.01 s an evaluation of 100 samples of each cell. */
static void time_that_is_left(void **state)
{
    (void)state;
    few_cell some[] = {
        STUDENT(MCD, 1, 1, 0), STUDENT(CD, 1, 1, 0),   STUDENT(CD, 2, 1, 0),
        STUDENT(PD, 4, 1, 0),  SAMPLER(DDIM, 8, 8, 0),
    };
    static const char *const runs[] = { "mcd", "cd", "cd", "pd", "" };
    few_compare c = made_up(some, FEW_COUNT(some));
    c.recipe.samples = 100;
    for (size_t k = 0; k < FEW_COUNT(some); k++) {
        snprintf(some[k].run, sizeof some[k].run, "%s", runs[k]);
        some[k].evaluations = some[k].steps;
    }
    few_compare_pace p = { 0 };
    assert_true(few_compare_time_left(&c, &p) < 0);
    p = (few_compare_pace){ .measuring = 2, .measured = 200 };
    assert_true(few_compare_time_left(&c, &p) < 0); /* how long is a training? */
    p.training = 20;
    p.trained = 2;
    /* Three trainings of 10 s, the two of cd being one, and 16 evaluations of 1 s. */
    assert_float_equal(few_compare_time_left(&c, &p), 46, 1e-9);
    some[2].done = true; /* and so is its training */
    assert_float_equal(few_compare_time_left(&c, &p), 34, 1e-9);
    some[0].failed = true;
    assert_float_equal(few_compare_time_left(&c, &p), 23, 1e-9);
    some[3].done = true; /* no training remains */
    p.trained = 0;
    assert_float_equal(few_compare_time_left(&c, &p), 9, 1e-9);
    some[1].done = some[4].done = true;
    assert_float_equal(few_compare_time_left(&c, &p), 0, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_cells),     cmocka_unit_test(tables),
        cmocka_unit_test(best_of_more),      cmocka_unit_test(nothing_to_show),
        cmocka_unit_test(many_students),     cmocka_unit_test(order_of_strips),
        cmocka_unit_test(time_that_is_left),
    };
    return cmocka_run_group_tests(tests, make_temp_folder, remove_temp_folder);
}
