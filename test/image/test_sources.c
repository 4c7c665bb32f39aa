/* Every reader on inputs made here by other libraries: pixels, labels, classes, order. */
#include "image/make.h"
#include "image/source.h"

static few_source *open_source(const char *name, const char *labels, const char *kind)
{
    few_source *s = NULL;
    assert_ok(few_source_open(&s, in_folder(name), NULL, labels, err));
    assert_string_equal(s->type->name, kind);
    return s;
}

/* The next image must be test image `i` of this shape and label. */
static void expect_next(few_source *s, int i, int h, int w, int c, int label)
{
    few_source_item item;
    assert_ok(few_source_next(s, &item, err));
    assert_false(s->ended);
    uint8_t *want = pixels(i, h, w, c);
    assert_int_equal(item.image.h, h);
    assert_int_equal(item.image.w, w);
    assert_int_equal(item.image.c, c);
    assert_memory_equal(item.image.pixels, want, h * w * c);
    assert_int_equal(item.label, label);
    assert_true(strlen(item.name) > 0);
    free(want);
    few_image_clear(&item.image);
}

static void expect_end(few_source *s)
{
    few_source_item item;
    assert_ok(few_source_next(s, &item, err));
    assert_true(s->ended);
    assert_null(item.image.pixels);
    few_source_close(s);
}

static void test_idx(void **state)
{
    (void)state;
    const bytes im = idx_images(5, 4, 6), la = idx_labels(5);
    put_file("idx/train-images-idx3-ubyte", im.p, im.n);
    put_file("idx/train-labels-idx1-ubyte", la.p, la.n);
    put_file("idxgz/.keep", "", 0);
    put_gz("idxgz/t10k-images-idx3-ubyte.gz", im);
    put_gz("idxgz/t10k-labels-idx1-ubyte.gz", la);
    put_file("mixed/a-images.idx3-ubyte", im.p, im.n); /* images plain, labels packed */
    put_gz("mixed/a-labels.idx1-ubyte.gz", la);
    static const char *const names[] = { "idx/train-images-idx3-ubyte",
                                         "idxgz/t10k-images-idx3-ubyte.gz",
                                         "mixed/a-images.idx3-ubyte" };
    for (int k = 0; k < 3; k++) {
        few_source *s = open_source(names[k], NULL, "idx");
        assert_int_equal(s->total, 5);
        assert_true(s->labelled);
        assert_int_equal(s->n_classes, 3);
        assert_null(s->classes);
        for (int i = 0; i < 5; i++)
            expect_next(s, i, 4, 6, 1, i % 3);
        expect_end(s);
    }
    put_file("plain/some.data", im.p, im.n); /* known by its first bytes; no labels about */
    few_source *s = open_source("plain/some.data", NULL, "idx");
    assert_false(s->labelled);
    expect_next(s, 0, 4, 6, 1, FEW_NO_LABEL);
    few_source_close(s);
    s = open_source("plain/some.data", in_folder("idx/train-labels-idx1-ubyte"), "idx");
    expect_next(s, 0, 4, 6, 1, 0);
    expect_next(s, 1, 4, 6, 1, 1);
    few_source_close(s);
    free(im.p);
    free(la.p);
}

static void test_cifar(void **state)
{
    (void)state;
    static const char meta[] = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\n"
                               "truck\n\n";
    const bytes a = cifar_records(0, 3), b = cifar_records(3, 2), t = cifar_records(7, 1);
    put_file("cifar/data_batch_1.bin", a.p, a.n);
    put_file("cifar/data_batch_2.bin", b.p, b.n);
    put_file("cifar/test_batch.bin", t.p, t.n);
    few_source *s = open_source("cifar", NULL, "cifar");
    assert_int_equal(s->total, 5);
    assert_null(s->classes);
    for (int i = 0; i < 5; i++)
        expect_next(s, i, 32, 32, 3, i);
    expect_end(s);
    put_file("cifar/batches.meta.txt", meta, sizeof meta - 1);
    s = open_source("cifar/test_batch.bin", NULL, "cifar");
    assert_int_equal(s->n_classes, 10);
    assert_string_equal(s->classes[0], "airplane");
    assert_string_equal(s->classes[9], "truck");
    expect_next(s, 7, 32, 32, 3, 7);
    expect_end(s);
    free(a.p);
    free(b.p);
    free(t.p);
}

