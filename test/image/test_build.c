/* Packing: what becomes of good input with every option, and of damaged, truncated, mixed and empty
 * input of every kind: refused by name, or skipped and counted when asked. */
#include "base/alloc.h"
#include "image/make.h"
#include "image/pack.h"

enum { MAX_SET = 8 };

/* Options as text, "size=8 flip=yes". */
static few_pack_options options_of(const char *settings)
{
    few_pack_options o = { 0 };
    char copy[256], *save = NULL;
    assert_ok(few_options_defaults(few_pack_option_list, &o, err));
    snprintf(copy, sizeof copy, "%s", settings);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        char *equal = strchr(word, '=');
        *equal = 0;
        assert_ok(few_option_set(few_pack_option_list, &o, word, equal + 1, word, err));
    }
    return o;
}

static few_status build(const char *inputs, const char *settings, few_pack_report *report,
                        few_error *why)
{
    char copy[256], *save = NULL;
    static char full[MAX_SET][256];
    const char *list[MAX_SET];
    int n = 0;
    snprintf(copy, sizeof copy, "%s", inputs);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        snprintf(full[n], sizeof full[0], "%s", in_folder(word));
        list[n] = full[n];
        n++;
    }
    few_pack_options o = options_of(settings);
    const few_status st =
        few_pack_build(list, n, &o, in_folder("out.few"), NULL, NULL, report, why);
    few_options_clear(few_pack_option_list, &o);
    assert_int_equal(count_matching(".tmp"), 0);
    return st;
}

static few_pack *build_ok(const char *inputs, const char *settings, int64_t packed)
{
    few_pack_report report;
    few_error why = { 0 };
    if (build(inputs, settings, &report, &why) != FEW_OK)
        fail_msg("%s: %s", inputs, why.text);
    assert_int_equal(report.packed, packed);
    assert_int_equal(report.skipped, 0);
    few_pack *p;
    assert_ok(few_pack_open(&p, in_folder("out.few"), err));
    assert_ok(few_pack_verify(p, err));
    assert_int_equal(few_pack_get_info(p)->count, packed);
    return p;
}

/* Refused, naming `name`, and nothing is left behind; with skip_bad either `packed` images remain
 * and `skipped` are counted and named, or, when packed is 0, it is refused as well. */
static void refused(const char *inputs, const char *settings, const char *name, const char *reason,
                    int packed, int skipped)
{
    few_pack_report report;
    few_error why = { 0 };
    remove(in_folder("out.few"));
    const few_status st = build(inputs, settings, &report, &why);
    if (st == FEW_OK)
        fail_msg("%s was not refused", inputs);
    assert_contains(why.text, name);
    assert_contains(why.text, reason);
    assert_int_equal(access(in_folder("out.few"), F_OK), -1);

    char more[256];
    snprintf(more, sizeof more, "%s skip_bad=yes", settings);
    const few_status second = build(inputs, more, &report, &why);
    if (packed == 0) {
        assert_int_not_equal(second, FEW_OK);
        assert_contains(why.text, name);
        assert_int_equal(access(in_folder("out.few"), F_OK), -1);
        return;
    }
    if (second != FEW_OK)
        fail_msg("%s, skipping: %s", inputs, why.text);
    assert_int_equal(report.packed, packed);
    assert_int_equal(report.skipped, skipped);
    assert_true(report.n_bad >= 1);
    assert_contains(report.bad[0], name);
    assert_contains(report.bad[0], reason);
    few_pack *p;
    assert_ok(few_pack_open(&p, in_folder("out.few"), err));
    assert_int_equal(few_pack_get_info(p)->count, packed);
    few_pack_close(p);
}

/* ---- good input ---- */

static void expect_image(const few_pack *p, int64_t at, int i, int label)
{
    const few_pack_info *f = few_pack_get_info(p);
    uint8_t *want = pixels(i, f->height, f->width, f->channels);
    assert_memory_equal(few_pack_image(p, at), want, f->height * f->width * f->channels);
    assert_int_equal(few_pack_label(p, at), label);
    free(want);
}

static void expect_mirrored(const few_pack *p, int64_t at, int i, int label)
{
    const few_pack_info *f = few_pack_get_info(p);
    for (int y = 0; y < f->height; y++)
        for (int x = 0; x < f->width; x++)
            for (int k = 0; k < f->channels; k++)
                assert_int_equal(few_pack_image(p, at)[(y * f->width + x) * f->channels + k],
                                 pixel(i, y, f->width - 1 - x, k));
    assert_int_equal(few_pack_label(p, at), label);
}

