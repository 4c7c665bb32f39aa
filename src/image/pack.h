/* A data set in one memory-mapped file, "NAME.few":
 *
 *   0   "fewpack\n"             8 bytes
 *   8   version, 1              u32, little-endian as everything here
 *   12  length of the JSON      u32; 32 + length is a multiple of 4096
 *   16  XXH3-64 of the JSON     u64
 *   24  zero                    8 bytes
 *   32  JSON, padded with blanks
 *   then pixels [N,H,W,C] u8, zeros up to a multiple of 4, labels [N] i32 when there are any
 *
 * The JSON holds count, height, width, channels, labels (bool), classes [{name, count}...], source,
 * transforms [text...], pixels_xxh3_128 and labels_xxh3_128. The length of the file follows from
 * count and shape, and must be exactly that. */
#ifndef FEW_IMAGE_PACK_H
#define FEW_IMAGE_PACK_H

#include "base/option.h"
#include "image/image.h"

#define FEW_PACK_VERSION 1

typedef struct few_pack_class {
    const char *name;
    int64_t count;
} few_pack_class;

/* What a pack holds. The strings belong to the pack. */
typedef struct few_pack_info {
    int64_t count;
    int height, width, channels;
    bool has_labels;
    int n_classes; /* 0 without labels */
    const few_pack_class *classes;
    const char *source; /* which files it was made from */
    int n_transforms;
    const char *const *transforms;         /* what was done to them, in order */
    char pixels_hash[33], labels_hash[33]; /* XXH3-128, hex; labels_hash "" without labels */
    char hash[33];                         /* of both and the shape: names the data set */
} few_pack_info;

typedef struct few_pack few_pack;

/* Map a pack. Everything but the pixels is checked here: a pack that opens can be read without
 * further checks. Free with few_pack_close (NULL is fine).
 * Fails: FEW_ENOTFOUND, FEW_EIO, FEW_EFORMAT, FEW_ENOMEM. Threads: any; an open pack is only
 * read. */
few_status few_pack_open(few_pack **out, const char *path, few_error *err);
/* The same on bytes that outlive the pack, aligned to 4. `name` is for messages. */
few_status few_pack_open_memory(few_pack **out, const char *name, const void *data, size_t n,
                                few_error *err);
void few_pack_close(few_pack *p);

/* "DIR/NAME" and `suffix` for a pack "DIR/NAME.few": where what belongs to it is by default,
 * "-test.few" and "-features.safetensors". few_malloc'ed; NULL when out of memory. */
char *few_pack_beside(const char *pack, const char *suffix);

const few_pack_info *few_pack_get_info(const few_pack *p);
/* Image i [H,W,C], 0 <= i < count, in the map; and its class, or -1 without labels. */
const uint8_t *few_pack_image(const few_pack *p, int64_t i);
int few_pack_label(const few_pack *p, int64_t i);

/* Read everything again and compare with the checksums. Fails: FEW_EFORMAT. */
few_status few_pack_verify(const few_pack *p, few_error *err);

/* How a pack is to be written. All pointers are only read during few_pack_writer_open. */
typedef struct few_pack_plan {
    int height, width, channels;
    int n_classes;              /* 0: without labels */
    const char *const *classes; /* [n_classes] names, UTF-8; NULL: "0", "1", ... */
    const char *source;
    int n_transforms;
    const char *const *transforms;
} few_pack_plan;

typedef struct few_pack_writer few_pack_writer;

/* Write a pack image by image; the file appears with the commit, whole or not at all. Commit and
 * abandon free the writer in every case (abandon(NULL) is fine).
 * Fails: FEW_EIO, FEW_EINVAL (shape, label, a name that is not UTF-8, no images), FEW_ENOMEM. */
few_status few_pack_writer_open(few_pack_writer **out, const char *path, const few_pack_plan *plan,
                                few_error *err);
few_status few_pack_writer_add(few_pack_writer *w, const uint8_t *pixels, int label,
                               few_error *err);
few_status few_pack_writer_commit(few_pack_writer *w, few_error *err);
void few_pack_writer_abandon(few_pack_writer *w);

/* How images become a pack: the options of `fewstep data pack`. In this order: channels, resize,
 * pad, flip. Fill with few_options_defaults(few_pack_option_list, ...). */
typedef struct few_pack_options {
    char *source; /* kind of source by name; absent: recognised */
    char *labels; /* a file with labels for idx and npy; absent: found by name (idx) */
    few_strings class_names;
    char *color;   /* "auto": as the first image; "grey", "rgb" */
    int size;      /* resize to size x size; 0: keep */
    char *resize;  /* "crop" the centre square, "stretch", "fit" all and fill the rest */
    int pad;       /* then pad to pad x pad; 0: no */
    int pad_value; /* 0 black ... 255 white; for fit, too */
    bool flip;     /* store each image a second time, left and right exchanged */
    bool skip_bad; /* leave out what cannot be read, rather than refuse everything */
    double test;   /* share that goes to a second pack, "-test.few" beside the first; 0: none */
    int64_t max_images; /* 0: all */
} few_pack_options;

extern const few_option few_pack_option_list[];

#define FEW_PACK_FIRST_BAD 8

typedef struct few_pack_report {
    int64_t packed, tests, skipped; /* tests: in the second pack, never mirrored */
    int n_bad;
    char bad[FEW_PACK_FIRST_BAD][512]; /* the first ones skipped: "name: reason" */
} few_pack_report;

/* Make the pack `output` from one or more inputs, each a file or folder (source.h says which).
 * Inputs with class names are joined by name. Images of different size or channels are refused,
 * naming the first that differs, unless `size` and `color` make them equal; with skip_bad those
 * that differ from the first readable one are left out.
 * progress  called now and then with images done and the expected total; non-zero cancels.
 * report    filled as far as it got, also on failure; may be NULL.
 * Fails: FEW_EINVAL, FEW_ENOTFOUND, FEW_EIO, FEW_EFORMAT, FEW_EUNSUPPORTED, FEW_ENOMEM,
 * FEW_ECANCELED. `output` is then as it was; a second pack is in its place before the first. */
few_status few_pack_build(const char *const *inputs, int n_inputs, const few_pack_options *options,
                          const char *output, few_progress_fn progress, void *user,
                          few_pack_report *report, few_error *err);

#endif
