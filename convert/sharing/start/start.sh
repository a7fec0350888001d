#!/bin/sh
# Starts mimo_edge out of this folder, on Linux or macOS, without a network:
#   sh start.sh               a spoken conversation
#   sh start.sh speak "..."   any other command (sh start.sh transcribe --help)
#   sh start.sh verify        whether the folder arrived whole
here=$(cd "$(dirname "$0")" && pwd) || exit 1
old= why=
for python in "${MIMO_EDGE_PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10 \
  python3.14 python; do
  [ -n "$python" ] && command -v "$python" >/dev/null 2>&1 || continue
  if ! "$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
    old=${old:-"$python is older than Python 3.10; install a newer one."}
  elif said=$("$python" -I "$here/launch.py" --fits 2>&1); then
    exec "$python" -I "$here/launch.py" "$@"
  else
    why=${why:-$said}
  fi
done
echo "mimo-edge: ${why:-${old:-there is no Python here; install Python 3.10 or newer.}}" >&2
exit 1