static void test_folder_to_pack(void **state)
{
    (void)state;
    put_png("good/cat/1.png", 0, 6, 8, 3);
    put_png("good/cat/2.png", 1, 6, 8, 3);
    put_png("good/dog/1.png", 2, 6, 8, 3);
    few_pack *p = build_ok("good", "", 3);
    const few_pack_info *f = few_pack_get_info(p);
    assert_int_equal(f->height, 6);
    assert_int_equal(f->width, 8);
    assert_string_equal(f->classes[0].name, "cat");
    assert_int_equal(f->classes[0].count, 2);
    assert_int_equal(f->classes[1].count, 1);
    assert_string_equal(f->source, "good (folder)");
    assert_int_equal(f->n_transforms, 0);
    for (int i = 0; i < 3; i++)
        expect_image(p, i, i, i / 2);
    few_pack_close(p);
}

static void test_same_data_same_hash(void **state)
{
    (void)state;
    put_png("h/a/1.png", 0, 4, 4, 3);
    put_png("h/b/1.png", 1, 4, 4, 3);
    const entry e[] = { { "a/1.png", png_of(0, 4, 4, 3) }, { "b/1.png", png_of(1, 4, 4, 3) } };
    put_archive("h.tar.gz", "tar.gz", e, 2);
    char hash[33];
    few_pack *p = build_ok("h", "", 2);
    strcpy(hash, few_pack_get_info(p)->hash);
    few_pack_close(p);
    p = build_ok("h.tar.gz", "", 2);
    assert_string_equal(few_pack_get_info(p)->hash, hash);
    few_pack_close(p);
}

static void test_transforms(void **state)
{
    (void)state;
    put_png("wide/a.png", 0, 6, 10, 3);
    few_pack *p = build_ok("wide", "size=6", 1); /* the centre square, not resized */
    const few_pack_info *f = few_pack_get_info(p);
    assert_int_equal(f->width, 6);
    assert_string_equal(f->transforms[0], "crop to 6 x 6");
    for (int y = 0; y < 6; y++)
        for (int x = 0; x < 6; x++)
            assert_int_equal(few_pack_image(p, 0)[(y * 6 + x) * 3], pixel(0, y, x + 2, 0));
    few_pack_close(p);

    p = build_ok("wide", "size=10 resize=fit pad_value=200", 1); /* 2 rows above and below */
    for (int x = 0; x < 10; x++) {
        assert_int_equal(few_pack_image(p, 0)[(1 * 10 + x) * 3], 200);
        assert_int_equal(few_pack_image(p, 0)[(2 * 10 + x) * 3], pixel(0, 0, x, 0));
        assert_int_equal(few_pack_image(p, 0)[(8 * 10 + x) * 3], 200);
    }
    few_pack_close(p);

    p = build_ok("wide", "size=3 resize=stretch color=grey pad=5 pad_value=7", 1);
    f = few_pack_get_info(p);
    assert_int_equal(f->n_transforms, 3);
    assert_int_equal(f->height, 5);
    assert_int_equal(f->channels, 1);
    assert_int_equal(few_pack_image(p, 0)[0], 7);
    few_image im;
    uint8_t *raw = pixels(0, 6, 10, 3);
    assert_ok(few_image_init(&im, 6, 10, 3, err));
    memcpy(im.pixels, raw, 180);
    assert_ok(few_image_set_channels(&im, 1, err));
    assert_ok(few_image_resize(&im, 3, 3, err));
    for (int y = 0; y < 3; y++)
        assert_memory_equal(few_pack_image(p, 0) + (y + 1) * 5 + 1, im.pixels + y * 3, 3);
    few_image_clear(&im);
    free(raw);
    few_pack_close(p);

    put_png("wide/b.png", 1, 6, 10, 3);
    p = build_ok("wide", "flip=yes", 4); /* each followed by its mirror image */
    for (int i = 0; i < 2; i++) {
        expect_image(p, 2 * i, i, -1);
        expect_mirrored(p, 2 * i + 1, i, -1);
    }
    few_pack_close(p);
    p = build_ok("wide", "flip=yes max_images=3", 3);
    few_pack_close(p);
    p = build_ok("wide", "max_images=1", 1);
    few_pack_close(p);
}

