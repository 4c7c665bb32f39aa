/* safetensors files: round trips, hostile headers, conversion, faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/safetensors.h"
#include "base/strbuf.h"
#include "base/temp_folder.h"

#include <math.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* A file from a header and n bytes of data, in a buffer of exactly its size, so that a sanitizer
 * sees every read past it. Free it with free. */
static uint8_t *make_file(const char *header, size_t n, size_t *size)
{
    const size_t length = strlen(header);
    *size = 8 + length + n;
    uint8_t *file = calloc(*size, 1);
    assert_non_null(file);
    for (int i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)length >> (8 * i));
    memcpy(file + 8, header, length);
    for (size_t i = 0; i < n; i++)
        file[8 + length + i] = (uint8_t)i;
    return file;
}

static few_status parse(const char *header, size_t n, few_error *err)
{
    size_t size;
    uint8_t *file = make_file(header, n, &size);
    few_safetensors *s;
    const int64_t before = few_alloc_get_stats().bytes;
    const few_status st = few_safetensors_parse(file, size, "a.safetensors", &s, err);
    assert_int_equal(s != NULL, st == FEW_OK);
    few_safetensors_close(s);
    assert_int_equal(few_alloc_get_stats().bytes, before);
    free(file);
    return st;
}

#define T(dtype, shape, from, to)                                                                  \
    "{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" #from "," #to "]}"

static void test_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t n;
    } rows[] = {
        { "{}", 0 },
        { "{}      ", 0 },
        { "{\"__metadata__\":{}}", 0 },
        { "{\"__metadata__\":{\"a\":\"b\",\"\":\"\"}}", 0 },
        { "{\"a\":" T("F32", "", 0, 4) "}", 4 },
        { "{\"a\":" T("F32", "0", 0, 0) "}", 0 },
        { "{\"a\":" T("U8", "3", 2, 5) ",\"b\":" T("I16", "1", 0, 2) "}", 5 },
        { "{\"a\":" T("U8", "3", 0, 3) ",\"b\":" T("U8", "0", 3, 3) ",\"c\":" T("U8", "2", 3,
                                                                                5) "}",
          5 },
        { "{\"a\":" T("F64", "1,1,1,1,1,1,1,1", 0, 8) "}", 8 },
        { "{ \"a\" : {\"data_offsets\":[0,1], \"shape\":[ 1 ], \"dtype\":\"BOOL\"}\n}", 1 },
    };
    for (size_t i = 0; i < FEW_COUNT(rows); i++) {
        few_error err = { 0 };
        const few_status st = parse(rows[i].header, rows[i].n, &err);
        if (st != FEW_OK)
            print_error("%s gave: %s\n", rows[i].header, err.text);
        assert_int_equal(st, FEW_OK);
    }
}

