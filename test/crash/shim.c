/*
 * A library that power-loss.test.ts loads into hookd (LD_PRELOAD). It writes down, in order, everything that changes
 * the data directory, when it was made durable, and each 202 that went to a publisher. The calls themselves are done
 * as they are. One file per process tree, appended to, one write a record: the order in the file is the order of events.
 *
 *   SHIM_DIR      the data directory (absolute, without / at the end)
 *   SHIM_JOURNAL  where the records go
 *
 * A record is 32 bytes, little endian, and `length` bytes of data:
 *   u32 kind, u32 file, u64 offset, u64 length, u64 before
 * `file` is a number that a file keeps under any name (1: the directory); `before` is set with a sync: it covers what was recorded
 * before that record number, and not what other threads wrote while it ran.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CREATE = 1, WRITE = 2, TRUNCATE = 3, SYNC = 4, UNLINK = 5, RENAME = 6, ACK = 7, LINK = 8 };

#define FILES_MAX 64
#define FDS_MAX 65536
#define NAME_MAX_BYTES 128
#define DIRECTORY 1u

struct record {
  uint32_t kind, file;
  uint64_t offset, length, before;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *directory;
static size_t directory_length;
static int journal = -1;
static uint64_t records;
static char names[FILES_MAX][NAME_MAX_BYTES]; /* By slot; empty when there is no such file any more. */
static uint32_t numbers[FILES_MAX];           /* The file that a name is of: two may be of one. */
static uint32_t last_file = DIRECTORY;
static uint32_t files[FDS_MAX]; /* By descriptor; 0: not of the data directory. */
static ino_t inodes[FDS_MAX];

static int (*real_open)(const char *, int, ...);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_sendmsg)(int, const struct msghdr *, int);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_close)(int);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);
static int (*real_link)(const char *, const char *);

static void give_up(const char *why) {
  dprintf(2, "shim: %s\n", why);
  _exit(97);
}

__attribute__((constructor)) static void begin(void) {
  real_open = dlsym(RTLD_NEXT, "open64");
  real_write = dlsym(RTLD_NEXT, "write");
  real_writev = dlsym(RTLD_NEXT, "writev");
  real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
  real_sendmsg = dlsym(RTLD_NEXT, "sendmsg");
  real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  real_close = dlsym(RTLD_NEXT, "close");
  real_unlink = dlsym(RTLD_NEXT, "unlink");
  real_rename = dlsym(RTLD_NEXT, "rename");
  real_link = dlsym(RTLD_NEXT, "link");
  directory = getenv("SHIM_DIR");
  const char *path = getenv("SHIM_JOURNAL");
  if (!directory || !path) return;
  directory_length = strlen(directory);
  journal = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (journal < 0) give_up("the journal cannot be opened");
}

/* Call with the lock held. */
static void append(uint32_t kind, uint32_t file, uint64_t offset, const void *data, uint64_t length, uint64_t before) {
  struct record record = {kind, file, offset, length, before};
  struct iovec parts[2] = {{&record, sizeof record}, {(void *)data, length}};
  ssize_t want = (ssize_t)(sizeof record + length);
  if (real_writev(journal, parts, data ? 2 : 1) != want) give_up("the journal cannot be written");
  records += 1;
}

/* The name inside the data directory; null: elsewhere. The directory itself has the empty name. */
static const char *inside(const char *path) {
  if (journal < 0 || !path || strncmp(path, directory, directory_length) != 0) return NULL;
  if (path[directory_length] == '\0') return path + directory_length;
  return path[directory_length] == '/' ? path + directory_length + 1 : NULL;
}

/* The slot of a name; 0: there is no such file. */
static uint32_t find(const char *name) {
  for (uint32_t slot = 1; slot < FILES_MAX; slot += 1)
    if (numbers[slot] && strcmp(names[slot], name) == 0) return slot;
  return 0;
}

static uint32_t number_of(const char *name) { return name[0] == '\0' ? DIRECTORY : numbers[find(name)]; }

static void put(const char *name, uint32_t file) {
  uint32_t slot = find(name);
  if (!slot)
    for (slot = 1; numbers[slot]; slot += 1)
      if (slot == FILES_MAX - 1) give_up("too many files");
  if (strlen(name) >= NAME_MAX_BYTES) give_up("too long a name");
  strcpy(names[slot], name);
  numbers[slot] = file;
}

