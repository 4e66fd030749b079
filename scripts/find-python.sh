#!/bin/sh
# Print the path of the Python to build the environment with, or say in a sentence what to
# install. PYTHON, when set, is the only candidate. Otherwise every python on PATH is run (a
# version manager's shim may stand there and fail), then those in the version managers'
# folders; the versions listed in .python-version are preferred, in their order.
set -u
unset CDPATH
cd -- "$(dirname -- "$0")/.." || exit 1

fail() {
  printf '%s\n' "$1" >&2
  exit 1
}

# The range is written once, in pyproject.toml.
range=$(sed -n 's/^requires-python = ">=3\.\([0-9]*\),<3\.\([0-9]*\)"$/\1 \2/p' pyproject.toml)
[ -n "$range" ] || fail 'pyproject.toml: write requires-python as ">=3.x,<3.y", which scripts/find-python.sh reads.'
oldest=${range% *}
newest=$((${range#* } - 1))

# Prints "version missing-modules path". The path is that of the base interpreter, since an
# activated .venv may be the one about to be replaced. Free-threaded builds have no wheels.
probe='
import sys, sysconfig
if sys.implementation.name != "cpython" or sys.version_info.releaselevel != "final":
    sys.exit(1)
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit(1)
missing = []
for name in ("venv", "ensurepip", "ssl", "ctypes", "sqlite3"):
    try:
        __import__(name)
    except ImportError:
        missing.append(name)
print("%d.%d" % sys.version_info[:2], ",".join(missing) or "-", sys._base_executable)
'

found=     # lines "version path"
crippled=  # "version modules path" of the first one that lacks modules

in_range() {
  case $1 in 3.*[!0-9]* | 3.) return 1 ;; 3.*) ;; *) return 1 ;; esac
  [ "${1#3.}" -ge "$oldest" ] && [ "${1#3.}" -le "$newest" ]
}

# Sets version, missing and path; false when "$1" does not run.
examine() {
  line=$("$1" -I -c "$probe" 2>/dev/null </dev/null) || return 1
  version=${line%% *}
  line=${line#* }
  missing=${line%% *}
  path=${line#* }
  [ -x "$path" ]
}

consider() {
  if [ ! -f "$1" ] || [ ! -x "$1" ]; then return; fi
  examine "$1" && in_range "$version" || return
  if [ "$missing" = - ]; then
    found="$found
$version $path"
  elif [ -z "$crippled" ]; then
    crippled="$version $missing $path"
  fi
}

have() {
  printf '%s\n' "$found" | grep -q "^$1 "
}

choose() {
  printf '%s\n' "$found" | sed -n "s/^$1 //p" | head -n 1
  exit 0
}

complain_of_modules() { # version modules path
  case $2 in
    *venv* | *ensurepip*) fail "Python $1 ($3) lacks its venv module: install it (Debian and Ubuntu: sudo apt-get install python$1-venv) and run make again." ;;
    *) fail "Python $1 ($3) was built without the module $2: install another Python from 3.$oldest to 3.$newest, or rebuild that one, and run make again." ;;
  esac
}

if [ -n "${PYTHON:-}" ]; then
  candidate=$(command -v -- "$PYTHON") || fail "PYTHON=$PYTHON is not a command: name a Python from 3.$oldest to 3.$newest, or leave PYTHON unset."
  examine "$candidate" || fail "PYTHON=$PYTHON does not run as a released CPython: name a Python from 3.$oldest to 3.$newest, or leave PYTHON unset."
  in_range "$version" || fail "PYTHON=$PYTHON is Python $version: name a Python from 3.$oldest to 3.$newest, or leave PYTHON unset."
  [ "$missing" = - ] || complain_of_modules "$version" "$missing" "$path"
  printf '%s\n' "$path"
  exit 0
fi

wanted=
if [ -f .python-version ]; then
  wanted=$(sed -n 's/^[[:space:]]*\(3\.[0-9][0-9]*\).*/\1/p' .python-version)
fi
minor=$newest
while [ "$minor" -ge "$oldest" ]; do
  wanted="$wanted
3.$minor"
  minor=$((minor - 1))
done
first=
for minor in $wanted; do
  if in_range "$minor"; then first=$minor && break; fi
done

old_ifs=$IFS
for minor in $wanted; do
  IFS=:
  for folder in $PATH; do
    IFS=$old_ifs
    consider "$folder/python$minor"
  done
  IFS=$old_ifs
  if have "$first"; then choose "$first"; fi
done
IFS=:
for folder in $PATH; do
  IFS=$old_ifs
  consider "$folder/python3"
  consider "$folder/python"
done
IFS=$old_ifs
if have "$first"; then choose "$first"; fi

data=${XDG_DATA_HOME:-${HOME:-}/.local/share}
for minor in $wanted; do
  for place in \
    "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/* \
    "${ASDF_DATA_DIR:-${HOME:-}/.asdf}"/installs/python/* \
    "${MISE_DATA_DIR:-$data/mise}"/installs/python/* \
    "${UV_PYTHON_INSTALL_DIR:-$data/uv/python}"/* \
    "${HOME:-}"/miniforge3 "${HOME:-}"/mambaforge "${HOME:-}"/miniconda3 "${HOME:-}"/anaconda3; do
    consider "$place/bin/python$minor"
  done
  # Where installers put Python outside PATH; a list of folders, so no spaces in them.
  for place in ${COURSE_PYTHON_PLACES-/usr/local /opt/homebrew /opt/local /Library/Frameworks/Python.framework/Versions/"$minor"}; do
    consider "$place/bin/python$minor"
  done
done

for minor in $wanted; do
  if have "$minor"; then choose "$minor"; fi
done

if [ -n "$crippled" ]; then
  version=${crippled%% *}
  crippled=${crippled#* }
  complain_of_modules "$version" "${crippled%% *}" "${crippled#* }"
fi

how="with your system's package manager or the installer of python.org"
for tool in brew pyenv mise uv; do
  if command -v "$tool" >/dev/null 2>&1; then
    case $tool in
      brew) how="brew install python@$first" ;;
      pyenv) how="pyenv install $first" ;;
      mise) how="mise install python@$first" ;;
      uv) how="uv python install $first" ;;
    esac
  fi
done
fail "No Python from 3.$oldest to 3.$newest was found: install one ($how) and run make again."
