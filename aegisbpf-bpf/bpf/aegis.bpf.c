// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The `lsm` backend: programs on the kernel's security hooks, which may refuse. */
#include "lsm.h"
#include "exec.h"
#include "socket.h"
#include "toggles.h"
#include "files.h"
#include "below.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("lsm/file_open")
int file_open(u64 *ctx)
{
	return lsm_file_open((struct file *)ctx[0]);
}

SEC("lsm/bprm_check_security")
int exec_name(u64 *ctx)
{
	return on_exec((struct linux_binprm *)ctx[0]);
}

SEC("lsm/socket_bind")
int socket_bind(u64 *ctx)
{
	return lsm_socket_bind((struct socket *)ctx[0], (struct sockaddr *)ctx[1], ctx[2]);
}

SEC("lsm/socket_connect")
int socket_connect(u64 *ctx)
{
	return lsm_socket_connect((struct socket *)ctx[0], (struct sockaddr *)ctx[1], ctx[2]);
}

SEC("lsm/socket_listen")
int socket_listen(u64 *ctx)
{
	return lsm_socket_listen((struct socket *)ctx[0]);
}

SEC("lsm/socket_accept")
int socket_accept(u64 *ctx)
{
	return lsm_socket_accept((struct socket *)ctx[0]);
}

SEC("lsm/socket_sendmsg")
int socket_sendmsg(u64 *ctx)
{
	return lsm_socket_sendmsg((struct socket *)ctx[0], (struct msghdr *)ctx[1]);
}

SEC("lsm/socket_recvmsg")
int socket_recvmsg(u64 *ctx)
{
	return lsm_socket_recvmsg((struct socket *)ctx[0]);
}

SEC("lsm/ptrace_access_check")
int ptrace_access_check(u64 *ctx)
{
	return lsm_ptrace_access_check((struct task_struct *)ctx[0], ctx[1]);
}

SEC("lsm/ptrace_traceme")
int ptrace_traceme(u64 *ctx)
{
	return lsm_ptrace_traceme((struct task_struct *)ctx[0]);
}

SEC("lsm/kernel_read_file")
int kernel_read_file(u64 *ctx)
{
	return lsm_kernel_read_file(ctx[1]);
}

SEC("lsm/kernel_load_data")
int kernel_load_data(u64 *ctx)
{
	return lsm_kernel_load_data(ctx[0]);
}

SEC("lsm/bpf")
int call_bpf(u64 *ctx)
{
	return lsm_bpf();
}

SEC("lsm/mmap_file")
int mmap_file(u64 *ctx)
{
	return lsm_mmap_file(ctx);
}

SEC("lsm/path_truncate")
int path_truncate(u64 *ctx)
{
	return lsm_path((struct path *)ctx[0], OPERATION_TRUNCATE);
}

SEC("lsm/file_truncate")
int file_truncate(u64 *ctx)
{
	return lsm_file((struct file *)ctx[0], OPERATION_TRUNCATE);
}

SEC("lsm/path_chmod")
int path_chmod(u64 *ctx)
{
	return lsm_path((struct path *)ctx[0], OPERATION_CHMOD);
}

SEC("lsm/path_chown")
int path_chown(u64 *ctx)
{
	return lsm_path((struct path *)ctx[0], OPERATION_CHOWN);
}

SEC("lsm/inode_setxattr")
int inode_setxattr(u64 *ctx)
{
	return lsm_dentry((struct dentry *)ctx[1], OPERATION_SETXATTR);
}

SEC("lsm/inode_removexattr")
int inode_removexattr(u64 *ctx)
{
	return lsm_dentry((struct dentry *)ctx[1], OPERATION_SETXATTR);
}

SEC("lsm/inode_set_acl")
int inode_set_acl(u64 *ctx)
{
	return lsm_dentry((struct dentry *)ctx[1], OPERATION_SETXATTR);
}

SEC("lsm/inode_remove_acl")
int inode_remove_acl(u64 *ctx)
{
	return lsm_dentry((struct dentry *)ctx[1], OPERATION_SETXATTR);
}

