/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The kernel's types, as far as the probes use them. Kept by hand: only the fields that are read
 * stand here, in any order, and CO-RE finds where the running kernel has them. A type that changed
 * over time has a flavour with three underscores, used behind bpf_core_field_exists.
 *
 * Good for amd64 and arm64, Linux 5.17 and newer.
 */
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __s8 s8;
typedef __u8 u8;
typedef __s16 s16;
typedef __u16 u16;
typedef __s32 s32;
typedef __u32 u32;
typedef __s64 s64;
typedef __u64 u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u16 __le16;
typedef __u32 __le32;
typedef __u64 __le64;
typedef __u16 __sum16;
typedef __u32 __wsum;
typedef _Bool bool;
typedef unsigned long size_t;
typedef int pid_t;

enum { false = 0, true = 1 };

#define NULL ((void *)0)

/* From the user interface of BPF: numbers that never change. */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_STACK_TRACE = 7,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};
enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_EXIST = 2,
};
enum {
	BPF_F_NO_PREALLOC = 1,
	BPF_F_NO_COMMON_LRU = 2,
};
enum {
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_FORCE_WAKEUP = 2,
};
enum {
	BPF_F_USER_STACK = 256,
	BPF_F_CURRENT_CPU = 0xffffffff,
};
enum { BPF_LOCAL_STORAGE_GET_F_CREATE = 1 };

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
#endif

/* --- registers --- */

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx;
	unsigned long r11, r10, r9, r8, ax, cx, dx, si, di;
	unsigned long orig_ax;
	unsigned long ip;
	unsigned long flags;
	unsigned long sp;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31];
	__u64 sp;
	__u64 pc;
	__u64 pstate;
};
struct pt_regs {
	struct user_pt_regs user_regs;
	__u64 orig_x0;
	__s32 syscallno;
};
#else
#error "compile with -D__TARGET_ARCH_x86 or -D__TARGET_ARCH_arm64, as bpf2go does"
#endif

/* --- small things --- */

typedef struct {
	int counter;
} atomic_t;
typedef struct {
	s64 counter;
} atomic64_t;
typedef atomic64_t atomic_long_t;
typedef struct {
	unsigned int val;
} kuid_t;
struct list_head {
	struct list_head *next, *prev;
};
struct hlist_bl_node {
	struct hlist_bl_node *next, **pprev;
};

/* --- processes --- */

struct upid {
	int nr;
};
struct pid {
	unsigned int level;
	struct upid numbers[1];
};
struct rlimit {
	unsigned long rlim_cur;
	unsigned long rlim_max;
};
struct sigaction {
	void *sa_handler;
	unsigned long sa_flags;
};
struct k_sigaction {
	struct sigaction sa;
};
struct sighand_struct {
	struct k_sigaction action[64];
};
struct task_io_accounting {
	u64 wchar;
};
struct signal_struct {
	struct task_io_accounting ioac;
	atomic_t live;
	int nr_threads;
	struct list_head thread_head;
	int group_exit_code;
	unsigned int flags;
	u64 utime, stime;
	unsigned long min_flt, maj_flt;
	unsigned long maxrss;
	unsigned long long sum_sched_runtime;
	struct rlimit rlim[16];
};
struct sched_entity {
	u64 sum_exec_runtime;
};
struct thread_struct {
#if defined(__TARGET_ARCH_x86)
	unsigned long error_code;
#else
	unsigned long fault_code;
#endif
};
struct vfsmount;
struct dentry;
struct file;
struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};
struct fs_struct {
	struct path root;
	struct path pwd;
};
struct fdtable {
	unsigned int max_fds;
	struct file **fd;
	unsigned long *open_fds;
};
struct files_struct {
	struct fdtable *fdt;
	unsigned int next_fd;
};
struct ucounts;
struct user_namespace {
	int level;
	struct ucounts *ucounts;
	long ucount_max[1];
	long rlimit_max[4]; /* 6.0 */
};
enum ucount_type {
	UCOUNT_INOTIFY_INSTANCES = 8,
};
struct ucounts {
	struct user_namespace *ns;
	atomic_long_t ucount[1];
	atomic_long_t rlimit[4]; /* 6.0 */
};
typedef struct {
	u64 val; /* two words of 32 bits before 6.3 */
} kernel_cap_t;
struct cred {
	kuid_t uid, euid, fsuid;
	kuid_t gid, fsgid; /* a type of their own, of the same form */
	kernel_cap_t cap_effective;
	struct user_namespace *user_ns;
	struct ucounts *ucounts;
};
struct css_set;
struct mm_struct;
struct task_struct {
	unsigned int __state;
	unsigned int flags;
	int exit_code;
	pid_t pid;
	pid_t tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct list_head thread_node;
	struct pid *thread_pid;
	u64 utime, stime;
	u64 start_boottime;
	unsigned long min_flt, maj_flt;
	struct sched_entity se;
	const struct cred *cred;
	char comm[16];
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct files_struct *files;
	struct signal_struct *signal;
	struct sighand_struct *sighand;
	struct thread_struct thread;
	struct css_set *cgroups;
	struct task_io_accounting ioac;
};

