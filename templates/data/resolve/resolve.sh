# Finds out which packages an image gets, and fetches them, inside the base image itself.
#
# Reads /mlbuild (settings, files of the project; pins where packages that are known already have
# to be fetched; `known`, a line for each earlier answer of this base: `all` where no library was lacking, else
# `some`, and the hashes of its wheels, which needn't be given back; uv/ may have the wheel of uv), and leaves everything in /mlbuild-out:
#   debs/, apt.tsv       packages of the distribution: file, name, version, arch, sha256, size,
#                        suite, component, path; from the package lists that apt has verified
#   wheels/, python.tsv  Python packages: kind, name, version, file, sha256
#   requested, facts     what apt is asked for; versions of Python and pip, and whether no library is lacking
#   build.tsv, build_requested   the same for the stage that compiles, where anything is compiled
#   conda/, conda.tsv    packages of conda's channels: name, version, build, file, sha256, size, address; and the
#                        py-rattler that lays them out: name, version, file
#   missing              what no source has any more
set -eu
umask 022
out=/mlbuild-out
mkdir -p $out/debs/partial $out/wheels $out/uv
: > $out/apt.tsv; : > $out/python.tsv; : > $out/facts; : > $out/missing; : > $out/requested
: > $out/build.tsv; : > $out/build_requested; : > $out/conda.tsv
# shellcheck source=/dev/null
. /mlbuild/settings

# Lines that name projects of the folder itself, which come with the code, are left out.
export FILES=/mlbuild/files
if [ -s /mlbuild/omitted ]; then
    FILES=/tmp/mlbuild-files
    cp -r /mlbuild/files $FILES
    while IFS="$(printf '\t')" read -r lines file; do
        sed -i "$lines" "$FILES/$file"
    done < /mlbuild/omitted
fi

say() { echo "mlbuild: $*" >&2; }

if [ -f /run/secrets/mlbuild-ca ]; then
    for name in SSL_CERT_FILE PIP_CERT REQUESTS_CA_BUNDLE CURL_CA_BUNDLE GIT_SSL_CAINFO; do export "$name=/run/secrets/mlbuild-ca"; done
fi
if [ -f /run/secrets/mlbuild-pip-conf ]; then export PIP_CONFIG_FILE=/run/secrets/mlbuild-pip-conf; fi
if [ -f /run/secrets/mlbuild-uv-conf ]; then export UV_CONFIG_FILE=/run/secrets/mlbuild-uv-conf; fi
export HOME=/root PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore UV_PYTHON_DOWNLOADS=never UV_HTTP_RETRIES=8 PYTHONDONTWRITEBYTECODE=1

# Packages of conda's channels: found, or fetched where they are pinned, and laid out, so that Python's resolver runs
# in the image as it will be.
conda() { PYTHONPATH=/tmp/rattler python3 /mlbuild/conda.py "$@"; }

conda_packages() {
    if ! python3 -c 'import sys, pip; sys.exit(sys.version_info < (3, 10))' 2> /dev/null; then
        say "conda's packages are laid out by Python 3.10 or newer with pip, which this base lacks: choose a base of python:3.12-slim-bookworm"
        exit 1
    fi
    mkdir -p $out/conda/pkgs $out/conda/rattler
    python3 -m pip download -q --no-deps --require-hashes -d $out/conda/rattler -r /mlbuild/rattler.txt
    python3 -m zipfile -e $out/conda/rattler/*.whl /tmp/rattler
    if [ -e /mlbuild/conda.pins ]; then
        cp /mlbuild/conda.pins $out/conda/found
        conda fetch $out/conda $out/missing
    else
        conda find /mlbuild/conda.request $out/conda
        conda fetch $out/conda
    fi
    version=$(sed -E 's/.*==([^ ]+) .*/\1/' /mlbuild/rattler.txt)
    printf 'py-rattler\t%s\t%s\n' "$version" "$(basename $out/conda/rattler/*.whl)" > $out/conda.tsv
    cat $out/conda/conda.tsv >> $out/conda.tsv
    # Where packages of the index are all here there is nothing to resolve.
    if [ -e /mlbuild/python.pins ] && [ ! -s /mlbuild/python.pins ]; then return; fi
    if [ -s $out/missing ] || [ -z "$ENVIRONMENT" ]; then return; fi
    conda install $out/conda /opt/conda pip plain
    conda_path=/opt/conda/bin:
}

# Not before the distribution's packages are installed, whose scripts call its own programs.
conda_path=
if [ -s /mlbuild/conda.pins ] || { [ -s /mlbuild/conda.request ] && [ ! -e /mlbuild/conda.pins ]; }; then conda_packages; fi

