#!/usr/bin/env bash
# Makes .venv ready: `bootstrap.sh run` for the program alone, `bootstrap.sh test` with what tests need,
# `bootstrap.sh bench` with what the benches need.
# Installs from Debian and PyPI what is missing, and nothing twice.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-run}

say() { printf '\033[2m%s\033[0m\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else echo "these Debian packages are missing; install them as root, then try again: ${missing[*]}" >&2; exit 1
    fi
}

missing=()
need() { # need PACKAGE TEST...: the package when the test fails
    local package=$1; shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

need python3 command -v python3
need python3-venv python3 -c 'import ensurepip, venv'
if [ "$what" = test ]; then
    need mariadb-server command -v mariadbd
    need debootstrap command -v debootstrap
fi
if [ ${#missing[@]} -gt 0 ]; then
    say "installing ${missing[*]} …"
    # Packages that bring services must not start them here.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        as_root sh -c 'printf "#!/bin/sh\nexit 101\n" > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d'
        trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "itgrix-bx needs Python 3.11 or newer; this is $(python3 --version)" >&2; exit 1; }

extras=""
[ "$what" = test ] && extras="[test,lint]"
[ "$what" = bench ] && extras="[bench]"
stamp=.venv/.installed-$what
if [ ! -e "$stamp" ] || [ setup.cfg -nt "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
    [ -x .venv/bin/python ] || python3 -m venv .venv
    say "installing the Python packages …"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".$extras"
    touch "$stamp"
fi
