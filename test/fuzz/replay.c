/* Runs a fuzz target on stored inputs under any compiler: every file in the folders given, each in
 * memory of exactly its size, so that a sanitizer sees a read past the end. */
#include "base/alloc.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int replay(const char *path)
{
    few_map m;
    few_error err;
    if (few_map_open(&m, path, &err) != FEW_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    uint8_t *data = malloc(m.n ? m.n : 1);
    if (data) {
        memcpy(data, m.data, m.n);
        LLVMFuzzerTestOneInput(data, m.n);
    }
    free(data);
    few_map_close(&m);
    return !data;
}

int main(int argc, char **argv)
{
    int count = 0, failed = 0;
    for (int i = 1; i < argc; i++) {
        char **names;
        int n;
        few_error err;
        if (few_list_folder(argv[i], &names, &n, &err) != FEW_OK) {
            fprintf(stderr, "%s\n", err.text);
            return 1;
        }
        for (int k = 0; k < n; k++) {
            char *path = few_path_join(argv[i], names[k]);
            failed += !path || replay(path);
            few_free(path);
            count++;
        }
        few_free_names(names, n);
    }
    printf("%d inputs replayed\n", count);
    return failed || count == 0;
}