packages=$APT
python=python3
case $ENVIRONMENT in
    venv) python3 -c 'import ensurepip, venv' > /dev/null 2>&1 || packages="$packages python3 python3-venv" ;;
    base) PATH="$conda_path$PATH" python3 -m pip --version > /dev/null 2>&1 || packages="$packages python3 python3-pip" ;;
esac
packages=$(echo $packages | tr ' ' '\n' | sort -u | tr '\n' ' ')

apt_settings() {
    set --
    if [ -f /run/secrets/mlbuild-apt-conf ]; then export APT_CONFIG=/run/secrets/mlbuild-apt-conf; fi
    options="-o APT::Sandbox::User=root -o Acquire::Retries=2 -o Acquire::Languages=none"
    if [ -f /run/secrets/mlbuild-ca ]; then options="$options -o Acquire::https::CAInfo=/run/secrets/mlbuild-ca"; fi
    sources=/run/secrets/mlbuild-apt-sources
    if [ -n "$AS_OF" ] && [ -f $sources ]; then
        sed "s/{time}/$(echo "$AS_OF" | tr -d :-)/g" $sources > /tmp/snapshots.list
        sources=/tmp/snapshots.list
        options="$options -o Acquire::Check-Valid-Until=false"
    fi
    if [ -f $sources ]; then
        options="$options -o Dir::Etc::sourcelist=$sources -o Dir::Etc::sourceparts=-"
    fi
    export DEBIAN_FRONTEND=noninteractive
}

# The package lists that apt has, as FILE|SUITE|COMPONENT|URI.
lists() {
    # shellcheck disable=SC2016 # apt's own placeholders
    apt-get $options indextargets --format '$(FILENAME)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)' 'Created-By: Packages'
}

