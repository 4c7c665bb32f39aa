/* .npy: heads as NumPy writes them, in all three versions, and heads it would never write. */
#include "image/make.h"
#include "image/npy.h"

static void parses(const char *dict, few_npy_type type, int rank, int64_t count, size_t elements)
{
    few_npy a;
    static const uint8_t data[256];
    const bytes b = npy_bytes(dict, data, elements);
    assert_ok(few_npy_parse_whole(&a, b.p, b.n, err));
    assert_int_equal(a.type, type);
    assert_int_equal(a.rank, rank);
    assert_int_equal(a.count, count);
    assert_int_equal(a.data, b.n - elements);
    free(b.p);
}

static void refused(const char *dict, few_status want, const char *part)
{
    few_npy a;
    few_error err = { 0 };
    const bytes b = npy_bytes(dict, NULL, 0);
    const few_status st = few_npy_parse_whole(&a, b.p, b.n, &err);
    if (st != want)
        fail_msg("%s: %s (%s)", dict, few_status_text(st), err.text);
    assert_contains(err.text, part);
    free(b.p);
}

static void test_heads(void **state)
{
    (void)state;
    parses("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3, 4), }", FEW_NPY_U8, 3, 24, 24);
    parses("{'descr': '<f4', 'fortran_order': False, 'shape': (5,), }", FEW_NPY_F32, 1, 5, 20);
    parses("{'descr': '<i4', 'fortran_order': False, 'shape': (), }", FEW_NPY_I32, 0, 1, 4);
    parses("{'descr': '<i8', 'fortran_order': False, 'shape': (2, 2)}", FEW_NPY_I64, 2, 4, 32);
    parses("{\"shape\":(7,0),\"descr\":\"|u1\",\"fortran_order\":False}", FEW_NPY_U8, 2, 0, 0);
    parses("{'descr': '|u1', 'fortran_order': True, 'shape': (3,), }", FEW_NPY_U8, 1, 3, 3);
}

static void test_refusals(void **state)
{
    (void)state;
    refused("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }", FEW_EUNSUPPORTED,
            "Fortran");
    refused("{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }", FEW_EUNSUPPORTED, ">f4");
    refused("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }", FEW_EUNSUPPORTED, "<f8");
    refused("{'descr': '|O', 'fortran_order': False, 'shape': (2, 3), }", FEW_EUNSUPPORTED, "|O");
    refused("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", FEW_EFORMAT,
            "head");
    refused("{'descr': '|u1', 'fortran_order': False, 'shape': (2,), 'extra': 1}", FEW_EFORMAT,
            "head");
    refused("{'descr': '|u1', 'descr': '|u1', 'shape': (2,), 'fortran_order': False}", FEW_EFORMAT,
            "head");
    refused("{'descr': '|u1', 'fortran_order': False, }", FEW_EFORMAT, "head");
    refused("{'descr': '|u1', 'fortran_order': False, 'shape': (-2,), }", FEW_EFORMAT, "head");
    refused("{'descr': '|u1', 'fortran_order': False, 'shape': (2 3), }", FEW_EFORMAT, "head");
    refused("{'descr': '|u1', 'fortran_order': False, 'shape': (2,), } x", FEW_EFORMAT, "head");
    refused("{'descr': '|u1', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", FEW_EFORMAT,
            "head");
    refused("{'descr': '|u1', 'fortran_order': False, 'shape': (4000000000, 4000000000), }",
            FEW_EFORMAT, "range");
    refused("{'descr': '<i8', 'fortran_order': False, 'shape': (2000000000, 2000000000), }",
            FEW_EFORMAT, "range");
    refused("{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999,), }",
            FEW_EFORMAT, "head");
    refused("{'descr': '|u1', 'fortran_order': False, 'shape': (100,), }", FEW_EFORMAT,
            "wants 100");
    refused("", FEW_EFORMAT, "head");
}

