#!/usr/bin/env bash
# Builds dist/fuse4fs, the one executable. See scripts/compile/main.ts for the ways to do it.
set -euo pipefail
cd "$(dirname "$0")"

# The Deno that builds is the Deno that goes into the executable, so its version is fixed.
deno_version=2.9.6
if [ -n "${DENO:-}" ]; then
  deno=("$DENO")
elif [ "$(deno --version 2>/dev/null | sed -n 's/^deno \([0-9.]*\).*/\1/p')" = "$deno_version" ]; then
  deno=(deno)
else
  deno=(npx -y "deno@$deno_version")
fi

exec "${deno[@]}" run --allow-all scripts/compile/main.ts "$@"
