"""Tries what others made for this user: the sockets of DOORS, a key of the session, shared memory, a queue of messages.

Prints what it reached: one line for each.
"""

import ctypes
import os
import platform
import socket

LIBC = ctypes.CDLL(None, use_errno=True)
KEYCTL = {"x86_64": 250, "aarch64": 219}[platform.machine()]

for door in os.environ["DOORS"].splitlines():
    client = socket.socket(socket.AF_UNIX)
    try:
        client.connect("\0" + door[1:] if door.startswith("@") else door)
        print("connected", door)
    except OSError:
        pass
    client.close()

search, session = 10, -3
if LIBC.syscall(KEYCTL, search, session, b"user", b"keyward-test", 0) != -1:
    print("found a key of the session")
if LIBC.shmget(0x4B57, 0, 0) != -1:
    print("found shared memory")
if LIBC.mq_open(b"/keyward-test", os.O_WRONLY) != -1:
    print("opened a queue")
print("done")
