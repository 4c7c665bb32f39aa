/* Reading safetensors files.
 *
 * Nothing in the file is believed: the header's length is held against the file's, its nesting and
 * number of entries against limits before a JSON parser sees it, and each tensor's place against
 * its type and shape and against its neighbours. The order of names in the header says nothing of
 * the order of the data. */
#include "base/safetensors.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/strbuf.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_HEADER = 100000000, MAX_TENSORS = 1 << 18 };

struct few_safetensors {
    few_map map;      /* empty when the bytes are the caller's */
    json_t *header;   /* owns the names and the metadata */
    json_t *metadata; /* borrowed from header, or NULL */
    few_safetensor *tensors;
    int n;
};

static const struct {
    const char *name;
    size_t size;
} types[] = {
#define X(name, size) { #name, size },
    FEW_SAFETENSORS_TYPES(X)
#undef X
};

const char *few_safetensors_type_name(few_safetensors_type type)
{
    return types[type].name;
}

size_t few_safetensors_type_size(few_safetensors_type type)
{
    return types[type].size;
}

/* ---- the header ---- */

/* A walk over the bytes before they are parsed, since a tree takes many times their memory: objects
 * only in the outermost one and arrays only in those, few entries in each array, and a bounded
 * number of objects. Of text that is not JSON it may say anything; the parser refuses that. */
static const char *check_structure(const char *s, size_t n)
{
    int depth = 0, commas = 0, objects = 0, members = 0;
    for (size_t i = 0; i < n; i++) {
        switch (s[i]) {
        case '"':
            for (i++; i < n && s[i] != '"'; i++)
                i += s[i] == '\\';
            break;
        case '{':
            if (++depth > 2)
                return "its header is nested too deep";
            if (objects++ > MAX_TENSORS)
                return "its header names more than 262144 tensors";
            break;
        case '[':
            if (++depth != 3)
                return "its header has a list where none belongs";
            commas = 0;
            break;
        case ',':
            if (depth == 3 && ++commas >= FEW_SAFETENSORS_RANK)
                return "a tensor has more than 8 dimensions";
            if (depth < 3 && ++members > 4 * MAX_TENSORS)
                return "its header has more members than 262144 tensors need";
            break;
        case '}':
        case ']':
            depth--;
            break;
        }
    }
    return NULL;
}

static uint64_t read_u64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

/* Parse the header; *data and *n become the buffer behind it. */
static few_status read_header(few_safetensors *s, const uint8_t **data, size_t *n, const char *file,
                              few_error *err)
{
    if (*n < 8)
        return few_fail(err, FEW_EFORMAT, "'%s' is no safetensors file: it has %zu bytes", file,
                        *n);
    const uint64_t length = read_u64(*data);
    if (length > *n - 8)
        return few_fail(err, FEW_EFORMAT,
                        "'%s' is cut off or no safetensors file: its header should take %" PRIu64
                        " bytes, the file has %zu",
                        file, length, *n);
    if (length > MAX_HEADER)
        return few_fail(err, FEW_EFORMAT,
                        "'%s' is no safetensors file: a header of %" PRIu64
                        " bytes, at most %d are allowed",
                        file, length, MAX_HEADER);
    const char *text = (const char *)*data + 8;
    const char *problem = check_structure(text, (size_t)length);
    if (length == 0 || *text != '{')
        problem = "its header does not start with '{'";
    if (problem)
        return few_fail(err, FEW_EFORMAT, "'%s' is no safetensors file: %s", file, problem);

    json_error_t je;
    s->header = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &je);
    if (!s->header && json_error_code(&je) == json_error_out_of_memory)
        return few_fail(err, FEW_ENOMEM, "no memory left to read '%s'", file);
    if (!s->header)
        return few_fail(err, FEW_EFORMAT, "'%s': the header is damaged: %s at byte %d", file,
                        je.text, je.position);
    *data += 8 + length;
    *n -= 8 + (size_t)length;
    return FEW_OK;
}

