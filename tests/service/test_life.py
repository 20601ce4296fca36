"""A service's life by every order of what a user may do: models of the managers say what is left after each step."""

from __future__ import annotations

import itertools
import pathlib
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from relayd.service import manager, systemd
from relayd.service.launchd import BACKGROUND, GRAPHICAL
from relayd.service.spec import Spec
from tests.service.managers import BROKEN, Launchctl, Systemctl

ADDRESS = "127.0.0.1:7421"
UNITS = (systemd.SOCKET, systemd.UNIT)


def spec(program: str = "good") -> Spec:
    return Spec((f"/{program}", "serve"), {"PATH": "/bin"}, "/tmp/relayd.log", user="anna")


@dataclass
class Machine:
    """A user's systemd, and relayd's commands upon it. Each `do_*` is one thing that a user, or the world, may do."""

    home: pathlib.Path
    control: Systemctl

    def table(self, program: str = "good", address: str = "") -> manager.Manager:
        return manager.for_platform("linux", spec(program), {"HOME": str(self.home)}, address)

    def picture(self) -> tuple[dict[str, str], set[str], set[str]]:
        """Files with their texts, links, and what is active."""
        files = {p.name: p.read_text() for p in self.control.place.glob("relayd.*")}
        return files, {u for u in UNITS if self.control.link(u).is_symlink()}, set(self.control.active)

    def _install(self, program: str, address: str) -> None:
        files, links, active = self.picture()
        can_start = program != BROKEN and (not self.control.port_is_taken or bool(self.control.active))
        wanted = systemd.SOCKET if address else systemd.UNIT
        self.control.port_is_taken &= not self.control.active  # if it is ours, nobody else has it
        try:
            manager.install(self.table(program, address))
        except manager.ServiceError:
            assert not can_start or self.control.port_is_taken
            assert self.picture()[:2] == (files, links)
            assert self.control.active == active, "what ran before runs again"
        else:
            assert can_start or (address and not self.control.port_is_taken)
            assert set(self.picture()[0]) == {systemd.UNIT, wanted}
            assert self.picture()[1:] == ({wanted}, {wanted})
            assert self.control.is_answered() == (program != BROKEN)

    def do_install(self) -> None:
        self._install("good", "")

    def do_install_newer(self) -> None:
        self._install("newer", "")

    def do_install_broken(self) -> None:
        self._install(BROKEN, "")

    def do_install_socket(self) -> None:
        self._install("good", ADDRESS)

    def do_uninstall(self) -> None:
        """Whatever the flag, and whatever was there: nothing stays."""
        manager.uninstall(self.table())
        assert self.picture() == ({}, set(), set())
        assert not self.control.failed
        assert not self.control.is_answered()

    def do_stop(self) -> None:
        try:
            manager.run(self.table().stop)
        except manager.ServiceError:
            assert not self.picture()[0]
        assert not self.control.active
        assert not self.control.is_answered()

    def do_start(self) -> None:
        try:
            manager.start(self.table())
        except manager.ServiceError:
            files = self.picture()[0]
            assert not files or self.control.port_is_taken or BROKEN in files[systemd.UNIT]
        else:
            assert self.control.is_answered()

    def do_status(self) -> None:
        before = self.picture()
        codes = [manager.show(command)[0] for command in self.table().status]
        assert (codes[0] == 0) == bool(self.control.active)
        manager.run(self.table().logs)
        assert self.picture() == before

    def do_die(self) -> None:
        """The daemon ends for good, as after a wrong configuration."""
        if systemd.UNIT in self.control.active:
            self.control.active.discard(systemd.UNIT)
            self.control.failed.add(systemd.UNIT)

    def do_break(self) -> None:
        """Its configuration goes wrong, and a client calls: under socket activation, until systemd gives up."""
        if self.control.is_there(systemd.UNIT):
            self.do_die()
            self.rewrite("/good", f"/{BROKEN}")
            self.control.is_answered()

    def do_mend(self) -> None:
        if self.control.is_there(systemd.UNIT):
            self.rewrite(f"/{BROKEN}", "/good")

    def rewrite(self, old: str, new: str) -> None:
        unit = self.control.place / systemd.UNIT
        unit.write_text(unit.read_text().replace(old, new))

    def do_lose_the_port(self) -> None:
        self.control.port_is_taken = not self.control.active

    def do_free_the_port(self) -> None:
        self.control.port_is_taken = False


LENGTH = 5


def orders(steps: tuple[str, ...], number: int) -> Iterator[tuple[str, ...]]:
    """Each pair of steps, then longer orders by chance: always the same ones."""
    yield from itertools.product(steps, repeat=2)
    chance = random.Random(1)
    yield from (tuple(chance.choices(steps, k=LENGTH)) for _ in range(number))


STEPS = tuple(name for name in vars(Machine) if name.startswith("do_"))


@pytest.fixture
def machine(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Machine]:
    def make() -> Machine:
        shutil.rmtree(tmp_path / "home", ignore_errors=True)
        place = tmp_path / "home/.config/systemd/user"
        place.mkdir(parents=True)
        control = Systemctl(place)
        monkeypatch.setattr(manager, "_done", control)
        return Machine(tmp_path / "home", control)

    return make


def test_a_service_of_systemd_is_whole_after_every_step(machine: Callable[[], Machine]) -> None:
    """`install --socket` over a running service deleted it, `uninstall` left a socket that took every call and reset it, a
    failed second installation started what had been stopped, and a failed unit stayed in systemd's list for good."""
    for steps in orders(STEPS, 250):
        made = machine()
        for step in steps:
            try:
                getattr(made, step)()
            except AssertionError as error:
                raise AssertionError(f"{steps} at {step}: {error}") from error