static void test_folder(void **state)
{
    (void)state;
    put_png("flat/b.PNG", 1, 5, 5, 3);
    put_png("flat/a.png", 0, 5, 5, 3);
    put_file("flat/notes.txt", "no image", 8);
    put_file("flat/.hidden.png", "no image", 8);
    few_source *s = open_source("flat", NULL, "folder");
    assert_int_equal(s->total, 2);
    assert_false(s->labelled);
    expect_next(s, 0, 5, 5, 3, FEW_NO_LABEL);
    expect_next(s, 1, 5, 5, 3, FEW_NO_LABEL);
    expect_end(s);

    put_png("tree/zebra/1.png", 2, 5, 5, 1);
    put_png("tree/ant/deep/er/1.png", 1, 5, 5, 1);
    put_png("tree/ant/1.png", 0, 5, 5, 1);
    put_png("tree/Zoo/1.png", 3, 5, 5, 1); /* capitals come first in byte order */
    s = open_source("tree", NULL, "folder");
    assert_int_equal(s->n_classes, 3);
    assert_string_equal(s->classes[0], "Zoo");
    assert_string_equal(s->classes[1], "ant");
    assert_string_equal(s->classes[2], "zebra");
    expect_next(s, 3, 5, 5, 1, 0);
    expect_next(s, 0, 5, 5, 1, 1);
    expect_next(s, 1, 5, 5, 1, 1);
    expect_next(s, 2, 5, 5, 1, 2);
    expect_end(s);

    put_png("nested/train/cat/1.png", 0, 5, 5, 1); /* what all share says nothing */
    put_png("nested/train/dog/1.png", 1, 5, 5, 1);
    s = open_source("nested", NULL, "folder");
    assert_int_equal(s->n_classes, 2);
    assert_string_equal(s->classes[1], "dog");
    few_source_close(s);
}

static void test_folder_reads_jpeg(void **state)
{
    (void)state;
    uint8_t *p = smooth(16, 16, 3);
    const bytes b = jpeg_bytes(p, 16, 16, 3, JCS_RGB, false);
    put_file("jpeg/x.JPG", b.p, b.n);
    few_source *s = open_source("jpeg", NULL, "folder");
    few_source_item item;
    assert_ok(few_source_next(s, &item, err));
    for (int i = 0; i < 16 * 16 * 3; i++)
        assert_true(abs(item.image.pixels[i] - p[i]) <= 4);
    few_image_clear(&item.image);
    expect_end(s);
    free(b.p);
    free(p);
}

static void test_archives(void **state)
{
    (void)state;
    static const char *const kinds[] = { "zip", "stored", "tar", "tar.gz" };
    for (int k = 0; k < 4; k++) {
        char name[32];
        snprintf(name, sizeof name, "set-%d.%s", k, k < 2 ? "zip" : kinds[k]);
        const entry e[] = { { "set/dog/2.png", png_of(0, 6, 4, 3) },
                            { "set/readme.txt", text("hello") },
                            { "__MACOSX/set/dog/._2.png", text("x") },
                            { "set/cat/1.png", png_of(1, 6, 4, 3) },
                            { "set/dog/1.png", png_of(2, 6, 4, 3) } };
        put_archive(name, kinds[k], e, 5);
        few_source *s = open_source(name, NULL, "archive");
        assert_int_equal(s->total, 3);
        assert_int_equal(s->n_classes, 2);
        assert_string_equal(s->classes[0], "cat");
        expect_next(s, 0, 6, 4, 3, 1); /* the order of the archive */
        expect_next(s, 1, 6, 4, 3, 0);
        expect_next(s, 2, 6, 4, 3, 1);
        expect_end(s);
    }
    for (int k = 0; k < 4; k++) { /* names that are not ASCII, in the locale "C" as here */
        const entry e[] = { { "\xc3\xa9t\xc3\xa9/1.png", png_of(0, 4, 4, 3) },
                            { "\xe7\x8c\xab/1.png", png_of(1, 4, 4, 3) } };
        put_archive("utf8", kinds[k], e, 2);
        few_source *s = open_source("utf8", NULL, "archive");
        assert_string_equal(s->classes[0], "\xc3\xa9t\xc3\xa9");
        assert_string_equal(s->classes[1], "\xe7\x8c\xab");
        expect_next(s, 0, 4, 4, 3, 0);
        expect_next(s, 1, 4, 4, 3, 1);
        expect_end(s);
    }
    const entry flat[] = { { "./1.png", png_of(0, 4, 4, 1) }, { "./2.png", png_of(1, 4, 4, 1) } };
    put_archive("flat.tar", "tar", flat, 2);
    few_source *s = open_source("flat.tar", NULL, "archive");
    assert_false(s->labelled);
    expect_next(s, 0, 4, 4, 1, FEW_NO_LABEL);
    few_source_close(s);
}

