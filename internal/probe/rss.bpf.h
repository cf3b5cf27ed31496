/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Resident memory of a process. */
#ifndef RSS_BPF_H
#define RSS_BPF_H

#include "descry.bpf.h"

/* rss_pages sums file, anonymous and shared pages; what processors have not yet added is left out. */
static __always_inline __u64 rss_pages(struct mm_struct *mm)
{
	__s64 n = 0;

	if (!mm)
		return 0;
	if (bpf_core_type_exists(struct mm_rss_stat)) { /* before 6.2 */
		struct mm_struct___v61 *old = (void *)mm;

		n += BPF_CORE_READ(old, rss_stat.count[0].counter);
		n += BPF_CORE_READ(old, rss_stat.count[1].counter);
		n += BPF_CORE_READ(old, rss_stat.count[3].counter);
	} else {
		n += BPF_CORE_READ(mm, rss_stat[0].count);
		n += BPF_CORE_READ(mm, rss_stat[1].count);
		n += BPF_CORE_READ(mm, rss_stat[3].count);
	}
	return n > 0 ? n : 0;
}

/* rss_near is rss_pages by plain loads, for the iterators, which may, and which do it often. */
static __always_inline __u64 rss_near(struct mm_struct *mm)
{
	__s64 n;

	if (bpf_core_type_exists(struct mm_rss_stat)) /* 6.1's verifier finds no member behind a typedef in an array */
		return rss_pages(mm);
	n = mm->rss_stat[0].count + mm->rss_stat[1].count + mm->rss_stat[3].count;
	return n > 0 ? n : 0;
}

#endif
