/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Whose a cgroup is, by its path. Part of container.bpf.c. */
#ifndef PLACE_BPF_H
#define PLACE_BPF_H

#include "subject.bpf.h"

#define LEVELS 24
#define PART 192     /* of a name */
#define ID_WORDS 8   /* 64 hexadecimal digits */

/* Set by the Go side. */
volatile const __u32 has_scope = 0;       /* only what is below the cgroups in scope is watched */
volatile const __u32 standalone = 0;      /* units and other cgroups are subjects, too */
volatile const __u32 unit_hierarchy = 0;  /* in which they are looked for */
volatile const __u32 place_slots = 2;     /* entries of places; the last one is the iterator's */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} scope SEC(".maps");

/* A candidate on the way up a path. */
struct mark {
	__u64 key;  /* of its cgroup; 0: none */
	__u64 name; /* hash: of a container's digits alone, else of the whole path */
	__u32 path; /* where its path begins */
	__u32 pad;
};

/* What a cgroup's path says, and room to find it out. */
struct place {
	__u32 busy;
	__u32 len;     /* of path */
	__u64 at;      /* struct cgroup that the walk is at */
	struct mark first, last, unit, self; /* innermost and outermost container, innermost unit, the cgroup itself */
	struct mark found;
	__u32 level;
	__u32 decided; /* what is above does not matter any more */
	__u32 nothing; /* a pod's own cgroup, or the scope itself */
	__u32 scoped;
	__u64 id[ID_WORDS];
	__u64 words[PART / 8];
	char path[SUBJECT_PATH * 2];
	struct subject made;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct place);
} places SEC(".maps");

static __always_inline struct place *place_at(__u32 slot)
{
	return bpf_map_lookup_elem(&places, &slot);
}

/* place_claim gives a free slot, or ~0. */
__noinline __u32 place_claim(__u32 slot)
{
	struct place *w;

	for (int i = 0; i < 4; i++, slot++) {
		slot %= place_slots - 1;
		w = place_at(slot);
		if (w && __sync_val_compare_and_swap(&w->busy, 0, 1) == 0)
			return slot;
	}
	return ~0U;
}

static __always_inline void place_release(__u32 slot)
{
	struct place *w = place_at(slot);

	if (w)
		__sync_lock_test_and_set(&w->busy, 0);
}

/* cgroup_key tells cgroups of all hierarchies apart: ids count up from 1 in each, with a generation above
 * 32 bits that nobody will see reach 16. */
static __always_inline __u64 cgroup_key(struct cgroup *g)
{
	return FAR(g, kn, id) | (__u64)(__u32)FAR(g, root, hierarchy_id) << 48;
}

static __always_inline __u64 mix(__u64 h, __u64 w)
{
	h = (h ^ w) * 0x9E3779B97F4A7C15ULL;
	return h ^ h >> 29;
}

/* hex says whether all bytes are 0 to 9 or a to f. */
static __always_inline bool hex(__u64 w)
{
#pragma unroll
	for (int i = 0; i < 8; i++, w >>= 8) {
		__u32 c = w & 0xff;

		if (c - '0' > 9 && c - 'a' > 5)
			return false;
	}
	return true;
}

/* id_of says whether a name of n bytes is a container's: 64 hexadecimal digits, alone or behind a
 * runtime's prefix, which no other cgroup of theirs is as long as, or behind a colon. The digits' hash, or 0. */
__noinline __u64 id_of(__u32 slot, __u64 name, __u32 n)
{
	struct place *w = place_at(slot);
	char before = '-', tail[8] = {};
	__u64 h = 1;

	if (!w || n < 64)
		return 0;
	if (n >= 70) {
		bpf_probe_read_kernel(tail, 6, (void *)name + n - 6);
		if (*(__u64 *)tail == 0x65706f63732eULL) /* ".scope" */
			n -= 6;
	}
	if (n > 64)
		bpf_probe_read_kernel(&before, 1, (void *)name + n - 65);
	switch (n - 64) {
	case 0:
	case 5: /* crio- */
	case 7: /* docker-, libpod- */
	case 8: /* nerdctl- */
	case 15: /* cri-containerd- */
		if (before != '-')
			return 0;
		break;
	default:
		if (before != ':')
			return 0;
	}
	if (bpf_probe_read_kernel(w->id, sizeof(w->id), (void *)name + n - 64))
		return 0;
	for (int i = 0; i < ID_WORDS; i++) {
		if (!hex(w->id[i]))
			return 0;
		h = mix(h, w->id[i]);
	}
	return h ? h : 1;
}

