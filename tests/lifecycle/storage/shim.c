/* Records in which order a process writes SQLite's log, syncs it, and answers over its sockets.

   Loaded into a server by LD_PRELOAD. Every line of the file that ORDER_LOG names begins with a place in one order over
   all threads. The places are on the safe side: that of a write is taken when the write has returned, that of a sync's
   beginning before it begins, that of its end when it has returned well, and that of an answer before it is sent.

       12 W frame commit      the header of a frame of the log; `commit` if a transaction ends with it
       13 W page 7 8          anything else in the log, and the marks ("mark-000007") that it holds
       14 B                   a sync of the log begins
       15 S 14                the sync that began at 14 has ended well
       16 A 7                 a success that bears this mark goes out */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FRAME_HEADER 24
#define MARK "mark-"
#define DIGITS 6

static atomic_ulong next_place = 1;
static int out = -1;

static unsigned long place(void) { return atomic_fetch_add(&next_place, 1); }

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("ORDER_LOG");
    if (path) out = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void record(const char *line, int length)
{
    if (out >= 0 && length > 0 && syscall(SYS_write, out, line, (size_t)length) != length) _exit(97);
}

/* Whether a descriptor is SQLite's log, also one whose name is gone. */
static int is_log(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 4) return 0;
    path[length] = 0;
    char *gone = strstr(path, " (deleted)");
    if (gone) *gone = 0;
    length = strlen(path);
    return length >= 4 && strcmp(path + length - 4, "-wal") == 0;
}

/* Adds every mark in the bytes to the line; where it ends then. */
static int add_marks(char *line, int end, int room, const char *bytes, size_t length)
{
    const char *found = bytes, *last = bytes + length;
    while (found < last && (found = memmem(found, last - found, MARK, strlen(MARK)))) {
        found += strlen(MARK);
        if (last - found < DIGITS || end + DIGITS + 2 > room) break;
        // Room that SQLite has freed holds pieces of what stood there.
        if (strspn(found, "0123456789") < DIGITS) continue;
        end += snprintf(line + end, room - end, " %.*s", DIGITS, found);
    }
    return end;
}

static void wrote(int fd, const void *bytes, ssize_t written)
{
    if (out < 0 || written <= 0 || !is_log(fd)) return;
    char line[1 << 16];
    unsigned long here = place();
    int end;
    if (written == FRAME_HEADER) {
        const unsigned char *header = bytes;
        int commit = header[4] || header[5] || header[6] || header[7];
        end = snprintf(line, sizeof line, "%lu W frame%s", here, commit ? " commit" : "");
    } else {
        end = snprintf(line, sizeof line, "%lu W page", here);
        end = add_marks(line, end, sizeof line - 1, bytes, written);
    }
    line[end++] = '\n';
    record(line, end);
}

static void answers(const void *bytes, size_t length)
{
    static const char success[] = "HTTP/1.1 2";
    if (out < 0 || length < sizeof success || memcmp(bytes, success, sizeof success - 1) != 0) return;
    char line[256];
    int begin = snprintf(line, sizeof line, "%lu A", place());
    int end = add_marks(line, begin, sizeof line - 1, bytes, length);
    if (end == begin) return;
    line[end++] = '\n';
    record(line, end);
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at)
{
    REAL(pwrite);
    ssize_t written = real(fd, bytes, length, at);
    wrote(fd, bytes, written);
    return written;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at)
{
    REAL(pwrite64);
    ssize_t written = real(fd, bytes, length, at);
    wrote(fd, bytes, written);
    return written;
}

static int synced(int fd, int (*sync)(int))
{
    if (out < 0 || !is_log(fd)) return sync(fd);
    char line[64];
    unsigned long began = place();
    record(line, snprintf(line, sizeof line, "%lu B\n", began));
    int result = sync(fd);
    if (result == 0) record(line, snprintf(line, sizeof line, "%lu S %lu\n", place(), began));
    return result;
}

int fdatasync(int fd)
{
    REAL(fdatasync);
    return synced(fd, real);
}

int fsync(int fd)
{
    REAL(fsync);
    return synced(fd, real);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    REAL(write);
    answers(bytes, length);
    ssize_t written = real(fd, bytes, length);
    wrote(fd, bytes, written);
    return written;
}

ssize_t send(int fd, const void *bytes, size_t length, int flags)
{
    REAL(send);
    answers(bytes, length);
    return real(fd, bytes, length, flags);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL(writev);
    if (count > 0) answers(parts[0].iov_base, parts[0].iov_len);
    return real(fd, parts, count);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(sendmsg);
    if (message->msg_iovlen > 0) answers(message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
    return real(fd, message, flags);
}
