/* NumPy's .npy (numpy.lib.format): "\x93NUMPY", two version bytes, the length of the head as u16
 * (version 1) or u32 (2 and 3), little-endian, then a Python dictionary as text:
 * {'descr': '|u1', 'fortran_order': False, 'shape': (60000, 28, 28), }, padded with blanks so that
 * the elements start at a multiple of 64.
 *
 * The text is code in Python's eyes; here a strict scanner accepts exactly the three keys, once
 * each, in any order. The shape's product is checked for overflow before anybody multiplies. */
#include "image/npy.h"

#include "base/file.h"

#include <ctype.h>
#include <string.h>

enum { MAX_HEAD = 1 << 16, MAX_WORD = 32 };

static const struct {
    const char *name;
    int size;
} types[] = { [FEW_NPY_U8] = { "|u1", 1 },
              [FEW_NPY_F32] = { "<f4", 4 },
              [FEW_NPY_I32] = { "<i4", 4 },
              [FEW_NPY_I64] = { "<i8", 8 } };

few_status few_npy_head_size(size_t *size, const uint8_t start[FEW_NPY_START], few_error *err)
{
    if (memcmp(start, "\x93NUMPY", 6))
        return few_fail(err, FEW_EFORMAT, "not a .npy array, by its first bytes");
    if (start[6] < 1 || start[6] > 3)
        return few_fail(err, FEW_EFORMAT, "version %d of .npy is not known", start[6]);
    const size_t base = start[6] == 1 ? 10 : 12;
    size_t n = start[8] | (size_t)start[9] << 8;
    if (start[6] > 1)
        n |= (size_t)start[10] << 16 | (size_t)start[11] << 24;
    if (n > MAX_HEAD)
        return few_fail(err, FEW_EFORMAT, "the head of the array claims %zu bytes", n);
    *size = base + n;
    return FEW_OK;
}

/* The text being scanned: [p, end). */
struct scan {
    const char *p, *end;
};

static void blanks(struct scan *s)
{
    while (s->p < s->end && isspace((unsigned char)*s->p))
        s->p++;
}