static void test_hostile_headers(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t n;
        const char *refusal;
    } rows[] = {
        { "", 0, "does not start with '{'" },
        { " {}", 0, "does not start with '{'" },
        { "[]", 0, "does not start with '{'" },
        { "{", 0, "damaged" },
        { "{}}", 0, "damaged" },
        { "{}x", 0, "damaged" },
        { "{\"a", 0, "damaged" },
        { "{\"a\\", 0, "damaged" },
        { "{}", 1, "the tensors take 0 bytes, but 1 follow" },
        { "{\"a\":1}", 0, "dtype, shape and data_offsets" },
        { "{\"a\":{}}", 0, "dtype, shape and data_offsets" },
        { "{\"a\":[]}", 0, "where none belongs" },
        { "{\"a\":{\"b\":{}}}", 0, "nested too deep" },
        { "{\"a\":{\"shape\":[[1]]}}", 0, "where none belongs" },
        { "{\"a\":" T("F32", "1", 0, 4) "}", 3, "at bytes 0 to 4, the file has 3" },
        { "{\"a\":" T("F32", "1", 0, 4) "}", 5, "the tensors take 4 bytes, but 5 follow" },
        { "{\"a\":" T("F32", "2", 0, 4) "}", 4, "has 4 bytes, its shape and type F32 want 8" },
        { "{\"a\":" T("F32", "1", 4, 0) "}", 4, "at bytes 4 to 0" },
        { "{\"a\":" T("F32", "1", -4, 0) "}", 4, "at bytes -4 to 0" },
        { "{\"a\":" T("F32", "1", 0, 4.0) "}", 4, "damaged data_offsets" },
        { "{\"a\":" T("F32", "1", 0, 1e400) "}", 4, "header is damaged" },
        { "{\"a\":" T("F32", "1", 0, 9223372036854775807) "}", 4, "the file has 4" },
        { "{\"a\":" T("F32", "1", 0, 9223372036854775808) "}", 4, "damaged" },
        { "{\"a\":" T("F32", "-1", 0, 4) "}", 4, "damaged shape" },
        { "{\"a\":" T("F32", "1.0", 0, 4) "}", 4, "damaged shape" },
        { "{\"a\":" T("F32", "NaN", 0, 4) "}", 4, "header is damaged" },
        { "{\"a\":" T("F32", "null", 0, 4) "}", 4, "damaged shape" },
        { "{\"a\":" T("F32", "\"1\"", 0, 4) "}", 4, "damaged shape" },
        { "{\"a\":" T("F32", "1,1,1,1,1,1,1,1,1", 0, 4) "}", 4, "more than 8 dimensions" },
        { "{\"a\":" T("U8", "4294967296,4294967296", 0, 0) "}", 0, "too large to exist" },
        { "{\"a\":" T("U8", "9223372036854775807,3", 0, 1) "}", 1, "too large to exist" },
        { "{\"a\":" T("F64", "2305843009213693952", 0, 0) "}", 0, "too large to exist" },
        { "{\"a\":" T("U8", "0,9223372036854775807,3", 0, 0) "}", 0, "too large to exist" },
        { "{\"a\":" T("F8", "1", 0, 1) "}", 1, "has type 'F8', known are F64" },
        { "{\"a\":" T("f32", "1", 0, 4) "}", 4, "has type 'f32'" },
        { "{\"a\":{\"dtype\":4,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "has type '?'" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4, "damaged shape" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]}}", 4, "data_offsets" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":4}}", 4, "data_offsets" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4, "only" },
        { "{\"a\":" T("U8", "3", 0, 3) ",\"b\":" T("U8", "3", 2, 5) "}", 5,
          "tensor 'b' starts at byte 2, but the one before it ends at byte 3" },
        { "{\"a\":" T("U8", "3", 0, 3) ",\"b\":" T("U8", "3", 0, 3) "}", 3, "starts at byte 0" },
        { "{\"a\":" T("U8", "2", 0, 2) ",\"b\":" T("U8", "2", 3, 5) "}", 5,
          "tensor 'b' starts at byte 3, leaving a gap from byte 2" },
        { "{\"a\":" T("U8", "2", 1, 3) "}", 3, "starts at byte 1, leaving a gap from byte 0" },
        { "{\"a\":" T("U8", "2", 0, 2) ",\"a\":" T("U8", "2", 2, 4) "}", 4, "duplicate" },
        { "{\"__metadata__\":{\"a\":\"x\",\"a\":\"y\"}}", 0, "duplicate" },
        { "{\"__metadata__\":{\"a\":1}}", 0, "metadata 'a' must be a string" },
        { "{\"__metadata__\":1}", 0, "'__metadata__' must be an object" },
        { "{\"a\\u0000b\":" T("U8", "0", 0, 0) "}", 0, "header is damaged" },
        { "{\"\xFF\":" T("U8", "0", 0, 0) "}", 0, "header is damaged" },
    };
    for (size_t i = 0; i < FEW_COUNT(rows); i++) {
        few_error err = { 0 };
        const few_status st = parse(rows[i].header, rows[i].n, &err);
        if (st != FEW_EFORMAT || !strstr(err.text, rows[i].refusal))
            print_error("%s gave: %s\n", rows[i].header, err.text);
        assert_int_equal(st, FEW_EFORMAT);
        assert_non_null(strstr(err.text, "'a.safetensors'"));
        assert_non_null(strstr(err.text, rows[i].refusal));
    }
}

