/* addim: DDIM with its noise scaled up to make good for the variance it loses (arXiv:2403.06807,
 * section 3.2): z_s = alpha_s x_hat + k eps_hat, k = sqrt(sigma_s^2 + D^2 x_var / mean(eps_hat^2)).
 * At sampling x is unknown: x_var is the analytic one, x_frac / (2 + SNR), or eta times the error
 * that was measured by time and is kept with the checkpoint (eval/x_error.h). */
#include "diffusion/step.h"
#include "sampler/grid.h"

#include <stdlib.h>
#include <string.h>

struct options {
    few_grid grid;
    char *x_var;
    double x_frac, eta;
    char *last;
};

#define ETA "0.75"
#define X_FRAC "0.1"

static const few_option table[] = {
    { "x_var", FEW_OPT_CHOICE, offsetof(struct options, x_var), "analytic", 0, 0,
      "variance of x: a formula, or measured (fewstep eval xvar)", "analytic|table" },
    { "eta", FEW_OPT_DOUBLE, offsetof(struct options, eta), ETA, 0, 1,
      "part of the measured variance that is used", NULL },
    { "x_frac", FEW_OPT_DOUBLE, offsetof(struct options, x_frac), X_FRAC, 0, 1,
      "analytic: x_var = x_frac / (2 + SNR)", NULL },
    { "last", FEW_OPT_CHOICE, offsetof(struct options, last), "full", 0, 0,
      "the last step: as printed, or x_hat alone", "full|x_hat" },
    FEW_GRID_OPTIONS(struct options, "time"),
    { .name = NULL },
};

static few_status check(const few_spec *spec, const void *options, int steps, few_strbuf *warning,
                        few_error *err)
{
    const struct options *o = options;
    FEW_TRY(few_path_check(spec, options, steps, warning, err));
    const bool measured = !strcmp(o->x_var, "table");
    if (measured && !spec->x_error.n)
        return few_fail(err, FEW_EUNSUPPORTED,
                        "x_var=table: this checkpoint has no table; make a copy that has one with "
                        "'fewstep eval xvar RUN_OR_FILE -o FILE'");
    if (measured ? o->x_frac != strtod(X_FRAC, NULL) : o->eta != strtod(ETA, NULL))
        return few_fail(err, FEW_EINVAL, "%s is of x_var=%s, this is x_var=%s",
                        measured ? "x_frac" : "eta", measured ? "analytic" : "table", o->x_var);
    return FEW_OK;
}

static void step(const few_spec *spec, const void *options, int k, int n, few_sampler_step *out)
{
    const struct options *o = options;
    const few_point t = few_grid_point(&o->grid, spec, k, n),
                    s = few_grid_point(&o->grid, spec, k + 1, n);
    const double D = few_ddim(t.phi, s.phi).D;
    const double x_var =
        !strcmp(o->x_var, "table")
            ? few_x_var_measured(o->eta, few_x_var_table(spec->x_error.v, spec->x_error.n, t.t))
            : few_x_var_analytic(t.alpha, t.sigma) * (o->x_frac / 0.1);
    out->t = t.t;
    out->s = s.t;
    out->x = s.alpha;
    out->k0 = s.sigma * s.sigma;
    out->k1 = D * D * x_var;
    if (k == n - 1 && !strcmp(o->last, "x_hat")) {
        out->x = 1;
        out->k0 = out->k1 = 0;
    }
}

const few_sampler few_sampler_addim = {
    .name = "addim",
    .help = "ddim that keeps the noise's expected norm; for diffusion models",
    .paper = "arXiv:2403.06807",
    .options = table,
    .options_size = sizeof(struct options),
    .order = 1,
    .default_steps = 128,
    .check = check,
    .step = step,
};
