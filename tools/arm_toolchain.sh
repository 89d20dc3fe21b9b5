#!/usr/bin/env bash
# Prints the folder of aarch64-linux-gnu-g++ and the path of qemu-aarch64-static, one a line: the system's, or else
# those of Debian's packages, unpacked into PhoneLM's cache (no root is needed). Fails with one line where neither can
# be had.
set -euo pipefail

COMPILER=aarch64-linux-gnu-g++
QEMU=qemu-aarch64-static
FOLDER=${PHONELM_CACHE:-$HOME/.cache/phonelm}/debian/arm

fail() {
  echo "arm_toolchain: $1" >&2
  exit 1
}

print_tools() {
  local compiler qemu
  compiler=$(PATH=$PATH:$FOLDER/bin command -v $COMPILER) && qemu=$(PATH=$PATH:$FOLDER/bin command -v $QEMU) || return 1
  dirname "$compiler"
  echo "$qemu"
}

# apt with lists of its own, so that root's need not exist, nor be fresh.
apt() {
  apt-get -qq -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o Debug::NoLocking=1 \
    -o APT::Sandbox::User= "$@" 2>>"$work/log"
}

# What the system lacks of the two packages and of what they depend on.
missing_packages() {
  apt --simulate --no-install-recommends install g++-aarch64-linux-gnu qemu-user-static |
    awk '$1 == "Inst" { print $2 }'
}

# The compiler finds its own parts beside itself, but its libraries' scripts name files by absolute paths.
write_wrapper() {
  cat >"$1" <<END
#!/bin/sh
root=\$(cd "\$(dirname "\$0")/../root" && pwd)
export LD_LIBRARY_PATH="\$root/usr/lib/\$(uname -m)-linux-gnu\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
exec "\$root/usr/bin/$COMPILER" --sysroot="\$root" "\$@"
END
  chmod +x "$1"
}

unpack() {
  local root=$work/done/root bin=$work/done/bin
  mkdir -p "$root" "$bin"
  for package in "$work"/packages/*.deb; do dpkg -x "$package" "$root"; done
  # The emulators of all other machines are half of everything.
  find "$root/usr/bin" -name 'qemu-*' ! -name $QEMU -delete
  rm -rf "$root/usr/share"
  if [ -e "$root/usr/bin/$COMPILER" ]; then write_wrapper "$bin/$COMPILER"; fi
  if [ -e "$root/usr/bin/$QEMU" ]; then ln -s "../root/usr/bin/$QEMU" "$bin/$QEMU"; fi
}

fetch() {
  command -v apt-get >/dev/null && command -v dpkg >/dev/null ||
    fail "there is no $COMPILER or no $QEMU, and no apt-get to fetch them"
  mkdir -p "$(dirname "$FOLDER")"
  work=$(mktemp -d "$FOLDER.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/packages"
  apt update || fail "Debian's packages cannot be reached: $(tail -1 "$work/log")"
  local packages
  packages=$(missing_packages) && [ -n "$packages" ] || fail "apt-get offers no g++-aarch64-linux-gnu: $(tail -1 "$work/log")"
  # shellcheck disable=SC2086
  (cd "$work/packages" && apt download $packages) || fail "cannot fetch: $(tail -1 "$work/log")"
  unpack
  rm -rf "$FOLDER"
  mv "$work/done" "$FOLDER"
}

print_tools || { fetch && print_tools; }
