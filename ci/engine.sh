# The container engine of this machine, for scripts that need one: one that they start they stop at their end. Sourced.
# shellcheck shell=bash

engine_started=no
answers() { docker info >/dev/null 2>&1; }
# can_start_engine: whether ci/airgap/engine could.
can_start_engine() { [ "$(id -u)" -eq 0 ] && command -v dockerd >/dev/null; }
# start_engine: one that was not there is to be stopped, whether its start succeeds or not.
start_engine() {
    engine_started=yes
    ci/airgap/engine
}
stop_engine() { if [ $engine_started = yes ]; then ci/airgap/engine stop; fi; }
