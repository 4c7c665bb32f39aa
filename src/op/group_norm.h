/* What group_norm and its gradient share; see few_group_norm in ops.h. */
#ifndef FEW_OP_GROUP_NORM_H
#define FEW_OP_GROUP_NORM_H

#include "op/op_util.h"

enum { FEW_GN_X, FEW_GN_GAMMA, FEW_GN_BETA, FEW_GN_ADD, FEW_GN_SS, FEW_GN_STATS, FEW_GN_DY };

/* Check x, gamma, beta, add and ss, and the attributes. */
few_status few_gn_infer(few_infer *c);

/* One element in double: u, and h before SiLU, from the normalised value. */
typedef struct few_gn_at {
    int64_t n, c, channels, groups, group;
    double gamma, beta, add, scale, shift;
} few_gn_at;
few_gn_at few_gn_locate(const few_ref_call *c, int64_t i);

#endif
