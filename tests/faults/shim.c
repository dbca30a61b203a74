/* Lets a process's writes, reads and fsyncs fail (LD_PRELOAD). FAULT_ORDERS names a file; while it is there and says
 *
 *     CALL PART ERRNO
 *
 * every CALL (fdatasync, fsync, write, read) on a file whose path holds PART fails with ERRNO. ERRNO 0 makes a write
 * short instead: half of it is done. writev, pwrite, pwritev and their 64-bit names are `write`; pread is `read`. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* -1: go on; else the errno to fail with, 0 for a short write. */
static int ordered(const char *call, int fd)
{
    const char *orders = getenv("FAULT_ORDERS");
    char wanted[32], part[256], link[64], path[PATH_MAX];
    int number, found;
    FILE *file;
    ssize_t length;

    if (orders == NULL || access(orders, F_OK) != 0)
        return -1;
    file = fopen(orders, "re");
    if (file == NULL)
        return -1;
    found = fscanf(file, "%31s %255s %d", wanted, part, &number);
    fclose(file);
    if (found != 3 || strcmp(wanted, call) != 0)
        return -1;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return -1;
    path[length] = '\0';
    return strstr(path, part) != NULL ? number : -1;
}

int fdatasync(int fd)
{
    int fault = ordered("fdatasync", fd);
    if (fault > 0) { errno = fault; return -1; }
    return REAL(fdatasync)(fd);
}

int fsync(int fd)
{
    int fault = ordered("fsync", fd);
    if (fault > 0) { errno = fault; return -1; }
    return REAL(fsync)(fd);
}

ssize_t write(int fd, const void *data, size_t size)
{
    int fault = ordered("write", fd);
    if (fault > 0) { errno = fault; return -1; }
    return REAL(write)(fd, data, fault == 0 ? (size + 1) / 2 : size);
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    int fault = ordered("write", fd);
    if (fault > 0) { errno = fault; return -1; }
    if (fault == 0)
        return REAL(write)(fd, pieces[0].iov_base, (pieces[0].iov_len + 1) / 2);
    return REAL(writev)(fd, pieces, count);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    int fault = ordered("write", fd);
    if (fault > 0) { errno = fault; return -1; }
    return REAL(pwrite64)(fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    return pwrite64(fd, data, size, at);
}

ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off64_t at)
{
    int fault = ordered("write", fd);
    if (fault > 0) { errno = fault; return -1; }
    if (fault == 0)
        return REAL(pwrite64)(fd, pieces[0].iov_base, (pieces[0].iov_len + 1) / 2, at);
    return REAL(pwritev64)(fd, pieces, count, at);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t at)
{
    return pwritev64(fd, pieces, count, at);
}

ssize_t pwritev64v2(int fd, const struct iovec *pieces, int count, off64_t at, int flags)
{
    (void)flags;
    return pwritev64(fd, pieces, count, at);
}

ssize_t pread64(int fd, void *data, size_t size, off64_t at)
{
    int fault = ordered("read", fd);
    if (fault > 0) { errno = fault; return -1; }
    return REAL(pread64)(fd, data, size, at);
}

ssize_t pread(int fd, void *data, size_t size, off_t at)
{
    return pread64(fd, data, size, at);
}