/* Headers that would take much memory or stack if a parser got them. */
static void test_floods(void **state)
{
    (void)state;
    few_error err;
    few_strbuf b;
    few_strbuf_init(&b);
    few_strbuf_add(&b, "{\"a\":");
    for (int i = 0; i < 100000; i++)
        few_strbuf_add(&b, "[");
    assert_int_equal(parse(b.s, 0, &err), FEW_EFORMAT);
    few_strbuf_reset(&b);
    few_strbuf_add(&b, "{\"a\":{\"shape\":[1");
    for (int i = 0; i < 100000; i++)
        few_strbuf_add(&b, ",1");
    assert_int_equal(parse(b.s, 0, &err), FEW_EFORMAT);
    assert_non_null(strstr(err.text, "8 dimensions"));
    few_strbuf_reset(&b);
    few_strbuf_add(&b, "{\"a\":{}");
    for (int i = 0; i < 1 << 18; i++)
        few_strbuf_addf(&b, ",\"%x\":{}", i);
    assert_int_equal(parse(b.s, 0, &err), FEW_EFORMAT);
    assert_non_null(strstr(err.text, "more than 262144 tensors"));
    few_strbuf_reset(&b);
    few_strbuf_add(&b, "{\"a\":0");
    for (int i = 0; i <= 1 << 20; i++)
        few_strbuf_addf(&b, ",\"%x\":0", i);
    assert_int_equal(parse(b.s, 0, &err), FEW_EFORMAT);
    assert_non_null(strstr(err.text, "more members than"));
    few_strbuf_free(&b);
}

static void test_header_length(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {
        3, 1 << 20, 100000001, INT64_MAX, UINT64_MAX, UINT64_MAX - 7
    };
    for (size_t k = 0; k < FEW_COUNT(lengths); k++) {
        uint8_t file[10] = { 0 };
        memcpy(file + 8, "{}", 2);
        for (int i = 0; i < 8; i++)
            file[i] = (uint8_t)(lengths[k] >> (8 * i));
        few_safetensors *s;
        few_error err;
        assert_int_equal(few_safetensors_parse(file, sizeof file, "a", &s, &err), FEW_EFORMAT);
        assert_non_null(strstr(err.text, "cut off"));
    }

    /* A header past the limit in a file that is long enough; its pages are never touched. */
    const size_t n = 100000100;
    uint8_t *big =
        mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(big != MAP_FAILED);
    memcpy(big, (uint8_t[]){ 0x01, 0xe1, 0xf5, 0x05, 0, 0, 0, 0, '{', '}' }, 10);
    few_safetensors *s;
    few_error err;
    assert_int_equal(few_safetensors_parse(big, n, "a", &s, &err), FEW_EFORMAT);
    assert_non_null(strstr(err.text, "a header of 100000001 bytes, at most 100000000"));
    munmap(big, n);
}

/* Three tensors and two texts, written to `path`. */
static const float weights[6] = { 1, -2.5f, 3e-30f, 4, 5, 6e30f };
static const int64_t counter = 0x0123456789abcdef;
static const uint8_t bytes[5] = { 1, 2, 3, 4, 255 };
static const char *const text = "{\"json\": \"in \\ a string\",\n\t\"\xC3\xA4\": \x01}";

static few_status write_sample(const char *path, few_error *err)
{
    few_safetensors_writer *w;
    few_status st;
    FEW_TRY(few_safetensors_writer_create(&w, err));
    FEW_GOTO(few_safetensors_writer_add(w, "z.weight", FEW_SAFETENSORS_F32, 2, (int64_t[]){ 2, 3 },
                                        weights, err));
    FEW_GOTO(few_safetensors_writer_add(w, "a bytes", FEW_SAFETENSORS_U8, 1, (int64_t[]){ 5 },
                                        bytes, err));
    FEW_GOTO(few_safetensors_writer_add(w, "counter", FEW_SAFETENSORS_I64, 0, NULL, &counter, err));
    FEW_GOTO(few_safetensors_writer_add(w, "none", FEW_SAFETENSORS_F32, 2, (int64_t[]){ 0, 7 },
                                        NULL, err));
    FEW_GOTO(few_safetensors_writer_metadata(w, "fewstep", text, err));
    FEW_GOTO(few_safetensors_writer_metadata(w, "empty", "", err));
    st = few_safetensors_writer_write(w, path, err);
cleanup:
    few_safetensors_writer_free(w);
    return st;
}

