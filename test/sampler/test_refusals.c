/* What samplers refuse: grids, checkpoints, and where a chain may be cut. */
#include "sampler/cases.h"

#include "sampler/grid.h"

#include <math.h>

/* ---- refusals -------------------------------------------------------------------------------*/

static void wrong_grids(void **state)
{
    (void)state;
    static const struct {
        const char *sampler, *setting;
        int steps;
        const char *part; /* NULL: allowed */
    } rows[] = {
        { "ddim", "grid=list times=1,0.5", 2, NULL },
        { "ddim", "grid=list times=1,0.5", 3, "2 times for 3 steps" },
        { "ddim", "grid=list", 2, "0 times for 2 steps" },
        { "heun", "grid=list times=1,0.5,0.5", 3, "not falling" },
        { "ddim", "grid=list times=0.5,0", 2, "not falling" },
        { "euler", "sigma_max=1e6", 4, "inside the schedule" },
        { "euler", "sigma_min=1e-7", 4, "inside the schedule" },
        { "euler", "sigma_min=80", 4, "not falling" },
        { "euler", "sigma_max=1e6 grid=time", 4, "of grid=karras, this is grid=time" },
        { "ddim", "rho=5", 4, "of grid=karras" },
        { "ddim", "sigma_min=0.02 grid=log_snr", 4, "of grid=karras" },
        { "ddim", "times=1,0.5", 2, "of grid=list" },
        { "heun", "times=1,0.5", 2, "of grid=list, this is grid=karras" },
        { "addim", "eta=0.5", 4, "of x_var=table" },
        { "dpmpp_2m", "grid=log_snr", 1, NULL },
        { "pc", "", 100000, NULL },
        { "pc", "", 100001, "100001" },
    };
    few_net n;
    make(&n, point, "15");
    few_strbuf said;
    few_strbuf_init(&said);
    for (size_t k = 0; k < FEW_COUNT(rows); k++) {
        few_error err = { 0 };
        chain c = { .spec = &n.spec };
        chain_open(&c, rows[k].sampler, rows[k].setting);
        expect(c.sampler->check(&n.spec, c.options, rows[k].steps, &said, &err),
               rows[k].part ? FEW_EINVAL : FEW_OK, &err, rows[k].part ? rows[k].part : "");
        chain_close(&c);
    }
    few_strbuf_free(&said);
    few_net_free(&n);
}

/* Where hardly any signal is left the preserving form is warned of, not refused. */
static void large_steps_are_warned_of(void **state)
{
    (void)state;
    static const struct {
        const char *setting;
        bool warned;
    } rows[] = {
        { "form=vp", false },
        { "form=vp grid=time", true },
        { "form=vp grid=log_snr", true },
        { "form=vp grid=list times=0.9,0.5,0.2,0.1", false },
        { "form=ve grid=time", false },
    };
    few_net n;
    make(&n, point, "15");
    for (size_t k = 0; k < FEW_COUNT(rows); k++) {
        few_error err = { 0 };
        few_strbuf said;
        chain c = { .spec = &n.spec };
        few_strbuf_init(&said);
        chain_open(&c, "sde", rows[k].setting);
        expect(c.sampler->check(&n.spec, c.options, 4, &said, &err), FEW_OK, &err, "");
        assert_int_equal(said.n && strstr(said.s, "grid=karras"), rows[k].warned);
        few_strbuf_free(&said);
        chain_close(&c);
    }
    few_net_free(&n);
}

static void a_table_is_needed(void **state)
{
    (void)state;
    few_net n;
    few_error err = { 0 };
    few_strbuf said;
    make(&n, point, "15");
    few_strbuf_init(&said);
    chain c = { .spec = &n.spec };
    const few_doubles own = n.spec.x_error;
    n.spec.x_error = (few_doubles){ 0 };
    chain_open(&c, "addim", "x_var=table");
    expect(c.sampler->check(&n.spec, c.options, 4, &said, &err), FEW_EUNSUPPORTED, &err,
           "eval xvar");
    n.spec.x_error = own;
    expect(c.sampler->check(&n.spec, c.options, 4, &said, &err), FEW_OK, &err, "");
    chain_close(&c);
    few_strbuf_free(&said);
    few_net_free(&n);
}

