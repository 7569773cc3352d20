# Shared by run, test, bench and freeze, which source it from the project's folder: makes .venv there.
# Steps are told on stderr, so that stdout carries what the command itself has to say.

unset PYTHONOPTIMIZE PYTHONHOME PYTHONPATH # Assertions stay on; nothing from elsewhere is imported.
PYTHON_MIN=3.11

say() { printf 'imgd: %s\n' "$*" >&2; }

fail() {
    say "$@"
    exit 1
}

# Runs a command as root: directly, or through sudo if that asks for no password. Returns 1 if neither is possible.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

may_be_root() { as_root true; }

# Debian asks this file whether the service of a package that is being installed may start.
POLICY=/usr/sbin/policy-rc.d

# Has apt-get install the named packages; none of their services is started. In a shell of its own, for its trap.
apt_install() (
    if [ ! -e $POLICY ]; then
        trap 'as_root rm -f $POLICY' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root sh -c "cat >$POLICY && chmod 755 $POLICY"
    fi
    as_root apt-get -q update &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@"
)

# Installs those of the named Debian packages that are missing.
need_debian() {
    local missing=() package log
    for package in "$@"; do
        dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || fail "these are missing, and there is no apt-get to install them: ${missing[*]}"
    may_be_root || fail "these Debian packages are missing: ${missing[*]}; as root: apt-get install ${missing[*]}"
    log=$(mktemp)
    say "installing Debian packages: ${missing[*]}"
    if ! apt_install "${missing[@]}" >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        rm -f "$log"
        fail "apt-get could not install: ${missing[*]} (its own words are above)"
    fi
    rm -f "$log"
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < tuple(map(int, sys.argv[1].split("."))))' "$PYTHON_MIN" 2>/dev/null
}

# Sets PYTHON_FOUND to a Python that is new enough, installing Debian's if there is none at all.
find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14}; do
        if is_new_enough "$candidate"; then
            PYTHON_FOUND=$candidate
            return 0
        fi
    done
    [ -z "${PYTHON:-}" ] || fail "PYTHON=$PYTHON is not Python $PYTHON_MIN or newer"
    command -v python3 >/dev/null && fail "Python $PYTHON_MIN or newer is needed; this is $(python3 --version 2>&1)"
    need_debian python3 python3-venv
    is_new_enough python3 || fail "Python $PYTHON_MIN or newer is needed; Debian's is $(python3 --version 2>&1)"
    PYTHON_FOUND=python3
}

# Makes a virtual environment in the folder $1.
make_venv() {
    local log
    log=$(mktemp)
    if ! "$PYTHON_FOUND" -m venv --clear "$1" >"$log" 2>&1; then
        say "$PYTHON_FOUND -m venv does not work: python3-venv is missing"
        if [ "$(command -v "$PYTHON_FOUND")" = /usr/bin/python3 ] && command -v apt-get >/dev/null && may_be_root; then
            need_debian python3-venv
        else
            cat "$log" >&2
            rm -rf "$log" "$1"
            fail "install it (Debian, as root: apt-get install python3-venv), then run this again"
        fi
        if ! "$PYTHON_FOUND" -m venv --clear "$1" >"$log" 2>&1; then
            cat "$log" >&2
            rm -rf "$log" "$1"
            fail "no virtual environment could be made in $1 (Python's own words are above)"
        fi
    fi
    rm -f "$log"
}

# Runs pip of the environment $1 with the arguments that follow; names what it collects, shows all it said if it fails.
run_pip() {
    local venv=$1 log why
    shift
    log=$(mktemp)
    if ! "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@" 2>&1 </dev/null | tee "$log" | awk '
        /^ *Collecting / { sub(/[<>=!~; ].*/, "", $2); printf " %s", $2; fflush(); any = 1 }
        /^Installing collected packages/ { printf " ... unpacking"; fflush(); any = 1 }
        END { if (any) print "" }' >&2; then
        cat "$log" >&2
        why=$(grep '^ERROR: ' "$log" | tail -n 1)
        rm -f "$log"
        case $why in
            *"No matching distribution"* | *"Could not find a version"* | *ResolutionImpossible*)
                fail "not to be had from the package index that pip uses here, or it cannot be reached: ${why#ERROR: }" ;;
            *) fail "pip could not install this (its own words are above): ${why#ERROR: }" ;;
        esac
    fi
    rm -f "$log"
}

# What pyproject.toml says that the project is built with, one a line.
build_requires() {
    "$1" -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")'
}

# Installs the project, editable, with the extras "$2" (may be empty) into the environment $1, further arguments for pip.
install_project() {
    local venv=$1 extras=$2 build
    shift 2
    mapfile -t build < <(build_requires "$venv/bin/python")
    [ "$extras" != test ] || build+=('setuptools>=70.1') # One of the tests' packages is only to be had as sources.
    # The build's own packages come from the constraints too, so no isolated environment fetches newer ones.
    run_pip "$venv" install "$@" "${build[@]}" editables
    run_pip "$venv" install "$@" --no-build-isolation -e ".${extras:+[$extras]}"
}

# Builds the browser's page, unless it was built from the present sources.
need_page() { .venv/bin/python scripts/build_page.py "$@"; }

# Names the state that an installation with the extras $1 was made from.
stamp_of() {
    { cat pyproject.toml constraints.txt && "$PYTHON_FOUND" -c 'import sys; print(sys.version)' &&
        printf '%s\n' "$PWD" "$1"; } | sha256sum | cut -d ' ' -f 1
}

# Makes .venv hold the project with the extras $1; does nothing if it does already.
need_venv() {
    local extras=$1 stamp
    stamp=.venv/imgd-installed${extras:+-$extras}
    find_python
    exec 9<pyproject.toml
    flock 9 # Two commands started at once would install into the same folder.
    if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$(stamp_of "$extras")" ]; then
        exec 9<&-
        return 0
    fi
    if [ ! -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1 ||
        [ "$(.venv/bin/python -c 'import sys; print(sys.version)')" != \
            "$("$PYTHON_FOUND" -c 'import sys; print(sys.version)')" ]; then
        say "step 1 of 2: making .venv with $("$PYTHON_FOUND" --version)"
        make_venv .venv
    fi
    say "step 2 of 2: installing what constraints.txt names (some minutes the first time)"
    rm -f .venv/imgd-installed*
    install_project .venv "$extras" -c constraints.txt
    stamp_of "$extras" >"$stamp"
    [ -z "$extras" ] || stamp_of "" >.venv/imgd-installed
    exec 9<&-
}