static void expect_sample(const few_safetensors *s)
{
    assert_int_equal(few_safetensors_count(s), 4);
    static const char *const names[] = { "a bytes", "counter", "none", "z.weight" };
    for (int i = 0; i < 4; i++)
        assert_string_equal(few_safetensors_at(s, i)->name, names[i]);
    assert_null(few_safetensors_at(s, 4));
    assert_null(few_safetensors_at(s, -1));

    const few_safetensor *t = few_safetensors_find(s, "z.weight");
    assert_int_equal(t->type, FEW_SAFETENSORS_F32);
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->shape[0], 2);
    assert_int_equal(t->shape[1], 3);
    assert_int_equal(t->count, 6);
    assert_int_equal(t->bytes, sizeof weights);
    assert_memory_equal(t->data, weights, sizeof weights);
    assert_int_equal((uintptr_t)t->data % 4, 0);
    t = few_safetensors_find(s, "counter");
    assert_int_equal(t->rank, 0);
    assert_int_equal(t->count, 1);
    assert_memory_equal(t->data, &counter, sizeof counter);
    assert_int_equal((uintptr_t)t->data % 64, 0); /* the largest type comes first */
    assert_memory_equal(few_safetensors_find(s, "a bytes")->data, bytes, sizeof bytes);
    assert_int_equal(few_safetensors_find(s, "none")->count, 0);
    assert_null(few_safetensors_find(s, "weight"));

    assert_string_equal(few_safetensors_metadata(s, "fewstep"), text);
    assert_string_equal(few_safetensors_metadata(s, "empty"), "");
    assert_null(few_safetensors_metadata(s, "none"));
    const char *value;
    assert_string_equal(few_safetensors_metadata_at(s, 0, &value), "fewstep");
    assert_string_equal(value, text);
    assert_string_equal(few_safetensors_metadata_at(s, 1, NULL), "empty");
    assert_null(few_safetensors_metadata_at(s, 2, &value));
}

static void test_round_trip(void **state)
{
    (void)state;
    few_error err;
    const int64_t before = few_alloc_get_stats().bytes;
    const char *path = temp_path("a.safetensors");
    assert_int_equal(write_sample(path, &err), FEW_OK);
    few_safetensors *s;
    assert_int_equal(few_safetensors_open(path, &s, &err), FEW_OK);
    expect_sample(s);
    few_safetensors_close(s);
    assert_int_equal(count_names(temp_folder), 1);

    /* The same entries make the same bytes. */
    few_map a, b;
    assert_int_equal(write_sample(temp_path("b.safetensors"), &err), FEW_OK);
    assert_int_equal(few_map_open(&a, path, &err), FEW_OK);
    assert_int_equal(few_map_open(&b, temp_path("b.safetensors"), &err), FEW_OK);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.data, b.data, a.n);
    few_map_close(&a);
    few_map_close(&b);
    unlink(path);
    unlink(temp_path("b.safetensors"));
    assert_int_equal(few_safetensors_open(path, &s, &err), FEW_ENOTFOUND);
    assert_int_equal(few_alloc_get_stats().bytes, before);
}

static void test_empty_file(void **state)
{
    (void)state;
    few_error err;
    few_safetensors_writer *w;
    few_safetensors *s;
    const char *path = temp_path("e.safetensors");
    assert_int_equal(few_safetensors_writer_create(&w, &err), FEW_OK);
    assert_int_equal(few_safetensors_writer_write(w, path, &err), FEW_OK);
    few_safetensors_writer_free(w);
    few_safetensors_writer_free(NULL);
    assert_int_equal(few_safetensors_open(path, &s, &err), FEW_OK);
    assert_int_equal(few_safetensors_count(s), 0);
    assert_null(few_safetensors_find(s, "a"));
    assert_null(few_safetensors_metadata(s, "a"));
    assert_null(few_safetensors_metadata_at(s, 0, NULL));
    few_safetensors_close(s);
    few_safetensors_close(NULL);
    unlink(path);
}