/* --- memory --- */

struct maple_tree {
	void *ma_root;
};
struct percpu_counter {
	s64 count;
};
struct mm_struct {
	struct maple_tree mm_mt; /* 6.1 */
	unsigned long start_brk, brk;
	unsigned long start_stack;
	unsigned long arg_start, arg_end;
	unsigned long hiwater_vm, total_vm, data_vm, locked_vm; /* pages */
	int map_count;
	struct percpu_counter rss_stat[4]; /* 6.2 */
	struct file *exe_file;
};
struct mm_rss_stat {
	atomic_long_t count[4];
};
struct mm_struct___v61 { /* before 6.2 */
	struct mm_rss_stat rss_stat;
};
struct vm_area_struct {
	unsigned long vm_start, vm_end;
	unsigned long vm_flags;
	unsigned long vm_pgoff;
	struct file *vm_file;
};

/* --- files --- */

struct qstr {
	u32 len;
	const unsigned char *name;
};
struct file_system_type {
	const char *name;
};
struct super_block {
	unsigned int s_dev;
	unsigned long s_flags;
	unsigned long s_magic;
	struct file_system_type *s_type;
};
struct inode {
	unsigned short i_mode;
	struct super_block *i_sb;
	unsigned long i_ino;
	unsigned int i_rdev;
	s64 i_size;
	unsigned int i_nlink;
};
struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	struct super_block *d_sb;
};
struct vfsmount {
	struct dentry *mnt_root;
	int mnt_flags;
};
struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};
struct file {
	unsigned int f_mode;
	void *private_data;
	struct inode *f_inode;
	unsigned int f_flags;
	struct path f_path;
};
struct pipe_inode_info {
	unsigned int head, tail; /* in a union since 6.15 */
	unsigned int max_usage;
	unsigned int ring_size;
	unsigned int readers, writers;
};

/* --- sockets --- */

struct in6_addr {
	union {
		__u8 u6_addr8[16];
		__be32 u6_addr32[4];
	} in6_u;
};
struct kernfs_node {
	u64 id;
	const char *name;
};
struct cgroup;
struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};
struct cgroup_root {
	int hierarchy_id; /* 0: version 2 */
};
struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};
struct css_set {
	struct cgroup_subsys_state *subsys[32];
	struct cgroup *dfl_cgrp;
};
enum cgroup_subsys_id { cpu_cgrp_id = 1, memory_cgrp_id = 4, pids_cgrp_id = 11 };
struct pids_cgroup {
	struct cgroup_subsys_state css;
	atomic64_t counter, limit;
};
struct page_counter {
	atomic_long_t usage;
	unsigned long max;
};
struct mem_cgroup {
	struct cgroup_subsys_state css;
	struct page_counter memory;
};
struct sock_cgroup_data {
	struct cgroup *cgroup; /* 5.15 */
};
struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	unsigned char skc_state;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};
struct socket;
struct sock {
	struct sock_common __sk_common;
	int sk_err;
	struct socket *sk_socket;
	u8 sk_shutdown; /* a bit field before 5.18 */
	u16 sk_type;
	u16 sk_protocol;
	struct sock_cgroup_data sk_cgrp_data;
};
struct socket {
	short type;
	struct sock *sk;
	struct file *file;
};
struct inet_sock {
	__be16 inet_sport;
};
struct tcp_sock {
	u32 segs_out, total_retrans;
	u64 bytes_acked, bytes_received;
};
struct net;
typedef struct {
	struct net *net;
} possible_net_t;
struct hlist_node {
	struct hlist_node *next;
};
struct hlist_head {
	struct hlist_node *first;
};
struct inet_bind_bucket {
	possible_net_t ib_net;
	unsigned short port;
	signed char fastreuse;
	struct hlist_node node;
};
struct inet_bind_hashbucket {
	struct hlist_head chain;
};
struct inet_hashinfo {
	struct inet_bind_hashbucket *bhash;
	unsigned int bhash_size;
};
struct inet_connection_sock {
	__u8 icsk_retransmits;
	struct inet_bind_bucket *icsk_bind_hash;
};
struct sockaddr_un {
	unsigned short sun_family;
	char sun_path[108];
};
struct unix_address {
	int len;
	struct sockaddr_un name[0];
};
struct unix_sock {
	struct unix_address *addr;
	struct sock *peer;
};