static bool take(struct scan *s, char c)
{
    blanks(s);
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

/* A quoted word. */
static bool take_string(struct scan *s, char word[MAX_WORD])
{
    blanks(s);
    if (s->p == s->end || (*s->p != '\'' && *s->p != '"'))
        return false;
    const char quote = *s->p++;
    size_t n = 0;
    while (s->p < s->end && *s->p != quote && n + 1 < MAX_WORD)
        word[n++] = *s->p++;
    word[n] = 0;
    return take(s, quote);
}

/* True or False. */
static bool take_bool(struct scan *s, bool *value)
{
    blanks(s);
    const size_t left = (size_t)(s->end - s->p);
    if (left >= 4 && !memcmp(s->p, "True", 4)) {
        s->p += 4;
        *value = true;
        return true;
    }
    if (left >= 5 && !memcmp(s->p, "False", 5)) {
        s->p += 5;
        *value = false;
        return true;
    }
    return false;
}

/* (), (3,), (3, 4) and (3, 4,); numbers of up to 18 digits. */
static bool take_shape(struct scan *s, few_npy *a)
{
    a->rank = 0;
    if (!take(s, '('))
        return false;
    while (!take(s, ')')) {
        blanks(s);
        int64_t n = 0;
        int digits = 0;
        while (s->p < s->end && *s->p >= '0' && *s->p <= '9') {
            if (++digits > 18)
                return false;
            n = 10 * n + (*s->p++ - '0');
        }
        if (digits == 0 || a->rank == FEW_NPY_MAX_RANK)
            return false;
        a->dim[a->rank++] = n;
        if (!take(s, ',') && (s->p == s->end || *s->p != ')'))
            return false;
    }
    return true;
}

few_status few_npy_parse(few_npy *a, const void *head, size_t n, few_error *err)
{
    const uint8_t *h = head;
    size_t size;
    if (n < FEW_NPY_START)
        return few_fail(err, FEW_EFORMAT, "the array is truncated: %zu bytes", n);
    FEW_TRY(few_npy_head_size(&size, h, err));
    if (size > n)
        return few_fail(err, FEW_EFORMAT,
                        "the array is truncated: its head has %zu bytes, %zu are "
                        "there",
                        size, n);
    struct scan s = { (const char *)h + (h[6] == 1 ? 10 : 12), (const char *)h + size };
    char key[MAX_WORD], descr[MAX_WORD] = "";
    bool fortran = false;
    int seen = 0; /* bits: descr, fortran_order, shape */
    bool ok = take(&s, '{');
    *a = (few_npy){ .data = size };
    while (ok && !take(&s, '}')) {
        ok = take_string(&s, key) && take(&s, ':');
        int bit = 0;
        if (ok && !strcmp(key, "descr")) {
            bit = 1;
            ok = take_string(&s, descr);
        } else if (ok && !strcmp(key, "fortran_order")) {
            bit = 2;
            ok = take_bool(&s, &fortran);
        } else if (ok && !strcmp(key, "shape")) {
            bit = 4;
            ok = take_shape(&s, a);
        }
        ok = ok && bit && !(seen & bit);
        seen |= bit;
        if (ok && !take(&s, ',')) {
            ok = take(&s, '}');
            break;
        }
    }
    blanks(&s);
    if (!ok || seen != 7 || s.p != s.end)
        return few_fail(err, FEW_EFORMAT,
                        "the head of the array is damaged or holds a type that "
                        "is no single number");
    size_t t = 0;
    while (t < FEW_COUNT(types) && strcmp(types[t].name, descr))
        t++;
    if (t == FEW_COUNT(types))
        return few_fail(err, FEW_EUNSUPPORTED,
                        "the array has type '%s'; known: |u1 (uint8), <f4, <i4, <i8", descr);
    if (fortran && a->rank > 1)
        return few_fail(err, FEW_EUNSUPPORTED,
                        "the array is in Fortran order; save numpy.ascontiguousarray(x) instead");
    a->type = (few_npy_type)t;
    a->count = 1;
    for (int i = 0; i < a->rank; i++)
        if (__builtin_mul_overflow(a->count, a->dim[i], &a->count))
            return few_fail(err, FEW_EFORMAT, "the shape of the array is out of range");
    if (__builtin_mul_overflow(a->count, (int64_t)types[t].size, &a->bytes))
        return few_fail(err, FEW_EFORMAT, "the shape of the array is out of range");
    return FEW_OK;
}

few_status few_npy_parse_whole(few_npy *a, const void *file, size_t n, few_error *err)
{
    FEW_TRY(few_npy_parse(a, file, n, err));
    if ((uint64_t)a->bytes != n - a->data)
        return few_fail(err, FEW_EFORMAT,
                        "the array has %zu bytes of elements, its shape wants "
                        "%lld",
                        n - a->data, (long long)a->bytes);
    return FEW_OK;
}

int64_t few_npy_integer(const few_npy *a, const void *data, int64_t i)
{
    const uint8_t *p = (const uint8_t *)data + i * types[a->type].size;
    int32_t i32;
    int64_t i64;
    switch (a->type) {
    case FEW_NPY_U8:
        return *p;
    case FEW_NPY_I32:
        memcpy(&i32, p, sizeof i32);
        return i32;
    case FEW_NPY_I64:
        memcpy(&i64, p, sizeof i64);
        return i64;
    default:
        return 0;
    }
}

static few_status write_array(const char *path, few_npy_type type, const void *data, int rank,
                              const int64_t *dim, few_error *err)
{
    if (rank < 0 || rank > FEW_NPY_MAX_RANK)
        return few_fail(err, FEW_EINVAL, "cannot write '%s': rank %d", path, rank);
    char head[512];
    size_t n = 10;
    size_t count = 1;
    n += (size_t)snprintf(head + n, sizeof head - n,
                          "{'descr': '%s', 'fortran_order': False, 'shape': (", types[type].name);
    for (int i = 0; i < rank; i++) {
        count *= (size_t)dim[i];
        n += (size_t)snprintf(head + n, sizeof head - n, "%lld%s", (long long)dim[i],
                              rank == 1      ? ","
                              : i + 1 < rank ? ", "
                                             : "");
    }
    n += (size_t)snprintf(head + n, sizeof head - n, "), }");
    while ((n + 1) % 64 != 0)
        head[n++] = ' ';
    head[n++] = '\n';
    memcpy(head, "\x93NUMPY\x01\x00", 8);
    head[8] = (char)((n - 10) & 255);
    head[9] = (char)((n - 10) >> 8);

    few_atomic_file file;
    FEW_TRY(few_atomic_open(&file, path, err));
    few_status st = few_atomic_write(&file, head, n, err);
    if (st == FEW_OK)
        st = few_atomic_write(&file, data, count * (size_t)types[type].size, err);
    if (st == FEW_OK)
        return few_atomic_commit(&file, err);
    few_atomic_abandon(&file);
    return st;
}

few_status few_npy_write_u8(const char *path, const uint8_t *data, int rank, const int64_t *dim,
                            few_error *err)
{
    return write_array(path, FEW_NPY_U8, data, rank, dim, err);
}

few_status few_npy_write_f32(const char *path, const float *data, int rank, const int64_t *dim,
                             few_error *err)
{
    return write_array(path, FEW_NPY_F32, data, rank, dim, err);
}
