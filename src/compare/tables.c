/* compare.tsv and compare.md. */
#include "base/alloc.h"
#include "base/file.h"
#include "compare/compare.h"

#include <math.h>
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
                       "images_per_second\tmodel\n");
    for (int k = 0; k < c->n_cells; k++) {
        const few_cell *cell = &c->cells[k];
        few_strbuf_addf(&b, "%s\t%s\t%d\t%d\t%d\t", cell->name, few_cell_row(cell), cell->made_for,
                        cell->steps, cell->seed);
        if (cell->done)
            few_strbuf_addf(&b, "done\t%.6g\t%.6g\t%.6g\t%.4g\t%s\n", cell->fd, cell->floor,
                            cell->nfe, cell->images_per_second, cell->model);
        else
            few_strbuf_add(&b, "to do\t\t\t\t\t\n");
    }
    const few_status st = save(c, "compare.tsv", &b, err);
    few_strbuf_free(&b);
    return st;
}

/* A row for each method, a column for each number of evaluations. */
static void add_table(const few_compare *c, bool students, few_strbuf *b)
{
    double nfe[32];
    const int columns = few_compare_evaluations(c, students, nfe, 32);
    const char *row;
    if (!columns)
        return;
    few_strbuf_add(b, students ? "| student, evaluations |" : "| sampler, evaluations |");
    for (int k = 0; k < columns; k++)
        few_strbuf_addf(b, " %.6g |", nfe[k]);
    few_strbuf_add(b, "\n|---|");
    for (int k = 0; k < columns; k++)
        few_strbuf_add(b, "---|");
    for (int r = 0; (row = few_compare_row(c, students, r)); r++) {
        few_strbuf_addf(b, "\n| %s |", row);
        for (int k = 0; k < columns; k++) {
            const few_compare_spread s = few_compare_spread_of(c, students, row, nfe[k]);
            if (s.n == 1)
                few_strbuf_addf(b, " %.4f |", s.mean);
            else if (s.n)
                few_strbuf_addf(b, " %.4f (%.4f-%.4f) |", s.mean, s.low, s.high);
            else
                few_strbuf_add(b, " |");
        }
    }
    few_strbuf_add(b, "\n\n");
}

few_status few_compare_write_markdown(const few_compare *c, few_error *err)
{
    few_strbuf b;
    few_strbuf_init(&b);
    few_strbuf_addf(&b,
                    "FD-%s on %lld samples; students trained on %lld images each. Where there are "
                    "several seeds: mean (lowest-highest).\n\n",
                    few_features_data(c->features), (long long)c->recipe.samples,
                    (long long)c->recipe.images);
    add_table(c, true, &b);
    add_table(c, false, &b);
    few_strbuf_addf(&b, "Made by `fewstep compare %s`; teacher %s, features %s, test images %s.\n",
                    c->recipe_path, c->teacher.hash, few_features_hash(c->features),
                    few_pack_get_info(c->test)->hash);
    const few_status st = save(c, "compare.md", &b, err);
    few_strbuf_free(&b);
    return st;
}
