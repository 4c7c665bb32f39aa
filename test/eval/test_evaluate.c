/* The feature network and the evaluation of a checkpoint: trained, written, read back, and a
 * distance that is what its parts say. */
#include "eval/evaluate.h"
#include "eval/frechet.h"
#include "train/nets.h"

#include "base/file.h"
#include "image/image.h"

enum { SIDE = 8, IMAGES = 160, PIXELS = SIDE * SIDE };

/* Two classes that are easy to tell: stripes along and across, with some noise; one image in
 * `period` is of the second. Without classes: a chequered pattern, brighter above. */
static few_pack *make_pack_of(const char *name, int salt, int classes, int period)
{
    few_error err = { 0 };
    few_pack_writer *w = NULL;
    few_pack *p = NULL;
    const char *path = temp_path(name);
    const few_pack_plan plan = { SIDE, SIDE, 1, classes, NULL, "made up", 0, NULL };
    assert_int_equal(few_pack_writer_open(&w, path, &plan, &err), FEW_OK);
    for (int i = 0; i < IMAGES; i++) {
        uint8_t px[PIXELS];
        for (int k = 0; k < PIXELS; k++) {
            const int stripe = (i % period == 1 ? k / SIDE : k % SIDE) / 2 % 2;
            px[k] = (uint8_t)(classes ? stripe * 160 + (i * 37 + k * 11 + salt * 53) % 71
                                      : (k < 3 * SIDE) * 120 + (k + k / SIDE) % 2 * 60 +
                                            (i * 37 + salt * 53) % 71);
        }
        assert_int_equal(few_pack_writer_add(w, px, classes ? i % period == 1 : -1, &err), FEW_OK);
    }
    assert_int_equal(few_pack_writer_commit(w, &err), FEW_OK);
    if (few_pack_open(&p, path, &err) != FEW_OK)
        fail_msg("%s", err.text);
    return p;
}

static few_pack *make_pack(const char *name, int salt, int classes)
{
    return make_pack_of(name, salt, classes, 2);
}

/* One image of 4x4 pixels, of the second of two classes. */
static few_pack *make_small(const char *name)
{
    few_error err = { 0 };
    few_pack_writer *w = NULL;
    few_pack *p = NULL;
    const few_pack_plan plan = { 4, 4, 1, 2, NULL, "made up", 0, NULL };
    assert_int_equal(few_pack_writer_open(&w, temp_path(name), &plan, &err), FEW_OK);
    assert_int_equal(few_pack_writer_add(w, (uint8_t[16]){ 0 }, 1, &err), FEW_OK);
    assert_int_equal(few_pack_writer_commit(w, &err), FEW_OK);
    assert_int_equal(few_pack_open(&p, temp_path(name), &err), FEW_OK);
    return p;
}

static few_features *train_features(const char *name, const few_pack *train, const few_pack *test,
                                    few_features_training *o)
{
    few_error err = { 0 };
    few_features *f = NULL;
    const char *path = temp_path(name);
    if (few_features_train(train, test, "stripes", path, o, &err) != FEW_OK ||
        few_features_load(path, 1, &f, &err) != FEW_OK)
        fail_msg("%s", err.text);
    return f;
}

