/* compare.tsv and compare.md. */
#include "base/alloc.h"
#include "base/file.h"
#include "compare/strip.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *few_compare_row(const few_compare *c, bool students, int k)
{
    const int n = students ? c->recipe.n_students : c->recipe.n_samplers;
    for (int i = 0, seen = 0; i < n; i++) {
        bool new = true;
        const char *row = students ? c->recipe.students[i].row : c->recipe.samplers[i].row;
        for (int j = 0; j < i; j++)
            new &=
                strcmp(row, students ? c->recipe.students[j].row : c->recipe.samplers[j].row) != 0;
        if (new &&seen++ == k)
            return row;
    }
    return NULL;
}

few_compare_spread few_compare_spread_of(const few_compare *c, bool students, const char *row,
                                         double nfe)
{
    few_compare_spread s = { .low = INFINITY, .high = -INFINITY };
    double sum = 0;
    for (int k = 0; k < c->n_cells; k++) {
        const few_cell *cell = &c->cells[k];
        if (!cell->done || (cell->student != NULL) != students || cell->nfe != nfe ||
            strcmp(few_cell_row(cell), row) != 0)
            continue;
        sum += cell->fd;
        s.low = fmin(s.low, cell->fd);
        s.high = fmax(s.high, cell->fd);
        s.n++;
    }
    s.mean = s.n ? sum / s.n : 0;
    return s;
}

int few_compare_evaluations(const few_compare *c, bool students, double *out, int max)
{
    int n = 0;
    for (int k = 0; k < c->n_cells; k++) {
        const few_cell *cell = &c->cells[k];
        int at = 0;
        if (!cell->done || (cell->student != NULL) != students)
            continue;
        while (at < n && out[at] < cell->nfe)
            at++;
        if ((at < n && out[at] == cell->nfe) || n == max)
            continue;
        memmove(out + at + 1, out + at, (size_t)(n - at) * sizeof *out);
        out[at] = cell->nfe;
        n++;
    }
    return n;
}

static few_status save(const few_compare *c, const char *name, const few_strbuf *b, few_error *err)
{
    char *path = few_path_join(c->folder, name);
    const few_status st = !path || b->failed
                              ? few_fail(err, FEW_ENOMEM, "out of memory for '%s'", name)
                              : few_write_file(path, b->s, b->n, err);
    few_free(path);
    return st;
}

few_status few_compare_write_tsv(const few_compare *c, few_error *err)
{
    few_strbuf b;
    few_strbuf_init(&b);
    few_strbuf_add(&b, "cell\trow\tmade_for\tsampler_steps\tseed\tstate\tfd\tfloor\tnfe\t"
                       "images_per_second\tmodel\tprecision\n");
    for (int k = 0; k < c->n_cells; k++) {
        const few_cell *cell = &c->cells[k];
        few_strbuf_addf(&b, "%s\t%s\t%d\t%d\t%d\t", cell->name, few_cell_row(cell), cell->made_for,
                        cell->steps, cell->seed);
        if (cell->done)
            few_strbuf_addf(&b, "done\t%.6g\t%.6g\t%.6g\t%.4g\t%s\t%s\n", cell->fd, cell->floor,
                            cell->nfe, cell->images_per_second, cell->model, cell->precision);
        else
            few_strbuf_add(&b, "to do\t\t\t\t\t\t\n");
    }
    const few_status st = save(c, "compare.tsv", &b, err);
    few_strbuf_free(&b);
    return st;
}

/* ---- tables ---------------------------------------------------------------------------------*/

enum { MAX_COLUMNS = 32, MAX_ROWS = 1024, MOST_ACROSS = 16 };

static void spread_text(char *text, const few_compare_spread *s)
{
    if (s->n == 1)
        snprintf(text, FEW_COMPARE_TEXT, "%.4f", s->mean);
    else if (s->n)
        snprintf(text, FEW_COMPARE_TEXT, "%.4f (%.4f-%.4f)", s->mean, s->low, s->high);
}

