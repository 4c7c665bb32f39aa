/* Checkpoint files: what is saved comes back, and no file, however wrong, is taken or crashes. */
#include "base/safetensors.h"
#include "train/nets.h"

#include <stdlib.h>

static const few_net_shape image = { 8, 8, 1, 3 };

static void make(few_net *n, const char *network)
{
    few_config c;
    load_defaults(&c, "diffusion");
    if (!strcmp(network, "unet")) {
        tiny_unet(&c);
        make_net(n, &c, image, 1);
        n->spec.class_names.v = few_calloc(3, sizeof(char *));
        for (int k = 0; k < 3; k++)
            n->spec.class_names.v[n->spec.class_names.n++] = few_strdup(k ? "Käse" : "a \"b\"");
    } else {
        tiny_mlp(&c);
        set(&c, "schedule.name", "shifted");
        set(&c, "model.prediction", "edm");
        make_net(n, &c, (few_net_shape){ 2, 1, 3, 0 }, 1);
    }
    n->spec.null_class = n->spec.classes > 0;
    n->spec.prediction.sigma_min = n->spec.classes ? 0 : 0.003;
    n->spec.sigma_max = n->spec.classes ? 0 : 75.5;
    n->spec.data_name = few_strdup("some data");
    n->spec.history = json_pack("[{s:i}]", "steps", 7);
    few_config_clear(&c);
}

static void same_text(const char *a, const char *b)
{
    if (a && b)
        assert_string_equal(a, b);
    else
        assert_true(!a && !b);
}

static void same_spec(const few_spec *a, const few_spec *b)
{
    json_t *x = few_spec_to_json(a), *y = few_spec_to_json(b);
    assert_non_null(x);
    assert_true(json_equal(x, y));
    json_decref(x);
    json_decref(y);
    assert_int_equal(a->steps, b->steps);
    assert_ptr_equal(a->network, b->network);
    assert_ptr_equal(a->schedule.kind, b->schedule.kind);
    assert_ptr_equal(a->prediction.kind, b->prediction.kind);
    assert_true(a->prediction.sigma_data == b->prediction.sigma_data &&
                a->prediction.sigma_min == b->prediction.sigma_min && a->sigma_max == b->sigma_max);
    assert_int_equal(a->null_class, b->null_class);
    assert_int_equal(a->class_names.n, b->class_names.n);
    for (int k = 0; k < a->class_names.n; k++)
        assert_string_equal(a->class_names.v[k], b->class_names.v[k]);
    same_text(a->data_name, b->data_name);
    same_text(a->data_hash, b->data_hash);
    for (int k = 0; k <= 10; k++)
        assert_true(few_schedule_log_snr(&a->schedule, k / 10.0) ==
                    few_schedule_log_snr(&b->schedule, k / 10.0));
}

static void what_is_saved_comes_back(void **state)
{
    (void)state;
    static const char *const networks[] = { "unet", "mlp" };
    const char *path = temp_path("net.safetensors");
    for (size_t j = 0; j < FEW_COUNT(networks); j++) {
        few_net a, b;
        few_spec s;
        few_error err = { 0 };
        char hash[33];
        make(&a, networks[j]);
        if (few_net_save(&a.spec, &a.params, a.master, path, &err) != FEW_OK ||
            few_net_load(&b, path, &err) != FEW_OK || few_net_load_spec(&s, path, &err) != FEW_OK)
            fail_msg("%s", err.text);
        same_spec(&a.spec, &b.spec);
        same_spec(&a.spec, &s);
        assert_int_equal(a.params.n, b.params.n);
        assert_int_equal(a.params.count, b.params.count);
        assert_memory_equal(a.master, b.master, (size_t)a.params.count * sizeof(float));
        few_net_hash(&a.params, a.master, hash);
        assert_string_equal(hash, b.hash);
        a.master[a.params.v[3].offset] += 1;
        few_net_hash(&a.params, a.master, hash);
        assert_string_not_equal(hash, b.hash);
        few_net_free(&b);

        a.master[a.params.v[1].offset] = 65536; /* no half: that tensor stays as it is */
        assert_int_equal(few_net_save_half(&a.spec, &a.params, a.master, path, &err), FEW_OK);
        assert_int_equal(few_net_load(&b, path, &err), FEW_OK);
        bool all = true;
        for (int k = 0; k < a.params.n; k++)
            for (int64_t i = 0; i < a.params.v[k].count; i++) {
                const double x = (double)a.master[a.params.v[k].offset + i];
                const double y = (double)b.master[b.params.v[k].offset + i];
                assert_true(fabs(x - y) <= fmax(fabs(x) / 2048, 0x1p-25));
                assert_true(k != 1 || x == y);
                all &= x == y;
            }
        assert_false(all);
        few_net_free(&b);
        few_spec_clear(&s);
        few_net_free(&a);
    }
}