static void a_classifier_learns_and_comes_back(void **state)
{
    (void)state;
    few_pack *train = make_pack("train.few", 1, 2), *test = make_pack("test.few", 2, 2);
    few_features_training o = { .epochs = 12, .batch = 32, .lr = 2e-3, .seed = 7, .workers = 1 };
    few_features *a = train_features("a.safetensors", train, test, &o);
    int h, w, c;
    assert_true(o.accuracy > 0.95 && o.loss < 0.4);
    few_features_shape(a, &h, &w, &c);
    assert_true(h == SIDE && w == SIDE && c == 1);
    assert_string_equal(few_features_data(a), "stripes");
    /* Reading the file again gives the same network; another seed gives another. */
    few_features *b = NULL;
    few_error err = { 0 };
    assert_int_equal(few_features_load(temp_path("a.safetensors"), 2, &b, &err), FEW_OK);
    assert_string_equal(few_features_hash(a), few_features_hash(b));
    const int d = few_features_dim(a);
    float *x = few_malloc((size_t)IMAGES * (size_t)d * sizeof *x),
          *y = few_malloc((size_t)IMAGES * (size_t)d * sizeof *y);
    assert_int_equal(few_features_compute(a, few_pack_image(test, 0), IMAGES, x, &err), FEW_OK);
    /* Not by the number of workers, nor how the images are cut into calls. */
    for (int at = 0; at < IMAGES; at += 7)
        assert_int_equal(few_features_compute(b, few_pack_image(test, at),
                                              IMAGES - at < 7 ? IMAGES - at : 7,
                                              y + (size_t)at * (size_t)d, &err),
                         FEW_OK);
    assert_memory_equal(x, y, (size_t)IMAGES * (size_t)d * sizeof *x);
    few_free(x);
    few_free(y);
    few_features_free(b);
    o.seed = 8;
    o.epochs = 1;
    b = train_features("b.safetensors", train, NULL, &o);
    assert_true(o.accuracy < 0);
    assert_string_not_equal(few_features_hash(a), few_features_hash(b));
    few_features_free(a);
    few_features_free(b);
    few_pack_close(train);
    few_pack_close(test);
}

/* Without classes it learns to tell how images are turned, and which were blurred. */
static void without_labels_it_learns_lessons(void **state)
{
    (void)state;
    few_pack *train = make_pack("plain.few", 1, 0), *test = make_pack("plain-test.few", 2, 0);
    few_features_training o = { .epochs = 12, .batch = 32, .lr = 2e-3, .seed = 7, .workers = 1 };
    few_features *f = train_features("lessons.safetensors", train, test, &o);
    float *x = few_malloc(2 * (size_t)few_features_dim(f) * sizeof *x);
    few_error err = { 0 };
    assert_true(o.unlabelled);
    if (!(o.accuracy > 0.95))
        fail_msg("accuracy %g, loss %g", o.accuracy, o.loss);
    assert_int_equal(few_features_compute(f, few_pack_image(test, 0), 2, x, &err), FEW_OK);
    few_free(x);
    few_features_free(f);
    few_pack_close(train);
    few_pack_close(test);
}

static int stop_at_once(void *user, int64_t done, int64_t total)
{
    (void)user;
    (void)total;
    return done > 2;
}

static void what_cannot_be_trained_or_read_is_refused(void **state)
{
    (void)state;
    few_pack *train = make_pack("train.few", 1, 2);
    few_features_training o = { .epochs = 1, .batch = 32, .lr = 1e-3, .seed = 1, .workers = 1 };
    few_features *f = NULL;
    few_error err = { 0 };
    const char *path = temp_path("refused.safetensors");
    const int64_t before = few_alloc_get_stats().bytes;
    few_pack *plain = make_pack("plain.few", 1, 0), *small = make_small("small.few");
    expect(few_features_train(train, plain, "x", path, &o, &err), FEW_ECONFIG, &err, "0 classes");
    expect(few_features_train(train, small, "x", path, &o, &err), FEW_ECONFIG, &err, "4x4 pixels");
    few_pack_close(plain);
    few_pack_close(small);
    o.batch = IMAGES + 16;
    assert_int_equal(few_features_train(train, NULL, "x", path, &o, &err), FEW_ECONFIG);
    o.batch = 32;
    o.progress = stop_at_once;
    assert_int_equal(few_features_train(train, NULL, "x", path, &o, &err), FEW_ECANCELED);
    assert_false(few_is_file(path));
    expect(few_features_load(path, 1, &f, &err), FEW_ENOTFOUND, &err, "refused.safetensors");
    expect(few_features_load(temp_path("train.few"), 1, &f, &err), FEW_EFORMAT, &err, "train.few");
    o.progress = NULL;
    f = train_features("whole.safetensors", train, NULL, &o);
    few_features_free(f);
    /* Every cut is noticed. */
    FILE *in = fopen(temp_path("whole.safetensors"), "rb"), *out;
    assert_non_null(in);
    static char bytes[8 << 20];
    const size_t n = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    for (size_t cut = 0; cut < n; cut += 1 + n / 40) {
        assert_non_null(out = fopen(path, "wb"));
        fwrite(bytes, 1, cut, out);
        fclose(out);
        f = NULL;
        assert_int_equal(few_features_load(path, 1, &f, &err), FEW_EFORMAT);
        assert_null(f);
    }
    /* Failed allocations: an error and no leak. */
    for (int64_t at = 1;; at++) {
        few_alloc_fail_at(at);
        const few_status st = few_features_load(temp_path("whole.safetensors"), 1, &f, &err);
        few_alloc_fail_at(0);
        if (st == FEW_OK) {
            assert_true(at > 20);
            break;
        }
        assert_int_equal(st, FEW_ENOMEM);
        assert_int_equal(few_alloc_get_stats().bytes, before);
    }
    few_features_free(f);
    assert_int_equal(few_alloc_get_stats().bytes, before);
    few_pack_close(train);
}

