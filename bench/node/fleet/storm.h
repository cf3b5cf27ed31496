/* What makes many events, and commands in containers; part of fleet.c. */

/* generated are the events of one container, counted by who makes them. */
struct generated {
	long forks, execs, exits, signals;
};

static void on_signal(int s) { (void)s; }

/* cycle makes 50 events: three processes of which one is another program's, and 43 signals that are caught. */
static void cycle(struct generated *g, pid_t me)
{
	for (int i = 0; i < 3; i++) {
		pid_t pid = i ? fork() : vfork();

		if (pid < 0)
			_exit(5);
		if (!pid) {
			if (!i)
				execl("/proc/self/exe", "fleet", "true", NULL);
			_exit(i ? 0 : 127);
		}
		g->forks++;
		g->execs += !i;
		if (waitpid(pid, NULL, 0) != pid)
			_exit(6);
		g->exits++;
	}
	for (int i = 0; i < 43; i++) {
		if (kill(me, SIGUSR1))
			_exit(7);
		g->signals++;
	}
}

static void worker(struct generated *g, long rate, int seconds)
{
	int64_t from = now_ms(), passed;
	pid_t me = getpid();
	long n = 0;

	signal(SIGUSR1, on_signal);
	nap(500000); /* not at once with the first look at the container */
	for (from = now_ms(); (passed = now_ms() - from) < seconds * 1000LL;) {
		if (n * 50 > passed * rate / 1000) {
			nap(1000);
			continue;
		}
		cycle(g, me);
		n++;
	}
}

static struct generated *counters(int fd)
{
	struct generated *g = mmap(NULL, MAX * sizeof *g, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (g == MAP_FAILED)
		die("share counters");
	return g;
}

/* storm_main is a container's program; its arguments are descriptors and numbers. */
static void storm_main(char **a)
{
	struct generated *all_of = counters(atoi(a[0]));
	int said = atoi(a[1]), over = atoi(a[2]);
	char b;

	bound();
	worker(&all_of[atoi(a[3])], atol(a[4]), atoi(a[5]));
	if (write(said, "", 1) != 1)
		_exit(8);
	_exit(read(over, &b, 1) == 0); /* of itself: a signal from outside would be one more event */
}

static void storm(int containers, long rate, int seconds)
{
	int said[2], over[2], left = containers, fd = memfd_create("counters", 0);
	char b, text[6][16];
	struct generated *all_of, sum = {0};

	if (fd < 0 || ftruncate(fd, MAX * sizeof *all_of) || pipe(said) || pipe(over))
		die("prepare a storm");
	all_of = counters(fd);
	for (int i = 0; i < containers; i++) {
		long numbers[] = {fd, said[1], over[0], i, rate / containers, seconds};

		make(&all[i]);
		if (start(&all[i]))
			continue;
		close(over[1]);
		for (int k = 0; k < 6; k++)
			snprintf(text[k], sizeof text[k], "%ld", numbers[k]);
		execl("/proc/self/exe", "storm-main", "storm-main", text[0], text[1], text[2], text[3], text[4], text[5], NULL);
		_exit(127);
	}
	close(said[1]);
	while (left && !stop)
		left -= read(said[0], &b, 1) == 1;
	for (int i = 0; i < containers; i++) {
		sum.forks += all_of[i].forks;
		sum.execs += all_of[i].execs;
		sum.exits += all_of[i].exits;
		sum.signals += all_of[i].signals;
	}
	printf("forks %ld execs %ld exits %ld signals %ld\n", sum.forks, sum.execs, sum.exits, sum.signals);
	fflush(stdout);
	while (!ended())
		nap(50000);
	close(over[1]);
	nap(500000);
}

/* run runs a command in a container, beside a process that has extra descriptors. */
static void run(int extra, char **argv)
{
	make(&all[0]);
	if (!start(&all[0])) {
		execvp(argv[0], argv);
		die("run %s", argv[0]);
	}
	if (extra > 0) {
		struct container beside = all[0];

		if (!start(&beside)) {
			while (extra-- > 0 && dup(0) >= 0)
				;
			idle(0);
		}
		all[1].main = beside.main; /* ends with the others; its cgroup is the first's */
	}
	printf("%s %d\n", all[0].id, all[0].main);
	fflush(stdout);
	while (!ended())
		nap(50000);
}