/* NAME-images-idx3-ubyte and its labels, n images of 4x4. */
static void put_idx(const char *name, int n)
{
    char file[64];
    const bytes im = idx_images(n, 4, 4), la = idx_labels(n);
    snprintf(file, sizeof file, "%s-images-idx3-ubyte", name);
    put_file(file, im.p, im.n);
    snprintf(file, sizeof file, "%s-labels-idx1-ubyte", name);
    put_file(file, la.p, la.n);
    free(im.p);
    free(la.p);
}

/* Every fifth image goes to a pack of its own, of the same classes and never mirrored. */
static void test_kept_apart(void **state)
{
    (void)state;
    put_idx("k", 12);
    few_pack_report r;
    few_error why = { 0 };
    few_pack *p, *test;
    assert_ok(build("k-images-idx3-ubyte", "test=0.2 flip=yes", &r, err));
    assert_int_equal(r.packed, 20);
    assert_int_equal(r.tests, 2);
    assert_ok(few_pack_open(&p, in_folder("out.few"), err));
    assert_ok(few_pack_open(&test, in_folder("out-test.few"), err));
    assert_int_equal(few_pack_get_info(p)->count, 20);
    assert_int_equal(few_pack_get_info(test)->count, 2);
    assert_int_equal(few_pack_get_info(test)->n_classes, few_pack_get_info(p)->n_classes);
    for (int i = 0, at = 0; i < 12; i++)
        if (i % 5 == 4) {
            expect_image(test, i / 5, i, i % 3);
        } else {
            expect_image(p, at, i, i % 3);
            expect_mirrored(p, at + 1, i, i % 3);
            at += 2;
        }
    few_pack_close(p);
    few_pack_close(test);
    remove(in_folder("out.few"));
    assert_int_equal(build("k-images-idx3-ubyte", "test=0.05", NULL, &why), FEW_EINVAL);
    assert_contains(why.text, "0.05 of 12 images is none");
    assert_int_equal(access(in_folder("out.few"), F_OK), -1);
    char *beside = few_pack_beside("a.b/c.few", "-test.few"), *other = few_pack_beside("few", "-x");
    assert_string_equal(beside, "a.b/c-test.few");
    assert_string_equal(other, "few-x");
    few_free(beside);
    few_free(other);
}

static void test_class_names(void **state)
{
    (void)state;
    put_idx("n", 4);
    few_pack *p = build_ok("n-images-idx3-ubyte", "", 4);
    assert_string_equal(few_pack_get_info(p)->classes[2].name, "2");
    assert_int_equal(few_pack_get_info(p)->classes[0].count, 2);
    few_pack_close(p);
    p = build_ok("n-images-idx3-ubyte", "class_names=coat,bag,boot,hat", 4);
    assert_int_equal(few_pack_get_info(p)->n_classes, 4);
    assert_string_equal(few_pack_get_info(p)->classes[2].name, "boot");
    assert_int_equal(few_pack_get_info(p)->classes[3].count, 0);
    few_pack_close(p);
    few_error why;
    assert_int_equal(build("n-images-idx3-ubyte", "class_names=coat,bag", NULL, &why), FEW_EINVAL);
    assert_contains(why.text, "labels need 3");
    put_png("nolabels/a.png", 0, 4, 4, 1);
    assert_int_equal(build("nolabels", "class_names=a", NULL, &why), FEW_EINVAL);
    assert_int_equal(build("nolabels n-images-idx3-ubyte", "", NULL, &why), FEW_EINVAL);
    assert_contains(why.text, "n-images-idx3-ubyte");
    assert_int_equal(build("", "", NULL, &why), FEW_EINVAL);
}

/* Two inputs are one folder with the contents of both. */
static void test_inputs_are_joined(void **state)
{
    (void)state;
    put_png("one/bird/1.png", 0, 4, 4, 1);
    put_png("one/dog/1.png", 1, 4, 4, 1);
    put_png("two/cat/1.png", 2, 4, 4, 1);
    put_png("two/dog/1.png", 3, 4, 4, 1);
    few_pack *p = build_ok("one two", "", 4);
    const few_pack_info *f = few_pack_get_info(p);
    assert_int_equal(f->n_classes, 3);
    assert_string_equal(f->classes[1].name, "cat");
    assert_int_equal(f->classes[2].count, 2);
    expect_image(p, 0, 0, 0);
    expect_image(p, 1, 1, 2);
    expect_image(p, 2, 2, 1);
    expect_image(p, 3, 3, 2);
    assert_string_equal(f->source, "one (folder), two (folder)");
    few_pack_close(p);
}