static void weights_that_are_not_finite_are_not_saved(void **state)
{
    (void)state;
    const char *path = temp_path("bad.safetensors");
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    few_net n;
    few_error err = { 0 };
    make(&n, "mlp");
    for (size_t k = 0; k < FEW_COUNT(bad); k++) {
        const few_param *p = &n.params.v[k];
        const float old = n.master[p->offset + p->count - 1];
        n.master[p->offset + p->count - 1] = bad[k];
        expect(few_net_save(&n.spec, &n.params, n.master, path, &err), FEW_EDIVERGED, &err,
               p->name);
        expect(few_net_save_half(&n.spec, &n.params, n.master, path, &err), FEW_EDIVERGED, &err,
               path);
        n.master[p->offset + p->count - 1] = old;
    }
    assert_false(few_is_file(path));
    few_net_free(&n);
}

/* ---- wrong files ----------------------------------------------------------------------------*/

/* A checkpoint being spoilt: the description, and the tensors by index. */
struct file {
    few_net net;
    json_t *spec;
    char *text; /* replaces the description when not NULL */
    int skip;   /* a tensor that is left out, or -1 */
    int odd;    /* a tensor that is written by `odd_...` */
    few_safetensors_type odd_type;
    int odd_rank;
    int64_t odd_shape[FEW_SAFETENSORS_RANK];
    const char *odd_name, *extra;
    bool no_metadata;
};

static void open_file(struct file *f, const char *network)
{
    *f = (struct file){ .skip = -1, .odd = -1 };
    make(&f->net, network);
    f->spec = few_spec_to_json(&f->net.spec);
}

static void write_file(const struct file *f, const char *path)
{
    few_safetensors_writer *w;
    few_error err = { 0 };
    const few_params *ps = &f->net.params;
    char *text = f->text ? strdup(f->text) : json_dumps(f->spec, 0);
    static const double zeros[4096];
    assert_int_equal(few_safetensors_writer_create(&w, &err), FEW_OK);
    for (int k = 0; k < ps->n; k++) {
        const few_param *p = &ps->v[k];
        few_status st = FEW_OK;
        if (k == f->odd)
            st = few_safetensors_writer_add(w, f->odd_name ? f->odd_name : p->name, f->odd_type,
                                            f->odd_rank, f->odd_shape, zeros, &err);
        else if (k != f->skip)
            st = few_safetensors_writer_add(w, p->name, FEW_SAFETENSORS_F32, p->shape.rank,
                                            p->shape.d, f->net.master + p->offset, &err);
        if (st != FEW_OK)
            fail_msg("%s", err.text);
    }
    if (f->extra)
        few_safetensors_writer_add(w, f->extra, FEW_SAFETENSORS_F32, 1, (int64_t[]){ 1 }, zeros,
                                   &err);
    if (!f->no_metadata)
        few_safetensors_writer_metadata(w, "fewstep", text, &err);
    if (few_safetensors_writer_write(w, path, &err) != FEW_OK)
        fail_msg("%s", err.text);
    few_safetensors_writer_free(w);
    free(text);
}

static void close_file(struct file *f)
{
    json_decref(f->spec);
    few_net_free(&f->net);
}

static char row[128]; /* what is wrong with the file, for messages */

/* The file is refused, with its name and `part`, and nothing stays allocated. */
static void refused(const char *path, const char *part)
{
    few_net n;
    few_error err = { 0 };
    const int64_t before = few_alloc_get_stats().bytes;
    const few_status st = few_net_load(&n, path, &err);
    if (st == FEW_OK)
        fail_msg("%s: accepted, not refused with '%s'", row, part);
    if (!strstr(err.text, path) || !strstr(err.text, part))
        fail_msg("%s: '%s' does not say '%s' and '%s'", row, err.text, path, part);
    assert_null(n.master);
    assert_int_equal(n.params.n, 0);
    assert_int_equal(few_alloc_get_stats().bytes, before);
}

