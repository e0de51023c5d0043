/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The object of an access: which file it is, and what it is called. */
#ifndef AEGIS_OBJECT_H
#define AEGIS_OBJECT_H

#include "filter.h"
#include "health.h"

#define WALK_COMPONENTS 24

/* The no-match path: one byte of the table, nothing before it. */
static __always_inline u32 may_match(u64 ino)
{
	return filter_byte(ino) & (FILTER_FILE | FILTER_SIEVED | FILTER_BOUND);
}

/*
 * After that, before anything is looked up: does the sieve say that no rule is about this inode? `perhaps` is what
 * may_match said. The upper half of the product depends on every bit of the number, so what has the filter's bits in
 * common is spread over the whole sieve.
 */
static __always_inline int is_ruled_out(u64 ino, u32 perhaps)
{
	struct sieve_row *bits;
	u64 place;
	u32 row;

	if (!(perhaps & FILTER_SIEVED) || perhaps & FILTER_BOUND)
		return 0;
	asm volatile("" : "+r"(ino)); /* or clang does what follows for those who need it not, too */
	place = ino * SIEVE_FACTOR >> 32;
	row = place / SIEVE_ROW_BITS & (((struct bpf_map *)&sieve)->max_entries - 1);
	bits = bpf_map_lookup_elem(&sieve, &row);
	return bits && !(bits->words[place / 64 % (SIEVE_ROW_BITS / 64)] >> place % 64 & 1);
}

/* Identity of an open file, read through pointers that the verifier does not trust. 1 if a rule may be about it. */
static __always_inline int identify(struct file *file, struct object_key *key, u32 *generation)
{
	struct inode *inode;
	struct super_block *sb;
	unsigned long ino;
	u32 perhaps;

	if (read_field(inode, file->f_inode) || read_field(ino, inode->i_ino))
		return -1;
	key->ino = ino;
	key->kind = OBJECT_FILE;
	perhaps = may_match(ino);
	if (!perhaps || is_ruled_out(ino, perhaps))
		return 0; /* the device costs two more reads; without a match nobody asks for it */
	if (read_field(sb, inode->i_sb) || read_field(key->dev, sb->s_dev) ||
	    read_field(*generation, inode->i_generation))
		return -1;
	return 1;
}

/*
 * The file behind a descriptor of the calling process. The kernel's type information lets the first steps be
 * plain loads; only from the array of descriptors on does each step need a helper. 0 if there is none.
 */
static __always_inline struct file *file_of(long fd)
{
	struct file **slots = bpf_get_current_task_btf()->files->fdt->fd, *file;

	return bpf_probe_read_kernel(&file, sizeof(file), slots + fd) ? 0 : file;
}

/*
 * The same by plain loads alone, for a descriptor among the first of a process that never had more: their array is part of a
 * structure whose type the kernel knows, and it lets such fields be loaded one by one, though none by a number that the
 * verifier does not know. Each helper saved is some 30 ns where returns are guarded against speculation. 0: not such
 * a descriptor, or none at all.
 */
static __always_inline struct file *near_file(long fd)
{
	struct files_struct *files = bpf_get_current_task_btf()->files;

	/* Else the kernel has moved the array to where it had room. */
	if (files->fdt->max_fds > NEAR_FDS)
		return 0;
#define ONE(n) case n: return files->fd_array[n];
#define EIGHT(n) ONE(n) ONE(n + 1) ONE(n + 2) ONE(n + 3) ONE(n + 4) ONE(n + 5) ONE(n + 6) ONE(n + 7)
	switch (fd) {
	EIGHT(0)
	EIGHT(8)
	EIGHT(16)
	EIGHT(24)
	EIGHT(32)
	EIGHT(40)
	EIGHT(48)
	EIGHT(56)
	}
#undef EIGHT
#undef ONE
	return 0;
}

/*
 * Does a file system with this magic number keep the generation of an inode as long as the inode itself? Others
 * make one up whenever they read an inode, or have none. The ones that are kept only in memory never leave it.
 */
static __always_inline int keeps_generation(unsigned long magic)
{
	return magic == 0xef53 /* ext4 */ || magic == 0x58465342 /* xfs */ || magic == 0x9123683e /* btrfs */ ||
	       magic == 0xf2f52010 /* f2fs */ || magic == 0x01021994 /* tmpfs */ || magic == 0x858458f6 /* ramfs */;
}

/*
 * Which file a descriptor of the caller stands for, as the hooks will see it: stat(2) tells another device on
 * btrfs and on overlays. Run by TEST_RUN in the enforcer's own context.
 */
static __always_inline int tell_identity(long fd)
{
	struct file *file = file_of(fd);
	struct file_identity *answer;
	struct inode *inode;
	struct super_block *sb;
	unsigned long ino, magic;
	u32 zero = 0;

	answer = bpf_map_lookup_elem(&identity, &zero);
	if (!answer || !file)
		return -1;
	if (read_field(inode, file->f_inode) || read_field(ino, inode->i_ino) || read_field(sb, inode->i_sb) ||
	    read_field(answer->dev, sb->s_dev) || read_field(magic, sb->s_magic) ||
	    read_field(answer->generation, inode->i_generation))
		return -1;
	answer->ino = ino;
	answer->keeps_generation = keeps_generation(magic);
	return 0;
}

/*
 * The path by hand, for programs that may not call d_path: names from the file up to the root of the
 * mount tree, each ended by a NUL. Without locks: a rename meanwhile can give a mixed path, never a
 * fault. Each name is read with a fixed size into a buffer that has that much room behind the last
 * allowed offset, so the verifier needs no variable sizes. The offset lives in the event, not in a
 * register: there the verifier forgets its value, sees that one round is like another, and is done in a
 * fraction of the time (a load under emulation: 1.3 s, not 19 s).
 */
static __always_inline void walk_path(struct file *file, struct event *event)
{
	struct dentry *dentry, *parent, *root;
	struct vfsmount *vfsmount;
	struct mount *mount, *above;
	const unsigned char *name;
	u64 offset;
	long len;
	int i;

	event->path_form = PATH_NONE;
	if (read_field(dentry, file->f_path.dentry) || read_field(vfsmount, file->f_path.mnt))
		return;
	mount = (void *)vfsmount - __builtin_preserve_field_info(((struct mount *)0)->mnt, 0);
	if (read_field(root, mount->mnt.mnt_root))
		return;
	event->path_form = PATH_PARTIAL;
#pragma clang loop unroll(disable)
	for (i = 0; i < WALK_COMPONENTS; i++) {
		if (dentry == root) {
			if (read_field(above, mount->mnt_parent))
				return;
			if (above == mount) { /* the root of the name space: the path is whole */
				event->path_form = PATH_COMPONENTS;
				return;
			}
			if (read_field(dentry, mount->mnt_mountpoint))
				return;
			mount = above;
			if (read_field(root, mount->mnt.mnt_root))
				return;
			continue;
		}
		if (read_field(parent, dentry->d_parent) || read_field(name, dentry->d_name.name))
			return;
		if (parent == dentry) /* a root that is mounted nowhere we can see: a pipe, a memfd */
			return;
		offset = *(volatile u16 *)&event->path_len;
		if (offset > PATH_BYTES - NAME_BYTES)
			return;
		len = bpf_probe_read_kernel_str(&event->path[offset], NAME_BYTES, name);
		if (len < 1 || len >= NAME_BYTES)
			return;
		event->path_len = offset + len;
		dentry = parent;
	}
}

#endif