static int count_calls(void *user, int64_t done, int64_t total)
{
    int *left = user;
    assert_true(done <= total);
    return --*left < 0;
}

static void test_cancel(void **state)
{
    (void)state;
    const bytes im = idx_images(200, 4, 4);
    put_file("many.data", im.p, im.n);
    free(im.p);
    few_pack_options o = options_of("");
    char in[256], out[256];
    snprintf(in, sizeof in, "%s", in_folder("many.data"));
    snprintf(out, sizeof out, "%s", in_folder("out.few"));
    const char *inputs[] = { in };
    remove(out);
    for (int calls = 0; calls < 10; calls++) {
        int left = calls;
        few_error why;
        const few_status st = few_pack_build(inputs, 1, &o, out, count_calls, &left, NULL, &why);
        if (st == FEW_OK) {
            assert_true(calls >= 3); /* twice or more on the way, once at the end */
            few_options_clear(few_pack_option_list, &o);
            return;
        }
        assert_int_equal(st, FEW_ECANCELED);
        assert_int_equal(access(out, F_OK), -1);
        assert_int_equal(count_matching(".tmp"), 0);
    }
    fail_msg("never finished");
}

/* ---- bad input ---- */

static void test_bad_files_in_a_folder(void **state)
{
    (void)state;
    put_png("bad/1.png", 0, 6, 6, 3);
    put_png("bad/3.png", 2, 6, 6, 3);
    const bytes b = png_of(1, 6, 6, 3);
    put_file("bad/2.png", b.p, b.n - 20);
    refused("bad", "", "bad/2.png", "too early", 2, 1);
    put_file("bad/2.png", "", 0);
    refused("bad", "", "bad/2.png", "empty", 2, 1);
    put_file("bad/2.png", "<html>", 6);
    refused("bad", "", "bad/2.png", "neither PNG nor JPEG", 2, 1);
    put_png("bad/2.png", 1, 6, 7, 3);
    refused("bad", "", "bad/2.png", "7 x 6 pixels", 2, 1);
    put_png("bad/2.png", 1, 6, 6, 1);
    refused("bad", "", "bad/2.png", "grey", 2, 1);
    few_pack_close(build_ok("bad", "color=rgb", 3));
    put_png("bad/2.png", 1, 9, 7, 1);
    few_pack_close(build_ok("bad", "color=grey size=4", 3));
    free(b.p);
    remove(in_folder("bad/2.png"));
    assert_int_equal(symlink("/nowhere/at/all.png", in_folder("bad/2.png")), 0);
    refused("bad", "", "bad/2.png", "broken link", 2, 1);
    refused("bad", "pad=3", "bad/1.png", "smaller", 0, 0);
}

static void test_bad_folders(void **state)
{
    (void)state;
    put_file("void/readme.txt", "x", 1);
    refused("void", "", "void", "no PNG or JPEG", 0, 0);
    put_png("beside/a/1.png", 0, 4, 4, 1);
    put_png("beside/b/1.png", 1, 4, 4, 1);
    put_png("beside/stray.png", 2, 4, 4, 1);
    refused("beside", "", "beside/stray.png", "no class", 2, 1);
    put_png("hollow/a/1.png", 0, 4, 4, 1);
    put_file("hollow/b/nothing.txt", "", 0);
    refused("hollow", "", "hollow/b/", "no PNG or JPEG", 1, 1);
    put_png("edm/1.png", 0, 4, 4, 1);
    put_png("edm/2.png", 1, 4, 4, 1);
    static const char one[] = "{\"labels\": [[\"1.png\", 0]]}";
    put_file("edm/dataset.json", one, sizeof one - 1);
    refused("edm", "", "edm/2.png", "no class", 1, 1);
    static const char *const json[] = { "{\"labels\": [[\"1.png\", 0]",
                                        "{\"labels\": [[1, 0]]}",
                                        "{\"labels\": [[\"1.png\", -1]]}",
                                        "[]",
                                        "{\"labels\": [[\"1.png\", 99999999999]]}",
                                        "{\"labels\": [[\"1.png\", 0.5]]}",
                                        "{\"labels\": 7}",
                                        "" };
    for (size_t i = 0; i < sizeof json / sizeof json[0]; i++) {
        put_file("edm/dataset.json", json[i], strlen(json[i]));
        refused("edm", "", "edm", "dataset.json", 0, 0);
    }
}

