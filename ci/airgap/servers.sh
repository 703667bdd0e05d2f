# Images of the servers of the local target. Sourced, after lib.sh and image.sh.
# shellcheck shell=bash disable=SC2154 # `here` is of lib.sh

# This project's own program, with the catalog that the variable names.
conform=(${CONFORM_BIN:+"$CONFORM_BIN"})
[ ${#conform[@]} -gt 0 ] || conform=(cargo run --quiet --locked --manifest-path "$here/../../Cargo.toml" --package suites
    --bin conform --)
conform+=(${catalog:+--catalog "$catalog"})
# look: finds out which servers are there.
look() { servers="$("${conform[@]}" doctor --json)" || true; }
# server COMPONENT: its executables, one a line; nothing where it is not there.
server() { jq -r --arg name "$1" '.[] | select(.subject == $name and .state == "ready") | .paths[]' <<<"$servers"; }

# of COMPONENT TAG USER ENTRYPOINT PLACE NAME...: an image of a server's executables, in the folder PLACE.
of() {
    local component=$1 tag=$2 user=$3 entrypoint=$4 place=$5 name paths pairs=()
    shift 5
    paths="$(server "$component")"
    if [ -z "$paths" ]; then
        say "$component is not in the cache of servers, so $tag is left out: run conform acquire"
        return
    fi
    for name in "$@"; do
        # NAME or NAME:AS, where the vendor calls it something else.
        pairs+=("$(grep "/${name%%:*}\$" <<<"$paths")=$place/${name##*:}")
    done
    image "$tag" "$user" "$entrypoint" "${pairs[@]}"
}
