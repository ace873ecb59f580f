/*
 * A disk that is slow on demand: while the file named by BENCH_SLOW_SYNC exists, every fsync and fdatasync
 * takes two seconds longer. For LD_PRELOAD; the bench compiles it when a scenario needs it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const char *control;
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void begin(void) {
  control = getenv("BENCH_SLOW_SYNC");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
}

static void wait_if_slow(void) {
  struct timespec two_seconds = {2, 0};
  if (control && access(control, F_OK) == 0) nanosleep(&two_seconds, NULL);
}

int fsync(int fd) {
  wait_if_slow();
  return real_fsync(fd);
}

int fdatasync(int fd) {
  wait_if_slow();
  return real_fdatasync(fd);
}