/* Cut at every byte, and every bit flipped: refused, or still consistent; never read past. */
static void test_damage(void **state)
{
    (void)state;
    few_error err;
    few_map m;
    const char *path = temp_path("d.safetensors");
    assert_int_equal(write_sample(path, &err), FEW_OK);
    assert_int_equal(few_map_open(&m, path, &err), FEW_OK);
    few_safetensors *s;
    for (size_t n = 0; n < m.n; n++) {
        uint8_t *part = malloc(n + !n);
        assert_non_null(part);
        memcpy(part, m.data, n);
        assert_int_equal(few_safetensors_parse(part, n, "cut", &s, &err), FEW_EFORMAT);
        assert_null(s);
        free(part);
    }
    uint8_t *copy = malloc(m.n);
    assert_non_null(copy);
    for (size_t i = 0; i < m.n; i++)
        for (int flip = 1; flip < 256; flip *= 2) {
            memcpy(copy, m.data, m.n);
            copy[i] ^= (uint8_t)flip;
            if (few_safetensors_parse(copy, m.n, "flipped", &s, &err) != FEW_OK)
                continue;
            for (int k = 0; k < few_safetensors_count(s); k++) {
                const few_safetensor *t = few_safetensors_at(s, k);
                assert_true((const uint8_t *)t->data >= copy);
                assert_true((const uint8_t *)t->data + t->bytes <= copy + m.n);
            }
            few_safetensors_close(s);
        }
    free(copy);
    few_map_close(&m);
    unlink(path);
}

