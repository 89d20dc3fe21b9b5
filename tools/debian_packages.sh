#!/bin/sh
# Unpacks packages of the system's Debian (or a kin) and what they need into a folder, without installing them.
#   tools/debian_packages.sh FOLDER NAME...
# FOLDER/root then holds usr/bin, usr/lib, ... Nothing outside FOLDER is changed; no rights are needed.
set -eu
folder=$(mkdir -p "$1" && cd "$1" && pwd)
shift
done_mark=$folder/unpacked-$(echo "$*" | tr ' /' '__')
[ ! -e "$done_mark" ] || exit 0
command -v apt-get >/dev/null && command -v dpkg >/dev/null || { echo "this is no Debian: no apt-get" >&2; exit 1; }

mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/debs" "$folder/root"
apt() {
  apt-get -qq -o Dir::State::Lists="$folder/lists" -o Dir::Cache="$folder/cache" -o Debug::NoLocking=1 \
    -o APT::Sandbox::User="$(id -un)" "$@"
}
apt update >/dev/null
plan=$(apt install --simulate --no-install-recommends "$@")
needed=$(echo "$plan" | awk '$1 == "Inst" { print $2 }')
(cd "$folder/debs" && { [ -z "$needed" ] || apt download $needed; })
for package in "$folder"/debs/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" "$folder/root"
done
rm -rf "$folder/debs" "$folder/cache" "$folder/lists"
: >"$done_mark"