SEC("lsm/inode_link")
int inode_link(u64 *ctx)
{
	return lsm_inode_link((struct dentry *)ctx[0], (struct inode *)ctx[1], (struct dentry *)ctx[2]);
}

SEC("lsm/inode_unlink")
int inode_unlink(u64 *ctx)
{
	return lsm_dentry((struct dentry *)ctx[1], OPERATION_UNLINK);
}

SEC("lsm/inode_rmdir")
int inode_rmdir(u64 *ctx)
{
	return lsm_inode_rmdir((struct inode *)ctx[0], (struct dentry *)ctx[1]);
}

SEC("lsm/inode_rename")
int inode_rename(u64 *ctx)
{
	return lsm_inode_rename((struct inode *)ctx[0], (struct dentry *)ctx[1], (struct inode *)ctx[2], (struct dentry *)ctx[3]);
}

/* As `inode_rename`, where security_inode_rename itself is modified. */
SEC("lsm/inode_rename")
int modify_rename(u64 *ctx)
{
	return security_inode_rename((struct inode *)ctx[0], (struct dentry *)ctx[1], (struct inode *)ctx[2], (struct dentry *)ctx[3], ctx[4]);
}

SEC("lsm/inode_create")
int inode_create(u64 *ctx)
{
	return lsm_inode_create((struct inode *)ctx[0], (struct dentry *)ctx[1]);
}

SEC("lsm/inode_symlink")
int inode_symlink(u64 *ctx)
{
	return lsm_inode_create((struct inode *)ctx[0], (struct dentry *)ctx[1]);
}

SEC("lsm/inode_mkdir")
int inode_mkdir(u64 *ctx)
{
	return lsm_inode_create((struct inode *)ctx[0], (struct dentry *)ctx[1]);
}

SEC("lsm/inode_mknod")
int inode_mknod(u64 *ctx)
{
	return lsm_inode_create((struct inode *)ctx[0], (struct dentry *)ctx[1]);
}

SEC("lsm/d_instantiate")
int d_instantiate(u64 *ctx)
{
	return lsm_d_instantiate((struct dentry *)ctx[0], (struct inode *)ctx[1]);
}

SEC("lsm/inode_free_security")
int inode_free_security(u64 *ctx)
{
	return lsm_inode_free((struct inode *)ctx[0]);
}

SEC("lsm/sb_mount")
int sb_mount(u64 *ctx)
{
	return lsm_mount((struct path *)ctx[1]);
}

SEC("lsm/move_mount")
int move_mount(u64 *ctx)
{
	return lsm_mount((struct path *)ctx[1]);
}

/* The same hooks where the policy has rules about all below a directory. */

SEC("lsm/file_open")
int file_open_below(u64 *ctx)
{
	return lsm_file_open_below((struct file *)ctx[0]);
}

SEC("lsm/mmap_file")
int mmap_file_below(u64 *ctx)
{
	return lsm_mmap_file_below(ctx);
}

SEC("lsm/path_truncate")
int path_truncate_below(u64 *ctx)
{
	return lsm_path_below((struct path *)ctx[0], OPERATION_TRUNCATE);
}

SEC("lsm/file_truncate")
int file_truncate_below(u64 *ctx)
{
	return lsm_file_below((struct file *)ctx[0], OPERATION_TRUNCATE);
}

SEC("lsm/path_chmod")
int path_chmod_below(u64 *ctx)
{
	return lsm_path_below((struct path *)ctx[0], OPERATION_CHMOD);
}

SEC("lsm/path_chown")
int path_chown_below(u64 *ctx)
{
	return lsm_path_below((struct path *)ctx[0], OPERATION_CHOWN);
}

SEC("lsm/inode_setxattr")
int inode_setxattr_below(u64 *ctx)
{
	return lsm_dentry_below((struct dentry *)ctx[1], OPERATION_SETXATTR);
}

