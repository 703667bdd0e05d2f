# Making images of programs. Sourced, after lib.sh.
# shellcheck shell=bash

# The images that were made or were there.
images=()

# image TAG USER ENTRYPOINT FILE=PLACE...: makes an image unless it is there from the same files. A FILE may be
# a folder; PROGRAM= takes a program of this machine with its libraries, to the place it has here.
image() {
    local tag=$1 user=$2 entrypoint=$3 key folder pair from to
    shift 3
    # shellcheck disable=SC2154 # lib.sh sets it.
    key="$(recipe "$here/image.sh" "$here/${0##*/}" "$tag" "$(for pair in "$@"; do stat --dereference --format '%n %s %Y' "${pair%%=*}"; done)")"
    images+=("$tag")
    if image_has "$tag" "$key"; then return; fi
    folder="$(making "${making:-image}")"
    mkdir -p "$folder"/{tmp,etc/ssl/certs}
    chmod 1777 "$folder/tmp"
    # Whose certificates an outward call is checked by, and who the users are.
    cp -L /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/"
    printf 'root:x:0:0:::\nnobody:x:65534:65534:::\n' >"$folder/etc/passwd"
    for pair in "$@"; do
        from="${pair%%=*}"
        to="$folder${pair#*=}"
        case $pair in
        *=) program "$from" "$folder" ;;
        *)
            mkdir -p "${to%/*}"
            if [ -d "$from" ]; then folder "$from" "$to"; else ln -L "$from" "$to" 2>/dev/null || cp -L "$from" "$to"; fi
            ;;
        esac
    done
    if [ "$(type -t "prepared_$(basename "${tag%:*}")" || true)" = function ]; then "prepared_$(basename "${tag%:*}")" "$folder"; fi
    tar --numeric-owner --owner 0 --group 0 -C "$folder" -c . | docker import \
        --change "ENTRYPOINT [\"$entrypoint\"]" --change "USER $user" --change "LABEL conform.recipe=$key" \
        --change "WORKDIR ${workdir:-/}" \
        --change "ENV PATH=${path:-/usr/local/bin:/usr/bin:/bin}" - "$tag" >/dev/null
    rm -rf "$folder"
    say "image $tag"
}

# folder FROM TO: its files, links followed, those that lead nowhere left out.
folder() {
    mkdir -p "$2"
    (cd "$1" && find -L . -type f -print0 | tar --null --dereference -cT -) | tar -x -C "$2"
}
# libraries FILE...: what they are linked with, and the loader.
libraries() { ldd "$@" 2>/dev/null | sed -nE 's/.*(=> |^\s+)(\/[^ ]+) .*/\2/p' | sort -u; }
# program FILE FOLDER: the program and its libraries, into the root FOLDER.
program() {
    local file place
    for file in "$1" $(libraries "$1"); do
        # Where /bin is a link to /usr/bin on this machine, it is a folder of its own in the image.
        place="$2$file"
        [ -e "$place" ] && continue
        mkdir -p "${place%/*}"
        cp -L "$file" "$place"
    done
}
