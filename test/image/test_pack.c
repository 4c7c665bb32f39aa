/* The data file: written and read back, cut at every length, every bit flipped, every allocation
 * and the disk failing. */
#include "base/alloc.h"
#include "image/make.h"
#include "image/pack.h"

#include <signal.h>
#include <sys/resource.h>
#include <xxhash.h>

static const char *const names[] = { "cat", "dog \"big\"", "\xc3\xa9l\xc3\xa9phant" };
static const char *const transforms[] = { "crop to 5 x 3", "mirrored copies" };

enum { H = 3, W = 5, C = 3, BYTES = H * W * C };

static few_pack_plan plan_of(bool labels)
{
    return (few_pack_plan){ .height = H,
                            .width = W,
                            .channels = C,
                            .n_classes = labels ? 3 : 0,
                            .classes = labels ? names : NULL,
                            .source = "a test",
                            .n_transforms = 2,
                            .transforms = transforms };
}

/* n images, image i of class i mod 2. */
static few_status write_pack(const char *path, const few_pack_plan *plan, int n, few_error *err)
{
    few_pack_writer *w;
    FEW_TRY(few_pack_writer_open(&w, path, plan, err));
    for (int i = 0; i < n; i++) {
        uint8_t *p = pixels(i, H, W, C);
        const few_status st = few_pack_writer_add(w, p, i % 2, err);
        free(p);
        if (st != FEW_OK) {
            few_pack_writer_abandon(w);
            return st;
        }
    }
    return few_pack_writer_commit(w, err);
}

/* The file of a pack with or without labels, in memory. */
static bytes pack_bytes(bool labels, int n)
{
    const few_pack_plan plan = plan_of(labels);
    const char *path = in_folder("bytes.few");
    assert_ok(write_pack(path, &plan, n, err));
    return get_file(path);
}

static void test_written_is_read(void **state)
{
    (void)state;
    for (int labels = 0; labels < 2; labels++)
        for (int n = 1; n < 8; n += 3) {
            const few_pack_plan plan = plan_of(labels);
            const char *path = in_folder("a.few");
            few_pack *p;
            assert_ok(write_pack(path, &plan, n, err));
            assert_ok(few_pack_open(&p, path, err));
            const few_pack_info *info = few_pack_get_info(p);
            assert_int_equal(info->count, n);
            assert_int_equal(info->height, H);
            assert_int_equal(info->width, W);
            assert_int_equal(info->channels, C);
            assert_int_equal(info->has_labels, labels);
            assert_int_equal(info->n_classes, labels ? 3 : 0);
            for (int k = 0; k < info->n_classes; k++) {
                assert_string_equal(info->classes[k].name, names[k]);
                assert_int_equal(info->classes[k].count, k == 2 ? 0 : (n + 1 - k) / 2);
            }
            assert_string_equal(info->source, "a test");
            assert_int_equal(info->n_transforms, 2);
            assert_string_equal(info->transforms[1], transforms[1]);
            for (int i = 0; i < n; i++) {
                uint8_t *want = pixels(i, H, W, C);
                assert_memory_equal(few_pack_image(p, i), want, BYTES);
                assert_int_equal(few_pack_label(p, i), labels ? i % 2 : -1);
                free(want);
            }
            assert_int_equal((uintptr_t)few_pack_image(p, 0) % 4096, 0);
            const XXH128_hash_t h = XXH3_128bits(few_pack_image(p, 0), (size_t)n * BYTES);
            char hex[33];
            snprintf(hex, sizeof hex, "%016llx%016llx", (unsigned long long)h.high64,
                     (unsigned long long)h.low64);
            assert_string_equal(info->pixels_hash, hex);
            assert_int_equal(strlen(info->hash), 32);
            assert_ok(few_pack_verify(p, err));
            few_pack_close(p);
        }
}

