/* A wall clock that is off by WALL_CLOCK_OFF_S seconds, for a process that preloads this. Waiting goes by the monotonic
 * clock and is left alone: a library that also bends waits makes CPython's threads wait for a day, or not at all. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long off_s(void) {
    static long off;
    static int known;
    if (!known) {
        const char *given = getenv("WALL_CLOCK_OFF_S");
        off = given ? atol(given) : 0;
        known = 1;
    }
    return off;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, at);
    if (status == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        at->tv_sec += off_s();
    return status;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    static int (*real)(struct timeval *, void *);
    if (!real)
        real = dlsym(RTLD_NEXT, "gettimeofday");
    int status = real(at, zone);
    if (status == 0)
        at->tv_sec += off_s();
    return status;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at)
        *at = now.tv_sec;
    return now.tv_sec;
}
