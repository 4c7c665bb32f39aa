/* The kinds of sources, and telling them apart. */
#include "image/source.h"

#include "base/file.h"
#include "base/strbuf.h"
#include "image/stream.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

const few_source_type *const few_source_types[] = {
#define X(name) &few_source_##name,
#include "image/list.def"
#undef X
};
const int few_n_source_types = (int)FEW_COUNT(few_source_types);

const char *few_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

bool few_has_suffix(const char *name, const char *suffix)
{
    const size_t n = strlen(name), m = strlen(suffix);
    return n >= m && !strcasecmp(name + n - m, suffix);
}

size_t few_first_bytes(const char *path, void *out, size_t n)
{
    few_stream s;
    size_t got = 0;
    if (few_stream_open(&s, path, FEW_STREAM_FILE, NULL) == FEW_OK)
        while (got < n && few_stream_read(&s, (char *)out + got, 1, NULL) == FEW_OK)
            got++;
    few_stream_close(&s);
    return got;
}

static few_status unknown(few_error *err, const char *what, const char *word)
{
    few_strbuf b;
    few_strbuf_init(&b);
    for (int i = 0; i < few_n_source_types; i++)
        few_strbuf_addf(&b, "%s%s (%s)", i ? ", " : "", few_source_types[i]->name,
                        few_source_types[i]->help);
    const few_status st = few_fail(err, FEW_EFORMAT, "%s '%s'; known are: %s", what, word, b.s);
    few_strbuf_free(&b);
    return st;
}

few_status few_source_open(few_source **out, const char *path, const char *kind, const char *labels,
                           few_error *err)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return few_fail(err, errno == ENOENT ? FEW_ENOTFOUND : FEW_EIO, "cannot open '%s': %s",
                        path, strerror(errno));
    if (S_ISREG(info.st_mode) && info.st_size == 0)
        return few_fail(err, FEW_EFORMAT, "'%s' is empty", path);
    const few_source_type *best = NULL;
    int sure = 0;
    for (int i = 0; i < few_n_source_types; i++) {
        const few_source_type *t = few_source_types[i];
        const int k = kind ? !strcmp(kind, t->name) : t->probe(path);
        if (k > sure) {
            sure = k;
            best = t;
        }
    }
    if (!best)
        return kind ? unknown(err, "there is no source called", kind)
                    : unknown(err, "cannot tell what images are in", path);
    if (labels && !best->takes_labels)
        return few_fail(err, FEW_EINVAL, "'%s' brings its own labels, '%s' cannot be used with it",
                        path, labels);
    return best->open(out, path, labels, err);
}

few_status few_source_next(few_source *s, few_source_item *item, few_error *err)
{
    item->image = (few_image){ 0 };
    item->label = FEW_NO_LABEL;
    item->name[0] = 0;
    return s->type->next(s, item, err);
}

void few_source_close(few_source *s)
{
    if (s)
        s->type->close(s);
}
