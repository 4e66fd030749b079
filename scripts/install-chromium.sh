#!/bin/sh
# See that there is a Chromium or Chrome for the tests that open the pages; for CI on Debian and
# its like. It must not fail: where none can be had the tests say so, and what to do.
set -eu

for name in chromium chromium-browser google-chrome google-chrome-stable; do
  if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if ! command -v apt-get >/dev/null 2>&1; then exit 0; fi

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends chromium
}

echo 'Installing Chromium, which opens the pages in the tests ...'
if ! output=$(install 2>&1 || { as_root apt-get update -q && install; } 2>&1); then
  printf '%s\n' "$output" | tail -n 5 >&2
fi
