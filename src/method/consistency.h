/* Consistency models, what cd.c, ct.c, ict.c and ect.c share: two noise levels of the same image
 * and noise, and a distance between what the network says of both. Noise levels are noise per
 * signal, sigma/alpha: EDM's sigma, whatever the schedule. */
#ifndef FEW_METHOD_CONSISTENCY_H
#define FEW_METHOD_CONSISTENCY_H

#include "method/method.h"

typedef struct few_cm_options {
    double sigma_min, sigma_max, rho; /* the grid of arXiv:2206.00364, equation 5 */
    char *distance;                   /* l2sq, rms, norm, elem */
    double huber;                     /* epsilon of the distance; 0: 0.00054 sqrt(d), of iCT */
} few_cm_options;

/* How a target comes about. */
typedef struct few_cm_target {
    int set; /* the network at the lower level: live or target */
    enum { FEW_CM_DATA, FEW_CM_EULER, FEW_CM_HEUN } step; /* how its z is found */
} few_cm_target;

extern const char *const few_cm_scalars[];

/* The describe of methods whose options begin with few_cm_options: a student with a boundary. */
few_status few_cm_describe(const void *options, few_spec *spec, few_error *err);
/* Level i of n, ascending: sigma_min at 0, sigma_max at n - 1. */
double few_cm_level(const few_cm_options *o, int i, int n);
few_val few_cm_build(few_method_ctx *c, const few_cm_options *o, few_cm_target target);
/* The scalars for levels t > r >= 0; r = 0: the target is the image itself. */
void few_cm_fill(const few_method_ctx *c, double t, double r, double weight, double *value);
/* Refuses students of more than one step, predictions that have no boundary where boundary is
 * wanted, and levels the schedule does not have. */
few_status few_cm_check(const few_method_ctx *c, const few_cm_options *o, bool boundary,
                        few_error *err);

#define FEW_CM_ROW(type, key, kind, field, fallback, min, max, help, choices)                      \
    {                                                                                              \
        key, kind, offsetof(type, field), fallback, min, max, help, choices                        \
    }
/* Rows of an option table; `type` has a few_cm_options named cm. */
#define FEW_CM_OPTIONS(type, distance_by_default, huber_by_default)                                \
    FEW_CM_ROW(type, "sigma_min", FEW_OPT_DOUBLE, cm.sigma_min, "0.002", 1e-6, 1,                  \
               "least noise per signal", NULL),                                                    \
        FEW_CM_ROW(type, "sigma_max", FEW_OPT_DOUBLE, cm.sigma_max, "80", 1, 1e6,                  \
                   "most noise per signal, where sampling starts", NULL),                          \
        FEW_CM_ROW(type, "rho", FEW_OPT_DOUBLE, cm.rho, "7", 1, 100,                               \
                   "exponent of the grid of noise levels (ect has none)", NULL),                   \
        FEW_CM_ROW(type, "distance", FEW_OPT_CHOICE, cm.distance, distance_by_default, 0, 0,       \
                   "distance between target and prediction", "l2sq|rms|norm|elem"),                \
        FEW_CM_ROW(type, "huber", FEW_OPT_DOUBLE, cm.huber, huber_by_default, 0, 1e3,              \
                   "epsilon of the distance; 0: 0.00054 sqrt(d), d numbers of an image", NULL)

#endif
