"""What a new process is made of: its ids, its paths, its addresses, its command line. Pure; owned by `core/pool.py`.

It decides nothing about when a process is made, and starts none: the runtime does that, by the order that `life.start` makes
of the specification.
"""

from __future__ import annotations

import secrets
import uuid

from relayd.claude import compose, environment, launch
from relayd.claude.capabilities import Capabilities
from relayd.claude.compose import TranscriptContext
from relayd.claude.launch import CallbackUrls, LaunchKey
from relayd.config import Config
from relayd.core.actions import Action, Mode
from relayd.core.host import Host
from relayd.core.mod_trial import ModTrial, has_mod
from relayd.core.session import life
from relayd.core.session.record import Session
from relayd.core.session.spec import SessionSpec
from relayd.core.witness_trial import WitnessTrial


class Launcher:
    """`can` is what the `claude` at hand can do; it changes with an update. `machine` is what it finds its surroundings to be:
    our own idea of them, until it tells another one.
    """

    def __init__(self, config: Config, host: Host) -> None:
        self.can: Capabilities = host.capabilities
        self.mod_trial = ModTrial()
        self.machine = host.machine
        self.witness_trial = WitnessTrial()
        self._config = config
        self._host = host

    def __repr__(self) -> str:
        return f"<Launcher {self._host.claude}>"

    def reconfigure(self, config: Config) -> None:
        """Use another configuration from now on."""
        self._config = config

    def updated(self, capabilities: Capabilities) -> None:
        """`claude` has been updated: whether it takes the mod and tells what it sends must be seen anew."""
        self.can, self.mod_trial = capabilities, ModTrial()
        self.witness_trial.updated()

    def launch(self, key: LaunchKey, mode: Mode, streams: bool, now: float) -> tuple[Session, list[Action]]:
        """A new session, and the orders that bring it to life."""
        session = Session(self.spec(key, mode, streams), now)
        return session, life.start(session, now)

    def spec(self, key: LaunchKey, mode: Mode, streams: bool) -> SessionSpec:
        """What a new process is made of. `streams`: it shall tell its answers piece by piece, if it can."""
        host = self._host
        if mode is Mode.GATE and not self.can.gated:
            mode = Mode.LATE
        slot, secret = str(uuid.uuid4()), secrets.token_urlsafe(16)
        conversation = str(uuid.uuid4()) if mode is Mode.PROMPT else slot
        config_dir = host.profiles[key.profile] if key.profile else host.config_dir
        base_env = environment.for_profile(host.environment, config_dir) if key.profile else host.environment
        paths = launch.slot_paths(host.state_dir, config_dir, host.workspace, slot, conversation)
        has_mod = (streams or key.tools) and self._has_mod
        urls = CallbackUrls(
            hooks=f"{host.base_url}/hooks/{secret}",
            mcp=f"{host.base_url}/mcp/{secret}",
            telemetry=f"{host.base_url}/telemetry/{secret}/v1/logs" if host.telemetry else "",
            pieces=f"{host.base_url}/pieces/{secret}" if has_mod else "",
            plan=f"{host.base_url}/plan/{secret}" if has_mod else "",
        )
        sources = self._config.setting_sources
        order = launch.build(
            key,
            host.claude,
            slot,
            paths,
            host.workspace,
            urls,
            base_env,
            sources,
            host.mover,
            host.mod_directory,
            self._config.witness and self.can.witness and not self.witness_trial.is_silent,
        )
        if mode is Mode.PROMPT:
            order.files[paths.prompt] = compose.system_prompt(())
        return SessionSpec(
            slot, conversation, secret, key, order, paths, host.workspace, mode, self._transcript_context, self._config
        )

    def tells_pieces(self, session: Session) -> bool:
        """True if its answers come piece by piece, or nobody's do."""
        return has_mod(session) or not self._has_mod

    @property
    def _has_mod(self) -> bool:
        is_known = self._config.live and self.can.live and bool(self._host.mod_directory)
        return is_known and not self.mod_trial.is_refused

    def _transcript_context(self, session_id: str, now: float) -> TranscriptContext:
        host = self._host
        return TranscriptContext(session_id, host.workspace, host.timestamp(now), host.today(now), self.machine)
