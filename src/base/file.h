/* Files that appear whole or not at all, and read-only maps. */
#ifndef FEW_BASE_FILE_H
#define FEW_BASE_FILE_H

#include "base/status.h"

#include <stdio.h>

/* A file being written under a temporary name beside its own. Write with few_atomic_write or
 * through `f` (buffered; errors stick to it), then commit or abandon. Commit: flush, fsync, rename,
 * fsync of the folder. Every failure path removes the temporary and leaves an older file of that
 * name as it was. */
typedef struct few_atomic_file {
    FILE *f;
    char *path, *temp;
} few_atomic_file;

few_status few_atomic_open(few_atomic_file *a, const char *path, few_error *err);
/* n bytes; a failure names the file and the system's reason. */
few_status few_atomic_write(few_atomic_file *a, const void *data, size_t n, few_error *err);
few_status few_atomic_commit(few_atomic_file *a, few_error *err); /* closes in every case */
void few_atomic_abandon(few_atomic_file *a); /* fine after commit or failed open */

/* Write a whole buffer that way. */
few_status few_write_file(const char *path, const void *data, size_t n, few_error *err);

/* A whole file mapped read-only, or read into memory when it cannot be mapped. data is never NULL
 * after success, and an empty file has n = 0. The map is private: it does not follow later
 * renames over the path. */
typedef struct few_map {
    const uint8_t *data;
    size_t n;
    bool mapped;
} few_map;

few_status few_map_open(few_map *m, const char *path, few_error *err);
void few_map_close(few_map *m);

few_status few_make_folders(const char *path, few_error *err); /* like mkdir -p */
/* A lock on a file, made when it is missing: held by one process at a time, let go when that ends,
 * however it ends. FEW_EBUSY: another one has it. */
few_status few_lock(const char *path, int *lock, few_error *err);
void few_unlock(int lock); /* -1 is fine */
few_status few_sync_folder(const char *path, few_error *err);
bool few_is_folder(const char *path);
bool few_is_file(const char *path);
/* "a/b" joined with few_malloc; the caller frees; NULL when out of memory. */
char *few_path_join(const char *a, const char *b);

/* Sorted names (byte order, no "." or "..") in a folder; free each and the array with
 * few_free_names. */
few_status few_list_folder(const char *path, char ***names, int *n, few_error *err);
void few_free_names(char **names, int n);

#endif
