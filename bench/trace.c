#include "trace.h"

#include "base/alloc.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 8 };

/* Cut a line at its tabs. */
static bool split(char *line, char *column[COLUMNS])
{
    for (int k = 0; k < COLUMNS; k++) {
        column[k] = line;
        line = line ? strchr(line, '\t') : NULL;
        if (line)
            *line++ = 0;
    }
    return column[COLUMNS - 1] != NULL;
}

static bool begin_plan(few_trace *t, const char *line)
{
    char type[8], weights[16];
    long long slices, slice;
    *t = (few_trace){ 0 };
    if (sscanf(line, "# slices %lld, images in each %lld, %7[^,], arena %zu bytes, weights %15s",
               &slices, &slice, type, &t->arena, weights) != 5)
        return false;
    t->slices = slices;
    t->slice = slice;
    t->bf16 = !strcmp(type, "bf16");
    t->trained = !strcmp(weights, "trained");
    return true;
}

static few_status parse(char *text, few_trace *plans, int n, int lines, few_error *err)
{
    few_trace *t = NULL;
    char *column[COLUMNS], *next;
    for (char *line = text; line && *line; line = next) {
        if ((next = strchr(line, '\n')))
            *next++ = 0;
        if (*line == '#') {
            t = t ? t + 1 : plans;
            if (t >= plans + n || !begin_plan(t, line))
                return few_fail(err, FEW_EFORMAT, "not a trace: '%.60s'", line);
            if (!(t->v = few_calloc((size_t)lines, sizeof *t->v)))
                return few_fail(err, FEW_ENOMEM, "out of memory for a trace");
        } else if (!t || !split(line, column)) {
            return few_fail(err, FEW_EFORMAT, "not a trace: '%.60s'", line);
        } else if (strcmp(column[0], "op") != 0) {
            t->v[t->n++] = (few_trace_row){ .op = column[0],
                                            .label = column[1],
                                            .shapes = column[2],
                                            .nodes = 1,
                                            .seconds = 1e-6 * atof(column[3]),
                                            .flops = atof(column[4]),
                                            .bytes = atof(column[5]) };
        }
    }
    return FEW_OK;
}

few_status few_traces_read(const char *path, few_trace **plans, int *n, few_error *err)
{
    few_map m;
    int lines = 0;
    *n = 0;
    *plans = NULL;
    FEW_TRY(few_map_open(&m, path, err));
    for (size_t i = 0; i < m.n; i++) {
        lines += m.data[i] == '\n';
        *n += m.data[i] == '#' && (i == 0 || m.data[i - 1] == '\n');
    }
    few_trace *all = few_calloc((size_t)*n + 1, sizeof *all);
    char *text = few_malloc(m.n + 1);
    few_status st = all && text ? FEW_OK : few_fail(err, FEW_ENOMEM, "out of memory for a trace");
    if (st == FEW_OK) {
        memcpy(text, m.data, m.n);
        text[m.n] = 0;
        st = parse(text, all, *n, lines, err);
    }
    few_map_close(&m);
    if (st != FEW_OK || *n == 0) {
        few_free(text);
        few_traces_free(all, all ? *n : 0);
        *n = 0;
        return st;
    }
    all[0].text = text;
    *plans = all;
    return FEW_OK;
}

void few_traces_free(few_trace *plans, int n)
{
    for (int k = 0; k < n; k++) {
        few_free(plans[k].v);
        few_free(plans[k].text);
    }
    few_free(plans);
}

void few_trace_hold(few_trace *t, const few_roof *roof, int threads)
{
    const double memory = (t->arena <= roof->l2_bytes ? roof->l2 : roof->l3) / threads;
    for (int k = 0; k < t->n; k++) {
        few_trace_row *r = &t->v[k];
        const bool product =
            strstr(r->op, "conv") || strstr(r->op, "linear") || strstr(r->op, "attention");
        const double rate = (product && t->bf16 ? roof->bf16 : roof->f32) / threads;
        const double a = r->flops / rate, b = r->bytes / memory;
        r->roof = a > b ? a : b;
    }
}

static void add(few_trace_row *to, const few_trace_row *r)
{
    to->nodes += r->nodes;
    to->seconds += r->seconds;
    to->flops += r->flops;
    to->bytes += r->bytes;
    to->roof += r->roof;
}

static int by_time(const void *a, const void *b)
{
    const double x = ((const few_trace_row *)a)->seconds, y = ((const few_trace_row *)b)->seconds;
    return (x < y) - (x > y);
}

void few_trace_group(few_trace *t, bool by_shapes)
{
    int n = 0;
    for (int k = 0; k < t->n; k++) {
        int j = 0;
        while (j < n && (strcmp(t->v[j].op, t->v[k].op) != 0 ||
                         (by_shapes && strcmp(t->v[j].shapes, t->v[k].shapes) != 0)))
            j++;
        if (j < n) {
            add(&t->v[j], &t->v[k]);
        } else {
            t->v[n] = t->v[k];
            t->v[n].label = "";
            if (!by_shapes)
                t->v[n].shapes = "";
            n++;
        }
    }
    t->n = n;
    qsort(t->v, (size_t)n, sizeof *t->v, by_time);
}

few_trace_row few_trace_sum(const few_trace *t)
{
    few_trace_row all = { .op = "all", .label = "", .shapes = "" };
    for (int k = 0; k < t->n; k++)
        add(&all, &t->v[k]);
    return all;
}
