/* A receiver that is never the bottleneck: what receiver.py is, for machines that have a C compiler.

   /ok… is answered at once, /slow/100/… after 100 ms, /hang… never. GET /count answers {"hits": n}, GET /stats
   all hits as [[path, webhook-id, CLOCK_MONOTONIC in ns], …]; with ?reset it forgets them. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST_FILES 65536
#define NAME 48

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok";

struct connection { char *data; size_t used, room; unsigned born; };
struct hit { char path[NAME], id[NAME]; long long at; };
struct wait { long long due; int fd; unsigned born; };

static struct connection connections[MOST_FILES];
static struct hit *hits;
static size_t hit_count, hit_room;
static struct wait *waits; /* a heap, the next due first */
static size_t wait_count, wait_room;
static unsigned births;

static void *grown(void *old, size_t *room, size_t size) {
    *room = *room ? *room * 2 : 1024;
    void *made = realloc(old, *room * size);
    if (!made) exit(1);
    return made;
}

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void forget(int fd) {
    free(connections[fd].data);
    memset(&connections[fd], 0, sizeof connections[fd]);
    close(fd);
}

static void answer(int fd, const char *text, size_t length) {
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK); /* the statistics are long */
    while (length > 0) {
        ssize_t sent = send(fd, text, length, MSG_NOSIGNAL);
        if (sent <= 0) break; /* its end is read later */
        text += sent;
        length -= sent;
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void answer_ok(int fd) {
    send(fd, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL);
}

static void later(int fd, long long due) {
    if (wait_count == wait_room) waits = grown(waits, &wait_room, sizeof *waits);
    struct wait one = {due, fd, connections[fd].born};
    size_t at = wait_count++;
    for (; at && waits[(at - 1) / 2].due > due; at = (at - 1) / 2) waits[at] = waits[(at - 1) / 2];
    waits[at] = one;
}

static void answer_due(void) {
    while (wait_count && waits[0].due <= now()) {
        struct wait one = waits[0], last = waits[--wait_count];
        size_t at = 0, child;
        while ((child = 2 * at + 1) < wait_count) {
            if (child + 1 < wait_count && waits[child + 1].due < waits[child].due) child++;
            if (waits[child].due >= last.due) break;
            waits[at] = waits[child];
            at = child;
        }
        waits[at] = last;
        if (connections[one.fd].data && connections[one.fd].born == one.born) answer_ok(one.fd);
    }
}

static void answer_text(int fd, const char *text, size_t length) {
    char head[80];
    int size = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", length);
    answer(fd, head, size);
    answer(fd, text, length);
}

static void answer_stats(int fd, int reset) {
    char *text = malloc(hit_count * (2 * NAME + 40) + 3), *end = text;
    *end++ = '[';
    for (size_t i = 0; i < hit_count; i++)
        end += sprintf(end, "%s[\"%s\",\"%s\",%lld]", i ? "," : "", hits[i].path, hits[i].id, hits[i].at);
    *end++ = ']';
    answer_text(fd, text, end - text);
    free(text);
    if (reset) hit_count = 0;
}

static void copy_word(char *to, const char *from) {
    size_t n = 0;
    while (n < NAME - 1 && from[n] > ' ' && from[n] != '"' && from[n] != '\\') n++;
    memcpy(to, from, n);
    to[n] = 0;
}

static void handle(int fd, const char *path, const char *id, long long at) {
    char text[40];
    if (!strncmp(path, "/count", 6)) {
        answer_text(fd, text, snprintf(text, sizeof text, "{\"hits\": %zu}", hit_count));
        return;
    }
    if (!strncmp(path, "/stats", 6)) {
        answer_stats(fd, !strncmp(path + 6, "?reset", 6));
        return;
    }
    if (hit_count == hit_room) hits = grown(hits, &hit_room, sizeof *hits);
    struct hit *hit = &hits[hit_count++];
    copy_word(hit->path, path);
    copy_word(hit->id, id);
    hit->at = at;
    if (!strncmp(path, "/ok", 3)) answer_ok(fd);
    else if (!strncmp(path, "/slow/", 6)) later(fd, at + atoll(path + 6) * 1000000);
}

/* Handles the first whole request of the buffer; returns its length, or 0 when there is none. */
static size_t take(int fd, char *data, size_t length) {
    char *end = memmem(data, length, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t body = 0;
    const char *id = "", *path = memchr(data, ' ', end - data);
    for (char *line = data; line && line < end; line = memmem(line, end + 2 - line, "\r\n", 2)) {
        if (line != data) line += 2;
        if (!strncasecmp(line, "content-length:", 15)) body = strtoul(line + 15, NULL, 10);
        else if (!strncasecmp(line, "webhook-id:", 11)) id = line + 11 + strspn(line + 11, " ");
    }
    size_t total = end + 4 - data + body;
    if (length < total) return 0;
    handle(fd, path ? path + 1 : "", id, now());
    return total;
}

static void hear(int fd) {
    struct connection *one = &connections[fd];
    if (one->room - one->used < 65536) {
        one->room += 65536 + one->room;
        one->data = realloc(one->data, one->room + 1);
        if (!one->data) exit(1);
    }
    ssize_t got = recv(fd, one->data + one->used, one->room - one->used, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        forget(fd);
        return;
    }
    one->used += got;
    one->data[one->used] = 0;
    size_t done = 0, length;
    while ((length = take(fd, one->data + done, one->used - done))) done += length;
    memmove(one->data, one->data + done, one->used - done);
    one->used -= done;
}

static void accept_all(int listener, int epoll) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MOST_FILES) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        connections[fd] = (struct connection){malloc(1), 0, 0, ++births};
        struct epoll_event event = {EPOLLIN, {.fd = fd}};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(int count, char **arguments) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons(count > 1 ? atoi(arguments[1]) : 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) return 1;
    int epoll = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {.fd = listener}}, events[512];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    puts("listening");
    fflush(stdout);
    for (;;) {
        long long left = wait_count ? (waits[0].due - now()) / 1000000 + 1 : -1;
        int found = epoll_wait(epoll, events, 512, wait_count && left < 0 ? 0 : (int)left);
        for (int i = 0; i < found; i++) {
            if (events[i].data.fd == listener) accept_all(listener, epoll);
            else hear(events[i].data.fd);
        }
        answer_due();
    }
}
