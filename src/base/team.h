/* A few threads that share pieces of work which take microseconds.
 *
 * An OpenMP region ends when each of its threads has come, so on a machine where another program
 * has one of the cores, every region takes that program's time slice: milliseconds. Here the pieces
 * are taken one by one, and who takes none is not waited for. */
#ifndef FEW_BASE_TEAM_H
#define FEW_BASE_TEAM_H

#include "base/status.h"

typedef struct few_team few_team;

/* The caller and n - 1 threads more (n from 1). Fails: FEW_ENOMEM when they cannot be had. */
few_status few_team_create(few_team **t, int n, few_error *err);
void few_team_free(few_team *t);      /* may be NULL */
int few_team_size(const few_team *t); /* NULL: 1 */

/* fn(user, piece, member) for every piece 0..pieces-1, each once, by whichever
 * member 0..size-1 comes first; returns when all are done. Denormals are flushed in the team's
 * threads. By one caller at a time; t may be NULL. */
void few_team_run(few_team *t, int pieces, void (*fn)(void *user, int piece, int member),
                  void *user);

#endif