static void make_model(few_net *n, int classes)
{
    few_config c;
    load_defaults(&c, "diffusion");
    tiny_unet(&c);
    make_net(n, &c, (few_net_shape){ SIDE, SIDE, 1, classes }, 3);
    few_config_clear(&c);
}

/* The same numbers by drawing, rounding to bytes, and comparing moments step by step. */
static double by_hand(const few_net *n, few_features *f, const few_pack *test, int samples,
                      const few_draw *o)
{
    few_error err = { 0 };
    few_drawer *d = NULL;
    const few_drawer_options po = { .precision = FEW_PRECISION_F32, .workers = 1 };
    const int dim = few_features_dim(f);
    float *images = few_malloc((size_t)samples * PIXELS * sizeof *images),
          *x = few_malloc((size_t)(samples + IMAGES) * (size_t)dim * sizeof *x);
    uint8_t *bytes = few_malloc((size_t)samples * PIXELS);
    assert_int_equal(few_drawer_create(&n->spec, n->master, &po, &d, &err), FEW_OK);
    assert_int_equal(few_drawer_draw(d, o, samples, images, &err), FEW_OK);
    for (int i = 0; i < samples * PIXELS; i++)
        bytes[i] = (uint8_t)fmax(0, fmin(255, floor(127.5 * ((double)images[i] + 1) + 0.5)));
    assert_int_equal(few_features_compute(f, bytes, samples, x, &err), FEW_OK);
    assert_int_equal(few_features_compute(f, few_pack_image(test, 0), IMAGES,
                                          x + (size_t)samples * (size_t)dim, &err),
                     FEW_OK);
    few_moments m[2];
    for (int k = 0; k < 2; k++) {
        const float *v = k ? x + (size_t)samples * (size_t)dim : x;
        const int count = k ? IMAGES : samples;
        assert_int_equal(few_moments_init(&m[k], dim, &err), FEW_OK);
        m[k].n = count;
        for (int i = 0; i < count; i++)
            for (int a = 0; a < dim; a++)
                m[k].mu[a] += (double)v[i * dim + a] / count;
        for (int i = 0; i < count; i++)
            for (int a = 0; a < dim; a++)
                for (int b = 0; b < dim; b++)
                    m[k].sigma[a * dim + b] += ((double)v[i * dim + a] - m[k].mu[a]) *
                                               ((double)v[i * dim + b] - m[k].mu[b]) / (count - 1);
    }
    few_frechet_terms t;
    assert_int_equal(few_frechet(&m[0], &m[1], &t, &err), FEW_OK);
    few_moments_free(&m[0]);
    few_moments_free(&m[1]);
    few_drawer_free(d);
    few_free(images);
    few_free(bytes);
    few_free(x);
    return t.value;
}

static int64_t last_done, last_total;
static int remember(void *user, int64_t done, int64_t total)
{
    (void)user;
    assert_true(done >= last_done && done <= total);
    last_done = done;
    last_total = total;
    return 0;
}

static few_status evaluate(const few_net *n, few_features *f, const few_pack *test,
                           const few_pack *train, const few_evaluation_options *o,
                           few_evaluation *e, few_error *err)
{
    few_real r;
    FEW_TRY(few_real_make(&r, f, test, train, o->samples, err));
    const few_status st = few_evaluate(n, f, &r, o, e, err);
    few_real_free(&r);
    return st;
}

