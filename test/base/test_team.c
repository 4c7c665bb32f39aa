/* A team does every piece once, whoever of it comes, and its threads compute as workers do. */
#include "base/alloc.h"
#include "base/team.h"
#include "base/thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { MOST = 1000, MANY = 200000 };

struct job {
    int team;
    atomic_int did[MOST], busy[16];
    volatile float tiny;
    atomic_int kept; /* pieces that did not flush a denormal */
};

static void piece(void *user, int k, int member)
{
    struct job *j = user;
    assert_in_range(member, 0, j->team - 1);
    assert_int_equal(atomic_fetch_add(&j->busy[member], 1), 0); /* one piece at a time */
    atomic_fetch_add(&j->did[k], 1);
    if (member)
        atomic_fetch_add(&j->kept, j->tiny * 0.5f != 0);
    for (volatile int i = 0; i < k % 7 * 100; i++)
        ;
    atomic_fetch_sub(&j->busy[member], 1);
}

static void count_piece(void *user, int k, int member)
{
    (void)member;
    atomic_fetch_add(&((atomic_uchar *)user)[k], 1);
}

/* More than a job has room for, too. */
static void many_pieces_are_done_once(void **state)
{
    static const int pieces[] = { 65535, 65536, 65537, 131070, 131072, MANY };
    static atomic_uchar did[MANY];
    (void)state;
    few_team *t;
    few_error err;
    assert_int_equal(few_team_create(&t, 3, &err), FEW_OK);
    for (size_t n = 0; n < FEW_COUNT(pieces); n++) {
        memset(did, 0, sizeof did);
        few_team_run(t, pieces[n], count_piece, did);
        for (int k = 0; k < MANY; k++)
            assert_int_equal(did[k], k < pieces[n]);
    }
    few_team_free(t);
}

static void every_piece_is_done_once(void **state)
{
    static const int pieces[] = { 0, 1, 2, 3, 5, 17, MOST };
    (void)state;
    for (int n = 0; n <= 5; n++) {
        few_team *t = NULL;
        few_error err;
        if (n)
            assert_int_equal(few_team_create(&t, n, &err), FEW_OK);
        assert_int_equal(few_team_size(t), n ? n : 1);
        for (int run = 0; run < 700; run++) {
            static struct job j;
            const int count = pieces[run % 7];
            memset(&j, 0, sizeof j);
            j.team = n ? n : 1;
            j.tiny = 1.5e-38f;
            few_team_run(t, count, piece, &j);
            for (int k = 0; k < MOST; k++)
                assert_int_equal(j.did[k], k < count);
#ifdef __x86_64__
            assert_int_equal(j.kept, 0);
#endif
            if (run % 100 == 99) /* its threads fall asleep and wake again */
                nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
        }
        few_team_free(t);
    }
}

/* Pieces that sleep show that others take theirs meanwhile: two threads need half of the time. */
static void slow_piece(void *user, int k, int member)
{
    (void)k;
    atomic_fetch_add((atomic_int *)user + member, 1);
    nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
}

static void all_take_part(void **state)
{
    (void)state;
    few_team *t;
    few_error err;
    atomic_int did[3] = { 0 };
    assert_int_equal(few_team_create(&t, 3, &err), FEW_OK);
    few_team_run(t, 300, slow_piece, did);
    for (int k = 0; k < 3; k++)
        assert_in_range(did[k], 1, 298);
    assert_int_equal(did[0] + did[1] + did[2], 300);
    few_team_free(t);
    few_team_free(NULL);
}

static void no_memory(void **state)
{
    (void)state;
    few_team *t;
    few_error err;
    const int64_t before = few_alloc_get_stats().bytes;
    for (int k = 1; k <= 2; k++) {
        few_alloc_fail_at(k);
        assert_int_equal(few_team_create(&t, 2, &err), FEW_ENOMEM);
        few_alloc_fail_at(0);
        assert_null(t);
        assert_int_equal(few_alloc_get_stats().bytes, before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_piece_is_done_once),
        cmocka_unit_test(many_pieces_are_done_once),
        cmocka_unit_test(all_take_part),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