/* --- programs --- */

struct linux_binprm {
	struct file *file;
	const char *filename;
	const char *interp;
};
struct kernel_siginfo {
	int si_signo;
	int si_errno;
	int si_code;
	union {
		struct {
			pid_t _pid;
			unsigned int _uid;
		} _kill;
		struct {
			void *_addr;
		} _sigfault;
		struct {
			void *_call_addr;
			int _syscall;
			unsigned int _arch;
		} _sigsys;
	} _sifields;
};

/* --- iterators --- */

struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
	u64 session_id;
	u64 seq_num;
};
struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

/* --- of syscall.bpf.c --- */

struct thread_info {
	unsigned long flags;
#if defined(__TARGET_ARCH_x86)
	u32 status;
#endif
};
struct nsproxy;
struct task_struct___sys {
	struct thread_info thread_info;
	struct nsproxy *nsproxy;
};
struct mm_struct___sys {
	unsigned long start_data;
};
struct ns_common {
	unsigned int inum;
};
struct inet_timewait_death_row {
	struct inet_hashinfo *hashinfo;
};
struct local_ports {
	__u32 range; /* low and high; before 6.8 two numbers */
};
struct netns_ipv4 {
	struct inet_timewait_death_row tcp_death_row;
	struct local_ports ip_local_ports;
};
struct net {
	struct ns_common ns;
	__u32 hash_mix;
	struct netns_ipv4 ipv4;
};
struct local_ports___range {
	int range[2];
};
struct netns_ipv4___range {
	struct local_ports___range ip_local_ports;
};
struct net___range { /* before 6.8 */
	struct netns_ipv4___range ipv4;
};
struct mnt_namespace {
	struct ns_common ns;
};
struct nsproxy {
	struct mnt_namespace *mnt_ns;
};
struct sock_common___sys {
	possible_net_t skc_net;
};
struct sock___sys {
	struct sock_common___sys __sk_common;
};

/* --- of drop.bpf.c and sockets.bpf.c --- */

struct sk_buff_head {
	void *next; /* in a union since 5.16 */
	__u32 qlen;
};
struct refcount_struct {
	atomic_t refs;
};
struct numa_drop_counters { /* 6.18 */
	atomic_t drops0, drops1;
};
struct proto___buf {
	char name[32];
	long *sysctl_mem;
};
struct inode___buf {
	unsigned long i_ino;
};
struct socket_alloc {
	struct socket socket;
	struct inode vfs_inode;
};
struct sock_common___buf {
	struct proto___buf *skc_prot;
};
struct sock___buf {
	struct sock_common___buf __sk_common;
	atomic_t sk_drops;
	struct numa_drop_counters *sk_drop_counters; /* 6.18 */
	struct {
		atomic_t rmem_alloc;
	} sk_backlog;
	int sk_rcvbuf, sk_sndbuf;
	int sk_wmem_queued;
	struct refcount_struct sk_wmem_alloc;
	__u32 sk_ack_backlog, sk_max_ack_backlog;
	struct sk_buff_head sk_receive_queue;
	struct socket *sk_socket;
	unsigned long sk_ino; /* 6.18 */
};
struct request_sock_queue {
	void *rskq_accept_head;
};
struct inet_connection_sock___buf {
	struct request_sock_queue icsk_accept_queue;
	__u8 icsk_retransmits;
	__u8 icsk_pending;
};
struct tcp_sock___buf {
	__u32 rcv_nxt, copied_seq, rcv_wnd, rcv_wup;
	__u32 write_seq, snd_una, snd_wnd;
	__u32 packets_out, total_retrans;
};
struct udp_sock {
	int forward_deficit;
	struct sk_buff_head reader_queue;
};
struct mptcp_sock {
	struct sock *first; /* its TCP socket */
};
struct file_operations;
struct file___buf {
	const struct file_operations *f_op;
};

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif
