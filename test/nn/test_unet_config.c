/* Configurations of U-Nets: the recipes' short form, config.json both ways, and what is refused. */
#include "base/alloc.h"
#include "nn/network.h"
#include "nn/unet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void *make_options(const char *const *list)
{
    few_error err = { 0 };
    void *o = few_calloc(1, few_network_unet.options_size);
    if (few_options_defaults(few_network_unet.options, o, &err) != FEW_OK)
        fail_msg("%s", err.text);
    for (; *list; list += 2)
        if (few_option_set(few_network_unet.options, o, list[0], list[1], "test", &err) != FEW_OK)
            fail_msg("%s", err.text);
    return o;
}

static void free_options(void *o)
{
    few_options_clear(few_network_unet.options, o);
    few_free(o);
}

static few_unet_config *make(const char *const *list, few_net_shape shape)
{
    few_error err = { 0 };
    void *o = make_options(list), *config = NULL;
    if (few_network_unet.make(o, &shape, &config, &err) != FEW_OK)
        fail_msg("%s", err.text);
    free_options(o);
    return config;
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* Scalars of the network, padding left out; also that what goes in comes out. */
static int64_t count(const few_unet_config *c, int side, int channels, bool classes)
{
    few_graph g;
    few_params ps = { 0 };
    few_error err = { 0 };
    few_graph_init(&g);
    few_graph_use_set(&g, 0, &ps);
    const few_shape image = FEW_SHAPE(1, side, side, channels);
    const few_val x = few_graph_input(&g, "x", FEW_F32, image, false);
    const few_val t = few_graph_input(&g, "t", FEW_F32, FEW_SHAPE(1), false);
    const few_val l = classes ? few_graph_input(&g, "l", FEW_I32, FEW_SHAPE(1), false) : FEW_NONE;
    const few_val y = few_unet_build(&g, 0, c, x, t, l, FEW_NONE);
    if (few_graph_status(&g, &err) != FEW_OK)
        fail_msg("%s", err.text);
    assert_true(few_shape_equal(&g.tensors[y].shape, &image));
    int64_t n = 0;
    for (int k = 0; k < ps.n; k++)
        n += ps.v[k].count;
    few_graph_clear(&g);
    few_params_free(&ps);
    return n;
}

#define ADDED "time_embedding", "default"

/* What diffusers counts for the same networks. */
static void parameters_are_as_many_as_in_diffusers(void **state)
{
    (void)state;
    static const struct {
        const char *options[9];
        few_net_shape shape;
        int64_t want;
    } cases[] = {
        { { "base", "32", ADDED }, { 32, 32, 1, 10 }, 1624577 },
        /* 928 more channels from 128 and a bias; the middle's attention has no norm then */
        { { "base", "32" }, { 32, 32, 1, 10 }, 1624577 + 928 * 129 - 128 },
        { { "base", "64", "multipliers", "1,2,2,2", "attention", "16", ADDED },
          { 32, 32, 3, 10 },
          8954883 },
        { { "base", "128", "multipliers", "1,2,2,2", "attention", "16", ADDED },
          { 32, 32, 3, 0 },
          35746307 },
    };
    for (size_t k = 0; k < FEW_COUNT(cases); k++) {
        few_unet_config *c = make(cases[k].options, cases[k].shape);
        assert_int_equal(count(c, 32, cases[k].shape.c, cases[k].shape.classes > 0), cases[k].want);
        few_network_unet.close(c);
    }
}

static void the_short_form_unfolds(void **state)
{
    (void)state;
    few_unet_config *c =
        make(LIST("base", "24", "multipliers", "1,2,3,4", "attention", "8,4", "groups", "8",
                  "blocks", "3", "head_width", "12", "time_embedding", "scale_shift", "dropout",
                  "0.25", "zero_init", "false"),
             (few_net_shape){ 16, 16, 5, 7 });
    static const int width[] = { 24, 48, 72, 96 };
    static const char *const down[] = { "DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D",
                                        "DownBlock2D" };
    assert_int_equal(c->block_out_channels.n, 4);
    for (int k = 0; k < 4; k++) {
        assert_int_equal(c->block_out_channels.v[k], width[k]);
        assert_string_equal(c->down_block_types.v[k], down[k]);
        assert_int_equal(strstr(c->up_block_types.v[3 - k], "Attn") != NULL,
                         strstr(down[k], "Attn") != NULL);
    }
    assert_int_equal(c->sample_size, 16);
    assert_int_equal(c->in_channels, 5);
    assert_int_equal(c->out_channels, 5);
    assert_int_equal(c->layers_per_block, 3);
    assert_int_equal(c->attention_head_dim, 12);
    assert_int_equal(c->norm_num_groups, 8);
    assert_int_equal(c->num_class_embeds, 8); /* the classes and the null class */
    assert_string_equal(c->resnet_time_scale_shift, "scale_shift");
    assert_true(c->dropout == 0.25 && !c->zero_init);
    few_network_unet.close(c);
}

/* Four channels to a group at the finest level, 32 groups at most, never a remainder. */
static void groups_follow_the_width(void **state)
{
    (void)state;
    static const char *const base[] = {
        "1", "3", "8", "24", "32", "40", "64", "128", "192", "512"
    };
    static const int want[] = { 1, 1, 2, 6, 8, 10, 16, 32, 32, 32 };
    for (size_t k = 0; k < FEW_COUNT(want); k++) {
        few_unet_config *c = make(LIST("base", base[k]), (few_net_shape){ 32, 32, 1, 0 });
        assert_int_equal(c->norm_num_groups, want[k]);
        few_network_unet.close(c);
    }
}

static void json_goes_both_ways(void **state)
{
    (void)state;
    few_unet_config *c = make(LIST("base", "32", "head_width", "0"), (few_net_shape){ 8, 8, 1, 0 });
    json_t *a = few_network_unet.json(c), *b;
    void *again = NULL;
    few_error err = { 0 };
    assert_non_null(a);
    assert_string_equal(json_string_value(json_object_get(a, "_class_name")), "UNet2DModel");
    assert_true(json_is_null(json_object_get(a, "attention_head_dim")));
    assert_true(json_is_null(json_object_get(a, "num_class_embeds")));
    assert_int_equal(few_network_unet.open(a, &again, &err), FEW_OK);
    b = few_network_unet.json(again);
    assert_true(json_equal(a, b));
    json_decref(a);
    json_decref(b);
    few_network_unet.close(c);
    few_network_unet.close(again);
}

static void impossible_short_forms_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *options[5], *says;
        few_net_shape shape;
    } cases[] = {
        { { "base", "40", "groups", "32" }, "40 does not divide into 32 groups", { 32, 32, 1, 0 } },
        { { "head_width", "48" }, "64 is no multiple of the heads' 48", { 32, 32, 1, 0 } },
        { { "multipliers", "1,1,1,1" }, "cannot be halved 3 times", { 28, 28, 1, 0 } },
        { { "multipliers", "1,1,1,1,1" }, "pad them", { 32, 24, 1, 0 } },
        { { "multipliers", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1" }, "same length", { 32, 32, 1, 0 } },
    };
    for (size_t k = 0; k < FEW_COUNT(cases); k++) {
        void *o = make_options(cases[k].options), *config = NULL;
        few_error err = { 0 };
        assert_int_equal(few_network_unet.make(o, &cases[k].shape, &config, &err), FEW_ECONFIG);
        if (!strstr(err.text, cases[k].says))
            fail_msg("'%s' does not say '%s'", err.text, cases[k].says);
        assert_null(config);
        free_options(o);
    }
}

static void wrong_json_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *json, *says;
    } cases[] = {
        { "[]", "no JSON object" },
        { "{\"layers_per_blok\": 2}", "layers_per_blok" },
        { "{\"layers_per_block\": \"two\"}", "layers_per_block" },
        { "{\"layers_per_block\": 0}", "layers_per_block" },
        { "{\"norm_eps\": 0}", "norm_eps" },
        { "{\"act_fn\": \"gelu\"}", "act_fn" },
        { "{\"mid_block_type\": \"UNetMidBlock2DCrossAttn\"}", "mid_block_type" },
        { "{\"class_embed_type\": \"projection\"}", "class_embed_type" },
        { "{\"down_block_types\": [\"DownBlock2D\"]}", "same length" },
        { "{\"down_block_types\": [\"SkipDownBlock2D\"]}", "down_block_types" },
        { "{\"block_out_channels\": [-32, 64, 64, 64]}", "block_out_channels" },
        { "{\"block_out_channels\": [33, 64, 64, 64]}", "33 does not divide" },
        { "{\"block_out_channels\": [1e300, 64, 64, 64]}", "block_out_channels" },
        { "{\"sample_size\": 30}", "sample_size 30" },
        { "{\"time_embedding_type\": \"learned\"}", "num_train_timesteps" },
        { "{\"attn_norm_num_groups\": 31}", "attn_norm_num_groups" },
    };
    for (size_t k = 0; k < FEW_COUNT(cases); k++) {
        json_t *json = json_loads(cases[k].json, 0, NULL);
        assert_non_null(json);
        few_unet_config c;
        few_error err = { 0 };
        const int64_t before = few_alloc_get_stats().bytes;
        if (few_unet_config_from_json(&c, json, "some.json", &err) == FEW_OK)
            fail_msg("%s was taken", cases[k].json);
        if (!strstr(err.text, cases[k].says) || !strstr(err.text, "some.json"))
            fail_msg("%s: '%s' does not say '%s'", cases[k].json, err.text, cases[k].says);
        assert_int_equal(few_alloc_get_stats().bytes, before);
        json_decref(json);
    }
}