static void a_figure_is_what_its_parts_say(void **state)
{
    (void)state;
    few_pack *train = make_pack("train.few", 1, 2), *test = make_pack("test.few", 2, 2);
    few_features_training o = { .epochs = 2, .batch = 32, .lr = 2e-3, .seed = 7, .workers = 1 };
    few_features *f = train_features("f.safetensors", train, NULL, &o);
    few_net n;
    few_error err = { 0 };
    make_model(&n, 2);
    few_evaluation_options eo = {
        .samples = 40,
        .draw = { .sampler = few_sampler_find("multistep", &err), .steps = 3, .seed = 5 },
        .precision = FEW_PRECISION_F32,
        .workers = 2,
        .progress = remember
    };
    few_evaluation e, again, real;
    last_done = 0;
    if (evaluate(&n, f, test, train, &eo, &e, &err) != FEW_OK)
        fail_msg("%s", err.text);
    assert_int_equal(last_done, 120);
    assert_int_equal(last_total, 120);
    const double want = by_hand(&n, f, test, 40, &eo.draw);
    if (!(fabs(e.fd - want) <= 1e-6 * want))
        fail_msg("distance %.9g, by hand %.9g", e.fd, want);
    assert_int_equal(e.samples, 40);
    assert_int_equal(e.reference, IMAGES);
    assert_int_equal(e.train, 40);
    assert_int_equal(e.nfe, 3);
    assert_true(e.images_per_second > 0);
    assert_string_equal(e.reference_hash, few_pack_get_info(test)->hash);
    assert_string_equal(e.features_hash, few_features_hash(f));
    /* Random weights are far from the data; real images are near. */
    assert_true(e.floor >= 0 && e.floor < 0.3 * e.fd);
    /* A set against itself, all of it: zero, but for rounding. */
    eo.samples = IMAGES;
    last_done = 0;
    assert_int_equal(evaluate(&n, f, test, test, &eo, &real, &err), FEW_OK);
    assert_true(fabs(real.floor) < 1e-6);
    /* The same seed again is the same figure; without a training set there is no floor. */
    eo.samples = 40;
    eo.workers = 1;
    last_done = 0;
    assert_int_equal(evaluate(&n, f, test, NULL, &eo, &again, &err), FEW_OK);
    assert_true(again.fd == e.fd && isnan(again.floor));
    eo.draw.seed = 6;
    last_done = 0;
    assert_int_equal(evaluate(&n, f, test, NULL, &eo, &again, &err), FEW_OK);
    assert_true(again.fd != e.fd);
    /* Guidance evaluates the network twice. */
    n.spec.null_class = true;
    eo.draw.guidance = 1;
    last_done = 0;
    assert_int_equal(evaluate(&n, f, test, NULL, &eo, &again, &err), FEW_OK);
    assert_int_equal(again.nfe, 6);
    /* Pixels that are no numbers would be black ones. */
    eo.draw.guidance = 0;
    const float was = n.master[0];
    n.master[0] = NAN;
    last_done = 0;
    expect(evaluate(&n, f, test, NULL, &eo, &again, &err), FEW_EDIVERGED, &err,
           "image 0 has pixels that are no numbers");
    n.master[0] = was;
    /* One sample has no covariance; a stop is obeyed. */
    eo.samples = 1;
    expect(evaluate(&n, f, test, NULL, &eo, &again, &err), FEW_EINVAL, &err, "2 samples");
    eo.samples = 40;
    eo.progress = stop_at_once;
    assert_int_equal(evaluate(&n, f, test, NULL, &eo, &again, &err), FEW_ECANCELED);
    few_net_free(&n);
    few_features_free(f);
    few_pack_close(train);
    few_pack_close(test);
}

