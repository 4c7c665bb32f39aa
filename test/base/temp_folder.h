/* A folder for the files of one test program, removed with all that is in it. */
#ifndef FEW_TEST_TEMP_FOLDER_H
#define FEW_TEST_TEMP_FOLDER_H

#include "base/alloc.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char temp_folder[64];

static inline int make_temp_folder(void **state)
{
    (void)state;
    strcpy(temp_folder, "/tmp/fewstep-test-XXXXXX");
    return mkdtemp(temp_folder) ? 0 : -1;
}

static inline void remove_tree(const char *path)
{
    char **names;
    int n;
    if (few_list_folder(path, &names, &n, NULL) == FEW_OK) {
        for (int i = 0; i < n; i++) {
            char *p = few_path_join(path, names[i]);
            if (few_is_folder(p))
                remove_tree(p);
            else
                unlink(p);
            few_free(p);
        }
        few_free_names(names, n);
    }
    rmdir(path);
}

static inline int remove_temp_folder(void **state)
{
    (void)state;
    remove_tree(temp_folder);
    return 0;
}

/* "FOLDER/name", valid until the next call but three. */
static inline const char *temp_path(const char *name)
{
    static char paths[4][256];
    static int next;
    char *p = paths[next++ % 4];
    snprintf(p, sizeof paths[0], "%s/%s", temp_folder, name);
    return p;
}

static inline int count_names(const char *path)
{
    char **names;
    int n;
    if (few_list_folder(path, &names, &n, NULL) != FEW_OK)
        return -1;
    few_free_names(names, n);
    return n;
}

#endif
