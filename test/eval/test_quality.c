/* The quality report: a table of made-up evaluations, to the letter. */
#include "eval/quality.h"
#include "train/nets.h"

#include "base/file.h"
#include "image/image.h"

enum { SIDE = 8, IMAGES = 6 };

static few_pack *make_pack(void)
{
    few_error err = { 0 };
    few_pack_writer *w = NULL;
    few_pack *p = NULL;
    const char *path = temp_path("test.few");
    const few_pack_plan plan = { SIDE, SIDE, 1, 2, NULL, "made up", 0, NULL };
    assert_int_equal(few_pack_writer_open(&w, path, &plan, &err), FEW_OK);
    for (int i = 0; i < IMAGES; i++) {
        uint8_t px[SIDE * SIDE];
        memset(px, 40 * i, sizeof px);
        assert_int_equal(few_pack_writer_add(w, px, i % 2, &err), FEW_OK);
    }
    assert_int_equal(few_pack_writer_commit(w, &err), FEW_OK);
    assert_int_equal(few_pack_open(&p, path, &err), FEW_OK);
    return p;
}

static void make_model(few_net *n, const char *method, int steps)
{
    few_config c;
    load_defaults(&c, method);
    tiny_unet(&c);
    make_net(n, &c, (few_net_shape){ SIDE, SIDE, 1, 2 }, 3);
    n->spec.steps = steps;
    few_config_clear(&c);
}

static void has(const char *page, const char *text)
{
    if (!strstr(page, text))
        fail_msg("no '%s' in the report", text);
}

static void rows_of_a_table(void **state)
{
    (void)state;
    few_net teacher, student;
    few_error err = { 0 };
    few_pack *test = make_pack();
    few_map m;
    few_strbuf page;
    char *path = few_strdup(temp_path("report.html"));
    make_model(&teacher, "diffusion", 0);
    make_model(&student, "mcd", 1);
    const few_evaluation measured = { .fd = 2,
                                      .floor = 0.125,
                                      .samples = 500,
                                      .reference = 400,
                                      .train = 300,
                                      .nfe = 3,
                                      .images_per_second = 12.5,
                                      .reference_hash = "pack",
                                      .features_hash = "network" };
    few_quality_row rows[2] = {
        { .net = &teacher, .draw = { .steps = 2, .seed = 9 }, .result = measured },
        { .net = &student, .draw = { .steps = 1, .seed = 9 }, .result = measured },
    };
    void *options;
    rows[0].draw.sampler = few_sampler_find("ddim", &err);
    rows[1].draw.sampler = few_sampler_find("multistep", &err);
    assert_int_equal(few_sampler_options_make(rows[0].draw.sampler, &options, &err), FEW_OK);
    rows[0].draw.options = options;
    rows[1].result.fd = 5;
    rows[1].result.nfe = 1;
    rows[1].result.images_per_second = 1000;
    expect(few_quality_report(path, "Made up", "fewstep eval", rows, 2, test, FEW_PRECISION_F32, 1,
                              NULL, NULL, &err),
           FEW_OK, &err, "");
    assert_int_equal(few_map_open(&m, path, &err), FEW_OK);
    few_strbuf_init(&page);
    few_strbuf_addf(&page, "%.*s", (int)m.n, (const char *)m.data);
    few_map_close(&m);
    has(page.s, "500 samples and of 400 test images");
    has(page.s, "The floor, 0.1250, is the distance of 300 training images, of the same classes,");
    has(page.s, "Test set pack, features network, seed 9.");
    has(page.s,
        "<tr><td>teacher</td><td>ddim, 2</td><td class=\"n\">3</td>"
        "<td class=\"n\">2.0000</td><td class=\"n\">1.00</td><td class=\"n\">12.5</td></tr>\n"
        "<tr><td>mcd, 1 step</td><td>multistep, 1</td><td class=\"n\">1</td>"
        "<td class=\"n\">5.0000</td><td class=\"n\">2.50</td><td class=\"n\">1000.0</td></tr>");
    has(page.s, "teacher: ddim in 2 steps, FD 2.0000");
    has(page.s, "mcd, 1 step: multistep in 1 step, FD 5.0000");
    few_strbuf_free(&page);
    few_sampler_options_free(rows[0].draw.sampler, options);
    few_free(path);
    few_net_free(&teacher);
    few_net_free(&student);
    few_pack_close(test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_a_table),
    };
    return cmocka_run_group_tests(tests, make_temp_folder, remove_temp_folder);
}