def test_a_mended_service_starts_although_it_failed_again_and_again(machine: Callable[[], Machine]) -> None:
    made = machine()
    for step in (made.do_install_socket, made.do_break, made.do_mend, made.do_start, made.do_status):
        step()
    assert made.control.active == set(UNITS)


def test_a_second_installation_that_fails_starts_nothing_that_was_stopped(machine: Callable[[], Machine]) -> None:
    made = machine()
    made.do_install()
    made.do_stop()
    made.do_install_broken()
    assert made.picture()[1:] == ({systemd.UNIT}, set())


def test_what_systemd_does_not_answer_to_is_removed_all_the_same(
    machine: Callable[[], Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a shell without the user's bus (su, cron) the links stayed, and dangled."""
    made = machine()
    made.do_install()

    def silent(command: manager.Command) -> None:
        raise manager.ServiceError("Failed to connect to bus")

    monkeypatch.setattr(manager, "_done", silent)
    manager.uninstall(made.table())
    assert made.picture()[:2] == ({}, set())


@pytest.mark.parametrize("of_shell", ["", "/elsewhere"])
def test_the_unit_goes_where_the_running_manager_looks(
    of_shell: str, machine: Callable[[], Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """XDG_CONFIG_HOME of the shell alone: the unit was written where systemd never saw it."""
    monkeypatch.setattr(manager.sys, "platform", "linux")
    made = machine()
    environ = {"HOME": str(made.home), "XDG_CONFIG_HOME": of_shell}
    table = manager.for_platform("linux", spec(), environ, "", manager.look("linux"))
    assert list(table.files) == [str(made.control.place / systemd.UNIT)]
    assert not of_shell or f"{of_shell}/systemd/user/{systemd.UNIT}" in table.stale


def test_a_unit_is_for_its_user_alone(machine: Callable[[], Machine]) -> None:
    """It holds the variables of the shell, a proxy with its password perhaps; also where an older one was there."""
    made = machine()
    unit = made.control.place / systemd.UNIT
    unit.write_text("older")
    unit.chmod(0o644)
    made.do_install()
    assert unit.stat().st_mode & 0o777 == 0o600


def test_linger_is_asked_for(machine: Callable[[], Machine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    made = machine()
    assert manager.ends_with_session(made.table())
    made.control.lingers = True
    assert not manager.ends_with_session(made.table())
    assert made.table().stay == ("loginctl", "enable-linger", "anna")


@pytest.fixture
def launchctl(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], Launchctl]:
    def make(has_desktop: bool) -> Launchctl:
        control = Launchctl(has_desktop)
        monkeypatch.setattr(manager, "_done", control)
        monkeypatch.setattr(manager, "BUSY_STEP_S", 0)
        monkeypatch.setattr(manager.sys, "platform", "darwin")
        return control

    return make


@pytest.mark.parametrize(("has_desktop", "domain"), [(True, GRAPHICAL), (False, BACKGROUND)])
def test_an_agent_of_launchd_is_whole_after_every_step(
    has_desktop: bool, domain: str, launchctl: Callable[[bool], Launchctl], tmp_path: pathlib.Path
) -> None:
    """`bootstrap` refuses what is loaded, what was just unloaded and what was disabled; over ssh there is no gui domain."""
    agents = tmp_path / "Library/LaunchAgents"
    for steps in orders(("install good", "install newer", "install over ssh", "disable", "stop", "start", "uninstall"), 100):
        shutil.rmtree(tmp_path / "Library", ignore_errors=True)
        control = launchctl(has_desktop)
        for step in steps:
            seen = manager.look("darwin")
            assert seen.domain == domain
            table = manager.for_platform("darwin", spec(), {"HOME": str(tmp_path)}, "", seen)
            match step.split():
                case ["install", program]:
                    manager.install(manager.for_platform("darwin", spec(program), {"HOME": str(tmp_path)}, "", seen))
                    assert list(control.loaded) == [domain], steps
                    assert f"/{program}" in (agents / "dev.relayd.relayd.plist").read_text()
                    assert control.runs
                case ["install", *_] if has_desktop:  # somebody installs over ssh what a desktop has, and logs in there again
                    over_ssh = manager.for_platform(
                        "darwin", spec(), {"HOME": str(tmp_path)}, "", manager.Seen(domain=BACKGROUND)
                    )
                    manager.install(over_ssh)
                    assert list(control.loaded) == [BACKGROUND], steps
                case ["disable"]:
                    control.disabled = True
                case ["stop"]:
                    manager.show(table.stop)
                    assert not control.runs
                case ["start"]:
                    assert (manager.show(table.start)[0] == 0) == bool(control.loaded) == control.runs
                case ["uninstall"]:
                    manager.uninstall(table)
                    assert (control.loaded, list(agents.glob("*")) if agents.exists() else []) == ({}, [])


def test_an_agent_that_launchd_refuses_leaves_the_one_before_loaded(
    launchctl: Callable[[bool], Launchctl], tmp_path: pathlib.Path
) -> None:
    control = launchctl(True)
    table = manager.for_platform("darwin", spec(), {"HOME": str(tmp_path)})
    manager.install(table)
    other = manager.for_platform("darwin", spec("newer"), {"HOME": str(tmp_path)}, "", manager.Seen(domain=BACKGROUND))
    control.domains = {"gui"}
    with pytest.raises(manager.ServiceError, match="Domain does not support"):
        manager.install(other)
    assert list(control.loaded) == ["gui"]
    assert control.runs
    assert (tmp_path / "Library/LaunchAgents/dev.relayd.relayd.plist").read_text() == next(iter(table.files.values()))
