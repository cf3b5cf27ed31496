/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Calls on files that were refused: no space, no right, a read-only or failing file system. */
#ifndef FILE_REFUSED_BPF_H
#define FILE_REFUSED_BPF_H

#include "file.bpf.h"
#include "write.bpf.h"

#define S_IFCHR 0020000
#define S_IFBLK 0060000

struct file_event {
	struct event_header h;
	__u32 nr;
	__s32 err;
	__u64 count; /* alike ones before and with it */
	__u64 lost;  /* bytes not taken, of all these */
	__u64 asked; /* of a write */
	__s32 fd;    /* -1: none */
	__u32 uid, gid; /* that the kernel judged it by */
	__u32 mnt_ns;
	__u64 caps;  /* effective */
	__u64 root_ino;
	__u32 root_dev;
	__u32 mnt_flags; /* this and the next three: of what is described */
	__u32 sb_flags;
	__u32 arg; /* flags of open, mode of access */
	char fs_type[16];
	char path[256]; /* that was asked for */
	struct fd_desc is; /* the file behind the descriptor, or the directory that a relative path starts at */
};
EVENT(file_event)

/* of_file says whether err is one that the table of files is asked about. */
static __always_inline bool of_file(__u32 err)
{
	return err == EDQUOT ||
	       (err < 32 && (1U << EPERM | 1U << EIO | 1U << EACCES | 1U << ENOSPC | 1U << EROFS) >> err & 1);
}

static __noinline __u64 bytes_asked(void *regs, __u32 class) { return asked_of(regs, class); }

/* describe_at is describe for a place in the tree of files. */
__noinline int describe_at(struct fd_desc *d, __u64 place)
{
	struct path *p = (struct path *)place;
	struct inode *i;

	if (!d)
		return 0;
	__builtin_memset(d, 0, sizeof(*d));
	i = BPF_CORE_READ(p, dentry, d_inode);
	d->kind.mode = BPF_CORE_READ(i, i_mode);
	d->kind.ino = BPF_CORE_READ(i, i_ino);
	d->kind.magic = BPF_CORE_READ(i, i_sb, s_magic);
	d->dev = BPF_CORE_READ(i, i_sb, s_dev);
	path_of(d, p);
	return 0;
}

/* speaks says whether an error of a call on that kind of file is about files: sockets and terminals have the same errors. */
static __always_inline bool speaks(__u16 mode, __u32 err)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFBLK:
		return true;
	case S_IFCHR:
		return err == ENOSPC; /* /dev/full, devices with an end */
	}
	return false;
}

CALL_END(syscall_file, regs, ret)
{
	__u32 nr = call_nr(regs), c = call_of(nr), err = -ret;
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct count_key k = {.type = EV_FILE, .nr = nr, .err = err};
	struct fs_struct *fs = FAR(task, fs);
	struct path *at = NULL;
	struct count_value *v;
	const struct cred *cred;
	struct file *f = NULL;
	struct file_event *e;
	struct super_block *sb;
	__u64 asked = 0, n;
	__s32 fd = -1;
	struct proc *p = looked();
	__u8 first = 0;

	if (!p || !fs)
		return 0;
	if (CALL_PATH(c)) {
		__u64 name = arg(regs, CALL_PATH(c));

		if (c & CALL_SOCKADDR) {
			__u16 family = 0;

			bpf_probe_read_user(&family, sizeof(family), (void *)name);
			if (family != AF_UNIX)
				return 0;
			name += sizeof(family);
		} else if (CALL_PATH(c) > 1 && (c & CALL_FD || CALL_PATH(c) == 3)) {
			fd = CALL_PATH(c) == 3 ? arg2(regs) : arg1(regs);
		}
		bpf_probe_read_user(&first, 1, (void *)name);
		if (!first && c & CALL_SOCKADDR) /* abstract: no file */
			return 0;
		if (fd >= 0)
			f = (struct file *)file_of(fd);
		if (f)
			at = __builtin_preserve_access_index(&f->f_path);
		else if (first != '/')
			at = __builtin_preserve_access_index(&fs->pwd);
		if (first == '/')
			at = NULL;
	} else {
		fd = c & CALL_OUT3 ? arg3(regs) : c & CALL_FD ? arg1(regs) : arg5(regs);
		f = (struct file *)file_of(fd);
		if (f) {
			if (!speaks(FAR(f, f_inode, i_mode), err))
				return 0;
			at = __builtin_preserve_access_index(&f->f_path);
		} else if (CALL_CLASS(c) != C_CLOSE) {
			return 0;
		}
		asked = bytes_asked(regs, CALL_CLASS(c));
	}
	k.pid = p->pid;
	k.subject = p->subject;
	n = count(&k, asked);
	if (n >= 3)
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_lost(EV_FILE);
		return 0;
	}
	fill(&e->h, EV_FILE, p);
	e->nr = nr;
	e->err = err;
	e->count = n + 1;
	v = bpf_map_lookup_elem(&counts, &k);
	e->lost = v ? v->sum : 0;
	e->asked = asked;
	e->fd = fd;
	e->arg = arg(regs, CALL_ARG(c));
	cred = FAR(task, cred);
	e->uid = FAR(cred, fsuid.val);
	e->gid = FAR(cred, fsgid.val);
	e->caps = 0;
	bpf_probe_read_kernel(&e->caps, sizeof(e->caps), __builtin_preserve_access_index(&cred->cap_effective));
	e->mnt_ns = FAR((struct task_struct___sys *)task, nsproxy, mnt_ns, ns.inum);
	e->root_ino = FAR(fs, root.dentry, d_inode, i_ino);
	e->root_dev = FAR(fs, root.dentry, d_sb, s_dev);
	e->mnt_flags = e->sb_flags = 0;
	__builtin_memset(e->fs_type, 0, sizeof(e->fs_type));
	e->path[0] = 0;
	if (CALL_PATH(c))
		bpf_probe_read_user_str(e->path, sizeof(e->path), (void *)(arg(regs, CALL_PATH(c)) + (c & CALL_SOCKADDR ? 2 : 0)));
	if (at) {
		sb = FAR(at, dentry, d_sb);
		e->sb_flags = FAR(sb, s_flags);
		e->mnt_flags = FAR(at, mnt, mnt_flags);
		bpf_probe_read_kernel_str(e->fs_type, sizeof(e->fs_type), FAR(sb, s_type, name));
		describe_at(&e->is, (__u64)at);
	} else {
		__builtin_memset(&e->is, 0, sizeof(e->is));
	}
	bpf_ringbuf_submit(e, 0);
	return 0;
}

#endif
