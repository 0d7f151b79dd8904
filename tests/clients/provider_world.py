"""Runs a command where api.anthropic.com is a provider on this machine, at an address such as the internet has, and
where a proxy on port 3128 of localhost leads there.

To be started in network and mount namespaces of its own. Arguments: a folder, the provider's program, and the command,
which finds the provider's CA in the folder. What the provider got and the proxy was asked is there in the end, as
requests.json and proxy.log. The provider takes the key that PROVIDER_KEY holds.
"""

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import time
import urllib.request

SIOCSIFADDR, SIOCSIFFLAGS = 0x8916, 0x8914
IFF_UP = 1
PROVIDER = "11.22.33.44"
PROXY = 3128


def interface(name, request, data):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, request, struct.pack("16s", name.encode()) + data)


def wait_for(address):
    for _ in range(500):
        with socket.socket() as sock:
            if sock.connect_ex(address) == 0:
                return
        time.sleep(0.02)
    sys.exit(f"nobody listens at {address}")


def mount(text, path):
    file = os.path.join(folder, os.path.basename(path))
    with open(file, "w") as over:
        over.write(text)
    subprocess.run(["mount", "--bind", file, path], check=True)


folder, program, *command = sys.argv[1:]
interface("lo", SIOCSIFFLAGS, struct.pack("h14x", IFF_UP))
interface("lo:1", SIOCSIFADDR, struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(PROVIDER)))
mount(f"127.0.0.1 localhost\n{PROVIDER} api.anthropic.com\n", "/etc/hosts")

provider = [program, "--listen", f"{PROVIDER}:443", "--key-env", "PROVIDER_KEY"]
provider = subprocess.Popen(provider, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
about = json.loads(provider.stdout.readline())
os.symlink(about["ca"], os.path.join(folder, "ca.pem"))

log, config = os.path.join(folder, "proxy.log"), os.path.join(folder, "tinyproxy.conf")
with open(config, "w") as file:
    file.write(f'Listen 127.0.0.1\nPort {PROXY}\nLogFile "{log}"\nLogLevel Info\nConnectPort 443\n')
proxy = subprocess.Popen(["tinyproxy", "-d", "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
wait_for(("127.0.0.1", PROXY))

environment = {name: value for name, value in os.environ.items() if name != "PROVIDER_KEY"}
code = subprocess.run(command, env=environment).returncode
# Not through a proxy that the environment names.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with open(os.path.join(folder, "requests.json"), "wb") as file:
    file.write(opener.open(about["control"] + "/requests").read())
for process in [proxy, provider]:
    process.terminate()
    process.wait()
sys.exit(code)
