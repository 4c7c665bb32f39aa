/* Write the checkpoints that test_api.c draws from into a folder: a teacher with three classes, a
 * student of four steps with the same weights, and a teacher without classes. */
#include "train/nets.h"

static void save(const char *folder, const char *name, few_net_shape shape, uint64_t seed,
                 int steps)
{
    few_config c;
    few_net n;
    few_error err = { 0 };
    load_defaults(&c, steps ? "mcd" : "diffusion");
    tiny_unet(&c);
    c.student.steps = steps;
    make_net(&n, &c, shape, seed);
    n.spec.null_class = shape.classes > 0 && !steps;
    char *path = few_path_join(folder, name);
    if (!path || few_net_save(&n.spec, &n.params, n.master, path, &err) != FEW_OK) {
        fprintf(stderr, "make_nets: %s\n", err.text);
        exit(1);
    }
    few_free(path);
    few_net_free(&n);
    few_config_clear(&c);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    save(argv[1], "teacher.safetensors", (few_net_shape){ 8, 8, 1, 3 }, 1, 0);
    save(argv[1], "student.safetensors", (few_net_shape){ 8, 8, 1, 3 }, 1, 4);
    save(argv[1], "plain.safetensors", (few_net_shape){ 8, 16, 3, 0 }, 2, 0);
    return 0;
}
