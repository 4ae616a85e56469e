"""Every port that we open, with real sockets: who can reach it."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = """
import json, os, sys
address = sys.argv[1]
os.environ["TF_CONFIG"] = json.dumps(
    {"cluster": {"worker": [address]}, "task": {"type": "worker", "index": 0}})
from kerascnn.distribution import strategies
strategies.resolve_strategy("multiworker")
print("ready", flush=True)
sys.stdin.read()
"""
ANOTHER_MACHINE = """
import socket, sys
for address in sys.argv[1:]:
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
        print("in")
    except OSError as error:
        print("out")
"""
# Two network namespaces stand in for two machines: this one, and one at the end of a cable.
TWO_MACHINES = """
set -e
ip link set lo up
ip link add here type veth peer name there
unshare -n sleep 300 & other=$!
trap 'kill $other' EXIT
# Until it has unshared, its namespace is ours, and the cable would end where it begins.
until [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
ip link set there netns $other
ip addr add 10.213.0.1/24 dev here; ip link set here up
nsenter -t $other -n sh -c 'ip addr add 10.213.0.2/24 dev there; ip link set there up'
mkfifo $3/a $3/b
$1 $4/worker.py 127.0.0.1:8470 < $3/a > $3/a.out 2> $3/a.err & exec 8> $3/a
$1 $4/worker.py 10.213.0.1:8471 < $3/b > $3/b.out 2> $3/b.err & exec 9> $3/b
for _ in $(seq 300); do
    grep -q ready $3/a.out && grep -q ready $3/b.out && break; sleep 0.2
done
nsenter -t $other -n $1 $4/other.py 10.213.0.1:8470 10.213.0.1:8471
$1 $4/other.py 127.0.0.1:8470
exec 8>&- 9>&-
kill $(jobs -p) 2>/dev/null || true
cat $3/a.err $3/b.err | grep -i "warning: tensorflow" >&2
"""


def namespaces():
    tools = all(map(shutil.which, ("unshare", "nsenter", "ip")))
    return tools and not subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode


@pytest.mark.slow
@pytest.mark.skipif(not namespaces(), reason="needs the right to make network namespaces")
def test_a_worker_of_this_machine_is_not_reached_from_another_one(tmp_path):
    """One whose address is of the network is: that is said, as TensorFlow asks for no password."""
    (tmp_path / "worker.py").write_text(WORKER)
    (tmp_path / "other.py").write_text(ANOTHER_MACHINE)
    done = subprocess.run(
        ["unshare", "-n", "bash", "-c", TWO_MACHINES, "bash", sys.executable, "", tmp_path,
         tmp_path],
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.stdout.split() == ["out", "in", "in"], done.stdout + done.stderr
    assert done.stderr.count("listens on all addresses, without a password") == 1
    assert "port 8471" in done.stderr


def listening(pid="self"):
    """Of each socket that a process listens on: whether it is bound to loopback."""
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            inodes.add(os.readlink(f"/proc/{pid}/fd/{name}"))
        except OSError:
            continue
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                address, port = fields[1].split(":")
                loopback = address in ("0100007F", "0" * 24 + "01000000")
                found[int(port, 16)] = loopback
    return found


@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="needs Linux")
def test_tensorboard_and_the_search_listen_on_loopback_alone(tmp_path):
    from kerascnn.commands.board import serve

    before = set(listening())
    (tmp_path / "events.out.tfevents.1").write_bytes(b"")
    serve(tmp_path, port=0)
    new = {port: loopback for port, loopback in listening().items() if port not in before}
    assert new
    assert all(new.values())


def test_a_port_of_an_address_that_others_reach_is_said_to_be_open():
    from kerascnn.distribution import doors

    assert doors.only_here(["localhost:1", "127.0.0.2:3", "[::1]:3"])
    assert not doors.only_here(["localhost:1", "gpu0:3"])
    assert "port 1, 3" in doors.warning(["a:1", "b:3"])


def test_a_listening_socket_is_tied_to_loopback_whatever_it_is_bound_to():
    from kerascnn.distribution import doors

    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))
        with doors.closed_to_others(server.getsockname()[1]) as door:
            server.listen()
        assert door.closed
        bound = server.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
        assert bound.rstrip(b"\0") == b"lo"
        socket.create_connection(("127.0.0.1", server.getsockname()[1]), timeout=5).close()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with doors.closed_to_others(nobody.getsockname()[1]) as door:
            pass
        assert not door.closed


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs Linux")
def test_looking_for_the_socket_leaves_no_file_open():
    """It is looked for every few milliseconds among all that the process has open."""
    from kerascnn.distribution import doors

    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        doors._close(1)
    assert len(os.listdir("/proc/self/fd")) == before