static void test_bad_archives(void **state)
{
    (void)state;
    static const char *const kinds[] = { "stored", "tar", "tar.gz" };
    static const char *const names[] = { "x.zip", "x.tar", "x.tgz" };
    for (int k = 0; k < 3; k++) {
        const bytes cut = png_of(1, 6, 6, 3);
        const entry e[] = { { "1.png", png_of(0, 6, 6, 3) },
                            { "2.png", { cut.p, cut.n - 20 } },
                            { "3.png", png_of(2, 6, 6, 3) } };
        put_archive(names[k], kinds[k], e, 3);
        refused(names[k], "", "2.png", "too early", 2, 1);
        const entry mixed[] = { { "1.png", png_of(0, 6, 6, 3) }, { "2.png", png_of(1, 5, 6, 3) } };
        put_archive(names[k], kinds[k], mixed, 2);
        refused(names[k], "", "2.png", "6 x 5 pixels", 1, 1);
        const entry text_only[] = { { "1.txt", text("hello") } };
        put_archive(names[k], kinds[k], text_only, 1);
        refused(names[k], "", names[k], "no PNG or JPEG", 0, 0);
        put_archive(names[k], kinds[k], NULL, 0);
        refused(names[k], "", names[k], "", 0, 0);
        put_file(names[k], "not an archive at all", 21);
        refused(names[k], "", names[k], "", 0, 0);
        put_file(names[k], "", 0);
        refused(names[k], "", names[k], "empty", 0, 0);
    }
}

/* An archive cut anywhere is refused, or only its last images are missed when skipping. */
static void test_truncated_archives(void **state)
{
    (void)state;
    static const char *const kinds[] = { "stored", "tar", "tar.gz" };
    static const char *const names[] = { "t.zip", "t.tar", "t.tgz" };
    for (int k = 0; k < 3; k++) {
        const entry e[] = { { "a/1.png", png_of(0, 6, 6, 3) }, { "b/2.png", png_of(1, 6, 6, 3) } };
        put_archive("whole", kinds[k], e, 2);
        const bytes b = get_file(in_folder("whole"));
        /* A tar ends in zeros, whose absence no program minds. */
        const size_t must = k == 1 ? 512 + 512 + 512 + 200 : b.n;
        for (size_t n = 1; n < must; n += n < b.n - 64 ? 37 : 1) {
            few_error why = { 0 };
            put_file(names[k], b.p, n);
            const few_status st = build(names[k], "", NULL, &why);
            if (st == FEW_OK) {
                few_pack *p; /* fine only when it is all there */
                assert_ok(few_pack_open(&p, in_folder("out.few"), err));
                if (few_pack_get_info(p)->count != 2)
                    fail_msg("%s: %zu of %zu bytes were taken", names[k], n, b.n);
                few_pack_close(p);
            } else {
                assert_contains(why.text, names[k]);
            }
        }
        free(b.p);
    }
}

/* A wrong byte in a stored picture is found by the checksum of zip. */
static void test_damaged_zip(void **state)
{
    (void)state;
    const entry arrays[] = { { "arr_0.npy", npy_images(3, 4, 4, 1) } };
    put_archive("d.npz", "stored", arrays, 1);
    const bytes b = get_file(in_folder("d.npz"));
    size_t at = b.n;
    for (size_t i = 0; i + 6 < b.n && at == b.n; i++)
        if (!memcmp(b.p + i, "\x93NUMPY", 6))
            at = i + 128 + 20; /* an element of image 1 */
    b.p[at] ^= 1;
    put_file("d.npz", b.p, b.n);
    few_error why;
    assert_int_equal(build("d.npz", "", NULL, &why), FEW_EFORMAT);
    assert_contains(why.text, "d.npz");
    free(b.p);
}

