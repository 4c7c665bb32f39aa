/* Files on disk.
 *
 * A file is safe when its bytes are on disk before its name is, and its name before we say so:
 * fsync of the file, rename, fsync of the folder. Skipping the first gives empty files after a
 * power cut, which is the usual mistake. */
#define _GNU_SOURCE
#include "base/file.h"

#include "base/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static few_status no_memory(few_error *err, const char *path)
{
    return few_fail(err, FEW_ENOMEM, "no memory left to handle '%s'", path);
}

/* ---- whole or not at all ---- */

few_status few_atomic_open(few_atomic_file *a, const char *path, few_error *err)
{
    static _Atomic unsigned counter;
    *a = (few_atomic_file){ 0 };
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) /* a rename would replace /dev/null */
        return few_fail(err, FEW_EIO, "cannot write '%s': it is %s", path,
                        S_ISDIR(st.st_mode) ? "a folder" : "not a regular file");

    const size_t room = strlen(path) + 48;
    a->path = few_strdup(path);
    a->temp = few_malloc(room);
    if (!a->path || !a->temp) {
        few_atomic_abandon(a);
        return no_memory(err, path);
    }
    int fd;
    do {
        snprintf(a->temp, room, "%s.%ld-%u.tmp", path, (long)getpid(),
                 atomic_fetch_add(&counter, 1));
        fd = open(a->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (fd < 0 && errno == EEXIST);
    if (fd < 0) {
        const int why = errno;
        few_free(a->temp); /* it is not ours to remove */
        a->temp = NULL;
        few_atomic_abandon(a);
        return few_fail(err, FEW_EIO, "cannot write '%s': %s", path, strerror(why));
    }
    a->f = fdopen(fd, "w");
    if (!a->f) {
        close(fd);
        few_atomic_abandon(a);
        return no_memory(err, path);
    }
    return FEW_OK;
}

void few_atomic_abandon(few_atomic_file *a)
{
    if (a->f)
        fclose(a->f);
    if (a->temp)
        unlink(a->temp);
    few_free(a->temp);
    few_free(a->path);
    *a = (few_atomic_file){ 0 };
}

few_status few_atomic_write(few_atomic_file *a, const void *data, size_t n, few_error *err)
{
    errno = 0;
    if (!n || fwrite(data, 1, n, a->f) == n)
        return FEW_OK;
    return few_fail(err, FEW_EIO, "cannot write '%s': %s", a->path,
                    errno ? strerror(errno) : "a write failed, the disk may be full");
}

/* The folder that holds `path`, as a new string. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return few_strdup(".");
    const size_t n = slash == path ? 1 : (size_t)(slash - path);
    char *folder = few_malloc(n + 1);
    if (folder) {
        memcpy(folder, path, n);
        folder[n] = 0;
    }
    return folder;
}

few_status few_atomic_commit(few_atomic_file *a, few_error *err)
{
    char *folder = folder_of(a->path); /* asked for now: nothing may fail after the rename */
    if (!folder) {
        const few_status st = no_memory(err, a->path);
        few_atomic_abandon(a);
        return st;
    }
    errno = 0;
    bool ok = !ferror(a->f) && fflush(a->f) == 0 && fsync(fileno(a->f)) == 0;
    int why = errno;
    if (fclose(a->f) != 0 && ok) {
        ok = false;
        why = errno;
    }
    a->f = NULL;
    if (ok && rename(a->temp, a->path) != 0) {
        ok = false;
        why = errno;
    }
    few_status st = FEW_OK;
    if (ok) {
        few_free(a->temp);
        a->temp = NULL;
        st = few_sync_folder(folder, err);
    } else {
        /* A write that failed earlier left its mark in the stream, but not its reason. */
        st = few_fail(err, FEW_EIO, "cannot write '%s': %s", a->path,
                      why ? strerror(why) : "a write failed, the disk may be full");
    }
    few_free(folder);
    few_atomic_abandon(a);
    return st;
}

few_status few_write_file(const char *path, const void *data, size_t n, few_error *err)
{
    few_atomic_file a;
    FEW_TRY(few_atomic_open(&a, path, err));
    const few_status st = few_atomic_write(&a, data, n, err);
    if (st == FEW_OK)
        return few_atomic_commit(&a, err);
    few_atomic_abandon(&a);
    return st;
}

few_status few_lock(const char *path, int *lock, few_error *err)
{
    *lock = -1;
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return few_fail(err, FEW_EIO, "cannot write '%s': %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        close(fd);
        return few_fail(err, FEW_EBUSY, "'%s' is locked by another process", path);
    } /* a file system without locks is no reason to stop */
    *lock = fd;
    return FEW_OK;
}

void few_unlock(int lock)
{
    if (lock >= 0)
        close(lock);
}