static void test_convert(void **state)
{
    (void)state;
    static const uint16_t halves[] = { 0x0000, 0x8000, 0x3C00, 0xC000, 0x7BFF, 0x0400,
                                       0x03FF, 0x0001, 0x8001, 0x7C00, 0xFC00, 0x3555 };
    static const float singles[] = { 0,         -0.0f,    1,          -2,
                                     65504,     0x1p-14f, 0x3FFp-24f, 0x1p-24f,
                                     -0x1p-24f, INFINITY, -INFINITY,  0x1.554p-2f };
    enum { N = 12 };
    float out[N];
    few_error err;
    few_safetensor t = { .name = "t", .type = FEW_SAFETENSORS_F16, .rank = 1, .shape = { N } };
    uint8_t odd[1 + 8 * N]; /* data need not be aligned */

    t.data = memcpy(odd + 1, halves, sizeof halves);
    assert_true(few_safetensors_measure(&t));
    assert_int_equal(few_safetensors_to_f32(&t, out, &err), FEW_OK);
    assert_memory_equal(out, singles, sizeof singles);
    memcpy(odd + 1, (uint16_t[]){ 0x7E01 }, 2);
    assert_int_equal(few_safetensors_to_f32(&t, out, &err), FEW_OK);
    assert_true(isnan(out[0]));

    /* Every finite half against arithmetic in double. */
    for (uint32_t h = 0; h < 0x7C00; h++) {
        const uint16_t half = (uint16_t)h;
        few_safetensor one = { .name = "t", .type = FEW_SAFETENSORS_F16, .data = &half };
        assert_true(few_safetensors_measure(&one));
        assert_int_equal(few_safetensors_to_f32(&one, out, &err), FEW_OK);
        const int exponent = (int)(h >> 10), fraction = (int)(h & 1023);
        assert_true(out[0] ==
                    (exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24)));
    }

    /* Every half comes back, of either sign; between two neighbours the nearer one is taken, in the
     * middle the even one; past the last there is infinity. */
    for (uint32_t h = 0; h < 0x7C00; h++) {
        const double here = h >> 10 ? ldexp(1024 + (h & 1023), (int)(h >> 10) - 25) : ldexp(h, -24);
        const double step = ldexp(1, (int)(h >> 10 ? h >> 10 : 1) - 25);
        const float middle = (float)(here + step / 2);
        const float in[] = { (float)here, -(float)here, nextafterf(middle, 0), middle,
                             nextafterf(middle, INFINITY) };
        uint16_t got[FEW_COUNT(in)];
        few_f16_from_f32(got, in, FEW_COUNT(in));
        assert_int_equal(got[0], h);
        assert_int_equal(got[1], h | 0x8000);
        assert_int_equal(got[2], h);
        assert_int_equal(got[3], h + (h & 1));
        assert_int_equal(got[4], h + 1);
    }
    const float far[] = { 65536, -1e30f, INFINITY, NAN, 1e-30f, -0x1p-149f };
    uint16_t got[FEW_COUNT(far)];
    few_f16_from_f32(got, far, FEW_COUNT(far));
    assert_int_equal(got[0], 0x7C00);
    assert_int_equal(got[1], 0xFC00);
    assert_int_equal(got[2], 0x7C00);
    assert_true((got[3] & 0x7C00) == 0x7C00 && (got[3] & 0x3FF));
    assert_int_equal(got[4], 0);
    assert_int_equal(got[5], 0x8000);

    t.type = FEW_SAFETENSORS_F32;
    t.data = memcpy(odd + 1, singles, sizeof singles);
    assert_true(few_safetensors_measure(&t));
    assert_int_equal(few_safetensors_to_f32(&t, out, &err), FEW_OK);
    assert_memory_equal(out, singles, sizeof singles);

    t.type = FEW_SAFETENSORS_BF16;
    for (int i = 0; i < N; i++)
        memcpy(odd + 1 + 2 * i, (const uint8_t *)&singles[i] + 2, 2);
    assert_int_equal(few_safetensors_to_f32(&t, out, &err), FEW_OK);
    for (int i = 0; i < N; i++)
        assert_true(out[i] == singles[i] || fabsf(out[i] / singles[i] - 1) < 0x1p-7f);
    assert_true(out[3] == -2 && isinf(out[9]));

    t.type = FEW_SAFETENSORS_F64;
    for (int i = 0; i < N; i++)
        memcpy(odd + 1 + 8 * i, &(double){ singles[i] }, 8);
    assert_int_equal(few_safetensors_to_f32(&t, out, &err), FEW_OK);
    assert_memory_equal(out, singles, sizeof singles);

    t.type = FEW_SAFETENSORS_I64;
    assert_int_equal(few_safetensors_to_f32(&t, out, &err), FEW_EUNSUPPORTED);
    assert_string_equal(err.text, "tensor 't' has type I64, wanted are floats");
}

static void test_writer_refusals(void **state)
{
    (void)state;
    few_error err;
    few_safetensors_writer *w;
    const char *path = temp_path("w.safetensors");
    const int64_t one = 1, minus = -1, huge[] = { INT64_MAX, 3 }, empty[] = { 0, INT64_MAX, 3 };
    assert_int_equal(few_safetensors_writer_create(&w, &err), FEW_OK);
    const few_safetensors_type u8 = FEW_SAFETENSORS_U8;
    assert_int_equal(few_safetensors_writer_add(w, "", u8, 1, &one, "x", &err), FEW_EINVAL);
    assert_int_equal(few_safetensors_writer_add(w, "\xFF", u8, 1, &one, "x", &err), FEW_EINVAL);
    assert_int_equal(few_safetensors_writer_add(w, "__metadata__", u8, 1, &one, "x", &err),
                     FEW_EINVAL);
    assert_int_equal(few_safetensors_writer_add(w, "a", u8, 9, huge, "x", &err), FEW_EINVAL);
    assert_int_equal(few_safetensors_writer_add(w, "a", u8, 1, &minus, "x", &err), FEW_EINVAL);
    assert_int_equal(few_safetensors_writer_add(w, "a", u8, 2, huge, "x", &err), FEW_EINVAL);
    assert_int_equal(few_safetensors_writer_add(w, "a", u8, 3, empty, "x", &err), FEW_EINVAL);
    assert_int_equal(few_safetensors_writer_add(w, "a", u8, 1, &one, NULL, &err), FEW_EINVAL);
    assert_int_equal(few_safetensors_writer_metadata(w, "k", "\xFF", &err), FEW_EINVAL);
    assert_int_equal(few_safetensors_writer_metadata(w, "k", "v", &err), FEW_OK);
    assert_int_equal(few_safetensors_writer_metadata(w, "k", "v", &err), FEW_EINVAL);
    assert_int_equal(few_safetensors_writer_add(w, "a", u8, 1, &one, "x", &err), FEW_OK);
    assert_int_equal(few_safetensors_writer_add(w, "b", u8, 1, &one, "x", &err), FEW_OK);
    assert_int_equal(
        few_safetensors_writer_add(w, "a", FEW_SAFETENSORS_F32, 1, &one, weights, &err), FEW_OK);
    assert_int_equal(few_safetensors_writer_write(w, path, &err), FEW_EINVAL);
    assert_string_equal(err.text, "tensor 'a' is given twice");
    assert_false(few_is_file(path));
    few_safetensors_writer_free(w);
}