/* More than a group of images: those of the second have noise and labels of their own. */
static void later_groups_go_on_where_the_first_ended(void **state)
{
    (void)state;
    enum { SAMPLES = 700 };
    few_pack *train = make_pack("train.few", 1, 2), *test = make_pack_of("test.few", 2, 2, 5);
    few_features_training o = { .epochs = 2, .batch = 32, .lr = 2e-3, .seed = 7, .workers = 1 };
    few_features *f = train_features("f.safetensors", train, NULL, &o);
    few_net n;
    few_error err = { 0 };
    make_model(&n, 2);
    few_evaluation_options eo = {
        .samples = SAMPLES,
        .draw = { .sampler = few_sampler_find("multistep", &err), .steps = 1, .seed = 5 },
        .precision = FEW_PRECISION_F32,
        .workers = 1,
    };
    int32_t *label = few_labels_like(test, SAMPLES);
    float *noise = few_malloc(SAMPLES * PIXELS * sizeof *noise);
    few_draw_noise(6, 0, SAMPLES, PIXELS, noise);
    for (int given = 0; given < 2; given++) {
        few_evaluation e;
        eo.draw.noise = given ? noise : NULL;
        few_draw draw = eo.draw;
        draw.label = label;
        assert_int_equal(evaluate(&n, f, test, NULL, &eo, &e, &err), FEW_OK);
        const double want = by_hand(&n, f, test, SAMPLES, &draw);
        if (!(fabs(e.fd - want) <= 1e-5 * want))
            fail_msg("distance %.9g, by hand %.9g", e.fd, want);
    }
    few_free(label);
    few_free(noise);
    few_net_free(&n);
    few_features_free(f);
    few_pack_close(train);
    few_pack_close(test);
}

/* A pack of so many images of each of three classes, each of one grey. */
enum { CLASSES = 3 };
static few_pack *grey_pack(const char *name, const uint8_t *grey, const int *have)
{
    few_error err = { 0 };
    few_pack_writer *w = NULL;
    few_pack *p = NULL;
    const few_pack_plan plan = { SIDE, SIDE, 1, CLASSES, NULL, "made up", 0, NULL };
    assert_int_equal(few_pack_writer_open(&w, temp_path(name), &plan, &err), FEW_OK);
    for (int c = 0; c < CLASSES; c++)
        for (int i = 0; i < have[c]; i++)
            assert_int_equal(few_pack_writer_add(w, grey + c * PIXELS, c, &err), FEW_OK);
    assert_int_equal(few_pack_writer_commit(w, &err), FEW_OK);
    assert_int_equal(few_pack_open(&p, temp_path(name), &err), FEW_OK);
    return p;
}

/* Of the training images as many of every class are chosen as the test images have in proportion.
 */
static void chosen_images_are_of_the_same_classes(void **state)
{
    (void)state;
    enum { ALL = 96 };
    static uint8_t grey[CLASSES * PIXELS];
    few_error err = { 0 };
    few_pack *train = make_pack("train.few", 1, 2);
    few_features_training o = { .epochs = 1, .batch = 32, .lr = 2e-3, .seed = 7, .workers = 1 };
    few_features *f = train_features("f.safetensors", train, NULL, &o);
    for (int c = 0; c < CLASSES; c++)
        memset(grey + c * PIXELS, 100 * c, PIXELS);
    few_pack *p = grey_pack("uneven.few", grey, (int[]){ ALL - 10, 6, 4 });
    few_pack *like[] = { grey_pack("even.few", grey, (int[]){ 5, 5, 5 }),
                         grey_pack("more.few", grey, (int[]){ 2, 4, 2 }) };
    const int d = few_features_dim(f);
    float *x = few_malloc((size_t)CLASSES * (size_t)d * sizeof *x);
    assert_int_equal(few_features_compute(f, grey, CLASSES, x, &err), FEW_OK);
    static const struct {
        int like, n, of[CLASSES];
    } want[] = { { 0, 3, { 1, 1, 1 } },
                 { 0, 11, { 4, 4, 3 } },
                 { 0, 12, { 4, 4, 4 } },
                 { 1, 4, { 1, 2, 1 } },
                 { 1, 12, { 3, 6, 3 } },
                 { 0, ALL, { ALL - 10, 6, 4 } },
                 { 1, ALL + 1, { ALL - 10, 6, 4 } } };
    for (size_t k = 0; k < FEW_COUNT(want); k++) {
        few_moments m;
        assert_int_equal(few_pack_moments(f, p, like[want[k].like], want[k].n, &m, &err), FEW_OK);
        assert_int_equal(m.n, want[k].n < ALL ? want[k].n : ALL);
        for (int a = 0; a < d; a++) {
            double mean = 0;
            for (int c = 0; c < CLASSES; c++)
                mean += (double)x[c * d + a] * want[k].of[c] / (double)m.n;
            assert_true(fabs(m.mu[a] - mean) < 1e-5 * (1 + fabs(mean)));
        }
        few_moments_free(&m);
    }
    few_free(x);
    few_pack_close(p);
    few_pack_close(like[0]);
    few_pack_close(like[1]);
    few_features_free(f);
    few_pack_close(train);
}

