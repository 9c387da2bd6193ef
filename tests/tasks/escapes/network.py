"""Sockets of every kind, names, and ways around them."""

import ctypes
import socket

from tests.tasks.escapes.tools import checked, libc, syscall


def escape_connect_by_tcp(w):
    return socket.create_connection(("127.0.0.1", w["tcp"]), timeout=2)


def escape_connect_by_the_c_library(w):
    return checked(libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0))


def escape_send_by_udp(w):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        return out.sendto(b"x", ("127.0.0.1", w["udp"]))


def escape_connect_to_a_socket_file(w):
    with socket.socket(socket.AF_UNIX) as out:
        out.connect(w["outside"] + "/socket")
        return True


def escape_connect_to_an_abstract_socket(w):
    with socket.socket(socket.AF_UNIX) as out:
        out.connect("\0" + w["abstract"])
        return True


def escape_send_by_a_pair_of_sockets(w):
    one, other = socket.socketpair()
    one.send(b"x")
    return other.recv(1)


def escape_listen(w):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        return True


def escape_listen_by_ipv6(w):
    with socket.socket(socket.AF_INET6) as server:
        server.bind(("::1", 0))
        return True


def escape_look_a_name_up(w):
    return socket.getaddrinfo("localhost", 80)


def escape_ask_the_kernel_for_routes(w):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as out:
        out.bind((0, 0))
        return True


def escape_send_raw_packets(w):
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


def escape_listen_to_all_packets(w):
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW)


def escape_talk_to_the_host_of_the_machine(w):
    return socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)


def escape_use_the_kernels_cryptography(w):
    return socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)


def escape_list_interfaces(w):
    return [name for _, name in socket.if_nameindex() if name != "none"]


def escape_queue_input_and_output_in_a_ring(w):
    return syscall(425, 425, 4, (ctypes.c_uint32 * 30)())