static int count_rows(const few_compare *c, bool students)
{
    int n = 0;
    while (few_compare_row(c, students, n))
        n++;
    return n;
}

static char *cell_of(const few_compare_table *t, int row, int column)
{
    return t->cell[row * t->columns + column];
}

/* The cell of the teacher that came out best; NULL: none is done. */
static const few_cell *best_of_teacher(const few_compare *c)
{
    const few_cell *best = NULL;
    for (int k = 0; k < c->n_cells; k++)
        if (c->cells[k].done && c->cells[k].sampler && (!best || c->cells[k].fd < best->fd))
            best = &c->cells[k];
    return best;
}

/* Tables 1 and 2 of the paper: numbers of evaluations down, ways across, the teacher last. */
static void fill_students(const few_compare *c, few_compare_table *t, const double *nfe)
{
    snprintf(cell_of(t, 0, 0), FEW_COMPARE_TEXT, "evaluations");
    for (int k = 1; k < t->columns; k++) {
        const char *row = few_compare_row(c, true, k - 1);
        snprintf(cell_of(t, 0, k), FEW_COMPARE_TEXT, "%.60s", row);
        for (int i = 1; nfe[i - 1] > 0; i++) {
            const few_compare_spread s = few_compare_spread_of(c, true, row, nfe[i - 1]);
            snprintf(cell_of(t, i, 0), FEW_COMPARE_TEXT, "%.6g", nfe[i - 1]);
            spread_text(cell_of(t, i, k), &s);
        }
    }
    const few_cell *best = best_of_teacher(c);
    if (best) {
        snprintf(cell_of(t, t->rows, 0), FEW_COMPARE_TEXT, "teacher, %.30s, %.6g: %.4f",
                 few_cell_row(best), best->nfe, best->fd);
    }
}

/* Ways down, numbers of evaluations across. */
static void fill_ways(const few_compare *c, bool students, few_compare_table *t, const double *nfe)
{
    snprintf(cell_of(t, 0, 0), FEW_COMPARE_TEXT, "%s, evaluations",
             students ? "student" : "sampler");
    for (int i = 1; i <= t->rows; i++) {
        const char *row = few_compare_row(c, students, i - 1);
        snprintf(cell_of(t, i, 0), FEW_COMPARE_TEXT, "%.60s", row);
        for (int k = 1; k < t->columns; k++) {
            const few_compare_spread s = few_compare_spread_of(c, students, row, nfe[k - 1]);
            snprintf(cell_of(t, 0, k), FEW_COMPARE_TEXT, "%.6g", nfe[k - 1]);
            spread_text(cell_of(t, i, k), &s);
        }
    }
}

/* As papers list the field: a line for each way and number of evaluations. */
static void fill_list(const few_compare *c, few_compare_table *t)
{
    static const char *const head[] = { "method", "evaluations", "FD" };
    for (int k = 0; k < t->columns; k++)
        snprintf(cell_of(t, 0, k), FEW_COMPARE_TEXT, "%s", head[k]);
    t->rows = 0;
    for (int students = 1; students >= 0; students--) {
        double nfe[MAX_COLUMNS];
        const int n = few_compare_evaluations(c, students, nfe, MAX_COLUMNS);
        const char *row;
        for (int r = 0; (row = few_compare_row(c, students, r)); r++)
            for (int k = 0; k < n; k++) {
                const few_compare_spread s = few_compare_spread_of(c, students, row, nfe[k]);
                if (!s.n || t->rows == MAX_ROWS)
                    continue;
                t->rows++;
                snprintf(cell_of(t, t->rows, 0), FEW_COMPARE_TEXT,
                         students ? "%.60s" : "teacher, %.60s", row);
                snprintf(cell_of(t, t->rows, 1), FEW_COMPARE_TEXT, "%.6g", nfe[k]);
                spread_text(cell_of(t, t->rows, 2), &s);
            }
    }
}

