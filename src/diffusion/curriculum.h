/* How many teacher steps the whole path has at step i of a run (arXiv:2403.06807, A.1):
 * N(i) = exp(log n0 + clip(i / steps, 0, 1) (log n1 - log n0)), or always n1. The paper's
 * 64 -> 1280 over 100,000 of 200,000 steps is the default, scaled to the run. */
#ifndef FEW_DIFFUSION_CURRICULUM_H
#define FEW_DIFFUSION_CURRICULUM_H

#include <stdbool.h>

typedef struct few_curriculum {
    bool annealed;
    double n0, n1;
    double steps; /* over which N grows */
} few_curriculum;

double few_curriculum_n_teacher(const few_curriculum *c, double i);
/* Teacher steps of one of S segments: max(1, floor(N/S + 0.5)). */
int few_curriculum_n_seg(double n_teacher, int S);

#endif
