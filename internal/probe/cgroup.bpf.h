/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Which of the cgroups that a task is in, from its own upward, has used up a limit. */
#ifndef CGROUP_BPF_H
#define CGROUP_BPF_H

#include "descry.bpf.h"

#define CGROUP_LEVELS 8
#define CGROUP_NAME 48

struct full_cgroup {
	__u64 used, max; /* 0: no level is full */
	__u32 above;     /* levels above the task's own */
	__u32 pad;
	char name[2][CGROUP_NAME]; /* its parent's and its own */
};

/* css_of is what a controller keeps of a task's cgroup. */
static __always_inline struct cgroup_subsys_state *css_of(struct task_struct *t, __u32 controller)
{
	struct css_set *set = FAR(t, cgroups);
	struct cgroup_subsys_state *css = NULL;

	bpf_probe_read_kernel(&css, sizeof(css), (void *)set + bpf_core_field_offset(struct css_set, subsys) +
		(controller & 31) * sizeof(css));
	return css;
}

/*
 * find_full finds the lowest level whose counter has come to its limit. Both stand at some distance
 * from the css; slack is how far below the limit a counter may be at which something is refused.
 */
static __always_inline void find_full(struct full_cgroup *f, struct cgroup_subsys_state *css,
				      __u32 used_at, __u32 max_at, __u64 slack)
{
	struct cgroup_subsys_state *parent;
	__u64 used, max, near;

	f->used = f->max = 0;
	f->above = f->pad = 0;
	f->name[0][0] = f->name[1][0] = 0;
	/* Not unrolled: each member that is named costs the loader a search of the kernel's types. */
	for (int i = 0; i < CGROUP_LEVELS && css; i++) {
		parent = FAR(css, parent);
		if (!parent) /* the root has no limit */
			return;
		used = max = 0;
		bpf_probe_read_kernel(&used, sizeof(used), (void *)css + used_at);
		bpf_probe_read_kernel(&max, sizeof(max), (void *)css + max_at);
		near = slack ? slack + (max >> 6) : 0;
		if (used + near >= max && max) {
			f->used = used;
			f->max = max;
			f->above = i;
			bpf_probe_read_kernel_str(f->name[1], CGROUP_NAME, FAR(css, cgroup, kn, name));
			bpf_probe_read_kernel_str(f->name[0], CGROUP_NAME, FAR(parent, cgroup, kn, name));
			return;
		}
		css = parent;
	}
}

#endif