/* Set "a.b" of the description to JSON text (NULL: delete it). */
static void change(json_t *spec, const char *key, const char *value)
{
    const char *dot = strchr(key, '.');
    char first[64];
    snprintf(first, sizeof first, "%.*s", (int)(dot ? dot - key : (int)strlen(key)), key);
    json_t *at = dot ? json_object_get(spec, first) : spec;
    const char *name = dot ? dot + 1 : key;
    assert_true(json_is_object(at));
    if (!value)
        json_object_del(at, name);
    else
        json_object_set_new(at, name, json_loads(value, JSON_DECODE_ANY, NULL));
}

static void unchanged_files_are_taken(void **state)
{
    (void)state;
    struct file f;
    few_net n;
    few_error err = { 0 };
    const char *path = temp_path("good.safetensors");
    for (int k = 0; k < 2; k++) {
        open_file(&f, k ? "mlp" : "unet");
        write_file(&f, path);
        if (few_net_load(&n, path, &err) != FEW_OK)
            fail_msg("%s", err.text);
        few_net_free(&n);
        close_file(&f);
    }
}

static void wrong_descriptions(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *part;
    } rows[] = {
        { "format_version", NULL, "format_version" },
        { "format_version", "\"1\"", "format_version" },
        { "format_version", "0", "format_version" },
        { "format_version", "99", "version 99" },
        { "kind", NULL, "kind" },
        { "kind", "3", "kind" },
        { "steps", NULL, "steps" },
        { "steps", "-1", "steps" },
        { "steps", "65", "steps" },
        { "steps", "2.5", "steps" },
        { "steps", "99999999999999", "steps" },
        { "classes", NULL, "classes" },
        { "classes", "-3", "classes" },
        { "classes", "null", "classes" },
        { "classes", "0", "" }, /* but its network has a table of them */
        { "classes", "4", "class names" },
        { "class_names", "[\"a\"]", "class names" },
        { "image", NULL, "image" },
        { "image", "[8,8]", "image" },
        { "image", "[0,8,1]", "image" },
        { "image", "[8,8,-1]", "image" },
        { "image", "[8,8,100000]", "image" },
        { "image", "[8,\"8\",1]", "image" },
        { "image", "\"8x8\"", "image" },
        { "image", "[8,8,3]", "" }, /* the network wants one channel */
        { "image", "[7,8,1]", "" },
        { "schedule", NULL, "schedule" },
        { "schedule", "[]", "schedule" },
        { "schedule", "\"cosine\"", "schedule" },
        { "schedule.name", "\"straight\"", "straight" },
        { "schedule.name", NULL, "schedule" },
        { "schedule.name", "5", "schedule" },
        { "schedule.odd", "5", "odd" },
        { "parameterization", NULL, "parameterization" },
        { "parameterization", "\"score\"", "score" },
        { "parameterization", "\"edm\"", "sigma_data" },
        { "sigma_data", "-1", "sigma_data" },
        { "sigma_min", "\"low\"", "sigma_min" },
        { "sigma_max", "0", "sigma_max" },
        { "time_scale", "\"1000\"", "time_scale" },
        { "time_scale", "-1", "time_scale" },
        { "null_class", "1", "null_class" },
        { "clip", "\"yes\"", "clip" },
        { "network", NULL, "network" },
        { "network", "\"transformer\"", "transformer" },
        { "network", "\"mlp\"", "" }, /* without its configuration */
        { "data_name", "[]", "data_name" },
        { "data_hash", "1", "data_hash" },
        { "unet", NULL, "unet" },
        { "unet", "[]", "unet" },
        { "unet", "null", "unet" },
        { "unet.odd", "5", "odd" },
        { "unet.in_channels", "0", "in_channels" },
        { "unet.in_channels", "\"one\"", "in_channels" },
        { "unet.block_out_channels", "[]", "block_out_channels" },
        { "unet.block_out_channels", "[8,15]", "groups" },
        { "unet.block_out_channels", "[8,16,32]", "length" },
        { "unet.block_out_channels", "[8,32]", "" },
        { "unet.block_out_channels", "[65536,65536]", "" },
        { "unet.block_out_channels", "8", "block_out_channels" },
        { "unet.layers_per_block", "64", "tensors" },
        { "unet.layers_per_block", "2", "tensors" },
        { "unet.layers_per_block", "65", "layers_per_block" },
        { "unet.norm_num_groups", "0", "norm_num_groups" },
        { "unet.attention_head_dim", "3", "" },
        { "unet.down_block_types", "[\"DownBlock2D\",\"Down\"]", "Down" },
        { "unet.mid_block_type", "\"Mid\"", "Mid" },
        { "unet.num_class_embeds", "1000", "" },
        { "unet.num_class_embeds", "1", "knows 1 labels" },
        { "unet.num_class_embeds", "null", "knows 0 labels" },
        { "unet.time_embedding_type", "\"fourier\"", "" },
        { "unet.dropout", "2", "dropout" },
    };
    const char *path = temp_path("wrong.safetensors");
    for (size_t k = 0; k < FEW_COUNT(rows); k++) {
        struct file f;
        open_file(&f, "unet");
        change(f.spec, rows[k].key, rows[k].value);
        write_file(&f, path);
        snprintf(row, sizeof row, "%s = %s", rows[k].key, rows[k].value ? rows[k].value : "(none)");
        refused(path, rows[k].part);
        close_file(&f);
    }
    row[0] = 0;
}

