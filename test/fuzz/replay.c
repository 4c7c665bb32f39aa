/* Runs a fuzz target on stored inputs under any compiler: every file of a folder, each in memory of
 * exactly its size, so that a sanitizer sees a read past the end.
 * usage: replay FOLDER NAME...: the files of these names, and no others, are accepted. */
#include "base/alloc.h"
#include "base/file.h"
#include "fuzz/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_among(const char *name, char *const *list, int n)
{
    bool found = false;
    for (int i = 0; i < n; i++)
        found |= !strcmp(name, list[i]);
    return found;
}

/* Whether what became of the file is what was wanted. */
static bool replay(const char *path, bool wanted)
{
    few_map m;
    few_error err;
    if (few_map_open(&m, path, &err) != FEW_OK) {
        fprintf(stderr, "%s\n", err.text);
        return false;
    }
    uint8_t *data = malloc(m.n ? m.n : 1);
    fuzz_accepted = false;
    if (data) {
        memcpy(data, m.data, m.n);
        LLVMFuzzerTestOneInput(data, m.n);
        if (fuzz_accepted != wanted)
            fprintf(stderr, "%s is %s\n", path, wanted ? "refused" : "accepted");
    }
    free(data);
    few_map_close(&m);
    return data && fuzz_accepted == wanted;
}

int main(int argc, char **argv)
{
    char **names;
    int n, failed = 0, accepted = 0;
    few_error err;
    if (argc < 2 || few_list_folder(argv[1], &names, &n, &err) != FEW_OK) {
        fprintf(stderr, "%s\n", argc < 2 ? "usage: replay FOLDER NAME..." : err.text);
        return 1;
    }
    for (int k = 0; k < n; k++) {
        char *path = few_path_join(argv[1], names[k]);
        failed += !path || !replay(path, is_among(names[k], argv + 2, argc - 2));
        accepted += fuzz_accepted;
        few_free(path);
    }
    few_free_names(names, n);
    printf("%d inputs replayed, %d accepted\n", n, accepted);
    return failed || accepted < argc - 2 || n == 0;
}