static void students_are_for_their_samplers(void **state)
{
    (void)state;
    few_net n;
    few_strbuf said;
    make(&n, point, "15");
    few_strbuf_init(&said);
    for (int steps = 0; steps < 3; steps++)
        for (int j = 0; j < few_n_samplers; j++) {
            few_error err = { 0 };
            chain c = { .spec = &n.spec };
            n.spec.steps = steps;
            chain_open(&c, few_samplers[j]->name, "");
            const bool fits = c.sampler->order > 0                  ? steps == 0
                              : c.sampler == &few_sampler_multistep ? steps > 0
                                                                    : steps == 1;
            expect(c.sampler->check(&n.spec, c.options, 2, &said, &err),
                   fits ? FEW_OK : FEW_EUNSUPPORTED, &err, fits ? "" : "use");
            chain_close(&c);
        }
    few_strbuf_free(&said);
    few_net_free(&n);
}

/* What a student is told by samplers that are not for it. */
static void the_way_out_is_named(void **state)
{
    (void)state;
    static const struct {
        int steps;
        double sigma_max;
        const char *use;
    } rows[] = {
        { 4, 0, "start of its segment, not along the path; use sampler 'multistep' with 4 steps" },
        { 1, 0, "the data, not along the path; use sampler 'multistep' with 1 step" },
        { 1, 80, "the data, not along the path; use sampler 'renoise' with 1 step" },
    };
    few_net n;
    few_strbuf said;
    make(&n, point, "15");
    few_strbuf_init(&said);
    for (size_t k = 0; k < FEW_COUNT(rows); k++)
        for (int j = 0; j < few_n_samplers; j++) {
            few_error err = { 0 };
            chain c = { .spec = &n.spec };
            n.spec.steps = rows[k].steps;
            n.spec.sigma_max = rows[k].sigma_max;
            chain_open(&c, few_samplers[j]->name, "");
            if (c.sampler->order > 0)
                expect(c.sampler->check(&n.spec, c.options, 8, &said, &err), FEW_EUNSUPPORTED, &err,
                       rows[k].use);
            if (c.sampler == few_sampler_default(&n.spec)) /* and it does help */
                expect(c.sampler->check(&n.spec, c.options, n.spec.steps, &said, &err), FEW_OK,
                       &err, "");
            chain_close(&c);
        }
    few_strbuf_free(&said);
    few_net_free(&n);
}

/* No more noise than a consistency model was trained for, nor less. */
static void consistency_models_know_their_noise(void **state)
{
    (void)state;
    static const struct {
        const char *setting;
        int steps;
        const char *part; /* NULL: allowed */
    } rows[] = {
        { "", 1, NULL },
        { "", 400, NULL },
        { "", 4000, "0.002 is its least" },
        { "grid=log_snr", 5000, NULL },
        { "grid=karras", 4, NULL },
        { "grid=karras sigma_max=50", 4, NULL },
        { "grid=karras sigma_max=40", 4, NULL },
        { "grid=karras sigma_max=51", 4, "noise 51 per signal" },
        { "grid=karras sigma_max=80", 1, "trained up to t = 0.98" },
        { "grid=karras sigma_min=0.001", 4, "0.002 is its least" },
        { "grid=list times=1", 1, "begins at t = 1" },
        { "grid=list times=1,0.5", 2, "begins at t = 1" },
        { "grid=list times=0.98,0.5", 2, NULL },
        { "grid=list times=0.98,0.0005", 2, "0.002 is its least" },
    };
    few_net n;
    make(&n, point, "15");
    n.spec.steps = 1;
    n.spec.sigma_max = 50;
    n.spec.prediction.sigma_min = 0.002;
    for (size_t k = 0; k < FEW_COUNT(rows); k++) {
        few_error err = { 0 };
        chain c = { .spec = &n.spec };
        chain_open(&c, "renoise", rows[k].setting);
        expect(c.sampler->check(&n.spec, c.options, rows[k].steps, NULL, &err),
               rows[k].part ? FEW_EINVAL : FEW_OK, &err, rows[k].part ? rows[k].part : "");
        chain_close(&c);
    }
    few_net_free(&n);
}

/* Karras's grid of 18 levels, as cd learns them, is 17 steps: at the least level there is nothing
 * to do. With another end, or of a diffusion model, the last level is a step. */
static void consistency_models_stop_before_their_least(void **state)
{
    (void)state;
    few_net n;
    make(&n, point, "15");
    n.spec.steps = 1;
    n.spec.sigma_max = 80;
    for (int least = 0; least < 2; least++)
        for (int k = 0; k <= 17; k++) {
            few_grid g = { .name = (char *)"karras", .rho = 7, .sigma_min = 0.002 };
            n.spec.prediction.sigma_min = least ? 0.002 : 0;
            const double root = pow(80, 1 / 7.0), step = (pow(0.002, 1 / 7.0) - root) / 17;
            const double noise = pow(root + k * step, 7), want = k == 17 && least ? 0 : noise;
            const few_point p = few_grid_point(&g, &n.spec, k, least ? 17 : 18);
            if (want > 0)
                assert_true(fabs(p.noise / want - 1) < 1e-6);
            else
                assert_true(p.t == 0);
        }
    few_net_free(&n);
}

