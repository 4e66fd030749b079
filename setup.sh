#!/bin/sh
# Make .venv from requirements.lock and see that Graphviz's dot is there: sh setup.sh [--say].
# With --chromium, only see that there is a browser for the tests, which CI needs.
set -eu
unset CDPATH
cd -- "$(dirname -- "$0")"

python=.venv/bin/python
stamp=.venv/.course-setup # while .venv is made: "making" and the process; at the end: the key

say() { printf '%s\n' "$1"; }
fail() { say "$1" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
version() { "$1" -V 2>&1 | cut -d . -f 1,2; }

# Nothing here may ask for a password.
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get "$@"; }
apt_install() {
  # The first try fails in a fresh container, which has no package lists.
  apt_get install -y -q --no-install-recommends "$1" >/dev/null 2>&1 ||
    { apt_get update -q && apt_get install -y -q --no-install-recommends "$1"; } >/dev/null
}

if [ "${1:-}" = --chromium ]; then
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if have "$name"; then exit 0; fi
  done
  # No failure: where no browser can be had, the tests say so.
  if have apt-get; then say 'Installing Chromium ...'; apt_install chromium || true; fi
  exit 0
fi

ensure_dot() {
  if have dot; then return; fi
  try=false by_hand="with your system's package manager"
  if have apt-get; then try='apt_install graphviz' by_hand='sudo apt-get install graphviz'
  elif have dnf; then try='as_root dnf install -y -q graphviz' by_hand='sudo dnf install graphviz'
  elif have brew; then try='brew install graphviz' by_hand=$try; fi
  say 'Installing Graphviz ...'
  if $try </dev/null >/dev/null 2>&1 && have dot; then return; fi
  fail "Graphviz's program dot, which draws the causal graphs, is missing: install it ($by_hand) and run make again."
}

[ -f requirements.lock ] || fail 'requirements.lock is missing: get it back with git checkout requirements.lock.'
# make lab puts the settings of jupyter/ in again. The folder counts, since scripts in .venv hold
# its path.
key=$({ cat requirements.lock setup.sh; pwd -P; } | cksum)
# So does the version: an upgrade of the system may remove or change what .venv links to.
if [ "$(cat "$stamp" 2>/dev/null)" = "$key $(version "$python")" ] &&
  { [ -z "${PYTHON:-}" ] || [ "$(version "$PYTHON")" = "$(version "$python")" ]; }; then
  ensure_dot
  if [ "${1:-}" = --say ]; then say 'Nothing to set up: .venv is as requirements.lock says.'; fi
  exit 0
fi

# Whatever can fail does so before anything is made. What a link leads to may be another's: only a
# folder with the stamp in it is emptied.
for link in .venv "$stamp"; do
  [ ! -L "$link" ] ||
    fail "$link is a symbolic link, which this set-up did not make, and what it leads to is left alone: delete the link (rm $link) and run make again."
done
if [ -f "$stamp" ]; then
  other=$(sed -n 's/^making //p' "$stamp")
  if [ -n "$other" ] && kill -0 "$other" 2>/dev/null; then
    fail "Process $other is making .venv: wait until it has finished and run make again (if there is no such set-up, delete .venv first)."
  fi
elif [ -e .venv ]; then
  fail '.venv was not made by this set-up and is left alone: delete it or move it away and run make again.'
fi

range=$(sed -n 's/^requires-python = ">=3\.\([0-9]*\),<3\.\([0-9]*\)"$/\1 \2/p' pyproject.toml)
oldest=${range% *} newest=$((${range#* } - 1))
candidates() {
  if [ -n "${PYTHON:-}" ]; then say "$PYTHON"; return; fi
  names=$(sed -n 's/^\(3\.[0-9]*\).*/python\1/p' .python-version || true)
  minor=$newest
  while [ "$minor" -ge "$oldest" ]; do names="$names python3.$minor" minor=$((minor - 1)); done
  for name in $names python3 python; do
    # All of PATH: the shim of a version manager may come first, and fail.
    say "$PATH" | tr : '\n' | sed "s|\$|/$name|"
  done
}
# Prints the interpreter's path (of the one behind a .venv that is active, since that may be
# replaced), or its version where it lacks its venv module; nothing where it is out of range.
probe="
import sys
if sys.implementation.name == 'cpython' and $oldest <= sys.version_info[1] <= $newest:
    try:
        import ensurepip, venv
        print(sys._base_executable)
    except ImportError:
        print('3.%d' % sys.version_info[1])
"
base=$(candidates 2>/dev/null | while read -r candidate; do
  answer=$("$candidate" -I -c "$probe" 2>/dev/null </dev/null) || continue
  case $answer in /*) say "$answer"; break ;; 3*) say "$answer" ;; esac
done | tail -n 1)
case $base in
  /*) ;;
  3*) fail "Python $base lacks its venv module: install it (Debian and Ubuntu: sudo apt-get install python$base-venv) and run make again." ;;
  *) [ -z "${PYTHON:-}" ] || fail "PYTHON=$PYTHON does not run as a CPython from 3.$oldest to 3.$newest: name one that does, or leave PYTHON unset."
    fail "No Python from 3.$oldest to 3.$newest was found on PATH: install one and run make again." ;;
esac
ensure_dot

trap 'fail "The set-up was interrupted: run make again, it starts over."' HUP INT TERM
say "Setting up .venv with $(version "$base") ($base) ..."
mkdir -p .venv
say "making $$" >"$stamp"
# pip takes a half-written package for an installed one, so nothing is kept.
find .venv -mindepth 1 -maxdepth 1 ! -name .course-setup -exec rm -rf {} +
"$base" -I -m venv --prompt statistical-rethinking .venv ||
  fail 'The venv module of Python failed (see above): name another Python with make setup PYTHON=... and run make again.'

# The reader's own settings of pip must not lead out of .venv.
export PIP_USER=0
unset PIP_TARGET PIP_PREFIX PIP_ROOT
pip_install() { "$python" -I -m pip install --quiet --no-input --disable-pip-version-check "$@"; }
say 'Installing the packages of requirements.lock ...'
pip_install --require-hashes --only-binary :all: --requirement requirements.lock ||
  fail 'The packages of requirements.lock could not be installed (see above): check the network and the disk and run make again.'
pip_install --no-deps --no-build-isolation --editable . ||
  fail 'The project itself could not be installed into .venv (see above): mend pyproject.toml and run make again.'
"$python" -m publish.lab --install-settings ||
  fail 'The JupyterLab settings could not be installed into .venv (see above): mend jupyter/ and run make again.'
say "$key $(version "$python")" >"$stamp"
say '.venv is ready.'
