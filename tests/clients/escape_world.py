"""Runs a command in a network namespace where a server on this machine and one outside listen.

To be started in that namespace, with the right to configure it. Arguments: the user id to run the command as, and the
command, in which LOCAL and OUTSIDE stand for their addresses.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
import threading

SIOCSIFADDR, SIOCSIFFLAGS = 0x8916, 0x8914
IFF_UP = 1
OUTSIDE = "198.51.100.7"


def interface(name, request, data):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, request, struct.pack("16s", name.encode()) + data)


def serve(address):
    server = socket.create_server((address, 0))
    accept = lambda: [server.accept()[0].close() for _ in iter(int, 1)]
    threading.Thread(target=accept, daemon=True).start()
    return f"{address}:{server.getsockname()[1]}"


interface("lo", SIOCSIFFLAGS, struct.pack("h14x", IFF_UP))
interface("lo:1", SIOCSIFADDR, struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(OUTSIDE)))
addresses = {"LOCAL": serve("127.0.0.1"), "OUTSIDE": serve(OUTSIDE)}
user = int(sys.argv[1])
command = [addresses.get(word, word) for word in sys.argv[2:]]
# A descriptor that leads around what is hidden, as careless programs leave them to their children.
root = os.open("/", os.O_RDONLY)
as_user = {} if user == os.geteuid() else {"user": user, "group": user, "extra_groups": []}
sys.exit(subprocess.run(command, pass_fds=[root], **as_user).returncode)
