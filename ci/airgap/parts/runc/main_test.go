package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func TestTheCommandIsFoundBehindGlobalOptions(t *testing.T) {
	args := []string{"--root", "run", "--systemd-cgroup", "--log-format=json", "create", "--bundle", "/b", "id"}
	command, rest := split(args)
	bundle, ok := option(rest, "--bundle", "-b")
	if command != "create" || !ok || bundle != "/b" {
		t.Fatalf("%q %q %v", command, bundle, ok)
	}
}

func TestOnlyWhatTheHostCannotGiveIsTakenOut(t *testing.T) {
	file := filepath.Join(t.TempDir(), "process.json")
	before := `{"capabilities":{"bounding":["CAP_KILL","CAP_SYS_RESOURCE"],"ambient":null},` +
		`"oomScoreAdj":-998,"rlimits":[{}],"big":9007199254740993}`
	if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := edit(file, withhold); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil || !json.Valid(text) {
		t.Fatal(string(text), err)
	}
	after := `{"big":9007199254740993,"capabilities":{"ambient":null,"bounding":["CAP_KILL"]},"oomScoreAdj":0}`
	if string(text) != after {
		t.Fatal(string(text))
	}
}
