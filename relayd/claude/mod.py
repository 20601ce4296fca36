"""The mod: a plugin of relayd's own in Claude Code that tells each piece of an answer as it is made. Pure.

A mod is Claude Code's documented way to look on at a turn. This one passes every piece on unchanged and posts a copy to
the process's own address; it changes no request and no answer, and reads no login. It never waits for a post, and after
the first that fails it stays silent for the rest of the request: text then comes in whole lines, by hooks. One post is
under way at a time, and what is made meanwhile goes with the next: that keeps the order and costs no latency. Only the last
piece of an answer goes by itself, since a post takes long to end while Claude Code puts the answer on the screen.

It also passes on what Claude Code knows of the login's usage limits, when that has moved: the figures of its status line,
by an event that comes after a turn (`plan.py` reads it). A status line's command would be a process for each update.

The files are made once, by `daemon/machine.py`, in a directory of the daemon's own; `launch.py` names it to each process. What
the mod posts is read by `pieces.py` and `plan.py`.
"""

from __future__ import annotations

from relayd import codec

DIRECTORY = "mod"  # in the daemon's state directory
ADDRESS = "RELAYD_PIECES"
PLAN_ADDRESS = "RELAYD_PLAN"
STOP = b'{"stop":true}'  # the answer to a post of pieces that nobody wants
POSTED_MAX = 500  # pieces in one post
WAITING_MAX = 20_000  # pieces that wait in Claude Code for a post that does not end: then no more are told

SCRIPT = """\
// Copies the pieces of each answer to relayd. See relayd.toml(5), `live`.
let steps = 0

export function register(on) {
  on("turn.step", async function* ($, e, next) {
    if (e.agentId !== undefined) return yield* next(e)
    const step = steps++
    let waiting = []
    let from = 0
    let isOpen = true
    let isSending = false

    async function post(from, pieces) {
      try {
        const body = JSON.stringify({ step, from, pieces })
        const url = await $.env.get("ADDRESS")
        const answer = await $.http.fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body })
        isOpen &&= answer.ok && !answer.text.includes("stop")
      } catch {
        isOpen = false
      }
    }

    async function send() {
      isSending = true
      while (isOpen && waiting.length > 0) {
        const pieces = waiting.slice(0, POSTED_MAX)
        waiting = waiting.slice(POSTED_MAX)
        from += pieces.length
        await post(from - pieces.length, pieces)
      }
      isSending = false
    }

    for await (const piece of next(e)) {
      if (isOpen && piece.kind === "stop" && isSending) {
        post(from + waiting.length, [piece])
      } else if (isOpen && piece.kind !== "engine") {
        waiting.push(piece)
        isOpen = waiting.length <= WAITING_MAX
        if (!isSending) send()
      }
      yield piece
    }
  })
  try {
    on("session.measure", ($, e, next) => {
      if (e.changed.includes("rateLimits")) tell($, e.rateLimits)
      return next(e)
    })
  } catch {} // a version that does not have it
}

async function tell($, limits) {
  try {
    const body = JSON.stringify({ limits })
    await $.http.fetch(await $.env.get("PLAN_AT"), { method: "POST", headers: { "content-type": "application/json" }, body })
  } catch {}
}
"""


def files() -> dict[str, bytes]:
    """The plugin's files, by their paths in its directory."""
    script = SCRIPT.replace("ADDRESS", ADDRESS).replace("PLAN_AT", PLAN_ADDRESS)
    script = script.replace("POSTED_MAX", str(POSTED_MAX)).replace("WAITING_MAX", str(WAITING_MAX))
    return {
        ".claude-plugin/plugin.json": codec.dump({"name": "relayd", "version": "1.0.0", "description": "Pieces for relayd."}),
        "hooks/hooks.json": codec.dump({"modules": ["./stream.js"]}),
        "hooks/stream.js": script.encode(),
    }


def argv(directory: str) -> tuple[str, ...]:
    """The arguments that load it."""
    return "--plugin-dir", directory


def environment(pieces_url: str, plan_url: str = "") -> dict[str, str]:
    """Where it posts to; and how it runs.

    Claude Code need not watch the directory for changes, nor write its declarations of types there. In a thread of its own
    the mod would take a JavaScript engine more, whose start delays the first request of a process by 0.05 to 0.1 s; pieces
    come no sooner by it.
    """
    how = {"CLAUDE_CODE_PLUGIN_DIR_WATCH": "0", "CLAUDE_CODE_HOOKS_SAME_THREAD": "1"}
    return {ADDRESS: pieces_url, PLAN_ADDRESS: plan_url, **how}
