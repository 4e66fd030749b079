#!/bin/sh
# Make .venv from requirements.lock and see that Graphviz's dot is there; do nothing when both
# are. .venv counts as made only once the stamp is written, which is the last step: without it
# a rerun starts over, since pip takes a half-written package for an installed one.
set -eu
unset CDPATH
cd -- "$(dirname -- "$0")/.."

venv=.venv
stamp=$venv/.course-setup      # what .venv was made from
building=$venv/.course-building # the process that is making it
python=$venv/bin/python

say() {
  printf '%s\n' "$1"
}

fail() {
  printf '%s\n' "$1" >&2
  exit 1
}

# A change here means a new .venv. The folder counts: scripts in .venv/bin hold its full path.
base_key() {
  printf 'base %s %s\n' "$(cat requirements.lock scripts/setup.sh | cksum)" "$(pwd -P)"
}

# A change here means that the project and the JupyterLab settings are put in again.
project_key() {
  settings=
  if [ -d jupyter ]; then
    settings=$(find jupyter -type f ! -name '*.pyc' -exec cksum {} + | LC_ALL=C sort)
  fi
  printf 'project %s\n' "$(printf '%s' "$settings" | cat pyproject.toml scripts/lab.py - | cksum)"
}

stamped() {
  [ -f "$stamp" ] && grep -qxF -- "$1" "$stamp"
}

version_of() {
  "$1" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

# The interpreter may have gone (an upgrade of the system), or PYTHON now names another one.
venv_is_current() {
  stamped "$base" || return 1
  made_with=$(version_of "$python") || return 1
  [ -z "${PYTHON:-}" ] || [ "$made_with" = "$(version_of "$wanted")" ]
}

# What the command prints is shown only when it fails; it cannot ask anything.
quietly() {
  if output=$("$@" 2>&1 </dev/null); then return 0; fi
  printf '%s\n' "$output" | tail -n 5 >&2
  return 1
}

have() {
  command -v "$1" >/dev/null 2>&1
}

is_root() {
  [ "$(id -u)" = 0 ]
}

as_root() {
  if is_root; then "$@"; else sudo -n "$@"; fi
}

apt_install_graphviz() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends graphviz
}

install_graphviz() { # package manager
  case $1 in
    # A fresh container has no package lists yet.
    apt-get) apt_install_graphviz || { as_root apt-get update -q && apt_install_graphviz; } ;;
    dnf) as_root dnf install -y -q graphviz ;;
    apk) as_root apk add graphviz ;;
    pacman) as_root pacman -S --noconfirm --needed graphviz ;;
    brew) HOMEBREW_NO_AUTO_UPDATE=1 NONINTERACTIVE=1 brew install graphviz ;;
  esac
}

ensure_dot() {
  if have dot; then return; fi
  manager=
  for candidate in apt-get dnf apk pacman brew; do
    if have "$candidate"; then manager=$candidate && break; fi
  done
  case $manager in
    '') by_hand="with your system's package manager" may_try=no ;;
    brew) by_hand='brew install graphviz' may_try=yes ;; # Homebrew needs no root
    *)
      by_hand="sudo $manager install graphviz" may_try=no
      case $manager in apk) by_hand='sudo apk add graphviz' ;; pacman) by_hand='sudo pacman -S graphviz' ;; esac
      if is_root || quietly sudo -n true 2>/dev/null; then may_try=yes; fi
      ;;
  esac
  if [ "$may_try" = yes ]; then
    say "Installing Graphviz with $manager ..."
    if quietly install_graphviz "$manager" && have dot; then return; fi
  fi
  fail "Graphviz's program dot, which draws the causal graphs, is missing: install it ($by_hand) and run make again."
}

pip_install() {
  "$python" -I -m pip install --quiet --no-input --disable-pip-version-check "$@"
}

install_project() {
  # setuptools comes from the lock, so nothing is fetched here.
  pip_install --no-deps --no-build-isolation --editable . ||
    fail "The project itself could not be installed into .venv (see above): mend pyproject.toml and run make again."
  "$python" scripts/lab.py --install-settings ||
    fail "The JupyterLab settings could not be installed into .venv (see above): mend jupyter/ and run make again."
}

write_stamp() {
  printf '%s\n%s\n' "$base" "$project" >"$stamp.new"
  mv -f "$stamp.new" "$stamp"
  rm -f "$building"
}

PIP_USER=0 # a --user or --target from the reader's own settings would miss .venv
export PIP_USER
unset PIP_TARGET PIP_PREFIX PIP_ROOT

[ -f requirements.lock ] || fail 'requirements.lock is missing: get it back with git checkout requirements.lock.'
base=$(base_key)
project=$(project_key)
wanted=
if [ -n "${PYTHON:-}" ]; then
  wanted=$(sh scripts/find-python.sh)
fi

if venv_is_current; then
  ensure_dot
  if stamped "$project"; then
    if [ "${1:-}" = --say ]; then say 'Nothing to set up: .venv is as requirements.lock says.'; fi
    exit 0
  fi
  say 'Putting the project and its JupyterLab settings into .venv again ...'
  install_project
  write_stamp
  exit 0
fi

# Everything that can fail early does so before anything is made.
if [ -f "$building" ]; then
  other=$(cat "$building")
  if [ -n "$other" ] && kill -0 "$other" 2>/dev/null; then
    fail "Process $other is making .venv: wait until it has finished and run make again (if there is no such set-up, delete .venv first)."
  fi
elif [ ! -f "$stamp" ] && [ -d "$venv" ] && [ -n "$(ls -A "$venv")" ]; then
  fail '.venv was not made by this set-up and is left alone: delete it or move it away and run make again.'
fi
if [ -z "$wanted" ]; then
  wanted=$(sh scripts/find-python.sh)
fi
ensure_dot

trap 'printf "%s\n" "The set-up was interrupted: run make again, it starts over." >&2; exit 130' HUP INT TERM
say "Setting up .venv with Python $(version_of "$wanted") ($wanted) ..."
mkdir -p "$venv"
printf '%s\n' "$$" >"$building"
rm -f "$stamp"
for entry in "$venv"/* "$venv"/.[!.]*; do
  if [ "$entry" != "$building" ]; then rm -rf -- "$entry"; fi
done
"$wanted" -I -m venv --prompt statistical-rethinking "$venv" ||
  fail "Python's venv module failed (see above): mend that Python, or name another one with make setup PYTHON=..., and run make again."
say 'Installing the packages of requirements.lock ...'
pip_install --require-hashes --only-binary :all: --requirement requirements.lock ||
  fail 'The packages of requirements.lock could not be installed (see above): check the network and the disk and run make again.'
install_project
write_stamp
say '.venv is ready.'
