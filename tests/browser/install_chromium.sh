#!/bin/sh
# The browser tests need a Chromium of the system. Install it by the platform's package manager where that is allowed.
set -eu
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null 2>&1; then
        exit 0
    fi
done
say() {
    echo "The browser tests need Chromium, and it could not be installed here: $1." >&2
    echo "Install it by hand (Debian, Ubuntu: sudo apt-get install chromium; Fedora: sudo dnf install chromium;" >&2
    echo "macOS: brew install --cask chromium), then run make test again." >&2
    exit 1
}
if command -v apt-get >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ]; then
        as_root=""
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        as_root="sudo -n"
    else
        say "this user may not install packages"
    fi
    echo "Installing Chromium for the browser tests..."
    $as_root apt-get update -qq || say "the package lists could not be fetched"
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null ||
        say "apt-get failed"
else
    say "there is no apt-get on this machine"
fi