few_status few_sync_folder(const char *path, few_error *err)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == EACCES) /* a folder one may write but not list cannot be synced */
        return FEW_OK;
    int why = 0;
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)) /* no such thing here */
        why = errno;
    if (fd >= 0)
        close(fd);
    if (why)
        return few_fail(err, FEW_EIO, "cannot sync folder '%s': %s", path, strerror(why));
    return FEW_OK;
}

/* ---- reading ---- */

/* Everything that can be read from fd, in memory of ours. */
static few_status read_all(few_map *m, int fd, const char *path, few_error *err)
{
    uint8_t *data = NULL;
    size_t n = 0, room = 0;
    for (;;) {
        if (n == room) {
            room = room ? 2 * room : 1 << 16;
            uint8_t *more = room > n ? few_realloc(data, room) : NULL;
            if (!more) {
                few_free(data);
                return no_memory(err, path);
            }
            data = more;
        }
        const ssize_t got = read(fd, data + n, room - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            const int why = errno;
            few_free(data);
            return few_fail(err, FEW_EIO, "cannot read '%s': %s", path, strerror(why));
        }
        if (got == 0)
            break;
        n += (size_t)got;
    }
    *m = (few_map){ .data = data, .n = n };
    return FEW_OK;
}

few_status few_map_open(few_map *m, const char *path, few_error *err)
{
    *m = (few_map){ 0 };
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        const int why = errno;
        if (fd >= 0)
            close(fd);
        return few_fail(err, why == ENOENT ? FEW_ENOTFOUND : FEW_EIO, "cannot read '%s': %s", path,
                        strerror(why));
    }
    few_status status = FEW_OK;
    if (S_ISDIR(st.st_mode)) {
        status = few_fail(err, FEW_EIO, "cannot read '%s': it is a folder", path);
    } else {
        void *p = MAP_FAILED;
        if (S_ISREG(st.st_mode) && st.st_size > 0)
            p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p != MAP_FAILED)
            *m = (few_map){ .data = p, .n = (size_t)st.st_size, .mapped = true };
        else /* a pipe, an empty file, or one of /proc that only claims to be empty */
            status = read_all(m, fd, path, err);
    }
    close(fd);
    return status;
}

void few_map_close(few_map *m)
{
    if (m->mapped)
        munmap((void *)(uintptr_t)m->data, m->n);
    else
        few_free((void *)(uintptr_t)m->data);
    *m = (few_map){ 0 };
}

/* ---- folders and names ---- */

few_status few_make_folders(const char *path, few_error *err)
{
    char *p = few_strdup(path);
    if (!p)
        return no_memory(err, path);
    few_status st = FEW_OK;
    for (char *end = p; st == FEW_OK && *end;) {
        end += strspn(end, "/");
        end += strcspn(end, "/");
        const char was = *end;
        *end = 0;
        if (*p && mkdir(p, 0777) != 0 && !few_is_folder(p)) {
            const int why = errno;
            st = few_fail(err, FEW_EIO, "cannot make folder '%s': %s", p,
                          why == EEXIST ? "a file of that name is in the way" : strerror(why));
        }
        *end = was;
    }
    few_free(p);
    return st;
}

bool few_is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool few_is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

char *few_path_join(const char *a, const char *b)
{
    const size_t na = strlen(a), nb = strlen(b);
    const bool slash = na > 0 && a[na - 1] != '/';
    char *p = few_malloc(na + slash + nb + 1);
    if (!p)
        return NULL;
    memcpy(p, a, na);
    if (slash)
        p[na] = '/';
    memcpy(p + na + slash, b, nb + 1);
    return p;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

few_status few_list_folder(const char *path, char ***names, int *n, few_error *err)
{
    *names = NULL;
    *n = 0;
    DIR *d = opendir(path);
    if (!d) {
        const int why = errno;
        return few_fail(err, why == ENOENT ? FEW_ENOTFOUND : FEW_EIO, "cannot list '%s': %s", path,
                        strerror(why));
    }
    char **list = NULL;
    int count = 0, room = 0;
    few_status st = FEW_OK;
    const struct dirent *e;
    while (errno = 0, (e = readdir(d))) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        if (count == room) {
            room = room ? 2 * room : 16;
            char **more = room < (1 << 28) ? few_realloc(list, (size_t)room * sizeof *list) : NULL;
            if (!more) {
                st = no_memory(err, path);
                break;
            }
            list = more;
        }
        list[count] = few_strdup(e->d_name);
        if (!list[count]) {
            st = no_memory(err, path);
            break;
        }
        count++;
    }
    if (st == FEW_OK && errno)
        st = few_fail(err, FEW_EIO, "cannot list '%s': %s", path, strerror(errno));
    closedir(d);
    if (st != FEW_OK) {
        few_free_names(list, count);
        return st;
    }
    if (count)
        qsort(list, (size_t)count, sizeof *list, by_name);
    *names = list;
    *n = count;
    return FEW_OK;
}

void few_free_names(char **names, int n)
{
    for (int i = 0; i < n; i++)
        few_free(names[i]);
    few_free(names);
}
