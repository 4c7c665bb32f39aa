/* From sources to a pack: open all inputs, agree on classes, then one image after the other:
 * channels, resize, pad, flip, write.
 *
 * What is easy to get wrong: inputs with different class folders. Their names are joined and
 * sorted, and each input's labels are mapped; so packing a/ and b/ together is packing a folder
 * with the contents of both. */
#include "image/pack.h"

#include "base/alloc.h"
#include "base/strbuf.h"
#include "image/source.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#define AT(field) offsetof(few_pack_options, field)
const few_option few_pack_option_list[] = {
    { "source", FEW_OPT_STRING, AT(source), NULL, 0, 0, "kind of the inputs (default: recognised)",
      NULL },
    { "labels", FEW_OPT_STRING, AT(labels), NULL, 0, 0,
      "file with the labels of an IDX or .npy input (IDX: found by name)", NULL },
    { "class_names", FEW_OPT_STRINGS, AT(class_names), NULL, 0, 0, "names of the classes, in order",
      NULL },
    { "color", FEW_OPT_CHOICE, AT(color), "auto", 0, 0, "channels; auto: as the first image",
      "auto|grey|rgb" },
    { "size", FEW_OPT_INT, AT(size), "0", 0, 4096, "resize to a square of this many pixels; 0: no",
      NULL },
    { "resize", FEW_OPT_CHOICE, AT(resize), "crop", 0, 0,
      "how: crop the centre, stretch, or fit all and fill", "crop|stretch|fit" },
    { "pad", FEW_OPT_INT, AT(pad), "0", 0, 4096, "then pad to a square of this many pixels; 0: no",
      NULL },
    { "pad_value", FEW_OPT_INT, AT(pad_value), "0", 0, 255, "what to pad and fill with", NULL },
    { "flip", FEW_OPT_BOOL, AT(flip), "no", 0, 0, "store a mirrored copy of every image, too",
      NULL },
    { "skip_bad", FEW_OPT_BOOL, AT(skip_bad), "no", 0, 0,
      "leave out and count what cannot be read, rather than stop", NULL },
    { "test", FEW_OPT_DOUBLE, AT(test), "0", 0, 0.9,
      "share of the images to keep apart, in a pack of their own: FILE-test.few", NULL },
    { "max_images", FEW_OPT_I64, AT(max_images), "0", 0, 2147483647, "stop after so many; 0: all",
      NULL },
    { .name = NULL },
};

struct input {
    few_source *source;
    int *map; /* label of the source -> label of the pack; NULL: the same */
};

struct build {
    const few_pack_options *o;
    const char *output;
    struct input *inputs;
    int n_inputs;
    bool labelled;
    int n_classes;
    const char **classes; /* [n_classes] or NULL; the strings belong to sources or options */
    few_strbuf source;    /* its description */
    few_pack_writer *writer, *test; /* test: of what is kept apart, or NULL */
    int64_t good;                   /* images read */
    int h, w, c;                    /* of the first image */
    char first[FEW_SOURCE_NAME];
    few_pack_report *report;
    int64_t seen, total;
    few_progress_fn progress;
    void *user;
};

static few_status no_memory(few_error *err)
{
    return few_fail(err, FEW_ENOMEM, "out of memory while packing");
}

/* Count something unreadable, or give the failure back. */
static few_status skip(struct build *b, const char *name, int64_t n, few_status st,
                       const few_error *why, few_error *err)
{
    if (!b->o->skip_bad || st == FEW_ENOMEM) {
        if (name)
            return few_fail(err, st, "'%s': %s%s", name, why->text,
                            st == FEW_ENOMEM ? "" : " (--skip-bad leaves it out)");
        return few_fail(err, st, "%s", why->text);
    }
    few_pack_report *r = b->report;
    r->skipped += n;
    if (r->n_bad < FEW_PACK_FIRST_BAD)
        snprintf(r->bad[r->n_bad++], sizeof r->bad[0], "%.240s%s%.260s", name ? name : "",
                 name ? ": " : "", why->text);
    return FEW_OK;
}