typedef struct ranked {
    const char *row; /* NULL: there is none */
    few_compare_spread fd;
} ranked;

/* The two rows of students that come out best in some number of evaluations. */
static void find_best(const few_compare *c, double nfe, ranked best[2])
{
    const char *row;
    best[0] = best[1] = (ranked){ 0 };
    for (int k = 0; (row = few_compare_row(c, true, k)); k++) {
        const ranked r = { row, few_compare_spread_of(c, true, row, nfe) };
        if (!r.fd.n)
            continue;
        if (!best[0].row || r.fd.mean < best[0].fd.mean) {
            best[1] = best[0];
            best[0] = r;
        } else if (!best[1].row || r.fd.mean < best[1].fd.mean) {
            best[1] = r;
        }
    }
}

/* How often the ranges of a and b seeds of equal ways are apart: one in so many. */
static double by_chance(int a, int b)
{
    double ways = 1; /* (a + b)! / (a! b!) */
    for (int k = 1; k <= a; k++)
        ways *= (double)(b + k) / k;
    return ways / 2;
}

/* Whether seeds could have made the difference: where there are several of both, their ranges tell.
 */
static void fill_best(const few_compare *c, few_compare_table *t, const double *nfe)
{
    static const char *const head[] = { "evaluations", "best", "FD", "next", "FD", "ranges apart" };
    for (int k = 0; k < t->columns; k++)
        snprintf(cell_of(t, 0, k), FEW_COMPARE_TEXT, "%s", head[k]);
    t->rows = 0;
    for (int i = 0; nfe[i] > 0; i++) {
        ranked best[2];
        find_best(c, nfe[i], best);
        if (!best[1].row)
            continue;
        t->rows++;
        snprintf(cell_of(t, t->rows, 0), FEW_COMPARE_TEXT, "%.6g", nfe[i]);
        for (int k = 0; k < 2; k++) {
            snprintf(cell_of(t, t->rows, 1 + 2 * k), FEW_COMPARE_TEXT, "%.60s", best[k].row);
            spread_text(cell_of(t, t->rows, 2 + 2 * k), &best[k].fd);
        }
        char *told = cell_of(t, t->rows, 5);
        const few_compare_spread *a = &best[0].fd, *b = &best[1].fd;
        if (a->n < 2 || b->n < 2)
            snprintf(told, FEW_COMPARE_TEXT, "one seed");
        else if (a->high >= b->low)
            snprintf(told, FEW_COMPARE_TEXT, "no");
        else
            snprintf(told, FEW_COMPARE_TEXT, "yes (by chance: 1 in %.3g)", by_chance(a->n, b->n));
    }
}

few_status few_compare_table_make(const few_compare *c, few_compare_kind kind, few_compare_table *t,
                                  few_error *err)
{
    static const char *const captions[] = {
        [FEW_COMPARE_STUDENTS] = "FD of students; lower is better",
        [FEW_COMPARE_BEST] =
            "Which students are best, and whether the ranges of their seeds are apart",
        [FEW_COMPARE_SAMPLERS] = "FD of the teacher's samplers",
        [FEW_COMPARE_LIST] = "All of them",
    };
    const bool about_students = kind == FEW_COMPARE_STUDENTS || kind == FEW_COMPARE_BEST;
    double nfe[MAX_COLUMNS + 1] = { 0 };
    const int n = few_compare_evaluations(c, about_students, nfe, MAX_COLUMNS - 1);
    *t = (few_compare_table){ .caption = captions[kind] };
    const bool students = kind == FEW_COMPARE_STUDENTS;
    const bool across = students && count_rows(c, true) <= MOST_ACROSS;
    if (across) {
        t->columns = 1 + count_rows(c, true);
        t->rows = n + (best_of_teacher(c) != NULL);
    } else if (kind == FEW_COMPARE_BEST) {
        t->columns = 6;
        t->rows = n;
    } else if (kind != FEW_COMPARE_LIST) {
        t->columns = 1 + n;
        t->rows = count_rows(c, students);
    } else {
        t->columns = 3;
        t->rows = MAX_ROWS;
    }
    t->cell = few_calloc((size_t)((t->rows + 1) * t->columns), sizeof *t->cell);
    if (!t->cell)
        return few_fail(err, FEW_ENOMEM, "out of memory for a table");
    if (kind == FEW_COMPARE_LIST)
        fill_list(c, t);
    else if (kind == FEW_COMPARE_BEST)
        fill_best(c, t, nfe);
    else if (across && t->columns > 1)
        fill_students(c, t, nfe);
    else if (!across)
        fill_ways(c, students, t, nfe);
    if (kind != FEW_COMPARE_LIST && (!n || t->columns < 2))
        t->rows = 0;
    return FEW_OK;
}