/* ends_with says whether a name of n bytes ends in a suffix of at most 8 bytes. */
static __always_inline bool ends_with(__u64 name, __u32 n, __u64 suffix, __u32 len)
{
	__u64 tail = 0;

	if (n <= len)
		return false;
	bpf_probe_read_kernel(&tail, len, (void *)name + n - len);
	return tail == suffix;
}

#define SLICE 0x6563696c732eULL     /* ".slice" */
#define SCOPE 0x65706f63732eULL     /* ".scope" */
#define SERVICE 0x656369767265732eULL /* ".service" */
#define DASH_POD 0x646f702dULL      /* "-pod" */
#define POD 0x646f70ULL             /* "pod" */

/* is_pod knows the cgroups of pods: "podUID", "…-podUID.slice", where UID has 36 bytes, or 32 of a static pod. */
static __always_inline bool is_pod(__u64 name, __u32 n)
{
	__u64 head = 0;

	if (n == 39 || n == 35) {
		bpf_probe_read_kernel(&head, 3, (void *)name);
		if (head == POD)
			return true;
	}
	if (!ends_with(name, n, SLICE, 6))
		return false;
	n -= 6;
	return ends_with(name, n < 36 ? 0 : n - 36, DASH_POD, 4) || ends_with(name, n < 32 ? 0 : n - 32, DASH_POD, 4);
}

/* place_step looks at one cgroup of a path, from the innermost upward. */
static long place_step(__u32 i, __u32 *at)
{
	__u32 slot = *at, start, n;
	struct place *w = place_at(slot);
	struct cgroup *g, *parent;
	const char *name;
	__u64 key, id;
	long len;

	if (!w)
		return 1;
	g = (struct cgroup *)w->at;
	parent = FAR(g, self.parent, cgroup);
	if (!parent) /* the root has no name */
		return 1;
	key = cgroup_key(g);
	name = FAR(g, kn, name);
	start = w->len;
	if (start >= SUBJECT_PATH)
		return 1;
	len = bpf_probe_read_kernel_str(w->path + start, PART, name);
	if (len <= 1)
		return 1;
	n = len - 1;
	w->len = start + len;
	w->at = (__u64)parent;
	if (has_scope && !w->scoped && bpf_map_lookup_elem(&scope, &key)) {
		w->scoped = w->decided = 1;
		if (w->level == 0)
			w->nothing = 1;
	}
	if (!w->decided) {
		id = id_of(slot, (__u64)name, n);
		if (id) {
			w->last.key = key;
			w->last.name = id;
			w->last.path = start;
			if (!w->first.key)
				w->first = w->last;
		} else if (is_pod((__u64)name, n)) {
			/* The container that Kubernetes knows is the first one below; what is above is another story. */
			w->first = w->last;
			w->decided = 1;
			if (!w->first.key)
				w->nothing = 1;
		} else if (standalone) {
			if (w->level == 0 && !ends_with((__u64)name, n, SLICE, 6))
				w->self.key = key;
			if (!w->unit.key && (ends_with((__u64)name, n, SERVICE, 8) || ends_with((__u64)name, n, SCOPE, 6))) {
				w->unit.key = key;
				w->unit.path = start;
			}
		}
	}
	if (standalone) {
		__builtin_memset(w->words, 0, sizeof(w->words));
		bpf_probe_read_kernel_str(w->words, PART, name);
		id = 1;
		for (int k = 0; k < PART / 8; k++)
			id = mix(id, w->words[k]);
		w->self.name = mix(w->self.name, id);
		if (w->unit.key)
			w->unit.name = mix(w->unit.name, id);
	}
	w->level++;
	return 0;
}

/* find_place finds whose a cgroup is by its path: found in the slot, and 1; 0 where it is nobody's. */
__noinline int find_place(__u32 slot, __u64 cgroup)
{
	struct place *w = place_at(slot);
	struct cgroup *g = (struct cgroup *)cgroup;

	if (!w)
		return 0;
	w->at = cgroup;
	__builtin_memset(&w->first, 0, 5 * sizeof(struct mark));
	w->len = w->level = w->decided = w->nothing = w->scoped = 0;
	bpf_loop(LEVELS, place_step, &slot, 0);
	if (w->nothing || (has_scope && !w->scoped))
		return 0;
	if (w->first.key)
		w->found = w->first;
	else if (!standalone || (__u32)FAR(g, root, hierarchy_id) != unit_hierarchy)
		return 0;
	else if (w->unit.key)
		w->found = w->unit;
	else
		w->found = w->self;
	return w->found.key != 0;
}

#endif