/* Students that were taught at few times, or at one. */
static void some_students_have_no_other_times(void **state)
{
    (void)state;
    static struct {
        char kind[8];
        const few_network *network;
        int made_for;
        const char *sampler;
        int steps;
        const char *part; /* NULL: allowed */
    } rows[] = {
        { "dsno", &few_network_dfno, 1, "multistep", 1, NULL },
        { "dsno", &few_network_dfno, 1, "renoise", 1, NULL },
        { "dsno", &few_network_dfno, 1, "multistep", 2, "one evaluation" },
        { "dsno", &few_network_dfno, 1, "renoise", 4, "one evaluation" },
        { "pd", NULL, 1, "multistep", 1, NULL },
        { "pd", NULL, 1, "renoise", 1, NULL },
        { "pd", NULL, 1, "multistep", 2, "at the time of 1 step alone" },
        { "pd", NULL, 1, "renoise", 2, "at the time of 1 step alone" },
        { "pd", NULL, 4, "multistep", 4, NULL },
        { "pd", NULL, 4, "multistep", 2, NULL },
        { "pd", NULL, 4, "multistep", 8, "at the times of 4 steps alone" },
        { "mcd", NULL, 1, "multistep", 4, NULL },
        { "mcd", NULL, 1, "renoise", 4, NULL },
        { "tract", NULL, 1, "renoise", 4, NULL },
    };
    few_net n;
    few_strbuf said;
    make(&n, point, "15");
    few_strbuf_init(&said);
    char *const kind = n.spec.kind;
    const few_network *const network = n.spec.network;
    for (size_t k = 0; k < FEW_COUNT(rows); k++) {
        few_error err = { 0 };
        chain c = { .spec = &n.spec };
        n.spec.kind = rows[k].kind;
        n.spec.network = rows[k].network ? rows[k].network : network;
        n.spec.steps = rows[k].made_for;
        chain_open(&c, rows[k].sampler, "");
        expect(c.sampler->check(&n.spec, c.options, rows[k].steps, &said, &err),
               rows[k].part ? FEW_EUNSUPPORTED : FEW_OK, &err, rows[k].part ? rows[k].part : "");
        chain_close(&c);
    }
    n.spec.kind = kind;
    n.spec.network = network;
    few_strbuf_free(&said);
    few_net_free(&n);
}

/* A chain may be cut between steps, but not where a sampler looks back. */
static void parts(void **state)
{
    (void)state;
    few_net n;
    few_error err = { 0 };
    int begin, end;
    make(&n, point, "15");
    chain c = { .spec = &n.spec };
    chain_open(&c, "heun", "grid=time");
    expect(few_sampler_part(c.sampler, &n.spec, c.options, 4, 0.75, 0.25, &begin, &end, &err),
           FEW_OK, &err, "");
    assert_int_equal(begin, 2);
    assert_int_equal(end, 6);
    expect(few_sampler_part(c.sampler, &n.spec, c.options, 4, 0.25, 0, &begin, &end, &err), FEW_OK,
           &err, "");
    assert_int_equal(begin, 6);
    assert_int_equal(end, 7);
    chain_close(&c);
    chain_open(&c, "dpmpp_2s", "grid=time middle=time");
    expect(few_sampler_part(c.sampler, &n.spec, c.options, 2, 1, 0.75, &begin, &end, &err),
           FEW_EINVAL, &err, "does not stop");
    chain_close(&c);
    chain_open(&c, "dpmpp_2m", "grid=time");
    expect(few_sampler_part(c.sampler, &n.spec, c.options, 4, 1, 0.25, &begin, &end, &err), FEW_OK,
           &err, "");
    assert_int_equal(end, 3);
    expect(few_sampler_part(c.sampler, &n.spec, c.options, 4, 0.5, 0, &begin, &end, &err),
           FEW_EINVAL, &err, "remembers");
    chain_close(&c);
    few_net_free(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_grids),
        cmocka_unit_test(large_steps_are_warned_of),
        cmocka_unit_test(a_table_is_needed),
        cmocka_unit_test(students_are_for_their_samplers),
        cmocka_unit_test(the_way_out_is_named),
        cmocka_unit_test(consistency_models_know_their_noise),
        cmocka_unit_test(consistency_models_stop_before_their_least),
        cmocka_unit_test(some_students_have_no_other_times),
        cmocka_unit_test(parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
