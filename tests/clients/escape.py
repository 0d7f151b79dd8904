"""Tries everything that a process of the same user can, and prints what it found: one line for each.

Arguments: the state directory, the manifests, the address of a server on this machine, that of one outside.
Standard input: what is looked for, NAME=VALUE lines, each value in hexadecimal digits of its complement, so that no
process but this one holds what it would find.
"""

import ctypes
import glob
import os
import socket
import ssl
import stat
import sys
import time

STATE, MANIFESTS, LOCAL, OUTSIDE = sys.argv[1:5]
LIBC = ctypes.CDLL(None, use_errno=True)
CHUNK = 1 << 20
NEEDLES = {}
for line in sys.stdin:
    name, value = line.strip().split("=")
    NEEDLES[name] = bytes(byte ^ 0xFF for byte in bytes.fromhex(value))
FOUND = set()


def say(*words):
    words = " ".join(words)
    if words not in FOUND:
        FOUND.add(words)
        print(words, flush=True)


def search(data, where):
    for name, needle in NEEDLES.items():
        if needle in data:
            say("found", name, "in", where)


def read(path):
    """What a file holds, or nothing where it cannot be opened. No pipe or socket is waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return b""
    try:
        data = b""
        while len(data) < 64 * CHUNK and (more := os.read(descriptor, CHUNK)):
            data += more
        return data
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def processes():
    """Those of the run, by their command lines; inside there are no others. Never this one."""
    everyone = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    others = [number for number in everyone if number != os.getpid()]
    return others if len(everyone) < 20 else [number for number in others if is_ours(number)]


def is_ours(number):
    program, *arguments = read(f"/proc/{number}/cmdline").split(b"\0")
    names_state = any(STATE.encode() in argument for argument in arguments)
    return names_state and os.path.basename(program) in (b"keyward", b"envoy")


class Part(ctypes.Structure):
    _fields_ = [("start", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def copy(number, start, length):
    """Another's memory, by the call that is made for it."""
    into = ctypes.create_string_buffer(length)
    here, there = Part(ctypes.addressof(into), length), Part(start, length)
    copied = LIBC.process_vm_readv(number, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    return into.raw[: max(copied, 0)]


def memory(number):
    for line in read(f"/proc/{number}/maps").decode().splitlines():
        if " rw" not in line:
            continue
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        if copy(number, start, 1):
            say("copied", "memory")
        try:
            with open(f"/proc/{number}/mem", "rb", buffering=0) as file:
                file.seek(start)
                while start < end and (data := file.read(min(CHUNK, end - start))):
                    search(data, "memory")
                    start += len(data)
        except OSError:
            pass


def trace(number):
    attach, detach = 16, 17
    if LIBC.ptrace(attach, number, 0, 0) == 0:
        say("traced", "a process")
        os.waitpid(number, 0x40000000)
        LIBC.ptrace(detach, number, 0, 0)


def guess():
    """Numbers that no list shows: where programs lie by default, and where this one lies."""
    seen = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    if len(seen) >= 20:
        return
    places = (0x400000, id(NEEDLES), int(read("/proc/self/maps").split(b"-")[0], 16))
    # They begin anew in a PID namespace.
    for number in range(1, 1024):
        if number == os.getpid():
            continue
        if any(copy(number, place, 1) for place in places):
            say("copied", "memory")
        if number not in seen and os.path.exists(f"/proc/{number}/mem"):
            say("saw", "a number that no list shows")
        trace(number)


def files_under(folder, where):
    for directory, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(directory, name)
            try:
                mode = os.stat(path).st_mode
            except OSError:
                continue
            if stat.S_ISREG(mode):
                search(read(path), where)


def knock(address, where):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(3)
    try:
        client.connect(address)
        say("connected", where)
        client.sendall(b"GET /config_dump HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        data = b""
        while more := client.recv(CHUNK):
            data += more
        if b"HTTP/1.1 200" in data:
            say("answered", where)
    except OSError:
        pass
    finally:
        client.close()


def kind(name):
    return next((kind for kind in ("admin", "xds", "control") if kind in os.path.basename(name)), "other")


def unix_sockets():
    for directory, _, names in os.walk(STATE):
        for name in names:
            path = os.path.join(directory, name)
            try:
                if stat.S_ISSOCK(os.stat(path).st_mode):
                    knock(path, kind(path))
            except OSError:
                pass
    for line in read("/proc/net/unix").decode(errors="replace").splitlines()[1:]:
        fields = line.split(None, 7)
        if len(fields) == 8:
            # Other runs of the machine are left alone.
            abstract = fields[7].startswith("@")
            if abstract and ("keyward" in fields[7] or "envoy" in fields[7]):
                knock("\0" + fields[7][1:], "abstract")
            elif fields[7].startswith(STATE):
                knock(fields[7], kind(fields[7]))


def dial(address, where):
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
        say("reached", where)
    except OSError:
        pass


def ports():
    dial(LOCAL, "the server on this machine")
    dial(OUTSIDE, "the server outside")
    gateway = int(os.environ["HTTPS_PROXY"].rstrip("/").rsplit(":", 1)[1])
    listening = 0
    for port in range(1, 65536):
        client = socket.socket()
        if client.connect_ex(("127.0.0.1", port)) == 0 and client.getsockname() != client.getpeername():
            listening += 1
            if port == gateway:
                say("reached", "the gateway")
        client.close()
    say("listening", str(listening))


def ask():
    """A request that the gateway puts the key in. There is nobody to send it to, so it stays a while where it is."""
    host, port = os.environ["HTTPS_PROXY"].rstrip("/").rsplit("/", 1)[1].rsplit(":", 1)
    plain = socket.create_connection((host, int(port)), timeout=20)
    plain.sendall(b"CONNECT api.anthropic.com:443 HTTP/1.1\r\nHost: api.anthropic.com:443\r\n\r\n")
    assert b" 200 " in plain.recv(CHUNK)
    context = ssl.create_default_context()
    context.load_verify_locations(os.environ["SSL_CERT_FILE"])
    secure = context.wrap_socket(plain, server_hostname="api.anthropic.com")
    secure.sendall(b"POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\nContent-Length: 2\r\n\r\n{")
    time.sleep(1)
    return secure


def devices():
    for directory, _, names in os.walk("/dev"):
        for name in names:
            path = os.path.join(directory, name)
            try:
                if stat.S_ISBLK(os.stat(path).st_mode):
                    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
                    say("opened", "a disk")
            except OSError:
                pass
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe"):
        try:
            value = read(path)
            with open(path, "wb") as file:
                file.write(value)
            say("wrote", "a setting of the kernel")
        except OSError:
            pass


def mount(source, target, kind, flags, data=None):
    encode = lambda text: text.encode() if text else None
    return LIBC.mount(encode(source), encode(target), encode(kind), flags, encode(data)) == 0


def namespaces():
    """What a mount namespace of one's own lets one look under."""
    new_namespaces, bind, recursive, move, detach = 0x10000000 | 0x20000, 4096, 16384, 8192, 2
    user, group = os.getuid(), os.getgid()
    here = os.getcwd()
    for name in ("whole", "part", "over", "moved"):
        os.makedirs(name, exist_ok=True)
    if LIBC.unshare(new_namespaces) != 0:
        return
    try:
        for file, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{file}", "w") as out:
                out.write(text)
    except OSError:
        pass
    if mount("x", "/mnt", "tmpfs", 0):
        say("mounted", "something")
    parent, name = os.path.split(STATE)
    for flags in (0, detach):
        LIBC.umount2(STATE.encode(), flags)
    mount("/", f"{here}/whole", None, bind)
    mount("/", f"{here}/whole", None, bind | recursive)
    mount(parent, f"{here}/part", None, bind)
    mount(STATE, f"{here}/moved", None, move)
    mount("o", f"{here}/over", "overlay", 0, f"lowerdir={parent}:/opt")
    for folder in (STATE, MANIFESTS, f"{here}/whole{STATE}", f"{here}/part/{name}", f"{here}/over/{name}"):
        files_under(folder, "a mount")


say("descriptors", *sorted(name for name in os.listdir("/proc/self/fd") if int(name) < 3 or os.path.exists(f"/proc/self/fd/{name}")))
status = read("/proc/self/status").decode()
if any(line.startswith("Cap") and int(line.split()[1], 16) for line in status.splitlines()):
    say("has", "capabilities")
files_under(STATE, "the state directory")
files_under(MANIFESTS, "the manifests")
search(read(".env"), ".env")
unix_sockets()
ports()
asked = ask()
for process in processes():
    search(read(f"/proc/{process}/environ"), "an environment")
    memory(process)
    for entry in glob.glob(f"/proc/{process}/fd/*"):
        if os.path.isfile(entry):
            search(read(entry), "a descriptor")
    for link in ("root", "cwd"):
        files_under(f"/proc/{process}/{link}{STATE if link == 'root' else ''}", "another's root")
    trace(process)
guess()
devices()
namespaces()
say("done")