# Resolves $packages and downloads what the base lacks.
apt_resolve() {
    if [ -n "$AS_OF" ] && [ ! -f $sources ]; then
        say "this base lacks $packages: as of $AS_OF they come from an archive of snapshots, and [build] apt_snapshots names none"
        exit 1
    fi
    apt-get $options update -q
    apt-get $options -o Dir::Cache::archives=$out/debs install -q -y --no-install-recommends --download-only $packages
    echo $packages > $out/requested
    for deb in $out/debs/*.deb; do
        [ -e "$deb" ] || continue
        sha256sum "$deb"
    done | sed 's,/.*/,,' > /tmp/debs.sums
    # What the verified lists say of files with these hashes.
    : > /tmp/known
    lists | while IFS='|' read -r list suite component _; do
        [ -f "$list" ] || continue
        /usr/lib/apt/apt-helper $options cat-file "$list" | awk -v OFS='\t' -v suite="$suite" -v component="$component" '
            FILENAME == ARGV[1] { file[$1] = $2; next }
            /^Package: / { name = $2 } /^Version: / { version = $2 } /^Architecture: / { arch = $2 }
            /^Filename: / { path = $2 } /^Size: / { size = $2 } /^SHA256: / { sha = $2 }
            /^$/ { give() } END { give() }
            function give() {
                if (sha in file && !(sha in done)) {
                    sub(/^\.\//, "", path)
                    print file[sha], name, version, arch, sha, size, (suite == "" ? "none" : suite), (component == "" ? "none" : component), path
                    done[sha] = 1
                }
                sha = ""
            }' /tmp/debs.sums - >> /tmp/known
    done
    sort -u -t "$(printf '\t')" -k1,1 /tmp/known > $out/apt.tsv
    cut -f1 $out/apt.tsv > /tmp/told
    while read -r sum file; do
        if ! grep -qxF "$file" /tmp/told; then
            say "apt downloaded $file with sha256 $sum, which no verified package list names"
            exit 1
        fi
    done < /tmp/debs.sums
}

# Fetches the files of /mlbuild/apt.pins (FILE PATH SHA256) from whichever source has them. One that
# isn't the pinned one is given back as it is, for both hashes to be shown, and installed nowhere.
apt_fetch() {
    # shellcheck disable=SC2016 # apt's own placeholder
    apt-get $options indextargets --no-release-info --format '$(REPO_URI)' | sort -u > /tmp/sources
    while read -r file path sha256; do
        found=
        for source in $(cat /tmp/sources); do
            if /usr/lib/apt/apt-helper $options download-file "${source%/}/$path" "$out/debs/$file" > /tmp/said 2>&1; then
                found=$(sha256sum "$out/debs/$file" | cut -c1-64)
                if [ "$found" = "$sha256" ]; then continue 2; fi
                say "$file has another hash than its pin"
            fi
        done
        echo "$file" >> $out/missing
        if [ -z "$found" ]; then
            rm -f "$out/debs/$file"
            cat /tmp/said >&2
        fi
    done < /mlbuild/apt.pins
}

if [ -n "$(echo $packages)" ]; then
    if ! command -v apt-get > /dev/null; then
        say "this base has no apt-get to install $packages: choose a Debian or Ubuntu base"
        exit 1
    fi
    apt_settings
    if [ -e /mlbuild/apt.pins ]; then apt_fetch; else apt_resolve; fi
    rm -rf $out/debs/partial $out/debs/lock
    # Python's resolver runs in the base as it will be.
    if [ -n "$ENVIRONMENT" ] && [ ! -s $out/missing ] && ls $out/debs/*.deb > /dev/null 2>&1; then
        apt-get $options install -q -y --no-install-recommends $out/debs/*.deb > /tmp/said 2>&1 || { cat /tmp/said >&2; exit 1; }
    fi
fi
rm -rf $out/debs/partial

if [ -n "$ENVIRONMENT" ] && [ ! -s $out/missing ]; then
    export PATH="$conda_path$PATH"
    if [ -n "$PYTHON_VERSION" ]; then
        found=$(python3 -c 'import platform; print(platform.python_version())')
        case "$found." in "$PYTHON_VERSION".*) ;; *)
            say "Python $PYTHON_VERSION is asked for, but this base has $found: name another base or version"
            exit 1 ;;
        esac
    fi
    if [ "$ENVIRONMENT" = venv ]; then
        # Made by a step that builders keep, where the base has what it takes.
        venv=/mlbuild-venv
        if [ ! -x $venv/bin/python ]; then python3 -m venv $venv; fi
        python=$venv/bin/python
    else
        export PIP_BREAK_SYSTEM_PACKAGES=1
    fi
    $python /mlbuild/resolve.py
    # Libraries of the distribution that the packages look for are packages that are asked for.
    libraries=
    if [ -d /tmp/mlbuild-libraries ]; then
        # shellcheck source=/dev/null
        . /mlbuild/libraries.sh
        libraries=$(lacking /tmp/mlbuild-libraries)
        if [ -z "$libraries" ]; then printf 'libraries\tall\n' >> $out/facts; fi
    fi
    if [ -n "$libraries" ] && ! command -v apt-get > /dev/null; then
        say "packages look for" $libraries"; this base has no apt-get to install them"
    elif [ -n "$libraries" ]; then
        apt_settings
        update_lists $options
        # shellcheck disable=SC2086 # options are words
        more=$(packages_of "$libraries" $options)
        if [ -n "$more" ]; then
            say "libraries of the distribution:" $more
            packages=$(echo $packages $more | tr ' ' '\n' | sort -u | tr '\n' ' ')
            mkdir -p $out/debs/partial
            apt_resolve
            rm -rf $out/debs/partial $out/debs/lock
        fi
    fi
fi

# Source archives that may hold code to compile, but for those that are known to hold none.
compiles=${COMPILES:-}
if [ -z "$compiles" ] && [ ! -s $out/missing ] && [ ! -e /mlbuild/python.pins ]; then
    for name in $(sed -n 's/^source\t\([^\t]*\)\t.*/\1/p' $out/python.tsv); do
        if ! grep -qxF "$name" /mlbuild/pure; then compiles=yes; fi
    done
fi
if [ -n "$compiles" ] && [ ! -e /mlbuild/apt.pins ] && [ ! -s $out/missing ]; then
    more="$BUILD_APT"
    if ! command -v c++ > /dev/null || ! command -v make > /dev/null; then more="$more build-essential"; fi
    python3 -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' 2> /dev/null || more="$more python3-dev"
    if ! command -v apt-get > /dev/null; then
        say "packages are compiled, and this base has no apt-get to install $more: choose a Debian or Ubuntu base"
        exit 1
    fi
    before=$(cat $out/requested)
    cp $out/apt.tsv /tmp/apt.tsv
    packages=$(echo $packages $more | tr ' ' '\n' | sort -u | tr '\n' ' ')
    if [ -n "$(echo $packages)" ]; then
        apt_settings
        mkdir -p $out/debs/partial
        apt_resolve
        rm -rf $out/debs/partial $out/debs/lock
    fi
    grep -vxF -f /tmp/apt.tsv $out/apt.tsv > $out/build.tsv || true
    mv /tmp/apt.tsv $out/apt.tsv
    echo $packages > $out/build_requested
    echo $before > $out/requested
fi
