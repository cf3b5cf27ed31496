/*
 * The containers that are measured: cgroups with 64 hex digits for a name below a scope of their own,
 * and processes in them that cost next to nothing. Everything ends with this program, however it ends:
 * it ends when its standard input does, and
 * where it is killed itself the kernel kills its children.
 *
 *   fleet hold SCOPE CONTAINERS PROCESSES DESCRIPTORS ACTIVE   ACTIVE: of 1,000 processes, change something each second
 *   fleet churn SCOPE RATE LIFE-MS                             RATE containers a second, of three processes each
 *   fleet die SCOPE RATE SECONDS                               containers of one process that dies
 *   fleet storm SCOPE CONTAINERS RATE SECONDS                  events a second, all containers together
 *   fleet run SCOPE EXTRA ARGV...                              a command in a container, and one process with EXTRA descriptors
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX 4096 /* containers at once */

struct container {
	char id[65];
	pid_t main;
	int64_t until; /* milliseconds; churn */
	int way;
};

static const char *scope, *self;
static struct container all[MAX];
static volatile sig_atomic_t stop;

static void die(const char *format, ...)
{
	va_list a;

	fprintf(stderr, "fleet: ");
	va_start(a, format);
	vfprintf(stderr, format, a);
	va_end(a);
	fprintf(stderr, ": %s\n", strerror(errno));
	exit(1);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void nap(long us)
{
	struct timespec t = {us / 1000000, us % 1000000 * 1000};

	nanosleep(&t, NULL);
}

/* ended says whether who started this program has let go of it. */
static int ended(void)
{
	struct pollfd p = {.fd = 0, .events = POLLIN};
	char b[16];

	return stop || (poll(&p, 1, 0) > 0 && read(0, b, sizeof b) <= 0);
}

static void bound(void) /* to the life of the parent */
{
	pid_t parent = getppid();

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
}

static void path_of(char *out, size_t n, const char *id)
{
	snprintf(out, n, "%s/%s", scope, id);
}

static void make(struct container *c)
{
	unsigned char r[32];
	char path[4096];

	if (getrandom(r, sizeof r, 0) != sizeof r)
		die("random numbers");
	for (int i = 0; i < 32; i++)
		snprintf(c->id + 2 * i, 3, "%02x", r[i]);
	path_of(path, sizeof path, c->id);
	if (mkdir(path, 0755))
		die("make %s", path);
}

/* removed says whether the container's cgroup could be removed: not while its last process is dying. */
static int removed(struct container *c)
{
	char path[4096];

	path_of(path, sizeof path, c->id);
	return !rmdir(path) || errno == ENOENT;
}

/*
 * start forks into the container: every other one is cloned into its cgroup, the others move there as
 * those of older runtimes do.
 */
static pid_t start(struct container *c)
{
	static int turn;
	char path[4096 + 16];
	pid_t pid;
	int fd;

	path_of(path, sizeof path, c->id);
	if (turn++ & 1) {
		struct clone_args a = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD};

		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			die("open %s", path);
		a.cgroup = fd;
		pid = syscall(SYS_clone3, &a, sizeof a);
		if (pid)
			close(fd);
	} else {
		pid = fork();
		if (!pid) {
			strcat(path, "/cgroup.procs");
			fd = open(path, O_WRONLY | O_CLOEXEC);
			if (fd < 0 || write(fd, "0", 1) != 1)
				die("join %s", path);
			close(fd);
		}
	}
	if (pid < 0)
		die("fork");
	if (!pid) {
		bound();
		signal(SIGINT, SIG_DFL);
		signal(SIGTERM, SIG_DFL);
	}
	c->main = pid;
	return pid;
}

static int connect_pair(struct sockaddr_in *a, int listener)
{
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), conn;

	if (client < 0 || connect(client, (void *)a, sizeof *a))
		die("connect");
	conn = accept(listener, NULL, NULL);
	if (conn < 0)
		die("accept");
	close(client); /* conn stays in CLOSE_WAIT */
	return conn;
}

/* hold opens n descriptors beside those that it has, or one more: one in ten a socket in CLOSE_WAIT, files, pipes and others. */
static void hold(int n, int number)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t size = sizeof a;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), p[2], fd = 0;

	a.sin_addr.s_addr = htonl(0x7f010000u + number + 1);
	if (bind(listener, (void *)&a, sizeof a) || listen(listener, 64) || getsockname(listener, (void *)&a, &size))
		die("listen");
	for (int i = 0; i < n;) {
		switch (i % 10) {
		case 0:
			fd = connect_pair(&a, listener);
			break;
		case 1:
		case 2:
		case 3:
			fd = open(self, O_RDONLY);
			break;
		case 4:
			fd = eventfd(0, 0);
			break;
		case 5:
			fd = epoll_create1(0);
			break;
		case 6:
			fd = timerfd_create(CLOCK_MONOTONIC, 0);
			break;
		case 7:
			fd = pipe(p);
			i++;
			break;
		default:
			fd = open("/dev/null", O_RDONLY);
		}
		if (fd < 0)
			die("open descriptor %d", i);
		i++;
	}
	close(listener);
}

static void idle(int active)
{
	for (;;) {
		if (!active) {
			pause();
			continue;
		}
		nap(1000000);
		if (dup(0) > 1000)
			_exit(0);
	}
}

/* tell says through a pipe that a process is as it shall be, and lets go of both ends. */
static void tell(int *pipe)
{
	if (write(pipe[1], "", 1) != 1)
		_exit(1);
	close(pipe[0]);
	close(pipe[1]);
}