static few_status read_metadata(few_safetensors *s, const char *file, few_error *err)
{
    s->metadata = json_object_get(s->header, "__metadata__");
    if (!s->metadata)
        return FEW_OK;
    if (!json_is_object(s->metadata))
        return few_fail(err, FEW_EFORMAT, "'%s': '__metadata__' must be an object", file);
    const char *key;
    json_t *v;
    json_object_foreach(s->metadata, key, v)
    {
        if (!json_is_string(v))
            return few_fail(err, FEW_EFORMAT, "'%s': metadata '%.100s' must be a string", file,
                            key);
    }
    return FEW_OK;
}

/* ---- one tensor ---- */

static bool read_type(const json_t *v, few_safetensors_type *out)
{
    const char *name = json_string_value(v);
    for (int i = 0; name && i < FEW_SAFETENSORS_TYPE_COUNT; i++)
        if (!strcmp(name, types[i].name)) {
            *out = (few_safetensors_type)i;
            return true;
        }
    return false;
}

bool few_safetensors_measure(few_safetensor *t)
{
    /* A 0 among the dimensions excuses no overflow of the others: callers may multiply some of
     * them alone. */
    int64_t product = 1, bytes;
    bool empty = false;
    for (int i = 0; i < t->rank; i++) {
        empty = empty || t->shape[i] == 0;
        if (t->shape[i] < 0)
            return false;
        if (t->shape[i] && __builtin_mul_overflow(product, t->shape[i], &product))
            return false;
    }
    if (__builtin_mul_overflow(product, (int64_t)types[t->type].size, &bytes))
        return false;
    t->count = empty ? 0 : product;
    t->bytes = empty ? 0 : (size_t)bytes;
    return true;
}

static bool read_shape(const json_t *v, few_safetensor *t)
{
    if (!json_is_array(v) || json_array_size(v) > FEW_SAFETENSORS_RANK)
        return false;
    t->rank = (int)json_array_size(v);
    for (int i = 0; i < t->rank; i++) {
        const json_t *d = json_array_get(v, (size_t)i);
        if (!json_is_integer(d) || json_integer_value(d) < 0)
            return false;
        t->shape[i] = json_integer_value(d);
    }
    return true;
}

/* Check one entry against the n bytes of data behind the header. */
static few_status read_tensor(few_safetensor *t, const json_t *v, const uint8_t *data, size_t n,
                              const char *file, few_error *err)
{
    const json_t *offsets = json_object_get(v, "data_offsets");
    const json_t *type = json_object_get(v, "dtype");
    if (!json_is_object(v) || json_object_size(v) != 3 || !type || !offsets)
        return few_fail(err, FEW_EFORMAT,
                        "'%s': tensor '%.100s' must have dtype, shape and data_offsets only", file,
                        t->name);
    if (!read_type(type, &t->type))
        return few_fail(err, FEW_EFORMAT,
                        "'%s': tensor '%.100s' has type '%.20s', known are F64, F32, F16, BF16, "
                        "I64, I32, I16, I8, U8, BOOL",
                        file, t->name, json_is_string(type) ? json_string_value(type) : "?");
    if (!read_shape(json_object_get(v, "shape"), t))
        return few_fail(err, FEW_EFORMAT,
                        "'%s': tensor '%.100s' has a damaged shape, wanted are up to %d integers "
                        "from 0",
                        file, t->name, FEW_SAFETENSORS_RANK);
    if (!few_safetensors_measure(t))
        return few_fail(err, FEW_EFORMAT, "'%s': tensor '%.100s' has a shape too large to exist",
                        file, t->name);

    const json_t *from = json_array_get(offsets, 0), *to = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(from) || !json_is_integer(to))
        return few_fail(err, FEW_EFORMAT,
                        "'%s': tensor '%.100s' has damaged data_offsets, wanted are two integers",
                        file, t->name);
    const json_int_t a = json_integer_value(from), b = json_integer_value(to);
    if (a < 0 || a > b || (uint64_t)b > n)
        return few_fail(err, FEW_EFORMAT,
                        "'%s': tensor '%.100s' is at bytes %lld to %lld, the file has %zu", file,
                        t->name, (long long)a, (long long)b, n);
    if ((uint64_t)(b - a) != t->bytes)
        return few_fail(err, FEW_EFORMAT,
                        "'%s': tensor '%.100s' has %lld bytes, its shape and type %s want %zu",
                        file, t->name, (long long)(b - a), types[t->type].name, t->bytes);
    t->data = data + a;
    return FEW_OK;
}