/* Every request of writing and reading fails once: an error, nothing left behind, nothing leaked.
 */
static void test_allocation_failures(void **state)
{
    (void)state;
    few_error err;
    const char *path = temp_path("f.safetensors");
    const int64_t before = few_alloc_get_stats().bytes;
    int failures = 0;
    few_status st = FEW_ENOMEM;
    for (int64_t n = 1; st != FEW_OK; n++) {
        few_safetensors *s = NULL;
        few_alloc_fail_at(n);
        st = write_sample(path, &err);
        const bool written = st == FEW_OK;
        if (written)
            st = few_safetensors_open(path, &s, &err);
        few_alloc_fail_at(0);
        failures += st != FEW_OK;
        assert_true(st == FEW_OK || st == FEW_ENOMEM);
        assert_int_equal(count_names(temp_folder), written);
        if (s)
            expect_sample(s);
        few_safetensors_close(s);
        unlink(path);
        assert_int_equal(few_alloc_get_stats().bytes, before);
    }
    assert_true(failures >= 15);
}

/* A disk that fills up at any byte leaves the older file. */
static void test_full_disk(void **state)
{
    (void)state;
    few_error err;
    few_map m;
    const char *path = temp_path("g.safetensors");
    assert_int_equal(write_sample(path, &err), FEW_OK);
    assert_int_equal(few_map_open(&m, path, &err), FEW_OK);
    static const float large[50000] = { 1 };
    struct rlimit r;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
    static const rlim_t sizes[] = { 0, 4, 100, 4096, 100000, 200000 };
    for (size_t i = 0; i < FEW_COUNT(sizes); i++) {
        few_safetensors_writer *w;
        assert_int_equal(few_safetensors_writer_create(&w, &err), FEW_OK);
        assert_int_equal(few_safetensors_writer_add(w, "t", FEW_SAFETENSORS_F32, 1,
                                                    (int64_t[]){ 50000 }, large, &err),
                         FEW_OK);
        const struct rlimit small = { sizes[i], r.rlim_max };
        setrlimit(RLIMIT_FSIZE, &small);
        const few_status st = few_safetensors_writer_write(w, path, &err);
        setrlimit(RLIMIT_FSIZE, &r);
        few_safetensors_writer_free(w);
        assert_int_equal(st, FEW_EIO);
        assert_non_null(strstr(err.text, "File too large"));
        assert_int_equal(count_names(temp_folder), 1);
        few_map now;
        assert_int_equal(few_map_open(&now, path, &err), FEW_OK);
        assert_int_equal(now.n, m.n);
        assert_memory_equal(now.data, m.data, m.n);
        few_map_close(&now);
    }
    few_map_close(&m);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),        cmocka_unit_test(test_hostile_headers),
        cmocka_unit_test(test_floods),          cmocka_unit_test(test_header_length),
        cmocka_unit_test(test_round_trip),      cmocka_unit_test(test_empty_file),
        cmocka_unit_test(test_damage),          cmocka_unit_test(test_convert),
        cmocka_unit_test(test_writer_refusals), cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, make_temp_folder, remove_temp_folder);
}
