/* libarchive behind five functions.
 *
 * Only the zip and tar formats and the gzip filter are switched on: "all" would let a file's first
 * bytes start external programs. A zip with a wrong checksum is only a warning to libarchive, which
 * comes with the last bytes; every warning while reading data is an error here. */
#include "image/stream.h"

#include "base/alloc.h"
#include "base/file.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { BLOCK = 1 << 17, DEFLATE_RATIO = 1032, FIRST_ROOM = 1 << 16 };

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
    return start(s, kind, archive_read_open_memory(s->a, data, n), err);
}

void few_stream_close(few_stream *s)
{
    if (s->a)
        archive_read_free(s->a);
    few_free(s->name);
    *s = (few_stream){ 0 };
}

few_status few_stream_next(few_stream *s, bool *end, few_error *err)
{
    struct archive_entry *e;
    *end = false;
    for (;;) {
        const int r = archive_read_next_header(s->a, &e);
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
        s->entry = archive_entry_pathname_utf8(e);
        if (!s->entry)
            s->entry = archive_entry_pathname(e);
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
