#!/usr/bin/env bash
# Installs what Graft needs: Debian packages and the Python environment(s). Cheap when there is nothing to do.
#
#   tools/setup.sh            packages and the build environment ($GRAFT_VENV, default .venv)
#   tools/setup.sh --tests    also what only tests, fuzzing and lint need, in the same places
#   tools/setup.sh --peers    also .venv-peers, the engines that `make bench` compares with
set -euo pipefail
cd "$(dirname "$0")/.."

# A terminal shows how far it is.
quiet_apt=(-qq) quiet_pip=(--quiet)
if [ -t 1 ]; then quiet_apt=() quiet_pip=(); fi

# missing_packages LIST…
missing_packages() {
  local package
  grep -hv '^#' "$@" | while read -r package; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

# install_packages LIST…
install_packages() {
  local missing as_root=()
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null; then
      echo "setup: these Debian packages are missing and neither root nor sudo is there to install them:" >&2
      printf '  %s\n' "${missing[@]}" >&2
      exit 2
    fi
    as_root=(sudo -n)
  fi
  echo "setup: installing ${missing[*]}"
  "${as_root[@]}" apt-get update "${quiet_apt[@]}"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y "${quiet_apt[@]}" --no-install-recommends "${missing[@]}"
}

# install_environment DIR REQUIREMENTS [PART]: a virtual environment with these requirements, beside those of other parts.
# The part's stamp in it holds the hash of what it was made from, so an unchanged environment costs one hash.
install_environment() {
  local dir=$1 requirements=$2 stamp=$1/.graft-stamp${3:+-$3} want
  want=$({ cat "$requirements"; python3 --version; } | sha256sum)
  [ "$(cat "$stamp" 2>/dev/null)" != "$want" ] || return 0
  echo "setup: making $dir from $requirements"
  [ -x "$dir/bin/python" ] || python3 -m venv "$dir"
  # Bytecode is made when a module is first imported: most never are.
  "$dir/bin/python" -m pip install "${quiet_pip[@]}" --no-compile --disable-pip-version-check -r "$requirements"
  echo "$want" >"$stamp"
}

environment=${GRAFT_VENV:-.venv}
install_packages tools/debian-packages.txt
install_environment "$environment" requirements.txt
case "${1:-}" in
--tests)
  install_packages tools/debian-packages-tests.txt
  install_environment "$environment" requirements-tests.txt tests
  ;;
--peers) install_environment .venv-peers requirements-peers.txt ;;
esac
