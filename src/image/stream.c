/* libarchive behind five functions.
 *
 * Only the zip and tar formats and the gzip filter are switched on: "all" would let a file's first
 * bytes start external programs. Some damage is only a warning to libarchive, and a wrong checksum
 * in a zip is noticed with the last byte: every warning while reading data is an error here, and
 * an entry must be read to its end. The checksum of gzip it does not look at (3.6), so that is
 * done here. */
#include "image/stream.h"

#include "base/alloc.h"
#include "base/file.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { BLOCK = 1 << 17, DEFLATE_RATIO = 1032, FIRST_ROOM = 1 << 16 };

/* CRC-32 as of gzip (RFC 1952), four bits at a time. */
static uint32_t crc32_update(uint32_t crc, const uint8_t *p, size_t n)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    crc = ~crc;
    while (n-- > 0) {
        crc ^= *p++;
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static uint32_t little_endian(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Report what libarchive says about the current entry. */
static few_status fail(few_stream *s, few_error *err)
{
    const char *text = archive_error_string(s->a);
    const few_status code = archive_errno(s->a) == ENOMEM ? FEW_ENOMEM : FEW_EFORMAT;
    return few_fail(err, code, "damaged or truncated: %s", text ? text : "unreadable");
}

static few_status start(few_stream *s, few_stream_kind kind, int opened, few_error *err)
{
    if (opened != ARCHIVE_OK) {
        fail(s, err);
        return few_fail_in(err, "'%s'", s->name);
    }
    if (kind == FEW_STREAM_FILE) {
        struct archive_entry *e;
        if (archive_read_next_header(s->a, &e) != ARCHIVE_OK) {
            fail(s, err);
            return few_fail_in(err, "'%s'", s->name);
        }
        s->packed = archive_filter_code(s->a, 0) != ARCHIVE_FILTER_NONE;
        s->check = s->packed;
    } else {
        s->packed = true;
    }
    return FEW_OK;
}

static few_status create(few_stream *s, const char *name, few_stream_kind kind, few_error *err)
{
    *s = (few_stream){ .name = few_strdup(name), .a = archive_read_new() };
    if (!s->name || !s->a)
        return few_fail(err, FEW_ENOMEM, "out of memory while opening '%s'", name);
    archive_read_support_filter_gzip(s->a);
    if (kind == FEW_STREAM_FILE) {
        archive_read_support_format_raw(s->a);
    } else {
        archive_read_support_format_zip(s->a);
        archive_read_support_format_tar(s->a);
    }
    return FEW_OK;
}

few_status few_stream_open(few_stream *s, const char *path, few_stream_kind kind, few_error *err)
{
    *s = (few_stream){ 0 };
    struct stat info;
    if (stat(path, &info) != 0)
        return few_fail(err, errno == ENOENT ? FEW_ENOTFOUND : FEW_EIO, "cannot open '%s': %s",
                        path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return few_fail(err, FEW_EIO, "cannot read '%s': it is no ordinary file", path);
    if (info.st_size == 0)
        return few_fail(err, FEW_EFORMAT, "'%s' is empty", path);
    FEW_TRY(create(s, path, kind, err));
    s->file_size = info.st_size;
    FILE *f = kind == FEW_STREAM_FILE && info.st_size >= 8 ? fopen(path, "rb") : NULL;
    if (f) {
        if (fseeko(f, -8, SEEK_END) != 0 || fread(s->trailer, 1, 8, f) != 8)
            memset(s->trailer, 0, 8);
        fclose(f);
    }
    return start(s, kind, archive_read_open_filename(s->a, path, BLOCK), err);
}

few_status few_stream_open_memory(few_stream *s, const char *name, const void *data, size_t n,
                                  few_stream_kind kind, few_error *err)
{
    *s = (few_stream){ 0 };
    if (n == 0)
        return few_fail(err, FEW_EFORMAT, "'%s' is empty", name);
    FEW_TRY(create(s, name, kind, err));
    s->file_size = (int64_t)n;
    if (n >= 8)
        memcpy(s->trailer, (const uint8_t *)data + n - 8, 8);
    return start(s, kind, archive_read_open_memory(s->a, data, n), err);
}

void few_stream_close(few_stream *s)
{
    if (s->a)
        archive_read_free(s->a);
    few_free(s->name);
    *s = (few_stream){ 0 };
}

static locale_t utf8;

static void make_locale(void)
{
    utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

/* The next header, and its name as UTF-8. libarchive gives names in the locale's characters, and a
 * program that never called setlocale has none but ASCII. */
static int next_header(few_stream *s, struct archive_entry **e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_locale);
    const locale_t was = uselocale(utf8); /* 0, when it could not be had, changes nothing */
    const int r = archive_read_next_header(s->a, e);
    s->entry = NULL;
    if (r == ARCHIVE_OK || r == ARCHIVE_WARN) {
        s->entry = archive_entry_pathname_utf8(*e);
        if (!s->entry)
            s->entry = archive_entry_pathname(*e);
    }
    uselocale(was);
    return r;
}

few_status few_stream_next(few_stream *s, bool *end, few_error *err)
{
    struct archive_entry *e;
    *end = false;
    for (;;) {
        const int r = next_header(s, &e);
        if (r == ARCHIVE_EOF) {
            *end = true;
            return FEW_OK;
        }
        if (r != ARCHIVE_OK && r != ARCHIVE_WARN) {
            fail(s, err);
            return few_fail_in(err, "'%s'", s->name);
        }
        if (archive_entry_filetype(e) != AE_IFREG || archive_entry_hardlink(e))
            continue;
        if (!s->entry)
            return few_fail(err, FEW_EFORMAT, "'%s': a name in it is not UTF-8", s->name);
        return FEW_OK;
    }
}

/* Up to n bytes; *got is less only at the end of the entry. */
static few_status read_some(few_stream *s, void *out, size_t n, size_t *got, few_error *err)
{
    *got = 0;
    while (*got < n) {
        const la_ssize_t r = archive_read_data(s->a, (char *)out + *got, n - *got);
        if (r < 0)
            return fail(s, err);
        if (r == 0)
            break;
        *got += (size_t)r;
    }
    if (s->check) {
        s->crc = crc32_update(s->crc, out, *got);
        s->read += *got;
    }
    return FEW_OK;
}

few_status few_stream_read(few_stream *s, void *out, size_t n, few_error *err)
{
    size_t got;
    FEW_TRY(read_some(s, out, n, &got, err));
    if (got < n)
        return few_fail(err, FEW_EFORMAT, "truncated: %zu bytes are missing", n - got);
    return FEW_OK;
}

few_status few_stream_finish(few_stream *s, few_error *err)
{
    char extra;
    size_t got;
    FEW_TRY(read_some(s, &extra, 1, &got, err));
    if (got)
        return few_fail(err, FEW_EFORMAT, "damaged: bytes follow where the data should end");
    /* Another length than the last one's: several gzip files one after the other. */
    if (s->check && (uint32_t)s->read == little_endian(s->trailer + 4) &&
        s->crc != little_endian(s->trailer))
        return few_fail(err, FEW_EFORMAT, "damaged: the checksum of gzip is wrong");
    return FEW_OK;
}

few_status few_stream_slurp(few_stream *s, uint8_t **data, size_t *room, size_t *n, few_error *err)
{
    *n = 0;
    for (;;) {
        if (*n == *room) {
            if (*room >= (size_t)FEW_STREAM_MAX_ENTRY)
                return few_fail(err, FEW_EFORMAT, "more than %lld MiB unpacked",
                                (long long)(FEW_STREAM_MAX_ENTRY >> 20));
            const size_t more = *room ? *room * 2 : FIRST_ROOM;
            uint8_t *p = few_realloc(*data, more);
            if (!p)
                return few_fail(err, FEW_ENOMEM, "out of memory for %zu bytes", more);
            *data = p;
            *room = more;
        }
        size_t got;
        FEW_TRY(read_some(s, *data + *n, *room - *n, &got, err));
        if (got == 0 || *n + got < *room) {
            *n += got;
            return FEW_OK;
        }
        *n += got;
    }
}

int64_t few_stream_bound(const few_stream *s)
{
    if (!s->packed)
        return s->file_size;
    return s->file_size < INT64_MAX / DEFLATE_RATIO ? s->file_size * DEFLATE_RATIO : INT64_MAX;
}
