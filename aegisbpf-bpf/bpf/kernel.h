/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel as we see it: the few structures that we read, the helpers that we call, and the words
 * that the loader understands. Declared here by hand, so that a build needs no header of the machine
 * it runs on and gives the same bytes everywhere. CO-RE finds the fields on the running kernel.
 */
#ifndef AEGIS_KERNEL_H
#define AEGIS_KERNEL_H

#include "abi.h"

#define SEC(name) __attribute__((section(name), used))
#define __always_inline inline __attribute__((always_inline))
#define __noinline __attribute__((noinline))
#define __core __attribute__((preserve_access_index))

#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define __array(name, val) typeof(val) *name[]

/* include/uapi/linux/bpf.h: enum bpf_map_type and flags */
#define BPF_MAP_TYPE_HASH 1
#define BPF_MAP_TYPE_ARRAY 2
#define BPF_MAP_TYPE_PERCPU_HASH 5
#define BPF_MAP_TYPE_PERCPU_ARRAY 6
#define BPF_MAP_TYPE_LPM_TRIE 11
#define BPF_MAP_TYPE_ARRAY_OF_MAPS 12
#define BPF_MAP_TYPE_RINGBUF 27
#define BPF_F_NO_PREALLOC 1
#define BPF_ANY 0
#define BPF_NOEXIST 1
#define BPF_RB_NO_WAKEUP 1
#define BPF_RB_FORCE_WAKEUP 2
#define BPF_RB_AVAIL_DATA 0
#define BPF_RB_RING_SIZE 1

#define EPERM 1
#define EEXIST 17

#define htons(number) __builtin_bswap16(number) /* the objects are little-endian */
#define ntohs(number) __builtin_bswap16(number)

/* include/linux/fs.h */
#define FMODE_EXEC_FLAG 0x20 /* __FMODE_EXEC, set in f_flags by execve */
#define FMODE_PATH 0x4000

/* include/linux/dcache.h: a file was opened by a handle, and nobody has looked yet where it lies */
#define DCACHE_DISCONNECTED 0x20

/* NR_OPEN_DEFAULT in include/linux/fdtable.h: so many descriptors every process has room for (BITS_PER_LONG). */
#define NEAR_FDS 64

#define RENAME_EXCHANGE 2
#define S_IFMT 0170000
#define S_IFDIR 0040000
#define S_IFLNK 0120000

struct bpf_map {
	u32 max_entries;
} __core;

struct super_block {
	u32 s_dev;
	unsigned long s_magic;
} __core;

struct inode {
	unsigned short i_mode;
	unsigned long i_ino;
	struct super_block *i_sb;
	u32 i_nlink;
	u32 i_generation;
} __core;

struct qstr {
	u32 len;
	const unsigned char *name;
} __core;

struct dentry {
	u32 d_flags;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
} __core;

struct vfsmount {
	struct dentry *mnt_root;
} __core;

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
} __core;

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
} __core;

struct file {
	struct path f_path;
	struct inode *f_inode;
	u32 f_flags;
	u32 f_mode;
} __core;

struct fdtable {
	u32 max_fds;
	struct file **fd;
} __core;

struct files_struct {
	struct fdtable *fdt;
	struct file *fd_array[NEAR_FDS];
} __core;

struct mm_struct {
	struct file *exe_file;
} __core;

struct task_struct {
	u32 pid;
	u32 tgid;
	u64 start_boottime;
	struct task_struct *group_leader;
	struct files_struct *files;
	struct mm_struct *mm;
	char comm[COMM_BYTES];
} __core;

struct linux_binprm {
	struct file *file;
} __core;

/* What a sys_exit tracepoint hands to its program (events/syscalls/sys_exit_openat/format). */
struct sys_exit {
	u64 common;
	long nr;
	long ret;
};

struct in6_addr {
	union {
		u32 u6_addr32[4];
	} in6_u;
} __core;

struct sock_common {
	u32 skc_daddr;
	u32 skc_rcv_saddr;
	u16 skc_dport;
	u16 skc_num;
	u16 skc_family;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
} __core;

struct sock {
	struct sock_common __sk_common;
	u16 sk_type;
	u16 sk_protocol;
} __core;

struct socket {
	struct sock *sk;
} __core;

struct msghdr {
	void *msg_name;
	int msg_namelen;
	u32 msg_flags;
} __core;

/* include/uapi/linux/socket.h: its layout never changes, and programs may load it byte by byte. */
struct sockaddr {
	u16 sa_family;
	u8 sa_data[14];
};

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static u64 (*bpf_get_current_pid_tgid)(void) = (void *)14;
static u64 (*bpf_get_current_uid_gid)(void) = (void *)15;
static long (*bpf_get_current_comm)(void *buf, u32 size) = (void *)16;
static u64 (*bpf_get_current_cgroup_id)(void) = (void *)80;
static long (*bpf_probe_read_kernel)(void *dst, u32 size, const void *from) = (void *)113;
static long (*bpf_probe_read_kernel_str)(void *dst, u32 size, const void *from) = (void *)115;
static u64 (*bpf_get_current_ancestor_cgroup_id)(int level) = (void *)123;
static u64 (*bpf_ktime_get_boot_ns)(void) = (void *)125;
static void *(*bpf_ringbuf_reserve)(void *map, u64 size, u64 flags) = (void *)131;
static void (*bpf_ringbuf_submit)(void *data, u64 flags) = (void *)132;
static u64 (*bpf_ringbuf_query)(void *map, u64 flags) = (void *)134;
static struct task_struct *(*bpf_get_current_task_btf)(void) = (void *)158;
static long (*bpf_loop)(u32 rounds, void *body, void *context, u64 flags) = (void *)181;
static long (*bpf_d_path)(struct path *path, char *buf, u32 size) = (void *)147;

/* Reads a field through a pointer that the verifier does not trust. 0 on success. */
#define read_field(dst, place) \
	((int)bpf_probe_read_kernel(&(dst), sizeof(dst), __builtin_preserve_access_index(&(place))))

/* A pointer as a number, which the verifier does not follow. */
static __always_inline u64 number_of(const void *pointer)
{
	u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), &pointer);
	return number;
}

#endif