/* The name of a data set depends on pixels, labels and shape, and on nothing else. */
static void test_hash_names_the_data(void **state)
{
    (void)state;
    static const struct {
        int h, w, label;
        uint8_t first;
        const char *source;
    } cases[] = { { 2, 4, 0, 7, "a" },
                  { 2, 4, 0, 7, "b" },
                  { 4, 2, 0, 7, "a" },
                  { 2, 4, 1, 7, "a" },
                  { 2, 4, 0, 8, "a" } };
    char hash[5][33];
    for (int i = 0; i < 5; i++) {
        const few_pack_plan plan = { .height = cases[i].h,
                                     .width = cases[i].w,
                                     .channels = 1,
                                     .n_classes = 2,
                                     .source = cases[i].source };
        uint8_t p[8] = { cases[i].first };
        few_pack_writer *w;
        few_pack *pack;
        assert_ok(few_pack_writer_open(&w, in_folder("h.few"), &plan, err));
        assert_ok(few_pack_writer_add(w, p, cases[i].label, err));
        assert_ok(few_pack_writer_commit(w, err));
        assert_ok(few_pack_open(&pack, in_folder("h.few"), err));
        assert_string_equal(few_pack_get_info(pack)->classes[1].name, "1");
        strcpy(hash[i], few_pack_get_info(pack)->hash);
        few_pack_close(pack);
    }
    assert_string_equal(hash[0], hash[1]);
    for (int i = 2; i < 5; i++)
        assert_string_not_equal(hash[0], hash[i]);
}

static void test_truncation(void **state)
{
    (void)state;
    for (int labels = 0; labels < 2; labels++) {
        const bytes b = pack_bytes(labels, 3);
        for (size_t n = 0; n <= b.n + 4; n++) {
            if (n == b.n)
                continue;
            uint8_t *cut = calloc(1, n ? n : 1);
            memcpy(cut, b.p, n < b.n ? n : b.n);
            few_pack *p;
            few_error err = { 0 };
            const few_status st = few_pack_open_memory(&p, "cut.few", cut, n, &err);
            if (st != FEW_EFORMAT)
                fail_msg("%zu of %zu bytes: %s", n, b.n, few_status_text(st));
            assert_contains(err.text, "cut.few");
            free(cut);
        }
        put_file("cut.few", b.p, b.n - 1);
        few_pack *p;
        few_error err;
        assert_int_equal(few_pack_open(&p, in_folder("cut.few"), &err), FEW_EFORMAT);
        assert_contains(err.text, "cut.few");
        put_file("cut.few", b.p, 0);
        assert_int_equal(few_pack_open(&p, in_folder("cut.few"), &err), FEW_EFORMAT);
        free(b.p);
    }
}

/* Any single bit anywhere is found, by opening or by verifying. */
static void test_bit_flips(void **state)
{
    (void)state;
    for (int labels = 0; labels < 2; labels++) {
        const bytes b = pack_bytes(labels, 3);
        int opened = 0;
        for (size_t i = 0; i < 8 * b.n; i++) {
            few_pack *p;
            b.p[i / 8] ^= (uint8_t)(1 << i % 8);
            few_status st = few_pack_open_memory(&p, "flip.few", b.p, b.n, NULL);
            if (st == FEW_OK) {
                few_error err = { 0 };
                opened++;
                st = few_pack_verify(p, &err);
                assert_contains(err.text, "flip.few");
                few_pack_close(p);
            }
            if (st != FEW_EFORMAT)
                fail_msg("bit %zu of byte %zu was not noticed", i % 8, i / 8);
            b.p[i / 8] ^= (uint8_t)(1 << i % 8);
        }
        assert_true(opened >= 3 * BYTES * 8); /* pixels are left to verify */
        free(b.p);
    }
}

/* A head of our own with a right checksum: its content is checked, too. */
static void open_head(const char *json, size_t body, few_status want, const char *part)
{
    const size_t n = 4096 + body;
    uint8_t *b = calloc(1, n);
    memcpy(b, "fewpack\n\x01\0\0\0\xe0\x0f\0\0", 16);
    memset(b + 32, ' ', 4064);
    memcpy(b + 32, json, strlen(json));
    const uint64_t h = XXH3_64bits(b + 32, 4064);
    memcpy(b + 16, &h, 8);
    few_pack *p;
    few_error err = { 0 };
    const few_status st = few_pack_open_memory(&p, "head.few", b, n, &err);
    if (st != want)
        fail_msg("%s: %s (%s)", json, few_status_text(st), err.text);
    if (st == FEW_OK)
        few_pack_close(p);
    else
        assert_contains(err.text, part);
    free(b);
}