void few_compare_table_free(few_compare_table *t)
{
    few_free(t->cell);
    t->cell = NULL;
}

static void print_table(const few_compare_table *t, few_strbuf *b)
{
    if (!t->rows)
        return;
    few_strbuf_addf(b, "%s:\n\n", t->caption);
    for (int r = 0; r <= t->rows; r++) {
        for (int k = 0; k < t->columns; k++)
            few_strbuf_addf(b, "%s %s", k ? " |" : "|", cell_of(t, r, k));
        few_strbuf_add(b, " |\n");
        for (int k = 0; r == 0 && k < t->columns; k++)
            few_strbuf_addf(b, "|---%s", k + 1 == t->columns ? "|\n" : "");
    }
    few_strbuf_add(b, "\n");
}

/* The strips in `cells`, each beside its name: the rows of compare.png. */
static few_status print_strips(const few_compare *c, few_strbuf *b, few_error *err)
{
    const few_cell **cells = few_malloc((size_t)c->n_cells * sizeof(const few_cell *));
    if (!cells)
        return few_fail(err, FEW_ENOMEM, "out of memory for a table");
    const int n = few_strips(c, cells);
    if (n)
        few_strbuf_add(b, "Images from the same noise, row by row as in compare.png:\n\n"
                          "| method | evaluations | images |\n|---|---|---|\n");
    for (int k = 0; k < n; k++)
        few_strbuf_addf(b, "| %s%s | %.6g | ![](cells/%s.png) |\n",
                        cells[k]->student ? "" : "teacher, ", few_cell_row(cells[k]), cells[k]->nfe,
                        cells[k]->name);
    few_strbuf_add(b, n ? "\n" : "");
    few_free(cells);
    return FEW_OK;
}

few_status few_compare_write_markdown(const few_compare *c, few_error *err)
{
    few_strbuf b;
    few_status st = FEW_OK;
    few_strbuf_init(&b);
    few_strbuf_addf(&b,
                    "FD-%s on %lld samples; students trained on %lld images each. Where there are "
                    "several seeds: mean (lowest-highest).\n\n",
                    few_features_data(c->features), (long long)c->recipe.samples,
                    (long long)c->recipe.images);
    for (int k = 0; k < FEW_COMPARE_KINDS && st == FEW_OK; k++) {
        few_compare_table t;
        st = few_compare_table_make(c, (few_compare_kind)k, &t, err);
        if (st == FEW_OK)
            print_table(&t, &b);
        few_compare_table_free(&t);
    }
    if (st == FEW_OK)
        st = print_strips(c, &b, err);
    few_strbuf_addf(&b, "Made by `fewstep compare %s`; teacher %s, features %s, test images %s.\n",
                    c->recipe_path, c->teacher.hash, few_features_hash(c->features),
                    few_pack_get_info(c->test)->hash);
    if (st == FEW_OK)
        st = save(c, "compare.md", &b, err);
    few_strbuf_free(&b);
    return st;
}