static uint32_t add(const char *name) {
  last_file += 1;
  put(name, last_file);
  append(CREATE, last_file, 0, name, strlen(name), 0);
  return last_file;
}

/* libuv closes by a system call of its own, unseen here: the descriptor may be another file's by now, or a socket's. */
static uint32_t file_of(int fd) {
  struct stat found;
  if (journal < 0 || fd < 0 || fd >= FDS_MAX || !files[fd]) return 0;
  if (fstat(fd, &found) != 0 || found.st_ino != inodes[fd]) files[fd] = 0;
  return files[fd];
}

static int open_seen(const char *path, int flags, mode_t mode) {
  const char *name = inside(path);
  if (!name) return real_open(path, flags, mode);
  pthread_mutex_lock(&lock);
  int fd = real_open(path, flags, mode);
  int error = errno;
  if (fd >= FDS_MAX) give_up("too many descriptors");
  if (fd >= 0) {
    uint32_t file = number_of(name);
    if (!file && (flags & O_CREAT)) file = add(name);
    if (!file) give_up("a file was there before");
    if (flags & O_TRUNC) append(TRUNCATE, file, 0, NULL, 0, 0);
    struct stat found;
    if (fstat(fd, &found) != 0) give_up("a file has no status");
    files[fd] = file;
    inodes[fd] = found.st_ino;
  }
  pthread_mutex_unlock(&lock);
  errno = error;
  return fd;
}

#define MODE(flags)                           \
  mode_t mode = 0;                            \
  if ((flags) & (O_CREAT | O_TMPFILE)) {      \
    va_list list;                             \
    va_start(list, flags);                    \
    mode = va_arg(list, mode_t);              \
    va_end(list);                             \
  }

int open(const char *path, int flags, ...) {
  MODE(flags)
  return open_seen(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  MODE(flags)
  return open_seen(path, flags, mode);
}

static void wrote(int fd, uint32_t file, const struct iovec *parts, int count, ssize_t done, off_t offset) {
  if (offset < 0) offset = lseek(fd, 0, SEEK_CUR) - done;
  for (int index = 0; index < count && done > 0; index += 1) {
    size_t length = parts[index].iov_len < (size_t)done ? parts[index].iov_len : (size_t)done;
    append(WRITE, file, (uint64_t)offset, parts[index].iov_base, length, 0);
    offset += (off_t)length;
    done -= (ssize_t)length;
  }
}

/* The answers to publishers in what goes to a socket: from "HTTP/1.1 202" to the uid behind it. */
static void sent(const char *data, size_t length) {
  static const char status[] = "HTTP/1.1 202 ", field[] = "\"event_uid\":\"";
  const char *end = data + length;
  for (const char *at = data; (at = memmem(at, (size_t)(end - at), status, sizeof status - 1)); at += 1) {
    const char *uid = memmem(at, (size_t)(end - at), field, sizeof field - 1);
    if (!uid) return;
    uid += sizeof field - 1;
    const char *quote = memchr(uid, '"', (size_t)(end - uid));
    if (!quote) return;
    pthread_mutex_lock(&lock);
    append(ACK, 0, 0, uid, (uint64_t)(quote - uid), 0);
    pthread_mutex_unlock(&lock);
    at = quote;
  }
}

ssize_t write(int fd, const void *data, size_t length) {
  uint32_t file = file_of(fd);
  if (!file) {
    ssize_t done = real_write(fd, data, length);
    if (journal >= 0 && done > 12 && memcmp(data, "HTTP/1.1 202", 12) == 0) {
      int error = errno;
      sent(data, (size_t)done);
      errno = error;
    }
    return done;
  }
  pthread_mutex_lock(&lock);
  ssize_t done = real_write(fd, data, length);
  int error = errno;
  struct iovec part = {(void *)data, length};
  if (done > 0) wrote(fd, file, &part, 1, done, -1);
  pthread_mutex_unlock(&lock);
  errno = error;
  return done;
}

static void sent_parts(const struct iovec *parts, int count, ssize_t done) {
  if (journal < 0 || done <= 12 || count < 1 || parts[0].iov_len < 12) return;
  if (memcmp(parts[0].iov_base, "HTTP/1.1 202", 12) != 0) return;
  int error = errno;
  char *joined = malloc((size_t)done);
  size_t at = 0;
  for (int index = 0; index < count && at < (size_t)done; index += 1) {
    size_t left = (size_t)done - at;
    size_t length = parts[index].iov_len < left ? parts[index].iov_len : left;
    memcpy(joined + at, parts[index].iov_base, length);
    at += length;
  }
  sent(joined, at);
  free(joined);
  errno = error;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  uint32_t file = file_of(fd);
  if (!file) {
    ssize_t done = real_writev(fd, parts, count);
    sent_parts(parts, count, done);
    return done;
  }
  pthread_mutex_lock(&lock);
  ssize_t done = real_writev(fd, parts, count);
  int error = errno;
  if (done > 0) wrote(fd, file, parts, count, done, -1);
  pthread_mutex_unlock(&lock);
  errno = error;
  return done;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  ssize_t done = real_sendmsg(fd, message, flags);
  sent_parts(message->msg_iov, (int)message->msg_iovlen, done);
  return done;
}

static ssize_t pwrite_seen(int fd, const void *data, size_t length, off_t offset) {
  uint32_t file = file_of(fd);
  if (!file) return real_pwrite(fd, data, length, offset);
  pthread_mutex_lock(&lock);
  ssize_t done = real_pwrite(fd, data, length, offset);
  int error = errno;
  struct iovec part = {(void *)data, length};
  if (done > 0) wrote(fd, file, &part, 1, done, offset);
  pthread_mutex_unlock(&lock);
  errno = error;
  return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return pwrite_seen(fd, data, length, offset); }
ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset) { return pwrite_seen(fd, data, length, offset); }

