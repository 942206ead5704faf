/* Moves the wall clock of one process: preloaded, it adds to CLOCK_REALTIME the milliseconds that stand as eight bytes
 * in the file that CLOCK_SHIM_FILE names. The file is mapped, so whoever rewrites it moves the clock at once. All
 * other clocks are as they were. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead_ms;
static int (*next_clock_gettime)(clockid_t, struct timespec *);
static int (*next_timedwait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

__attribute__((constructor)) static void prepare(void)
{
    const char *path = getenv("CLOCK_SHIM_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        void *mapped = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
        close(file);
        if (mapped != MAP_FAILED)
            ahead_ms = mapped;
    }
    next_clock_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    /* Of the two versions in the C library the newer one; other machines have but one. */
    void *timedwait = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!timedwait)
        timedwait = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    next_timedwait = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))timedwait;
}

/* Adds milliseconds, which may be negative. */
static void add(struct timespec *time, int64_t ms)
{
    time->tv_sec += ms / 1000;
    time->tv_nsec += (ms % 1000) * 1000000;
    if (time->tv_nsec >= 1000000000) {
        time->tv_nsec -= 1000000000;
        time->tv_sec += 1;
    } else if (time->tv_nsec < 0) {
        time->tv_nsec += 1000000000;
        time->tv_sec -= 1;
    }
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    /* An allocator may ask before anything is prepared. */
    int result = next_clock_gettime ? next_clock_gettime(clock, time)
                                    : (int)syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && clock == CLOCK_REALTIME && ahead_ms)
        add(time, *ahead_ms);
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    int result = clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return result;
}

time_t time(time_t *out)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return (time_t)-1;
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

/* The deadline was computed from the moved clock, and the kernel waits by its own: without this, a wait of RocksDB's for
 * a second would last an hour longer. */
int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict deadline)
{
    struct timespec moved = *deadline;
    if (ahead_ms)
        add(&moved, -*ahead_ms);
    return next_timedwait(cond, mutex, &moved);
}