static void held(struct container *c, int first, int processes, int fds, int active)
{
	int said[2], within[2];
	char b;

	if (pipe(said))
		die("pipe");
	if (start(c)) {
		close(said[1]);
		if (read(said[0], &b, 1) != 1)
			die("start container %s", c->id);
		close(said[0]);
		return;
	}
	if (pipe(within))
		die("pipe");
	for (int i = 1; i < processes; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (!pid) {
			bound();
			close(said[0]);
			close(said[1]);
			hold(fds, first + i);
			tell(within);
			idle(active && (first + i) % (1000 / active) == 0);
		}
		if (read(within[0], &b, 1) != 1)
			_exit(1);
	}
	close(within[0]);
	close(within[1]);
	hold(fds, first);
	tell(said);
	idle(0);
}

/* victim dies in the way of its number, after its time. */
static void victim(int way, long life_ms)
{
	struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
	for (int i = 0; i < 20; i++)
		if (open("/dev/null", O_RDONLY) < 0)
			_exit(9);
	nap(life_ms * 1000);
	switch (way % 5) {
	case 0:
		raise(SIGSEGV);
		break;
	case 1:
		abort();
	case 2:
		_exit(3);
	case 3:
		kill(getpid(), SIGTERM);
		break;
	}
	nap(60000000); /* killed from outside */
	_exit(4);
}

static void launch(struct container *c, int way, long life)
{
	char a[16], b[16];

	make(c);
	c->way = way;
	c->until = now_ms() + life;
	if (start(c))
		return;
	snprintf(a, sizeof a, "%d", way);
	snprintf(b, sizeof b, "%ld", life);
	execl("/proc/self/exe", "victim", "victim", "-", a, b, NULL);
	_exit(127);
}

/* reap takes what has died, tells of it, and removes what is empty. */
static int reap(int told)
{
	int status, n = 0;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < MAX; i++)
			if (all[i].main == pid) {
				all[i].main = -1;
				n++;
				if (told)
					printf("%s %d %d\n", all[i].id, all[i].way % 5, status);
			}
	for (int i = 0; i < MAX; i++) {
		if (all[i].main == -1 && removed(&all[i]))
			all[i].main = 0;
		else if (all[i].main > 0 && all[i].way % 5 == 4 && all[i].until < now_ms())
			kill(all[i].main, SIGKILL);
	}
	fflush(stdout);
	return n;
}

/* lives starts containers that die, until told to stop or for so many seconds. */
static void lives(int rate, long life, int seconds, int told)
{
	int64_t from = now_ms();
	long n = 0, dead = 0;

	for (;;) {
		int64_t passed = now_ms() - from;
		int over = ended() || (seconds && passed >= seconds * 1000LL);

		if (over && dead == n)
			break;
		for (; !over && n < passed * rate / 1000 && n - dead < MAX / 2; n++)
			for (int i = 0; i < MAX; i++)
				if (!all[i].main) {
					launch(&all[i], n, life);
					break;
				}
		dead += reap(told);
		nap(2000);
	}
	printf("started %ld died %ld\n", n, dead);
	fflush(stdout);
}

#include "storm.h"

/* take_down ends what is in the containers, removes them, and gives up after half a minute. */
static void take_down(void)
{
	int left = 1;

	for (int tries = 0; left && tries < 3000; tries++) {
		left = 0;
		for (int i = 0; i < MAX; i++) {
			char path[4096];
			FILE *f;
			int pid;

			if (!all[i].id[0] || removed(&all[i]))
				continue;
			left++;
			path_of(path, sizeof path - 16, all[i].id);
			strcat(path, "/cgroup.procs");
			f = fopen(path, "re");
			while (f && fscanf(f, "%d", &pid) == 1)
				kill(pid, SIGKILL);
			if (f)
				fclose(f);
		}
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		nap(10000);
	}
	if (left)
		fprintf(stderr, "fleet: %d containers below %s could not be removed\n", left, scope);
}

static void on_stop(int s) { stop = s; }

int main(int argc, char **argv)
{
	struct sigaction stopping = {.sa_handler = on_stop};
	struct rlimit files = {4096, 4096};
	int n;

	if (argc >= 5 && !strcmp(argv[1], "victim"))
		victim(atoi(argv[3]), atol(argv[4]));
	if (argc >= 2 && !strcmp(argv[1], "true"))
		_exit(0);
	if (argc == 8 && !strcmp(argv[1], "storm-main"))
		storm_main(argv + 2);
	if (argc < 5) {
		fprintf(stderr, "fleet: see its source\n");
		return 2;
	}
	self = argv[0];
	scope = argv[2];
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	sigaction(SIGTERM, &stopping, NULL);
	sigaction(SIGINT, &stopping, NULL);
	setrlimit(RLIMIT_NOFILE, &files);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	n = atoi(argv[3]);
	if (!strcmp(argv[1], "hold") && argc == 7 && n > 0 && n <= MAX) {
		int processes = atoi(argv[4]) / n, fds = atoi(argv[5]) / (processes * n), active = atoi(argv[6]);

		for (int i = 0; i < n && !stop; i++) {
			make(&all[i]);
			held(&all[i], i * processes, processes, fds - 5, active);
		}
		printf("ready\n");
		fflush(stdout);
		while (!ended())
			nap(100000);
	} else if (!strcmp(argv[1], "churn")) {
		lives(n, atol(argv[4]), 0, 0);
	} else if (!strcmp(argv[1], "die") && argc == 5) {
		lives(n, 300, atoi(argv[4]), 1);
	} else if (!strcmp(argv[1], "storm") && argc == 6 && n > 0 && n <= MAX) {
		storm(n, atol(argv[4]), atoi(argv[5]));
	} else if (!strcmp(argv[1], "run")) {
		run(n, argv + 4);
	} else {
		fprintf(stderr, "fleet: see its source\n");
		return 2;
	}
	take_down();
	return 0;
}
