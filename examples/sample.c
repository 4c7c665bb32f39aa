/* Draw images from a checkpoint into memory and write them as one sheet.
 *
 *     cc sample.c $(pkg-config --cflags --libs fewstep) -o sample
 *     ./sample fashion-mcd4.safetensors out.png */
#include <fewstep/fewstep.h>

#include <stdio.h>
#include <stdlib.h>

static int progress(void *user, int64_t done, int64_t total)
{
    (void)user;
    fprintf(stderr, "\r%lld of %lld", (long long)done, (long long)total);
    return 0; /* anything else cancels */
}

int main(int argc, char **argv)
{
    enum { N = 16 };
    few_error err = { FEW_OK, "" };
    few_model *model = NULL;
    few_sample_options options;
    int64_t nfe = 0;

    if (argc != 3) {
        fprintf(stderr, "usage: sample CHECKPOINT OUT.png\n");
        return 2;
    }
    if (few_model_load(argv[1], NULL, &model, &err) != FEW_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    const few_model_info info = few_model_get_info(model);
    float *images = malloc(sizeof(float) * N * (size_t)(info.height * info.width * info.channels));
    few_sample_defaults(&options);
    options.seed = 7;
    options.progress = progress;
    if (!images)
        err = (few_error){ FEW_ENOMEM, "out of memory" };
    if (!images || few_sample(model, N, &options, images, &nfe, &err) != FEW_OK ||
        few_save_png(argv[2], images, N, info.height, info.width, info.channels, 0, &err) != FEW_OK)
        fprintf(stderr, "\n%s\n", err.text);
    else
        fprintf(stderr, "\n%d images of %dx%d in %lld evaluations each: %s\n", N, info.width,
                info.height, (long long)nfe, argv[2]);
    free(images);
    few_model_free(model);
    return err.code == FEW_OK ? 0 : 1;
}
