# Words every script of this folder uses. Sourced, not run.
# shellcheck shell=bash disable=SC2034 # used by those who source it

# Outside the checkout, so that a fresh clone on a machine that prepared before is warm.
cache="${CONFORM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/conform}/airgap"
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

kubernetes=1.37.2
# Where the node image of this Kubernetes is found; kind's own name for it.
node_image="kindest/node:v$kubernetes"

say() { printf 'airgap: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# Whether the host keeps CAP_SYS_RESOURCE (bit 24) from us. A privileged container asks for every
# capability, so without this one the engine cannot start it.
lacks_sys_resource() {
    local bounding
    bounding="$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/self/status)"
    [ $((0x$bounding >> 24 & 1)) -eq 0 ]
}

# A hash of files and words: what a result was made from.
recipe() {
    local part
    for part in "$@"; do
        if [ -f "$part" ]; then sha256sum <"$part"; else printf '%s\n' "$part"; fi
    done | sha256sum | cut -c 1-16
}

# entry NAME RECIPE: the folder that the result of this recipe has in the cache.
entry() { printf '%s/%s-%s\n' "$cache" "$1" "$2"; }

# making NAME: an empty folder to make a result in, beside where it goes. What a killed run left there
# is removed first.
making() {
    local folder="$cache/.making-$1"
    rm -rf "$folder"
    mkdir -p "$folder"
    printf '%s\n' "$folder"
}

# made FOLDER ENTRY: gives a whole result its name, and removes what older recipes made under it.
made() {
    local old
    for old in "${2%-*}"-????????????????; do
        [ "$old" = "$2" ] || rm -rf "$old"
    done
    rm -rf "$2"
    mv -T "$1" "$2"
}

# The engine's client, on the socket that `engine` starts one on, unless the user named another.
image_has() { [ "$(docker image inspect --format "{{index .Config.Labels \"conform.recipe\"}}" "$1" 2>/dev/null)" = "$2" ]; }
