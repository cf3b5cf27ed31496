/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * TCP sockets that the tree connects, from connect() to their end. The connect is seen in the process
 * that makes it; what comes of it may be seen in any context.
 */
#ifndef CONNECT_BPF_H
#define CONNECT_BPF_H

#include "descry.bpf.h"

struct tcp_conn {
	__u64 start_ns;   /* connect() */
	__u64 made_ns;    /* 0: not connected */
	__u64 failed_ns;  /* 0: not failed */
	__u32 pid, tid;   /* who connects, as descry sees them */
	__u32 subject;
	__u32 pad;
	__s32 err;        /* that it failed with */
	__u32 wait;       /* connect() waits: the socket blocks */
	char comm[COMM_LEN];
};

/* Key: struct sock. One whose connect failed stays until the system call was told of the failure, or
 * the kernel uses the address again. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct tcp_conn);
} tcp_conns SEC(".maps");

#endif