/* ---- all of them ---- */

static int by_place(const void *a, const void *b)
{
    const few_safetensor *x = a, *y = b;
    const uintptr_t p = (uintptr_t)x->data, q = (uintptr_t)y->data;
    if (p != q)
        return p < q ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes); /* empty ones before what starts there */
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const few_safetensor *)a)->name, ((const few_safetensor *)b)->name);
}

/* The tensors, in order of place, must fill the n bytes of data. */
static few_status check_cover(const few_safetensors *s, const uint8_t *data, size_t n,
                              const char *file, few_error *err)
{
    size_t end = 0;
    for (int i = 0; i < s->n; i++) {
        const few_safetensor *t = &s->tensors[i];
        const size_t from = (size_t)((const uint8_t *)t->data - data);
        if (from != end)
            return few_fail(
                err, FEW_EFORMAT, "'%s': tensor '%.100s' starts at byte %zu, %s byte %zu", file,
                t->name, from, from < end ? "but the one before it ends at" : "leaving a gap from",
                end);
        end += t->bytes;
    }
    if (end != n)
        return few_fail(err, FEW_EFORMAT,
                        "'%s': the tensors take %zu bytes, but %zu follow the header", file, end,
                        n);
    return FEW_OK;
}

static few_status read_file(few_safetensors *s, const uint8_t *data, size_t n, const char *file,
                            few_error *err)
{
    FEW_TRY(read_header(s, &data, &n, file, err));
    FEW_TRY(read_metadata(s, file, err));
    const size_t entries = json_object_size(s->header);
    s->tensors = few_calloc(entries, sizeof *s->tensors);
    if (!s->tensors)
        return few_fail(err, FEW_ENOMEM, "no memory left to read '%s'", file);
    const char *name;
    json_t *v;
    json_object_foreach(s->header, name, v)
    {
        if (v == s->metadata)
            continue;
        s->tensors[s->n].name = name;
        FEW_TRY(read_tensor(&s->tensors[s->n], v, data, n, file, err));
        s->n++;
    }
    if (s->n)
        qsort(s->tensors, (size_t)s->n, sizeof *s->tensors, by_place);
    FEW_TRY(check_cover(s, data, n, file, err));
    if (s->n)
        qsort(s->tensors, (size_t)s->n, sizeof *s->tensors, by_name);
    return FEW_OK;
}

few_status few_safetensors_parse(const void *data, size_t n, const char *file,
                                 few_safetensors **out, few_error *err)
{
    *out = NULL;
    few_safetensors *s = few_calloc(1, sizeof *s);
    if (!s)
        return few_fail(err, FEW_ENOMEM, "no memory left to read '%s'", file);
    const few_status st = read_file(s, data, n, file, err);
    if (st != FEW_OK) {
        few_safetensors_close(s);
        return st;
    }
    *out = s;
    return FEW_OK;
}

few_status few_safetensors_open(const char *file, few_safetensors **out, few_error *err)
{
    *out = NULL;
    few_map map;
    FEW_TRY(few_map_open(&map, file, err));
    const few_status st = few_safetensors_parse(map.data, map.n, file, out, err);
    if (st == FEW_OK)
        (*out)->map = map;
    else
        few_map_close(&map);
    return st;
}

void few_safetensors_close(few_safetensors *s)
{
    if (!s)
        return;
    few_free(s->tensors);
    json_decref(s->header);
    few_map_close(&s->map);
    few_free(s);
}

int few_safetensors_count(const few_safetensors *s)
{
    return s->n;
}

const few_safetensor *few_safetensors_at(const few_safetensors *s, int i)
{
    return i >= 0 && i < s->n ? &s->tensors[i] : NULL;
}