/* A config.json of diffusers with keys of its own and nulls where it writes them. */
static void diffusers_files_are_taken(void **state)
{
    (void)state;
    const char *text =
        "{\"_class_name\": \"UNet2DModel\", \"_diffusers_version\": \"0.30.0\","
        "\"sample_size\": 32, \"attention_head_dim\": null, \"num_class_embeds\": null,"
        "\"time_embedding_dim\": null, \"class_embed_type\": null, \"act_fn\": \"silu\","
        "\"block_out_channels\": [32, 64], \"down_block_types\": [\"DownBlock2D\", "
        "\"AttnDownBlock2D\"], \"up_block_types\": [\"AttnUpBlock2D\", \"UpBlock2D\"],"
        "\"mid_block_type\": null}";
    json_t *json = json_loads(text, 0, NULL);
    few_unet_config c;
    few_error err = { 0 };
    if (few_unet_config_from_json(&c, json, "config.json", &err) != FEW_OK)
        fail_msg("%s", err.text);
    assert_null(c.mid_block_type);
    assert_int_equal(c.attention_head_dim, 0);
    assert_int_equal(c.layers_per_block, 2);
    assert_true(c.zero_init); /* what starts from scratch in such a network starts as ours do */
    assert_int_equal(few_unet_labels(&c), 0);
    assert_int_equal(few_unet_time_dim(&c), 128);
    assert_true(count(&c, 32, 3, false) > 0);
    json_decref(json);
    few_unet_config_clear(&c);
}

static void old_names(void **state)
{
    (void)state;
    char buf[256];
    assert_string_equal(few_unet_old_name("mid_block.attentions.0.to_q.weight", buf),
                        "mid_block.attentions.0.query.weight");
    assert_string_equal(few_unet_old_name("mid_block.attentions.0.to_out.0.bias", buf),
                        "mid_block.attentions.0.proj_attn.bias");
    assert_null(few_unet_old_name("conv_in.weight", buf));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_are_as_many_as_in_diffusers),
        cmocka_unit_test(the_short_form_unfolds),
        cmocka_unit_test(groups_follow_the_width),
        cmocka_unit_test(json_goes_both_ways),
        cmocka_unit_test(impossible_short_forms_are_refused),
        cmocka_unit_test(wrong_json_is_refused_by_name),
        cmocka_unit_test(diffusers_files_are_taken),
        cmocka_unit_test(old_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
