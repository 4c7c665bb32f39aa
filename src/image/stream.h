/* Bytes in order, out of a plain or gzip-compressed file, or out of the entries of a zip or tar. */
#ifndef FEW_IMAGE_STREAM_H
#define FEW_IMAGE_STREAM_H

#include "base/status.h"

struct archive;

typedef enum few_stream_kind {
    FEW_STREAM_FILE,   /* one unnamed entry: the file, unpacked when it is gzip */
    FEW_STREAM_ARCHIVE /* the files in a zip, tar or tar.gz */
} few_stream_kind;

/* An entry of an archive may have this many bytes unpacked. */
#define FEW_STREAM_MAX_ENTRY ((int64_t)256 << 20)

typedef struct few_stream {
    struct archive *a;
    char *name;         /* for messages */
    int64_t file_size;  /* bytes in the file itself */
    bool packed;        /* compressed in some way: more bytes may come out than are in the file */
    const char *entry;  /* name of the entry; valid until the next few_stream_next */
    bool check;         /* a gzip FILE, whose checksum is compared at its end */
    uint8_t trailer[8]; /* the last bytes of a FILE; of gzip, CRC-32 and length of what it held */
    uint32_t crc;       /* CRC-32 of the bytes read so far */
    uint64_t read;      /* their number */
} few_stream;

/* Open a file, or bytes in memory that must outlive the stream. `name` is for messages. Empty and
 * missing files are refused by name. Close with few_stream_close, also after a failure.
 * Fails: FEW_ENOTFOUND, FEW_EIO, FEW_EFORMAT, FEW_ENOMEM. Threads: one at a time. */
few_status few_stream_open(few_stream *s, const char *path, few_stream_kind kind, few_error *err);
few_status few_stream_open_memory(few_stream *s, const char *name, const void *data, size_t n,
                                  few_stream_kind kind, few_error *err);
void few_stream_close(few_stream *s);

/* Go on to the next regular file of an archive; *end is true when there is none. A FILE stream is
 * at its only entry from the start and has no need of this. */
few_status few_stream_next(few_stream *s, bool *end, few_error *err);

/* Exactly n bytes of the entry; fewer is FEW_EFORMAT "truncated". */
few_status few_stream_read(few_stream *s, void *out, size_t n, few_error *err);
/* The entry must end here, and its checksum must be right where the format has one (zip, gzip). */
few_status few_stream_finish(few_stream *s, few_error *err);

/* The rest of the entry into *data, which grows as bytes arrive (few_realloc; the caller frees).
 * *room is the size of *data and both may be kept from entry to entry. */
few_status few_stream_slurp(few_stream *s, uint8_t **data, size_t *room, size_t *n, few_error *err);

/* No more than this many bytes can come out, judged by the size of the file: deflate makes at most
 * 1032 bytes of one. A head that claims more lies, and is refused before memory is asked for. */
int64_t few_stream_bound(const few_stream *s);

#endif
