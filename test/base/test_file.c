/* Files that appear whole or not at all, maps, folders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/temp_folder.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void expect_content(const char *path, const char *content)
{
    few_map m;
    few_error err;
    assert_int_equal(few_map_open(&m, path, &err), FEW_OK);
    assert_int_equal(m.n, strlen(content));
    assert_memory_equal(m.data, content, m.n);
    few_map_close(&m);
}

/* No file of this process may grow past `bytes` from now on: a disk that is full, for anyone. */
static void limit_file_size(rlim_t bytes)
{
    struct rlimit r;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
    r.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static void test_write_and_replace(void **state)
{
    (void)state;
    few_error err;
    const char *path = temp_path("a.txt");
    assert_int_equal(few_write_file(path, "one", 3, &err), FEW_OK);
    expect_content(path, "one");
    few_map old;
    assert_int_equal(few_map_open(&old, path, &err), FEW_OK);
    assert_int_equal(few_write_file(path, "second", 6, &err), FEW_OK);
    expect_content(path, "second");
    assert_memory_equal(old.data, "one", 3); /* an open map keeps what it saw */
    few_map_close(&old);
    assert_int_equal(few_write_file(path, NULL, 0, &err), FEW_OK);
    expect_content(path, "");
    assert_int_equal(count_names(temp_folder), 1);
    unlink(path);
}

static void test_abandon(void **state)
{
    (void)state;
    few_error err;
    const char *path = temp_path("b.txt");
    assert_int_equal(few_write_file(path, "old", 3, &err), FEW_OK);
    few_atomic_file a;
    assert_int_equal(few_atomic_open(&a, path, &err), FEW_OK);
    fputs("new", a.f);
    fflush(a.f);
    expect_content(path, "old"); /* nothing seen before the commit */
    assert_int_equal(count_names(temp_folder), 2);
    few_atomic_abandon(&a);
    few_atomic_abandon(&a);
    expect_content(path, "old");
    assert_int_equal(count_names(temp_folder), 1);
    unlink(path);
}

static void test_two_at_once(void **state)
{
    (void)state;
    few_error err;
    few_atomic_file a, b;
    const char *path = temp_path("c.txt");
    assert_int_equal(few_atomic_open(&a, path, &err), FEW_OK);
    assert_int_equal(few_atomic_open(&b, path, &err), FEW_OK);
    fputs("aaa", a.f);
    fputs("b", b.f);
    assert_int_equal(few_atomic_commit(&a, &err), FEW_OK);
    assert_int_equal(few_atomic_commit(&b, &err), FEW_OK);
    expect_content(path, "b");
    assert_int_equal(count_names(temp_folder), 1);
    unlink(path);
}

static void test_full_disk(void **state)
{
    (void)state;
    few_error err;
    static char big[100000];
    const char *path = temp_path("d.txt");
    assert_int_equal(few_write_file(path, "old", 3, &err), FEW_OK);

    limit_file_size(5000);
    /* Noticed by the write itself, and only at the flush of the commit. */
    static const size_t sizes[] = { sizeof big, 5001, 4097 * 2 };
    for (size_t i = 0; i < FEW_COUNT(sizes); i++) {
        assert_int_equal(few_write_file(path, big, sizes[i], &err), FEW_EIO);
        assert_non_null(strstr(err.text, path));
        assert_non_null(strstr(err.text, "File too large"));
        expect_content(path, "old");
        assert_int_equal(count_names(temp_folder), 1);
    }
    /* A failed write that nobody looked at still fails the commit. */
    few_atomic_file a;
    assert_int_equal(few_atomic_open(&a, path, &err), FEW_OK);
    for (int i = 0; i < 10000; i++)
        fputs("some text", a.f);
    assert_int_equal(few_atomic_commit(&a, &err), FEW_EIO);
    expect_content(path, "old");
    assert_int_equal(count_names(temp_folder), 1);
    limit_file_size(RLIM_INFINITY);
    unlink(path);
}

static void test_refused_places(void **state)
{
    (void)state;
    few_error err;
    assert_int_equal(few_write_file(temp_path("none/x"), "x", 1, &err), FEW_EIO);
    assert_non_null(strstr(err.text, "No such file"));
    assert_int_equal(few_write_file(temp_folder, "x", 1, &err), FEW_EIO);
    assert_non_null(strstr(err.text, "it is a folder"));
    assert_int_equal(few_write_file("/dev/null", "x", 1, &err), FEW_EIO); /* not replaced */
    assert_non_null(strstr(err.text, "not a regular file"));
    assert_false(few_is_file("/dev/null"));
    assert_int_equal(count_names(temp_folder), 0);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    few_error err;
    const char *path = temp_path("e.txt");
    const int64_t before = few_alloc_get_stats().bytes;
    int failures = 0;
    for (int64_t n = 1;; n++) {
        few_alloc_fail_at(n);
        const few_status st = few_write_file(path, "x", 1, &err);
        few_alloc_fail_at(0);
        assert_int_equal(few_alloc_get_stats().bytes, before);
        if (st == FEW_OK)
            break;
        assert_int_equal(st, FEW_ENOMEM);
        assert_int_equal(count_names(temp_folder), 0);
        failures++;
    }
    assert_true(failures >= 3);
    expect_content(path, "x");
    unlink(path);
}

static void test_maps(void **state)
{
    (void)state;
    few_error err;
    few_map m;
    assert_int_equal(few_map_open(&m, temp_path("none"), &err), FEW_ENOTFOUND);
    assert_int_equal(few_map_open(&m, temp_folder, &err), FEW_EIO);
    few_map_close(&m);

    assert_int_equal(few_write_file(temp_path("empty"), NULL, 0, &err), FEW_OK);
    assert_int_equal(few_map_open(&m, temp_path("empty"), &err), FEW_OK);
    assert_non_null(m.data);
    assert_int_equal(m.n, 0);
    few_map_close(&m);
    few_map_close(&m);
    unlink(temp_path("empty"));

    /* A file that claims to be empty, and a pipe with more than one buffer in it. */
    assert_int_equal(few_map_open(&m, "/proc/self/status", &err), FEW_OK);
    assert_false(m.mapped);
    assert_true(m.n > 100);
    few_map_close(&m);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    char path[32];
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    const pid_t child = fork();
    if (child == 0) {
        char block[1000];
        for (int i = 0; i < 200; i++) {
            memset(block, i, sizeof block);
            if (write(ends[1], block, sizeof block) != sizeof block)
                _exit(1);
        }
        _exit(0);
    }
    close(ends[1]);
    assert_int_equal(few_map_open(&m, path, &err), FEW_OK);
    assert_int_equal(m.n, 200000);
    for (size_t i = 0; i < m.n; i++)
        assert_int_equal(m.data[i], i / 1000);
    few_map_close(&m);
    close(ends[0]);
}

static void test_folders(void **state)
{
    (void)state;
    few_error err;
    char *deep = few_path_join(temp_folder, "x/y//z/");
    assert_int_equal(few_make_folders(deep, &err), FEW_OK);
    assert_int_equal(few_make_folders(deep, &err), FEW_OK);
    assert_true(few_is_folder(deep));
    assert_false(few_is_file(deep));
    few_free(deep);
    assert_int_equal(few_make_folders("/", &err), FEW_OK);
    assert_int_equal(few_sync_folder(temp_folder, &err), FEW_OK);
    assert_int_equal(few_sync_folder(temp_path("none"), &err), FEW_EIO);

    assert_int_equal(few_write_file(temp_path("x/file"), "", 0, &err), FEW_OK);
    assert_int_equal(few_make_folders(temp_path("x/file/under"), &err), FEW_EIO);
    assert_non_null(strstr(err.text, "x/file'"));

    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof name, "x/n%d", (i * 7) % 40);
        assert_int_equal(few_write_file(temp_path(name), "", 0, &err), FEW_OK);
    }
    char **names;
    int n;
    assert_int_equal(few_list_folder(temp_path("x"), &names, &n, &err), FEW_OK);
    assert_int_equal(n, 42);
    for (int i = 1; i < n; i++)
        assert_true(strcmp(names[i - 1], names[i]) < 0);
    assert_string_equal(names[0], "file");
    assert_string_equal(names[n - 1], "y");
    few_free_names(names, n);
    assert_int_equal(few_list_folder(temp_path("none"), &names, &n, &err), FEW_ENOTFOUND);

    const int64_t before = few_alloc_get_stats().bytes;
    few_status st = FEW_ENOMEM;
    for (int64_t k = 1; st != FEW_OK; k++) {
        few_alloc_fail_at(k);
        st = few_list_folder(temp_path("x"), &names, &n, &err);
        few_alloc_fail_at(0);
        assert_true(st == FEW_OK || (st == FEW_ENOMEM && n == 0 && !names));
        few_free_names(names, n);
        assert_int_equal(few_alloc_get_stats().bytes, before);
    }
}

static void test_join(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        { "a", "b", "a/b" },
        { "a/", "b", "a/b" },
        { "", "b", "b" },
        { "/", "b", "/b" },
    };
    for (size_t i = 0; i < FEW_COUNT(rows); i++) {
        char *p = few_path_join(rows[i][0], rows[i][1]);
        assert_string_equal(p, rows[i][2]);
        few_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_and_replace),
        cmocka_unit_test(test_abandon),
        cmocka_unit_test(test_two_at_once),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_refused_places),
        cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_maps),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_join),
    };
    return cmocka_run_group_tests(tests, make_temp_folder, remove_temp_folder);
}
