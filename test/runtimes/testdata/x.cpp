#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fcntl.h>
#include <fstream>
#include <netdb.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <string>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <vector>
#include <iostream>
#include <csignal>

static void must(long r, const std::string &what)
{
    if (r < 0)
        throw std::system_error(errno, std::generic_category(), what);
}

static sockaddr_in address(char **a)
{
    sockaddr_in s{};
    s.sin_family = AF_INET;
    s.sin_port = htons(atoi(a[3]));
    if (!inet_aton(a[2], &s.sin_addr)) {
        addrinfo *r;
        int e = getaddrinfo(a[2], a[3], nullptr, &r);
        if (e)
            throw std::runtime_error(std::string("cannot resolve ") + a[2] + ": " + gai_strerror(e));
        memcpy(&s, r->ai_addr, sizeof s);
    }
    return s;
}

int main(int, char **a)
{
    std::string op = a[1];
    std::vector<std::thread> threads;
    std::vector<char> buf(65536);
    if (op == "open") {
        int f = open(a[2], O_RDONLY);
        must(f, std::string("cannot open ") + a[2]);
        must(read(f, buf.data(), 100), std::string("cannot read ") + a[2]);
    } else if (op == "stream") {
        std::ifstream f;
        f.exceptions(std::ios::failbit);
        f.open(a[2]);
    } else if (op == "fill") {
        int f = open(a[2], O_WRONLY | O_CREAT, 0644);
        must(f, std::string("cannot open ") + a[2]);
        for (;;)
            must(write(f, buf.data(), buf.size()), std::string("cannot write ") + a[2]);
    } else if (op == "many") {
        for (;;)
            must(open("/dev/null", O_RDONLY), "cannot open /dev/null");
    } else if (op == "mkdir") {
        std::filesystem::create_directory(a[2]);
    } else if (op == "chmod") {
        std::filesystem::permissions(a[2], std::filesystem::perms::all);
    } else if (op == "connect" || op == "talk") {
        auto s = address(a);
        int f = socket(AF_INET, SOCK_STREAM, 0);
        must(f, "socket");
        must(connect(f, (sockaddr *)&s, sizeof s), std::string("connect to ") + a[2] + ":" + a[3]);
        if (op == "talk") {
            must(write(f, "hello\n", 6), "write");
            must(read(f, buf.data(), 100), std::string("read from ") + a[2] + ":" + a[3]);
        }
    } else if (op == "listen") {
        auto s = address(a);
        int f = socket(AF_INET, SOCK_STREAM, 0);
        must(bind(f, (sockaddr *)&s, sizeof s), std::string("bind ") + a[2] + ":" + a[3]);
        must(listen(f, 5), "listen");
    } else if (op == "exec") {
        execv(a[2], a + 2);
        must(-1, std::string("cannot execute ") + a[2]);
    } else if (op == "big") {
        std::string big(4000000, 'x');
        execl("/bin/true", "true", big.c_str(), nullptr);
        must(-1, "cannot execute /bin/true");
    } else if (op == "spawn") {
        for (;;)
            threads.emplace_back([] { sleep(3); });
    } else if (op == "fork") {
        for (;;) {
            pid_t p = fork();
            must(p, "fork");
            if (!p)
                _exit(sleep(3));
        }
    } else if (op == "memory") {
        for (;;)
            new char[256 << 20];
    } else if (op == "pipe") {
        signal(SIGPIPE, SIG_IGN);
        for (;;)
            must(write(1, buf.data(), buf.size()), "write");
    }
}
