#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void die(const char *what)
{
    fprintf(stderr, "x: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void dies(const char *what)
{
    perror(what);
    exit(1);
}

static void *idle(void *p)
{
    sleep(3);
    return p;
}

static struct sockaddr_in address(char **a)
{
    struct sockaddr_in s = {.sin_family = AF_INET, .sin_port = htons(atoi(a[3]))};
    if (!inet_aton(a[2], &s.sin_addr)) {
        struct addrinfo *r;
        int e = getaddrinfo(a[2], a[3], NULL, &r);
        if (e) {
            fprintf(stderr, "x: cannot resolve %s: %s\n", a[2], gai_strerror(e));
            exit(1);
        }
        memcpy(&s, r->ai_addr, sizeof s);
    }
    return s;
}

int main(int n, char **a)
{
    static char buf[65536], where[300];
    char *op = a[1];
    if (n > 3)
        snprintf(where, sizeof where, "%s:%s", a[2], a[3]);
    if (!strcmp(op, "open")) {
        FILE *f = fopen(a[2], "r");
        if (!f)
            dies(a[2]);
        if (!fread(buf, 1, 100, f) && ferror(f))
            die(a[2]);
    } else if (!strcmp(op, "fill")) {
        int f = open(a[2], O_WRONLY | O_CREAT, 0644);
        if (f < 0)
            die(a[2]);
        while (write(f, buf, sizeof buf) >= 0)
            ;
        die(a[2]);
    } else if (!strcmp(op, "many")) {
        while (open("/dev/null", O_RDONLY) >= 0)
            ;
        die("/dev/null");
    } else if (!strcmp(op, "mkdir")) {
        if (mkdir(a[2], 0755))
            die(a[2]);
    } else if (!strcmp(op, "chmod")) {
        if (chmod(a[2], 0777))
            die(a[2]);
    } else if (!strcmp(op, "connect") || !strcmp(op, "talk")) {
        struct sockaddr_in s = address(a);
        int f = socket(AF_INET, SOCK_STREAM, 0);
        if (f < 0)
            dies("socket");
        if (connect(f, (struct sockaddr *)&s, sizeof s))
            die(where);
        if (*op == 't' && (write(f, "hello\n", 6) < 0 || read(f, buf, 100) < 0))
            die(where);
    } else if (!strcmp(op, "listen")) {
        struct sockaddr_in s = address(a);
        int f = socket(AF_INET, SOCK_STREAM, 0);
        if (bind(f, (struct sockaddr *)&s, sizeof s) || listen(f, 5))
            dies("bind");
    } else if (!strcmp(op, "exec")) {
        execv(a[2], a + 2);
        die(a[2]);
    } else if (!strcmp(op, "big")) {
        char *big = malloc(4000001);
        memset(big, 'x', 4000000);
        big[4000000] = 0;
        execl("/bin/true", "true", big, (char *)NULL);
        die("/bin/true");
    } else if (!strcmp(op, "spawn")) {
        pthread_t t;
        while (!(errno = pthread_create(&t, NULL, idle, NULL)))
            ;
        dies("pthread_create");
    } else if (!strcmp(op, "fork")) {
        pid_t p;
        while ((p = fork()) > 0)
            ;
        if (p < 0)
            dies("fork");
        _exit(sleep(3));
    } else if (!strcmp(op, "memory")) {
        while (mmap(NULL, 256 << 20, PROT_READ, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0) != MAP_FAILED)
            ;
        dies("mmap");
    } else if (!strcmp(op, "pipe")) {
        signal(SIGPIPE, SIG_IGN);
        while (write(1, buf, sizeof buf) > 0)
            ;
        dies("write");
    }
    return 0;
}
