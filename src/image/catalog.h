/* Which images a folder or archive holds, in what order, and of which class each is: one rule for
 * both. */
#ifndef FEW_IMAGE_CATALOG_H
#define FEW_IMAGE_CATALOG_H

#include "base/status.h"

#define FEW_MAX_CLASSES 65536
#define FEW_NO_LABEL (-1)

typedef struct few_catalog_entry {
    char *name; /* relative, with '/' between folders */
    int label;  /* FEW_NO_LABEL: none, which is an error of this entry when labelled is true */
} few_catalog_entry;

/* A zeroed struct is empty. */
typedef struct few_catalog {
    few_catalog_entry *entries; /* in the order they were added */
    int64_t n, room;
    bool labelled;
    int n_classes;
    char **classes; /* [n_classes] sorted; NULL when the classes are numbers only */
} few_catalog;

/* Whether a path names an image that counts: .png, .jpg or .jpeg, and no part of it hidden (a dot
 * in front) or of macOS's "__MACOSX". */
bool few_catalog_wants(const char *name);

few_status few_catalog_add(few_catalog *c, const char *name, few_error *err);

/* Give classes. With the text of EDM's dataset.json, {"labels": [[name, index], ...]} or null, the
 * names are relative to `folder` (the part of the JSON file's own name up to the last '/', or "").
 * Without (json NULL): the folders that all images share are taken away, and an image's class is
 * the first folder that is left; class i is the i-th name in byte order; when no folders are left
 * there are no classes. Fails: FEW_EFORMAT, FEW_ENOMEM. */
few_status few_catalog_finish(few_catalog *c, const char *json, size_t n, const char *folder,
                              few_error *err);
void few_catalog_clear(few_catalog *c);

#endif
