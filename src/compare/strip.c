#include "compare/strip.h"

#include "base/alloc.h"
#include "base/file.h"
#include "image/image.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { STRIP = 16 };

/* Of several seeds the first is shown. */
static bool is_shown(const few_compare *c, const few_cell *cell)
{
    return cell->sampler || cell->seed == c->recipe.seeds.v[0];
}

char *few_strip_path(const few_compare *c, const few_cell *cell)
{
    char path[FEW_CELL_NAME + 16];
    snprintf(path, sizeof path, "cells/%s.png", cell->name);
    return few_path_join(c->folder, path);
}

static bool is_there(const few_compare *c, const few_cell *cell)
{
    char *path = few_strip_path(c, cell);
    const bool there = path && cell->done && is_shown(c, cell) && access(path, R_OK) == 0;
    few_free(path);
    return there;
}

int few_strips(const few_compare *c, const few_cell **cells)
{
    int n = 0;
    const char *row;
    for (int students = 1; students >= 0; students--)
        for (int r = 0; (row = few_compare_row(c, students, r)); r++) {
            const int first = n;
            for (int k = 0; k < c->n_cells; k++) {
                const few_cell *cell = &c->cells[k];
                if ((cell->student != NULL) != students || strcmp(few_cell_row(cell), row) != 0 ||
                    !is_there(c, cell))
                    continue;
                int at = n++;
                for (; at > first && cells[at - 1]->nfe > cell->nfe; at--)
                    cells[at] = cells[at - 1];
                cells[at] = cell;
            }
        }
    return n;
}

static int on_evaluation(void *watch, int64_t done, int64_t total)
{
    const few_compare_watch *w = watch;
    (void)done;
    (void)total;
    return w->stop(w->user);
}

/* images [STRIP,h,w,c] */
static few_status draw_images(const few_compare *c, const few_net *net, const few_draw *draw,
                              float *images, few_error *err)
{
    const few_drawer_options o = { .workers = c->threads,
                                   .images = STRIP,
                                   .needs = few_sampler_needs(draw->sampler, draw->options) };
    few_draw watched = *draw;
    watched.progress = on_evaluation;
    watched.user = (void *)(uintptr_t)c->watch;
    few_drawer *d = NULL;
    FEW_TRY(few_drawer_create(&net->spec, net->master, &o, &d, err));
    const few_status st = few_drawer_draw(d, &watched, STRIP, images, err);
    few_drawer_free(d);
    return st;
}

few_status few_strip_make(const few_compare *c, const few_cell *cell, const few_net *net,
                          const few_draw *draw, few_error *err)
{
    const few_spec *s = &net->spec;
    if (!is_shown(c, cell))
        return FEW_OK;
    float *images =
        few_malloc((size_t)(STRIP * s->height * s->width * s->channels) * sizeof *images);
    char *path = few_strip_path(c, cell);
    few_status st = images && path ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory for images");
    if (st == FEW_OK)
        st = draw_images(c, net, draw, images, err);
    if (st == FEW_OK)
        st = few_sheet_save_f32(path, images, STRIP, (int)s->height, (int)s->width,
                                (int)s->channels, STRIP, err);
    few_free(path);
    few_free(images);
    return st;
}