static void test_versions(void **state)
{
    (void)state;
    const char dict[] = "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }\n";
    for (int version = 2; version <= 5; version++) {
        bytes b = { 0 };
        const uint8_t start[12] = {
            0x93, 'N', 'U', 'M', 'P', 'Y', (uint8_t)version, 0, sizeof dict - 1, 0, 0, 0
        };
        append(&b, start, 12);
        append(&b, dict, sizeof dict - 1);
        append(&b, "ab", 2);
        few_npy a;
        few_error err = { 0 };
        const few_status st = few_npy_parse_whole(&a, b.p, b.n, &err);
        if (version <= 3) {
            assert_int_equal(st, FEW_OK);
            assert_memory_equal(b.p + a.data, "ab", 2);
        } else {
            assert_int_equal(st, FEW_EFORMAT);
            assert_contains(err.text, "version");
        }
        b.p[11] = 0x7f; /* a head of 2 GiB */
        assert_int_equal(few_npy_parse_whole(&a, b.p, b.n, NULL), FEW_EFORMAT);
        free(b.p);
    }
}

static void test_truncation(void **state)
{
    (void)state;
    const bytes b = npy_images(2, 3, 3, 1);
    for (size_t n = 0; n <= b.n + 1; n++) {
        few_npy a;
        uint8_t *cut = calloc(1, n ? n : 1);
        memcpy(cut, b.p, n < b.n ? n : b.n);
        assert_int_equal(few_npy_parse_whole(&a, cut, n, NULL), n == b.n ? FEW_OK : FEW_EFORMAT);
        free(cut);
    }
    free(b.p);
}

static void test_written_is_read(void **state)
{
    (void)state;
    const int64_t dim[5] = { 2, 3, 1, 2, 1 };
    uint8_t u[12];
    float f[12];
    for (int i = 0; i < 12; i++) {
        u[i] = (uint8_t)(20 * i);
        f[i] = (float)i / 3;
    }
    for (int rank = 0; rank <= 5; rank++) {
        size_t n = 1;
        for (int i = 0; i < rank; i++)
            n *= (size_t)dim[i];
        for (int type = 0; type < 2; type++) {
            const char *path = in_folder("a.npy");
            if (type == 0)
                assert_ok(few_npy_write_u8(path, u, rank, dim, err));
            else
                assert_ok(few_npy_write_f32(path, f, rank, dim, err));
            const bytes b = get_file(path);
            few_npy a;
            assert_ok(few_npy_parse_whole(&a, b.p, b.n, err));
            assert_int_equal(a.type, type == 0 ? FEW_NPY_U8 : FEW_NPY_F32);
            assert_int_equal(a.rank, rank);
            for (int i = 0; i < rank; i++)
                assert_int_equal(a.dim[i], dim[i]);
            assert_int_equal(a.data % 64, 0);
            assert_int_equal(b.p[a.data - 1], '\n');
            assert_memory_equal(b.p + a.data, type == 0 ? (void *)u : (void *)f,
                                n * (type == 0 ? 1 : 4));
            free(b.p);
        }
    }
    assert_int_equal(few_npy_write_u8(in_folder("a.npy"), u, 9, dim, NULL), FEW_EINVAL);
    assert_int_equal(few_npy_write_u8(in_folder("no/a.npy"), u, 1, dim, NULL), FEW_EIO);
    assert_int_equal(count_matching("tmp"), 0);
}

static void test_integers(void **state)
{
    (void)state;
    few_npy a = { .type = FEW_NPY_I64 };
    const int64_t wide[2] = { -5, INT64_MAX };
    assert_true(few_npy_integer(&a, wide, 1) == INT64_MAX);
    assert_true(few_npy_integer(&a, wide, 0) == -5);
    a.type = FEW_NPY_I32;
    const int32_t narrow[2] = { 7, -9 };
    assert_true(few_npy_integer(&a, narrow, 1) == -9);
    a.type = FEW_NPY_U8;
    assert_true(few_npy_integer(&a, "\x01\xff", 1) == 255);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),           cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_versions),        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_written_is_read), cmocka_unit_test(test_integers),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