static void test_edm_labels(void **state)
{
    (void)state;
    static const char json[] =
        "{\"labels\": [[\"00000/img00000001.png\", 6], [\"00000/img00000000.png\", 9]]}";
    const entry e[] = { { "00000/img00000000.png", png_of(0, 4, 4, 3) },
                        { "00000/img00000001.png", png_of(1, 4, 4, 3) },
                        { "dataset.json", text(json) } };
    put_archive("edm.zip", "stored", e, 3);
    few_source *s = open_source("edm.zip", NULL, "archive");
    assert_int_equal(s->n_classes, 10);
    assert_null(s->classes);
    expect_next(s, 0, 4, 4, 3, 9);
    expect_next(s, 1, 4, 4, 3, 6);
    expect_end(s);

    const entry null[] = { { "dataset.json", text("{\"labels\": null}") },
                           { "00000/a.png", png_of(0, 4, 4, 3) },
                           { "00001/b.png", png_of(1, 4, 4, 3) } };
    put_archive("null.zip", "zip", null, 3);
    s = open_source("null.zip", NULL, "archive"); /* folders are no classes then */
    assert_false(s->labelled);
    expect_next(s, 0, 4, 4, 3, FEW_NO_LABEL);
    few_source_close(s);

    put_png("edm/00000/img00000000.png", 0, 4, 4, 3);
    put_png("edm/00000/img00000001.png", 1, 4, 4, 3);
    put_file("edm/dataset.json", json, sizeof json - 1);
    s = open_source("edm", NULL, "folder");
    expect_next(s, 0, 4, 4, 3, 9);
    expect_next(s, 1, 4, 4, 3, 6);
    expect_end(s);
}

static void test_npy(void **state)
{
    (void)state;
    const bytes im = npy_images(4, 3, 5, 3), la = npy_labels(4);
    put_file("a.npy", im.p, im.n);
    put_file("a-labels.npy", la.p, la.n);
    few_source *s = open_source("a.npy", NULL, "npy");
    assert_int_equal(s->total, 4);
    for (int i = 0; i < 4; i++)
        expect_next(s, i, 3, 5, 3, FEW_NO_LABEL);
    expect_end(s);
    s = open_source("a.npy", in_folder("a-labels.npy"), "npy");
    assert_int_equal(s->n_classes, 3);
    for (int i = 0; i < 4; i++)
        expect_next(s, i, 3, 5, 3, i % 3);
    expect_end(s);

    uint8_t *p = pixels(0, 2, 2, 1); /* [N,H,W] is grey */
    const bytes grey =
        npy_bytes("{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2, 2), }", p, 4);
    put_file("grey.npy", grey.p, grey.n);
    s = open_source("grey.npy", NULL, "npy");
    expect_next(s, 0, 2, 2, 1, FEW_NO_LABEL);
    expect_end(s);
    free(grey.p);
    free(p);
    free(im.p);
    free(la.p);
}

static void test_npz(void **state)
{
    (void)state;
    for (int k = 0; k < 3; k++) { /* stored and packed; labels behind, in front, or none */
        const entry e[] = {
            { k == 1 ? "arr_1.npy" : "arr_0.npy", k == 1 ? npy_labels(4) : npy_images(4, 3, 5, 3) },
            { k == 1 ? "arr_0.npy" : "arr_1.npy", k == 1 ? npy_images(4, 3, 5, 3) : npy_labels(4) }
        };
        put_archive("s.npz", k ? "stored" : "zip", e, k == 2 ? 1 : 2);
        if (k == 2)
            free(e[1].data.p);
        few_source *s = open_source("s.npz", NULL, "npz");
        assert_int_equal(s->total, 4);
        assert_int_equal(s->labelled, k < 2);
        for (int i = 0; i < 4; i++)
            expect_next(s, i, 3, 5, 3, k < 2 ? i % 3 : FEW_NO_LABEL);
        expect_end(s);
    }
}

static void test_unknown(void **state)
{
    (void)state;
    few_source *s;
    few_error why;
    put_file("what.dat", "nothing known", 13);
    assert_int_equal(few_source_open(&s, in_folder("what.dat"), NULL, NULL, &why), FEW_EFORMAT);
    assert_contains(why.text, "what.dat");
    for (int i = 0; i < few_n_source_types; i++)
        assert_contains(why.text, few_source_types[i]->name);
    assert_int_equal(few_source_open(&s, in_folder("what.dat"), "tiff", NULL, &why), FEW_EFORMAT);
    assert_contains(why.text, "tiff");
    assert_contains(why.text, "npz");
    assert_int_equal(few_source_open(&s, in_folder("gone"), NULL, NULL, &why), FEW_ENOTFOUND);
    assert_contains(why.text, "gone");
    put_file("nil", "", 0);
    assert_int_equal(few_source_open(&s, in_folder("nil"), NULL, NULL, &why), FEW_EFORMAT);
    assert_contains(why.text, "nil' is empty");
    put_png("f/a.png", 0, 2, 2, 1);
    assert_int_equal(few_source_open(&s, in_folder("f"), NULL, "labels", &why), FEW_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idx),      cmocka_unit_test(test_cifar),
        cmocka_unit_test(test_folder),   cmocka_unit_test(test_folder_reads_jpeg),
        cmocka_unit_test(test_archives), cmocka_unit_test(test_edm_labels),
        cmocka_unit_test(test_npy),      cmocka_unit_test(test_npz),
        cmocka_unit_test(test_unknown),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
