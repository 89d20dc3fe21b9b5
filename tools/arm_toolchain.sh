#!/usr/bin/env bash
# Prints the folder of aarch64-linux-gnu-g++ and the path of qemu-aarch64-static, one per line: the system's, or else
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

fetch() {
  local root=$FOLDER/root bin=$FOLDER/bin
  "$(dirname "$0")/debian_packages.sh" "$FOLDER" g++-aarch64-linux-gnu qemu-user-static >&2 ||
    fail "there is no $COMPILER or no $QEMU here, and Debian's packages cannot be had"
  # The emulators of all other machines are half of everything.
  find "$root" -name 'qemu-*' -path '*/bin/*' ! -name $QEMU -delete
  rm -rf "$root/usr/share"
  mkdir -p "$bin"
  if [ -e "$root/usr/bin/$COMPILER" ]; then write_wrapper "$bin/$COMPILER"; fi
  if [ -e "$root/usr/bin/$QEMU" ]; then ln -sf "../root/usr/bin/$QEMU" "$bin/$QEMU"; fi
}

print_tools || { fetch && print_tools; } || fail "Debian's packages hold no $COMPILER or no $QEMU"