/* In turn where all are as frequent, else never one image from their share. */
static void labels_are_as_frequent(void **state)
{
    (void)state;
    static const uint8_t grey[CLASSES * PIXELS];
    static const int have[][CLASSES] = { { 4, 4, 4 }, { 7, 0, 2 }, { 1, 60, 3 } };
    for (size_t k = 0; k < FEW_COUNT(have); k++) {
        const int all = have[k][0] + have[k][1] + have[k][2];
        few_pack *p = grey_pack("like.few", grey, have[k]);
        int32_t *label = few_labels_like(p, 200);
        int n[CLASSES] = { 0 };
        assert_non_null(label);
        for (int i = 0; i < 200; i++) {
            n[label[i]]++;
            if (k == 0)
                assert_int_equal(label[i], i % CLASSES);
            for (int c = 0; c < CLASSES; c++)
                assert_true(fabs(n[c] - (double)have[k][c] * (i + 1) / all) < 1.5);
        }
        few_free(label);
        few_pack_close(p);
    }
}

static int stop_late(void *user, int64_t done, int64_t total)
{
    (void)user;
    (void)total;
    return done > 512; /* after the first group */
}

/* The one file in a folder, or NULL. */
static const char *only_file(const char *folder)
{
    static char path[512];
    few_error err = { 0 };
    char **names;
    int n;
    if (few_list_folder(folder, &names, &n, &err) != FEW_OK)
        return NULL;
    assert_true(n <= 1);
    if (n)
        snprintf(path, sizeof path, "%s/%s", folder, names[0]);
    few_free_names(names, n);
    return n ? path : NULL;
}

static void a_stopped_evaluation_goes_on(void **state)
{
    (void)state;
    few_pack *train = make_pack("train.few", 1, 2), *test = make_pack("test.few", 2, 2);
    few_features_training o = { .epochs = 1, .batch = 32, .lr = 2e-3, .seed = 7, .workers = 1 };
    few_features *f = train_features("f.safetensors", train, NULL, &o);
    few_net n;
    few_error err = { 0 };
    few_evaluation whole, e;
    make_model(&n, 2);
    char *keep = few_strdup(temp_path("kept/deep"));
    const few_evaluation_options in_one = {
        .samples = 900,
        .draw = { .sampler = few_sampler_find("multistep", &err), .steps = 1, .seed = 5 },
        .precision = FEW_PRECISION_F32,
        .workers = 1,
    };
    few_evaluation_options again = in_one, cut = in_one;
    again.keep = cut.keep = keep;
    cut.progress = stop_late;
    assert_int_equal(evaluate(&n, f, test, NULL, &in_one, &whole, &err), FEW_OK);
    assert_int_equal(whole.resumed, 0);
    /* It says where it stopped, goes on from there, comes to the same figure, and cleans up. */
    expect(evaluate(&n, f, test, NULL, &cut, &e, &err), FEW_ECANCELED, &err, "after 512 of 900");
    assert_non_null(only_file(keep));
    assert_int_equal(evaluate(&n, f, test, NULL, &again, &e, &err), FEW_OK);
    assert_int_equal(e.resumed, 512);
    assert_true(e.fd == whole.fd && e.nfe == whole.nfe && e.samples == 900);
    assert_null(only_file(keep));
    /* More samples have the same beginning; other noise, fewer samples, a damaged file do not. */
    expect(evaluate(&n, f, test, NULL, &cut, &e, &err), FEW_ECANCELED, &err, "after 512 of 900");
    char *kept = few_strdup(only_file(keep));
    again.samples = 500;
    assert_int_equal(evaluate(&n, f, test, NULL, &again, &e, &err), FEW_OK);
    assert_int_equal(e.resumed, 0);
    expect(evaluate(&n, f, test, NULL, &cut, &e, &err), FEW_ECANCELED, &err, "after 512 of 900");
    again.samples = 900;
    again.draw.seed = 6;
    assert_int_equal(evaluate(&n, f, test, NULL, &again, &e, &err), FEW_OK);
    assert_true(e.resumed == 0 && e.fd != whole.fd);
    again.draw.seed = 5;
    few_map m;
    assert_int_equal(few_map_open(&m, kept, &err), FEW_OK);
    uint8_t *bytes = few_malloc(m.n);
    memcpy(bytes, m.data, m.n);
    for (int k = 0; k < 8; k++) /* the last number: a covariance that is not finite */
        bytes[m.n - 8 + (size_t)k] = 0xFF;
    assert_int_equal(few_write_file(kept, bytes, m.n, &err), FEW_OK);
    assert_int_equal(evaluate(&n, f, test, NULL, &again, &e, &err), FEW_OK);
    assert_true(e.resumed == 0 && e.fd == whole.fd);
    assert_int_equal(few_write_file(kept, bytes, m.n / 2, &err), FEW_OK);
    assert_int_equal(evaluate(&n, f, test, NULL, &again, &e, &err), FEW_OK);
    assert_true(e.resumed == 0 && e.fd == whole.fd);
    /* Where nothing can be written it is said, and no earlier than it matters. */
    few_map_close(&m);
    few_free(keep);
    cut.keep = again.keep = kept; /* a file, no folder */
    assert_int_equal(few_write_file(kept, "", 0, &err), FEW_OK);
    expect(evaluate(&n, f, test, NULL, &cut, &e, &err), FEW_ECANCELED, &err, "could not be kept");
    assert_int_equal(evaluate(&n, f, test, NULL, &again, &e, &err), FEW_OK);
    few_free(kept);
    few_free(bytes);
    few_net_free(&n);
    few_features_free(f);
    few_pack_close(train);
    few_pack_close(test);
}