const few_safetensor *few_safetensors_find(const few_safetensors *s, const char *name)
{
    const few_safetensor key = { .name = name };
    return s->n ? bsearch(&key, s->tensors, (size_t)s->n, sizeof key, by_name) : NULL;
}

const char *few_safetensors_metadata(const few_safetensors *s, const char *key)
{
    return json_string_value(json_object_get(s->metadata, key));
}

const char *few_safetensors_metadata_at(const few_safetensors *s, int i, const char **text)
{
    void *at = json_object_iter(s->metadata);
    while (at && i-- > 0)
        at = json_object_iter_next(s->metadata, at);
    if (!at)
        return NULL;
    if (text)
        *text = json_string_value(json_object_iter_value(at));
    return json_object_iter_key(at);
}

/* ---- conversion ---- */

/* The nearest half, ties to even; beyond 65504 infinity. Bits again. */
static uint16_t half_from_float(float f)
{
    enum { INFINITE = 0x7f800000, FIRST_TOO_LARGE = 0x47800000, FIRST_NORMAL = 0x38800000 };
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    const uint32_t sign = u >> 16 & 0x8000;
    u &= 0x7fffffff;
    if (u >= FIRST_TOO_LARGE)
        return (uint16_t)(sign | (u > INFINITE ? 0x7e00 : 0x7c00));
    if (u >= FIRST_NORMAL)
        return (uint16_t)(sign | (u + 0xfff + (u >> 13 & 1) - (112u << 23)) >> 13);
    const uint32_t shift = 126 - (u >> 23), all = (u & 0x7fffff) | 0x800000;
    if (shift > 24)
        return (uint16_t)sign;
    const uint32_t left = all & ((1u << shift) - 1), middle = 1u << (shift - 1);
    const uint32_t h = all >> shift;
    return (uint16_t)(sign | (h + (left > middle || (left == middle && (h & 1)))));
}

void few_f16_from_f32(uint16_t *out, const float *in, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = half_from_float(in[i]);
}

/* IEEE half to single by moving bits, so that subnormal halves survive where the CPU flushes. */
static float half_to_float(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = h >> 10 & 31, fraction = h & 1023, bits;
    if (exponent == 31) {
        bits = 0x7F800000u | fraction << 13;
    } else if (exponent) {
        bits = (exponent + 112) << 23 | fraction << 13;
    } else if (fraction) { /* subnormal: 2^-24 * fraction, a normal single */
        exponent = 113;
        for (; !(fraction & 1024); fraction <<= 1)
            exponent--;
        bits = exponent << 23 | (fraction & 1023) << 13;
    } else {
        bits = 0;
    }
    bits |= sign;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

few_status few_safetensors_to_f32(const few_safetensor *t, float *out, few_error *err)
{
    const uint8_t *in = t->data; /* copied out by element: it may not be aligned */
    switch (t->type) {
    case FEW_SAFETENSORS_F32:
        if (t->bytes)
            memcpy(out, in, t->bytes);
        return FEW_OK;
    case FEW_SAFETENSORS_F64:
        for (int64_t i = 0; i < t->count; i++) {
            double d;
            memcpy(&d, in + 8 * i, sizeof d);
            out[i] = (float)d;
        }
        return FEW_OK;
    case FEW_SAFETENSORS_F16:
        for (int64_t i = 0; i < t->count; i++) {
            uint16_t h;
            memcpy(&h, in + 2 * i, sizeof h);
            out[i] = half_to_float(h);
        }
        return FEW_OK;
    case FEW_SAFETENSORS_BF16:
        for (int64_t i = 0; i < t->count; i++) {
            uint16_t h;
            memcpy(&h, in + 2 * i, sizeof h);
            const uint32_t bits = (uint32_t)h << 16;
            memcpy(&out[i], &bits, sizeof bits);
        }
        return FEW_OK;
    default:
        return few_fail(err, FEW_EUNSUPPORTED, "tensor '%.100s' has type %s, wanted are floats",
                        t->name, types[t->type].name);
    }
}
