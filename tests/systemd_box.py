"""A machine with a systemd of its own: this machine's files under an overlay, booted by systemd-nspawn, with no network.

Needs root and Debian's systemd-container. The mounts are in a namespace of the container's own and vanish with it, and so do
its processes; it ends with the process that has made it. Whatever becomes of the test, nothing stays mounted or runs on.
Used by `tests/real/test_systemd.py`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

USER, UID = "anna", 4242
HOME = f"/home/{USER}"
CHECKOUT = "/srv/checkout"  # of this project, as the box sees it
CLAUDE = "/srv/claude"
BOOT_LIMIT_S = 60.0
COMMAND_LIMIT_S = 120.0
HIERARCHIES = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")
CLONE_NEWNET = 0x40000000
# The upper layer must not be on the file system of the lower one. Units that this machine has enabled for itself stay out.
BOOT = """
set -e
place=$1; checkout=$2; claude=$3; python=$4; shift 4
for cgroup in "$@"; do echo $$ >"$cgroup/cgroup.procs"; done
mount -t tmpfs tmpfs "$place"
cd "$place"
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
rm -rf root/etc/systemd/system/*.wants/* root/etc/systemd/user/*.wants/*.service
ln -sf /dev/null root/etc/systemd/system/systemd-udevd.service
head -c16 /dev/urandom | od -An -tx1 | tr -d ' \\n' >root/etc/machine-id
useradd -R "$PWD/root" -m -u UID -s /bin/sh USER
while [ "$python" != / ]; do python=$(dirname "$python"); chmod o+x "root$python"; done
mkdir -p root/srv/checkout
touch root/srv/claude
exec systemd-nspawn -q -D root --machine=relayd-box --private-network --register=no --keep-unit --boot --console=pipe \\
    --kill-signal=SIGKILL \\
    --bind-ro="$checkout:/srv/checkout" --bind-ro="$claude:/srv/claude"
""".replace("UID", str(UID)).replace("USER", USER)


def missing() -> str:
    """Why no box can be made here; nothing if one can."""
    if os.name != "posix" or os.geteuid() != 0:
        return "a systemd is booted by root"
    tools = ("systemd-nspawn", "setpriv", "unshare", "nsenter", "useradd", "dbus-daemon")
    lacking = [tool for tool in tools if not shutil.which(tool)]
    return f"not on this machine: {', '.join(lacking)}" if lacking else ""


class Box:
    """`with Box(checkout, claude) as box: box.user("relayd", "status")`."""

    def __init__(self, checkout: pathlib.Path, claude: str) -> None:
        self._place = tempfile.mkdtemp(prefix="relayd-box-")
        self._cgroups = [
            pathlib.Path(h, os.path.basename(self._place)) for h in HIERARCHIES if pathlib.Path(h, "cgroup.procs").exists()
        ]
        self._checkout = checkout
        self._claude = claude
        self._nspawn: subprocess.Popen[bytes] | None = None
        self.console = pathlib.Path(self._place + ".log")
        self.init = 0  # the pid of its systemd, as this machine sees it

    def __repr__(self) -> str:
        return f"<Box init={self.init}>"

    def __enter__(self) -> Box:
        try:
            self._boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _boot(self) -> None:
        for cgroup in self._cgroups:
            cgroup.mkdir()
        command = ["setpriv", "--pdeathsig", "TERM", "unshare", "--mount", "--propagation", "private", "sh", "-c", BOOT, "boot"]
        command += [self._place, str(self._checkout), self._claude, os.path.realpath(sys.executable), *map(str, self._cgroups)]
        with self.console.open("wb") as log:
            self._nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + BOOT_LIMIT_S
        while not self._is_up():
            if self._nspawn.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(self.console.read_text(errors="replace"))
            time.sleep(0.05)

    def _is_up(self) -> bool:
        """Find its systemd, then let it start the user's; True once that answers."""
        if not self.init:
            children = pathlib.Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
            names = {pid: pathlib.Path(f"/proc/{pid}/comm").read_text().strip() for pid in children}
            self.init = next((int(pid) for pid, name in names.items() if name == "systemd"), 0)
            return False
        if self.root("systemctl", "start", f"user@{UID}.service").returncode:
            return False
        return self.user("systemctl", "--user", "is-system-running", "--wait").stdout.strip() in ("running", "degraded")

    def root(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as root in the box."""
        return self._run([], {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}, "/", command)

    def user(self, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the user, with what a login has set."""
        known = {"HOME": HOME, "USER": USER, "LOGNAME": USER, "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
        known |= {"XDG_RUNTIME_DIR": f"/run/user/{UID}", "DBUS_SESSION_BUS_ADDRESS": f"unix:path=/run/user/{UID}/bus"}
        return self._run(["-S", str(UID), "-G", str(UID)], known | environ, HOME, command)

    def _run(
        self, who: list[str], environ: dict[str, str], cwd: str, command: tuple[str, ...]
    ) -> subprocess.CompletedProcess[str]:
        enter = ["nsenter", "-t", str(self.init), "-m", "-u", "-i", "-n", "-p", "-C", *who]
        words = ["env", "-i", "-C", cwd, *(f"{name}={value}" for name, value in environ.items()), *command]
        return subprocess.run([*enter, *words], capture_output=True, text=True, check=False, timeout=COMMAND_LIMIT_S)

    def path(self, path: str) -> pathlib.Path:
        """A file of the box, as this machine reaches it."""
        return pathlib.Path(f"/proc/{self.init}/root{path}")

    def connect(self, port: int) -> socket.socket:
        """A connection to a port of the box."""
        with self._network():
            return socket.create_connection(("127.0.0.1", port), timeout=COMMAND_LIMIT_S)

    def listen(self, port: int) -> socket.socket:
        """A program of somebody else's that has a port of the box."""
        with self._network():
            return socket.create_server(("127.0.0.1", port))

    @contextlib.contextmanager
    def _network(self) -> Iterator[None]:
        """A socket stays in the network in which this thread has made it."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net") as here, open(f"/proc/{self.init}/ns/net") as there:
            assert libc.setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            try:
                yield
            finally:
                assert libc.setns(here.fileno(), CLONE_NEWNET) == 0

    def __exit__(self, *exc: object) -> None:
        if self._nspawn is not None:
            for pid in (self.init, self._nspawn.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9) if pid else None
            self._nspawn.wait()
        for cgroup in self._cgroups:
            for directory in sorted(_below(cgroup), key=lambda p: len(p.parts), reverse=True):
                _remove(directory)
        shutil.rmtree(self._place)
        self.console.unlink(missing_ok=True)


def _below(cgroup: pathlib.Path) -> Iterator[pathlib.Path]:
    for directory, _, _ in os.walk(cgroup):
        yield pathlib.Path(directory)


def _remove(cgroup: pathlib.Path) -> None:
    """Its processes are dead, and may take a moment to leave it."""
    for _ in range(100):
        try:
            cgroup.rmdir()
            return
        except OSError:
            time.sleep(0.02)