SEC("lsm/inode_removexattr")
int inode_removexattr_below(u64 *ctx)
{
	return lsm_dentry_below((struct dentry *)ctx[1], OPERATION_SETXATTR);
}

SEC("lsm/inode_set_acl")
int inode_set_acl_below(u64 *ctx)
{
	return lsm_dentry_below((struct dentry *)ctx[1], OPERATION_SETXATTR);
}

SEC("lsm/inode_remove_acl")
int inode_remove_acl_below(u64 *ctx)
{
	return lsm_dentry_below((struct dentry *)ctx[1], OPERATION_SETXATTR);
}

SEC("lsm/inode_link")
int inode_link_below(u64 *ctx)
{
	return lsm_inode_link_below((struct dentry *)ctx[0], (struct inode *)ctx[1], (struct dentry *)ctx[2]);
}

SEC("lsm/inode_unlink")
int inode_unlink_below(u64 *ctx)
{
	return lsm_dentry_below((struct dentry *)ctx[1], OPERATION_UNLINK);
}

SEC("lsm/inode_rmdir")
int inode_rmdir_below(u64 *ctx)
{
	return lsm_inode_rmdir_below((struct inode *)ctx[0], (struct dentry *)ctx[1]);
}

SEC("lsm/inode_rename")
int inode_rename_below(u64 *ctx)
{
	return lsm_inode_rename_below((struct inode *)ctx[0], (struct dentry *)ctx[1], (struct inode *)ctx[2], (struct dentry *)ctx[3]);
}

SEC("lsm/inode_rename")
int modify_rename_below(u64 *ctx)
{
	return security_inode_rename_below((struct inode *)ctx[0], (struct dentry *)ctx[1], (struct inode *)ctx[2], (struct dentry *)ctx[3], ctx[4]);
}

SEC("lsm/inode_create")
int inode_create_below(u64 *ctx)
{
	return lsm_inode_create_below((struct inode *)ctx[0], (struct dentry *)ctx[1]);
}

SEC("lsm/inode_symlink")
int inode_symlink_below(u64 *ctx)
{
	return lsm_inode_create_below((struct inode *)ctx[0], (struct dentry *)ctx[1]);
}

SEC("lsm/inode_mkdir")
int inode_mkdir_below(u64 *ctx)
{
	return lsm_inode_create_below((struct inode *)ctx[0], (struct dentry *)ctx[1]);
}

SEC("lsm/inode_mknod")
int inode_mknod_below(u64 *ctx)
{
	return lsm_inode_create_below((struct inode *)ctx[0], (struct dentry *)ctx[1]);
}

SEC("lsm/inode_free_security")
int inode_free_security_below(u64 *ctx)
{
	return lsm_inode_free_below((struct inode *)ctx[0]);
}

SEC("lsm/sb_mount")
int sb_mount_below(u64 *ctx)
{
	return lsm_mount_below((struct path *)ctx[1]);
}

SEC("lsm/move_mount")
int move_mount_below(u64 *ctx)
{
	return lsm_mount_below((struct path *)ctx[1]);
}

/* Attached only to price the others: the cost of a hook that does nothing. */
SEC("lsm/file_open")
int empty(u64 *ctx)
{
	return 0;
}

/* As `empty`, for the price of the network rules. */
SEC("lsm/socket_connect")
int empty_connect(u64 *ctx)
{
	return 0;
}

/* Never attached: run once by the enforcer, which is never denied. Gives its process id as the programs see it. */
SEC("raw_tp/whoami")
int whoami(u64 *ctx)
{
	return become_self();
}

/* Never attached: run by the enforcer to change the filter. ctx: how many changes. */
SEC("raw_tp/patch_filter")
int patch_filter(u64 *ctx)
{
	return apply_patches(ctx[0]);
}

/* Never attached: run by the enforcer to learn a file's identity. ctx: descriptor. */
SEC("raw_tp/identify")
int identify_file(u64 *ctx)
{
	return tell_identity(ctx[0]);
}