static int stop_soon(void *user, int64_t done, int64_t total)
{
    (void)user;
    (void)total;
    return done > 0;
}

/* How many samples this evaluation has from an earlier one. */
static int64_t resumed(const few_net *n, few_features *f, const few_real *r,
                       const few_evaluation_options *o)
{
    few_evaluation e;
    few_error err = { 0 };
    expect(few_evaluate(n, f, r, o, &e, &err), FEW_ECANCELED, &err, "");
    return e.resumed;
}

/* Whatever the samples depend on tells one unfinished evaluation from another. */
static void an_unfinished_evaluation_is_for_the_same_samples(void **state)
{
    (void)state;
    enum { SAMPLES = 600, GROUP = 512 };
    few_pack *train = make_pack("train.few", 1, 2), *test = make_pack("test.few", 2, 2);
    few_pack *uneven = make_pack_of("uneven.few", 2, 2, 5);
    few_features_training o = { .epochs = 1, .batch = 32, .lr = 2e-3, .seed = 7, .workers = 1 };
    few_features *f = train_features("f.safetensors", train, NULL, &o);
    o.seed = 8;
    few_features *other = train_features("other.safetensors", train, NULL, &o);
    few_net n;
    few_error err = { 0 };
    few_real r;
    make_model(&n, 2);
    few_net_hash(&n.params, n.master, n.hash);
    assert_int_equal(few_real_make(&r, f, test, NULL, SAMPLES, &err), FEW_OK);
    float *noise = few_malloc(SAMPLES * PIXELS * sizeof *noise);
    few_draw_noise(6, 0, SAMPLES, PIXELS, noise);
    const few_sampler *ddim = few_sampler_find("ddim", &err);
    void *settings, *changed;
    const few_strings set = { (char *[]){ "grid=karras" }, 1 };
    assert_int_equal(few_sampler_options_make(ddim, &settings, &err), FEW_OK);
    assert_int_equal(few_sampler_options_make(ddim, &changed, &err), FEW_OK);
    assert_int_equal(few_sampler_options_set(ddim, changed, &set, &err), FEW_OK);
    char *keep = few_strdup(temp_path("recognised"));
    const few_evaluation_options same = {
        .samples = SAMPLES,
        .draw = { .sampler = ddim,
                  .options = settings,
                  .steps = 3,
                  .begin = 1,
                  .end = 2,
                  .seed = 5,
                  .noise = noise },
        .precision = FEW_PRECISION_F32,
        .workers = 1,
        .keep = keep,
        .progress = stop_soon,
    };
    few_evaluation_options cut = same, with = same;
    cut.progress = stop_late;
    assert_int_equal(resumed(&n, f, &r, &cut), 0);
    assert_int_equal(resumed(&n, f, &r, &same), GROUP);

    n.hash[0] ^= 1;
    assert_int_equal(resumed(&n, f, &r, &same), 0);
    n.hash[0] ^= 1;
    n.spec.clip = !n.spec.clip;
    assert_int_equal(resumed(&n, f, &r, &same), 0);
    n.spec.clip = !n.spec.clip;
    assert_int_equal(resumed(&n, other, &r, &same), 0);
    r.pack = uneven;
    assert_int_equal(resumed(&n, f, &r, &same), 0);
    r.pack = test;
    with.draw.options = changed;
    assert_int_equal(resumed(&n, f, &r, &with), 0);
    with.draw = same.draw;
    with.draw.sampler = few_sampler_find("multistep", &err);
    with.draw.options = NULL;
    assert_int_equal(resumed(&n, f, &r, &with), 0);
    with.draw = same.draw;
    with.draw.steps = 2;
    assert_int_equal(resumed(&n, f, &r, &with), 0);
    with.draw = same.draw;
    with.draw.begin = 0;
    assert_int_equal(resumed(&n, f, &r, &with), 0);
    with.draw = same.draw;
    with.draw.end = 3;
    assert_int_equal(resumed(&n, f, &r, &with), 0);
    with.draw = same.draw;
    with.draw.seed = 6;
    assert_int_equal(resumed(&n, f, &r, &with), 0);
    with.draw = same.draw;
    with.draw.noise = NULL;
    assert_int_equal(resumed(&n, f, &r, &with), 0);
    const float was = noise[SAMPLES * PIXELS - 1];
    noise[SAMPLES * PIXELS - 1] += 1;
    assert_int_equal(resumed(&n, f, &r, &same), 0);
    noise[SAMPLES * PIXELS - 1] = was;
    assert_int_equal(resumed(&n, f, &r, &same), GROUP);

    few_sampler_options_free(ddim, settings);
    few_sampler_options_free(ddim, changed);
    few_real_free(&r);
    few_free(noise);
    few_free(keep);
    few_net_free(&n);
    few_features_free(f);
    few_features_free(other);
    few_pack_close(train);
    few_pack_close(test);
    few_pack_close(uneven);
}

