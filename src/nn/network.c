/* The list of networks. */
#include "nn/network.h"

#include <string.h>

#define X(name) &few_network_##name,
const few_network *const few_networks[] = {
#include "nn/list.def"
};
#undef X
const int few_n_networks = (int)FEW_COUNT(few_networks);

const few_network *few_network_find(const char *name, few_error *err)
{
    for (int k = 0; k < few_n_networks; k++)
        if (!strcmp(few_networks[k]->name, name))
            return few_networks[k];
    few_strbuf known;
    few_strbuf_init(&known);
    for (int k = 0; k < few_n_networks; k++)
        few_strbuf_addf(&known, "%s%s", k ? ", " : "", few_networks[k]->name);
    few_fail(err, FEW_ECONFIG, "unknown network '%s'; known are %s", name, known.s);
    few_strbuf_free(&known);
    return NULL;
}