static int ftruncate_seen(int fd, off_t length) {
  uint32_t file = file_of(fd);
  if (!file) return real_ftruncate(fd, length);
  pthread_mutex_lock(&lock);
  int result = real_ftruncate(fd, length);
  int error = errno;
  if (result == 0) append(TRUNCATE, file, (uint64_t)length, NULL, 0, 0);
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}

int ftruncate(int fd, off_t length) { return ftruncate_seen(fd, length); }
int ftruncate64(int fd, off_t length) { return ftruncate_seen(fd, length); }

static int sync_seen(int fd, int (*real)(int)) {
  uint32_t file = file_of(fd);
  if (!file) return real(fd);
  pthread_mutex_lock(&lock);
  uint64_t before = records;
  pthread_mutex_unlock(&lock);
  int result = real(fd);
  int error = errno;
  if (result == 0) {
    pthread_mutex_lock(&lock);
    append(SYNC, file, 0, NULL, 0, before);
    pthread_mutex_unlock(&lock);
  }
  errno = error;
  return result;
}

int fsync(int fd) { return sync_seen(fd, real_fsync); }
int fdatasync(int fd) { return sync_seen(fd, real_fdatasync); }

int close(int fd) {
  if (journal >= 0 && fd >= 0 && fd < FDS_MAX) files[fd] = 0;
  return real_close(fd);
}

int unlink(const char *path) {
  const char *name = inside(path);
  if (!name) return real_unlink(path);
  pthread_mutex_lock(&lock);
  int result = real_unlink(path);
  int error = errno;
  uint32_t slot = find(name);
  if (result == 0 && slot) {
    append(UNLINK, numbers[slot], 0, name, strlen(name), 0);
    numbers[slot] = 0;
  }
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}

/* The data is both names, with a zero byte between them. */
int rename(const char *from, const char *to) {
  const char *old = inside(from), *new = inside(to);
  if (!old || !new) return real_rename(from, to);
  pthread_mutex_lock(&lock);
  int result = real_rename(from, to);
  int error = errno;
  uint32_t slot = find(old);
  if (result == 0 && slot) {
    char both[2 * NAME_MAX_BYTES];
    size_t length = strlen(old);
    strcpy(both, old);
    strcpy(both + length + 1, new);
    append(RENAME, numbers[slot], 0, both, length + 1 + strlen(new), 0);
    put(new, numbers[slot]);
    numbers[slot] = 0;
  }
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}

int link(const char *from, const char *to) {
  const char *old = inside(from), *new = inside(to);
  if (!old || !new) return real_link(from, to);
  pthread_mutex_lock(&lock);
  int result = real_link(from, to);
  int error = errno;
  uint32_t file = number_of(old);
  if (result == 0 && file) {
    put(new, file);
    append(LINK, file, 0, new, strlen(new), 0);
  }
  pthread_mutex_unlock(&lock);
  errno = error;
  return result;
}