static void sizes_must_agree(void **state)
{
    (void)state;
    few_pack *train = make_pack("train.few", 1, 2);
    few_features_training o = { .epochs = 1, .batch = 32, .lr = 2e-3, .seed = 7, .workers = 1 };
    few_features *f = train_features("f.safetensors", train, NULL, &o);
    few_config c;
    few_net n;
    few_error err = { 0 };
    few_evaluation e;
    load_defaults(&c, "diffusion");
    tiny_unet(&c);
    make_net(&n, &c, (few_net_shape){ 16, 16, 1, 2 }, 3);
    const few_evaluation_options eo = {
        .samples = 4, .draw = { .sampler = few_sampler_find("multistep", &err), .steps = 1 }
    };
    expect(evaluate(&n, f, train, NULL, &eo, &e, &err), FEW_EINVAL, &err, "16x16x1");
    few_config_clear(&c);
    few_net_free(&n);
    few_features_free(f);
    few_pack_close(train);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_classifier_learns_and_comes_back),
        cmocka_unit_test(without_labels_it_learns_lessons),
        cmocka_unit_test(what_cannot_be_trained_or_read_is_refused),
        cmocka_unit_test(a_figure_is_what_its_parts_say),
        cmocka_unit_test(later_groups_go_on_where_the_first_ended),
        cmocka_unit_test(chosen_images_are_of_the_same_classes),
        cmocka_unit_test(labels_are_as_frequent),
        cmocka_unit_test(a_stopped_evaluation_goes_on),
        cmocka_unit_test(an_unfinished_evaluation_is_for_the_same_samples),
        cmocka_unit_test(sizes_must_agree),
    };
    return cmocka_run_group_tests(tests, make_temp_folder, remove_temp_folder);
}
