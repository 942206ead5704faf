#!/usr/bin/env bash
# Installs what is missing on a Debian or Ubuntu machine that has a Rust toolchain and a C compiler.
#   install-deps.sh build    libclang, for RocksDB's bindings
#   install-deps.sh test     also what the tests start: redis-server, redis-cli, dnsmasq, ip and tc, Python with redis-py
#   install-deps.sh bench    also the peers of the benchmark: etcd
# Does nothing, and needs no network and no root, where everything is there.
set -euo pipefail

what=${1:-build}
packages=()

need_command() { command -v "$1" >/dev/null 2>&1 || packages+=("$2"); }

need_libclang() {
    ldconfig -p | grep -q 'libclang[-.0-9]*\.so' && return
    compgen -G '/usr/lib/llvm-*/lib/libclang[-.][s0-9]*' >/dev/null && return
    packages+=(libclang-dev)
}

need_command c++ g++
need_libclang
case $what in
    build) ;;
    test | bench)
        need_command redis-server redis-server
        need_command redis-cli redis-tools
        need_command tc iproute2
        [ -x /usr/sbin/dnsmasq ] || packages+=(dnsmasq-base)
        python3 -c 'import venv, ensurepip' 2>/dev/null || packages+=(python3-venv)
        ;;
    *)
        echo "install-deps.sh: unknown part '$what'" >&2
        exit 64
        ;;
esac
if [ "$what" = bench ]; then
    need_command etcd etcd-server
fi

command -v cargo >/dev/null 2>&1 || {
    echo "install-deps.sh: no cargo; install a Rust toolchain first (https://rustup.rs)" >&2
    exit 1
}
[ ${#packages[@]} -eq 0 ] && exit 0

sudo=()
if [ "$(id -u)" -ne 0 ]; then
    sudo=(sudo)
fi
echo "Installing ${packages[*]}" >&2
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${packages[@]}"
