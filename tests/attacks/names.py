"""The attacks, in the order in which they run and are printed."""

__all__ = ["ATTACKS"]

ATTACKS = tuple(
    """
    other_session_read other_session_list other_session_write other_session_unlink
    other_session_stat other_session_chmod sessions_enumerate server_answers_read
    server_source_read write_usr_bin write_site_packages write_ld_so_preload write_etc_passwd
    cron_persist etc_shadow_read hardlink_secret tmp_victim_read tmp_squat devshm_victim_read
    devshm_list write_anywhere_outside_ws

    proc_list_others victim_cmdline server_environ victim_environ server_mem server_mem_write
    server_fds server_root_magic server_cwd_magic ptrace_server ptrace_victim process_vm_readv
    pidfd_getfd_server kill_server kill_victim_canary kill_all_broadcast prlimit_server
    affinity_server renice_server

    server_port_loopback server_port_eth0 server_port_zero server_port_ipv6_mapped
    server_port_mptcp server_port_tfo outbound_tcp dns_udp_exfil dns_getaddrinfo raw_icmp
    ping_socket packet_sniff netlink vsock af_alg_etc abstract_server abstract_victim
    abstract_dgram_victim unix_path_world unix_path_victim

    inherited_fds inherited_env setuid_binary filecap_binary su_root setuid_own_file setuid0
    unshare_user clone_newuser clone3_newuser mount_tmpfs chroot mknod_mem

    tiocsti victim_pty io_uring aio_host_limit pty_exhaustion userfaultfd bpf perf keyring x32_abi
    i386_int80 sysv_shm_victim sysv_shm_leftover posix_mq_leftover core_dump raise_rlimits
    oom_adj_lower env_clean_exec ld_preload_trick dev_access docker_metadata canary_alive
    """.split()  # noqa: SIM905 - ninety quoted names say no more
)
