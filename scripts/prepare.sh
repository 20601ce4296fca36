# Sourced by the scripts beside it: what a bare machine needs. Everything lands inside the checkout
# (.venv, .cache); nothing is installed for the system.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CLAUDE_VERSION=2.1.332          # the version that the tests run
PYTHON=$ROOT/.venv/bin/python

say() { printf '%s\n' "$*" >&2; }

tell_usage() { # the arguments of a script: for --help its own head is printed, and it ends
    case ${1:-} in -h | --help)
        sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
        exit 0
        ;;
    esac
}

find_python() {
    local candidate
    for candidate in "${RELAYD_PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    say "relayd needs Python 3.11 or newer. On Debian or Ubuntu: sudo apt-get install python3 python3-venv"
    return 1
}

make_venv() { # $1: python
    "$1" -m venv "$ROOT/.venv" 2>/dev/null && return
    rm -rf "$ROOT/.venv"
    # Debian without python3-venv: the environment can still be made if pip is there.
    if "$1" -m pip --version >/dev/null 2>&1 && "$1" -m venv --without-pip "$ROOT/.venv"; then
        "$1" -m pip -q --python "$PYTHON" install pip && return
    fi
    rm -rf "$ROOT/.venv"
    say "a virtual environment could not be made. On Debian or Ubuntu: sudo apt-get install python3-venv"
    return 1
}

prepare_python() { # $1: extras, such as "[test]"
    local extras=${1:-} stamp python
    python=$(find_python)
    stamp="$("$python" -V) $extras $(cksum <"$ROOT/pyproject.toml") $ROOT"
    if [ -x "$PYTHON" ] && grep -qxF "$stamp" "$ROOT/.venv/stamps" 2>/dev/null; then
        return
    fi
    [ -x "$PYTHON" ] || make_venv "$python"
    say "installing Python packages into .venv"
    "$PYTHON" -m pip install -q --disable-pip-version-check -e "$ROOT$extras"
    printf '%s\n' "$stamp" >>"$ROOT/.venv/stamps"
}

claude_package() {
    local os arch
    case "$(uname -s)" in Linux) os=linux ;; Darwin) os=darwin ;; *) return 1 ;; esac
    case "$(uname -m)" in x86_64 | amd64) arch=x64 ;; aarch64 | arm64) arch=arm64 ;; *) return 1 ;; esac
    [ "$os" = linux ] && [ -e /lib/ld-musl-x86_64.so.1 ] && arch=$arch-musl
    printf '@anthropic-ai/claude-code-%s-%s' "$os" "$arch"
}

npm_claude() { # [$1: version, else the pinned one]; prints the path of the binary, fetched from npm into .cache
    local package dir version=${1:-$CLAUDE_VERSION}
    package=$(claude_package) || return 1
    dir=$ROOT/.cache/claude-$version
    if [ ! -x "$dir/node_modules/$package/claude" ]; then
        command -v npm >/dev/null || return 1
        say "fetching Claude Code $version from npm into .cache"
        npm install --silent --no-fund --no-audit --prefix "$dir" "$package@$version" >&2 || return 1
    fi
    printf '%s' "$dir/node_modules/$package/claude"
}

own_claude() { # prints the path of the user's installed claude
    local place
    command -v claude && return
    for place in "$HOME/.local/bin/claude" "$HOME/.claude/local/claude" "$HOME/.npm-global/bin/claude" "$HOME/.bun/bin/claude"; do
        [ -x "$place" ] && printf '%s' "$place" && return
    done
    return 1
}

no_claude() {
    say "There is no \`claude\` on this machine and no npm to fetch it with. Get either:"
    say "  npm:    sudo apt-get install npm    (then run this again)"
    say "  claude: npm install -g @anthropic-ai/claude-code, or see https://code.claude.com/docs"
    return 1
}

FRAMEWORKS=$ROOT/.cache/frameworks
python_clients() { # $1: name, then packages: client libraries in a place of their own, apart from the project's packages
    local name=$1 dir=$FRAMEWORKS/$1
    shift
    [ "$(cat "$dir/packages" 2>/dev/null)" = "$*" ] && return
    say "installing client libraries for the tests: $*"
    rm -rf "$dir"
    "$PYTHON" -m venv --without-pip "$dir"
    "$PYTHON" -m pip --python "$dir/bin/python" install -q --disable-pip-version-check "$@"
    printf '%s' "$*" >"$dir/packages"
}
node_clients() { # $1: name, then packages: the same from npm
    local name=$1 dir=$FRAMEWORKS/$1
    shift
    [ "$(cat "$dir/packages" 2>/dev/null)" = "$*" ] && return
    say "installing client libraries for the tests: $*"
    rm -rf "$dir"
    npm install --silent --no-fund --no-audit --prefix "$dir" "$@" >&2
    printf '%s' "$*" >"$dir/packages"
}
sdks() { # those that the benches measure with, too
    python_clients agents anthropic==2.12.0 langchain-anthropic==1.7.7 langchain-tests==1.1.9 'pydantic-ai-slim[anthropic]==2.68.0' openai==3.54.0
    node_clients node @anthropic-ai/sdk@1.12.0 openai@6.49.0 ai@6 @ai-sdk/anthropic@3 zod@4
}
