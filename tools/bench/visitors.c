/* Visitors who cost next to nothing: `visitors PORT PATH BOOKINGS VISITORS FIRST STEP` sends a booking form
   again and again over connections that are kept, each for a time of its own: FIRST (seconds since 1970) and
   every STEP seconds after it. With STEP 0 the form is the same each time. Prints JSON. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int port, bookings, step;
static long first;
static const char *path;
static atomic_int next, refused;
static double *taken;

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static int connected(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) { perror("connect"); exit(1); }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* Read one response; return its status, 0 when the connection ended before it. */
static int response(int fd, int *closes) {
    static __thread char data[262144];
    size_t used = 0, wanted = 0;
    int status = 0;
    for (;;) {
        ssize_t got = recv(fd, data + used, sizeof data - 1 - used, 0);
        if (got <= 0) return 0;
        used += got;
        data[used] = 0;
        char *end = wanted ? NULL : strstr(data, "\r\n\r\n");
        if (end) {
            char *length = strcasestr(data, "\r\ncontent-length:");
            status = atoi(data + 9);
            *closes = strcasestr(data, "\r\nconnection: close") != NULL;
            wanted = end + 4 - data + (length && length < end ? atol(length + 17) : 0);
        }
        if (wanted && used >= wanted) return status;
        if (used >= sizeof data - 1) return status;
    }
}

static void *visitor(void *unused) {
    int fd = connected(), number, closes;
    char form[512], request[1024], when[32];
    while ((number = next++) < bookings) {
        time_t start = first + (long)number * step;
        struct tm parts;
        strftime(when, sizeof when, "%Y-%m-%dT%H%%3A%M%%3A%SZ", gmtime_r(&start, &parts));
        snprintf(form, sizeof form, "start=%s&name=Ada+Byron&email=ada%%40example.com&time_zone=Europe%%2FLondon", when);
        snprintf(request, sizeof request,
                 "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                 "Content-Length: %zu\r\n\r\n%s", path, port, strlen(form), form);
        double began = now();
        int status = 0;
        for (int attempt = 0; attempt < 3 && !status; attempt++) { /* a kept connection may end at any time */
            size_t size = strlen(request);
            if (send(fd, request, size, MSG_NOSIGNAL) == (ssize_t)size) status = response(fd, &closes);
            if (!status || closes) { close(fd); fd = connected(); }
        }
        taken[number] = now() - began;
        if (status != 303) refused++;
    }
    close(fd);
    return unused;
}

static int order(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

int main(int count, char **words) {
    if (count != 7) return 2;
    port = atoi(words[1]), path = words[2], bookings = atoi(words[3]);
    int visitors = atoi(words[4]);
    first = atol(words[5]), step = atoi(words[6]);
    taken = calloc(bookings, sizeof *taken);
    pthread_t threads[visitors];
    double began = now();
    for (int i = 0; i < visitors; i++) pthread_create(&threads[i], NULL, visitor, NULL);
    for (int i = 0; i < visitors; i++) pthread_join(threads[i], NULL);
    double seconds = now() - began;
    qsort(taken, bookings, sizeof *taken, order);
    printf("{\"rate\": %f, \"p50\": %f, \"p99\": %f, \"refused\": %d}\n", bookings / seconds,
           taken[bookings / 2], taken[bookings * 99 / 100], (int)refused);
    return 0;
}
