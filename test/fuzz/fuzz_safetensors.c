/* Any bytes as a safetensors file: every tensor that is given out can be read to its end. */
#include "base/alloc.h"
#include "base/safetensors.h"
#include "fuzz/target.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    few_safetensors *s;
    few_error err;
    if (few_safetensors_parse(data, n, "input", &s, &err) != FEW_OK)
        return 0;
    fuzz_accepted = true;
    for (int i = 0; i < few_safetensors_count(s); i++) {
        const few_safetensor *t = few_safetensors_at(s, i);
        if (few_safetensors_find(s, t->name) != t)
            abort();
        float *out = few_malloc((size_t)t->count * sizeof *out);
        if (out)
            few_safetensors_to_f32(t, out, &err);
        few_free(out);
        volatile uint8_t sum = 0;
        for (size_t k = 0; k < t->bytes; k++)
            sum = (uint8_t)(sum + ((const uint8_t *)t->data)[k]);
    }
    const char *text;
    for (int i = 0; few_safetensors_metadata_at(s, i, &text); i++)
        if (!text)
            abort();
    few_safetensors_close(s);
    return 0;
}
