#!/bin/sh
# Starts mimo_edge out of this folder, on Linux or macOS, without a network:
#   sh start.sh               a spoken conversation
#   sh start.sh speak "..."   any other command (sh start.sh transcribe --help)
#   sh start.sh verify        whether the folder arrived whole
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 1
bad='' why=''
for python in "${MIMO_EDGE_PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 \
  python3.10 python; do
  [ -n "$python" ] && command -v "$python" >/dev/null 2>&1 || continue
  # Python 2 knows these options as well; macOS has a program `python3` that only offers to
  # install one.
  case $("$python" -E -s -c 'import sys; print(sys.version_info >= (3, 10))' 2>/dev/null) in
    True) ;;
    False) bad=${bad:-"$python is older than Python 3.10; install a newer one."}; continue ;;
    *) bad=${bad:-"$python does not run; install Python 3.10 or newer."}; continue ;;
  esac
  if said=$("$python" -I "$here/launch.py" --fits 2>&1); then
    exec "$python" -I "$here/launch.py" "$@"
  fi
  why=${why:-$said}
done
# Not `echo`, which makes something else of a backslash in a folder's name.
printf 'mimo-edge: %s\n' "${why:-${bad:-there is no Python here; install Python 3.10 or newer.}}" >&2
exit 1
