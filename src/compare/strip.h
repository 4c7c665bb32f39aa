/* Strips: the first images of a cell, which all cells draw from the same noise, in a row. */
#ifndef FEW_COMPARE_STRIP_H
#define FEW_COMPARE_STRIP_H

#include "compare/compare.h"

/* Draw the cell's strip with its network and write it; for a student of other than the first seed
 * nothing. Fails: FEW_EIO, FEW_ENOMEM, as drawing. */
few_status few_strip_make(const few_compare *c, const few_cell *cell, const few_net *net,
                          const few_draw *draw, few_error *err);

/* cells/NAME.png in the comparison's folder; NULL: no memory. The caller frees it. */
char *few_strip_path(const few_compare *c, const few_cell *cell);

/* The cells that are done and have a strip: row by row as in the tables, students first, each by
 * its evaluations. To cells[c->n_cells]; how many there are. */
int few_strips(const few_compare *c, const few_cell **cells);

#endif
