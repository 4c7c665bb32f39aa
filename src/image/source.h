/* Where images come from. A kind of source is one file ending in one descriptor, and one line in
 * list.def. */
#ifndef FEW_IMAGE_SOURCE_H
#define FEW_IMAGE_SOURCE_H

#include "image/catalog.h"
#include "image/image.h"

#define FEW_SOURCE_NAME 512

typedef struct few_source_type few_source_type;

/* An open source; each kind has this in front of its own. */
typedef struct few_source {
    const few_source_type *type;
    int64_t total;  /* images it should give */
    bool labelled;  /* every image must come with a label in [0, n_classes) */
    int n_classes;  /* 0 when not labelled */
    char **classes; /* [n_classes] names, or NULL: numbers only. Owned by the source */
    bool ended;     /* nothing more can be read, after the last image or a failure */
} few_source;

/* One image. The caller clears `image`; `name` says where it came from, for messages: set also
 * when reading it failed. */
typedef struct few_source_item {
    few_image image;
    int label; /* FEW_NO_LABEL when the source is not labelled */
    char name[FEW_SOURCE_NAME];
} few_source_item;

struct few_source_type {
    const char *name, *help;
    /* How sure it is that it can read this: 0 no, 100 certain. Reads a few bytes at most. */
    int (*probe)(const char *path);
    /* labels: a file with the labels, or NULL. On failure *out is not set; messages name the
     * file. Fails: FEW_ENOTFOUND, FEW_EIO, FEW_EFORMAT, FEW_EUNSUPPORTED, FEW_ENOMEM. */
    few_status (*open)(few_source **out, const char *path, const char *labels, few_error *err);
    /* The next image. At the end: FEW_OK, `ended` set and no pixels. A failure concerns this image
     * alone unless `ended` is set with it; the message does not name the image. */
    few_status (*next)(few_source *s, few_source_item *item, few_error *err);
    void (*close)(few_source *s);
    bool takes_labels; /* a file with labels makes sense */
};

#define X(name) extern const few_source_type few_source_##name;
#include "image/list.def"
#undef X

extern const few_source_type *const few_source_types[];
extern const int few_n_source_types;

/* Open by the kind that is surest, or by its name when `kind` is not NULL. An unknown name or file
 * is an error that lists the known kinds. Close with few_source_close (NULL is fine). */
few_status few_source_open(few_source **out, const char *path, const char *kind, const char *labels,
                           few_error *err);
few_status few_source_next(few_source *s, few_source_item *item, few_error *err);
void few_source_close(few_source *s);

/* The file without its folders. */
const char *few_base_name(const char *path);
bool few_has_suffix(const char *name, const char *suffix); /* in any case */
/* Up to n first bytes of a file, unpacked when it is gzip; fewer when there are fewer. */
size_t few_first_bytes(const char *path, void *out, size_t n);

/* Entry points on memory, for tests and fuzzing. */
few_status few_idx_open_memory(few_source **out, const char *name, const void *data, size_t n,
                               few_error *err);

#endif
