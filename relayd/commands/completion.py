"""`relayd completion`: scripts for shells, made from the parser itself, so that they never lag behind it."""

from __future__ import annotations

import argparse

BASH = """\
_relayd() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} command=${{COMP_WORDS[1]}} words
    if [ "$COMP_CWORD" -eq 1 ]; then words="{commands}"
    else case $command in
{cases}
    esac; fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    [ ${{#COMPREPLY[@]}} -gt 0 ] || COMPREPLY=($(compgen -f -- "$current"))
}}
complete -F _relayd relayd
"""
ZSH = """\
#compdef relayd
_relayd() {{
    local -a choices
    if (( CURRENT == 2 )); then choices=({commands})
    else case $words[2] in
{cases}
    esac; fi
    compadd -- $choices || _files
}}
compdef _relayd relayd
"""


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """The script for bash, zsh or fish."""
    known = words(parser)
    if shell == "fish":
        return _fish(parser, known)
    commands = " ".join(known)
    if shell == "bash":
        cases = "\n".join(f'    {name}) words="{" ".join(found)}" ;;' for name, found in known.items())
        return BASH.format(commands=commands, cases=cases)
    cases = "\n".join(f"    {name}) choices=({' '.join(found)}) ;;" for name, found in known.items())
    return ZSH.format(commands=commands, cases=cases)


def words(parser: argparse.ArgumentParser) -> dict[str, list[str]]:
    """Each command with its options and actions."""
    found = {}
    for name, command in subcommands(parser).items():
        options = [o for action in command._actions for o in action.option_strings if o.startswith("--")]
        choices = [str(c) for action in command._actions if not action.option_strings for c in action.choices or ()]
        found[name] = choices + options
    return found


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of the commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _fish(parser: argparse.ArgumentParser, known: dict[str, list[str]]) -> str:
    lines = ["complete -c relayd -f"]
    for name, command in subcommands(parser).items():
        text = (command.description or "").replace("'", "")
        lines.append(f"complete -c relayd -n __fish_use_subcommand -a {name} -d '{text}'")
        for word in known[name]:
            how = f"-l {word[2:]}" if word.startswith("--") else f"-a {word}"
            lines.append(f"complete -c relayd -n '__fish_seen_subcommand_from {name}' {how}")
    return "\n".join(lines) + "\n"