static void test_bad_idx(void **state)
{
    (void)state;
    bytes im = idx_images(5, 4, 4);
    const bytes la = idx_labels(5), few = idx_labels(4);
    put_file("q-images-idx3-ubyte", im.p, 16 + 3 * 16 + 5); /* the fourth image is cut */
    refused("q-images-idx3-ubyte", "", "q-images-idx3-ubyte", "truncated", 3, 2);
    put_file("q-images-idx3-ubyte", im.p, 16 + 9);
    refused("q-images-idx3-ubyte", "", "q-images-idx3-ubyte", "truncated", 0, 0);
    for (size_t n = 1; n < 16; n++) {
        put_file("q-images-idx3-ubyte", im.p, n);
        refused("q-images-idx3-ubyte", "", "q-images-idx3-ubyte", "truncated", 0, 0);
    }
    put_file("q-images-idx3-ubyte", "", 0);
    refused("q-images-idx3-ubyte", "", "q-images-idx3-ubyte", "empty", 0, 0);
    append(&im, "x", 1);
    put_file("q-images-idx3-ubyte", im.p, im.n);
    refused("q-images-idx3-ubyte", "", "q-images-idx3-ubyte", "bytes follow", 5, 1);
    im.n--;
    put_file("q-images-idx3-ubyte", im.p, im.n);
    put_file("q-labels-idx1-ubyte", few.p, few.n);
    refused("q-images-idx3-ubyte", "", "q-labels-idx1-ubyte", "4 labels", 0, 0);
    put_file("q-labels-idx1-ubyte", la.p, la.n - 1);
    refused("q-images-idx3-ubyte", "", "q-labels-idx1-ubyte", "", 0, 0);
    put_file("q-labels-idx1-ubyte", im.p, im.n);
    refused("q-images-idx3-ubyte", "", "q-labels-idx1-ubyte", "no IDX labels", 0, 0);
    put_file("q-labels-idx1-ubyte", la.p, la.n);
    refused("q-labels-idx1-ubyte", "", "q-labels-idx1-ubyte", "no IDX images", 0, 0);
    remove(in_folder("q-labels-idx1-ubyte"));
    put_gz("q-images-idx3-ubyte.gz", im);
    const bytes gz = get_file(in_folder("q-images-idx3-ubyte.gz"));
    for (size_t n = 1; n < gz.n - 8; n++) {
        few_error why = { 0 };
        put_file("q-images-idx3-ubyte.gz", gz.p, n);
        assert_int_equal(build("q-images-idx3-ubyte.gz", "", NULL, &why), FEW_EFORMAT);
        assert_contains(why.text, "q-images-idx3-ubyte.gz");
    }
    for (size_t i = 0; i < 8 * gz.n; i++) { /* a flipped bit is found or changes nothing */
        few_error why = { 0 };
        gz.p[i / 8] ^= (uint8_t)(1 << i % 8);
        put_file("q-images-idx3-ubyte.gz", gz.p, gz.n);
        gz.p[i / 8] ^= (uint8_t)(1 << i % 8);
        if (build("q-images-idx3-ubyte.gz", "", NULL, &why) == FEW_OK) {
            few_pack *p;
            assert_ok(few_pack_open(&p, in_folder("out.few"), err));
            assert_int_equal(few_pack_get_info(p)->count, 5);
            for (int k = 0; k < 5; k++)
                expect_image(p, k, k, -1);
            few_pack_close(p);
        }
    }
    im.p[4] = 0x7f; /* 2 billion images */
    put_file("q-images-idx3-ubyte", im.p, im.n);
    refused("q-images-idx3-ubyte", "", "q-images-idx3-ubyte", "truncated", 5, 2130706432);
    memcpy(im.p + 8, (uint8_t[]){ 0, 0, 0x20, 0, 0, 0, 0x20, 0 }, 8); /* 8192 x 8192 */
    put_file("q-images-idx3-ubyte", im.p, im.n);
    few_alloc_set_limit(few_alloc_get_stats().bytes + (1 << 20)); /* not even asked for */
    refused("q-images-idx3-ubyte", "", "q-images-idx3-ubyte", "truncated", 0, 0);
    few_alloc_set_limit(0);
    im.p[8] = 0x7f; /* 2 billion rows */
    put_file("q-images-idx3-ubyte", im.p, im.n);
    refused("q-images-idx3-ubyte", "", "q-images-idx3-ubyte", "pixels", 0, 0);
    memset(im.p + 4, 0, 12);
    im.p[11] = im.p[15] = 4;
    put_file("q-images-idx3-ubyte", im.p, im.n);
    refused("q-images-idx3-ubyte", "", "q-images-idx3-ubyte", "no images", 0, 0);
    free(im.p);
    free(la.p);
    free(few.p);
    free(gz.p);
}