static few_status open_inputs(struct build *b, const char *const *paths, int n, few_error *err)
{
    b->inputs = few_calloc((size_t)n, sizeof *b->inputs);
    if (!b->inputs)
        return no_memory(err);
    for (int i = 0; i < n; i++) {
        few_error why = { 0 };
        few_source *s = NULL;
        const few_status st = few_source_open(&s, paths[i], b->o->source, b->o->labels, &why);
        if (st != FEW_OK) {
            FEW_TRY(skip(b, NULL, 1, st, &why, err));
            continue;
        }
        b->inputs[b->n_inputs++].source = s;
        b->total += s->total;
        few_strbuf_addf(&b->source, "%s%s (%s)", b->n_inputs > 1 ? ", " : "",
                        few_base_name(paths[i]), s->type->name);
        const few_source *first = b->inputs[0].source;
        if (s->labelled != first->labelled || !s->classes != !first->classes)
            return few_fail(err, FEW_EINVAL,
                            "'%s' has %s, the input before it has %s; pack them separately",
                            paths[i],
                            !s->labelled ? "no labels"
                            : s->classes ? "class names"
                                         : "labels without names",
                            !first->labelled ? "none"
                            : first->classes ? "names"
                                             : "only numbers");
    }
    if (b->n_inputs == 0)
        return few_fail(err, FEW_EFORMAT, "no input could be read; the first: %s",
                        b->report->n_bad ? b->report->bad[0] : "none given");
    return b->source.failed ? no_memory(err) : FEW_OK;
}

