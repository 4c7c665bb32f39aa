/* Parameter tables and initial values. */
#include "graph/graph.h"

#include "base/alloc.h"
#include "base/philox.h"

#include <string.h>

void few_params_free(few_params *ps)
{
    for (int k = 0; k < ps->n; k++)
        few_free(ps->v[k].name);
    few_free(ps->v);
    memset(ps, 0, sizeof *ps);
}

int few_params_find(const few_params *ps, const char *name)
{
    for (int k = 0; k < ps->n; k++)
        if (!strcmp(ps->v[k].name, name))
            return k;
    return -1;
}

void few_params_init(const few_params *ps, float *master, uint64_t seed)
{
    const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    memset(master, 0, (size_t)ps->count * sizeof(float));
    for (int k = 0; k < ps->n; k++) {
        const few_param *p = &ps->v[k];
        float *w = master + p->offset;
        for (int64_t i = 0; i < p->count; i++) {
            const uint32_t counter[4] = { (uint32_t)(i / 4), FEW_RNG_INIT, (uint32_t)k, 0 };
            double u[4];
            switch (p->init) {
            case FEW_INIT_ZERO:
                break;
            case FEW_INIT_ONE:
                w[i] = 1;
                break;
            case FEW_INIT_UNIFORM:
                few_philox_uniform(counter, key, u);
                for (int j = 0; j < 4 && i + j < p->count; j++)
                    w[i + j] = (float)(p->bound * (2 * u[j] - 1));
                i += 3;
                break;
            case FEW_INIT_NORMAL:
                few_philox_normal(counter, key, u);
                for (int j = 0; j < 4 && i + j < p->count; j++)
                    w[i + j] = (float)(p->bound * u[j]);
                i += 3;
                break;
            }
        }
    }
}