static void no_description(void **state)
{
    (void)state;
    static const char *const texts[] = { "", "{", "[]", "5", "null", "{\"a\":1,\"a\":2}" };
    const char *path = temp_path("none.safetensors");
    struct file f;
    open_file(&f, "mlp");
    f.no_metadata = true;
    write_file(&f, path);
    refused(path, "no fewstep checkpoint");
    f.no_metadata = false;
    for (size_t k = 0; k < FEW_COUNT(texts); k++) {
        f.text = (char *)(uintptr_t)texts[k];
        write_file(&f, path);
        refused(path, "description");
    }
    close_file(&f);
    refused(temp_path("nothing"), "nothing");
    refused(temp_folder, "");
}

static void wrong_tensors(void **state)
{
    (void)state;
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    const char *path = temp_path("tensors.safetensors");
    struct file f;
    open_file(&f, "mlp");
    const few_params *ps = &f.net.params;
    for (int k = 0; k < ps->n; k++) {
        const few_param *p = &ps->v[k];
        f.skip = k;
        write_file(&f, path);
        refused(path, "tensors");
        f.skip = -1;
        for (size_t j = 0; j < FEW_COUNT(bad); j++) {
            float *w = f.net.master + p->offset + p->count / 2;
            const float old = *w;
            *w = bad[j];
            write_file(&f, path);
            refused(path, p->name);
            *w = old;
        }
        f.odd = k; /* as many numbers in another shape, of another type, by another name */
        f.odd_type = FEW_SAFETENSORS_F32;
        f.odd_rank = 8;
        memcpy(f.odd_shape, (int64_t[]){ 1, 1, 1, 1, 1, 1, 1, p->count }, sizeof f.odd_shape);
        write_file(&f, path);
        refused(path, p->name);
        f.odd_rank = p->shape.rank;
        memcpy(f.odd_shape, p->shape.d, sizeof p->shape.d);
        f.odd_type = FEW_SAFETENSORS_I32;
        write_file(&f, path);
        refused(path, p->name);
        f.odd_type = FEW_SAFETENSORS_F32;
        f.odd_name = "layers.9.weight";
        write_file(&f, path);
        refused(path, p->name);
        f.odd_name = NULL;
        f.odd_rank = 1;
        f.odd_shape[0] = 0;
        write_file(&f, path);
        refused(path, "numbers");
        f.odd = -1;
    }
    f.extra = "more";
    write_file(&f, path);
    refused(path, "tensors");
    close_file(&f);
}

static void transposed_weights_are_refused(void **state)
{
    (void)state;
    const char *path = temp_path("transposed.safetensors");
    struct file f;
    open_file(&f, "mlp");
    const int k = few_params_find(&f.net.params, "layers.0.weight");
    const few_param *p = &f.net.params.v[k];
    assert_true(p->shape.d[0] != p->shape.d[1]);
    f.odd = k;
    f.odd_type = FEW_SAFETENSORS_F32;
    f.odd_rank = 2;
    f.odd_shape[0] = p->shape.d[1];
    f.odd_shape[1] = p->shape.d[0];
    write_file(&f, path);
    refused(path, "[14,16]");
    refused(path, "[16,14]");
    close_file(&f);
}

