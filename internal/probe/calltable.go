//go:build linux

package probe

import "github.com/descry-dev/descry/internal/evidence"

// The table of system calls that syscall.bpf.c works by: a word for each, see syscall.bpf.h.

// Mirrors enum call_class.
const (
	classNone = iota
	classAlloc
	classFcntl
	classClose
	classDup2
	classWrite
	classWritev
	classSendmsg
	classSelect
	classPipe
	classSocketpair
	classCloseRange
	classNoise
	classMoved
)

// Mirrors the bits behind the class.
const (
	callSockaddr = 1 << 7
	callFD       = 1 << 11
	callTable    = 1 << 12
	callEAGAIN   = 1 << 13
	callAddress  = 1 << 14
	callWrites   = 1 << 15
	callExec     = 1 << 16
	callMessage  = 1 << 17
	callInotify  = 1 << 18
	callDup      = 1 << 19
	callFile     = 1 << 20
	callOut3     = 1 << 21
	callSpawn    = 1 << 22
	callMemory   = 1 << 23
)

const maxCalls = 512

// callKind says what is to be known of some system calls that are alike.
type callKind struct {
	names []string
	word  uint32
	path  uint32         // which argument is a path or address, from 1
	arg   uint32         // which argument is worth keeping, from 1: flags, a length, a command
	quiet evidence.Errno // the error that is no news
}

