# Shared libraries that packages look for: functions for resolve.sh, and for the Dockerfiles of open
# builds, which join these lines to one. So each line ends as it would have to in the middle of one.

# lacking FOLDER: the libraries that files below it look for, and neither they nor the system are.
# A GPU's driver is given to the container. Of Qt's plugins only the one for X windows counts.
lacking() {
  for library in $(find "$1" -type f -name '*.so*' ! -path '*/qml/*' '(' ! -path '*/plugins/*' -o -name 'libqxcb.so' ')' -exec ldd {} + 2>/dev/null | sed -nE 's/^[[:space:]]+([^ /]+) => not found.*/\1/p' | LC_ALL=C sort -u); do
    case $library in libcuda.so.*|libnvidia-*|libnvcuvid.so.*) continue;; esac;
    if [ -z "$(find "$1" -name "$library" -print -quit)" ]; then echo "$library"; fi;
  done;
};
# package_of LIBRARY: its package, named after it as Debian's policy (8.1) has it, but for GLib's and Brotli's.
package_of() {
  case $1 in
    libglib-2.0.so.0|libgthread-2.0.so.0|libgobject-2.0.so.0|libgmodule-2.0.so.0|libgio-2.0.so.0) echo libglib2.0-0;;
    libbrotli*.so.1) echo libbrotli1;;
    *.so.[0-9]*) echo "$1" | sed -E 's/([0-9])\.so\./\1-/; s/\.so\.//; s/_/-/g' | tr A-Z a-z;;
  esac;
};
# update_lists OPTIONS: the archive's lists. What can't be had apt only warns of.
update_lists() {
  LC_ALL=C apt-get "$@" update -q > /tmp/mlbuild-update 2>&1 || { cat /tmp/mlbuild-update >&2; return 1; };
  cat /tmp/mlbuild-update >&2;
};
# packages_of LIBRARIES OPTIONS: those that the archive has; what it lacks is said.
packages_of() {
  libraries=$1; shift; unknown=;
  for library in $libraries; do
    name=$(package_of "$library"); package=;
    for candidate in $name ${name:+"${name}t64"}; do
      if apt-cache "$@" show -- "$candidate" 2>/dev/null | grep -q "^Package: "; then package=$candidate; fi;
    done;
    if [ -n "$package" ]; then echo "$package"; else unknown="$unknown $library"; fi;
  done;
  if [ -n "$unknown" ] && grep -q '^W: Failed to fetch' /tmp/mlbuild-update; then
    echo "mlbuild: not all of the package archive can be reached, and so nobody knows which packages have$unknown: try again when it can" >&2; return 1;
  fi;
  if [ -n "$unknown" ]; then echo "mlbuild: these may need --apt, since no package is named after them:$unknown" >&2; fi;
};