#define HASH "\"0123456789abcdef0123456789abcdef\""
#define REST ", \"source\": \"s\", \"transforms\": [], \"pixels_xxh3_128\": " HASH "}"
#define SHAPE "\"height\": 2, \"width\": 2, \"channels\": 1"

static void test_heads(void **state)
{
    (void)state;
    const few_status bad = FEW_EFORMAT;
    open_head("{\"count\": 2, " SHAPE ", \"labels\": false, \"classes\": []" REST, 8, FEW_OK, "");
    open_head("{\"count\": 3, " SHAPE ", \"labels\": false, \"classes\": []" REST, 8, bad,
              "wanted");
    open_head("{\"count\": 0, " SHAPE ", \"labels\": false, \"classes\": []" REST, 0, bad, "count");
    open_head("{\"count\": -1, " SHAPE ", \"labels\": false, \"classes\": []" REST, 8, bad,
              "count");
    open_head("{\"count\": 2.0, " SHAPE ", \"labels\": false, \"classes\": []" REST, 8, bad,
              "count");
    open_head("{\"count\": 9223372036854775807, " SHAPE ", \"labels\": false, \"classes\": []" REST,
              8, bad, "count");
    open_head("{\"count\": 2147483647, \"height\": 16384, \"width\": 16384, \"channels\": 3, "
              "\"labels\": true, \"classes\": []" REST,
              8, bad, "wanted");
    open_head("{\"count\": 2, \"height\": 2, \"width\": 1, \"channels\": 2, \"labels\": false, "
              "\"classes\": []" REST,
              8, bad, "channels");
    open_head("{\"count\": 2, \"count\": 2, " SHAPE ", \"labels\": false, \"classes\": []" REST, 8,
              bad, "JSON");
    open_head("{\"count\": 2, " SHAPE ", \"labels\": 0, \"classes\": []" REST, 8, bad, "labels");
    open_head("{\"count\": 2, " SHAPE ", \"labels\": true, \"classes\": []" REST, 16, bad,
              "classes");
    open_head("{\"count\": 2, " SHAPE ", \"labels\": false, \"classes\": [1]" REST, 8, bad,
              "classes");
    open_head("{\"count\": 2, " SHAPE ", \"labels\": true, \"labels_xxh3_128\": " HASH
              ", \"classes\": [{\"name\": \"a\", \"count\": 2}]" REST,
              16, FEW_OK, "");
    open_head("{\"count\": 2, " SHAPE ", \"labels\": true, \"labels_xxh3_128\": " HASH
              ", \"classes\": [{\"name\": \"a\", \"count\": 1}]" REST,
              16, bad, "do not match");
    open_head("{\"count\": 2, " SHAPE ", \"labels\": true, \"classes\": [{\"name\": \"a\", "
              "\"count\": 2}]" REST,
              16, bad, "labels_xxh3_128");
    open_head("{\"count\": 2, " SHAPE ", \"labels\": true, \"classes\": [{\"count\": 2}]" REST, 16,
              bad, "name");
    open_head("[]", 8, bad, "JSON");
    open_head("", 8, bad, "JSON");
    few_pack *p;
    few_error err;
    uint32_t later[8] = { 0 };
    memcpy(later, "fewpack\n\x02\0\0\0", 12);
    assert_int_equal(few_pack_open_memory(&p, "x", later, 32, &err), FEW_EFORMAT);
    assert_contains(err.text, "version 2");
    assert_int_equal(few_pack_open(&p, "/nowhere/x.few", &err), FEW_ENOTFOUND);
}