static void test_bad_cifar(void **state)
{
    (void)state;
    const bytes b = cifar_records(0, 4);
    put_file("c.bin", b.p, b.n - 1);
    refused("c.bin", "", "c.bin", "multiple of 3073", 0, 0);
    put_file("c.bin", "", 0);
    refused("c.bin", "", "c.bin", "empty", 0, 0);
    b.p[2 * 3073] = 10;
    put_file("c.bin", b.p, b.n);
    refused("c.bin", "", "c.bin: image 2", "label 10", 3, 1);
    put_file("cf/data_batch_1.bin", b.p, 3073);
    put_file("cf/data_batch_2.bin", b.p, 3072);
    refused("cf", "", "data_batch_2.bin", "multiple", 0, 0);
    free(b.p);
}

static void put_npy(const char *name, const char *dict, size_t n)
{
    static const uint8_t zeros[1024];
    const bytes b = npy_bytes(dict, zeros, n);
    put_file(name, b.p, b.n);
    free(b.p);
}

static void test_bad_npy(void **state)
{
    (void)state;
    const bytes b = npy_images(3, 4, 4, 3), la = npy_labels(3);
    for (size_t n = 1; n < b.n - 48; n++) { /* less than two images */
        few_error why = { 0 };
        put_file("p.npy", b.p, n);
        assert_int_equal(build("p.npy", "", NULL, &why), FEW_EFORMAT);
        assert_contains(why.text, "p.npy");
    }
    put_file("p.npy", b.p, b.n - 1);
    refused("p.npy", "", "p.npy", "truncated", 2, 1);
    put_file("p.npy", "", 0);
    refused("p.npy", "", "p.npy", "empty", 0, 0);
    put_npy("p.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 2, 3), }", 48);
    refused("p.npy", "", "p.npy", "uint8", 0, 0);
    put_npy("p.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3, 4, 4), }", 96);
    refused("p.npy", "", "p.npy", "transpose", 0, 0);
    put_npy("p.npy", "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 4, 4, 3), }", 96);
    refused("p.npy", "", "p.npy", "Fortran", 0, 0);
    put_npy("p.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 4), }", 8);
    refused("p.npy", "", "p.npy", "[N,H,W]", 0, 0);
    put_npy("p.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (0, 4, 4), }", 0);
    refused("p.npy", "", "p.npy", "no images", 0, 0);
    put_npy("p.npy", "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 8000, 8000), }", 9);
    few_alloc_set_limit(few_alloc_get_stats().bytes + (1 << 20)); /* not even asked for */
    refused("p.npy", "", "p.npy", "claims", 0, 0);
    few_alloc_set_limit(0);

    put_file("p.npy", b.p, b.n);
    static const char *const bad[] = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (3, 4), }",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (4,), }",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (999999999,), }",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }",
    };
    static const size_t size[] = { 12, 48, 12, 12, 8 };
    static const char *const wants[] = { "whole numbers", "whole numbers", "truncated", "claims",
                                         "2 labels" };
    char labels[300];
    snprintf(labels, sizeof labels, "labels=%s", in_folder("l.npy"));
    for (int i = 0; i < 5; i++) {
        put_npy("l.npy", bad[i], size[i]);
        few_alloc_set_limit(few_alloc_get_stats().bytes + (1 << 20));
        refused("p.npy", labels, "l.npy", wants[i], 0, 0);
        few_alloc_set_limit(0);
    }
    la.p[la.n - 1] = 0x80; /* a label below zero */
    put_file("l.npy", la.p, la.n);
    refused("p.npy", labels, "l.npy", "label -", 0, 0);
    free(b.p);
    free(la.p);
}

static void test_bad_npz(void **state)
{
    (void)state;
    const entry other[] = { { "x_train.npy", npy_images(2, 4, 4, 1) } };
    put_archive("z.npz", "zip", other, 1);
    refused("z.npz", "", "z.npz", "arr_0", 0, 0);
    const entry fewer[] = { { "arr_0.npy", npy_images(3, 4, 4, 1) },
                            { "arr_1.npy", npy_labels(2) } };
    put_archive("z.npz", "zip", fewer, 2);
    refused("z.npz", "", "z.npz", "2 labels", 0, 0);
    const bytes b = npy_images(3, 4, 4, 1);
    const entry cut[] = { { "arr_0.npy", { b.p, b.n - 5 } } };
    put_archive("z.npz", "zip", cut, 1);
    refused("z.npz", "", "z.npz", "truncated", 2, 1);
    put_file("z.npz", "PK\3\4", 4);
    refused("z.npz", "", "z.npz", "", 0, 0);
}