/* ---- damaged files --------------------------------------------------------------------------*/

/* Load what is in memory; any answer but a crash or a leak is fine. Returns the status. */
static few_status try_bytes(const uint8_t *data, size_t n, const char *path)
{
    few_error err = { 0 };
    few_net net;
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
    const int64_t before = few_alloc_get_stats().bytes;
    const few_status st = few_net_load(&net, path, &err);
    if (st == FEW_OK)
        few_net_free(&net);
    else
        assert_non_null(strstr(err.text, path));
    assert_int_equal(few_alloc_get_stats().bytes, before);
    return st;
}

static void cut_and_flipped_files(void **state)
{
    (void)state;
    const char *good = temp_path("whole.safetensors"), *path = temp_path("cut.safetensors");
    few_error err = { 0 };
    few_map m;
    struct file f;
    uint64_t header;
    open_file(&f, "mlp");
    write_file(&f, good);
    close_file(&f);
    assert_int_equal(few_map_open(&m, good, &err), FEW_OK);
    memcpy(&header, m.data, 8);
    assert_true(header < m.n);
    for (size_t n = 0; n < m.n; n += n < 64 ? 1 : 37)
        assert_int_not_equal(try_bytes(m.data, n, path), FEW_OK);
    uint8_t *copy = few_malloc(m.n + 1);
    memcpy(copy, m.data, m.n);
    copy[m.n] = 0;
    assert_int_not_equal(try_bytes(copy, m.n + 1, path), FEW_OK); /* something behind the end */
    for (size_t k = 0; k < 8 + header; k++) {                     /* the length and the header */
        copy[k] ^= (uint8_t)(1u << k % 8);
        try_bytes(copy, m.n, path);
        copy[k] = m.data[k];
    }
    few_free(copy);
    few_map_close(&m);
}

static void loading_survives_every_failed_allocation(void **state)
{
    (void)state;
    const char *path = temp_path("memory.safetensors");
    few_error err = { 0 };
    few_net n;
    for (int k = 0; k < 2; k++) {
        int failures = 0;
        make(&n, k ? "mlp" : "unet");
        assert_int_equal(few_net_save(&n.spec, &n.params, n.master, path, &err), FEW_OK);
        few_net_free(&n);
        const int64_t before = few_alloc_get_stats().bytes;
        for (int64_t at = 1;; at++) {
            few_alloc_fail_at(at);
            const few_status st = few_net_load(&n, path, &err);
            few_alloc_fail_at(0);
            if (st == FEW_OK)
                break;
            if (st != FEW_ENOMEM)
                fail_msg("request %lld: %s", (long long)at, err.text);
            assert_int_equal(few_alloc_get_stats().bytes, before);
            failures++;
        }
        few_net_free(&n);
        assert_int_equal(few_alloc_get_stats().bytes, before);
        assert_true(failures > 20);
    }
}

static void saving_survives_every_failed_allocation(void **state)
{
    (void)state;
    const char *path = temp_path("saved.safetensors");
    few_error err = { 0 };
    few_net n, back;
    int failures = 0;
    make(&n, "unet");
    const int64_t before = few_alloc_get_stats().bytes;
    for (int64_t at = 1;; at++) {
        few_alloc_fail_at(at);
        const few_status st = few_net_save(&n.spec, &n.params, n.master, path, &err);
        few_alloc_fail_at(0);
        assert_int_equal(few_alloc_get_stats().bytes, before);
        if (st == FEW_OK)
            break;
        assert_int_equal(st, FEW_ENOMEM);
        assert_false(few_is_file(path));
        failures++;
    }
    assert_true(failures > 20);
    assert_int_equal(few_net_load(&back, path, &err), FEW_OK);
    few_net_free(&back);
    few_net_free(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_saved_comes_back),
        cmocka_unit_test(weights_that_are_not_finite_are_not_saved),
        cmocka_unit_test(unchanged_files_are_taken),
        cmocka_unit_test(wrong_descriptions),
        cmocka_unit_test(no_description),
        cmocka_unit_test(wrong_tensors),
        cmocka_unit_test(transposed_weights_are_refused),
        cmocka_unit_test(cut_and_flipped_files),
        cmocka_unit_test(loading_survives_every_failed_allocation),
        cmocka_unit_test(saving_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, make_temp_folder, remove_temp_folder);
}