static void test_writer_refuses(void **state)
{
    (void)state;
    few_pack_writer *w;
    few_error why;
    const char *path = in_folder("r.few");
    few_pack_plan plan = plan_of(true);
    const uint8_t p[BYTES] = { 0 };
    assert_ok(few_pack_writer_open(&w, path, &plan, err));
    assert_int_equal(few_pack_writer_add(w, p, 3, &why), FEW_EINVAL);
    assert_int_equal(few_pack_writer_add(w, p, -1, &why), FEW_EINVAL);
    assert_int_equal(few_pack_writer_commit(w, &why), FEW_EINVAL);
    assert_contains(why.text, "no images");
    plan.channels = 4;
    assert_int_equal(few_pack_writer_open(&w, path, &plan, &why), FEW_EINVAL);
    plan = plan_of(true);
    plan.classes = (const char *const[]){ "a", "\xff\xfe", "c" };
    assert_int_equal(few_pack_writer_open(&w, path, &plan, &why), FEW_EINVAL);
    assert_contains(why.text, "UTF-8");
    plan = plan_of(true);
    assert_int_equal(few_pack_writer_open(&w, in_folder("no/such/r.few"), &plan, &why), FEW_EIO);
    few_pack_writer_abandon(NULL);
    assert_int_equal(access(in_folder("r.few"), F_OK), -1);
    assert_int_equal(count_matching("tmp"), 0);
}

/* A limit on the size of files stands for a full disk. */
static void test_disk_full(void **state)
{
    (void)state;
    const few_pack_plan plan = plan_of(true);
    put_file("old.few", "old", 3);
    struct rlimit was, small;
    getrlimit(RLIMIT_FSIZE, &was);
    small = was;
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t room = 0; room < 12288; room += 4096) {
        few_error why = { 0 };
        small.rlim_cur = room;
        setrlimit(RLIMIT_FSIZE, &small);
        const few_status st = write_pack(in_folder("old.few"), &plan, 200, &why);
        setrlimit(RLIMIT_FSIZE, &was);
        assert_int_equal(st, FEW_EIO);
        assert_contains(why.text, "old.few");
        const bytes b = get_file(in_folder("old.few"));
        assert_int_equal(b.n, 3);
        free(b.p);
        assert_int_equal(count_matching("tmp"), 0);
    }
    assert_ok(write_pack(in_folder("old.few"), &plan, 200, err));
}

static void test_no_memory(void **state)
{
    (void)state;
    const few_pack_plan plan = plan_of(true);
    const char *path = in_folder("m.few");
    const int64_t live = few_alloc_get_stats().bytes;
    int failures = 0;
    for (int n = 1;; n++) { /* writing */
        few_error err = { 0 };
        few_alloc_fail_at(n);
        const few_status st = write_pack(path, &plan, 5, &err);
        few_alloc_fail_at(0);
        assert_int_equal(few_alloc_get_stats().bytes, live);
        assert_int_equal(count_matching("tmp"), 0);
        if (st == FEW_OK)
            break;
        assert_int_equal(st, FEW_ENOMEM);
        assert_int_equal(access(path, F_OK), -1);
        failures++;
    }
    assert_true(failures >= 5);
    failures = 0;
    for (int n = 1;; n++) { /* opening */
        few_pack *p;
        few_error err = { 0 };
        few_alloc_fail_at(n);
        const few_status st = few_pack_open(&p, path, &err);
        few_alloc_fail_at(0);
        if (st == FEW_OK) {
            few_pack_close(p);
            break;
        }
        assert_int_equal(st, FEW_ENOMEM);
        assert_int_equal(few_alloc_get_stats().bytes, live);
        failures++;
    }
    assert_true(failures >= 4);
    assert_int_equal(few_alloc_get_stats().bytes, live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_is_read), cmocka_unit_test(test_hash_names_the_data),
        cmocka_unit_test(test_truncation),      cmocka_unit_test(test_bit_flips),
        cmocka_unit_test(test_heads),           cmocka_unit_test(test_writer_refuses),
        cmocka_unit_test(test_disk_full),       cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