/* Of several inputs one is bad. */
static void test_one_of_several(void **state)
{
    (void)state;
    put_png("s1/a.png", 0, 4, 4, 1);
    put_png("s2/a.png", 1, 4, 4, 1);
    put_file("s3.zip", "PK\3\4 and no more", 16);
    refused("s1 s3.zip s2", "", "s3.zip", "", 2, 1);
    refused("s1 missing s2", "", "missing", "No such file", 2, 1);
}

/* Every allocation of a build fails once: an error, nothing leaks, nothing is left behind. */
static void test_no_memory(void **state)
{
    (void)state;
    const entry e[] = { { "a/1.png", png_of(0, 6, 6, 3) }, { "b/2.png", png_of(1, 6, 6, 3) } };
    put_archive("m.zip", "zip", e, 2);
    put_png("m/a/1.png", 0, 6, 6, 3);
    put_png("m/b/1.png", 1, 6, 6, 3);
    const bytes c = cifar_records(0, 2), i = idx_images(2, 4, 4), n = npy_images(2, 4, 4, 1);
    const bytes labels = idx_labels(2);
    put_file("m.bin", c.p, c.n);
    put_file("m-images-idx3-ubyte", i.p, i.n);
    put_file("m-labels-idx1-ubyte", labels.p, labels.n);
    put_file("m.npy", n.p, n.n);
    free(c.p);
    free(i.p);
    free(n.p);
    free(labels.p);
    const entry z[] = { { "arr_0.npy", npy_images(2, 4, 4, 1) }, { "arr_1.npy", npy_labels(2) } };
    put_archive("m.npz", "zip", z, 2);
    static const char *const inputs[] = { "m.zip", "m",    "m.bin", "m-images-idx3-ubyte",
                                          "m.npy", "m.npz" };
    few_pack_options o = options_of("size=4 flip=yes skip_bad=yes color=rgb");
    const int64_t live = few_alloc_get_stats().bytes;
    for (int k = 0; k < 6; k++) {
        char in[256], out[256];
        snprintf(in, sizeof in, "%s", in_folder(inputs[k]));
        const char *path[] = { in };
        snprintf(out, sizeof out, "%s", in_folder("m.few"));
        remove(out);
        const int64_t before = few_alloc_get_stats().requests;
        assert_ok(few_pack_build(path, 1, &o, out, NULL, NULL, NULL, err));
        const int64_t requests = few_alloc_get_stats().requests - before;
        remove(out);
        int failures = 0;
        for (int64_t at = 1; at <= requests; at++) {
            few_error why = { 0 };
            few_alloc_fail_at(at);
            const few_status st = few_pack_build(path, 1, &o, out, NULL, NULL, NULL, &why);
            few_alloc_fail_at(0);
            assert_int_equal(few_alloc_get_stats().bytes, live);
            if (st == FEW_OK) { /* a kind that could not look was not the right one anyway */
                few_pack *p;
                assert_ok(few_pack_open(&p, out, err));
                assert_int_equal(few_pack_get_info(p)->count, 4);
                few_pack_close(p);
                remove(out);
                continue;
            }
            if (st != FEW_ENOMEM)
                fail_msg("%s: request %d failed with %s", inputs[k], (int)at, why.text);
            assert_int_equal(access(out, F_OK), -1);
            failures++;
        }
        assert_true(2 * failures > requests);
        assert_int_equal(count_matching(".tmp"), 0);
    }
    few_options_clear(few_pack_option_list, &o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folder_to_pack),
        cmocka_unit_test(test_same_data_same_hash),
        cmocka_unit_test(test_transforms),
        cmocka_unit_test(test_kept_apart),
        cmocka_unit_test(test_class_names),
        cmocka_unit_test(test_inputs_are_joined),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_bad_files_in_a_folder),
        cmocka_unit_test(test_bad_folders),
        cmocka_unit_test(test_bad_archives),
        cmocka_unit_test(test_truncated_archives),
        cmocka_unit_test(test_damaged_zip),
        cmocka_unit_test(test_bad_idx),
        cmocka_unit_test(test_bad_cifar),
        cmocka_unit_test(test_bad_npy),
        cmocka_unit_test(test_bad_npz),
        cmocka_unit_test(test_one_of_several),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
