#!/usr/bin/env bash
# Prints the path of `adb`: the system's, or else that of Debian's package, unpacked into PhoneLM's cache (no root is
# needed). Fails with one line where it cannot be had.
set -euo pipefail

FOLDER=${PHONELM_CACHE:-$HOME/.cache/phonelm}/debian/adb

# Its libraries lie in folders of their own, which the system's loader does not know.
write_wrapper() {
  mkdir -p "$FOLDER/bin"
  cat >"$FOLDER/bin/adb" <<'END'
#!/bin/sh
root=$(cd "$(dirname "$0")/../root" && pwd)
libraries="$root/usr/lib/$(uname -m)-linux-gnu"
export LD_LIBRARY_PATH="$libraries:$libraries/android${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
exec "$root/usr/lib/android-sdk/platform-tools/adb" "$@"
END
  chmod +x "$FOLDER/bin/adb"
}

if PATH=$PATH:$FOLDER/bin command -v adb; then exit 0; fi
"$(dirname "$0")/debian_packages.sh" "$FOLDER" adb >&2 || {
  echo "adb: it is not here, and Debian's package cannot be had" >&2
  exit 1
}
write_wrapper
echo "$FOLDER/bin/adb"