var callKinds = []callKind{
	// Descriptors.
	{names: []string{"open", "creat"}, word: callFile | classAlloc | callTable, path: 1, arg: 2},
	{names: []string{"openat", "openat2"}, word: callFile | classAlloc | callTable | callFD, path: 2, arg: 3},
	{names: []string{"open_by_handle_at"}, word: callFile | classAlloc | callTable | callFD, arg: 3},
	{names: []string{"socket"}, word: classAlloc | callTable, arg: 2},
	{names: []string{"accept", "accept4"}, word: classAlloc | callTable | callFD, arg: 4},
	{names: []string{"epoll_create", "epoll_create1", "timerfd_create", "memfd_create", "memfd_secret", "eventfd", "eventfd2", "userfaultfd"}, word: classAlloc | callTable, arg: 2},
	{names: []string{"signalfd", "signalfd4"}, word: classAlloc | callTable | callFD, arg: 3},
	{names: []string{"dup"}, word: classAlloc | callTable | callFD | callDup, arg: 3},
	{names: []string{"pidfd_open", "pidfd_getfd", "io_uring_setup", "perf_event_open", "fsopen", "fspick", "fsmount", "open_tree", "landlock_create_ruleset"}, word: classAlloc | callTable, arg: 2},
	{names: []string{"bpf", "mq_open", "fanotify_init"}, word: classAlloc, arg: 1},
	{names: []string{"fcntl"}, word: classFcntl | callTable | callFD | callDup, arg: 2, quiet: evidence.EAGAIN},
	{names: []string{"dup2", "dup3"}, word: classDup2 | callTable | callFD | callDup, arg: 2},
	{names: []string{"pipe", "pipe2"}, word: classPipe | callTable, arg: 2},
	{names: []string{"socketpair"}, word: classSocketpair | callTable, arg: 2},
	{names: []string{"close"}, word: callFile | classClose | callFD},
	{names: []string{"close_range"}, word: classCloseRange, arg: 2},
	{names: []string{"inotify_init", "inotify_init1"}, word: classAlloc | callInotify},
	{names: []string{"inotify_add_watch"}, word: callInotify | callFD, path: 2, arg: 3},

	// Reading, writing, waiting.
	{names: []string{"write", "pwrite64"}, word: callFile | classWrite | callWrites | callFD, arg: 3},
	{names: []string{"sendto"}, word: classWrite | callWrites | callFD, arg: 3},
	{names: []string{"writev", "pwritev", "pwritev2"}, word: callFile | classWritev | callWrites | callFD, arg: 3},
	{names: []string{"sendmsg"}, word: classSendmsg | callWrites | callFD, arg: 3},
	{names: []string{"sendmmsg"}, word: callFile | callWrites | callFD, arg: 4},
	{names: []string{"sendfile"}, word: callFile | classMoved | callWrites | callFD, arg: 4},
	{names: []string{"splice"}, word: callFile | classMoved | callOut3 | callFD, arg: 3},
	{names: []string{"copy_file_range"}, word: callFile | callOut3 | callFD, arg: 3},
	{names: []string{"tee"}, word: classMoved | callFD, arg: 3},
	{names: []string{"vmsplice"}, word: classWritev | callFD, arg: 3},
	{names: []string{"read", "pread64", "readv", "preadv", "preadv2", "getdents64"}, word: callFile | callFD, arg: 3},
	{names: []string{"recvfrom", "getdents"}, word: callFD, arg: 3},
	{names: []string{"recvmsg", "recvmmsg"}, word: callFD | callMessage, arg: 3},
	{names: []string{"lseek"}, word: callFD, arg: 2, quiet: 29}, // ESPIPE: a pipe, as every libc finds out
	{names: []string{"select", "pselect6"}, word: classSelect, arg: 1},
	{names: []string{"poll", "ppoll"}, arg: 2},
	{names: []string{"epoll_ctl"}, word: callFD, arg: 3},
	{names: []string{"epoll_wait", "epoll_pwait", "epoll_pwait2"}, word: callFD},
	{names: []string{"io_uring_enter", "io_uring_register"}, word: callFD, arg: 2},
	{names: []string{"ioctl"}, word: callFile | callFD, arg: 2, quiet: 25}, // ENOTTY: not a terminal, as every libc finds out
	{names: []string{"fsync", "fdatasync", "sync_file_range", "ftruncate", "fallocate", "flock", "fchdir", "syncfs"}, word: callFile | callFD, arg: 2},

	// Addresses.
	{names: []string{"bind"}, word: callFile | callAddress | callSockaddr | callFD, path: 2},
	{names: []string{"connect"}, word: callFile | callAddress | callSockaddr | callFD | callEAGAIN, path: 2},
	{names: []string{"listen"}, word: callAddress | callFD, arg: 2},
	{names: []string{"setsockopt"}, word: callFD, arg: 3},
	{names: []string{"shutdown", "getsockopt", "getsockname", "getpeername"}, word: callFD, arg: 2},

	// Files by name.
	{names: []string{"chroot", "swapon", "acct"}, path: 1, arg: 2},
	{names: []string{"stat", "lstat", "access", "chdir", "unlink", "rmdir", "mkdir", "mknod", "chmod", "chown", "lchown", "truncate", "readlink", "rename", "statfs", "utime", "utimes"}, word: callFile, path: 1, arg: 2},
	{names: []string{"link", "symlink"}, word: callFile, path: 2},
	{names: []string{"newfstatat", "statx", "faccessat", "faccessat2", "unlinkat", "mkdirat", "mknodat", "fchmodat", "fchmodat2", "fchownat", "readlinkat", "renameat", "renameat2", "linkat", "utimensat", "futimesat", "name_to_handle_at"}, word: callFile | callFD, path: 2, arg: 3},
	{names: []string{"symlinkat"}, word: callFile, path: 3},
	{names: []string{"fstat", "fchmod", "fchown", "fstatfs"}, word: callFile | callFD, arg: 2},
	{names: []string{"mount", "pivot_root"}, path: 2, arg: 4},
	{names: []string{"umount2"}, path: 1, arg: 2},
	{names: []string{"setxattr", "getxattr", "lsetxattr", "lgetxattr", "removexattr", "listxattr", "llistxattr"}, word: callFile, path: 1},

	// Programs and processes.
	{names: []string{"execve"}, word: callExec | callEAGAIN, path: 1},
	{names: []string{"execveat"}, word: callExec | callEAGAIN | callFD, path: 2, arg: 5},
	{names: []string{"fork", "vfork"}, word: callSpawn | callEAGAIN},
	{names: []string{"clone", "clone3"}, word: callSpawn | callEAGAIN, arg: 1},
	{names: []string{"wait4", "waitid"}, arg: 1, quiet: 10},                                                                                       // ECHILD: no child left to wait for
	{names: []string{"kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal"}, word: callEAGAIN, arg: 2, quiet: 3}, // ESRCH: it is gone, as was asked
	{names: []string{"setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "capset", "setpriority", "setpgid", "setsid", "sched_setaffinity", "sched_setscheduler", "unshare", "setns", "setrlimit"}, word: callEAGAIN, arg: 1},
	{names: []string{"prlimit64"}, arg: 2},
	{names: []string{"ptrace", "seccomp", "prctl", "arch_prctl"}, arg: 1},

	// Memory.
	{names: []string{"mmap"}, word: callFile | callMemory | callEAGAIN, arg: 2},
	{names: []string{"mprotect", "mremap", "mlock", "mlock2", "mlockall", "munmap", "shmat"}, word: callMemory | callEAGAIN, arg: 2},
	{names: []string{"madvise", "mbind"}, word: callEAGAIN, arg: 2},
	{names: []string{"brk"}, arg: 1},
	{names: []string{"shmget"}, word: callMemory, arg: 2},
	{names: []string{"semget", "msgget", "shmctl", "semctl", "msgctl"}, arg: 2},
	{names: []string{"semop", "semtimedop", "msgsnd", "msgrcv"}, arg: 3},

	// No news, whatever comes of them.
	{names: []string{"futex", "futex_waitv", "futex_wait", "restart_syscall", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "pause", "nanosleep", "clock_nanosleep", "sched_yield", "exit", "exit_group", "set_robust_list", "rseq", "membarrier"}, word: classNoise},
	{names: []string{"mq_timedsend", "mq_timedreceive"}, quiet: evidence.ETIMEDOUT},
}

// callWords is the table for this architecture.
func callWords() (words [maxCalls]uint32) {
	for i := range callKinds {
		k := &callKinds[i]
		for _, name := range k.names {
			if nr := callNumber(name); nr >= 0 && nr < maxCalls {
				words[nr] = k.word | k.path<<4 | k.arg<<8 | uint32(k.quiet)<<24
			}
		}
	}
	return words
}
