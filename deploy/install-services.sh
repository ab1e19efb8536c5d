#!/usr/bin/env bash
# The Debian packages the tests run against. Without root it only says what is missing: the tests then say it too.
set -euo pipefail

declare -A packages=(
  [redis-server]=redis-server
  [prometheus]=prometheus
  [prometheus-alertmanager]=prometheus-alertmanager
  [chromium]=chromium
  [chromedriver]=chromium-driver
  [java]=openjdk-17-jre-headless
  [mvn]=maven
)
missing=()
for program in "${!packages[@]}"; do
  command -v "$program" >/dev/null 2>&1 || missing+=("${packages[$program]}")
done
# The schema registry wants Java 21 or later, beside the other one; not every release of Debian has a package of it.
newer() {
  [ -n "${JAVA_HOME_21_X64:-}" ] || compgen -G '/usr/lib/jvm/*-2[1-9]*' >/dev/null || compgen -G '/usr/lib/jvm/*-[3-9][0-9]*' >/dev/null
}
if ! newer && command -v apt-cache >/dev/null 2>&1; then
  for release in 21 25; do
    if apt-cache policy "openjdk-$release-jre-headless" | grep -q 'Candidate: [0-9]'; then
      missing+=("openjdk-$release-jre-headless")
      break
    fi
  done
fi
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "missing: ${missing[*]} (install them, or run this as root on Debian); tests that need them will be skipped" >&2
  exit 0
fi
echo "installing ${missing[*]}" >&2
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