/* Where `name` is among the sorted classes so far, or should be. */
static int find(const struct build *b, const char *name, bool *found)
{
    int low = 0, high = b->n_classes;
    while (low < high) {
        const int mid = low + (high - low) / 2;
        if (strcmp(b->classes[mid], name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *found = low < b->n_classes && !strcmp(b->classes[low], name);
    return low;
}

/* Whether all inputs have the first one's list of classes. */
static bool same_classes(const struct build *b)
{
    const few_source *a = b->inputs[0].source;
    for (int i = 1; i < b->n_inputs; i++) {
        const few_source *s = b->inputs[i].source;
        if (s->n_classes != a->n_classes)
            return false;
        for (int k = 0; k < s->n_classes; k++)
            if (strcmp(s->classes[k], a->classes[k]))
                return false;
    }
    return true;
}

static few_status join_classes(struct build *b, few_error *err)
{
    size_t room = 0;
    for (int i = 0; i < b->n_inputs; i++)
        room += (size_t)b->inputs[i].source->n_classes;
    b->classes = few_calloc(room, sizeof *b->classes);
    if (!b->classes)
        return no_memory(err);
    if (same_classes(b)) { /* keeps an order of its own, as CIFAR's */
        const few_source *s = b->inputs[0].source;
        b->n_classes = s->n_classes;
        for (int k = 0; k < s->n_classes; k++)
            b->classes[k] = s->classes[k];
        return FEW_OK;
    }
    bool found;
    for (int i = 0; i < b->n_inputs; i++)
        for (int k = 0; k < b->inputs[i].source->n_classes; k++) {
            const char *name = b->inputs[i].source->classes[k];
            const int at = find(b, name, &found);
            if (found)
                continue;
            memmove(b->classes + at + 1, b->classes + at,
                    (size_t)(b->n_classes++ - at) * sizeof *b->classes);
            b->classes[at] = name;
        }
    for (int i = 0; i < b->n_inputs; i++) {
        const few_source *s = b->inputs[i].source;
        int *map = b->inputs[i].map = few_calloc((size_t)s->n_classes, sizeof *map);
        if (!map)
            return no_memory(err);
        for (int k = 0; k < s->n_classes; k++)
            map[k] = find(b, s->classes[k], &found);
    }
    return FEW_OK;
}

static few_status agree_on_classes(struct build *b, few_error *err)
{
    const few_strings *names = &b->o->class_names;
    b->labelled = b->inputs[0].source->labelled;
    if (!b->labelled) {
        if (names->n > 0)
            return few_fail(err, FEW_EINVAL, "class names are given, but the input has no labels");
        return FEW_OK;
    }
    if (b->inputs[0].source->classes) {
        FEW_TRY(join_classes(b, err));
        if (names->n > 0 && names->n != b->n_classes)
            return few_fail(err, FEW_EINVAL, "%d class names are given, the input has %d classes",
                            names->n, b->n_classes);
    } else {
        for (int i = 0; i < b->n_inputs; i++)
            if (b->inputs[i].source->n_classes > b->n_classes)
                b->n_classes = b->inputs[i].source->n_classes;
        if (names->n > 0 && names->n < b->n_classes)
            return few_fail(err, FEW_EINVAL, "%d class names are given, the labels need %d",
                            names->n, b->n_classes);
        if (names->n > 0) {
            b->n_classes = names->n;
            b->classes = few_calloc((size_t)names->n, sizeof *b->classes);
            if (!b->classes)
                return no_memory(err);
        }
    }
    for (int k = 0; k < names->n; k++)
        b->classes[k] = names->v[k];
    if (b->n_classes < 1 || b->n_classes > FEW_MAX_CLASSES)
        return few_fail(err, FEW_EINVAL, "%d classes; possible are 1 to %d", b->n_classes,
                        FEW_MAX_CLASSES);
    return FEW_OK;
}

static int at_least_1(int64_t x)
{
    return x < 1 ? 1 : (int)x;
}

/* Channels, resize and pad. */
static few_status transform(const struct build *b, few_image *im, few_error *err)
{
    const few_pack_options *o = b->o;
    if (strcmp(o->color, "auto"))
        FEW_TRY(few_image_set_channels(im, strcmp(o->color, "grey") ? 3 : 1, err));
    if (o->size > 0) {
        const int least = im->h < im->w ? im->h : im->w, most = im->h > im->w ? im->h : im->w;
        if (!strcmp(o->resize, "crop"))
            FEW_TRY(few_image_crop(im, least, least, err));
        if (!strcmp(o->resize, "fit")) {
            const int h = at_least_1(((int64_t)im->h * o->size + most / 2) / most);
            const int w = at_least_1(((int64_t)im->w * o->size + most / 2) / most);
            FEW_TRY(few_image_resize(im, h, w, err));
            FEW_TRY(few_image_pad(im, o->size, o->size, o->pad_value, err));
        }
        FEW_TRY(few_image_resize(im, o->size, o->size, err));
    }
    return o->pad > 0 ? few_image_pad(im, o->pad, o->pad, o->pad_value, err) : FEW_OK;
}

/* The first image decides the shape of the packs. */
static few_status open_writers(struct build *b, const few_source_item *item, few_error *err)
{
    const few_pack_options *o = b->o;
    char text[4][80];
    const char *transforms[5];
    few_pack_plan plan = { .height = item->image.h,
                           .width = item->image.w,
                           .channels = item->image.c,
                           .n_classes = b->n_classes,
                           .classes = b->classes,
                           .source = b->source.s,
                           .transforms = transforms };
    if (strcmp(o->color, "auto")) {
        snprintf(text[0], sizeof text[0], "color %s", o->color);
        transforms[plan.n_transforms++] = text[0];
    }
    if (o->size > 0) {
        snprintf(text[1], sizeof text[1], "%s to %d x %d", o->resize, o->size, o->size);
        transforms[plan.n_transforms++] = text[1];
    }
    if (o->pad > 0) {
        snprintf(text[2], sizeof text[2], "pad to %d x %d with %d", o->pad, o->pad, o->pad_value);
        transforms[plan.n_transforms++] = text[2];
    }
    if (o->test > 0) {
        snprintf(text[3], sizeof text[3], "a share of %g kept apart for tests", o->test);
        transforms[plan.n_transforms++] = text[3];
        char *path = few_pack_beside(b->output, "-test.few");
        if (!path)
            return no_memory(err);
        const few_status st = few_pack_writer_open(&b->test, path, &plan, err);
        few_free(path);
        if (st != FEW_OK)
            return st;
    }
    if (o->flip)
        transforms[plan.n_transforms++] = "mirrored copies";
    b->h = item->image.h;
    b->w = item->image.w;
    b->c = item->image.c;
    memcpy(b->first, item->name, sizeof b->first);
    return few_pack_writer_open(&b->writer, b->output, &plan, err);
}

/* All images must have the shape of the first. */
static few_status check_shape(const struct build *b, const few_image *im, few_error *err)
{
    if (im->h != b->h || im->w != b->w)
        return few_fail(err, FEW_EFORMAT,
                        "%d x %d pixels, but '%s' has %d x %d; give a size to resize all to", im->w,
                        im->h, b->first, b->w, b->h);
    if (im->c != b->c)
        return few_fail(err, FEW_EFORMAT, "%s, but '%s' is %s; give color grey or rgb",
                        im->c == 1 ? "grey" : "RGB", b->first, b->c == 1 ? "grey" : "RGB");
    return FEW_OK;
}

/* Whether the next image is kept apart: shares are even, so every class gives its own. */
static bool kept_apart(struct build *b)
{
    const double share = b->o->test;
    const int64_t k = b->good++;
    return floor((double)(k + 1) * share) > floor((double)k * share);
}

/* Write the image and, when asked, its mirror image. A failure here ends the build. */
static few_status store(struct build *b, few_image *im, int label, few_error *err)
{
    if (kept_apart(b)) {
        b->report->tests++;
        return few_pack_writer_add(b->test, im->pixels, label, err);
    }
    for (int copy = 0; copy <= b->o->flip; copy++) {
        if (b->o->max_images > 0 && b->report->packed == b->o->max_images)
            break;
        if (copy)
            few_image_flip(im);
        FEW_TRY(few_pack_writer_add(b->writer, im->pixels, label, err));
        b->report->packed++;
    }
    return FEW_OK;
}

static few_status one_image(struct build *b, const struct input *in, few_error *err)
{
    few_source *s = in->source;
    few_source_item item;
    few_error why = { 0 };
    const int64_t before = b->seen++;
    few_status st = few_source_next(s, &item, &why);
    if (st == FEW_OK && s->ended) {
        b->seen = before;
        return FEW_OK;
    }
    if (st == FEW_OK)
        st = transform(b, &item.image, &why);
    if (st == FEW_OK && b->writer)
        st = check_shape(b, &item.image, &why);
    if (st != FEW_OK) {
        few_image_clear(&item.image);
        return skip(b, item.name, 1, st, &why, err);
    }
    if (!b->writer)
        FEW_GOTO(open_writers(b, &item, err));
    st = store(b, &item.image, in->map && item.label >= 0 ? in->map[item.label] : item.label, err);
cleanup:
    few_image_clear(&item.image);
    return st;
}

static few_status all_images(struct build *b, few_error *err)
{
    const int64_t max = b->o->max_images > 0 ? b->o->max_images : INT64_MAX;
    for (int i = 0; i < b->n_inputs; i++) {
        few_source *s = b->inputs[i].source;
        const int64_t start = b->seen;
        while (!s->ended && b->report->packed < max) {
            FEW_TRY(one_image(b, &b->inputs[i], err));
            if (b->progress && b->seen % 64 == 0 && b->progress(b->user, b->seen, b->total))
                return few_fail(err, FEW_ECANCELED, "packing was canceled");
        }
        /* A file cut short: what is missing counts as skipped. */
        const int64_t missing = s->total - (b->seen - start);
        if (s->ended && missing > 0) {
            b->report->skipped += missing;
            b->seen += missing;
        }
    }
    if (b->report->packed == 0)
        return few_fail(err, FEW_EFORMAT, "no image could be read; the first: %s",
                        b->report->n_bad ? b->report->bad[0] : "there is none");
    if (b->test && b->report->tests == 0)
        return few_fail(err, FEW_EINVAL, "a share of %g of %lld images is none", b->o->test,
                        (long long)b->good);
    if (b->progress && b->progress(b->user, b->seen, b->total))
        return few_fail(err, FEW_ECANCELED, "packing was canceled");
    return FEW_OK;
}

few_status few_pack_build(const char *const *inputs, int n_inputs, const few_pack_options *options,
                          const char *output, few_progress_fn progress, void *user,
                          few_pack_report *report, few_error *err)
{
    few_pack_report own;
    struct build b = { .o = options,
                       .output = output,
                       .progress = progress,
                       .user = user,
                       .report = report ? report : &own };
    *b.report = (few_pack_report){ 0 };
    few_strbuf_init(&b.source);
    few_status st;
    if (n_inputs < 1 || (n_inputs > 1 && options->labels)) {
        st = few_fail(err, FEW_EINVAL,
                      n_inputs < 1 ? "no input is given"
                                   : "one file of labels is given for several inputs");
        goto cleanup;
    }
    FEW_GOTO(open_inputs(&b, inputs, n_inputs, err));
    FEW_GOTO(agree_on_classes(&b, err));
    FEW_GOTO(all_images(&b, err));
    if (b.test)
        st = few_pack_writer_commit(b.test, err);
    b.test = NULL;
    if (st != FEW_OK)
        goto cleanup;
    st = few_pack_writer_commit(b.writer, err);
    b.writer = NULL;
cleanup:
    few_pack_writer_abandon(b.writer);
    few_pack_writer_abandon(b.test);
    for (int i = 0; b.inputs && i < b.n_inputs; i++) {
        few_source_close(b.inputs[i].source);
        few_free(b.inputs[i].map);
    }
    few_free(b.inputs);
    few_free(b.classes);
    few_strbuf_free(&b.source);
    return st;
}
