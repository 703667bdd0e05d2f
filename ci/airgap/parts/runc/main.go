// An OCI runtime before runc, for hosts whose bounding set lacks
// CAP_SYS_RESOURCE: nobody there can be given that capability, nor lower an OOM
// score, nor raise a hard limit, and runc fails where it is asked to. What asks
// for it is taken out of the container's description; everything else is
// runc's. It serves on the host, for the engine, and inside the node, for
// containerd.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const withheld = "CAP_SYS_RESOURCE"

// Where runc is in Debian and its like; this program has the name in
// /usr/local/sbin inside the node.
var places = []string{"/usr/sbin/runc", "/usr/bin/runc"}

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "runc without "+withheld+":", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	command, options := split(args[1:])
	switch command {
	case "create", "run", "restore":
		bundle, ok := option(options, "--bundle", "-b")
		if !ok {
			bundle = "."
		}
		if err := edit(filepath.Join(bundle, "config.json"), func(spec map[string]any) {
			if process, ok := spec["process"].(map[string]any); ok {
				withhold(process)
			}
		}); err != nil {
			return err
		}
	case "exec":
		if file, ok := option(options, "--process", "-p"); ok {
			if err := edit(file, withhold); err != nil {
				return err
			}
		}
	}
	for _, place := range places {
		if _, err := os.Stat(place); err == nil {
			return syscall.Exec(place, append([]string{"runc"}, args[1:]...), os.Environ())
		}
	}
	return fmt.Errorf("runc is at none of %s", strings.Join(places, ", "))
}

// The command and what follows it. runc's global options come first; those with
// a value are named here, for a value could be the name of a command.
func split(args []string) (string, []string) {
	for at := 0; at < len(args); at++ {
		switch arg := args[at]; {
		case arg == "--root" || arg == "--log" || arg == "--log-format" || arg == "--rootless" || arg == "--criu":
			at++
		case !strings.HasPrefix(arg, "-"):
			return arg, args[at+1:]
		}
	}
	return "", nil
}

func option(args []string, names ...string) (string, bool) {
	for at, arg := range args {
		for _, name := range names {
			if arg == name && at+1 < len(args) {
				return args[at+1], true
			}
			if value, ok := strings.CutPrefix(arg, name+"="); ok {
				return value, true
			}
		}
	}
	return "", false
}

// Takes out of a process what the host cannot give.
func withhold(process map[string]any) {
	if sets, ok := process["capabilities"].(map[string]any); ok {
		for name, set := range sets {
			if list, ok := set.([]any); ok {
				kept := make([]any, 0, len(list))
				for _, capability := range list {
					if capability != withheld {
						kept = append(kept, capability)
					}
				}
				sets[name] = kept
			}
		}
	}
	if score, ok := process["oomScoreAdj"].(json.Number); ok && strings.HasPrefix(score.String(), "-") {
		process["oomScoreAdj"] = 0
	}
	delete(process, "rlimits")
}

// Numbers stay the text they are: a float64 would alter large ones.
func edit(path string, change func(map[string]any)) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	change(object)
	if text, err = json.Marshal(object); err != nil {
		return err
	}
	beside := path + ".edited"
	if err := os.WriteFile(beside, text, 0o600); err != nil {
		return err
	}
	return os.Rename(beside, path)
}
